"""Finds the rows of a table whose file column holds a file's id, within limits of time and rows.

A ``file`` column is compared by equality, which can use an index. The text of a ``files`` column is
searched for the id in quotes: no index helps, and searching text is ten times as fast as parsing
JSON. For many ids at once (``held``) each column is read once, whatever their number.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from datasette.utils import (
    detect_primary_keys,
    escape_sqlite,
    path_from_row_pks,
    sqlite_timelimit,
    table_columns,
)

logger = logging.getLogger("datasette_files")

_MAX_LABEL = 100
_UNREADABLE = "%s.%s cannot be searched for files: %s"


@dataclass(frozen=True)
class Row:
    """A row: its keys in the form of Datasette's paths, and its label or None."""

    path: str
    label: str | None


@dataclass(frozen=True)
class Rows:
    """Rows that hold the id, in the order of the table."""

    rows: list[Row]
    #: Whether there are more rows than the limit.
    more: bool
    #: Whether the whole column was searched.
    complete: bool
    #: Whether the column has an index.
    indexed: bool
    #: False if the search ran out of time.
    in_time: bool = True


#: Why a column was not searched to its end: its time was over, or it cannot be read.
Missed = Literal["timeout", "error"]


@dataclass(frozen=True)
class Place:
    """A file column of one database. ``several``: of the type ``files``."""

    table: str
    column: str
    several: bool


#: Result for a column that was not searched, as the time was over.
NOT_SEARCHED = Rows([], more=False, complete=False, indexed=True, in_time=False)


async def find(
    database: Any,
    table: str,
    column: str,
    file_id: str,
    *,
    several: bool,
    limit: int,
    ms: int,
    longest: int,
) -> Rows | None:
    """Return the first ``limit`` rows, within ``ms`` milliseconds; None if there is no such column.

    ``several`` means the type ``files``. There, texts over ``longest`` characters are not arrays of
    ids and are skipped, as the time limit cannot stop a search within one text. Views are not
    searched. A table that cannot be read is logged and counts as not searched.
    """
    values = {
        "text": f'"{file_id}"' if several else file_id,
        "limit": limit + 1,
        "longest": longest,
    }

    def look(conn: sqlite3.Connection) -> tuple[bool, list[str], list[Any] | None] | None:
        if not _has(conn, table, column):
            return None
        keys, indexed = detect_primary_keys(conn, table), _indexed(conn, table, column)
        wanted = ", ".join(map(escape_sqlite, keys or ["rowid"]))
        sql = (
            f"SELECT {wanted} FROM {escape_sqlite(table)}"
            f" WHERE {_holds(column, several)} LIMIT :limit"
        )
        try:
            with sqlite_timelimit(conn, ms):
                return indexed, keys, conn.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            if error.args != ("interrupted",):
                raise
            return indexed, keys, None

    try:
        # Most columns do not hold the file, so everything up to here needs only one thread hop.
        answer = await database.execute_fn(look)
        if answer is None:
            return None
        indexed, keys, found = answer
        if found is None:
            return Rows([], more=False, complete=False, indexed=indexed, in_time=False)
        labels = await _labels(database, table, keys, found[:limit]) if found else []
    except sqlite3.DatabaseError as error:
        logger.warning(_UNREADABLE, table, column, error)
        return Rows([], more=False, complete=False, indexed=True)
    paths = [path_from_row_pks(row, keys, not keys) for row in found[:limit]]
    return Rows([*map(Row, paths, labels)], len(found) > limit, True, indexed)


