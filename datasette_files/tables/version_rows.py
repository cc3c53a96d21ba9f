"""Puts a file's id into the place of others in the rows of a file column.

Rows are found on a reading connection, within limits, and changed in one transaction, each only if
it still holds the value that was found. Leaves out which columns (columns/version_rows.py) and the
shape of values (columns/types.py).
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from datasette.utils import detect_primary_keys, escape_sqlite, path_from_row_pks, sqlite_timelimit

from .references import Missed, Place

logger = logging.getLogger("datasette_files")


@dataclass(frozen=True)
class Holder:
    """A row that holds one of the ids: its keys, and the cell's text."""

    keys: tuple[Any, ...]
    #: The keys in the form of Datasette's paths.
    path: str
    value: str


@dataclass(frozen=True)
class Holders:
    """The rows of one column that hold one of the ids, in the order of the table."""

    rows: list[Holder]
    #: Whether there are, or may be, more.
    more: bool = False
    #: Why the column was not searched to its end; None if it was.
    missed: Missed | None = None


async def find(
    database: Any, place: Place, ids: Sequence[str], *, limit: int, ms: int, longest: int
) -> Holders:
    """The first ``limit`` rows, within ``ms`` milliseconds. ``longest`` as in ``references.find``.

    A column that cannot be read is logged. Views and absent columns have no rows.
    """

    def look(conn: sqlite3.Connection) -> Holders:
        keys = _keys(conn, place)
        if keys is None:
            return Holders([])
        column = escape_sqlite(place.column)
        where = f"{column} IN (SELECT value FROM json_each(:ids))"
        values = {"ids": json.dumps(ids), "longest": longest, "limit": limit + 1}
        if place.several:
            values |= {f"text{at}": f'"{one}"' for at, one in enumerate(ids)}
            texts = " OR ".join(f"instr({column}, :text{at})" for at in range(len(ids)))
            where = f"""CASE WHEN length({column}) <= :longest AND ({texts}) THEN
                CASE WHEN json_valid({column}) THEN json_type({column}) = 'array' END END"""
        wanted = ", ".join(map(escape_sqlite, keys or ["rowid"]))
        with sqlite_timelimit(conn, ms):
            found = conn.execute(
                f"""SELECT {wanted}, {column} FROM {escape_sqlite(place.table)}
                WHERE {where} LIMIT :limit""",
                values,
            ).fetchall()
        rows = [
            Holder(tuple(row)[:-1], path_from_row_pks(row, keys, not keys), row[-1])
            for row in found[:limit]
        ]
        return Holders(rows, len(found) > limit)

    try:
        holders: Holders = await database.execute_fn(look)
    except sqlite3.DatabaseError as error:
        if error.args == ("interrupted",):
            return Holders([], more=True, missed="timeout")
        logger.warning("%s.%s cannot be searched: %s", place.table, place.column, error)
        return Holders([], more=True, missed="error")
    return holders


async def put(
    database: Any, place: Place, rows: Sequence[Holder], changed: Callable[[str], str | None]
) -> list[Holder]:
    """Write ``changed(value)`` into the rows; return those that were changed.

    A row stays as it is for None, and if it no longer holds the value. Raises
    sqlite3.DatabaseError, as of a trigger or of a table that was altered; then no row is changed.
    """

    def write(conn: sqlite3.Connection) -> list[Holder]:
        keys = _keys(conn, place)
        if keys is None:
            return []
        column = escape_sqlite(place.column)
        found = " AND ".join(f"{escape_sqlite(key)} IS ?" for key in keys or ["rowid"])
        sql = f"UPDATE {escape_sqlite(place.table)} SET {column} = ? WHERE {found} AND {column} = ?"
        done = []
        for row in rows:
            value = changed(row.value)
            if value is not None and len(row.keys) == max(len(keys), 1):
                cursor = conn.execute(sql, (value, *row.keys, row.value))
                done += [row] * (cursor.rowcount > 0)
        return done

    written: list[Holder] = await database.execute_write_fn(write)
    return written


def _keys(conn: sqlite3.Connection, place: Place) -> list[str] | None:
    """The names of the primary key, none for a rowid; None if there is no table with the column."""
    columns = conn.execute(
        """SELECT c.name FROM sqlite_master t, pragma_table_xinfo(t.name) c
        WHERE t.type = 'table' AND t.name = ? AND c.hidden = 0""",
        (place.table,),
    ).fetchall()
    if place.column not in [row[0] for row in columns]:
        return None
    keys: list[str] = detect_primary_keys(conn, place.table)
    return keys
