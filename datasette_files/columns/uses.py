"""Where a file is used: the rows that refer to it, in file columns of tables the actor may view.

Bounded in columns, rows and time, as a table may have any size: what was not searched is told. A
table that the actor may not view is not mentioned, so that nobody learns of its rows by a file.
Leaves out the SQL (tables/references.py).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from datasette.resources import TableResource

from ..db import columns as column_rows
from ..db.batching import Catalog
from ..db.columns import FileColumn
from ..permissions.rules import Actor
from ..tables import references
from .values import MAX_TEXT

#: Rows shown of each column.
_ROWS = 20
#: File columns that are looked at.
_COLUMNS = 200
#: For the search of one column in milliseconds: little for each at first, so that a large table
#: keeps no small one from being searched; then more for those that were not finished.
_PASSES_MS = (25, 250)
#: For all columns, in seconds.
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


class UsesSearch:
    """Searches the tables of one Datasette."""

    def __init__(self, datasette: Any, database: Catalog) -> None:
        self._datasette = datasette
        self._catalog = database
        self._turn = asyncio.Semaphore(1)

    async def of(self, actor: Actor, file_id: str) -> Uses:
        """The rows that refer to the file."""
        ends = time.monotonic() + _SECONDS
        known = await self._catalog.read(lambda conn: column_rows.all_columns(conn, _COLUMNS + 1))
        databases = self._datasette.databases
        columns = [
            column
            for column in known[:_COLUMNS]
            if column.database in databases
            and await _may(self._datasette, actor, "view-table", column)
        ]
        found, complete = await self._search(columns, file_id, ends)
        shown = []
        for at, rows in sorted(found.items()):
            if rows.rows or not rows.complete:
                database = databases[columns[at].database]
                index = await _index(self._datasette, actor, database, columns[at], rows)
                shown.append(ColumnUses(columns[at], rows, index))
        return Uses(shown, complete and len(known) <= _COLUMNS)

    async def _search(
        self, columns: list[FileColumn], file_id: str, ends: float
    ) -> tuple[dict[int, references.Rows], bool]:
        """The rows found, by the column's index in ``columns``; whether the search is complete."""
        limit = self._datasette.setting("sql_time_limit_ms")
        found: dict[int, references.Rows] = {}
        waiting = list(range(len(columns)))
        for most in _PASSES_MS:
            unfinished = []
            for at in waiting:
                rows = None
                left = ends - time.monotonic()
                if left > 0:
                    ms = min(most, limit, int(left * 1000) + 1)
                    rows = await self._find(columns[at], file_id, ms, left)
                    if rows is None:
                        continue  # there is no such column
                    found[at] = rows
                if rows is None or not rows.in_time:
                    unfinished.append(at)
            waiting = unfinished
        return found, not waiting and all(rows.complete for rows in found.values())

    async def _find(
        self, column: FileColumn, file_id: str, ms: int, left: float
    ) -> references.Rows | None:
        """One at a time, however many ask: Datasette has few threads for all databases."""
        try:
            await asyncio.wait_for(self._turn.acquire(), left)
        except asyncio.TimeoutError:  # another class in Python 3.10
            return references.NOT_SEARCHED
        try:
            return await references.find(
                self._datasette.databases[column.database],
                column.table,
                column.column,
                file_id,
                several=column.type == "files",
                limit=_ROWS,
                ms=ms,
                longest=MAX_TEXT,
            )
        finally:
            self._turn.release()


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
