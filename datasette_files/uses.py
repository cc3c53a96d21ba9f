"""Where a file is used: the rows that refer to it, in file columns of tables the actor may view.

Bounded in columns, rows and time, as a table may have any size: what was not searched is told. A
table that the actor may not view is not mentioned, so that nobody learns of its rows by a file.
Leaves out the SQL (tables/references.py).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datasette.resources import TableResource

from .db import columns as column_rows
from .db.columns import FileColumn
from .permissions import Actor
from .tables import references

if TYPE_CHECKING:
    from .app import Files

#: Rows shown of each column.
_ROWS = 20
#: File columns that are looked at.
_COLUMNS = 200
#: For the search of one column in milliseconds, and for all in seconds.
_COLUMN_MS = 250
_SECONDS = 1.0


@dataclass(frozen=True)
class ColumnUses:
    """One column's rows with the file. ``suggested_index`` is SQL, for who may alter the table."""

    column: FileColumn
    found: references.Rows
    suggested_index: str | None


@dataclass(frozen=True)
class Uses:
    """The columns that hold the file, or may: those whose search was not finished."""

    columns: list[ColumnUses]
    #: Whether every column was searched to its end.
    complete: bool

    @property
    def number(self) -> int:
        """Rows that were found."""
        return sum(len(one.found.rows) for one in self.columns)

    @property
    def more(self) -> bool:
        """Whether there are, or may be, more rows than were found."""
        return not self.complete or any(one.found.more for one in self.columns)


async def uses(files: Files, actor: Actor, file_id: str) -> Uses:
    """The rows that refer to the file."""
    known = await files.catalog.read(lambda conn: column_rows.all_columns(conn, _COLUMNS + 1))
    complete = len(known) <= _COLUMNS
    ends = time.monotonic() + _SECONDS
    columns = []
    for column in known[:_COLUMNS]:
        left = ends - time.monotonic()
        if left <= 0:
            complete = False
            break
        database = files.datasette.databases.get(column.database)
        if database is None or not await _may(files.datasette, actor, "view-table", column):
            continue
        found = await references.find(
            database,
            column.table,
            column.column,
            file_id,
            several=column.type == "files",
            limit=_ROWS,
            ms=min(_COLUMN_MS, int(left * 1000) + 1),
        )
        if found is None:
            continue
        complete = complete and found.complete
        if found.rows or not found.complete:
            index = await _index(files.datasette, actor, database, column, found)
            columns.append(ColumnUses(column, found, index))
    return Uses(columns, complete)


async def _index(
    datasette: Any, actor: Actor, database: Any, column: FileColumn, found: references.Rows
) -> str | None:
    if found.indexed or column.type != "file" or not database.is_mutable:
        return None
    if not await _may(datasette, actor, "alter-table", column):
        return None
    return references.index_for(column.table, column.column)


async def _may(datasette: Any, actor: Actor, action: str, column: FileColumn) -> bool:
    resource = TableResource(database=column.database, table=column.table)
    return bool(await datasette.allowed(action=action, resource=resource, actor=actor))
