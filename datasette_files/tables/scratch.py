"""The scratch database: one table ``rows`` in a private file, with the rows of an imported file.

The import's own process fills it; then the server attaches it, read only, and copies the rows. Its
columns have no type: integers are stored as text, floats as floats. SQLite converts them to the
types of the target table.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from ..formats.base import MAX_COLUMNS

#: Rows, and variables, of one statement; SQLite before 3.32 takes 999 variables.
_MAX_ROWS, _MAX_VARIABLES = 50, 999
_PAGE = 16 * 1024
#: Instructions of SQLite's virtual machine between two calls of ``tell``.
_STEPS = 1_000_000
#: Infinity. SQLite compares a text with it as a number if the text looks like one
#: (sqlite.org/datatype3.html, 4.2); any other text is larger.
_BEYOND = "CAST(9e999 AS NUMERIC)"
#: Every integer up to this one is exact as a float.
_MAX_EXACT = 2**53


def _names(columns: int) -> str:
    return ", ".join(f"c{number}" for number in range(columns))


class Scratch:
    """A new scratch database. It need not survive a crash, so nothing is flushed.

    ``tell`` is called regularly, also during long statements, to report progress.
    """

    def __init__(self, path: Path, columns: int, tell: Callable[[], None]) -> None:
        self._conn = sqlite3.connect(path, isolation_level=None)
        self._conn.set_progress_handler(tell, _STEPS)
        self._conn.execute(f"PRAGMA page_size = {_PAGE}")
        self._conn.execute("PRAGMA journal_mode = OFF")
        self._conn.execute("PRAGMA synchronous = OFF")
        self._conn.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._conn.execute("PRAGMA cache_size = -4096")
        self._width = 0
        self._begin(columns)

    def _begin(self, columns: int) -> None:
        self._conn.execute("BEGIN")
        self._conn.execute(f"CREATE TABLE rows ({_names(columns)})")
        #: Columns of the table; the first ``_width`` are in use.
        self._room = columns
        self._set_width(columns)

    def _set_width(self, columns: int) -> None:
        self._width = columns
        row = f"({', '.join('?' * columns)})"
        # Several rows per statement take half the time.
        self._together = max(1, min(_MAX_ROWS, _MAX_VARIABLES // columns))
        into = f"INSERT INTO rows ({_names(columns)}) VALUES"
        self._insert = f"{into} {row}"
        self._insert_many = f"{into} {', '.join([row] * self._together)}"

    def widen(self, columns: int) -> None:
        """Make room for ``columns`` columns; if needed, copy the rows to a wider table.

        Each ALTER TABLE would read the whole schema again: two thousand take half a minute.
        """
        if columns > self._room:
            empty = self._conn.execute("SELECT 1 FROM rows LIMIT 1").fetchone() is None
            # Doubling the columns keeps the number of copies small.
            room = columns if empty else max(columns, min(2 * self._room, MAX_COLUMNS))
            names = _names(self._room)
            self._conn.execute(f"CREATE TABLE wider ({_names(room)})")
            self._conn.execute(
                f"INSERT INTO wider (rowid, {names}) SELECT rowid, {names} FROM rows ORDER BY rowid"
            )
            self._conn.execute("DROP TABLE rows")
            self._conn.execute("ALTER TABLE wider RENAME TO rows")
            self._room = room
        if columns > self._width:
            self._set_width(columns)

    def add(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows that have a value for each column."""
        values = list(chain.from_iterable(rows))
        size = self._together * self._width
        whole = len(values) - len(values) % size
        for start in range(0, whole, size):
            self._conn.execute(self._insert_many, values[start : start + size])
        for start in range(whole, len(values), self._width):
            self._conn.execute(self._insert, values[start : start + self._width])

    def begin_again(self) -> None:
        """Delete all rows."""
        self._conn.execute("COMMIT")
        self._conn.execute("DROP TABLE rows")
        self._begin(self._width)

    def first_without(self, column: int) -> int | None:
        """Return the number of the first row without a value in the column, or None."""
        row = self._conn.execute(
            f"SELECT rowid FROM rows WHERE ifnull(c{column}, '') = '' LIMIT 1"
        ).fetchone()
        return int(row[0]) if row else None

    def make_key(self, column: int, kind: str, collation: str) -> tuple[str, int] | None:
        """Make the column unique under ``collation``; return None on success.

        If a value is repeated, returns ``(value, row)``.
        """
        # A column of floats may hold integers as text.
        value = f"CAST(c{column} AS REAL)" if kind == "float" else f"c{column}"
        value = f"{value} COLLATE {collation}"
        try:
            self._conn.execute(f"CREATE UNIQUE INDEX key ON rows ({value})")
        except sqlite3.IntegrityError:
            again, row = self._conn.execute(
                f"""SELECT c{column}, max(rowid) FROM rows GROUP BY {value}
                HAVING count(*) > 1 LIMIT 1"""
            ).fetchone()
            return str(again), int(row)
        return None

    def first_changed(self, column: int, kind: str, affinity: str) -> tuple[str, int] | None:
        """Return ``(value, row)`` of the first value that a number column would change, or None.

        ``kind`` is the type of the values, ``affinity`` the column's: integer, float or numeric.
        """
        text, number = f"CAST(c{column} AS TEXT)", f"CAST(c{column} AS INTEGER)"
        # 2**63 - 1 is not exact as a float, although casting the nearest float returns it.
        rounded = f"""({number} NOT BETWEEN {-_MAX_EXACT} AND {_MAX_EXACT}
            AND ({number} = {2**63 - 1} OR CAST(CAST({number} AS REAL) AS INTEGER) <> {number}))"""
        if kind == "text":
            changed = f"CAST(CAST({text} AS NUMERIC) AS TEXT) IS NOT {text}"
            test = f"{text} <= {_BEYOND} AND {changed}"
            if affinity != "numeric":
                lost = f"{changed} OR {rounded}" if affinity == "float" else changed
                test = f"{text} <> '' AND ({text} > {_BEYOND} OR {lost})"
        elif kind == "integer" and affinity == "float":
            test = rounded
        elif kind == "float" and affinity == "integer":
            test = f"CAST(c{column} AS REAL) <> {number}"
        else:
            return None
        row = self._conn.execute(
            f"SELECT {text}, rowid FROM rows WHERE {test} ORDER BY rowid LIMIT 1"
        ).fetchone()
        return (str(row[0]), int(row[1])) if row else None

    def size(self) -> int:
        """Return the bytes of the pages in use."""
        (pages,) = self._conn.execute("PRAGMA page_count").fetchone()
        (free,) = self._conn.execute("PRAGMA freelist_count").fetchone()
        return (int(pages) - int(free)) * _PAGE

    def close(self) -> None:
        """Commit and close."""
        self._conn.execute("COMMIT")
        self._conn.close()
