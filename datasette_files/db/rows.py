"""Rows by the names of their columns, so that a record's fields are written down once."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import chain
from typing import Any

#: Rows that one statement inserts. A connection keeps a statement of each of these sizes, the
#: largest with a MB or two; all sizes would be many. SQLite takes 32,766 values.
_SIZES = (2000, 500, 50, 5, 1)


def names_of(record: Any) -> tuple[str, ...]:
    """The field names of a dataclass, which are its table's column names."""
    return tuple(field.name for field in fields(record))


def insert_row(
    conn: sqlite3.Connection,
    table: str,
    row: Mapping[str, object],
    *,
    verb: str = "INSERT",
    condition: str = "",
) -> None:
    """Insert ``{column: value}``. ``condition`` is a WHERE clause that may use ``:column``."""
    values = ", ".join(f":{name}" for name in row)
    conn.execute(f"{verb} INTO {table} ({', '.join(row)}) SELECT {values} {condition}", dict(row))


def insert_rows(
    conn: sqlite3.Connection,
    into: str,
    values: str,
    rows: Sequence[Sequence[object]],
    shared: Sequence[object] = (),
    end: str = "",
) -> None:
    """Insert many rows by few statements: the journal of a statement costs more than its row, and
    after each statement the thread waits for the interpreter's lock, 5 ms beside a busy one.

    ``into`` is a table with its columns, ``values`` their expressions: first ``?1``, ``?2``, … for
    what all rows share, then a ``?`` for each value of a row. ``end`` is an upsert clause.
    """
    start = 0
    for size in _SIZES:
        listed = ", ".join([f"({values})"] * size)
        while len(rows) - start >= size:
            part = chain.from_iterable(rows[start : start + size])
            conn.execute(f"INSERT INTO {into} VALUES {listed} {end}", (*shared, *part))
            start += size
