"""Searches that filters narrow, or that are read in another order than the newest first.

Where few files are left by the filters, those are asked whether they are hits. Where many are left,
a page of hits is full soon, so that hits are read and asked for the filters.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from ..models import FileRecord
from . import folders, listing, partial, partial_hits
from .search import COUNT_LIMIT, before_of, count_hits, newest_hits, newest_matching, token_after
from .streams import ListQuery, Stream, condition

#: Files that are asked one by one, or against the list of hits.
_FEW = 5_000
#: The same where all are single files that an actor sees, of which most hits are none.
_FEW_SINGLE = 20_000
_FILES = "CROSS JOIN datasette_files f ON f.seq = datasette_files_fts.rowid"


@dataclass(frozen=True)
class Narrowed:
    """A search as an FTS5 expression over all sources of ``query``, parts included."""

    expression: str
    query: ListQuery
    #: The hits, as ``seq``, newest first; None where the filters leave too many files to ask.
    found: list[int] | None
    #: A condition on ``f`` for what the actor sees and the filters leave, and its values.
    where: str
    values: tuple[object, ...]


def narrow(conn: sqlite3.Connection, expression: str, query: ListQuery) -> Narrowed:
    """Prepare a search over all sources of ``query``, its filters included."""
    few = _few(conn, query)
    found = None if few is None else list(partial_hits.hits_among(conn, expression, few))
    return Narrowed(expression, query, found, *condition(conn, query))


def _few(conn: sqlite3.Connection, query: ListQuery) -> list[int] | None:
    """The files of ``query`` as ``seq``, if they are few, or an actor sees only single ones."""
    only, rest = partial.divided(query.parts)
    single = not (query.source_ids or rest) and partial.size(only) <= _FEW_SINGLE
    if single and not query.narrows:
        return partial.seqs_of(conn, only)
    most = max(_FEW, partial.size(only)) if single else _FEW
    return listing.seqs(conn, query, most) if query.narrows else None


def seqs(
    conn: sqlite3.Connection, expression: str, query: ListQuery, most: int
) -> list[int] | None:
    """All hits, as ``seq``, newest first; None for more than ``most``."""
    where, values = condition(conn, query)
    rows = conn.execute(
        f"""SELECT f.seq FROM datasette_files_fts {_FILES}
        WHERE datasette_files_fts MATCH ? AND {where}
        ORDER BY datasette_files_fts.rowid DESC LIMIT ?""",
        (expression, *values, most + 1),
    ).fetchall()
    return None if len(rows) > most else [row[0] for row in rows]


def page(conn: sqlite3.Connection, narrowed: Narrowed) -> tuple[list[FileRecord], str | None]:
    """One page of hits in the order of the query, and the token of the next or None."""
    query = narrowed.query
    if not query.is_newest_first:
        return listing.page_of(conn, query, [stream(narrowed, [])])
    rows = newest(conn, narrowed, before_of(query.after), query.limit + 1)
    return [file for _, file in rows[: query.limit]], token_after(rows, query.limit)


def newest(
    conn: sqlite3.Connection, narrowed: Narrowed, before: int | None, limit: int
) -> list[tuple[int, FileRecord]]:
    """The newest hits before a ``seq``, as ``(seq, file)``."""
    if narrowed.found is None:
        where = f" AND {narrowed.where}"
        return newest_hits(conn, narrowed.expression, before, limit, where, narrowed.values)
    seqs = [seq for seq in narrowed.found if before is None or seq < before][:limit]
    found = partial.records(conn, seqs)
    return [(seq, found[seq]) for seq in seqs]


def newest_seqs(conn: sqlite3.Connection, narrowed: Narrowed) -> tuple[list[int], bool]:
    """The newest hits as ``seq``, and whether there are more: at most ``COUNT_LIMIT``."""
    found = narrowed.found
    if found is None:
        where, most = f" AND {narrowed.where}", COUNT_LIMIT + 1
        found = newest_matching(conn, narrowed.expression, most, where, narrowed.values)
    return found[:COUNT_LIMIT], len(found) > COUNT_LIMIT


def count(conn: sqlite3.Connection, narrowed: Narrowed) -> tuple[int, bool]:
    """The number of hits, and whether counting stopped at ``COUNT_LIMIT``."""
    if narrowed.found is not None:
        return len(narrowed.found), False
    total = count_hits(conn, narrowed.expression, f" AND {narrowed.where}", narrowed.values)
    return min(total, COUNT_LIMIT), total > COUNT_LIMIT


def tag_counts(conn: sqlite3.Connection, narrowed: Narrowed) -> list[tuple[str, int]]:
    """The commonest tags of hits, counted in the newest ``MAX_TAGGED``."""
    if not folders.any_tag(conn):
        return []
    if narrowed.found is not None:
        newest = partial.records(conn, narrowed.found[: folders.MAX_TAGGED])
        return folders.most_used(file.tags for file in newest.values())
    rows = conn.execute(
        f"""SELECT f.tags FROM datasette_files_fts {_FILES}
        WHERE datasette_files_fts MATCH ? AND {narrowed.where}
        ORDER BY datasette_files_fts.rowid DESC LIMIT ?""",
        (narrowed.expression, *narrowed.values, folders.MAX_TAGGED),
    )
    return folders.most_used(json.loads(tags) for (tags,) in rows)


def stream(narrowed: Narrowed, more: list[int]) -> Stream:
    """All hits and the files of ``more``, as ``seq``, to be sorted."""
    if narrowed.found is not None:
        by_seq = "f.seq IN (SELECT value FROM json_each(?))"
        return Stream(None, by_seq, (json.dumps([*narrowed.found, *more]),))
    hits = "SELECT rowid FROM datasette_files_fts WHERE datasette_files_fts MATCH ?"
    values: tuple[object, ...] = (narrowed.expression,)
    if more:
        hits, values = f"{hits} UNION SELECT value FROM json_each(?)", (*values, json.dumps(more))
    return Stream(None, f"f.seq IN ({hits}) AND {narrowed.where}", (*values, *narrowed.values))
