"""Files whose sha256 or crc32 is not known yet, as their bytes did not pass through Datasette.

A file without a sha256 is queued when its row is written. ``queue_more`` walks the files without a
crc32 in the order of ``seq``, each once, also those of other tools and of older releases.
"""

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


def without_crc32(conn: sqlite3.Connection, source_id: int, limit: int) -> list[tuple[int, str]]:
    """``(seq, id)`` of the next files that have no crc32 and were not queued for that."""
    return conn.execute(
        """SELECT seq, id FROM datasette_files INDEXED BY datasette_files_without_crc32
        WHERE source_id = ? AND crc32 IS NULL AND seq > ifnull((SELECT CAST(value AS INTEGER)
            FROM datasette_files_state WHERE key = ?), 0)
        ORDER BY seq LIMIT ?""",
        (source_id, _walk(source_id), limit),
    ).fetchall()


def queue_more(conn: sqlite3.Connection, source_id: int, limit: int) -> None:
    """Queue the next files that have no crc32, each once."""
    found = without_crc32(conn, source_id, limit)
    for _, file_id in found:
        add(conn, file_id, source_id)
    if found:
        conn.execute(
            "INSERT OR REPLACE INTO datasette_files_state (key, value) VALUES (?, ?)",
            (_walk(source_id), found[-1][0]),
        )


def _walk(source_id: int) -> str:
    """The key under which the last ``seq`` of the walk is kept."""
    return f"crc32 {source_id}"


def done(conn: sqlite3.Connection, file_id: str, hashes: tuple[str, str | None] | None) -> None:
    """Store the file's content hash and crc32 and take it off the queue; None only takes it off."""
    conn.execute("DELETE FROM datasette_files_unhashed WHERE file_id = ?", (file_id,))
    if hashes is not None:
        conn.execute(
            "UPDATE datasette_files SET content_hash = ?, crc32 = ? WHERE id = ?",
            (*hashes, file_id),
        )


def postpone(conn: sqlite3.Connection, file_id: str, now: float) -> None:
    """Try the file again later: each time later, up to an hour apart."""
    conn.execute(
        f"""UPDATE datasette_files_unhashed SET attempts = attempts + 1, not_before = {RETRY_AT}
        WHERE file_id = ?""",
        (now, file_id),
    )
