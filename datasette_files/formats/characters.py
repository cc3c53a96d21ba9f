"""Decoding of a file's bytes: detects the encoding, and handles bytes that cannot be decoded.

Such bytes, and NULs, become one private mark; once the text is split, an error can name their row
and column. If the user chose to replace them, they become U+FFFD.
"""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from .base import MAX_RECORD, ImportProblem, ReadOptions

#: A lone surrogate: no decoder produces it, so it is in no text.
BAD = "\udcff"
_HANDLER = "datasette-files-mark"

#: Number of cells that are shown in two encodings, and characters of each.
_DIFFERING, _SHOWN = 5, 100

#: Bytes that are decoded at a time.
_CHUNK = 64 * 1024

#: Bytes to read ahead if a chunk may end within a byte order mark; and the ends that tell so.
_AHEAD = 16
_MAYBE_MARKED = tuple(end + codecs.BOM_UTF8[:size] for end in (b"\n", b"\r") for size in (0, 1, 2))

#: Public name and Python's codec, in the order in which a form lists them.
ENCODINGS = {
    "utf-8": "utf-8-sig",
    "utf-16": "utf-16",
    "utf-16-le": "utf-16-le",
    "utf-16-be": "utf-16-be",
    "windows-1252": "cp1252",
    "windows-1250": "cp1250",
    "windows-1251": "cp1251",
    "windows-1253": "cp1253",
    "windows-1254": "cp1254",
    "windows-1255": "cp1255",
    "windows-1256": "cp1256",
    "windows-1257": "cp1257",
    "windows-1258": "cp1258",
    "windows-874": "cp874",
    "iso-8859-2": "iso8859-2",
    "iso-8859-15": "iso8859-15",
    "koi8-r": "koi8_r",
    "cp850": "cp850",
    "cp852": "cp852",
    "cp866": "cp866",
    "macintosh": "mac_roman",
    "shift_jis": "cp932",
    "euc-jp": "euc_jp",
    "iso-2022-jp": "iso2022_jp",
    "gb18030": "gb18030",
    "big5": "cp950",
    "euc-kr": "cp949",
    "utf-32": "utf-32",
}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


#: Switches to Japanese characters, which have ASCII's bytes (RFC 1468).
_JAPANESE = re.compile(rb"\x1b\$[@B]")
#: Zeros among the second bytes of UTF-16: their least number and share.
_MIN_ZEROS, _ZEROS = 2, 0.02
#: Number of alternatives offered beside a guessed encoding.
_MAX_OTHERS = 2
#: A head is UTF-8 if it has this many valid multi-byte characters for each broken byte. A letter
#: of Western languages, or a character of three bytes or more, counts as two: in another encoding
#: such bytes hardly ever stand together.
_VALID_PER_BROKEN = 2
_UNLIKELY_BY_CHANCE = re.compile("[\xc0-\xff\u0800-\U0010ffff]")


@dataclass(frozen=True)
class Detected:
    """The encoding of a file. ``guessed``: there is no byte order mark, and it is not Unicode."""

    name: str
    guessed: bool = False
    #: If guessed, the next likely encodings that decode some byte differently.
    others: tuple[str, ...] = ()


def detect(head: bytes, *, whole: bool = False) -> Detected:
    """Detect the encoding of a file's head, which may be cut anywhere unless it is the whole file.

    A byte order mark decides; else UTF-8 if all but a few bytes are valid; else a guess.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return Detected(name)
    if (wide := _utf_16(head)) is not None:
        return Detected(wide)
    if _JAPANESE.search(head) and _is_valid(head, "iso-2022-jp"):
        return Detected("iso-2022-jp", True, ("utf-8",))
    if _is_utf_8(head, whole):
        return Detected("utf-8")
    from .guessing import ranked  # noqa: PLC0415 - large, and most files do not need it

    names = ranked(head)
    texts: dict[str, str] = {}
    for name in names:
        texts.setdefault(head.decode(ENCODINGS[name], "replace"), name)
    best, *others = texts.values()
    return Detected(best, True, tuple(others[:_MAX_OTHERS]))


def _is_utf_8(head: bytes, whole: bool) -> bool:
    """Tell whether the head is UTF-8, apart from a few broken bytes (which are reported later)."""
    # An incremental decoder accepts a character that is cut at the end.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head, final=whole)
    broken = text.count("\N{REPLACEMENT CHARACTER}") - head.count(b"\xef\xbf\xbd")
    if not broken:
        return True
    valid = sum(not char.isascii() for char in text) - broken
    valid += len(_UNLIKELY_BY_CHANCE.findall(text)) - broken
    return valid >= _VALID_PER_BROKEN * broken


def _utf_16(head: bytes) -> str | None:
    """Detect UTF-16 without a byte order mark: every second byte is mostly zero.

    In scripts of other languages only those of delimiters, digits and line ends are; then no other
    byte may be zero, and all must be valid.
    """
    pairs = len(head) // 2
    for name, zeros, others in (
        ("utf-16-le", head[1::2], head[::2]),
        ("utf-16-be", head[::2], head[1::2]),
    ):
        found = zeros.count(0)
        if pairs and found > pairs * 0.4:
            return name
        few = max(_MIN_ZEROS, pairs * _ZEROS)
        if found >= few and not others.count(0) and _is_valid(head, name):
            return name
    return None


def _is_valid(head: bytes, name: str) -> bool:
    """Tell whether the bytes, which may be cut anywhere, are valid in the encoding."""
    try:
        codecs.getincrementaldecoder(ENCODINGS[name])().decode(head)
    except UnicodeDecodeError:
        return False
    return True


class _Guarded(io.RawIOBase):
    """A stream that limits the bytes of a row. In UTF-8, it makes a NUL a byte that is invalid."""

    def __init__(self, stream: IO[bytes], bars_nul: bool) -> None:
        self._stream = stream
        self._bars_nul = bars_nul
        self._begun = False
        #: Bytes read since the last complete row. The caller sets it to 0 after each row.
        self.since = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._stream.read1(len(buffer) - _AHEAD)  # type: ignore[attr-defined]
        if self._bars_nul:
            content = self._one_text(content)
        self.since += len(content)
        if self.since > 2 * MAX_RECORD:
            raise ImportProblem(
                f"A row has more than {MAX_RECORD:,} bytes; a quotation mark or a line break may"
                " be missing"
            )
        if self._bars_nul and b"\x00" in content:
            content = content.replace(b"\x00", b"\xff")
        buffer[: len(content)] = content
        return len(content)

    def _one_text(self, content: bytes) -> bytes:
        """Remove byte order marks at line starts, as joined files have them."""
        if not self._begun:
            self._begun = True
            content += self._stream.read(_AHEAD // 2) if len(content) < _AHEAD else b""
            while content.startswith(2 * codecs.BOM_UTF8):
                content = content[len(codecs.BOM_UTF8) :]
        if content.endswith(_MAYBE_MARKED):
            content += self._stream.read(len(codecs.BOM_UTF8))
        for end in (b"\n", b"\r"):
            if end + codecs.BOM_UTF8 in content:
                content = content.replace(end + codecs.BOM_UTF8, end)
        return content


class Characters:
    """A file as text. ``bad`` turns true once marks may be in it."""

    def __init__(
        self, stream: IO[bytes], options: ReadOptions, head: bytes, *, whole: bool = False
    ) -> None:
        detected = Detected(options.encoding or "")
        if not options.encoding:
            detected = detect(head, whole=whole)
        name = detected.name
        if name not in ENCODINGS:
            raise ImportProblem(f"The encoding {name!r} is not known; choose another")
        self.encoding = name
        #: Part of ``Table.found``.
        self.found: dict[str, Any] = {"encoding": name}
        if detected.guessed:
            self.found |= {"guessed": True, "others": list(detected.others)}
        self._replaces = options.errors == "replace"
        # Handlers are global to the process, which is safe: a process decodes one file at a time.
        codecs.register_error(_HANDLER, self._mark)
        narrow = name == "utf-8"
        # In other encodings a NUL may not be a single byte, so each row is checked.
        self.bad = not narrow
        self.guard = _Guarded(stream, narrow)
        self.text = io.TextIOWrapper(
            io.BufferedReader(self.guard, _CHUNK),
            encoding=ENCODINGS[name],
            errors="replace" if self._replaces else _HANDLER,
            newline="",
        )
        self.text._CHUNK_SIZE = _CHUNK  # type: ignore[attr-defined]

    def _mark(self, error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeDecodeError):
            raise error
        self.bad = True
        return BAD, error.end

    def check_row(self, row: Any, number: int, columns: list[str]) -> list[Any]:
        """Return the row without marks and NULs. Raises ImportProblem with row and column."""
        made = []
        if row and isinstance(row[0], str) and row[0].startswith("\ufeff"):
            row = [row[0].lstrip("\ufeff"), *row[1:]]
        for index, cell in enumerate(row):
            if not isinstance(cell, str) or (BAD not in cell and "\x00" not in cell):
                made.append(cell)
                continue
            if not self._replaces:
                column = columns[index] if index < len(columns) else str(index + 1)
                raise ImportProblem(
                    f"holds a NUL, or bytes that are not {self.encoding}; choose another encoding,"
                    " or choose to replace such bytes",
                    number,
                    column,
                )
            for mark in ("\x00", BAD):
                cell = cell.replace(mark, "\N{REPLACEMENT CHARACTER}")  # noqa: PLW2901
            made.append(cell)
        return made


def differing(
    rows: Sequence[Sequence[Any]], columns: Sequence[str], encoding: str, other: str
) -> list[list[str]]:
    """Return a few cells, or header names, that two encodings decode differently.

    Each is ``[column, text, text in the other encoding]``.
    """
    found: dict[tuple[str, ...], None] = {}
    for row in (columns, *rows):
        for index, cell in enumerate(row[: len(columns)]):
            if len(found) >= _DIFFERING:
                return [list(one) for one in found]
            if not isinstance(cell, str) or cell.isascii():
                continue
            short = cell[:_SHOWN]
            raw = short.encode(ENCODINGS[encoding], "replace")
            text = raw.decode(ENCODINGS[other], "replace")
            if text != short:
                found[(columns[index][:_SHOWN], short, text)] = None
    return [list(one) for one in found]
