"""Removal of tables that an import left in a user's database. Touches staging tables only."""

from __future__ import annotations

import sqlite3

from ..errors import Invalid
from .content import LEFT, SEARCH, STAGING_PREFIX, legacy_names, transaction
from .names import quoted

#: Rows removed by one transaction, as other writers wait for it.
_MAX_ROWS = 20_000


def begin(conn: sqlite3.Connection, staging: str) -> bool:
    """Rename a staging table, so that an import that still runs fails at its last step.

    Returns False if there is no table to remove.
    """
    _check(staging)
    with legacy_names(conn), transaction(conn):
        conn.execute(f"DROP TABLE IF EXISTS {quoted(staging + SEARCH)}")
        if not _exists(conn, staging):
            return _exists(conn, staging + LEFT)
        conn.execute(f"ALTER TABLE {quoted(staging)} RENAME TO {quoted(staging + LEFT)}")
    return True


def drop_some(conn: sqlite3.Connection, staging: str) -> bool:
    """Remove some rows, or the empty table itself at the end. Returns True if rows remain."""
    _check(staging)
    name = quoted(staging + LEFT)
    try:
        with transaction(conn):
            deleted = conn.execute(
                f"DELETE FROM {name} WHERE _rowid_ IN (SELECT _rowid_ FROM {name} LIMIT ?)",
                (_MAX_ROWS,),
            ).rowcount
            if deleted < _MAX_ROWS:
                conn.execute(f"DROP TABLE {name}")
    except sqlite3.OperationalError as error:
        if "full" not in str(error):
            raise
        _drop_without_room(conn, name)
        return False
    return bool(deleted >= _MAX_ROWS)


def _drop_without_room(conn: sqlite3.Connection, name: str) -> None:
    """Drop a table on a full disk, in one step.

    Deleting or overwriting rows copies their pages to the journal first, which needs the same space
    again. Freeing pages does not.
    """
    (before,) = conn.execute("PRAGMA secure_delete").fetchone()
    conn.execute("PRAGMA secure_delete = 0").fetchone()
    try:
        with transaction(conn):
            conn.execute(f"DROP TABLE {name}")
    finally:
        conn.execute(f"PRAGMA secure_delete = {'FAST' if before == 2 else int(before)}").fetchone()


def _check(staging: str) -> None:
    if not staging.startswith(STAGING_PREFIX):
        raise Invalid(f"{staging!r} is not a staging table")


def _exists(conn: sqlite3.Connection, name: str) -> bool:
    row = conn.execute(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (name,)
    ).fetchone()
    return row is not None
