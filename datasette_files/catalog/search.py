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
from ..db import folders, found, letters, listing, narrowed, text_search
from ..db import search as hits
from ..db.batching import Catalog
from ..db.listing import Page
from ..db.streams import ListQuery
from ..errors import TimedOut
from ..models import FileRecord
from ..permissions.actions import BROWSE, refusal
from ..permissions.sight import Scope, Sight
from ..sources.sources import Sources

_T = TypeVar("_T")
#: What SQLite says where the time of a query is over.
_INTERRUPTED = ("interrupted",)


@dataclass(frozen=True)
class SearchQuery:
    """A search: ``listing`` has the sources, order, filters and page; ``q`` the words."""

    listing: ListQuery
    q: str = ""
    #: A source that the actor must be allowed to browse; others are left out silently.
    required: str | None = None
    #: Whether names that contain the letters are found where no file has the words. For people:
    #: what acts on all that match goes by words alone.
    by_letters: bool = False


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

        return await self._in_time(look)

    async def by_name(self, sight: Sight, q: str, limit: int) -> tuple[list[FileRecord], bool]:
        """The newest files with the words in their names or tags, and whether there are more.

        A file's id finds the file. Raises Invalid, TimedOut.
        """
        every = tuple(source.id for source in self._sources)
        query = SearchQuery(ListQuery(every, limit=limit), q)

        def look(conn: sqlite3.Connection) -> tuple[list[FileRecord], bool]:
            scoped = self._scope(sight.scope(conn, self._slugs(query)), query)
            if (file := _of_id(conn, scoped, q)) is not None:
                return [file], False
            files, token = hits.page(
                conn, _matching(conn, scoped, q, hits.COLUMNS_OF_NAMES), None, limit
            )
            return files, token is not None

        return await self._in_time(look)

    async def seqs(self, sight: Sight, query: SearchQuery, most: int) -> list[int] | None:
        """All files that match, as ``seq``, newest first; None for more than ``most``.

        Raises Invalid, TimedOut.
        """

        def look(conn: sqlite3.Connection) -> list[int] | None:
            scoped = self._scope(sight.scope(conn, self._slugs(query)), query)
            return _seqs(conn, scoped, query.q, most)

        return await self._in_time(look)

    async def _in_time(self, look: Callable[[sqlite3.Connection], _T]) -> _T:
        limit_ms: int = self._datasette.setting("sql_time_limit_ms")

        def look_in_time(conn: sqlite3.Connection) -> _T:
            with sqlite_timelimit(conn, limit_ms):
                return look(conn)

        try:
            return await self._catalog.query(look_in_time)
        except sqlite3.OperationalError as error:
            if error.args == _INTERRUPTED:
                raise TimedOut("The search took too long; make it more specific") from None
            raise

    def _slugs(self, query: SearchQuery) -> list[str]:
        wanted = query.listing.source_ids
        return [source.slug for source in self._sources if source.id in wanted]

    def _scope(self, seen: Scope, query: SearchQuery) -> ListQuery:
        """The list of those files alone that the actor sees."""
        wanted = query.listing.source_ids
        whole = [source_id for source_id in self._sources.by_id(seen.whole) if source_id in wanted]
        parts = {
            source_id: seen.parts[source.slug]
            for source_id, source in self._sources.by_id(seen.parts).items()
            if source_id in wanted
        }
        return replace(query.listing, source_ids=tuple(whole), parts=parts).shelves

    def _look(self, conn: sqlite3.Connection, seen: Scope, query: SearchQuery) -> Page:
        scoped = self._scope(seen, query)
        if not query.q:
            return _list(conn, scoped)
        if (file := _of_id(conn, scoped, query.q)) is not None:
            return Page([file], None, 1, tags=[(tag, 1) for tag in file.tags], hits={})
        shown = _match(conn, scoped, query.q)
        if shown.total == 0 and query.by_letters:
            return _by_letters(conn, scoped, query.q) or shown
        return shown


def _by_letters(conn: sqlite3.Connection, query: ListQuery, q: str) -> Page | None:
    """As ``letters.page``; None too where the time is over: that no file has the words holds."""
    try:
        return letters.page(conn, query, q)
    except sqlite3.OperationalError as error:
        if error.args != _INTERRUPTED:
            raise
        return None


