"""Full-text search of a table that an import makes: its index, filled in steps, and triggers."""

from __future__ import annotations

import re
import sqlite3

from .content import Content, free_name, transaction
from .names import quoted

_CONTENT = re.compile(
    r"""\bcontent\s*=\s*("(?:[^"]|"")*"|'(?:[^']|'')*'|`(?:[^`]|``)*`|\[[^\]]*\]|[^\s,()"'`\[]+)""",
    re.IGNORECASE,
)


def create_sql(content: Content) -> str:
    columns = ", ".join(map(quoted, content.search))
    return (
        f"CREATE VIRTUAL TABLE {quoted(content.staging_search)} USING FTS5"
        f" ({columns}, content={quoted(content.table)})"
    )


def index_words(conn: sqlite3.Connection, content: Content, after: int, size: int) -> int | None:
    """Index the next ``size`` rows; return the rowid of the last one, or None at the end."""
    rows = f"""SELECT rowid FROM {quoted(content.staging)} WHERE rowid > ?
        ORDER BY rowid LIMIT ?"""
    last = conn.execute(f"SELECT max(rowid) FROM ({rows})", (after, size)).fetchone()[0]
    if last is None:
        return None
    names = ", ".join(map(quoted, content.search))
    with transaction(conn):
        conn.execute(
            f"""INSERT INTO {quoted(content.staging_search)} (rowid, {names})
            SELECT rowid, {names} FROM {quoted(content.staging)} WHERE rowid > ? AND rowid <= ?""",
            (after, last),
        )
    return int(last)


def drop_with_search(conn: sqlite3.Connection, content: Content) -> None:
    """Drop the old table and its search indexes.

    Keeps the new table's index, which names the same table.
    """
    tables = conn.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL%'"
    ).fetchall()
    for name, sql in tables:
        if name != content.staging_search and _content_of(sql) == content.table.lower():
            conn.execute(f"DROP TABLE {quoted(name)}")
    conn.execute(f"DROP TABLE {quoted(content.table)}")


def _content_of(sql: str) -> str | None:
    """Return the content table of a search index, in lower case (sqlite.org/fts5.html, 4.4)."""
    found = _CONTENT.search(sql)
    if found is None:
        return None
    name = found[1]
    if name[0] in "\"'`":
        name = name[1:-1].replace(name[0] * 2, name[0])
    elif name[0] == "[":
        name = name[1:-1]
    return name.lower()


def keep_words(conn: sqlite3.Connection, content: Content, index: str) -> None:
    """Make triggers that keep the search index up to date, as sqlite-utils does."""
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
        name = quoted(free_name(conn, f"{content.table}_{suffix}"))
        conn.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {action} END")
