"""Copies all rows of a file into the scratch database, and detects the types of the columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...formats.base import ImportProblem, Table, composed, name_key
from ...formats.types import INTEGER, TEXT, Column, TypedColumn, convert
from ...sandbox.framing import MAX_MESSAGE
from ...tables.fresh import check_disk
from ...tables.scratch import Scratch
from .reading import Reading, found

#: Limit of the scratch database, in import_max_bytes: short values need more bytes there.
_GROWS = 2
#: Limit of the scratch database, in bytes of the file read, and the size from which it applies. A
#: missing value takes no byte in the file and one in the database.
_GROWS_WITH_FILE, _ANY_FILE = 50, 8 * 1024 * 1024
#: Most bytes of all names as JSON; the rest of the message is for its other fields.
_MAX_NAMES = MAX_MESSAGE // 2


class Filling:
    """Copies one table into the scratch database."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        chosen: dict[str, str] = reading.task.get("types") or {}
        self._chosen = {composed(name): kind for name, kind in chosen.items()}
        #: Types of the target table's columns, by ``name_key``.
        self._hints: dict[str, str] = reading.task.get("hints") or {}
        #: Number columns of the target table, with their affinities.
        self._numbers: dict[str, str] = reading.task.get("numbers") or {}
        self._limit = _GROWS * int(reading.task["max_bytes"])
        self._columns: list[Column] = []
        #: The members that the file turned out to have.
        self.members: list[str] = []
        self._scratch: Scratch | None = None
        self._rows = 0
        #: The first batch; it gives examples for a guessed encoding.
        self._first: list[Sequence[Any]] = []
        self._stores = True
        #: True in the second pass: the types are known.
        self._known = False

    def run(self) -> dict[str, Any]:
        """Return the outcome. Raises ImportProblem, or sqlite3.OperationalError on a full disk."""
        table = self._pass()
        if any(column.surprised for column in self._columns):
            table = self._second_pass()
        assert self._scratch is not None  # noqa: S101 - _pass makes it
        self._check_kept(table)
        key = self._reading.task.get("key")
        if key is not None:
            self._key(table, key)
        self._scratch.close()
        self.members = table.members
        _check_names(table.columns)
        kinds = [column.kind for column in self._columns]
        return {
            **{"columns": table.columns, "types": kinds, "rows": self._rows},
            **found(self._reading, table, self._first),
        }

    def _second_pass(self) -> Table:
        """Read the file again: a column stored as floats turned out to be text."""
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
            raise ImportProblem(f"There is no column {name!r}; choose types for others")
        self._widen(table, len(table.columns))
        for batch in self._reading.batches(table):
            self._take(table, batch)
            self._tell()
        # The server sends the whole file, so bytes after the table must be read too.
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
        """Raise ImportProblem if the database is too large; OSError if the disk is nearly full."""
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
        check_disk(self._reading.folder)

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
            chosen = self._chosen.get(name) or self._hints.get(name_key(name))
            self._columns.append(kind(chosen, self._numbers.get(name_key(name))))
        if self._scratch is not None:
            self._scratch.widen(width)

    def _check_kept(self, table: Table) -> None:
        """Raise ImportProblem if a number column of the target table would change a value."""
        assert self._scratch is not None  # noqa: S101
        for index, name in enumerate(table.columns):
            affinity = self._numbers.get(name_key(name))
            if affinity is None:
                continue
            changed = self._scratch.first_changed(
                index, self._columns[index].kind or TEXT, affinity
            )
            if changed is not None:
                held = "integers" if affinity == INTEGER else "numbers"
                raise ImportProblem(
                    f"{changed[0][:50]!r} would not stay as it is in the table's column, which"
                    f" holds {held}; mend the file, or change the column to TEXT",
                    changed[1],
                    name,
                )

    def _key(self, table: Table, name: str) -> None:
        keys = [name_key(column) for column in table.columns]
        if name_key(name) not in keys:
            raise ImportProblem(
                f"There is no column {name!r}, which is to be the primary key; choose another"
            )
        index = keys.index(name_key(name))
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
    """Return a typed value as text, for conversion to the chosen type."""
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
