"""Finding files: lists and searches of the files that an actor may browse, in one look-up.

One function reads the permission, the rows and their count on one connection, so no list has a row
that the actor may not see at that moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from datasette.utils import sqlite_timelimit

from .. import naming
from ..db import files as file_rows
from ..db import folders, listing, narrowed
from ..db import search as hits
from ..db.batching import Catalog
from ..db.listing import Page
from ..errors import TimedOut
from ..models import FileRecord
from ..permissions.actions import BROWSE, refusal
from ..permissions.sight import Scope, Sight
from ..sources.sources import Sources

_T = TypeVar("_T")


@dataclass(frozen=True)
class SearchQuery:
    """A search: ``listing`` has the sources, order, filters and page; ``q`` the words."""

    listing: listing.ListQuery
    q: str = ""
    #: A source that the actor must be allowed to browse; others are left out silently.
    required: str | None = None


class Search:
    """Lists and searches of one Datasette's files."""

    def __init__(self, datasette: Any, database: Catalog, sources: Sources) -> None:
        self._datasette = datasette
        self._catalog = database
        self._sources = sources

    async def page(self, sight: Sight, query: SearchQuery) -> Page:
        """Return one page. Raises PermissionDenied for the required source, Invalid, TimedOut."""

        def look(conn: sqlite3.Connection) -> Page:
            seen = sight.scope(conn, self._slugs(query))
            if query.required is not None and query.required not in seen.browsable:
                raise refusal(BROWSE)
            return replace(self._look(conn, seen, query), sources=sorted(seen.browsable))

        return await self._limited(look)

    async def ids(self, sight: Sight, query: SearchQuery) -> tuple[list[str], str | None]:
        """Return the ids of one page, without counts, and the token of the next or None.

        Raises Invalid, TimedOut.
        """

        def look(conn: sqlite3.Connection) -> tuple[list[str], str | None]:
            scoped = self._scoped(sight.scope(conn, self._slugs(query)), query)
            by_id = _by_id(conn, scoped, query.q)
            files, token = ([by_id], None) if by_id else _files(conn, scoped, query.q)
            return [file.id for file in files], token

        return await self._limited(look)

    async def _limited(self, look: Callable[[sqlite3.Connection], _T]) -> _T:
        limit_ms: int = self._datasette.setting("sql_time_limit_ms")

        def look_in_time(conn: sqlite3.Connection) -> _T:
            with sqlite_timelimit(conn, limit_ms):
                return look(conn)

        try:
            return await self._catalog.query(look_in_time)
        except sqlite3.OperationalError as error:
            if error.args == ("interrupted",):
                raise TimedOut("The search took too long; make it more specific") from None
            raise

    def _slugs(self, query: SearchQuery) -> list[str]:
        wanted = query.listing.source_ids
        return [source.slug for source in self._sources if source.id in wanted]

    def _look(self, conn: sqlite3.Connection, seen: Scope, query: SearchQuery) -> Page:
        scoped = self._scoped(seen, query)
        if not query.q:
            return _list(conn, scoped)
        if (file := _by_id(conn, scoped, query.q)) is not None:
            return Page([file], None, 1, tags=[(tag, 1) for tag in file.tags])
        return _match(conn, scoped, query.q)

    def _scoped(self, seen: Scope, query: SearchQuery) -> listing.ListQuery:
        """The list of those files only that the actor may see."""
        wanted = query.listing.source_ids
        whole = [source_id for source_id in self._sources.by_id(seen.whole) if source_id in wanted]
        parts = {
            source_id: seen.parts[source.slug]
            for source_id, source in self._sources.by_id(seen.parts).items()
            if source_id in wanted
        }
        return replace(query.listing, source_ids=tuple(whole), parts=parts)


def _by_id(conn: sqlite3.Connection, query: listing.ListQuery, q: str) -> FileRecord | None:
    """The file of the list whose id is the whole query."""
    if not q.lower().startswith(naming.ID_PREFIX) or " " in q:
        return None
    file = file_rows.get(conn, q.lower())
    return file if file is not None and listing.has(conn, query, file.id) else None


def _files(
    conn: sqlite3.Connection, query: listing.ListQuery, q: str
) -> tuple[list[FileRecord], str | None]:
    """The files of one page, and the token of the next or None."""
    if not q:
        return listing.page(conn, query)
    if not _is_narrowed(query):
        return hits.page(conn, _matching(conn, query, q), query.after, query.limit)
    search = _narrow(conn, query, q)
    return ([], None) if search is None else narrowed.page(conn, search)


def _list(conn: sqlite3.Connection, query: listing.ListQuery) -> Page:
    found, token = listing.page(conn, query)
    tags = listing.tag_counts(conn, query)
    page = Page(found, token, *_at_least(found, listing.count(conn, query)), tags=tags)
    within = query.within
    if within.folder is None or within.recursive or len(query.source_ids) != 1:
        return page
    children, more = folders.children(conn, query.source_ids[0], within.folder)
    return replace(page, folders=children, folders_truncated=more)


def _match(conn: sqlite3.Connection, query: listing.ListQuery, q: str) -> Page:
    if _is_narrowed(query):
        return _narrowed(conn, query, q)
    matching = _matching(conn, query, q)
    found, token = hits.page(conn, matching, query.after, query.limit)
    counted = _at_least(found, hits.count(conn, matching))
    return Page(found, token, *counted, tags=hits.tag_counts(conn, matching))


def _is_narrowed(query: listing.ListQuery) -> bool:
    return query.narrows or not query.is_newest_first


def _matching(conn: sqlite3.Connection, query: listing.ListQuery, q: str) -> hits.Matching:
    whole, partly = (
        hits.match_expression(conn, q, _searched(conn, list(ids)))
        for ids in (query.source_ids, query.parts)
    )
    return hits.Matching(whole, partly, query.parts)


def _narrow(conn: sqlite3.Connection, query: listing.ListQuery, q: str) -> narrowed.Narrowed | None:
    """The narrowed search; None where no term can match anything."""
    sources = [*query.source_ids, *query.parts]
    expression = hits.match_expression(conn, q, _searched(conn, sources))
    return None if expression is None else narrowed.narrow(conn, expression, query)


def _narrowed(conn: sqlite3.Connection, query: listing.ListQuery, q: str) -> Page:
    search = _narrow(conn, query, q)
    if search is None:
        return Page([], None, 0)
    found, token = narrowed.page(conn, search)
    return Page(found, token, *narrowed.count(conn, search), tags=narrowed.tag_counts(conn, search))


def _searched(conn: sqlite3.Connection, sources: list[int]) -> list[int] | None:
    """The sources to search; None for all, which is quicker, where no other holds a file."""
    return sources if not sources or hits.has_other_sources(conn, sources) else None


def _at_least(found: list[FileRecord], counted: tuple[int, bool]) -> tuple[int, bool]:
    """A count, at least the files found where counting stopped before."""
    total, stopped = counted
    return (max(total, len(found)), True) if stopped else counted
