"""Leases: at most one process does a named piece of background work at a time.

Holds too the retry of rows that fail, so that one of them does not stop the others.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable
from typing import TypeVar

_Row = TypeVar("_Row")
_Done = TypeVar("_Done")

logger = logging.getLogger("datasette_files")

#: SQL for the time of the next attempt at a row with ``attempts``. The parameter is the current
#: time; the pause doubles each time, up to an hour.
RETRY_AT = "? + min(3600, 5 * (1 << min(attempts, 10)))"


def acquire(
    conn: sqlite3.Connection, name: str, holder: str, now: float, expires_at: float
) -> bool:
    """Take or renew the lease. False while another holder's has not expired.

    A lease that ends more than twice its length from now was taken before the clock was set back.
    It counts as expired.
    """
    cursor = conn.execute(
        """INSERT INTO datasette_files_leases (name, holder, expires_at) VALUES (?, ?, ?)
        ON CONFLICT (name) DO UPDATE
            SET holder = excluded.holder, expires_at = excluded.expires_at
            WHERE datasette_files_leases.holder = excluded.holder
                OR datasette_files_leases.expires_at <= ?
                OR datasette_files_leases.expires_at > ?""",
        (name, holder, expires_at, now, now + 2 * (expires_at - now)),
    )
    return cursor.rowcount > 0


def give_up(conn: sqlite3.Connection, name: str, holder: str) -> None:
    conn.execute("DELETE FROM datasette_files_leases WHERE name = ? AND holder = ?", (name, holder))


def each(
    conn: sqlite3.Connection,
    rows: Iterable[_Row],
    step: Callable[[_Row], _Done],
    put_off: Callable[[_Row], object],
) -> list[_Done]:
    """Do a step for each row, in the caller's transaction; return the results without failures.

    If a step fails, the error is logged, only that step is undone, and ``put_off`` gets the row.
    """
    done = []
    for row in rows:
        conn.execute("SAVEPOINT each_row")
        try:
            done.append(step(row))
        except Exception:
            logger.exception("%r failed and is put off", row)
            conn.execute("ROLLBACK TO each_row")
            put_off(row)
        conn.execute("RELEASE each_row")
    return done
