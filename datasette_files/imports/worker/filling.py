"""All rows of a file into the scratch database, the type of each column found on the way."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Sequence
from typing import Any

from ...formats.base import ImportProblem, Table
from ...formats.types import INTEGER, TEXT, Column, TypedColumn, convert
from ...sandbox.framing import MAX_MESSAGE
from ...tables.scratch import Scratch
from .reading import Reading, found

#: Times import_max_bytes: short values take more in a database than in a file.
_GROWS = 2
#: Times the bytes that were read, from a size on that any file may reach: a value that is missing
#: takes none in the file and one in the database.
_GROWS_WITH_FILE, _ANY_FILE = 50, 8 * 1024 * 1024
#: Bytes of all names as JSON: the rest of the answer's frames is for what else it holds.
_MAX_NAMES = MAX_MESSAGE // 2
#: The part of the disk for temporary files that is left to others.
_LEFT_FREE = 0.02


class Filling:
    """Moves a table into the scratch database, finding the type of each column on the way."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._chosen: dict[str, str] = reading.task.get("types") or {}
        #: Types of columns of the table that the rows are for, by lower-case names.
        self._hints: dict[str, str] = reading.task.get("hints") or {}
        #: Those that hold numbers, with what they make of values.
        self._numbers: dict[str, str] = reading.task.get("numbers") or {}
        self._limit = _GROWS * int(reading.task["max_bytes"])
        self._columns: list[Column] = []
        self._scratch: Scratch | None = None
        self._rows = 0
        #: The first batch, by which a guessed encoding is told.
        self._first: list[Sequence[Any]] = []
        self._stores = True
        #: Whether the types are known, in the second pass.
        self._known = False

    def run(self) -> dict[str, Any]:
        """Raises ImportProblem, and sqlite3.OperationalError where the disk is full."""
        table = self._pass()
        if any(column.surprised for column in self._columns):
            table = self._second_pass()
        assert self._scratch is not None  # noqa: S101 - _pass makes it
        self._check_kept(table)
        key = self._reading.task.get("key")
        if key is not None:
            self._key(table, key)
        self._scratch.close()
        _check_names(table.columns)
        kinds = [column.kind for column in self._columns]
        return {
            **{"columns": table.columns, "types": kinds, "rows": self._rows},
            **found(self._reading, table, self._first),
        }

    def _second_pass(self) -> Table:
        """Read the file again: values went in as floats of a column that turned out to be text."""
        self._reading.begin_again()
        assert self._scratch is not None  # noqa: S101
        self._scratch.begin_again()
        for column in self._columns:
            column.surprised = False
        self._known, self._stores, self._rows = True, True, 0
        return self._pass()

    def _pass(self) -> Table:
        table = self._reading.open()
        if self._scratch is None:
            self._scratch = Scratch(
                self._reading.folder / "rows.db", len(table.columns), self._tell
            )
        for name in sorted(set(self._chosen) - set(table.columns)):
            raise ImportProblem(f"There is no column {name!r} to choose a type for")
        self._widen(table, len(table.columns))
        for batch in self._reading.batches(table):
            self._take(table, batch)
            self._tell()
        # What follows an array or a compressed stream is read too, so that the server can go on.
        self._reading.frames.drain()
        return table

    def _tell(self) -> None:
        self._reading.reports.progress(self._rows, self._reading.content)

    def _take(self, table: Table, batch: list[Sequence[Any]]) -> None:
        width = len(table.columns)
        self._widen(table, width)
        if set(map(len, batch)) != {width}:
            batch = [[*row, *[None] * (width - len(row))] for row in batch]
        by_column: list[Sequence[Any]] = list(zip(*batch, strict=True))
        changed = False
        for index, column in enumerate(self._columns):
            values = self._judged(column, by_column[index], table.columns[index])
            if values is not None:
                by_column[index], changed = values, True
        self._first = self._first or batch
        self._rows += len(batch)
        if self._stores and not self._known:
            self._stores = not any(column.surprised for column in self._columns)
        if self._stores and self._scratch is not None:
            self._scratch.add(zip(*by_column, strict=True) if changed else batch)
            self._check_growth(self._scratch.size())

    def _check_growth(self, size: int) -> None:
        """Raises ImportProblem, and OSError where the disk is about to be full."""
        if size > self._limit:
            raise ImportProblem(
                f"The rows take more than {self._limit:,} bytes; split the file, or ask the"
                " administrator to raise import_max_bytes"
            )
        read = self._reading.read_bytes
        if size > max(_ANY_FILE, _GROWS_WITH_FILE * read):
            raise ImportProblem(
                f"The rows take {size:,} bytes, {size // max(read, 1):,} times as many as the file:"
                " most of its values are missing; leave out columns that few rows have",
                self._rows,
            )
        disk = shutil.disk_usage(self._reading.folder)
        if disk.free < _LEFT_FREE * disk.total:
            raise OSError(errno.ENOSPC, f"it has only {disk.free:,} bytes free")

    def _judged(self, column: Column, values: Sequence[Any], name: str) -> Sequence[Any] | None:
        if not column.chosen:
            return column.take(values)
        if column.kind == TEXT and all(isinstance(v, str | None) for v in values):
            return None
        made = []
        for offset, value in enumerate(values, 1):
            try:
                made.append(convert(_text(value), str(column.kind)))
            except ValueError:
                raise ImportProblem(
                    f"{str(value)[:50]!r} is no {column.kind}; choose another type for the column",
                    self._rows + offset,
                    name,
                ) from None
        return made

    def _widen(self, table: Table, width: int) -> None:
        kind = Column if table.is_text else TypedColumn
        for index in range(len(self._columns), width):
            name = table.columns[index]
            chosen = self._chosen.get(name) or self._hints.get(name.lower())
            self._columns.append(kind(chosen, any_spelling=name.lower() in self._numbers))
        if self._scratch is not None:
            self._scratch.widen(width)

    def _check_kept(self, table: Table) -> None:
        """That the table keeps every value as it is: its columns of numbers would change some."""
        assert self._scratch is not None  # noqa: S101
        for index, name in enumerate(table.columns):
            affinity = self._numbers.get(name.lower())
            if affinity is None:
                continue
            changed = self._scratch.first_changed(
                index, self._columns[index].kind or TEXT, affinity
            )
            if changed is not None:
                held = "integers" if affinity == INTEGER else "numbers"
                raise ImportProblem(
                    f"{changed[0][:50]!r} would not stay as it is in the table's column, which"
                    f" holds {held}; mend the file, or have the column be TEXT",
                    changed[1],
                    name,
                )

    def _key(self, table: Table, name: str) -> None:
        lower = [column.lower() for column in table.columns]
        if name.lower() not in lower:
            raise ImportProblem(
                f"There is no column {name!r}, which is to be the primary key; choose another"
            )
        index = lower.index(name.lower())
        assert self._scratch is not None  # noqa: S101
        empty = self._scratch.first_without(index)
        if empty is not None:
            raise ImportProblem(
                "has no value, as a primary key must; choose another key", empty, name
            )
        collation = self._reading.task.get("collation") or "BINARY"
        again = self._scratch.make_key(index, self._columns[index].kind or TEXT, collation)
        if again is not None:
            raise ImportProblem(
                f"{again[0][:50]!r} is in another row too, so this column is no primary key;"
                " choose another, or none",
                again[1],
                name,
            )


def _text(value: Any) -> str | None:
    """A typed value as text, to be converted to the type that was chosen."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return repr(int(value))
    return repr(value)


def _check_names(names: list[str]) -> None:
    """Raises ImportProblem for names that do not fit into the answer together."""
    size = len(json.dumps(names, ensure_ascii=False).encode("utf-8", "replace"))
    if size > _MAX_NAMES:
        raise ImportProblem(
            f"The names of the columns have {size:,} bytes together, and may have {_MAX_NAMES:,};"
            " shorten them, or have the first row be a row"
        )
