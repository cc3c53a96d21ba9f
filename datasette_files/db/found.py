"""One search over files and over the pages of their text: the union, newest first.

Files that match by name, type, tags or search text come from search.py and narrowed.py, those that
match by a page from text_search.py. Leaves out what the actor may see, which the queries hold.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

from ..models import FileRecord
from . import folders, listing, narrowed, partial, search, text_hits, text_search
from .listing import Page
from .narrowed import Narrowed
from .search import COUNT_LIMIT, Matching
from .streams import ListQuery, condition
from .text_search import COUNTED, Found, TextQuery

#: Files that match by a page, which a narrowed or sorted search looks at: the newest, and the hits
#: that are read for them.
_MAX_FILES = 2_000
_MAX_READ = 10_000
#: Files that are asked one by one whether they match by a page.
_FEW = 100


def page(
    conn: sqlite3.Connection, matching: Matching, text: TextQuery, query: ListQuery
) -> Page | None:
    """A page of a search, newest first, without filters; None if no text has the words."""
    before, limit = search.before_of(query.after), query.limit + 1
    counted = text_search.newest(conn, text, None, COUNT_LIMIT + 1, COUNTED)
    if not counted.seqs:
        return None
    if before is None and len(counted.seqs) >= limit:
        by_text = counted.seqs[:limit]
    else:
        by_text = text_search.newest(conn, text, before, limit).seqs
    files, token = _merged(conn, search.rows(conn, matching, before, limit), by_text, query)
    return _counted(conn, files, token, search.newest_seqs(conn, matching), counted)


def narrowed_page(
    conn: sqlite3.Connection, named: Narrowed, text: TextQuery, query: ListQuery
) -> Page | None:
    """A page of a search with filters, or in another order; None if no text has the words."""
    counted = _that_match(conn, named, text, None)
    if not counted.seqs:
        return None
    names = narrowed.newest_seqs(conn, named)
    if query.is_newest_first:
        before, limit = search.before_of(query.after), query.limit + 1
        found = counted if before is None else _that_match(conn, named, text, before)
        by_text = found.seqs[:limit]
        rows = narrowed.newest(conn, named, before, limit)
        files, token = _merged(conn, rows, by_text, query)
    else:
        extra = _without(counted.seqs, named.found if named.found is not None else names[0])
        files, token = listing.page_of(conn, query, [narrowed.stream(named, extra)])
    return _counted(conn, files, token, names, counted)


def _merged(
    conn: sqlite3.Connection,
    by_name: list[tuple[int, FileRecord]],
    by_text: list[int],
    query: ListQuery,
) -> tuple[list[FileRecord], str | None]:
    files = dict(by_name)
    files |= partial.records(conn, [seq for seq in by_text if seq not in files])
    rows = sorted(files.items(), key=lambda row: row[0], reverse=True)
    return [file for _, file in rows[: query.limit]], search.token_after(rows, query.limit)


def _counted(
    conn: sqlite3.Connection,
    files: list[FileRecord],
    token: str | None,
    names: tuple[list[int], bool],
    counted: Found,
) -> Page:
    """The page with the number of files, and their commonest tags."""
    seqs = [*names[0], *_without(counted.seqs, names[0])]
    stopped = names[1] or counted.stopped or len(seqs) > COUNT_LIMIT
    tagged = conn.execute(
        """SELECT f.tags FROM json_each(?) AS wanted
        CROSS JOIN datasette_files f ON f.seq = wanted.value WHERE f.tags != '[]'""",
        (json.dumps(sorted(seqs, reverse=True)[: folders.MAX_TAGGED]),),
    )
    tags = folders.most_used(json.loads(row[0]) for row in tagged)
    total = max(min(len(seqs), COUNT_LIMIT), len(files))
    return Page(files, token, total, stopped, tags=tags)


def _that_match(
    conn: sqlite3.Connection, named: Narrowed, text: TextQuery, before: int | None
) -> Found:
    """The newest files before a ``seq`` whose text has the words, and that the filters leave."""
    few = listing.seqs(conn, named.query, _FEW) if named.query.narrows else None
    if few is not None:
        asked = [seq for seq in few if before is None or seq < before]
        return Found([seq for seq in asked if text_search.has(conn, text.expression, seq)], False)
    found = text_search.newest(conn, text, before, _MAX_FILES, _MAX_READ)
    rows = conn.execute(
        f"""SELECT f.seq FROM json_each(?) AS wanted
        CROSS JOIN datasette_files f ON f.seq = wanted.value WHERE {named.where}""",
        (json.dumps(found.seqs), *named.values),
    )
    return Found([row[0] for row in rows], found.stopped)


def matching(
    conn: sqlite3.Connection, text: TextQuery, query: ListQuery, most: int
) -> list[int] | None:
    """All files of the query whose text has the words; None for more than ``most``."""
    seqs = text_search.newest(conn, text, None, most + 1, 2**31).seqs
    if len(seqs) > most:
        return None
    where, values = condition(conn, query)
    rows = conn.execute(
        f"""SELECT f.seq FROM json_each(?) AS wanted
        CROSS JOIN datasette_files f ON f.seq = wanted.value WHERE {where}""",
        (json.dumps(seqs), *values),
    )
    return [row[0] for row in rows]


def _without(seqs: list[int], names: list[int]) -> list[int]:
    known = frozenset(names)
    return [seq for seq in seqs if seq not in known]


def with_hits(conn: sqlite3.Connection, shown: Page, made: str | None) -> Page:
    """The page with the hits of each of its files."""
    hits: dict[str, list[text_hits.Hit]] = {file.id: [] for file in shown.files}
    if made is not None:
        seqs = _seqs(conn, shown.files)
        found = text_hits.hits(conn, made, seqs.values())
        hits |= {file_id: found[seq] for file_id, seq in seqs.items()}
    return replace(shown, hits=hits)


def _seqs(conn: sqlite3.Connection, files: list[FileRecord]) -> dict[str, int]:
    """The ``seq`` of the files whose text is there."""
    rows = conn.execute(
        """SELECT f.id, f.seq FROM json_each(?) AS wanted
        CROSS JOIN datasette_files f ON f.id = wanted.value
        CROSS JOIN datasette_files_texts t ON t.seq = f.seq AND t.pages > 0""",
        (json.dumps([file.id for file in files]),),
    )
    return {row[0]: row[1] for row in rows}
