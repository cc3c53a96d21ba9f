"""Lists of a source's files: any order, any filter, any depth, each page an index seek.

A list is read as a merge of streams. Each stream fixes its index's leading columns by equality
(a source; or a source and a content type; or those and an uploader), so its rows come out of the
index in the list's order, and a page costs one short range scan a stream. A pattern such as
``image/*`` is resolved to types by ``datasette_files_totals``.
Pages are keyset pages: a token names the last row by its sort key and ``seq``; no OFFSET anywhere.
"""

from __future__ import annotations

import base64
import binascii
import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..errors import Invalid
from ..media.families import family
from ..media.types import type_allowed
from ..models import FileRecord
from . import folders, partial
from .files import COLUMNS, record
from .folders import Folder, Within
from .partial import Parts
from .text_search import Hit

Order = Literal["created_at", "filename", "size"]

#: A count of rows in a span of time stops here.
COUNT_LIMIT = 10_000
#: Rows sorted in memory where no index gives the order.
_MAX_SORTED = 5_000
#: The same for rows whose index holds all that the sort needs.
_MAX_SORTED_IN_INDEX = 100_000
#: Files whose tags are counted for a narrowed list.
_MAX_TAGGED = 1_000
#: Streams that are merged; for more, the plain index is filtered.
_MAX_STREAMS = 200

_FOREIGN = "_next is not a page token of this list; start from the first page"

_KEYS: dict[Order, tuple[str, str]] = {
    "created_at": ("created", "f.created_at"),
    "filename": ("filename", "f.filename COLLATE NOCASE"),
    "size": ("size", "ifnull(f.size, -1)"),
}


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list. ``next`` is the keyset token of the next page, or None at the end."""

    files: list[FileRecord]
    next: str | None
    total: int
    total_truncated: bool = False
    #: The slugs of every source that the actor may browse.
    sources: list[str] = field(default_factory=list)
    #: The folders of the level that is listed; None for a list of no level.
    folders: list[Folder] | None = None
    #: Whether there are more folders.
    folders_truncated: bool = False
    #: The commonest tags of the files that match, each with its number of files.
    tags: list[tuple[str, int]] = field(default_factory=list)
    #: In a search: the pages with the words, by the file's id.
    hits: dict[str, list[Hit]] | None = None


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

    Without an index, ``where`` finds the rows by ``seq``, and they are sorted.
    """

    index: str | None
    where: str
    values: tuple[object, ...]

    def table(self, order: str) -> str:
        """The table to read in this order, with its index."""
        if self.index is None:
            return "datasette_files f NOT INDEXED"
        return f"datasette_files f INDEXED BY datasette_files_by{self.index}_{order}"


def page(conn: sqlite3.Connection, query: ListQuery) -> tuple[list[FileRecord], str | None]:
    """The files of one page, and the token of the next or None."""
    if query.parts and query.is_newest_first and not query.narrows:
        parts = partial.page(conn, query.parts, _last_key(query), query.limit + 1)
        return page_of(conn, query, _streams(conn, query), parts)
    return page_of(conn, query, _all_streams(conn, query))


def page_of(
    conn: sqlite3.Connection,
    query: ListQuery,
    streams: list[Stream],
    more: Iterable[tuple[object, int, FileRecord]] = (),
) -> tuple[list[FileRecord], str | None]:
    """As ``page``, from these streams and from rows of ``(sort key, seq, file)``."""
    rows = list(more)
    for stream in streams:
        rows.extend(_scan(conn, query, stream))
    # The merge compares as the index does: NOCASE folds ASCII letters only.
    rows.sort(key=lambda row: (_fold(row[0]), row[1]), reverse=query.descending)
    token = None
    if len(rows) > query.limit:
        rows = rows[: query.limit]
        token = encode_token(_walk(query), *rows[-1][:2])
    return [file for _, _, file in rows], token


