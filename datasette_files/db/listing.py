"""Lists of a source's files: any order, any filter, any depth, each page an index seek.

A list is read as a merge of streams (streams.py), so that a page costs one short range scan a
stream. Pages are keyset pages (tokens.py); no OFFSET anywhere.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..errors import Invalid
from ..models import FileRecord
from . import folders, partial, streams
from .files import COLUMNS, record
from .folders import Folder
from .streams import (
    ListQuery,
    Order,
    Stream,
    condition,
    kinds_of,
    span_of,
    streams_of,
    whole_streams,
)
from .text_hits import Hit
from .tokens import FOREIGN, decode_token, encode_token

#: A count of rows in a span of time stops here.
COUNT_LIMIT = 10_000

_KEYS: dict[Order, tuple[str, str]] = {
    "created_at": ("created", "f.created_at"),
    "filename": ("filename", "f.filename COLLATE NOCASE"),
    "size": ("size", "ifnull(f.size, -1)"),
}


@dataclass(frozen=True, slots=True)
class Letters:
    """How far names were read for a search by letters (letters.py)."""

    #: Files.
    examined: int
    #: Whether these are all files of the list.
    complete: bool


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
    #: In a search by words that no file has: the files are those whose names contain the letters.
    letters: Letters | None = None


def page(conn: sqlite3.Connection, query: ListQuery) -> tuple[list[FileRecord], str | None]:
    """The files of one page, and the token of the next or None."""
    if query.parts and not query.narrows:
        index, key = _KEYS[query.order]
        order = partial.Order(index, key, query.descending, _beyond(query, key))
        parts = partial.page(conn, query.parts, order, query.limit + 1)
        return page_of(conn, query, whole_streams(conn, query), parts)
    return page_of(conn, query, streams_of(conn, query))


def page_of(
    conn: sqlite3.Connection,
    query: ListQuery,
    streams: list[Stream],
    more: Iterable[tuple[object, int, FileRecord | None]] = (),
) -> tuple[list[FileRecord], str | None]:
    """As ``page``, from these streams and from rows of ``(sort key, seq, file)``."""
    rows = list(more)
    for stream in streams:
        rows.extend(_scan(conn, query, stream))
    # The merge compares as the index does: NOCASE folds ASCII letters only.
    rows.sort(key=lambda row: (partial.folded(row[0]), row[1]), reverse=query.descending)
    token = None
    if len(rows) > query.limit:
        rows = rows[: query.limit]
        token = encode_token(_walk(query), *rows[-1][:2])
    return [file for _, _, file in rows if file is not None], token


def count(conn: sqlite3.Connection, query: ListQuery) -> tuple[int, bool]:
    """The number of files that match, and whether the count stopped at ``COUNT_LIMIT``.

    Without times and a folder, the count of everything or of one tag is exact: it is the sum of
    rows that triggers keep.
    """
    within, tags = query.within, query.within.tags
    if not query.narrows:
        seen, truncated = partial.count(conn, query.parts)
        return seen + sum(files for *_, files in kinds_of(conn, query)), truncated
    timed = query.created_after is not None or query.created_before is not None
    if not (timed or within.narrows or query.parts):
        return sum(files for *_, files in kinds_of(conn, query)), False
    by_tag = len(tags) == 1 and not (within.in_folder or query.parts or timed)
    if by_tag and not query.content_types and query.uploaded_by is None:
        return sum(folders.rarest(conn, one, tags)[1] for one in query.source_ids), False
    total = 0
    for stream in streams_of(conn, query):
        total += _count_span(conn, query, stream, COUNT_LIMIT + 1 - total)
        if total > COUNT_LIMIT:
            return COUNT_LIMIT, True
    return total, False


def tag_counts(conn: sqlite3.Connection, query: ListQuery) -> list[tuple[str, int]]:
    """The commonest tags of the files that match, counted in at most ``MAX_TAGGED`` of them.

    Without a filter the counts are exact.
    """
    if not (query.narrows or query.parts):
        return folders.tag_totals(conn, query.source_ids)
    if not folders.any_tag(conn):
        return []
    rows = _some(conn, query, "f.tags", folders.MAX_TAGGED)
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
    span, span_values = span_of(query)
    for stream in streams_of(conn, query):
        if len(rows) < limit:
            rows += conn.execute(
                f"""SELECT {column} FROM {stream.table("created")}
                WHERE {stream.where}{span} LIMIT ?""",
                (*stream.values, *span_values, limit - len(rows)),
            )
    return rows


def has(conn: sqlite3.Connection, query: ListQuery, file_id: str) -> bool:
    """Tell whether the file matches."""
    return seq_of(conn, query, file_id) is not None


def seq_of(conn: sqlite3.Connection, query: ListQuery, file_id: str) -> int | None:
    """The file's ``seq``; None if it does not match."""
    where, values = condition(conn, query)
    found = conn.execute(
        f"SELECT f.seq FROM datasette_files f WHERE f.id = ? AND {where}", (file_id, *values)
    ).fetchone()
    return None if found is None else int(found[0])


def _count_span(conn: sqlite3.Connection, query: ListQuery, stream: Stream, limit: int) -> int:
    span, span_values = span_of(query)
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
    span, span_values = span_of(query)
    if span and order != "created":
        # Few rows in the span are sorted. Many are found soon by the order's own index.
        few = _count_span(conn, query, stream, streams.MAX_SORTED + 1) <= streams.MAX_SORTED
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
    expression SQLite then reads every earlier row. Raises Invalid.
    """
    direction, sign = ("DESC", "<") if query.descending else ("ASC", ">")
    by_seq = f"f.seq {direction}"
    by_key = f"{key} {direction}, {by_seq}"
    if query.after is None:
        return [("", (), by_key)]
    value, seq = decode_token(_walk(query), query.after)
    if isinstance(value, str) is (query.order == "size"):
        raise Invalid(FOREIGN)
    return [
        (f" AND {key} = ? AND f.seq {sign} ?", (value, seq), by_seq),
        (f" AND {key} {sign} ?", (value,), by_key),
    ]


def _walk(query: ListQuery) -> str:
    """The name of the order, for its tokens: another order's token would skip files."""
    return f"{query.order} {'desc' if query.descending else 'asc'}"
