"""Selections: the files that one action is for, named by ids or by the filters of a search.

Filters find what the actor may see in lists, or in the trash. Leaves out the action (bulk.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ..db import words
from ..db.batching import Catalog
from ..db.folders import Within
from ..db.streams import ListQuery, is_wanted
from ..errors import Invalid
from ..models import FileRecord
from ..permissions.actions import Actor
from ..permissions.sight import sight
from ..sources.sources import Sources
from .search import Search, SearchQuery
from .trash import Trash

#: Ids in one selection.
MAX_IDS = 5_000
#: Entries of the trash that are read in one look-up, and look-ups for one page.
_READ, _MAX_READS = 500, 20
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Filters:
    """The files that match all of these. Times are in the catalog's format; None: any."""

    #: A source's slug.
    source: str | None = None
    q: str = ""
    folder: str | None = None
    #: Whether files below the folder match too.
    recursive: bool = True
    tags: tuple[str, ...] = ()
    #: Any of these: types, patterns such as ``image/*``, families.
    content_types: tuple[str, ...] = ()
    uploaded_by: str | None = None
    #: Inclusive; the next one exclusive.
    created_after: str | None = None
    created_before: str | None = None

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Filters:
        """The filters that ``vars`` gave, after JSON."""
        lists = {name: tuple(stored[name]) for name in ("tags", "content_types")}
        return cls(**{**stored, **lists})

    @property
    def within(self) -> Within:
        return Within(self.folder, self.recursive, self.tags)

    def has(self, file: FileRecord) -> bool:
        """Tell whether a file matches, for files that no index holds."""
        return (
            self.source in (None, file.source_slug)
            and self.within.has(file)
            and is_wanted(file.content_type or "", self.content_types)
            and self.uploaded_by in (None, file.uploaded_by or "")
            and (self.created_after is None or file.created_at >= self.created_after)
            and (self.created_before is None or file.created_at < self.created_before)
            and self._has_words(file)
        )

    def _has_words(self, file: FileRecord) -> bool:
        if not self.q or self.q.lower() == file.id:
            return True
        text = " ".join(
            (file.filename, file.content_type or "", file.search_text or "", *file.tags)
        )
        found = _WORD.findall(f"{words.folded(text)} {words.parts(text)}")
        terms = _WORD.findall(words.folded(self.q))
        return bool(terms) and all(any(one.startswith(term) for one in found) for term in terms)


@dataclass(frozen=True)
class Selection:
    """The files of one action: ``ids``, each once, or else what ``filters`` find."""

    ids: tuple[str, ...] | None = None
    filters: Filters | None = None

    @classmethod
    def of_ids(cls, ids: list[str]) -> Selection:
        """Raises Invalid for none, and for more than ``MAX_IDS``."""
        each = tuple(dict.fromkeys(ids))
        if not 1 <= len(each) <= MAX_IDS:
            raise Invalid(f"{len(each):,} files were chosen; choose 1 to {MAX_IDS:,}, or a query")
        return cls(each)


class Selecting:
    """Finds the files of selections in one Datasette."""

    def __init__(
        self, datasette: Any, database: Catalog, sources: Sources, search: Search, trash: Trash
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self._sources = sources
        self._search = search
        self._trash = trash

    async def page(
        self, actor: Actor, filters: Filters, in_trash: bool, after: str | None, limit: int
    ) -> tuple[list[str], str | None]:
        """The ids of the next files that match, newest first, and the token of the next page.

        A page may hold fewer than ``limit``. Raises Invalid, TimedOut.
        """
        if in_trash:
            return await self._in_trash(actor, filters, after, limit)
        seen = await sight(self._datasette, actor)
        page = await self._search.page(seen, self.search(filters, after, limit))
        return [file.id for file in page.files], page.next

    async def described(
        self, actor: Actor, filters: Filters, in_trash: bool, limit: int
    ) -> tuple[int, bool, list[FileRecord]]:
        """The number of files that match, whether there are more, and the first ones.

        Raises Invalid, TimedOut.
        """
        if in_trash:
            shown = await self._trash.page(actor, filters.source, None, _READ)
            found = [one.file for one in shown.files if filters.has(one.file)]
            is_whole = filters == Filters(source=filters.source)
            number = shown.total if is_whole else len(found)
            more = shown.total_truncated or (not is_whole and shown.next is not None)
            return number, more, found[:limit]
        seen = await sight(self._datasette, actor)
        page = await self._search.page(seen, self.search(filters, None, limit))
        return page.total, page.total_truncated, page.files

    def search(self, filters: Filters, after: str | None = None, limit: int = 20) -> SearchQuery:
        """The search that finds the files which match, not those in the trash.

        A source that does not exist matches nothing, as one whose files the actor may not see.
        """
        query = ListQuery(
            source_ids=tuple(one.id for one in self._sources if filters.source in (None, one.slug)),
            content_types=filters.content_types,
            uploaded_by=filters.uploaded_by,
            created_after=filters.created_after,
            created_before=filters.created_before,
            after=after,
            limit=limit,
            within=filters.within,
        )
        return SearchQuery(query, filters.q)

    async def _in_trash(
        self, actor: Actor, filters: Filters, after: str | None, limit: int
    ) -> tuple[list[str], str | None]:
        found: list[str] = []
        for _ in range(_MAX_READS):
            page = await self._trash.page(actor, filters.source, after, min(limit, _READ))
            found += [one.file.id for one in page.files if filters.has(one.file)]
            after = page.next
            if after is None or len(found) >= limit:
                break
        return found, after
