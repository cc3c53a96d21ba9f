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


def due(
    conn: sqlite3.Connection, source_id: int, now: float
) -> tuple[str, str | None, int | None] | None:
    """``(id, path, size)`` of the next file to hash, or None; ``path`` is None if it is deleted."""
    row: tuple[str, str | None, int | None] | None = conn.execute(
        """SELECT u.file_id, f.path, f.size FROM datasette_files_unhashed u
            INDEXED BY datasette_files_unhashed_due
        LEFT JOIN datasette_files f ON f.id = u.file_id
        WHERE u.source_id = ? AND u.not_before <= ? ORDER BY u.not_before LIMIT 1""",
        (source_id, now),
    ).fetchone()
    return row


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
