"""Other people's readers. A program: a JSON line asks for a file, a JSON line answers.

Runs under a Python that has pyarrow's, duckdb's, openpyxl's and python-docx's packages, which need
not be the project's own (``DATASETTE_FILES_JUDGES``). Imports nothing of the project.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import re
import resource
import sys
import uuid
import warnings
from collections.abc import Callable, Iterable
from typing import Any

#: Rows of a table that are compared, and bytes of address space for a judge.
MAX_ROWS = 20_000
_MEMORY = 6 * 1024**3

_NUMBER = re.compile(r"-?\d+\.\d+(e[+-]?\d+)?")

Sheets = dict[str, list[list[str]]]


def spelled(value: Any) -> str:
    """A cell in one spelling: numbers by ten digits, times as SQLite writes them."""
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int | float | decimal.Decimal):
        return "" if math.isnan(value) else f"{float(value):.10g}"
    if isinstance(value, datetime.timedelta):
        seconds = round(value.total_seconds())
        sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
        return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc)
        return _plain_time(value.isoformat(" "))
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, list | tuple | dict):
        return json.dumps(_plain(value), ensure_ascii=False)
    text = " ".join(str(value).split())
    # A number among texts, in a column of text.
    return f"{float(text):.10g}" if _NUMBER.fullmatch(text) else _plain_time(text)


def _plain_time(text: str) -> str:
    """A day for its midnight, as some readers do not tell them apart; times in UTC."""
    return text.removesuffix("+00:00").removesuffix(" 00:00:00")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value if isinstance(value, int | float | str | None) else spelled(value)


def rows_of(rows: Iterable[Iterable[Any]]) -> list[list[str]]:
    """The rows that have values, spelled."""
    made = []
    for row in rows:
        cells = [spelled(cell) for cell in row]
        if any(cells):
            made.append(cells)
        if len(made) >= MAX_ROWS:
            break
    return made


def xlsx(path: str) -> Sheets:
    import openpyxl

    book = openpyxl.load_workbook(path, data_only=True)
    # An error is NULL in our tables, by docs/imports.md.
    return {
        sheet.title: rows_of(
            [None if cell.data_type == "e" else cell.value for cell in row]
            for row in sheet.iter_rows()
        )
        for sheet in book.worksheets
    }


def xls(path: str) -> Sheets:
    import xlrd

    book = xlrd.open_workbook(path)

    def value(cell: Any) -> Any:
        if cell.ctype == xlrd.XL_CELL_DATE:
            try:
                moment = xlrd.xldate_as_datetime(cell.value, book.datemode)
            except (ValueError, OverflowError):
                return cell.value
            return moment.time() if cell.value < 1 else moment
        if cell.ctype == xlrd.XL_CELL_ERROR:
            return None
        return bool(cell.value) if cell.ctype == xlrd.XL_CELL_BOOLEAN else cell.value

    return {
        sheet.name: rows_of([value(cell) for cell in row] for row in sheet.get_rows())
        for sheet in book.sheets()
    }


def ods(path: str) -> Sheets:
    import pandas

    found = pandas.read_excel(path, sheet_name=None, header=None, engine="odf", dtype=object)
    return {
        str(name): rows_of(
            [None if cell is pandas.NaT else cell for cell in row]
            for row in frame.itertuples(index=False)
        )
        for name, frame in found.items()
    }


def csv(path: str) -> Sheets:
    import duckdb

    found = duckdb.sql("SELECT * FROM read_csv($path, all_varchar = true)", params={"path": path})
    return {"": [[spelled(name) for name in found.columns], *rows_of(found.fetchall())]}


def parquet(path: str) -> Sheets:
    import duckdb

    with duckdb.connect() as conn:
        conn.execute("SET TimeZone = 'UTC'")
        found = conn.sql("SELECT * FROM read_parquet($path)", params={"path": path})
        return {"": [[spelled(name) for name in found.columns], *rows_of(found.fetchall())]}


def docx(path: str) -> str:
    import docx as library

    document = library.Document(path)
    named = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
    # A drawing's other form, for programs that do not know the first, has the same text.
    other = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
    lines = []
    for paragraph in document.part.element.body.iter(f"{named}p"):
        texts = []
        for node in paragraph.iter(f"{named}t", f"{named}tab", f"{named}br"):
            is_own = next(node.iterancestors(f"{named}p")) is paragraph
            if is_own and next(node.iterancestors(other), None) is None:
                texts.append(node.text or "" if node.tag == f"{named}t" else " ")
        lines.append("".join(texts))
    return "\n".join(lines)


def pptx(path: str) -> str:
    import pptx as library

    named = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
    lines = []
    for slide in library.Presentation(path).slides:
        for paragraph in slide._element.iter(f"{named}p"):
            nodes = paragraph.iter(f"{named}t", f"{named}br")
            lines.append("".join(node.text or "" if node.tag[-1] == "t" else " " for node in nodes))
    return "\n".join(lines)


_JUDGES: dict[str, Callable[[str], Any]] = {
    **{"xlsx": xlsx, "xls": xls, "ods": ods, "csv": csv, "parquet": parquet},
    **{"docx": docx, "pptx": pptx},
}


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    warnings.simplefilter("ignore")
    answers, sys.stdout = sys.stdout, sys.stderr  # where some libraries complain
    for line in sys.stdin:
        kind, path = json.loads(line)
        try:
            answer = {"found": _JUDGES[kind](path)}
        except Exception as error:
            answer = {"problem": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
