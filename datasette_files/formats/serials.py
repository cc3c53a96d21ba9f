"""Dates and times of workbooks that calamine does not give: of numbers below zero, and in .xlsb.

A workbook stores a date as the days since its first day, 1899-12-30 or 1904-01-01 (ISO/IEC 29500-1,
18.17.4.1), and its format alone tells that it is one. Of a number below zero calamine gives the
time of day, and a whole number of an .xlsb as that number. Excel shows no date before the first
day, LibreOffice does. The rules: under a format with a day, month or year a negative number is that
date; under another format of times it is a duration. Reads .xlsx; biff.py reads .xls and .xlsb.
Open Document has dates as text and needs none of this.
"""

from __future__ import annotations

import datetime
import posixpath
import re
import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO
from xml.parsers import expat

from . import biff, packed
from .base import ImportProblem

_EPOCHS = (datetime.datetime(1899, 12, 30), datetime.datetime(1904, 1, 1))
_SECONDS_OF_DAY = 86_400
#: Excel's February 1900 has 29 days, so that numbers below this one are a day later.
_MARCH_1900 = 60
#: Built-in formats (ISO/IEC 29500-1, 18.8.30): times, hours since zero, and numbers or text.
_TIMES, _ELAPSED = frozenset({18, 19, 20, 21, 32, 33, 45, 47}), 46
_NUMBERS = frozenset({*range(14), *range(37, 45), 48, 49})
#: Parts of a format that do not stand for themselves: literals, escapes, fillers, colours.
_LITERAL = re.compile(r'"[^"]*"?|\\.|[_*].|\[[^\]]*\]?|General', re.IGNORECASE)
_HOURS_SINCE_ZERO = re.compile(r"\[(h+|m+|s+)\]", re.IGNORECASE)
_DAY, _TIME = re.compile("[ydegb]|mmm", re.IGNORECASE), re.compile("[hms]", re.IGNORECASE)
_NEGATIVE = re.compile(rb">\s*[-&]")
_PIECE = 1024 * 1024
_REFERENCE = re.compile("([A-Za-z]{1,3})([0-9]{1,7})")


@dataclass
class Book:
    """The parts of a workbook that say how a number is shown."""

    sheets: dict[str, Any]
    is_1904: bool
    #: The format's number of each cell style.
    styles: list[int]
    #: The codes of formats that are not built in.
    codes: dict[int, str]

    def kind(self, style: int) -> str | None:
        """What a style shows: a ``date``, a ``time``, ``elapsed`` hours; None if no such thing."""
        number = self.styles[style]
        code = self.codes.get(number)
        if code is None:
            if number in _NUMBERS:
                return None
            return "elapsed" if number == _ELAPSED else "time" if number in _TIMES else "date"
        if _HOURS_SINCE_ZERO.search(code):
            return "elapsed"
        code = _LITERAL.sub("", code)
        return "date" if _DAY.search(code) else "time" if _TIME.search(code) else None


def missed(stream: BinaryIO, sheet: str) -> dict[tuple[int, int], Any]:
    """Return the dates and times that calamine does not give, by row and column from 0.

    A value is a ``date``, ``datetime`` or ``time``; a duration is a ``timedelta``. A date that
    Python cannot hold is its number. Raises ImportProblem.
    """
    stream.seek(0)
    head = stream.read(len(packed.OLE))
    stream.seek(0)
    try:
        if head == packed.OLE:
            content = biff.workbook_stream(stream)
            book = Book(*biff.old_globals(content))
            cells = biff.old_cells(content, book.sheets[sheet])
        else:
            cells, book = _zipped(zipfile.ZipFile(stream), sheet)
        kinds = {style: kind for style in range(len(book.styles)) if (kind := book.kind(style))}
        return {
            (row, column): _shown(number, kinds[style], book.is_1904)
            for row, column, style, number in cells
            if style in kinds and (number < 0 or number % 1 == 0)
        }
    except (KeyError, IndexError, ValueError, struct.error, zipfile.BadZipFile, expat.error) as e:
        raise ImportProblem(
            "The workbook may have dates or times below zero, and their numbers cannot be read"
            f" ({type(e).__name__}: {str(e)[:100]}); save it anew and upload it again"
        ) from None


def _shown(number: float, kind: str, is_1904: bool) -> Any:
    try:
        span = datetime.timedelta(milliseconds=round(number * _SECONDS_OF_DAY * 1000))
        if kind == "elapsed" or (kind == "time" and number < 0):
            return span
        if 0 <= number < 1:
            return (_EPOCHS[is_1904] + span).time()
        if not is_1904 and 0 < number < _MARCH_1900:
            span += datetime.timedelta(days=1)
        moment = _EPOCHS[is_1904] + span
    except OverflowError:
        return number
    return moment if moment.time() != datetime.time() else moment.date()


