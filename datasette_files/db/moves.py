"""Files that move or are copied between sources: claims, the change of the row, and copies.

The bytes arrive as an upload (transfer/uploads.py), so the sweeper removes the leftovers of a
crash. A claim lets one process at a time carry a file; the file's row changes in one transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from ..models import FileRecord
from . import audit


def claim(
    conn: sqlite3.Connection, file_id: str, target_id: int, attempt: str, now: float, until: float
) -> bool:
    """Claim the file for an attempt. False while another attempt's claim runs."""
    cursor = conn.execute(
        """INSERT INTO datasette_files_moves (file_id, target_id, claim, claimed_until)
        VALUES (?, ?, ?, ?)
        ON CONFLICT (file_id) DO UPDATE SET target_id = excluded.target_id,
            claim = excluded.claim, claimed_until = excluded.claimed_until
            WHERE datasette_files_moves.claimed_until <= ?""",
        (file_id, target_id, attempt, until, now),
    )
    return cursor.rowcount > 0


def extend(conn: sqlite3.Connection, file_id: str, attempt: str, until: float) -> bool:
    """Move the claim's end. False when the attempt has lost it."""
    cursor = conn.execute(
        "UPDATE datasette_files_moves SET claimed_until = ? WHERE file_id = ? AND claim = ?",
        (until, file_id, attempt),
    )
    return cursor.rowcount > 0


def release(conn: sqlite3.Connection, file_id: str, attempt: str) -> None:
    conn.execute(
        "DELETE FROM datasette_files_moves WHERE file_id = ? AND claim = ?", (file_id, attempt)
    )


def purge(conn: sqlite3.Connection, now: float) -> None:
    """Drop the claims of attempts that died."""
    conn.execute("DELETE FROM datasette_files_moves WHERE claimed_until <= ?", (now,))


def switch(
    conn: sqlite3.Connection, file: FileRecord, target_id: int, path: str, facts: FileRecord
) -> bool:
    """Point the file's row to ``path`` in the target, with the hashes and size of ``facts``.

    False, with nothing changed, where the row is gone or no longer at the place of ``file``.
    """
    cursor = conn.execute(
        """UPDATE datasette_files SET source_id = ?, path = ?, content_hash = ?, crc32 = ?,
            size = ? WHERE id = ? AND source_id = ? AND path = ?""",
        (
            *(target_id, path, facts.content_hash, facts.crc32, facts.size),
            *(file.id, file.source_id, file.path),
        ),
    )
    if cursor.rowcount:
        # The bytes were hashed during the transfer.
        conn.execute("DELETE FROM datasette_files_unhashed WHERE file_id = ?", (file.id,))
        # An entry for those who manage either source; it names no other.
        audit.of_file(conn, "move", file, moved="out")
        audit.of_file(conn, "move", replace(file, source_id=target_id), moved="in")
    return cursor.rowcount > 0


def copy_of(conn: sqlite3.Connection, file_id: str, target_id: int) -> str | None:
    """The id of the file's copy in the target, or None."""
    row = conn.execute(
        """SELECT c.copy_id FROM datasette_files_copies c
        JOIN datasette_files f ON f.id = c.copy_id AND f.source_id = c.target_id
        WHERE c.file_id = ? AND c.target_id = ?""",
        (file_id, target_id),
    ).fetchone()
    return row[0] if row else None


def note_copy(conn: sqlite3.Connection, file_id: str, target_id: int, copy_id: str) -> None:
    conn.execute(
        "INSERT OR REPLACE INTO datasette_files_copies (file_id, target_id, copy_id)"
        " VALUES (?, ?, ?)",
        (file_id, target_id, copy_id),
    )


def forget(conn: sqlite3.Connection, file_id: str) -> None:
    """Delete the record of a deleted file's copies."""
    conn.execute("DELETE FROM datasette_files_copies WHERE file_id = ?", (file_id,))
