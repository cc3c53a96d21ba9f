"""Queries for lists, and the streams of rows that answer them.

Each stream fixes its index's leading columns by equality (a source; or a source and a content type;
or those and an uploader), so its rows come out of the index in the list's order. A pattern such as
``image/*`` is resolved to types by ``datasette_files_totals``. Where this module says source, it
means a shelf (migrations/versions.py): superseded versions have their own. Leaves out the merge of
the streams into pages (listing.py).
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field, replace
from typing import Literal

from ..media.families import family
from ..media.types import type_allowed
from . import folders
from .folders import Within
from .migrations.versions import SUPERSEDED
from .partial import Parts

Order = Literal["created_at", "filename", "size"]

#: Rows sorted in memory where no index gives the order.
MAX_SORTED = 5_000
#: The same for rows whose index holds all that the sort needs.
_MAX_SORTED_IN_INDEX = 100_000
#: Streams that are merged; for more, the plain index is filtered.
_MAX_STREAMS = 200


@dataclass(frozen=True)
class ListQuery:
    """A list to read. Times are in the catalog's format; ``after`` is a page's token."""

    source_ids: tuple[int, ...]
    order: Order = "created_at"
    descending: bool = True
    #: Any of these: a type, a pattern (``image/*``), or a family of media/families.py; none = all.
    content_types: tuple[str, ...] = ()
    uploaded_by: str | None = None
    #: Inclusive.
    created_after: str | None = None
    #: Exclusive.
    created_before: str | None = None
    after: str | None = None
    limit: int = 20
    #: Further sources, of which a part is listed.
    parts: Parts = field(default_factory=dict)
    within: Within = field(default_factory=Within)
    #: Superseded versions too.
    all_versions: bool = False

    @property
    def shelves(self) -> ListQuery:
        """The same with the shelves of superseded files among its sources, if it wants those."""
        if not self.all_versions:
            return self
        more = {source_id + SUPERSEDED: part for source_id, part in self.parts.items()}
        ids = tuple(source_id + SUPERSEDED for source_id in self.source_ids)
        return replace(self, source_ids=self.source_ids + ids, parts={**self.parts, **more})

    @property
    def filtered(self) -> bool:
        """Tell whether a filter is set; a folder is none."""
        filters = (self.content_types, self.uploaded_by, self.created_after, self.created_before)
        return any(filters) or bool(self.within.tags)

    @property
    def narrows(self) -> bool:
        """Tell whether filters, folder or tags leave out any file."""
        return self.filtered or self.within.narrows

    @property
    def is_newest_first(self) -> bool:
        """Tell whether the order is the default one."""
        return self.order == "created_at" and self.descending


@dataclass(frozen=True)
class Stream:
    """One index scan: the index's suffix and the conditions on its leading columns.

    Without an index, ``where`` or ``rows`` finds the rows, and they are sorted.
    """

    index: str | None
    where: str
    #: Those of ``rows``, then those of ``where``.
    values: tuple[object, ...]
    #: Where there is no index.
    rows: str = "datasette_files f NOT INDEXED"

    def table(self, order: str) -> str:
        """The table to read in this order, with its index."""
        if self.index is None:
            return self.rows
        return f"datasette_files f INDEXED BY datasette_files_by{self.index}_{order}"


def condition(conn: sqlite3.Connection, query: ListQuery) -> tuple[str, tuple[object, ...]]:
    """A condition on ``f`` that holds for the files that match, and its values."""
    sources = ["f.shelf IN (SELECT value FROM json_each(?))"]
    values: list[object] = [json.dumps(query.source_ids)]
    for source_id, part in query.parts.items():
        has = "IN" if part.only else "NOT IN"
        sources.append(f"f.shelf = ? AND f.id {has} (SELECT value FROM json_each(?))")
        values += [source_id, json.dumps(list(part.ids))]
    types = None
    if query.content_types:
        every = replace(query, source_ids=(*query.source_ids, *query.parts), parts={})
        types = {kind for _, kind, _ in kinds_of(conn, every)}
    folder, folder_values = query.within.folder_condition()
    more, more_values = _row_filters(query, types)
    span, span_values = span_of(query)
    seen = f"({' OR '.join(f'({one})' for one in sources)})"
    return seen + folder + more + span, (*values, *folder_values, *more_values, *span_values)


def kinds_of(conn: sqlite3.Connection, query: ListQuery) -> list[tuple[int, str, int]]:
    """``(source, content type, files)`` that match the query's filters other than times."""
    marks = ", ".join("?" * len(query.source_ids))
    where, values = f"source_id IN ({marks})", list[object](query.source_ids)
    if query.uploaded_by is not None:
        where += " AND uploaded_by = ?"
        values.append(query.uploaded_by)
    rows = conn.execute(
        f"""SELECT source_id, content_type, sum(files) FROM datasette_files_totals
        WHERE {where} GROUP BY source_id, content_type""",
        values,
    ).fetchall()
    return [(row[0], row[1], row[2]) for row in rows if is_wanted(row[1], query.content_types)]


def is_wanted(content_type: str, wanted: tuple[str, ...]) -> bool:
    """Tell whether the filter ``wanted``, in lower case, takes a content type of the catalog."""
    return (
        not wanted
        or content_type.lower() in wanted
        or family(content_type) in wanted
        or type_allowed(content_type, list(wanted))
    )


def whole_streams(conn: sqlite3.Connection, query: ListQuery) -> list[Stream]:
    """The streams of ``source_ids`` that yield the fewest other rows."""
    if not query.within.narrows:
        return _kind_streams(conn, query)
    kinds = None
    if query.content_types or query.uploaded_by is not None:
        kinds = kinds_of(conn, query)
        if sum(files for *_, files in kinds) <= MAX_SORTED:
            where, values = query.within.condition()
            return [
                Stream(one.index, one.where + where, (*one.values, *values))
                for one in _kind_streams(conn, query)
            ]
    return [
        stream
        for source_id in query.source_ids
        for stream in _narrow_streams(conn, query, source_id, kinds)
    ]


