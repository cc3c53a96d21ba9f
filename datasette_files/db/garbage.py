"""Notes of bytes that nothing refers to any more, made before the bytes are deleted.

A deletion removes a file's row and notes its path here, in one transaction; then the bytes are
deleted; then the note is done. So after a crash at any point, no row lacks its bytes and no bytes
are forgotten. Done notes stay for a day, to answer a repeated deletion, and because a walk may
have listed the path before its bytes were deleted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from .leases import RETRY_AT


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes that nothing refers to any more, waiting to be deleted."""

    id: int
    source_slug: str
    path: str
    #: The storage's state of a direct or appended upload, as JSON: then only that upload's bytes
    #: are to be deleted, and not the file at the path.
    instructions: str | None = None


def add(
    conn: sqlite3.Connection,
    source_id: int,
    path: str,
    file_id: str | None = None,
    actor_id: str | None = None,
    not_before: float = 0,
) -> int:
    """Note a path to delete at ``not_before`` (seconds since the epoch); return the note's id."""
    cursor = conn.execute(
        """INSERT INTO datasette_files_garbage (source_id, path, file_id, actor_id, not_before)
        VALUES (?, ?, ?, ?, ?)""",
        (source_id, path, file_id, actor_id, not_before),
    )
    return cursor.lastrowid or 0


def add_sent(
    conn: sqlite3.Connection,
    upload_id: str,
    lifetime: float,
    states: Iterable[str] = ("instructions", "parts_state"),
) -> None:
    """Note the bytes that the client of an ended direct upload has sent, or may still send.

    Due ``lifetime`` seconds after a URL was last signed for it, when that has expired. ``states``
    are columns of the upload with the storage's state, by which the storage finds the bytes.
    """
    for state in states:
        conn.execute(
            f"""INSERT INTO datasette_files_garbage (source_id, path, instructions, not_before)
            SELECT source_id, path, {state}, coalesce(signed_at, created_at) + ?
            FROM datasette_files_uploads WHERE id = ? AND {state} IS NOT NULL""",
            (lifetime, upload_id),
        )


def add_appended(conn: sqlite3.Connection, upload_id: str) -> None:
    """Note the bytes that were appended for an upload that goes on, to be discarded now."""
    conn.execute(
        """INSERT INTO datasette_files_garbage (source_id, path, instructions, not_before)
        SELECT u.source_id, u.path, r.state, 0 FROM datasette_files_uploads u
        JOIN datasette_files_resuming r ON r.upload_id = u.id WHERE u.id = ?""",
        (upload_id,),
    )


def ensure(conn: sqlite3.Connection, source_id: int, path: str) -> list[int]:
    """Return the ids of the path's open notes; make one if there is none.

    The list is empty for the path of a file, in the trash too, as its bytes are not garbage.
    """
    if _is_in_use(conn, source_id, path):
        return []
    return _open_notes(conn, source_id, path) or [add(conn, source_id, path)]


def is_noted(conn: sqlite3.Connection, source_id: int, path: str) -> bool:
    """Tell whether the object at the path waits to be deleted, so that nothing may be put there."""
    return bool(_open_notes(conn, source_id, path))


def _open_notes(conn: sqlite3.Connection, source_id: int, path: str) -> list[int]:
    rows = conn.execute(
        """SELECT id FROM datasette_files_garbage
        WHERE source_id = ? AND path = ? AND done_at IS NULL AND instructions IS NULL""",
        (source_id, path),
    )
    return [row[0] for row in rows]


def _is_in_use(conn: sqlite3.Connection, source_id: int, path: str) -> bool:
    row = conn.execute(
        """SELECT 1 FROM datasette_files WHERE source_id = :source_id AND path = :path
        UNION ALL
        SELECT 1 FROM datasette_files_trash WHERE source_id = :source_id AND path = :path""",
        {"source_id": source_id, "path": path},
    ).fetchone()
    return row is not None


def due(conn: sqlite3.Connection, now: float, slugs: Iterable[str], limit: int) -> list[Garbage]:
    """List the garbage of these sources that may be deleted now."""
    found: list[Garbage] = []
    for slug in slugs:
        rows = conn.execute(
            """SELECT g.id, s.slug, g.path, g.instructions FROM datasette_files_sources s
            CROSS JOIN datasette_files_garbage g INDEXED BY datasette_files_garbage_due
                ON g.source_id = s.id
            WHERE s.slug = ? AND g.done_at IS NULL AND g.not_before <= ?
                AND (g.instructions IS NOT NULL OR NOT (
                    EXISTS (SELECT 1 FROM datasette_files f
                        WHERE f.source_id = g.source_id AND f.path = g.path)
                    OR EXISTS (SELECT 1 FROM datasette_files_trash t
                        WHERE t.source_id = g.source_id AND t.path = g.path)))
            ORDER BY g.not_before LIMIT ?""",
            (slug, now, limit - len(found)),
        )
        found += [Garbage(*row) for row in rows]
    return found


def done(conn: sqlite3.Connection, note_ids: list[int], now: float) -> None:
    """Mark the notes as done, once the bytes are deleted; drop those of an upload's own bytes."""
    for note_id in note_ids:
        dropped = conn.execute(
            "DELETE FROM datasette_files_garbage WHERE id = ? AND instructions IS NOT NULL",
            (note_id,),
        )
        if not dropped.rowcount:
            conn.execute(
                "UPDATE datasette_files_garbage SET done_at = ? WHERE id = ?", (now, note_id)
            )


def postpone(conn: sqlite3.Connection, note_ids: list[int], now: float) -> None:
    """Put notes off after a failed deletion, each time longer, up to an hour."""
    conn.executemany(
        f"""UPDATE datasette_files_garbage SET attempts = attempts + 1, not_before = {RETRY_AT}
        WHERE id = ?""",
        [(now, note_id) for note_id in note_ids],
    )


def purge(conn: sqlite3.Connection, before: float) -> None:
    """Drop the notes that were done before this moment."""
    conn.execute("DELETE FROM datasette_files_garbage WHERE done_at <= ?", (before,))


def deleted_by(conn: sqlite3.Connection, file_id: str) -> tuple[str, str | None] | None:
    """Return ``(source slug, actor id)`` of a recently deleted file, or None."""
    row = conn.execute(
        """SELECT s.slug, g.actor_id FROM datasette_files_garbage g
        JOIN datasette_files_sources s ON s.id = g.source_id WHERE g.file_id = ?""",
        (file_id,),
    ).fetchone()
    return (row[0], row[1]) if row else None