def count(conn: sqlite3.Connection, query: ListQuery) -> tuple[int, bool]:
    """The number of files that match, and whether the count stopped at ``COUNT_LIMIT``.

    Without times and a folder, the count of everything or of one tag is exact: it is the sum of
    rows that triggers keep.
    """
    within, tags = query.within, query.within.tags
    if not query.narrows:
        seen, truncated = partial.count(conn, query.parts)
        return seen + sum(files for *_, files in _kinds(conn, query)), truncated
    timed = query.created_after is not None or query.created_before is not None
    if not (timed or within.narrows or query.parts):
        return sum(files for *_, files in _kinds(conn, query)), False
    by_tag = len(tags) == 1 and not (within.in_folder or query.parts or timed)
    if by_tag and not query.content_types and query.uploaded_by is None:
        return sum(folders.rarest(conn, one, tags)[1] for one in query.source_ids), False
    total = 0
    for stream in _all_streams(conn, query):
        total += _count_span(conn, query, stream, COUNT_LIMIT + 1 - total)
        if total > COUNT_LIMIT:
            return COUNT_LIMIT, True
    return total, False


def tag_counts(conn: sqlite3.Connection, query: ListQuery) -> list[tuple[str, int]]:
    """The commonest tags of the files that match, counted in at most ``_MAX_TAGGED`` of them.

    Without a filter the counts are exact.
    """
    if not (query.narrows or query.parts):
        return folders.tag_totals(conn, query.source_ids)
    rows = _some(conn, query, "f.tags", _MAX_TAGGED)
    return folders.most_used(json.loads(tags) for (tags,) in rows)


def seqs(conn: sqlite3.Connection, query: ListQuery, most: int) -> list[int] | None:
    """The files that match, as ``seq``, newest first; None for more than ``most``."""
    rows = _some(conn, query, "f.seq", most + 1)
    return None if len(rows) > most else sorted((seq for (seq,) in rows), reverse=True)


def _some(
    conn: sqlite3.Connection, query: ListQuery, column: str, limit: int
) -> list[tuple[Any, ...]]:
    """A column of files that match, of the first streams first."""
    rows: list[tuple[Any, ...]] = []
    span, span_values = _span(query)
    for stream in _all_streams(conn, query):
        if len(rows) < limit:
            rows += conn.execute(
                f"""SELECT {column} FROM {stream.table("created")}
                WHERE {stream.where}{span} LIMIT ?""",
                (*stream.values, *span_values, limit - len(rows)),
            )
    return rows


def has(conn: sqlite3.Connection, query: ListQuery, file_id: str) -> bool:
    """Tell whether the file matches."""
    where, values = condition(conn, query)
    found = conn.execute(
        f"SELECT 1 FROM datasette_files f WHERE f.id = ? AND {where}", (file_id, *values)
    ).fetchone()
    return found is not None


def condition(conn: sqlite3.Connection, query: ListQuery) -> tuple[str, tuple[object, ...]]:
    """A condition on ``f`` that holds for the files that match, and its values."""
    sources = ["f.source_id IN (SELECT value FROM json_each(?))"]
    values: list[object] = [json.dumps(query.source_ids)]
    for source_id, part in query.parts.items():
        has = "IN" if part.only else "NOT IN"
        sources.append(f"f.source_id = ? AND f.id {has} (SELECT value FROM json_each(?))")
        values += [source_id, json.dumps(list(part.ids))]
    types = None
    if query.content_types:
        every = replace(query, source_ids=(*query.source_ids, *query.parts), parts={})
        types = {kind for _, kind, _ in _kinds(conn, every)}
    folder, folder_values = query.within.folder_condition()
    more, more_values = _row_filters(query, types)
    span, span_values = _span(query)
    seen = f"({' OR '.join(f'({one})' for one in sources)})"
    return seen + folder + more + span, (*values, *folder_values, *more_values, *span_values)


def _kinds(conn: sqlite3.Connection, query: ListQuery) -> list[tuple[int, str, int]]:
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


