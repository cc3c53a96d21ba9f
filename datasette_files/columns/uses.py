"""The uses of a file: the rows that refer to it, in file columns of tables the actor may view.

The search has limits on columns, rows and time, as a table may have any size; the answer says
whether it is complete. A table that the actor may not view is neither searched nor mentioned.
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
from ..permissions.actions import Actor
from ..tables import references
from .values import MAX_TEXT

#: Rows shown for each column.
_MAX_ROWS = 20
#: File columns that are searched.
_MAX_COLUMNS = 200
#: Milliseconds for one column, by pass. The first pass is short, so that a large table does not use
#: up the time of small ones; the second searches the unfinished columns for longer.
_PASSES_MS = (25, 250)
#: Seconds for all columns.
_MAX_SECONDS = 1.0


@dataclass(frozen=True)
class ColumnUses:
    """The rows of one column that refer to the file."""

    column: FileColumn
    found: references.Rows
    #: Whether an index would make the search quick, and the actor may create one.
    suggests_index: bool

    @property
    def suggested_index(self) -> str | None:
        """The statement that creates the index."""
        if not self.suggests_index:
            return None
        return references.index_for(self.column.table, self.column.column)


@dataclass(frozen=True)
class Uses:
    """The columns that refer to the file, and those whose search was not finished."""

    columns: list[ColumnUses]
    #: Whether every column was searched to its end.
    complete: bool

    @property
    def number(self) -> int:
        """The number of rows found."""
        return sum(len(one.found.rows) for one in self.columns)

    @property
    def more(self) -> bool:
        """Tell whether there are, or may be, more rows than ``number``."""
        return not self.complete or any(one.found.more for one in self.columns)


class UsesSearch:
    """Searches the tables of one Datasette."""

    def __init__(self, datasette: Any, database: Catalog) -> None:
        self._datasette = datasette
        self._catalog = database
        self._turn = asyncio.Semaphore(1)

    async def of(self, actor: Actor, file_id: str) -> Uses:
        """The rows that refer to the file."""
        ends = time.monotonic() + _MAX_SECONDS
        columns, all_known = await self.columns(actor, "view-table")
        found, complete = await self._search(columns, file_id, ends)
        shown = {at: rows for at, rows in sorted(found.items()) if rows.rows or not rows.complete}
        slow = [columns[at] for at, rows in shown.items() if self._lacks_index(columns[at], rows)]
        if slow:
            alterable, _ = await self.columns(actor, "alter-table")
            slow = [column for column in slow if column in alterable]
        uses = [ColumnUses(columns[at], rows, columns[at] in slow) for at, rows in shown.items()]
        return Uses(uses, complete and all_known)

    async def columns(self, actor: Actor, action: str) -> tuple[list[FileColumn], bool]:
        """The first file columns of tables that the action is allowed on; True if these are all."""
        datasette = self._datasette
        sql, params = await datasette.allowed_resources_sql(action=action, actor=actor)
        found = await self._catalog.query(
            lambda conn: column_rows.allowed_columns(conn, sql, params, _MAX_COLUMNS + 1)
        )
        columns = [
            column
            for column, allowed in found[:_MAX_COLUMNS]
            if column.database in datasette.databases
            and (allowed or await _may(datasette, actor, action, column))
        ]
        return columns, len(found) <= _MAX_COLUMNS

    def _lacks_index(self, column: FileColumn, found: references.Rows) -> bool:
        database = self._datasette.databases[column.database]
        return not found.indexed and column.type == "file" and database.is_mutable

    async def _search(
        self, columns: list[FileColumn], file_id: str, ends: float
    ) -> tuple[dict[int, references.Rows], bool]:
        """The rows found, by the column's index in ``columns``; True if the search is complete."""
        limit = self._datasette.setting("sql_time_limit_ms")
        found: dict[int, references.Rows] = {}
        waiting = list(range(len(columns)))
        for longest in _PASSES_MS:
            unfinished = []
            for at in waiting:
                rows = None
                left = ends - time.monotonic()
                if left > 0:
                    ms = min(longest, limit, int(left * 1000) + 1)
                    rows = await self._find(columns[at], file_id, ms, left)
                    if rows is None:
                        continue  # the column does not exist
                    found[at] = rows
                if rows is None or not rows.in_time:
                    unfinished.append(at)
            waiting = unfinished
        return found, not waiting and all(rows.complete for rows in found.values())

    async def _find(
        self, column: FileColumn, file_id: str, ms: int, left: float
    ) -> references.Rows | None:
        """The rows of one column; None if it does not exist. ``left`` in seconds.

        Searches take turns, because Datasette has few threads for all databases.
        """
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
                limit=_MAX_ROWS,
                ms=ms,
                longest=MAX_TEXT,
            )
        finally:
            self._turn.release()


async def _may(datasette: Any, actor: Actor, action: str, column: FileColumn) -> bool:
    resource = TableResource(database=column.database, table=column.table)
    return bool(await datasette.allowed(action=action, resource=resource, actor=actor))
