"""The rows of a bundle, from a scratch database into a table: all in one transaction, or none.

The scratch database has one table ``rows`` with columns ``c0``, ``c1``, …, as those of imports. Its
columns have the types of the target, so that equal values compare as equal. A row that the table
has already is not added again, so an interrupted restoration can be repeated.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Conflict, Invalid
from ..formats.bag_csv import Value
from ..formats.table_schema import TableSchema
from .bundled import TYPES
from .content import SOURCE, attached, transaction
from .names import quoted
from .target import Existing, existing

_BATCH = 500


@dataclass(frozen=True)
class Plan:
    """A table to restore."""

    schema: TableSchema
    #: The declared types of the columns: the table's, or the bundle's if there is no table.
    types: tuple[str, ...]
    #: The numbers of the columns that identify a row; empty: all of them together.
    key: tuple[int, ...]
    #: Whether the table has to be made.
    makes: bool


@dataclass(frozen=True)
class Comparison:
    """Rows of the bundle, compared with the table."""

    added: int
    present: int


def plan(conn: sqlite3.Connection | None, schema: TableSchema) -> Plan:
    """Fit a bundle's table to the database; None for one that is yet to be made.

    Raises Invalid if the table lacks a column, and Conflict for a view.
    """
    table = None if conn is None else existing(conn, schema.table)
    names = [field.name for field in schema.fields]
    if table is None:
        numbers = tuple(names.index(name) for name in schema.key)
        return Plan(schema, tuple(field.type for field in schema.fields), numbers, True)
    lacking = [name for name in names if name not in table.columns]
    if lacking:
        raise Invalid(
            f"The table {schema.table!r} has no column {lacking[0]!r}; add it, or rename the table"
        )
    types = tuple(TYPES[table.columns[name]] for name in names)
    return Plan(schema, types, _key(table, names), False)


def _key(table: Existing, names: list[str]) -> tuple[int, ...]:
    if not set(table.keys) <= set(names):
        return ()
    return tuple(names.index(name) for name in table.keys)


@contextmanager
def scratch(path: Path, plan: Plan) -> Iterator[sqlite3.Connection]:
    """A new scratch database for the rows. It need not survive a crash, so nothing is flushed."""
    columns = ", ".join(f"c{number} {type_}" for number, type_ in enumerate(plan.types))
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as conn:
        conn.execute("PRAGMA journal_mode = OFF")
        conn.execute("PRAGMA synchronous = OFF")
        conn.execute(f"CREATE TABLE rows ({columns})")
        conn.execute("BEGIN")
        yield conn
        if conn.in_transaction:
            conn.execute("COMMIT")


def fill(conn: sqlite3.Connection, plan: Plan, rows: Iterable[tuple[Any, ...]]) -> int:
    """Add rows to the scratch database. Returns their number."""
    places = ", ".join("?" * len(plan.types))
    return conn.executemany(f"INSERT INTO rows VALUES ({places})", rows).rowcount


def rename_files(path: Path, plan: Plan, renamed: Callable[[str], str]) -> None:
    """Replace ids in the scratch database's file columns. ``renamed`` gives an id's new one."""

    def one(value: Value) -> Value:
        return renamed(value) if isinstance(value, str) else value

    def several(value: Value) -> Value:
        try:
            ids = json.loads(value) if isinstance(value, str) else None
        except (ValueError, RecursionError):
            ids = None
        if not isinstance(ids, list) or not any(isinstance(id_, str) for id_ in ids):
            return value
        changed = [renamed(id_) if isinstance(id_, str) else id_ for id_ in ids]
        return value if changed == ids else json.dumps(changed)

    with closing(sqlite3.connect(path)) as conn, conn:
        conn.create_function("renamed_file", 1, one, deterministic=True)
        conn.create_function("renamed_files", 1, several, deterministic=True)
        for number, kind in plan.schema.file_columns.items():
            function = "renamed_file" if kind == "file" else "renamed_files"
            conn.execute(f"UPDATE rows SET c{number} = {function}(c{number})")


def check(conn: sqlite3.Connection, path: Path, plan: Plan) -> None:
    """Compare the scratch database's rows with the table. Raises Conflict for taken keys."""
    with attached(conn, path):
        _compare(conn, plan)


