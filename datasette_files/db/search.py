"""Full-text search, newest first, and its capped count.

The index yields the newest first at no cost; ranking must visit every hit of a common word, which
takes a quarter of a second for 200,000 of them. A source's id is a token in the index, so a search
within some sources intersects lists instead of filtering rows. A prefix is replaced by the words
of the index that begin with it: FTS5 yields a word's hits one by one, but first collects and sorts
those of a prefix. The index holds a text of other spellings and of parts of words (words.py), which
``index_due`` makes for files that triggers noted.
"""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property

from ..errors import Invalid
from ..models import FileRecord
from . import partial, words
from .files import COLUMNS, record
from .folders import MAX_TAGGED, any_tag, most_used
from .partial import Parts
from .partial_hits import Hits
from .tokens import decode_token, encode_token

#: Counting stops here.
COUNT_LIMIT = 1_000
MAX_TERMS = 20
#: Hits of which tags are counted where a part of a source is searched.
_MAX_TAGGED = 100
#: Columns of the index: all that a search reads, and those of names and tags.
COLUMNS_OF_ALL, COLUMNS_OF_NAMES = "filename content_type search_text extra", "filename extra"
_FILES = "CROSS JOIN datasette_files f ON f.seq = datasette_files_fts.rowid"
#: The name of this list in its pages' tokens.
_LIST = "search"
MAX_QUERY_CHARACTERS = 500
#: Words that replace a prefix; a prefix of more words stays one.
_MAX_WORDS = 30
#: Files that get their extra text in one transaction, the characters of their search texts, and
#: those that wait for it.
_MAX_DUE, _MAX_DUE_TEXT = 500, 256 * 1024
_DUE = "FROM datasette_files_terms WHERE extra IS NULL"
#: A term that the index's tokenizer keeps as one token, in lower case.
_PLAIN = re.compile(r"[a-z0-9]+")


def match_expression(
    conn: sqlite3.Connection,
    q: str,
    source_ids: list[int] | None,
    columns: str = COLUMNS_OF_ALL,
) -> str | None:
    """The FTS5 expression for a person's query, or None where no term can match anything.

    Terms are ANDed, each matches by prefix; everything is quoted, so that no character of the query
    is syntax. ``source_ids`` None searches every source; ``columns``: of the index.
    """
    terms = check_query(q)
    if not terms or source_ids == []:
        return None
    matches = " AND ".join(_match(conn, term) for term in terms)
    expression = f"{{{columns}}} : ({matches})"
    if source_ids is not None:
        sources = " OR ".join(f'"{source_id}"' for source_id in source_ids)
        expression += f" AND source_id : ({sources})"
    return expression


def check_query(q: str) -> list[str]:
    """The terms of a query that hold a word. Raises Invalid for too many, or too long a query."""
    if len(q) > MAX_QUERY_CHARACTERS:
        raise Invalid(f"q has more than {MAX_QUERY_CHARACTERS} characters; shorten it")
    terms = [
        term
        for term in q.replace("\x00", " ").split()
        if any(_starts_token(c) for c in words.folded(term))
    ]
    if len(terms) > MAX_TERMS:
        raise Invalid(f"q has more than {MAX_TERMS} words; shorten it")
    return terms


def _match(conn: sqlite3.Connection, term: str) -> str:
    """An FTS5 expression for one term in any spelling, whole or as parts of a word."""
    whole, split = words.folded(term), words.parts(term)
    if split == whole:
        return _beginning(conn, whole)
    if any(words.is_run(character) for character in split):
        return _beginning(conn, split)
    return f"({_beginning(conn, whole)} OR {_beginning(conn, split)})"


def _quoted(term: str) -> str:
    return '"' + term.replace('"', '""') + '"'


def _beginning(conn: sqlite3.Connection, term: str) -> str:
    """An FTS5 expression for the words that begin with a folded term, or for it alone.

    Alone where it ends with a sign, or with a character that is a word.
    """
    last = term.rstrip()[-1]
    if not _in_token(last) or words.is_run(last):
        return _quoted(term)
    prefix = f"{_quoted(term)} *"
    if not _PLAIN.fullmatch(term):
        return prefix
    found = _words(conn, term)
    if len(found) > _MAX_WORDS:
        return prefix
    return "(" + " OR ".join(map(_quoted, found or [term])) + ")"


