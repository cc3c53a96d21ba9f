"""The tables that an import fills before its last step, closed to all SQL but the import's own.

They stand in the user's database, as only so a last, short transaction makes them appear; and there
everybody who may execute SQL reads every table. SQLite asks an authorizer while it compiles each
statement (sqlite.org/c3ref/set_authorizer.html), and so closes them in every way of Datasette and
of plugins: rows, counts, search, writes, triggers. Names and columns stay in ``sqlite_master``.
Permissions, which give Datasette's pages their 403, are in permissions/staging.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from .content import STAGING_PREFIX

_LENGTH = len(STAGING_PREFIX)
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
    """Close staging tables to this connection. It replaces an authorizer that it may have."""
    conn.set_authorizer(_verdict)


@contextmanager
def opened(conn: sqlite3.Connection) -> Iterator[None]:
    """Open staging tables to this connection, for an import's own step."""
    # No None, which Python 3.10 takes for a callback that fails.
    conn.set_authorizer(_anything)
    try:
        yield
    finally:
        close(conn)


def _anything(*_operation: object) -> int:
    return sqlite3.SQLITE_OK


def _verdict(
    action: int, first: str | None, second: str | None, _schema: str | None, _inner: str | None
) -> int:
    name = second if action in _TABLE_SECOND else first
    if name is None or name[:_LENGTH].lower() != STAGING_PREFIX:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_ANALYZE:
        return sqlite3.SQLITE_IGNORE  # of all tables: this one is left out
    # FTS5 reads its version whenever somebody, as Datasette, looks at the index's columns.
    if action == sqlite3.SQLITE_READ and name.endswith("_fts_config"):
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY
