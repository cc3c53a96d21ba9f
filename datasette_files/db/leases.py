"""Leases: at most one process does a named piece of background work at a time."""

from __future__ import annotations

import sqlite3


def acquire(
    conn: sqlite3.Connection, name: str, holder: str, now: float, expires_at: float
) -> bool:
    """Take or renew the lease. False while another holder's has not expired."""
    cursor = conn.execute(
        """INSERT INTO datasette_files_leases (name, holder, expires_at) VALUES (?, ?, ?)
        ON CONFLICT (name) DO UPDATE
            SET holder = excluded.holder, expires_at = excluded.expires_at
            WHERE datasette_files_leases.holder = excluded.holder
                OR datasette_files_leases.expires_at <= ?""",
        (name, holder, expires_at, now),
    )
    return cursor.rowcount > 0


def give_up(conn: sqlite3.Connection, name: str, holder: str) -> None:
    conn.execute("DELETE FROM datasette_files_leases WHERE name = ? AND holder = ?", (name, holder))
