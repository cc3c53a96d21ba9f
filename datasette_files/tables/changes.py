"""Examples of the rows that a comparison found: added, changed, and no longer in the file.

A person looks at them before the merge. Leaves out counting and merging (merging.py). Every
function takes a reading connection outside of a transaction.
"""

from __future__ import annotations

import math
import sqlite3
from typing import Any

from .content import SOURCE, Content, attached
from .merging import cast, differs
from .names import quoted

#: Examples of each kind, columns of an example, and characters of a value.
MAX_ROWS, MAX_COLUMNS, _MAX_TEXT = 20, 12, 200
#: Columns compared by one statement: SQLite returns at most 2,000, and each column takes three.
_SLICE = 500


def shown(value: Any) -> str | int | float | None:
    """Return a value as JSON can hold it; long text is cut, and bytes are counted."""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, str) and len(value) > _MAX_TEXT:
        return value[:_MAX_TEXT] + "…"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value  # type: ignore[no-any-return]


def _new(content: Content) -> str:
    values = ", ".join(f"{cast(n, kind)} AS v{n}" for n, kind in enumerate(content.kinds))
    return (
        f"(SELECT rowid AS number, {values} FROM {SOURCE}.rows WHERE rowid > ? AND rowid <= ?) new"
    )


def _joined(content: Content) -> str:
    key = content.key or ""
    number = content.columns.index(key)
    return f"{_new(content)} JOIN {quoted(content.table)} old ON old.{quoted(key)} = new.v{number}"


def changed(
    conn: sqlite3.Connection, content: Content, after: int, upto: int, limit: int
) -> list[list[Any]]:
    """Return ``[key, [[column, old value, new value], …]]`` of changed rows, in the file's order.

    The file's rows after number ``after`` up to ``upto`` are looked at.
    """
    others = [(n, name) for n, name in enumerate(content.columns) if name != content.key]
    if not others:
        return []
    any_differs = " OR ".join(differs(f"old.{quoted(name)}", f"new.v{n}") for n, name in others)
    key = f"old.{quoted(content.key or '')}"
    with attached(conn, content.path):
        rows = conn.execute(
            f"SELECT number, {key} FROM {_joined(content)} WHERE {any_differs} LIMIT ?",
            (after, upto, limit),
        ).fetchall()
        return [[shown(value), _cells(conn, content, number, others)] for number, value in rows]


def _cells(
    conn: sqlite3.Connection, content: Content, number: int, others: list[tuple[int, str]]
) -> list[list[Any]]:
    """The cells of one row that differ, at most ``MAX_COLUMNS``."""
    cells: list[list[Any]] = []
    for start in range(0, len(others), _SLICE):
        part = others[start : start + _SLICE]
        wanted = ", ".join(
            f"{differs(f'old.{quoted(name)}', f'new.v{n}')}, old.{quoted(name)}, new.v{n}"
            for n, name in part
        )
        row = conn.execute(f"SELECT {wanted} FROM {_joined(content)}", (number - 1, number))
        values = row.fetchone()
        for place, (_, name) in enumerate(part):
            is_other, old, new = values[3 * place : 3 * place + 3]
            if is_other:
                cells.append([name, shown(old), shown(new)])
    return cells[:MAX_COLUMNS]


def added(
    conn: sqlite3.Connection, content: Content, after: int, upto: int, limit: int
) -> list[list[Any]]:
    """Return the first columns of rows whose key is not in the table, in the file's order."""
    key = content.key or ""
    columns = ", ".join(f"new.v{n}" for n in range(len(content.columns))[:MAX_COLUMNS])
    with attached(conn, content.path):
        rows = conn.execute(
            f"""SELECT {columns} FROM {_new(content)} WHERE NOT EXISTS (
                SELECT 1 FROM {quoted(content.table)} old
                WHERE old.{quoted(key)} = new.v{content.columns.index(key)}
            ) LIMIT ?""",
            (after, upto, limit),
        ).fetchall()
    return [list(map(shown, row)) for row in rows]


def removed(conn: sqlite3.Connection, content: Content, limit: int) -> list[list[Any]]:
    """Return the same columns of the table's rows whose key is not in the file."""
    key, number = quoted(content.key or ""), content.columns.index(content.key or "")
    columns = ", ".join(map(quoted, content.columns[:MAX_COLUMNS]))
    with attached(conn, content.path):
        rows = conn.execute(
            f"""SELECT {columns} FROM {quoted(content.table)} WHERE {key} IS NOT NULL
            AND {key} NOT IN (SELECT {cast(number, content.kinds[number])} FROM {SOURCE}.rows)
            LIMIT ?""",
            (limit,),
        ).fetchall()
    return [list(map(shown, row)) for row in rows]
