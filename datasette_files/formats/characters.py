"""From bytes to characters: which encoding, and what becomes of bytes that are none.

Bytes that cannot be decoded become one private mark, so that the row and column they are in can be
named once the text is split; a chosen replacement is U+FFFD. So does NUL, which is no text.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from .base import MAX_RECORD, ImportProblem, ReadOptions

#: Half of a character: no decoder makes it, so it is in no text.
BAD = "\udcff"
_HANDLER = "datasette-files-mark"

#: Cells that are shown in two encodings, and characters of each.
_DIFFERING, _SHOWN = 5, 100

#: Bytes that are decoded at a time.
_CHUNK = 64 * 1024

#: Bytes that are read ahead, so that a mark which a piece ends in is seen whole; and such an end.
_AHEAD = 16
_MAYBE_MARKED = tuple(end + codecs.BOM_UTF8[:size] for end in (b"\n", b"\r") for size in (0, 1, 2))

#: Name for a form and Python's codec, in the order in which a choice offers them.
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


#: Encodings that are offered beside the one that was guessed.
_OTHERS = 2
#: Characters of more than one byte that outweigh a byte which is none.
_OUTWEIGH = 2


@dataclass(frozen=True)
class Detected:
    """The encoding of a file. ``guessed``: no mark says so, and it is no Unicode."""

    name: str
    guessed: bool = False
    #: Of a guess, the next likely ones that read some byte otherwise.
    others: tuple[str, ...] = ()


def detect(head: bytes) -> Detected:
    """The encoding of a file's head, which may be cut anywhere.

    A byte order mark decides; else UTF-8 where the bytes are that, but for a few; else a guess.
    """
    for mark, name in _MARKS:
        if head.startswith(mark):
            return Detected(name)
    if (wide := _utf_16(head)) is not None:
        return Detected(wide)
    if _is_utf_8(head):
        return Detected("utf-8")
    from .guessing import ranked  # noqa: PLC0415 - most files need none of its words

    names = ranked(head)
    texts: dict[str, str] = {}
    for name in names:
        texts.setdefault(head.decode(ENCODINGS[name], "replace"), name)
    best, *others = texts.values()
    return Detected(best, True, tuple(others[:_OTHERS]))


def _is_utf_8(head: bytes) -> bool:
    """Whether it is, but for some bytes that are broken: those are named, row and column."""
    # Incremental: a character that the cut falls into is no error.
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    broken = text.count("\N{REPLACEMENT CHARACTER}") - head.count(b"\xef\xbf\xbd")
    if not broken:
        return True
    several = sum(not char.isascii() for char in text) - broken
    return several >= _OUTWEIGH * broken


def _utf_16(head: bytes) -> str | None:
    """UTF-16 without its mark: of text, every other byte is mostly zero."""
    pairs = len(head) // 2
    for name, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if pairs and zeros.count(0) > pairs * 0.4:
            return name
    return None


class _Guarded(io.RawIOBase):
    """A stream whose rows end, and, where it is UTF-8, in which a NUL cannot be decoded.

    A NUL is no text either, so it becomes a byte that no UTF-8 has.
    """

    def __init__(self, stream: IO[bytes], bars_nul: bool) -> None:
        self._stream = stream
        self._bars_nul = bars_nul
        self._begun = False
        #: Bytes read since the last row was complete; whoever completes one sets it to 0.
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
        """Without what is left of files that were put together, and without the end of DOS's texts.

        A byte order mark at the beginning of a line; Ctrl-Z at the very end.
        """
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
        if content.endswith(b"\x1a"):
            more = self._stream.read(1)
            content = content + more if more else content.rstrip(b"\x1a")
        return content


class Characters:
    """A file as text. ``bad`` turns true once marks may be in it."""

    def __init__(self, stream: IO[bytes], options: ReadOptions, head: bytes) -> None:
        detected = Detected(options.encoding) if options.encoding else detect(head)
        name = detected.name
        if name not in ENCODINGS:
            raise ImportProblem(f"The encoding {name!r} is not known; choose another")
        self.encoding = name
        #: As ``Table.found`` has it.
        self.found: dict[str, Any] = {"encoding": name}
        if detected.guessed:
            self.found |= {"guessed": True, "others": list(detected.others)}
        self._replaces = options.errors == "replace"
        # A handler is looked up by name when decoding begins, and there is one file to a process.
        codecs.register_error(_HANDLER, self._mark)
        narrow = name == "utf-8"
        # A NUL of another encoding is not a byte of its own: each row is looked at.
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
        """A row without marks or NULs. Raises ImportProblem that names the place."""
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
                    " or have such bytes replaced",
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
    """Cells that would be another text in another encoding: column, text, and the other text.

    A few, each different. The header's are in it too.
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
