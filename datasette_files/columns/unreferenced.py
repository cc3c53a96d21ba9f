"""Unreferenced files: those of a list that no file column of an attached database holds.

The list is read in batches, and each batch is looked up in every file column at once. A request
ends when its page is full or its time over; the token of its page goes on from there. Columns of
tables that the actor may not view are searched too, as a reference is a reference, but nothing of
them is told. Leaves out the SQL (tables/references.py) and the list (catalog/search.py).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from datasette.resources import TableResource

from ..catalog.search import Search, SearchQuery
from ..db import columns as column_rows
from ..db.batching import Catalog
from ..db.columns import FileColumn
from ..db.listing import Page
from ..errors import TimedOut
from ..models import FileRecord
from ..permissions.actions import Actor
from ..permissions.sight import Sight
from ..tables import references
from ..tables.references import Place
from .values import MAX_TEXT

#: Files that are looked up at once: at first, and at most. A large table costs the same for each.
_FIRST_BATCH, _MAX_BATCH = 4_000, 10_000
#: File columns that are searched.
_MAX_COLUMNS = 1_000
#: Seconds after which no further batch begins, and for all columns of one request.
_ENOUGH_SECONDS, _MAX_SECONDS = 1.5, 5.0
#: Milliseconds for one column.
_COLUMN_MS = 2_500
#: Seconds that a request waits for others of its kind.
_MAX_WAIT = 5.0
#: Columns that are named among those not searched.
_MAX_NAMED = 100

#: Why a column was not searched; ``not_attached``: its database is not.
Reason = Literal["timeout", "error", "not_attached", "too_many"]


@dataclass(frozen=True)
class NotSearched:
    """A column that may hold files which are shown, or some of it."""

    database: str
    table: str
    column: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Unreferenced(Page):
    """A page of unreferenced files. ``total`` counts those of this page."""

    #: Whether every column was searched, and the page is full or the list at its end.
    complete: bool = True
    #: Those that the actor may view, and the number of others.
    not_searched: list[NotSearched] = field(default_factory=list)
    not_searched_others: int = 0


class UnreferencedSearch:
    """Searches the tables of one Datasette for the files of a list."""

    def __init__(self, datasette: Any, database: Catalog, search: Search) -> None:
        self._datasette = datasette
        self._catalog = database
        self._search = search
        self._turn = asyncio.Semaphore(1)

    async def page(self, actor: Actor, seen: Sight, query: SearchQuery) -> Unreferenced:
        """One page of the list's files that no column holds. Raises as ``Search.page``."""
        try:
            # One at a time: each reads whole columns, and Datasette has few threads.
            await asyncio.wait_for(self._turn.acquire(), _MAX_WAIT)
        except asyncio.TimeoutError:  # another class in Python 3.10
            raise TimedOut(
                "Another search for unreferenced files is under way; try again"
            ) from None
        try:
            columns = _Columns(self._datasette, await self._catalog.read(column_rows.all_columns))
            page, in_time = await self._page(columns, seen, query)
        finally:
            self._turn.release()
        named, others = await self._told(actor, columns.missed)
        return Unreferenced(
            **{one.name: getattr(page, one.name) for one in fields(Page)},
            complete=in_time and not columns.missed,
            not_searched=named,
            not_searched_others=others,
        )

    async def _page(self, columns: _Columns, seen: Sight, query: SearchQuery) -> tuple[Page, bool]:
        """The page; False if the time was over before it was full, or the list at its end."""
        wanted, after = query.listing.limit, query.listing.after
        began, size, shown = time.monotonic(), _FIRST_BATCH, 0
        first: Page | None = None
        files: list[FileRecord] = []
        while True:
            batch = await self._search.page(seen, _part(query, after, size))
            first = first or batch
            held = await columns.held([one.id for one in batch.files], began + _MAX_SECONDS)
            free = [at for at, one in enumerate(batch.files) if one.id not in held]
            taken = free[: wanted - len(files)]
            files += [batch.files[at] for at in taken]
            token = batch.next
            is_full = len(files) == wanted
            if is_full and (shown := taken[-1] + 1) < len(batch.files):
                # The place in the middle of a batch is that of a page which ends there.
                token = (await self._search.page(seen, _part(query, after, shown))).next
            in_time = time.monotonic() - began < _ENOUGH_SECONDS
            if is_full or token is None or not in_time:
                break
            after, size = token, min(size * 5, _MAX_BATCH)
        more = token is not None or query.listing.after is not None
        page = replace(
            first, files=files, next=token, total=len(files), total_truncated=more, tags=[]
        )
        return page, is_full or token is None

    async def _told(
        self, actor: Actor, missed: dict[FileColumn, Reason]
    ) -> tuple[list[NotSearched], int]:
        """The columns of tables that the actor may view, and the number of the others."""
        named: list[NotSearched] = []
        for one, reason in list(missed.items())[:_MAX_NAMED]:
            resource = TableResource(database=one.database, table=one.table)
            # Nobody has a right on a database that is not there.
            if one.database in self._datasette.databases and await self._datasette.allowed(
                action="view-table", resource=resource, actor=actor
            ):
                named.append(NotSearched(one.database, one.table, one.column, reason))
        return named, len(missed) - len(named)


class _Columns:
    """The file columns of one request, and those that could not be searched."""

    def __init__(self, datasette: Any, columns: list[FileColumn]) -> None:
        self._datasette = datasette
        self.missed: dict[FileColumn, Reason] = {}
        self._by_database: dict[str, list[FileColumn]] = {}
        # The options are a dict, which has no hash.
        for number, one in enumerate(replace(column, config=None) for column in columns):
            if number >= _MAX_COLUMNS:
                self.missed[one] = "too_many"
            elif one.database in datasette.databases:
                self._by_database.setdefault(one.database, []).append(one)
            else:
                self.missed[one] = "not_attached"

    async def held(self, ids: list[str], ends: float) -> set[str]:
        """Those of the ids that a column holds. A column that was missed once is left out."""
        found: set[str] = set()
        for name, columns in self._by_database.items():
            wanted = [one for one in ids if one not in found]
            places = {
                Place(one.table, one.column, one.type == "files"): one
                for one in columns
                if one not in self.missed
            }
            if not (wanted and places):
                continue
            database = self._datasette.databases[name]
            more, missed = await references.held(
                database, list(places), wanted, ms=_COLUMN_MS, ends=ends, longest=MAX_TEXT
            )
            found |= more
            self.missed.update({places[place]: reason for place, reason in missed.items()})
        return found


def _part(query: SearchQuery, after: str | None, limit: int) -> SearchQuery:
    return replace(query, listing=replace(query.listing, after=after, limit=limit))