def _words(conn: sqlite3.Connection, beginning: str) -> list[str]:
    """The index's words that begin so, at most one more than ``_MAX_WORDS``.

    Seeks from each word to the next, as a common word has a row for each of its hits.
    """
    found: list[str] = []
    start = beginning
    while len(found) <= _MAX_WORDS:
        row = conn.execute(
            "SELECT term FROM datasette_files_words WHERE term >= ? LIMIT 1", (start,)
        ).fetchone()
        if row is None or not row[0].startswith(beginning):
            break
        found.append(row[0])
        start = row[0] + "\x00"
    return found


def _starts_token(character: str) -> bool:
    """Tell whether the index's tokenizer keeps the character: letters, numbers, private use."""
    category = unicodedata.category(character)
    return category[0] in "LN" or category == "Co"


def _in_token(character: str) -> bool:
    """Tell whether the tokenizer keeps the character, or it is a combining mark."""
    return _starts_token(character) or unicodedata.category(character)[0] == "M"


@dataclass(frozen=True)
class Matching:
    """A query as FTS5 expressions; None where no term can match anything."""

    #: In sources of which all is searched.
    whole: str | None
    #: In the sources of ``parts``, of each of which a part is searched.
    partly: str | None = None
    parts: Parts = field(default_factory=dict)

    @cached_property
    def in_parts(self) -> Hits | None:
        """The hits in ``parts``, each read once."""
        return None if self.partly is None else Hits(self.partly, self.parts)


def page(
    conn: sqlite3.Connection, matching: Matching, after: str | None, limit: int
) -> tuple[list[FileRecord], str | None]:
    """One page of hits, newest first, and the token of the next or None."""
    found = rows(conn, matching, before_of(after), limit + 1)
    return [file for _, file in found[:limit]], token_after(found, limit)


def rows(
    conn: sqlite3.Connection, matching: Matching, before: int | None, limit: int
) -> list[tuple[int, FileRecord]]:
    """The newest hits before a ``seq``, as ``(seq, file)``; perhaps more than ``limit``."""
    found: list[tuple[int, FileRecord]] = []
    if matching.whole is not None:
        found = newest_hits(conn, matching.whole, before, limit)
    if matching.in_parts is not None:
        seqs = matching.in_parts.newest(conn, before, limit)
        found += partial.records(conn, seqs).items()
        found.sort(key=lambda row: row[0], reverse=True)
    return found


def newest_seqs(conn: sqlite3.Connection, matching: Matching) -> tuple[list[int], bool]:
    """The newest hits as ``seq``, and whether there are more: at most ``COUNT_LIMIT``."""
    found: list[int] = []
    _, stopped = count(conn, matching)
    if matching.whole is not None:
        found = newest_matching(conn, matching.whole, COUNT_LIMIT)
    if matching.in_parts is not None:
        found += matching.in_parts.counted(conn, COUNT_LIMIT)
        found.sort(reverse=True)
    return found[:COUNT_LIMIT], stopped


def newest_matching(
    conn: sqlite3.Connection,
    expression: str,
    limit: int,
    where: str = "",
    values: tuple[object, ...] = (),
) -> list[int]:
    """The newest hits as ``seq``; ``where``: as below."""
    found = conn.execute(
        f"""SELECT datasette_files_fts.rowid FROM datasette_files_fts {_FILES if where else ""}
        WHERE datasette_files_fts MATCH ?{where}
        ORDER BY datasette_files_fts.rowid DESC LIMIT ?""",
        (expression, *values, limit),
    )
    return [row[0] for row in found]


def before_of(token: str | None) -> int | None:
    """The ``seq`` before which a page begins. Raises Invalid for another list's token."""
    return decode_token(_LIST, token)[1] if token is not None else None


def token_after(rows: list[tuple[int, FileRecord]], limit: int) -> str | None:
    """The token of the page after ``limit`` of these hits; None if there are no more."""
    return encode_token(_LIST, "", rows[limit - 1][0]) if len(rows) > limit else None