def _of_id(conn: sqlite3.Connection, query: ListQuery, q: str) -> FileRecord | None:
    """The file of the list whose id the words are; None if they are none."""
    if not q.lower().startswith(naming.ID_PREFIX) or " " in q:
        return None
    file = file_rows.get(conn, q.lower())
    return file if file is not None and listing.has(conn, query, file.id) else None


def _seqs(conn: sqlite3.Connection, query: ListQuery, q: str, most: int) -> list[int] | None:
    if not q:
        return listing.seqs(conn, query, most)
    if q.lower().startswith(naming.ID_PREFIX) and " " not in q:
        seq = listing.seq_of(conn, query, q.lower())
        return [] if seq is None else [seq]
    searched = _scoped(conn, [*query.source_ids, *query.parts])
    expression = hits.match_expression(conn, q, searched)
    by_name = [] if expression is None else narrowed.seqs(conn, expression, query, most)
    text = _text(query, text_search.expression(conn, q), searched)
    if text is None or by_name is None:
        return by_name
    by_text = found.matching(conn, text, query, most)
    every = None if by_text is None else sorted({*by_name, *by_text}, reverse=True)
    return None if every is None or len(every) > most else every


def _list(conn: sqlite3.Connection, query: ListQuery) -> Page:
    files, token = listing.page(conn, query)
    tags = listing.tag_counts(conn, query)
    page = Page(files, token, *_at_least(files, listing.count(conn, query)), tags=tags)
    within = query.within
    if within.folder is None or within.recursive or len(query.source_ids) != 1 + query.all_versions:
        return page
    children, more = folders.children(conn, query.source_ids[0], within.folder)
    return replace(page, folders=children, folders_truncated=more)


def _match(conn: sqlite3.Connection, query: ListQuery, q: str) -> Page:
    sources = [*query.source_ids, *query.parts]
    searched = _scoped(conn, sources)
    hits.check_query(q)
    expression = text_search.expression(conn, q) if sources else None
    text = _text(query, expression, searched)
    if query.narrows or not query.is_newest_first:
        shown = _narrowed(conn, query, hits.match_expression(conn, q, searched), text)
    else:
        shown = _newest(conn, query, q, text)
    return found.with_hits(conn, shown, expression)


def _text(
    query: ListQuery, expression: str | None, searched: list[int] | None
) -> text_search.TextQuery | None:
    """The search in the text of files; None where no page can match."""
    if expression is None:
        return None
    scoped = expression if searched is None else text_search.within(expression, searched)
    return text_search.TextQuery(scoped, frozenset(query.source_ids), query.parts)


def _newest(
    conn: sqlite3.Connection, query: ListQuery, q: str, text: text_search.TextQuery | None
) -> Page:
    matching = _matching(conn, query, q)
    if text is not None and (shown := found.page(conn, matching, text, query)) is not None:
        return shown
    files, token = hits.page(conn, matching, query.after, query.limit)
    counted = _at_least(files, hits.count(conn, matching))
    return Page(files, token, *counted, tags=hits.tag_counts(conn, matching))


def _matching(
    conn: sqlite3.Connection, query: ListQuery, q: str, columns: str = hits.COLUMNS_OF_ALL
) -> hits.Matching:
    whole, partly = (
        hits.match_expression(conn, q, _scoped(conn, list(ids)), columns)
        for ids in (query.source_ids, query.parts)
    )
    return hits.Matching(whole, partly, query.parts)


def _narrowed(
    conn: sqlite3.Connection,
    query: ListQuery,
    expression: str | None,
    text: text_search.TextQuery | None,
) -> Page:
    if expression is None:
        return Page([], None, 0)
    search = narrowed.narrow(conn, expression, query)
    if text is not None and (shown := found.narrowed_page(conn, search, text, query)) is not None:
        return shown
    files, token = narrowed.page(conn, search)
    return Page(files, token, *narrowed.count(conn, search), tags=narrowed.tag_counts(conn, search))


def _scoped(conn: sqlite3.Connection, sources: list[int]) -> list[int] | None:
    """The sources to search; None for all, which is quicker, where no other holds a file."""
    return sources if not sources or hits.has_other_sources(conn, sources) else None


def _at_least(files: list[FileRecord], counted: tuple[int, bool]) -> tuple[int, bool]:
    """A count, at least the files found where counting stopped before."""
    total, stopped = counted
    return (max(total, len(files)), True) if stopped else counted