def _zipped(archive: zipfile.ZipFile, sheet: str) -> tuple[Iterator[biff.Cell], Book]:
    names = {name.replace("\\", "/").lower(): name for name in archive.namelist()}
    kind = "bin" if "xl/workbook.bin" in names else "xml"
    if f"xl/workbook.{kind}" not in names:
        return iter(()), Book({}, False, [], {})  # Open Document

    def member(path: str) -> bytes:
        return archive.read(names[path.lower()])

    targets = {
        one["Id"]: posixpath.normpath(posixpath.join("/xl", one["Target"])).lstrip("/")
        for name, one in _elements(member(f"xl/_rels/workbook.{kind}.rels"))
        if name == "Relationship"
    }
    styles = member(f"xl/styles.{kind}") if f"xl/styles.{kind}" in names else b""
    if kind == "bin":
        book = Book(*biff.binary_globals(member("xl/workbook.bin"), styles))
        return biff.binary_cells(member(targets[book.sheets[sheet]])), book
    book = _xml_globals(member("xl/workbook.xml"), styles)
    path = names[targets[book.sheets[sheet]].lower()]
    if not _may_be_negative(archive, path):
        return iter(()), book
    return _xml_cells(archive, path), book


def _elements(content: bytes) -> list[tuple[str, dict[str, str]]]:
    """Return the elements of a small document: names and attributes without their prefixes."""
    found: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, given: found.append(
        (_local(name), {_local(key): value for key, value in given.items()})
    )
    if content:
        parser.Parse(content, True)
    return found


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _xml_globals(workbook: bytes, styles: bytes) -> Book:
    elements = _elements(workbook)
    sheets = {one["name"]: one["id"] for name, one in elements if name == "sheet"}
    is_1904 = any(
        one.get("date1904") in ("1", "true") for name, one in elements if name == "workbookPr"
    )
    formats: list[int] = []
    codes = {}
    within = ""
    for name, one in _elements(styles):
        if name in ("cellXfs", "cellStyleXfs", "dxfs", "cellStyles"):
            within = name
        elif name == "xf" and within == "cellXfs":
            formats.append(int(one.get("numFmtId", "0")))
        elif name == "numFmt" and within != "dxfs":
            codes[int(one["numFmtId"])] = one["formatCode"]
    return Book(sheets, is_1904, formats, codes)


def _may_be_negative(archive: zipfile.ZipFile, path: str) -> bool:
    """Tell whether any text begins with a minus, much faster than by parsing."""
    rest = b""
    with archive.open(path) as member:
        while piece := member.read(_PIECE):
            if _NEGATIVE.search(rest + piece) or (not rest and not piece.lstrip().startswith(b"<")):
                return True
            rest = piece[-64:]
    return False


class _Sheet:
    """Collects the numbers of a sheet while expat parses it."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self.cells: list[biff.Cell] = []
        self._row, self._column, self._style = -1, -1, 0
        self._number: list[str] | None = None
        self._is_number = False

    def _start(self, name: str, given: dict[str, str]) -> None:
        name = _local(name)
        if name == "c":
            self._column += 1
            if reference := _REFERENCE.fullmatch(given.get("r", "")):
                self._row, self._column = int(reference[2]) - 1, _column(reference[1])
            self._style = int(given.get("s", "0"))
            self._is_number = given.get("t", "n") == "n"
        elif name == "v" and self._is_number:
            self._number = []
        elif name == "row":
            self._row, self._column = int(given.get("r", self._row + 2)) - 1, -1

    def _text(self, text: str) -> None:
        if self._number is not None:
            self._number.append(text)

    def _end(self, name: str) -> None:
        if self._number is not None and _local(name) == "v":
            text, self._number = "".join(self._number).strip(), None
            if text.startswith("-"):  # calamine gives all others
                self.cells.append((self._row, self._column, self._style, float(text)))


def _column(letters: str) -> int:
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - ord("A") + 1
    return number - 1


def _xml_cells(archive: zipfile.ZipFile, path: str) -> Iterator[biff.Cell]:
    sheet = _Sheet()
    with archive.open(path) as member:
        while piece := member.read(_PIECE):
            sheet.parser.Parse(piece, False)
            yield from sheet.cells
            sheet.cells.clear()
    sheet.parser.Parse(b"", True)
