"""Rows for an existing table: added, or merged by primary key, in one transaction; or compared.

Every function takes Datasette's write connection, outside of a transaction, unless it says
otherwise.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import Conflict
from .content import SOURCE, Content, attached, transaction, unspilled
from .names import quoted
from .target import existing


@dataclass(frozen=True)
class Differences:
    """The numbers of rows that a file changes in a table."""

    added: int
    changed: int
    removed: int


def cast(number: int, kind: str) -> str:
    """Return SQL that converts a scratch column to ``kind``, independent of the table's types."""
    match kind:
        case "integer":
            return f"CAST(nullif(c{number}, '') AS INTEGER)"
        case "float":
            return f"CAST(nullif(c{number}, '') AS REAL)"
        case "text":
            return f"CAST(c{number} AS TEXT)"
    return f"c{number}"


def differs(old: str, new: str) -> str:
    """Return SQL that compares two values; upper and lower case differ under every collation.

    Empty text and NULL are equal, as a text file cannot distinguish them.
    """
    return f"nullif({old} COLLATE BINARY, '') IS NOT nullif({new} COLLATE BINARY, '')"


def _check_unchanged(conn: sqlite3.Connection, content: Content) -> None:
    """Raise Conflict if the table's columns differ from those that the rows were fitted to."""
    table = existing(conn, content.table)
    if content.fits is not None and (table is None or table.columns != content.fits):
        raise Conflict(
            f"The columns of {content.table!r} were changed meanwhile; start the import again"
        )


def append(
    conn: sqlite3.Connection, content: Content, confirm: Callable[[], None] | None = None
) -> None:
    """Add all rows to a table, in one transaction. Raises Conflict, and as ``confirm``."""
    names = ", ".join(map(quoted, content.columns))
    # The scratch database stores integers as text, and a column without a type converts nothing.
    values = ", ".join(cast(n, kind) for n, kind in enumerate(content.kinds))
    with attached(conn, content.path), unspilled(conn), transaction(conn, confirm):
        _check_unchanged(conn, content)
        conn.execute(
            f"""INSERT INTO {quoted(content.table)} ({names})
            SELECT {values} FROM {SOURCE}.rows ORDER BY rowid"""
        )
        conn.execute(f"DROP TABLE {quoted(content.staging)}")


def merge(
    conn: sqlite3.Connection,
    content: Content,
    removes: bool,
    confirm: Callable[[], None] | None = None,
) -> Differences:
    """Make the table equal to the file, in one transaction: rows are added and changed by key.

    With ``removes``, rows that are not in the file are deleted. A row without a key stays. Raises
    Conflict, and as ``confirm``.
    """
    key = quoted(content.key or "")
    number = content.columns.index(content.key or "")
    file_key = cast(number, content.kinds[number])
    names = ", ".join(map(quoted, content.columns))
    values = ", ".join(cast(n, kind) for n, kind in enumerate(content.kinds))
    others = [quoted(name) for name in content.columns if name != content.key]
    table = quoted(content.table)
    update = "NOTHING"
    if others:
        changes = ", ".join(f"{name} = excluded.{name}" for name in others)
        any_differs = " OR ".join(differs(f"{table}.{name}", f"excluded.{name}") for name in others)
        update = f"UPDATE SET {changes} WHERE {any_differs}"
    with attached(conn, content.path), unspilled(conn), transaction(conn, confirm):
        _check_unchanged(conn, content)
        removed = 0
        if removes:
            removed = conn.execute(
                f"DELETE FROM {table} WHERE {key} NOT IN (SELECT {file_key} FROM {SOURCE}.rows)"
            ).rowcount
        (before,) = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
        touched = conn.execute(
            f"""INSERT INTO {table} ({names}) SELECT {values} FROM {SOURCE}.rows WHERE true
            ON CONFLICT ({key}) DO {update}"""
        ).rowcount
        (after,) = conn.execute(f"SELECT count(*) FROM {table}").fetchone()
        conn.execute(f"DROP TABLE {quoted(content.staging)}")
    return Differences(after - before, touched - (after - before), removed)


def compare(
    conn: sqlite3.Connection, content: Content, after: int, upto: int
) -> tuple[int, int, int]:
    """Compare the file's rows after number ``after`` up to ``upto``.

    Returns ``(found, changed, total)``: rows whose key is in the table, those of them with other
    values, and all rows of the table with a key (SQLite allows NULL in a primary key other than
    INTEGER PRIMARY KEY). Takes a reading connection.
    """
    number = content.columns.index(content.key or "")
    values = ", ".join(f"{cast(n, kind)} AS v{n}" for n, kind in enumerate(content.kinds))
    differing = [
        differs(f"old.{quoted(name)}", f"new.v{n}")
        for n, name in enumerate(content.columns)
        if name != content.key
    ]
    with attached(conn, content.path):
        found, changed = conn.execute(
            f"""SELECT count(*), ifnull(sum({" OR ".join(differing) or "0"}), 0)
            FROM (SELECT {values} FROM {SOURCE}.rows WHERE rowid > ? AND rowid <= ?) new
            JOIN {quoted(content.table)} old ON old.{quoted(content.key or "")} = new.v{number}""",
            (after, upto),
        ).fetchone()
        (total,) = conn.execute(
            f"SELECT count({quoted(content.key or '')}) FROM {quoted(content.table)}"
        ).fetchone()
    return int(found), int(changed), int(total)