async def held(
    database: Any,
    places: Sequence[Place],
    ids: Collection[str],
    *,
    ms: int,
    ends: float,
    longest: int,
) -> tuple[set[str], dict[Place, Missed]]:
    """Return those of the ids that a column holds, and the columns not searched to their end.

    Each column gets at most ``ms`` milliseconds, and all together until ``ends``, a monotonic time.
    Views are searched too. ``longest`` as in ``find``. An absent column holds nothing; one that
    cannot be read is logged. The search ends early once every id is found.
    """

    def look(conn: sqlite3.Connection) -> tuple[set[str], dict[Place, Missed]]:
        found: set[str] = set()
        missed: dict[Place, Missed] = {}
        for place in places:
            wanted = [one for one in ids if one not in found]
            if not wanted:
                break
            left = min(ms, int((ends - time.monotonic()) * 1000))
            try:
                if left <= 0:
                    missed[place] = "timeout"
                elif _has(conn, place.table, place.column, ("table", "view")):
                    with sqlite_timelimit(conn, left):
                        found |= _held(conn, place, wanted, longest)
            except sqlite3.DatabaseError as error:
                missed[place] = "timeout" if error.args == ("interrupted",) else "error"
                if missed[place] == "error":
                    logger.warning(_UNREADABLE, place.table, place.column, error)
        return found, missed

    answer: tuple[set[str], dict[Place, Missed]] = await database.execute_fn(look)
    return answer


def _held(conn: sqlite3.Connection, place: Place, ids: list[str], longest: int) -> set[str]:
    table, column = escape_sqlite(place.table), escape_sqlite(place.column)
    among = "IN (SELECT value FROM json_each(:ids))"
    sql = f"SELECT DISTINCT {column} FROM {table} WHERE {column} {among}"
    if place.several:
        valid = f"length(held.{column}) <= :longest AND json_valid(held.{column})"
        # The inner test comes first: json_type raises for text that is no JSON.
        array = f"CASE WHEN {valid} THEN json_type(held.{column}) = 'array' END"
        # A condition on the table alone is tested before its row reaches json_each, which is three
        # times as fast as to choose the text there.
        sql = f"""SELECT DISTINCT one.value FROM {table} AS held
            CROSS JOIN json_each(held.{column}) AS one WHERE {array} AND one.value {among}"""
    rows = conn.execute(sql, {"ids": json.dumps(ids), "longest": longest})
    return {row[0] for row in rows}.intersection(ids)


async def _labels(database: Any, table: str, keys: list[str], rows: list[Any]) -> list[str | None]:
    """Return the labels of the rows with these keys; None for a row without a label."""
    label = await database.label_column_for_table(table)
    if label is None:
        return [None] * len(rows)

    def look(conn: sqlite3.Connection) -> list[str | None]:
        if not _has(conn, table, label):
            return [None] * len(rows)
        where = " AND ".join(f"{escape_sqlite(key)} IS ?" for key in keys or ["rowid"])
        sql = f"SELECT {escape_sqlite(label)} FROM {escape_sqlite(table)} WHERE {where}"
        found = [conn.execute(sql, tuple(row)).fetchone() for row in rows]
        return [_label(row[0] if row else None) for row in found]

    labels: list[str | None] = await database.execute_fn(look)
    return labels


def _has(
    conn: sqlite3.Connection, table: str, column: str, types: tuple[str, ...] = ("table",)
) -> bool:
    """Tell whether there is a table, or another of the types of ``sqlite_master``, with it."""
    found = conn.execute("SELECT type FROM sqlite_master WHERE name = ?", (table,)).fetchall()
    if not any(row[0] in types for row in found):
        return False
    return column in table_columns(conn, table)


def _holds(column: str, several: bool) -> str:
    name = escape_sqlite(column)
    if not several:
        return f"{name} = :text"
    array = f"json_valid({name}) THEN json_type({name}) = 'array' END"
    return f"CASE WHEN length({name}) <= :longest AND instr({name}, :text) AND {array}"


def index_for(table: str, column: str) -> str:
    """Return the statement that makes an index for the search of a ``file`` column."""
    name = escape_sqlite(f"idx_{table}_{column}")
    return f"CREATE INDEX {name} ON {escape_sqlite(table)} ({escape_sqlite(column)})"


def _indexed(conn: sqlite3.Connection, table: str, column: str) -> bool:
    return bool(
        conn.execute(
            """SELECT count(*) FROM pragma_index_list(?) AS list
            WHERE list.partial = 0 AND
            (SELECT name FROM pragma_index_info(list.name) WHERE seqno = 0) = ?""",
            (table, column),
        ).fetchone()[0]
    )


def _label(value: object) -> str | None:
    return None if value in (None, "") else str(value)[:_MAX_LABEL]
