"""The pages that a reader finds: cleaned, bounded, and sent to the server as they come."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO

from ...sandbox import confinement, framing

#: Characters of one row of a page, and of a page of a file that has no pages of its own.
ROW_CHARACTERS = 16_000
PAGE_CHARACTERS = 4_000
#: The most pages of one file.
MAX_PAGES = 100_000
#: Characters that are sent together.
_BATCH = 128 * 1024
#: Seconds of CPU that a page earns, beside those of the file.
_EARNED = 0.25
#: Control characters but tab, line feed and form feed; marks of direction stay, as they are text.
_CONTROL = dict.fromkeys((*range(9), 11, *range(13, 32), *range(127, 160), 0xFEFF, 0xFFFE, 0xFFFF))
#: What stands for letters, and what is invisible within words.
_LETTERS = str.maketrans(
    {
        **{"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl"},
        **{"\ufb05": "st", "\ufb06": "st", "\u00a0": " ", "\u00ad": None, "\u2060": None},
    }
)
#: A word that goes on in the next line.
_HYPHENATED = re.compile("([^\\W\\d_])(?:[-\u2010\u00ad]|\ufffe)[ \t]*\n[ \t]*(?=[^\\W\\d_A-Z])")
_SPACES = re.compile(r"[ \t]{2,}")
_LINES = re.compile(r"\n[ \t]*\n(?:[ \t]*\n)+")


class Unreadable(Exception):
    """The file cannot be read. The message is shown to people."""


class Enough(Exception):
    """The text or the pages are as many as are taken; what came until now stays."""


def cleaned(text: str) -> str:
    """The text in one spelling, without control characters; words go on over line ends."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _HYPHENATED.sub(r"\1", text).translate(_LETTERS).translate(_CONTROL)
    return _LINES.sub("\n\n", _SPACES.sub(" ", text)).strip()


class Pages:
    """The pages of one file. ``max_bytes``: of its text, in UTF-8."""

    def __init__(self, sink: BinaryIO, max_bytes: int, seconds: float) -> None:
        self._sink = sink
        self._left = max_bytes
        self._max_bytes = max_bytes
        self._allowed = confinement.cpu_used() + seconds
        self._waiting: list[tuple[int, str]] = []
        self._size = 0
        self.count = 0
        #: The first reason why a part of the file is missing.
        self.lacks: str | None = None
        confinement.allow_cpu(self._allowed)

    def add(self, text: str) -> None:
        """Add the next page; one without text counts too. Raises Enough."""
        self.count += 1
        self._allowed += _EARNED
        confinement.allow_cpu(self._allowed)
        for row in rows_of(cleaned(text), ROW_CHARACTERS):
            size = len(row.encode())
            if size > self._left:
                kept = row.encode()[: self._left].decode("utf-8", "ignore")
                self._keep(kept)
                raise Enough(f"Only the first {self._max_bytes:,} bytes of its text are searched")
            self._left -= size
            self._keep(row)
        if self.count >= MAX_PAGES:
            raise Enough(f"Only its first {MAX_PAGES:,} pages are searched")

    def add_all(self, text: str) -> None:
        """Add a text that has no pages of its own, or form feeds between them. Raises Enough."""
        for part in text.split("\f"):
            for page in rows_of(cleaned(part), PAGE_CHARACTERS):
                self.add(page)

    def lack(self, reason: str) -> None:
        """Note that a part of the file cannot be read."""
        self.lacks = self.lacks or reason

    def _keep(self, row: str) -> None:
        if row:
            self._waiting.append((self.count, row))
            self._size += len(row)
        if self._size >= _BATCH:
            self.send()

    def send(self) -> None:
        """Send the pages that wait."""
        if self._waiting:
            self._sink.write(framing.packed({"pages": self._waiting}))
            self._sink.flush()
            self._waiting, self._size = [], 0


def rows_of(text: str, most: int) -> Iterator[str]:
    """Split a text into rows of at most ``most`` characters, after a line or a word if possible."""
    start = 0
    while len(text) - start > most:
        end = start + most
        cut = max(text.rfind("\n", start + most // 2, end), text.rfind(" ", end - 500, end))
        end = cut + 1 if cut > start else end
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
