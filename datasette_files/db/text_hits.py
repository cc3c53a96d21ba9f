"""The pages of files that have the words of a search, with a snippet of each.

The index is asked once for the files of a list, as each question opens every word anew. Where many
hits of no interest lie between two files, it is asked again from the next file on. Leaves out which
files have hits (text_search.py).
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection
from dataclasses import dataclass

from . import page_words
from .texts import SHIFT, span

#: Pages of a file that a search shows, characters of a snippet, and those before its first mark.
MAX_HITS = 3
_SNIPPET, _BEFORE = 240, 60
#: Characters of a page behind its first mark that a snippet may take.
_SHOWN = 4 * _SNIPPET
#: Hits in a row that are passed by. A new question takes longer than these.
_PASSED = 200
_OPEN, _CLOSE = "\x01", "\x02"
_SPACES = re.compile(r"\s+")
_MARKS = re.compile(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}")


@dataclass(frozen=True)
class Hit:
    """A page with the words. ``marks``: their ``[start, end)`` in ``snippet``, in characters."""

    page: int
    snippet: str
    marks: list[tuple[int, int]]


def hits(
    conn: sqlite3.Connection,
    made: str,
    seqs: Collection[int],
    limit: int = MAX_HITS,
    after: int = 0,
) -> dict[int, list[Hit]]:
    """The first pages of each file with the words, after a page, at most ``limit`` of a file.

    ``made`` is an expression of text_search.py, ``seqs`` are the files.
    """
    found: dict[int, list[Hit]] = {seq: [] for seq in seqs}
    left = sorted(found)
    while left:
        ids, left = _first_rows(conn, made, left, limit, after)
        for seq, hit in _shown(conn, made, ids):
            found[seq].append(hit)
    return found


def _first_rows(
    conn: sqlite3.Connection, made: str, seqs: list[int], limit: int, after: int
) -> tuple[list[int], list[int]]:
    """The ids of a row for each of these pages, and the files for which to ask again."""
    pages: dict[int, set[int]] = {seq: set() for seq in seqs}
    ids: list[int] = []
    passed = 0
    rows = conn.execute(
        """SELECT p.id, p.page FROM datasette_files_pages_fts
        CROSS JOIN datasette_files_pages p ON p.id = datasette_files_pages_fts.rowid
        WHERE datasette_files_pages_fts MATCH ? AND datasette_files_pages_fts.rowid BETWEEN ? AND ?
            AND p.page > ? ORDER BY datasette_files_pages_fts.rowid""",
        (made, span(seqs[0])[0], span(seqs[-1])[1], after),
    )
    for row, page in rows:
        seq = row >> SHIFT
        known = pages.get(seq)
        if known is None or len(known) == limit:
            passed += 1
            if passed == _PASSED:
                return ids, [one for one in seqs if one > seq]
        elif page not in known:  # a long page has several rows
            known.add(page)
            ids.append(row)
            passed = 0
    return ids, []


def _shown(conn: sqlite3.Connection, made: str, ids: list[int]) -> list[tuple[int, Hit]]:
    """The hits of these rows, in the order of their ids, each with its file's ``seq``."""
    if not ids:
        return []
    # With the plus SQLite does not ask the index for each row.
    rows = conn.execute(
        f"""SELECT p.id, p.page, CASE WHEN p.words IS NOT NULL THEN p.text END,
            highlight(datasette_files_pages_fts, 0, '{_OPEN}', '{_CLOSE}')
        FROM datasette_files_pages_fts
        CROSS JOIN datasette_files_pages p ON p.id = datasette_files_pages_fts.rowid
        WHERE datasette_files_pages_fts MATCH ? AND datasette_files_pages_fts.rowid BETWEEN ? AND ?
            AND +p.id IN (SELECT value FROM json_each(?))
        ORDER BY datasette_files_pages_fts.rowid""",
        (made, ids[0], ids[-1], json.dumps(ids)),
    )
    found = []
    for row, page, text, marked in rows:
        shown = marked
        if text is not None:
            begin = marked[: marked.find(_OPEN) + _SHOWN]  # the rest takes long
            shown = page_words.restored(text, begin, _OPEN, _CLOSE)
        found.append((row >> SHIFT, _snippet(page, shown)))
    return found


def _snippet(page: int, marked: str) -> Hit:
    """A piece of the page around its first mark, its white space as single spaces."""
    start = max(marked.find(_OPEN), 0)
    # Wide enough for the spaces that go.
    piece = marked[max(start - 3 * _BEFORE, 0) : start + 3 * _SNIPPET]
    before = max(start - 3 * _BEFORE, 0) > 0
    text = _SPACES.sub(" ", piece)
    at = max(text.find(_OPEN), 0)
    begin = 0
    if at > _BEFORE:
        begin = text.find(" ", at - _BEFORE, at) + 1 or at - _BEFORE
    text = ("…" if before or begin else "") + text[begin:].lstrip()
    plain: list[str] = []
    marks: list[tuple[int, int]] = []
    size = end = 0
    for mark in _MARKS.finditer(text):
        plain.append(text[end : mark.start()])
        size += mark.start() - end
        end = mark.end()
        if size >= _SNIPPET:
            break
        marks.append((size, size + len(mark[1])))
        plain.append(mark[1])
        size += len(mark[1])
    plain.append(text[end:])
    whole = "".join(plain).replace(_OPEN, "").replace(_CLOSE, "").rstrip()
    most = max(_SNIPPET, marks[0][1] if marks else 0)
    if len(whole) > most:
        cut = whole.rfind(" ", most // 2, most)
        end = max(cut, marks[0][1] if marks else 0) if cut > 0 else most
        whole = whole[:end].rstrip() + "…"
        marks = [mark for mark in marks if mark[1] <= end]
    return Hit(page, whole, marks)
