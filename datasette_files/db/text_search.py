"""Search in the text of files: the files of which a page has every word, the newest first.

A page row's id begins with its file's ``seq`` (texts.py), so that hits are read in the order of
files, and all of a file but one hit is skipped by a seek. Everything is bounded: hits that are
read, files that are counted, pages and characters of a file's snippets.

Words are those of the tokenizer (unicode61) in the text for the index (page_words.py). The
beginning of a word finds the first words of the index that begin with it; FTS5 would collect every
hit of all of them before it yields one.
"""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from . import page_words, partial, words
from .partial import Parts
from .texts import SHIFT, span

#: Words by which the beginning of one is replaced; fewer if it is a word too. And the fewest
#: characters of a beginning.
_MAX_WORDS = 12
_MAX_BESIDE = 5
_MIN_BEGINNING = 3
#: Hits that are read at once, and for one page of files.
_READ = 200
_MAX_READ = 20_000
#: Single files that are asked one by one.
_MAX_PROBED = 500
#: Hits that are read to count files.
COUNTED = 4_000
_LAST = 2**63 - 1


@dataclass(frozen=True)
class TextQuery:
    """A search as an FTS5 expression, and the sources of which only a part is searched."""

    expression: str
    whole: frozenset[int]
    parts: Parts


@dataclass(frozen=True)
class Found:
    """Files with hits, as ``seq``, the newest first; ``stopped``: there may be more."""

    seqs: list[int]
    stopped: bool


def expression(conn: sqlite3.Connection, q: str) -> str | None:
    """The FTS5 expression for a person's query; None where no page can have all words.

    Every term is quoted, so that no character of the query is syntax. The query is one that
    ``search.check_query`` accepts.
    """
    given = (page_words.term(term) for term in q.replace("\x00", " ").split())
    terms = [term for term in given if any(map(_is_kept, term))]
    if not terms:
        return None
    found = [*map(_exact, terms[:-1]), _beginning(conn, terms[-1])]
    return "{text} : (" + " AND ".join(found) + ")"


def within(made: str, source_ids: list[int]) -> str:
    """The expression for a search in these sources."""
    return f"{made} AND source_id : (" + " OR ".join(f'"{one}"' for one in source_ids) + ")"


def _is_kept(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"


def _exact(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'


def _beginning(conn: sqlite3.Connection, term: str) -> str:
    """An FTS5 expression for a word, and for those that begin with it."""
    exact = _exact(term)
    plain = words.folded(term)  # as the tokenizer spells it
    if len(plain) < _MIN_BEGINNING or not all(map(_is_kept, plain)):
        return exact
    found: list[str] = []
    start = plain
    while len(found) < (_MAX_BESIDE if found[:1] == [plain] else _MAX_WORDS):
        # Seeks from each word to the next, as a common word has a row for each of its hits.
        row = conn.execute(
            "SELECT term FROM datasette_files_page_words WHERE term >= ? LIMIT 1", (start,)
        ).fetchone()
        if row is None or not row[0].startswith(plain):
            break
        found.append(row[0])
        start = row[0] + "\x00"
    if not found:
        return exact
    return "(" + " OR ".join(f'"{one}"' for one in found) + ")"


def newest(
    conn: sqlite3.Connection,
    query: TextQuery,
    before: int | None,
    limit: int,
    most: int = _MAX_READ,
) -> Found:
    """The newest files before a ``seq`` with hits, at most ``limit``, which the actor may see.

    About ``most`` hits are read.
    """
    bound = _LAST if before is None else (before << SHIFT) - 1
    only, rest = partial.divided(query.parts)
    if not (query.whole or rest) and partial.size(only) <= _MAX_PROBED:
        return _probed(conn, query, partial.seqs_of(conn, only), bound, limit)
    found: list[int] = []
    read, rows = 0, _rows(conn, query.expression, bound)
    while batch := rows.fetchmany(_READ):
        seqs = list(dict.fromkeys(row[0] >> SHIFT for row in batch))
        # A file may go on in the next batch.
        found += [seq for seq in _seen(conn, query, seqs) if not found or seq != found[-1]]
        read += len(batch)
        if len(found) >= limit or read >= most:
            return Found(found[:limit], True)
        if len(seqs) == 1:
            rows = _rows(conn, query.expression, (seqs[0] << SHIFT) - 1)  # skip what is left of it
    return Found(found, False)


def _rows(conn: sqlite3.Connection, made: str, bound: int) -> sqlite3.Cursor:
    return conn.execute(
        """SELECT rowid FROM datasette_files_pages_fts
        WHERE datasette_files_pages_fts MATCH ? AND rowid <= ? ORDER BY rowid DESC""",
        (made, bound),
    )


def _probed(
    conn: sqlite3.Connection, query: TextQuery, seqs: list[int], bound: int, limit: int
) -> Found:
    found = []
    for seq in seqs:
        if seq << SHIFT <= bound and has(conn, query.expression, seq):
            found.append(seq)
            if len(found) == limit:
                return Found(found, True)
    return Found(found, False)


def _seen(conn: sqlite3.Connection, query: TextQuery, seqs: Iterable[int]) -> list[int]:
    """Those of the files that the actor may see, in their order; none of a shelf not asked for."""
    wanted = list(seqs)
    rows = conn.execute(
        """SELECT f.seq, f.id, f.shelf FROM json_each(?) AS wanted
        CROSS JOIN datasette_files f ON f.seq = wanted.value""",
        (json.dumps(wanted),),
    )
    seen = {
        row[0]
        for row in rows
        if row[2] in query.whole or (row[2] in query.parts and row[1] in query.parts[row[2]])
    }
    return [seq for seq in wanted if seq in seen]


def has(conn: sqlite3.Connection, made: str, seq: int) -> bool:
    """Tell whether a page of the file is a hit."""
    row = conn.execute(
        """SELECT 1 FROM datasette_files_pages_fts
        WHERE datasette_files_pages_fts MATCH ? AND rowid BETWEEN ? AND ? LIMIT 1""",
        (made, *span(seq)),
    ).fetchone()
    return row is not None
