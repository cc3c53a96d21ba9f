"""Files whose sha256 is not known yet, as their bytes did not pass through Datasette."""

from __future__ import annotations

import sqlite3

from .leases import RETRY_AT


def add(conn: sqlite3.Connection, file_id: str, source_id: int) -> None:
    """Queue the file for hashing, due now."""
    conn.execute(
        """INSERT OR IGNORE INTO datasette_files_unhashed (file_id, source_id, not_before)
        VALUES (?, ?, 0)""",
        (file_id, source_id),
    )


def due(conn: sqlite3.Connection, source_id: int, now: float) -> str | None:
    """The id of the next file to hash, or None. The file may be deleted."""
    row = conn.execute(
        """SELECT file_id FROM datasette_files_unhashed INDEXED BY datasette_files_unhashed_due
        WHERE source_id = ? AND not_before <= ? ORDER BY not_before LIMIT 1""",
        (source_id, now),
    ).fetchone()
    return None if row is None else str(row[0])


def done(conn: sqlite3.Connection, file_id: str, content_hash: str | None) -> None:
    """Store the file's hash and take it off the queue; None only takes it off."""
    conn.execute("DELETE FROM datasette_files_unhashed WHERE file_id = ?", (file_id,))
    if content_hash is not None:
        conn.execute(
            "UPDATE datasette_files SET content_hash = ? WHERE id = ?", (content_hash, file_id)
        )


def postpone(conn: sqlite3.Connection, file_id: str, now: float) -> None:
    """Try the file again later: each time later, up to an hour apart."""
    conn.execute(
        f"""UPDATE datasette_files_unhashed SET attempts = attempts + 1, not_before = {RETRY_AT}
        WHERE file_id = ?""",
        (now, file_id),
    )