def _streams(conn: sqlite3.Connection, query: ListQuery) -> list[Stream]:
    """The streams of ``source_ids`` that yield the fewest other rows."""
    if not query.within.narrows:
        return _kind_streams(conn, query)
    kinds = None
    if query.content_types or query.uploaded_by is not None:
        kinds = _kinds(conn, query)
        if sum(files for *_, files in kinds) <= _MAX_SORTED:
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
    if tag is not None and tagged <= _MAX_SORTED:
        by_tag = "f.seq IN (SELECT seq FROM datasette_files_tags WHERE source_id = ? AND tag = ?)"
        return [Stream(None, by_tag + folder + more, (source_id, tag, *folder_values, *values))]
    own = "f.source_id = ?"
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


def _all_streams(conn: sqlite3.Connection, query: ListQuery) -> list[Stream]:
    return [*_streams(conn, query), *_part_streams(conn, query)]


def _part_streams(conn: sqlite3.Connection, query: ListQuery) -> list[Stream]:
    """The streams of the sources of which a part is listed."""
    streams = []
    for source_id, part in query.parts.items():
        ids = json.dumps(list(part.ids))
        one = replace(query, source_ids=(source_id,), parts={})
        if not part.only:
            but = " AND f.id NOT IN (SELECT value FROM json_each(?))"
            streams += [
                replace(stream, where=stream.where + but, values=(*stream.values, ids))
                for stream in _streams(conn, one)
            ]
            continue
        kinds = None
        if query.content_types or query.uploaded_by is not None:
            kinds = _kinds(conn, one)
        folder, folder_values = query.within.folder_condition()
        where, values = _row_filters(query, _types_in(source_id, kinds))
        by_id = """f.source_id = ? AND f.seq IN (SELECT seq FROM datasette_files
            WHERE id IN (SELECT value FROM json_each(?)))"""
        streams.append(
            Stream(None, by_id + folder + where, (source_id, ids, *folder_values, *values))
        )
    return streams


def _kind_streams(conn: sqlite3.Connection, query: ListQuery) -> list[Stream]:
    """The streams of the files of all folders that match the query's filters other than times."""
    if not query.content_types and query.uploaded_by is None:
        return [Stream("", "f.source_id = ?", (source_id,)) for source_id in query.source_ids]
    kinds = _kinds(conn, query)
    if len(kinds) > _MAX_STREAMS:
        return _filtered_streams(query, kinds)
    if query.uploaded_by is None:
        where = "f.source_id = ? AND ifnull(f.content_type, '') = ?"
        return [Stream("_type", where, kind[:2]) for kind in kinds]
    where = "f.source_id = ? AND ifnull(f.uploaded_by, '') = ? AND ifnull(f.content_type, '') = ?"
    return [
        Stream("_uploader", where, (source_id, query.uploaded_by, content_type))
        for source_id, content_type, _ in kinds
    ]


def _filtered_streams(query: ListQuery, kinds: list[tuple[int, str, int]]) -> list[Stream]:
    """One filtered scan of each source's plain index, for more types than can be merged."""
    streams = []
    for source_id in sorted({kind[0] for kind in kinds}):
        types = json.dumps([kind[1] for kind in kinds if kind[0] == source_id])
        where = "f.source_id = ? AND ifnull(f.content_type, '') IN (SELECT value FROM json_each(?))"
        values: tuple[object, ...] = (source_id, types)
        if query.uploaded_by is not None:
            where += " AND ifnull(f.uploaded_by, '') = ?"
            values += (query.uploaded_by,)
        streams.append(Stream("", where, values))
    return streams


def _span(query: ListQuery) -> tuple[str, tuple[object, ...]]:
    where = ""
    values: tuple[object, ...] = ()
    if query.created_after is not None:
        where, values = where + " AND f.created_at >= ?", (*values, query.created_after)
    if query.created_before is not None:
        where, values = where + " AND f.created_at < ?", (*values, query.created_before)
    return where, values


