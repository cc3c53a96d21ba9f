"""The table that an import makes in a user's database: it appears complete or not at all.

It is filled under a staging name, in several transactions so that other writers get their turn. The
last transaction renames it. Leaves out rows for an existing table (merging.py) and full-text search
(words.py). Every function takes Datasette's write connection, outside of a transaction, unless its
docstring says otherwise.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import Conflict
from . import words
from .content import SOURCE, Content, attached, free_name, legacy_names, selected, transaction
from .names import quoted

_DECLARED = {"integer": "INTEGER", "float": "REAL", "text": "TEXT", "blob": "BLOB"}


@dataclass(frozen=True)
class Existing:
    """A table of the database."""

    name: str
    #: The affinity of each column: integer, float, numeric, text or blob.
    columns: dict[str, str]
    #: The columns of the primary key.
    keys: list[str]
    #: The collation of a primary key of one column.
    collation: str = "BINARY"
    #: Other tables with foreign keys to it, if the connection enforces them.
    referred_by: tuple[str, ...] = ()


def existing(conn: sqlite3.Connection, table: str) -> Existing | None:
    """Return the table, or None. Takes any connection. Raises Conflict for a view."""
    row = _find(conn, table)
    if row is None:
        return None
    if row[1] == "view":
        raise Conflict(
            f"{table!r} is a view; choose another name for the table", field="table_name"
        )
    infos = conn.execute(f"PRAGMA table_info({quoted(table)})").fetchall()
    keys = sorted((info[5], info[1]) for info in infos if info[5])
    any_is_blob = _is_strict(conn, row[0])
    return Existing(
        row[0],
        {
            info[1]: "blob" if any_is_blob and info[2].upper() == "ANY" else affinity(info[2])
            for info in infos
        },
        [name for _, name in keys],
        _key_collation(conn, row[0]),
        _referring(conn, row[0]),
    )


def _find(conn: sqlite3.Connection, name: str) -> tuple[str, str] | None:
    """Return ``(name as the database spells it, "table" or "view")``, or None."""
    row: tuple[str, str] | None = conn.execute(
        """SELECT name, type FROM sqlite_master
        WHERE name = ? COLLATE NOCASE AND type IN ('table', 'view')""",
        (name,),
    ).fetchone()
    return row


def _is_strict(conn: sqlite3.Connection, table: str) -> bool:
    """Tell whether the table is STRICT: its columns of the type ANY convert nothing."""
    if sqlite3.sqlite_version_info < (3, 37, 0):
        return False  # this SQLite has no STRICT tables
    row = conn.execute(
        "SELECT strict FROM pragma_table_list WHERE schema = 'main' AND name = ?", (table,)
    ).fetchone()
    return bool(row and row[0])


def _key_collation(conn: sqlite3.Connection, table: str) -> str:
    """Return the collation of the primary key's index; BINARY for an INTEGER PRIMARY KEY."""
    row = conn.execute(
        """SELECT info.coll FROM pragma_index_list(?) list, pragma_index_xinfo(list.name) info
        WHERE list.origin = 'pk' AND info.key""",
        (table,),
    ).fetchone()
    return str(row[0]).upper() if row else "BINARY"


def _referring(conn: sqlite3.Connection, table: str) -> tuple[str, ...]:
    if not conn.execute("PRAGMA foreign_keys").fetchone()[0]:
        return ()
    rows = conn.execute(
        """SELECT DISTINCT one.name FROM sqlite_master one, pragma_foreign_key_list(one.name) key
        WHERE one.type = 'table' AND key."table" = ? COLLATE NOCASE AND one.name != ?
        ORDER BY one.name""",
        (table, table),
    )
    return tuple(row[0] for row in rows)


def check_replaceable(table: Existing) -> None:
    """Raise Conflict if dropping the table would delete or change rows of other tables.

    SQLite first deletes a dropped table's rows and applies foreign keys to that: ON DELETE CASCADE
    would delete rows of other tables (sqlite.org/foreignkeys.html, 5).
    """
    if table.referred_by:
        raise Conflict(
            f"{table.name!r} cannot be replaced: rows of {', '.join(table.referred_by[:5])} refer"
            " to its rows, and the database enforces that; merge the file, or import it into a new"
            " table",
            field="mode",
        )


def own_name(conn: sqlite3.Connection, name: str) -> str:
    """Return the table's name as the database spells it; the given name if there is no table."""
    row = _find(conn, name)
    return row[0] if row else name


def affinity(declared: str) -> str:
    """Return the affinity of a declared type (sqlite.org/datatype3.html, 3.1)."""
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


def create_staging(conn: sqlite3.Connection, content: Content) -> None:
    """Make the empty staging table with its indexes."""
    with transaction(conn):
        conn.execute(_create_sql(content))
        for column in content.indexes:
            name = free_name(conn, f"idx_{content.table}_{column}")
            conn.execute(
                f"CREATE INDEX {quoted(name)} ON {quoted(content.staging)} ({quoted(column)})"
            )
        if content.search:
            conn.execute(words.create_sql(content))


def create_marker(conn: sqlite3.Connection, staging: str) -> None:
    """Make an empty table. The transaction that adds an import's rows drops it."""
    conn.execute(f"CREATE TABLE {quoted(staging)} (waiting)")


def _create_sql(content: Content) -> str:
    columns = []
    for name, kind in zip(content.columns, content.kinds, strict=True):
        key = " PRIMARY KEY" if name == content.key else ""
        columns.append(f"  {quoted(name)} {_DECLARED[kind]}{key}")
    return f"CREATE TABLE {quoted(content.staging)} (\n" + ",\n".join(columns) + "\n)"


def copy_rows(conn: sqlite3.Connection, content: Content, after: int, upto: int) -> float:
    """Copy the rows after number ``after`` up to ``upto``, from 1; return the seconds taken."""
    begun = time.monotonic()
    names = ", ".join(map(quoted, content.columns))
    with attached(conn, content.path), transaction(conn):
        conn.execute(
            f"""INSERT INTO {quoted(content.staging)} ({names})
            SELECT {selected(content)} FROM {SOURCE}.rows WHERE rowid > ? AND rowid <= ?""",
            (after, upto),
        )
    return time.monotonic() - begun


def appear(
    conn: sqlite3.Connection,
    content: Content,
    replaces: bool,
    confirm: Callable[[], None] | None = None,
) -> None:
    """Rename the staging table to its final name; with ``replaces``, drop the old table first.

    Raises Conflict if another table has the name meanwhile, and as ``confirm``.
    """
    with legacy_names(conn), transaction(conn, confirm):
        old = existing(conn, content.table)
        if old is not None:
            # If only upper and lower case differ, the user did not confirm to replace this table.
            if not replaces or old.name != content.table:
                raise Conflict(f"There is a table {old.name!r} by now; choose another name")
            check_replaceable(old)
            words.drop_with_search(conn, content)
        conn.execute(f"ALTER TABLE {quoted(content.staging)} RENAME TO {quoted(content.table)}")
        if content.search:
            index = free_name(conn, f"{content.table}_fts")
            conn.execute(f"ALTER TABLE {quoted(content.staging_search)} RENAME TO {quoted(index)}")
            words.keep_words(conn, content, index)
