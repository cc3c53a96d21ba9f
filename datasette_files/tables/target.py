"""The table that an import makes or changes, in a user's database: always whole or not at all.

Rows come from the scratch database, attached read only for as long as one call. A new table is
filled under a staging name, some rows to a transaction so that other writers get their turn, and
gets its own name in the last. Rows for a table that exists go in by one transaction. Every function
takes Datasette's write connection, outside of a transaction, unless it says otherwise.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Conflict, Invalid
from .names import quoted

#: So that nobody takes one for a table of theirs; Datasette hides names that begin so.
STAGING_PREFIX = "_datasette_files_import_"
_SOURCE = "datasette_files_import"
_DECLARED = {"integer": "INTEGER", "float": "REAL", "text": "TEXT", "blob": "BLOB"}
_LEFTOVER_ROWS = 20_000


@dataclass(frozen=True)
class Content:
    """What the scratch database holds, and what is to become of it."""

    #: The scratch database.
    path: Path
    columns: list[str]
    #: For each column integer, float, text or blob.
    kinds: list[str]
    rows: int
    table: str
    staging: str
    key: str | None = None
    indexes: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


@dataclass(frozen=True)
class Differences:
    """What a file changes in a table, in rows."""

    added: int
    changed: int
    removed: int


@dataclass(frozen=True)
class Existing:
    """A table as it is: its columns' names and declared types, and its primary key's columns."""

    columns: dict[str, str]
    keys: list[str]


def existing(conn: sqlite3.Connection, table: str) -> Existing | None:
    """A table; None where there is none. Takes any connection. Raises Conflict for a view."""
    row = conn.execute(
        """SELECT type FROM sqlite_master
        WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')""",
        (table,),
    ).fetchone()
    if row is None:
        return None
    if row[0] == "view":
        raise Conflict(f"{table!r} is a view; choose another name for the table")
    infos = conn.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
    keys = sorted((info[5], info[1]) for info in infos if info[5])
    return Existing({info[1]: info[2] for info in infos}, [name for _, name in keys])