def _compare(conn: sqlite3.Connection, plan: Plan) -> Comparison:
    (total,) = conn.execute(f"SELECT count(*) FROM {SOURCE}.rows").fetchone()
    if plan.makes:
        return Comparison(total, 0)
    table = quoted(plan.schema.table)
    if not plan.key:
        return Comparison(0, total) if _all_there(conn, plan) else Comparison(total, 0)
    same = " AND ".join(_same(plan, number) for number in range(len(plan.types)))
    joined = f"{SOURCE}.rows s JOIN {table} t ON {_on_key(plan)}"
    taken = conn.execute(
        f"SELECT {', '.join(f's.c{n}' for n in plan.key)} FROM {joined} WHERE NOT ({same}) LIMIT 1"
    ).fetchone()
    if taken is not None:
        shown = ", ".join(str(value)[:100] for value in taken)
        raise Conflict(
            f"{plan.schema.table!r} has another row with the primary key {shown}; change or delete"
            " it, or unbundle into another database"
        )
    (present,) = conn.execute(f"SELECT count(*) FROM {joined}").fetchone()
    return Comparison(total - present, present)


def _name(plan: Plan, number: int) -> str:
    return quoted(plan.schema.fields[number].name)


def _same(plan: Plan, number: int) -> str:
    return f"t.{_name(plan, number)} COLLATE BINARY IS s.c{number}"


def _on_key(plan: Plan) -> str:
    return " AND ".join(f"t.{_name(plan, number)} = s.c{number}" for number in plan.key)


def _all_there(conn: sqlite3.Connection, plan: Plan) -> bool:
    """Tell whether the table has each row as often as the bundle; with SQL that sorts once."""
    columns = ", ".join(f"c{number}" for number in range(len(plan.types)))
    names = ", ".join(f"{_name(plan, number)} AS c{number}" for number in range(len(plan.types)))
    binary = ", ".join(f"c{number} COLLATE BINARY" for number in range(len(plan.types)))
    row = conn.execute(
        f"""SELECT 1 FROM (
            SELECT {columns}, 1 AS number FROM {SOURCE}.rows
            UNION ALL SELECT {names}, -1 FROM {quoted(plan.schema.table)})
        GROUP BY {binary} HAVING sum(number) > 0 LIMIT 1"""
    ).fetchone()
    return row is None


def add(conn: sqlite3.Connection, path: Path, plan: Plan) -> Comparison:
    """Add the rows that the table does not have, in one transaction; make the table if needed.

    Raises Conflict if the table changed since ``plan``, a key is taken, or the table's own rules
    refuse a row.
    """
    with attached(conn, path), transaction(conn):
        if (existing(conn, plan.schema.table) is None) != plan.makes:
            raise Conflict(f"The table {plan.schema.table!r} was changed meanwhile; try again")
        try:
            return _add(conn, plan)
        except sqlite3.IntegrityError as error:
            raise Conflict(
                f"The table {plan.schema.table!r} refuses a row of the bundle ({error}); no row"
                " was added"
            ) from None


def _add(conn: sqlite3.Connection, plan: Plan) -> Comparison:
    found = _compare(conn, plan)
    table = quoted(plan.schema.table)
    if plan.makes:
        conn.execute(_create_sql(plan))
    if found.added:
        names = ", ".join(quoted(field.name) for field in plan.schema.fields)
        columns = ", ".join(f"s.c{number}" for number in range(len(plan.types)))
        new = "true"
        if found.present:
            new = f"NOT EXISTS (SELECT 1 FROM {table} t WHERE {_on_key(plan)})"
        conn.execute(
            f"""INSERT INTO {table} ({names}) SELECT {columns} FROM {SOURCE}.rows s
            WHERE {new} ORDER BY s.rowid"""
        )
    return found


def _create_sql(plan: Plan) -> str:
    parts = [f"{quoted(field.name)} {field.type}" for field in plan.schema.fields]
    if plan.key:
        parts.append(f"PRIMARY KEY ({', '.join(_name(plan, number) for number in plan.key)})")
    return f"CREATE TABLE {quoted(plan.schema.table)} ({', '.join(parts)})"