def _count_span(conn: sqlite3.Connection, query: ListQuery, stream: Stream, limit: int) -> int:
    span, span_values = _span(query)
    row = conn.execute(
        f"""SELECT count(*) FROM (
            SELECT 1 FROM {stream.table("created")}
            WHERE {stream.where}{span} LIMIT ?)""",
        (*stream.values, *span_values, limit),
    ).fetchone()
    return int(row[0])


def _scan(
    conn: sqlite3.Connection, query: ListQuery, stream: Stream
) -> list[tuple[object, int, FileRecord]]:
    order, key = _KEYS[query.order]
    where, values = stream.where, stream.values
    span, span_values = _span(query)
    if span and order != "created":
        # Few rows in the span are sorted. Many are found soon by the order's own index.
        few = _count_span(conn, query, stream, _MAX_SORTED + 1) <= _MAX_SORTED
        order = "created" if few else order
    rows: list[tuple[Any, ...]] = []
    for beyond, beyond_values, sorting in _beyond(query, key):
        rows += conn.execute(
            f"""SELECT hit.key, f.seq, {COLUMNS} FROM (
                SELECT {key} AS key, f.seq AS seq FROM {stream.table(order)}
                WHERE {where}{span}{beyond} ORDER BY {sorting} LIMIT ?
            ) AS hit
            CROSS JOIN datasette_files f ON f.seq = hit.seq
            CROSS JOIN datasette_files_sources s ON s.id = f.source_id""",
            (*values, *span_values, *beyond_values, query.limit + 1 - len(rows)),
        )
    return [(row[0], row[1], record(tuple(row)[2:])) for row in rows]


def _beyond(query: ListQuery, key: str) -> list[tuple[str, tuple[object, ...], str]]:
    """Two ranges after the token, as ``(condition, its values, order)``: its key, later keys.

    An index seeks both. ``(key, seq) < (?, ?)`` means the same, but where the key is an
    expression SQLite then reads every earlier row.
    """
    direction, sign = ("DESC", "<") if query.descending else ("ASC", ">")
    by_seq = f"f.seq {direction}"
    by_key = f"{key} {direction}, {by_seq}"
    if query.after is None:
        return [("", (), by_key)]
    value, seq = decode_token(_walk(query), query.after)
    return [
        (f" AND {key} = ? AND f.seq {sign} ?", (value, seq), by_seq),
        (f" AND {key} {sign} ?", (value,), by_key),
    ]


def _last_key(query: ListQuery) -> partial.Key | None:
    """The key in the token of a list in the default order. Raises Invalid."""
    if query.after is None:
        return None
    value, seq = decode_token(_walk(query), query.after)
    if not isinstance(value, str):
        raise Invalid(_FOREIGN)
    return value, seq


def _fold(value: object) -> object:
    if not isinstance(value, str):
        return value
    return "".join(c.lower() if c.isascii() else c for c in value).encode()


def _walk(query: ListQuery) -> str:
    """The name of the order, for its tokens: another order's token would skip files."""
    return f"{query.order} {'desc' if query.descending else 'asc'}"


def encode_token(walk: str, value: object, seq: int) -> str:
    """A page's token, safe in a URL: the list's name, the last row's sort key and ``seq``."""
    return base64.urlsafe_b64encode(json.dumps([walk, value, seq]).encode()).decode().rstrip("=")


def decode_token(walk: str, token: str) -> tuple[object, int]:
    """``(sort key, seq)`` of a token of the list of this name. Raises Invalid."""
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        given, value, seq = json.loads(base64.urlsafe_b64decode(padded))
        if given != walk:
            raise ValueError(token)
        if isinstance(value, str):
            value.encode()
        if not isinstance(value, str | int) or isinstance(seq, bool) or not isinstance(seq, int):
            raise TypeError(token)
        if any(isinstance(n, int) and abs(n) >= 2**63 for n in (value, seq)):
            raise ValueError(token)
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise Invalid(_FOREIGN) from None
    return value, seq
