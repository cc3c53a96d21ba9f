"""A table of a user's database on its way into a bundle: its schema, and all of its rows.

Runs on a reading connection. Leaves out the way back (restoring.py) and the CSV (formats/).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import Invalid, NotFound
from ..formats.bag_csv import NULL
from ..formats.table_schema import Field, TableSchema
from .names import quoted
from .target import existing

#: The declared type of a column, by its affinity.
TYPES = {
    "integer": "INTEGER",
    "float": "REAL",
    "numeric": "NUMERIC",
    "text": "TEXT",
    "blob": "BLOB",
}
#: The kind of cells for the types of value that a column holds (SQLite's typeof).
_KINDS = {
    frozenset[str](): "text",
    frozenset({"integer"}): "integer",
    frozenset({"real"}): "number",
    frozenset({"integer", "real"}): "number",
    frozenset({"text"}): "text",
    frozenset({"blob"}): "binary",
}


def kind_of(types: set[str], *, has_nul: bool) -> str:
    """The kind of a column's cells (formats/bag_csv.py), by the types of its values.

    ``has_nul``: a text holds a NUL character, at which readers of CSV stop.
    """
    return "json" if has_nul else _KINDS.get(frozenset(types - {"null"}), "json")


@contextmanager
def snapshot(conn: sqlite3.Connection) -> Iterator[None]:
    """Read one state of the database in all of the block."""
    conn.execute("BEGIN")
    try:
        yield
    finally:
        conn.execute("ROLLBACK")


def schema(
    conn: sqlite3.Connection, database: str, table: str, files: Mapping[str, tuple[str, Any]]
) -> TableSchema:
    """The table's schema. ``files``: the column type and its config, by the name of the column.

    Reads every row, as SQLite lets a column hold any type. Generated columns are left out. Raises
    NotFound, and Conflict for a view.
    """
    found = existing(conn, table)
    if found is None:
        raise NotFound(f"There is no table {table!r} in {database!r}; check its name")
    fields = []
    for name, affinity in found.columns.items():
        types, has_nul = _types(conn, found.name, name)
        kind = kind_of(types, has_nul=has_nul)
        fields.append(Field(name, kind, TYPES[affinity], *files.get(name, (None, None))))
    names = list(found.columns)
    keyed = bool(found.keys) and not _holds(conn, found.name, found.keys, "{} IS NULL", ())
    null, number = NULL, 1
    while _holds(conn, found.name, names, "{} = ?", (null,) * len(names)):
        null, number = f"{NULL}{number}", number + 1
    key = tuple(found.keys) if keyed else ()
    return TableSchema(database, found.name, tuple(fields), key, null)


def _types(conn: sqlite3.Connection, table: str, column: str) -> tuple[set[str], bool]:
    """The types of a column's values, and whether a text holds a NUL character."""
    name = quoted(column)
    rows = conn.execute(
        f"""SELECT typeof({name}), max(typeof({name}) = 'text'
            AND instr(CAST({name} AS BLOB), x'00') > 0) FROM {quoted(table)} GROUP BY 1"""
    ).fetchall()
    return {row[0] for row in rows}, any(row[1] for row in rows)


def _holds(
    conn: sqlite3.Connection, table: str, columns: list[str], test: str, values: tuple[str, ...]
) -> bool:
    where = " OR ".join(test.replace("{}", quoted(name)) for name in columns)
    return bool(
        conn.execute(
            f"SELECT EXISTS (SELECT 1 FROM {quoted(table)} WHERE {where})", values
        ).fetchone()[0]
    )


def rows(
    conn: sqlite3.Connection, schema: TableSchema, write: Callable[[tuple[Any, ...]], None]
) -> int:
    """Pass every row to ``write``; return their number. Raises Invalid for text not in UTF-8."""
    names = ", ".join(quoted(field.name) for field in schema.fields)
    kinds = ", ".join(f"typeof({quoted(field.name)})" for field in schema.fields)
    number, width = 0, len(schema.fields)
    before = conn.text_factory
    # Datasette's own factory replaces what is not UTF-8, unnoticed.
    conn.text_factory = bytes
    try:
        for row in conn.execute(f"SELECT {names}, {kinds} FROM {quoted(schema.table)}"):
            number += 1
            values = zip(tuple(row)[:width], tuple(row)[width:], strict=True)
            write(tuple(_value(value, kind, schema, number) for value, kind in values))
    finally:
        conn.text_factory = before
    return number


def _value(value: Any, kind: bytes, schema: TableSchema, number: int) -> Any:
    if kind != b"text":
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise Invalid(
            f"Row {number:,} of {schema.table!r} holds a text that is not UTF-8; correct it"
        ) from None
