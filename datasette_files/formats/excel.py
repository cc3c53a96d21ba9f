"""Workbooks of Excel (.xlsx, .xlsm, .xlsb, .xls) and OpenDocument (.ods): one sheet is read.

The rules: a sheet is the rectangle of its values; empty rows are skipped, and so are titles above
the header (dialect.py). No formula is computed: a cell has the value saved with the workbook, and
an error is NULL. Dates and times become text in SQLite's form, a duration becomes h:mm:ss. A whole
number is an integer, although Excel stores a float. What calamine loses of dates and times comes
from serials.py. Calamine holds the sheet in memory, within the memory limit of the process.
"""

from __future__ import annotations

import datetime
import importlib.util
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, BinaryIO

from . import dialect, opendocument, serials
from .base import MAX_FIELD, ImportFormat, ImportProblem, ReadOptions, Table, column_names

#: A larger float is not turned into an integer: it is no longer exact.
_EXACT = 2**53
#: A duration of OpenDocument, which calamine returns as text (XML Schema, 3.2.6).
_SPAN = re.compile(
    r"(-)?P(?:(\d{1,7})D)?T(?:(\d{1,7})H)?(?:(\d{1,9})M)?(?:(\d{1,9}(?:[.,]\d{1,9})?)S)?(?<!T)"
)
#: Types of cells that may be dates of which calamine lost the day, see serials.py.
_DOUBTFUL = (datetime.time, int)
#: Least rows of a sheet whose first row is looked at for a header.
_ROWS_OF_HEADER = 2


def is_installed() -> bool:
    """Tell whether the extra ``excel`` is installed."""
    return importlib.util.find_spec("python_calamine") is not None


class Workbook(ImportFormat):
    """A sheet of a workbook: the first, or the one that ``member`` names."""

    name = "excel"
    label = "Excel, OpenDocument"
    extensions = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
    content_types = (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.ms-excel",
        "application/vnd.ms-excel.sheet.macroenabled.12",
        "application/vnd.ms-excel.sheet.binary.macroenabled.12",
        "application/vnd.oasis.opendocument.spreadsheet",
    )
    seeks = True
    options = ("header", "skip")

    def read(self, stream: BinaryIO, options: ReadOptions) -> Table:
        try:
            sheet, names = _sheet(stream, options.member)
        except ImportProblem:
            raise
        except BaseException as error:
            # An OSError says that a part ends too early: the file itself is on disk already.
            if not _is_calamines(error) and not isinstance(error, OSError):
                raise
            raise ImportProblem(_explained(error)) from None
        try:
            return self._table(sheet, names, stream, options)
        except ImportProblem as problem:
            problem.members = names
            raise

    @staticmethod
    def _table(sheet: Any, names: list[str], stream: BinaryIO, options: ReadOptions) -> Table:
        rows = _rows(sheet, stream)
        begin = list(islice(rows, dialect.ROWS))
        if not begin:
            raise ImportProblem(f"The sheet {sheet.name!r} is empty; choose another, or fill it")
        skip = options.skip
        if skip is None:
            shown = [["" if cell is None else str(cell) for cell in row] for row in begin]
            skip = 0 if options.header is False else dialect.guess_skip(shown)
        elif skip and skip >= len(begin):
            raise ImportProblem(f"The sheet has no row after {skip:,} rows above the header")
        begin = begin[skip:]
        header = _guess_header(begin) if options.header is None else options.header
        columns = column_names(begin[0] if header else [""] * len(begin[0]))
        for number, name in enumerate(columns, 1):
            _check(name, 0, str(number))
        return Table(
            columns,
            _checked(begin[header:], rows, columns),
            found={"member": sheet.name, "header": header, "skip": skip},
            members=names,
        )


def _sheet(stream: BinaryIO, name: str | None) -> tuple[Any, list[str]]:
    """Return a sheet and the names of all. Without a name: the first visible one with values."""
    if not is_installed():
        raise ImportProblem(
            "Workbooks need datasette-files[excel]; ask the administrator to install it, or save"
            " the sheet as CSV"
        )
    from python_calamine import (  # noqa: PLC0415 - in the import's process alone
        CalamineError,
        SheetTypeEnum,
        SheetVisibleEnum,
        load_workbook,
    )

    try:
        book = load_workbook(stream)
    except CalamineError:
        readable = opendocument.without_gaps(stream)
        if readable is None:
            raise
        book = load_workbook(readable)
    sheets = [one for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]
    names = [one.name for one in sheets]
    if not names:
        raise ImportProblem("The workbook has no sheet with rows; upload another")
    if name is not None and name not in names:
        raise ImportProblem(f"The workbook has no sheet {name!r}; choose one of its sheets")
    visible = [one.name for one in sheets if one.visible == SheetVisibleEnum.Visible]
    wanted = [name] if name is not None else visible or names
    for one in wanted:
        sheet = book.get_sheet_by_name(one)
        if sheet.start is not None:
            return sheet, names
    return book.get_sheet_by_name(wanted[0]), names


