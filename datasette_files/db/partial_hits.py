"""The hits of a search in sources of which an actor sees only a part (partial.py), newest first.

A few ids are asked one by one whether they are hits. For many, hits are read from the newest on
until a page is full, which is soon unless the part lies far back; then its ids are looked up.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from itertools import islice

from .partial import Parts, divided, likely_rows, seqs_of, size

#: Files that are asked one by one whether they are hits of a search.
_MAX_PROBED = 200
#: Hits that are read at once.
_BATCH = 100
#: Hits that are read to count, and at least before the ids are looked up: whole batches.
_MAX_COUNTED = 5 * _BATCH
#: Hits that are read in the time that it takes to look up one id. Those of a common word, of which
#: most are read, mostly lie side by side in the table.
_HITS_AN_ID = 3
_LAST = 2**63 - 1


class Hits:
    """The hits of one search in parts, for one answer: its page, its count and its tags.

    What one of these has read, the others need not read again.
    """

    def __init__(self, expression: str, parts: Parts) -> None:
        self._expression = expression
        self._parts = parts
        self._only, self._rest = divided(parts)
        self._are_few = not self._rest and size(self._only) <= _MAX_PROBED
        #: Every hit, of few ids.
        self._all: list[int] | None = None
        self._newest: _Reading | None = None

    def newest(self, conn: sqlite3.Connection, before: int | None, limit: int) -> list[int]:
        """The newest hits before a ``seq``, at most ``limit``, as ``seq``."""
        bound = _LAST if before is None else before - 1
        if self._are_few:
            return [seq for seq in self._probed(conn) if seq <= bound][:limit]
        reading = self._read(conn) if before is None else self._reading(conn, bound)
        reading.go_on(limit, self._most(conn, limit))
        if reading.ended or len(reading.found) >= limit:
            return reading.found[:limit]
        seqs = [seq for seq in seqs_of(conn, self._only) if seq <= bound]
        return list(islice(hits_among(conn, self._expression, seqs), limit))

    def count(self, conn: sqlite3.Connection, most: int) -> tuple[int, bool]:
        """The number of hits, at most ``most``, and whether counting stopped."""
        number = len(self.counted(conn, most))
        ended = self._are_few or self._read(conn).all_counted
        return number, not ended or number == most

    def counted(self, conn: sqlite3.Connection, most: int) -> list[int]:
        """The newest hits, at most ``most``, among those that are read to count."""
        if self._are_few:
            return self._probed(conn)[:most]
        reading = self._read(conn)
        reading.go_on(most, _MAX_COUNTED)
        return reading.found[: min(most, reading.counted)]

    def _most(self, conn: sqlite3.Connection, limit: int) -> int | None:
        """The hits that are read before the ids are looked up."""
        if self._rest:
            return None
        return max(_MAX_COUNTED, likely_rows(conn, self._only, limit, _HITS_AN_ID))

    def _probed(self, conn: sqlite3.Connection) -> list[int]:
        if self._all is None:
            seqs = seqs_of(conn, self._only)
            self._all = list(hits_among(conn, self._expression, seqs))
        return self._all

    def _read(self, conn: sqlite3.Connection) -> _Reading:
        if self._newest is None:
            self._newest = self._reading(conn, _LAST)
        return self._newest

    def _reading(self, conn: sqlite3.Connection, bound: int) -> _Reading:
        rows = conn.execute(
            """SELECT f.seq, f.id, f.shelf FROM datasette_files_fts
            CROSS JOIN datasette_files f ON f.seq = datasette_files_fts.rowid
            WHERE datasette_files_fts MATCH ? AND datasette_files_fts.rowid <= ?
            ORDER BY datasette_files_fts.rowid DESC""",
            (self._expression, bound),
        )
        return _Reading(rows, self._parts)


class _Reading:
    """Hits that are read from the newest on, as far as somebody needs them."""

    def __init__(self, rows: sqlite3.Cursor, parts: Parts) -> None:
        self._rows = rows
        # Thousands of hits are asked; a method of a frozenset takes a quarter of Part's own time.
        self._has = {source: part.has for source, part in parts.items()}
        self._count = 0
        #: The hits in the parts, as ``seq``; whether no hit is left unread.
        self.found: list[int] = []
        self.ended = False
        #: How many of them are among the first ``_MAX_COUNTED`` hits; whether there are no others.
        self.counted = 0
        self.all_counted = False

    def go_on(self, limit: int, most: int | None) -> None:
        """Read until ``limit`` hits are found, or ``most`` were read from the first one on."""
        while not self.ended and len(self.found) < limit:
            if most is not None and self._count >= most:
                break
            batch = self._rows.fetchmany(_BATCH)
            self.found += [
                seq
                for seq, file_id, source in batch
                if (has := self._has.get(source)) and has(file_id)
            ]
            self._count += len(batch)
            self.ended = len(batch) < _BATCH
            if self._count <= _MAX_COUNTED:
                self.counted, self.all_counted = len(self.found), self.ended


def hits_among(conn: sqlite3.Connection, expression: str, seqs: list[int]) -> Iterator[int]:
    """Those of the files that are hits, in their order if it is from the newest."""
    if len(seqs) <= _MAX_PROBED:
        ask = (
            "SELECT 1 FROM datasette_files_fts WHERE datasette_files_fts MATCH ?"
            " AND datasette_files_fts.rowid = ?"
        )
        yield from (seq for seq in seqs if conn.execute(ask, (expression, seq)).fetchone())
        return
    # The sign keeps SQLite from asking the index for each of them.
    rows = conn.execute(
        """SELECT datasette_files_fts.rowid FROM datasette_files_fts
        WHERE datasette_files_fts MATCH ? AND datasette_files_fts.rowid BETWEEN ? AND ?
            AND +datasette_files_fts.rowid IN (SELECT value FROM json_each(?))
        ORDER BY datasette_files_fts.rowid DESC""",
        (expression, min(seqs), max(seqs), json.dumps(seqs)),
    )
    yield from (row[0] for row in rows)
