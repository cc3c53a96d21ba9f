"""Finding files: lists and searches of the files that an actor may browse, in one look-up.

One function reads the permission, the rows and their count on one connection, so no list has a row
that the actor may not see at that moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from datasette.utils import sqlite_timelimit

from .. import naming
from ..db import files as file_rows
from ..db import folders, listing
from ..db import search as hits
from ..db.batching import Catalog
from ..db.listing import Page
from ..errors import TimedOut
from ..permissions.actions import BROWSE, refusal
from ..permissions.grants import Grant
from ..sources.sources import Sources


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

    async def page(self, browse: Grant, query: SearchQuery) -> Page:
        """Return one page. Raises PermissionDenied for the required source, Invalid, TimedOut."""
        limit_ms: int = self._datasette.setting("sql_time_limit_ms")

        def look(conn: sqlite3.Connection) -> Page:
            with sqlite_timelimit(conn, limit_ms):
                allowed = browse.slugs(conn)
                if query.required is not None and query.required not in allowed:
                    raise refusal(BROWSE)
                ids = self._sources.by_id(allowed)
                return replace(_look(conn, ids, query), sources=sorted(allowed))

        try:
            return await self._catalog.query(look)
        except sqlite3.OperationalError as error:
            if error.args == ("interrupted",):
                raise TimedOut("The search took too long; make it more specific") from None
            raise


def _look(conn: sqlite3.Connection, ids: Collection[int], query: SearchQuery) -> Page:
    wanted = tuple(source_id for source_id in query.listing.source_ids if source_id in ids)
    scoped = replace(query.listing, source_ids=wanted)
    if not query.q:
        return _list(conn, scoped)
    if query.q.lower().startswith(naming.ID_PREFIX) and " " not in query.q:
        file = file_rows.get(conn, query.q.lower())
        if file is not None and file.source_id in wanted and scoped.within.has(file):
            return Page([file], None, 1, tags=[(tag, 1) for tag in file.tags])
    return _match(conn, scoped, query.q)


def _list(conn: sqlite3.Connection, query: listing.ListQuery) -> Page:
    found, token = listing.page(conn, query)
    total, truncated = listing.count(conn, query)
    page = Page(found, token, total, truncated, tags=listing.tag_counts(conn, query))
    within = query.within
    if within.folder is None or within.recursive or len(query.source_ids) != 1:
        return page
    children, more = folders.children(conn, query.source_ids[0], within.folder)
    return replace(page, folders=children, folders_truncated=more)


def _match(conn: sqlite3.Connection, query: listing.ListQuery, q: str) -> Page:
    sources: list[int] | None = list(query.source_ids)
    if sources and not hits.has_other_sources(conn, sources):
        sources = None
    expression = hits.match_expression(conn, q, sources)
    if expression is None:
        return Page([], None, 0)
    within = query.within
    found, token = hits.page(conn, expression, query.after, query.limit, within)
    total, truncated = hits.count(conn, expression, within)
    tags = hits.tag_counts(conn, expression, within)
    return Page(found, token, total, truncated, tags=tags)
