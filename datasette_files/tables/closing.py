"""Staging tables, closed to all SQL except the import's own.

Staging tables are in the user's database, so that the last transaction only renames one. Everybody
who may execute SQL could read them there. SQLite asks an authorizer while it compiles a statement
(sqlite.org/c3ref/set_authorizer.html), which closes them to Datasette and to plugins: rows, counts,
search, writes, triggers. Names and columns stay in ``sqlite_master``, and ``VACUUM`` works. Leaves
out permissions, which give Datasette's pages their 403 (permissions/staging.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from .content import SEARCH, STAGING_PREFIX

_LENGTH = len(STAGING_PREFIX)
#: How the name of the database begins that VACUUM attaches to copy all tables (SQLite's vacuum.c).
#: Datasette refuses ATTACH and VACUUM to people.
_VACUUM = "vacuum_"
#: Operations that name the table second.
_TABLE_SECOND = frozenset(
    {
        sqlite3.SQLITE_ALTER_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_CREATE_TEMP_TRIGGER,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_DROP_TRIGGER,
    }
)


def close(conn: sqlite3.Connection) -> None:
    """Close staging tables to this connection. Replaces the connection's authorizer, if any."""
    conn.set_authorizer(_verdict)


@contextmanager
def opened(conn: sqlite3.Connection) -> Iterator[None]:
    """Open staging tables to this connection, for an import's own step."""
    # Python 3.10 takes None for a callback that fails.
    conn.set_authorizer(_anything)
    try:
        yield
    finally:
        close(conn)


def _anything(*_operation: object) -> int:
    return sqlite3.SQLITE_OK


def _verdict(
    action: int, first: str | None, second: str | None, schema: str | None, _inner: str | None
) -> int:
    name = second if action in _TABLE_SECOND else first
    if name is None or name[:_LENGTH].lower() != STAGING_PREFIX:
        return sqlite3.SQLITE_OK
    if schema is not None and schema.startswith(_VACUUM):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_ANALYZE:
        return sqlite3.SQLITE_IGNORE  # of all tables: this one is left out
    # FTS5 reads its version whenever somebody, as Datasette, looks at the index's columns.
    if action == sqlite3.SQLITE_READ and name.endswith(SEARCH + "_config"):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