def _is_calamines(error: BaseException) -> bool:
    """Tell whether calamine raised the error. On some damaged files it panics (PyO3)."""
    return type(error).__module__ in ("python_calamine", "pyo3_runtime")


def _explained(error: BaseException) -> str:
    if type(error).__name__ == "PasswordError":
        return "The workbook is encrypted; save it without a password and upload it again"
    return f"The workbook cannot be read ({str(error)[:200]}); save it anew and upload it again"


def _rows(sheet: Any, stream: BinaryIO) -> Iterator[list[Any]]:
    """Yield the rows that have values, from the first column that has one."""
    if sheet.start is None:
        return
    #: Dates and times that calamine does not give, read once a cell may be one of them.
    missed: dict[tuple[int, int], Any] | None = None
    number = -1
    try:
        for number, row in enumerate(sheet.iter_rows()):
            # Some versions of calamine include empty columns on the left, some do not.
            given = row[-sheet.width :]
            if any(type(cell) in _DOUBTFUL for cell in given):
                if missed is None:
                    missed = serials.missed(stream, sheet.name)
                given = _mended(given, number, sheet.start[1], missed)
            cells = [_value(cell) for cell in given]
            if any(cell is not None for cell in cells):
                yield cells
    except BaseException as error:
        # A duration of more days than Python knows is an OverflowError.
        if not _is_calamines(error) and not isinstance(error, OverflowError):
            raise
        raise ImportProblem(_explained(error), number + 2) from None


def _mended(cells: list[Any], row: int, left: int, missed: dict[tuple[int, int], Any]) -> list[Any]:
    """Replace the cells that calamine does not give right; ``left`` is the first column."""
    return [
        missed.get((row, column), cell) if type(cell) in _DOUBTFUL else cell
        for column, cell in enumerate(cells, left)
    ]


def _value(cell: Any) -> Any:
    if isinstance(cell, str):
        span = _SPAN.fullmatch(cell)
        return _duration(_span(span)) if span else cell or None
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() and abs(cell) < _EXACT else cell
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    if isinstance(cell, datetime.timedelta):
        return _duration(cell)
    return cell


def _span(found: re.Match[str]) -> datetime.timedelta:
    days, hours, minutes, seconds = (
        float((found[part] or "0").replace(",", ".")) for part in (2, 3, 4, 5)
    )
    made = datetime.timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    return -made if found[1] else made


def _duration(span: datetime.timedelta) -> str:
    """Format a duration as ``h:mm:ss``; hours may exceed 24."""
    sign, span = ("-", -span) if span < datetime.timedelta() else ("", span)
    minutes, seconds = divmod(span.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{span.microseconds:06}" if span.microseconds else ""
    return f"{sign}{span.days * 24 + hours}:{minutes:02}:{seconds:02}{fraction}"


def _guess_header(begin: list[list[Any]]) -> bool:
    """Tell whether the first row is a header: it is, unless it holds only numbers."""
    numbers = (int, float, type(None))
    return len(begin) < _ROWS_OF_HEADER or not all(isinstance(cell, numbers) for cell in begin[0])


def _checked(
    begin: list[list[Any]], rows: Iterator[list[Any]], columns: Sequence[str]
) -> Iterator[list[Any]]:
    number = 0
    for number, row in enumerate(begin, 1):
        yield _check_row(row, number, columns)
    for further, row in enumerate(rows, number + 1):
        yield _check_row(row, further, columns)


def _check_row(row: list[Any], number: int, columns: Sequence[str]) -> list[Any]:
    for cell, column in zip(row, columns, strict=True):
        if isinstance(cell, str):
            _check(cell, number, column)
    return row


def _check(text: str, number: int, column: str) -> None:
    """Raise ImportProblem for a text with a NUL, which SQLite cannot hold, or one too long."""
    if "\x00" in text:
        raise ImportProblem("holds a NUL; mend the cell", number, column)
    if len(text) > MAX_FIELD:
        raise ImportProblem(f"has a value of more than {MAX_FIELD:,} characters", number, column)