def affinity(declared: str) -> str:
    """What a declared type makes of values (sqlite.org/datatype3.html, 3.1)."""
    name = declared.upper()
    if "INT" in name:
        return "integer"
    if any(part in name for part in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if not name or "BLOB" in name:
        return "blob"
    if any(part in name for part in ("REAL", "FLOA", "DOUB")):
        return "float"
    return "numeric"


@contextmanager
def _attached(conn: sqlite3.Connection, path: Path) -> Iterator[None]:
    conn.execute(f"ATTACH DATABASE ? AS {_SOURCE}", (f"{path.as_uri()}?mode=ro&immutable=1",))
    try:
        yield
    finally:
        conn.execute(f"DETACH DATABASE {_SOURCE}")


@contextmanager
def _transaction(conn: sqlite3.Connection) -> Iterator[None]:
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


def create_staging(conn: sqlite3.Connection, content: Content) -> None:
    """Make the staging table with its indexes, empty: filled bit by bit, they hold nobody up."""
    with _transaction(conn):
        conn.execute(_create_sql(content))
        for column in content.indexes:
            name = _free_name(conn, f"idx_{content.table}_{column}")
            conn.execute(
                f"CREATE INDEX {quoted(name)} ON {quoted(content.staging)} ({quoted(column)})"
            )
        if content.search:
            conn.execute(_search_sql(content))


def create_marker(conn: sqlite3.Connection, staging: str) -> None:
    """Make an empty table that is gone once the rows of an import are in."""
    conn.execute(f"CREATE TABLE {quoted(staging)} (waiting)")


def _create_sql(content: Content) -> str:
    columns = []
    for name, kind in zip(content.columns, content.kinds, strict=True):
        key = " PRIMARY KEY" if name == content.key else ""
        columns.append(f"  {quoted(name)} {_DECLARED[kind]}{key}")
    return f"CREATE TABLE {quoted(content.staging)} (\n" + ",\n".join(columns) + "\n)"


def _search_sql(content: Content) -> str:
    columns = ", ".join(map(quoted, content.search))
    return (
        f"CREATE VIRTUAL TABLE {quoted(content.staging + '_fts')} USING FTS5"
        f" ({columns}, content={quoted(content.table)})"
    )


def _free_name(conn: sqlite3.Connection, wanted: str) -> str:
    name, number = wanted, 1
    while conn.execute(
        "SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE", (name,)
    ).fetchone():
        number += 1
        name = f"{wanted}_{number}"
    return name


def _selected(content: Content) -> str:
    """The scratch database's columns, for columns whose types convert what they hold."""
    return ", ".join(
        f"nullif(c{number}, '')" if kind in ("integer", "float") else f"c{number}"
        for number, kind in enumerate(content.kinds)
    )


def _cast(number: int, kind: str) -> str:
    """A column of the scratch database as the table holds it, to compare with."""
    match kind:
        case "integer":
            return f"CAST(nullif(c{number}, '') AS INTEGER)"
        case "float":
            return f"CAST(nullif(c{number}, '') AS REAL)"
        case "text":
            return f"CAST(c{number} AS TEXT)"
    return f"c{number}"


def copy_rows(conn: sqlite3.Connection, content: Content, after: int, upto: int) -> float:
    """Copy the rows after one and up to another, counted from 1; the seconds that it took."""
    begun = time.monotonic()
    names = ", ".join(map(quoted, content.columns))
    with _attached(conn, content.path), _transaction(conn):
        conn.execute(
            f"""INSERT INTO {quoted(content.staging)} ({names})
            SELECT {_selected(content)} FROM {_SOURCE}.rows WHERE rowid > ? AND rowid <= ?""",
            (after, upto),
        )
    return time.monotonic() - begun


def index_words(conn: sqlite3.Connection, content: Content, after: int, size: int) -> int | None:
    """Put ``size`` rows after one into the search index; the last of them, None at the end."""
    rows = f"""SELECT rowid FROM {quoted(content.staging)} WHERE rowid > ?
        ORDER BY rowid LIMIT ?"""
    last = conn.execute(f"SELECT max(rowid) FROM ({rows})", (after, size)).fetchone()[0]
    if last is None:
        return None
    names = ", ".join(map(quoted, content.search))
    with _transaction(conn):
        conn.execute(
            f"""INSERT INTO {quoted(content.staging + "_fts")} (rowid, {names})
            SELECT rowid, {names} FROM {quoted(content.staging)} WHERE rowid > ? AND rowid <= ?""",
            (after, last),
        )
    return int(last)


def appear(conn: sqlite3.Connection, content: Content, replaces: bool) -> None:
    """Give the staging table its name, in place of the table of that name if that is wanted.

    Raises Conflict where another table has the name meanwhile.
    """
    with _legacy_names(conn), _transaction(conn):
        if existing(conn, content.table) is not None:
            if not replaces:
                raise Conflict(f"There is a table {content.table!r} by now; choose another name")
            _drop_with_search(conn, content.table)
        conn.execute(f"ALTER TABLE {quoted(content.staging)} RENAME TO {quoted(content.table)}")
        if content.search:
            index = _free_name(conn, f"{content.table}_fts")
            conn.execute(
                f"ALTER TABLE {quoted(content.staging + '_fts')} RENAME TO {quoted(index)}"
            )
            _keep_words(conn, content, index)


@contextmanager
def _legacy_names(conn: sqlite3.Connection) -> Iterator[None]:
    """Renaming touches nothing else: a broken view of somebody's is not in the way of it."""
    before = conn.execute("PRAGMA legacy_alter_table").fetchone()[0]
    conn.execute("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        conn.execute(f"PRAGMA legacy_alter_table = {int(before)}")


def _drop_with_search(conn: sqlite3.Connection, table: str) -> None:
    """Drop a table, and the search index over it, which would be about rows that are gone."""
    wanted = (f'content="{table}"', f"content='{table}'", f"content=[{table}]", f"content={table}")
    tables = conn.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL%'"
    ).fetchall()
    for name, sql in tables:
        words = "".join(sql.split()).rstrip(")")
        if any(f"{part}," in words or words.endswith(part) for part in wanted):
            conn.execute(f"DROP TABLE {quoted(name)}")
    conn.execute(f"DROP TABLE {quoted(table)}")


def _keep_words(conn: sqlite3.Connection, content: Content, index: str) -> None:
    """Triggers that keep the search index as the table is, as sqlite-utils makes them."""
    table = quoted(content.table)
    names = ", ".join(map(quoted, content.search))
    new = ", ".join(f"new.{quoted(name)}" for name in content.search)
    old = ", ".join(f"old.{quoted(name)}" for name in content.search)
    add = f"INSERT INTO {quoted(index)} (rowid, {names}) VALUES (new.rowid, {new});"
    remove = (
        f"INSERT INTO {quoted(index)} ({quoted(index)}, rowid, {names})"
        f" VALUES ('delete', old.rowid, {old});"
    )
    for suffix, event, action in (
        ("ai", "INSERT", add),
        ("ad", "DELETE", remove),
        ("au", "UPDATE", f"{remove} {add}"),
    ):
        name = quoted(_free_name(conn, f"{content.table}_{suffix}"))
        conn.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {action} END")


def append(conn: sqlite3.Connection, content: Content) -> None:
    """Add all rows to a table that exists, in one transaction."""
    names = ", ".join(map(quoted, content.columns))
    with _attached(conn, content.path), _transaction(conn):
        conn.execute(
            f"""INSERT INTO {quoted(content.table)} ({names})
            SELECT {_selected(content)} FROM {_SOURCE}.rows ORDER BY rowid"""
        )
        conn.execute(f"DROP TABLE {quoted(content.staging)}")


def merge(conn: sqlite3.Connection, content: Content, removes: bool) -> Differences:
    """Make the table as the file is, in one transaction: by key, rows are added and changed.

    With ``removes``, rows that are not in the file go.
    """
    key = quoted(content.key or "")
    number = content.columns.index(content.key or "")
    cast = _cast(number, content.kinds[number])
    names = ", ".join(map(quoted, content.columns))
    values = ", ".join(_cast(n, kind) for n, kind in enumerate(content.kinds))
    others = [quoted(name) for name in content.columns if name != content.key]
    table = quoted(content.table)
    update = "NOTHING"
    if others:
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        differs = " OR ".join(f"{table}.{name} IS NOT excluded.{name}" for name in others)
        update = f"UPDATE SET {changes} WHERE {differs}"
    with _attached(conn, content.path), _transaction(conn):
        removed = 0
        if removes:
            removed = conn.execute(
                f"DELETE FROM {table} WHERE {key} NOT IN (SELECT {cast} FROM {_SOURCE}.rows)"
            ).rowcount
        (before,) = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
        touched = conn.execute(
            f"""INSERT INTO {table} ({names}) SELECT {values} FROM {_SOURCE}.rows WHERE true
            ON CONFLICT ({key}) DO {update}"""
        ).rowcount
        (after,) = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
        conn.execute(f"DROP TABLE {quoted(content.staging)}")
    return Differences(after - before, touched - (after - before), removed)


def compare(
    conn: sqlite3.Connection, content: Content, after: int, upto: int
) -> tuple[int, int, int]:
    """Of some rows of the file, how many the table has by key, and how many it has otherwise.

    And the rows of the table. Takes a connection that reads.
    """
    number = content.columns.index(content.key or "")
    values = ", ".join(f"{_cast(n, kind)} AS v{n}" for n, kind in enumerate(content.kinds))
    differs = [
        f"old.{quoted(name)} IS NOT new.v{n}"
        for n, name in enumerate(content.columns)
        if name != content.key
    ]
    with _attached(conn, content.path):
        found, changed = conn.execute(
            f"""SELECT count(*), ifnull(sum({" OR ".join(differs) or "0"}), 0)
            FROM (SELECT {values} FROM {_SOURCE}.rows WHERE rowid > ? AND rowid <= ?) new
            JOIN {quoted(content.table)} old ON old.{quoted(content.key or "")} = new.v{number}""",
            (after, upto),
        ).fetchone()
        (total,) = conn.execute(f"SELECT count(*) FROM {quoted(content.table)}").fetchone()
    return int(found), int(changed), int(total)


def exists(conn: sqlite3.Connection, name: str) -> bool:
    """Whether there is a table of exactly this name. Takes any connection."""
    row: Any = conn.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)
    ).fetchone()
    return row is not None


def drop_some(conn: sqlite3.Connection, staging: str) -> bool:
    """Remove some of what a staging table holds, and at last the table. False while there is more.

    Only ever touches a table that an import made.
    """
    if not staging.startswith(STAGING_PREFIX):
        raise Invalid(f"{staging!r} is no staging table")
    with _transaction(conn):
        conn.execute(f"DROP TABLE IF EXISTS {quoted(staging + '_fts')}")
        if not exists(conn, staging):
            return True
        deleted = conn.execute(
            f"""DELETE FROM {quoted(staging)} WHERE rowid IN
            (SELECT rowid FROM {quoted(staging)} LIMIT {_LEFTOVER_ROWS})"""
        ).rowcount
        if deleted < _LEFTOVER_ROWS:
            conn.execute(f"DROP TABLE {quoted(staging)}")
            return True
    return False
