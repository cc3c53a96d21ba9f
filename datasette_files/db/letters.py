"""Files whose names contain letters: what a search answers where no file has its words.

No index has the letters within a word. So names are read, at most ``MAX_EXAMINED`` of all sources:
those of a source from their index, if these are few enough to read all of them, else the newest.
What the actor may see and the filters stand in the same query. Leaves out the words (search.py).
"""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from itertools import chain

from . import listing, narrowed, partial
from .listing import Letters, Page
from .search import COUNT_LIMIT, check_query
from .streams import ListQuery, condition

#: Names that are read for one search, and how many of them take as long as one of the newest files,
#: for which its row is read.
MAX_EXAMINED = 200_000
_NAMES_A_ROW = 8
#: Files that filters leave, all of which are read.
_FEW = 5_000
#: Files with such names, the newest ones, that are asked for what the actor sees and the filters.
_MAX_NAMED = 2_000
#: Letters of the longest word of a query: fewer are in too many names.
_MIN_LETTERS = 3
#: Files ``f`` whose names are read, as SQL and its values: all of a shelf, its newest, those given.
_Files = tuple[str, tuple[object, ...]]
_ALL = "datasette_files f INDEXED BY datasette_files_by_filename WHERE f.shelf = ?"
_NEWEST = """(SELECT seq FROM datasette_files INDEXED BY datasette_files_by_created
    WHERE shelf = ? ORDER BY created_at DESC, seq DESC LIMIT ?) AS one
    CROSS JOIN datasette_files f ON f.seq = one.seq WHERE true"""
_THESE = "json_each(?) AS one CROSS JOIN datasette_files f ON f.seq = one.value WHERE true"
_ESCAPED = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


def page(conn: sqlite3.Connection, query: ListQuery, q: str) -> Page | None:
    """A page of the files whose names contain each word of ``q``; None where no name was read.

    The total counts at most ``COUNT_LIMIT`` of them. Raises Invalid.
    """
    terms = check_query(q)
    if max(map(len, terms), default=0) < _MIN_LETTERS:
        return None
    examined, letters = _examined(conn, query)
    if letters.examined == 0:
        return None
    named = _named(conn, examined, terms)
    where, values = condition(conn, query)
    rows = conn.execute(
        f"SELECT f.seq FROM {_THESE} AND {where} ORDER BY f.seq DESC LIMIT ?",
        (json.dumps(named[:_MAX_NAMED]), *values, COUNT_LIMIT + 1),
    )
    found = [row[0] for row in rows]
    is_cut = len(named) > _MAX_NAMED or len(found) > COUNT_LIMIT
    hits = narrowed.Narrowed("", query, found[:COUNT_LIMIT], where, values)
    files, token = narrowed.page(conn, hits)
    total, tags = min(len(found), COUNT_LIMIT), narrowed.tag_counts(conn, hits)
    return Page(files, token, total, is_cut, tags=tags, hits={}, letters=letters)


def _named(conn: sqlite3.Connection, examined: list[_Files], terms: list[str]) -> list[int]:
    """The newest of these files whose names contain the terms, as ``seq``."""
    # The longest first, as it is in the fewest names.
    patterns = [_patterns(term) for term in sorted(terms, key=len, reverse=True)]
    like = "f.filename LIKE ? ESCAPE '\\'"
    names = " AND ".join(f"({' OR '.join([like] * len(forms))})" for forms in patterns)
    found: list[int] = []
    for files, values in examined:
        # The others come in this order by themselves.
        order = "ORDER BY f.seq DESC" if files == _ALL else ""
        rows = conn.execute(
            f"SELECT f.seq FROM {files} AND {names} {order} LIMIT ?",
            (*values, *chain.from_iterable(patterns), _MAX_NAMED + 1),
        )
        found += [row[0] for row in rows]
    return sorted(found, reverse=True)


def _examined(conn: sqlite3.Connection, query: ListQuery) -> tuple[list[_Files], Letters]:
    """The files whose names are read, and how many these are."""
    few = listing.seqs(conn, query, _FEW) if query.narrows else None
    if few is not None:
        return [_these(few)], Letters(len(few), complete=True)
    only, rest = partial.divided(query.parts)
    single = partial.seqs_of(conn, only)
    read, left = single[: MAX_EXAMINED // _NAMES_A_ROW], MAX_EXAMINED
    left -= len(read) * _NAMES_A_ROW
    examined, number, complete = [_these(read)], len(read), read == single
    shelves = _files_of(conn, [*query.source_ids, *rest])
    for done, (shelf, files) in enumerate(shelves):
        # An equal share for each; what a small one does not need is for the larger ones.
        share = left // (len(shelves) - done)
        if files <= share:
            examined.append((_ALL, (shelf,)))
            number, left = number + files, left - files
        else:
            newest = min(files, share // _NAMES_A_ROW)
            examined.append((_NEWEST, (shelf, newest)))
            number, left, complete = number + newest, left - share, False
    return examined, Letters(number, complete)


def _these(seqs: list[int]) -> _Files:
    return _THESE, (json.dumps(seqs),)


def _files_of(conn: sqlite3.Connection, shelves: list[int]) -> list[tuple[int, int]]:
    """``(shelf, files)`` of those that hold any, the smallest first."""
    rows = conn.execute(
        """SELECT source_id, sum(files) FROM datasette_files_totals
        WHERE source_id IN (SELECT value FROM json_each(?)) GROUP BY 1 ORDER BY 2""",
        (json.dumps(shelves),),
    )
    return [(row[0], row[1]) for row in rows]


def _patterns(term: str) -> list[str]:
    """The patterns of LIKE for a term in any case, composed or not: LIKE folds ASCII alone."""
    cases = (term,) if term.isascii() else (term, term.lower(), term.upper())
    forms = {unicodedata.normalize(form, case) for form in ("NFC", "NFD") for case in cases}
    escaped = (form.translate(_ESCAPED) for form in sorted(forms))
    return [f"%{form}%" for form in escaped]
