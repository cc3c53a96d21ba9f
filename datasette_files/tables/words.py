"""Full-text search of a table that an import makes: its index, filled bit by bit, and triggers."""

from __future__ import annotations

import sqlite3

from .content import Content, free_name, transaction
from .names import quoted


def create_sql(content: Content) -> str:
    columns = ", ".join(map(quoted, content.search))
    return (
        f"CREATE VIRTUAL TABLE {quoted(content.staging + '_fts')} USING FTS5"
        f" ({columns}, content={quoted(content.table)})"
    )


def index_words(conn: sqlite3.Connection, content: Content, after: int, size: int) -> int | None:
    """Put ``size`` rows after one into the search index; the last of them, None at the end."""
    rows = f"""SELECT rowid FROM {quoted(content.staging)} WHERE rowid > ?
        ORDER BY rowid LIMIT ?"""
    last = conn.execute(f"SELECT max(rowid) FROM ({rows})", (after, size)).fetchone()[0]
    if last is None:
        return None
    names = ", ".join(map(quoted, content.search))
    with transaction(conn):
        conn.execute(
            f"""INSERT INTO {quoted(content.staging + "_fts")} (rowid, {names})
            SELECT rowid, {names} FROM {quoted(content.staging)} WHERE rowid > ? AND rowid <= ?""",
            (after, last),
        )
    return int(last)


def drop_with_search(conn: sqlite3.Connection, table: str) -> None:
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


def keep_words(conn: sqlite3.Connection, content: Content, index: str) -> None:
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
        name = quoted(free_name(conn, f"{content.table}_{suffix}"))
        conn.execute(f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {action} END")