def newest_hits(
    conn: sqlite3.Connection,
    expression: str,
    before: int | None,
    limit: int,
    where: str = "",
    values: tuple[object, ...] = (),
) -> list[tuple[int, FileRecord]]:
    """The newest hits before a ``seq``, as ``(seq, file)``; ``where``: further conditions."""
    bound = where
    if before is not None:
        bound, values = f"{bound} AND datasette_files_fts.rowid < ?", (*values, before)
    rows = conn.execute(
        f"""SELECT f.seq, {COLUMNS} FROM datasette_files_fts {_FILES}
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE datasette_files_fts MATCH ?{bound}
        ORDER BY datasette_files_fts.rowid DESC LIMIT ?""",
        (expression, *values, limit),
    )
    return [(row[0], record(tuple(row)[1:])) for row in rows]


def count(conn: sqlite3.Connection, matching: Matching) -> tuple[int, bool]:
    """The number of hits, and whether counting stopped, at ``COUNT_LIMIT`` at the latest."""
    total, stopped = 0, False
    if matching.whole is not None:
        total = count_hits(conn, matching.whole)
    if matching.in_parts is not None and total <= COUNT_LIMIT:
        seen, stopped = matching.in_parts.count(conn, COUNT_LIMIT + 1 - total)
        total += seen
    return min(total, COUNT_LIMIT), stopped or total > COUNT_LIMIT


def count_hits(
    conn: sqlite3.Connection, expression: str, where: str = "", values: tuple[object, ...] = ()
) -> int:
    """The number of hits, at most one more than ``COUNT_LIMIT``; ``where``: as above."""
    row = conn.execute(
        f"""SELECT count(*) FROM (SELECT 1 FROM datasette_files_fts {_FILES if where else ""}
            WHERE datasette_files_fts MATCH ?{where} LIMIT ?)""",
        (expression, *values, COUNT_LIMIT + 1),
    ).fetchone()
    return int(row[0])


def tag_counts(conn: sqlite3.Connection, matching: Matching) -> list[tuple[str, int]]:
    """The commonest tags of hits, counted in the newest ones."""
    found: list[tuple[str, ...]] = []
    if not any_tag(conn):
        return []
    if matching.whole is not None:
        rows = conn.execute(
            f"""SELECT f.tags FROM datasette_files_fts {_FILES}
            WHERE datasette_files_fts MATCH ?
            ORDER BY datasette_files_fts.rowid DESC LIMIT ?""",
            (matching.whole, MAX_TAGGED),
        )
        found += [tuple(json.loads(tags)) for (tags,) in rows if tags != "[]"]
    if matching.in_parts is not None:
        seqs = matching.in_parts.counted(conn, _MAX_TAGGED)
        found += [file.tags for file in partial.records(conn, seqs).values()]
    return most_used(found)


def has_other_sources(conn: sqlite3.Connection, source_ids: list[int]) -> bool:
    """Tell whether a source other than these holds a file."""
    marks = ", ".join("?" * len(source_ids))
    row = conn.execute(
        f"SELECT 1 FROM datasette_files_totals WHERE source_id NOT IN ({marks}) LIMIT 1", source_ids
    ).fetchone()
    return row is not None


def any_due(conn: sqlite3.Connection) -> bool:
    """Tell whether a file waits for its extra text."""
    return conn.execute(f"SELECT 1 {_DUE} LIMIT 1").fetchone() is not None


def index_due(conn: sqlite3.Connection) -> bool:
    """Index the extra text of files that wait for it, the newest first; tell whether more wait.

    Ends early once these had ``_MAX_DUE_TEXT``: a hundred KiB take about a tenth of a second, in
    which other writes wait.
    """
    due = conn.execute(f"SELECT seq {_DUE} ORDER BY seq DESC LIMIT ?", (_MAX_DUE,)).fetchall()
    done = 0
    for (seq,) in due:
        if done > _MAX_DUE_TEXT:
            return True
        # As bytes, since another tool may have stored some that are not UTF-8.
        row = conn.execute(
            """SELECT CAST(filename AS BLOB), CAST(search_text AS BLOB), tags
            FROM datasette_files WHERE seq = ?""",
            (seq,),
        ).fetchone()
        if row is None:
            continue
        *texts, tags = row
        filename, text = ((value or b"").decode("utf-8", "replace") for value in texts)
        done += len(text)
        conn.execute(
            "UPDATE datasette_files_terms SET extra = ? WHERE seq = ?",
            (words.extra_words(filename, text, json.loads(tags)), seq),
        )
    return len(due) == _MAX_DUE