def _narrow_streams(
    conn: sqlite3.Connection,
    query: ListQuery,
    source_id: int,
    kinds: list[tuple[int, str, int]] | None,
) -> list[Stream]:
    """The streams of one source's files in the folder and with the tags."""
    within = query.within
    more, values = _row_filters(query, _types_in(source_id, kinds))
    folder, folder_values = within.folder_condition()
    tag, tagged = folders.rarest(conn, source_id, within.tags)
    if tag is not None and tagged <= MAX_SORTED:
        by_tag = "f.seq IN (SELECT seq FROM datasette_files_tags WHERE source_id = ? AND tag = ?)"
        return [Stream(None, by_tag + folder + more, (source_id, tag, *folder_values, *values))]
    own = "f.shelf = ?"
    if not within.in_folder or (
        within.recursive
        and folders.files_in(conn, source_id, within.folder or "") > _MAX_SORTED_IN_INDEX
    ):
        # Many of the source's files are in the folder, so the order's own index finds them soon.
        return [Stream("", own + folder + more, (source_id, *folder_values, *values))]
    exact = f"{own} AND f.folder = ?"
    streams = [Stream("_folder", exact + more, (source_id, within.folder, *values))]
    if within.recursive:
        below = f"{own} AND f.folder > ? AND f.folder < ?"
        streams.append(Stream("_folder", below + more, (source_id, *within.below(), *values)))
    return streams


def _types_in(source_id: int, kinds: list[tuple[int, str, int]] | None) -> set[str] | None:
    return None if kinds is None else {kind for source, kind, _ in kinds if source == source_id}


def _row_filters(query: ListQuery, types: set[str] | None) -> tuple[str, tuple[object, ...]]:
    """The conditions on a row other than its folder and times. ``types`` None: of any type."""
    where, values = query.within.tags_condition()
    if types is not None:
        where += " AND ifnull(f.content_type, '') IN (SELECT value FROM json_each(?))"
        values = (*values, json.dumps(list(types)))
    if query.uploaded_by is not None:
        where, values = where + " AND ifnull(f.uploaded_by, '') = ?", (*values, query.uploaded_by)
    return where, values


def streams_of(conn: sqlite3.Connection, query: ListQuery) -> list[Stream]:
    return [*whole_streams(conn, query), *_part_streams(conn, query)]


def _part_streams(conn: sqlite3.Connection, query: ListQuery) -> list[Stream]:
    """The streams of the sources of which a part is listed."""
    streams = []
    for source_id, part in query.parts.items():
        # In their order, which mostly is that of the table's rows.
        ids = json.dumps(sorted(part.ids))
        one = replace(query, source_ids=(source_id,), parts={})
        if not part.only:
            but = " AND f.id NOT IN (SELECT value FROM json_each(?))"
            streams += [
                replace(stream, where=stream.where + but, values=(*stream.values, ids))
                for stream in whole_streams(conn, one)
            ]
            continue
        kinds = None
        if query.content_types or query.uploaded_by is not None:
            kinds = kinds_of(conn, one)
        folder, folder_values = query.within.folder_condition()
        where, values = _row_filters(query, _types_in(source_id, kinds))
        by_id = "json_each(?) AS wanted CROSS JOIN datasette_files f ON f.id = wanted.value"
        own = f"f.shelf = ?{folder}{where}"
        streams.append(Stream(None, own, (ids, source_id, *folder_values, *values), by_id))
    return streams


def _kind_streams(conn: sqlite3.Connection, query: ListQuery) -> list[Stream]:
    """The streams of the files of all folders that match the query's filters other than times."""
    if not query.content_types and query.uploaded_by is None:
        return [Stream("", "f.shelf = ?", (source_id,)) for source_id in query.source_ids]
    kinds = kinds_of(conn, query)
    if len(kinds) > _MAX_STREAMS:
        return _filtered_streams(query, kinds)
    if query.uploaded_by is None:
        where = "f.shelf = ? AND ifnull(f.content_type, '') = ?"
        return [Stream("_type", where, kind[:2]) for kind in kinds]
    where = "f.shelf = ? AND ifnull(f.uploaded_by, '') = ? AND ifnull(f.content_type, '') = ?"
    return [
        Stream("_uploader", where, (source_id, query.uploaded_by, content_type))
        for source_id, content_type, _ in kinds
    ]


def _filtered_streams(query: ListQuery, kinds: list[tuple[int, str, int]]) -> list[Stream]:
    """One filtered scan of each source's plain index, for more types than can be merged."""
    streams = []
    for source_id in sorted({kind[0] for kind in kinds}):
        types = json.dumps([kind[1] for kind in kinds if kind[0] == source_id])
        where = "f.shelf = ? AND ifnull(f.content_type, '') IN (SELECT value FROM json_each(?))"
        values: tuple[object, ...] = (source_id, types)
        if query.uploaded_by is not None:
            where += " AND ifnull(f.uploaded_by, '') = ?"
            values += (query.uploaded_by,)
        streams.append(Stream("", where, values))
    return streams


def span_of(query: ListQuery) -> tuple[str, tuple[object, ...]]:
    where = ""
    values: tuple[object, ...] = ()
    if query.created_after is not None:
        where, values = where + " AND f.created_at >= ?", (*values, query.created_after)
    if query.created_before is not None:
        where, values = where + " AND f.created_at < ?", (*values, query.created_before)
    return where, values
