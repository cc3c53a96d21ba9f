"""Uploads on their way in: each step is one conditional change of one row.

The row alone says who may do what next, so two processes or two requests with one token cannot
both believe they own its path: ``claim`` names the attempt that does.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from ..models import Upload
from . import garbage, leases

#: What a client began to send to a storage just before its URL expired has arrived by then.
ON_THE_WAY_SECONDS = 300.0

_COLUMNS = """u.id, u.source_id, s.slug, u.file_id, u.path, u.filename, u.content_type, u.size,
    u.sha256, u.content_hash, u.actor_id, u.state, u.expires_at, u.claim, u.instructions,
    u.width, u.height, u.stored_type, u.stored_size, u.claimed_until"""


def get(conn: sqlite3.Connection, upload_id: str) -> Upload | None:
    row = conn.execute(
        f"""SELECT {_COLUMNS} FROM datasette_files_uploads u
        JOIN datasette_files_sources s ON s.id = u.source_id WHERE u.id = ?""",
        (upload_id,),
    ).fetchone()
    if row is None:
        return None
    values = list(row)
    values[14] = json.loads(values[14]) if values[14] else None
    return Upload(*values)


def insert(conn: sqlite3.Connection, upload: Upload, now: float) -> None:
    conn.execute(
        """INSERT INTO datasette_files_uploads (id, source_id, file_id, path, filename,
            content_type, size, sha256, actor_id, state, claim, claimed_until, instructions,
            created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            upload.id,
            upload.source_id,
            upload.file_id,
            upload.path,
            upload.filename,
            upload.content_type,
            upload.size,
            upload.sha256,
            upload.actor_id,
            upload.state,
            upload.claim,
            upload.claimed_until,
            json.dumps(upload.instructions) if upload.instructions is not None else None,
            now,
            upload.expires_at,
        ),
    )


def claim(conn: sqlite3.Connection, upload: Upload, now: float) -> bool:
    """Give an upload's next bytes to the attempt ``upload.claim``, at its path, for its times.

    What an earlier attempt stored becomes garbage: the new bytes replace it. False if the upload
    is not there to be claimed now: completed, expired, or another attempt's, which is still alive.
    """
    old = conn.execute(
        """SELECT source_id, path FROM datasette_files_uploads WHERE id = ? AND
            (state IN ('prepared', 'received') OR (state = 'receiving' AND claimed_until <= ?))""",
        (upload.id, now),
    ).fetchone()
    if old is None:
        return False
    conn.execute(
        """UPDATE datasette_files_uploads SET state = 'receiving', claim = ?, claimed_until = ?,
            path = ?, expires_at = ? WHERE id = ?""",
        (upload.claim, upload.claimed_until, upload.path, upload.expires_at, upload.id),
    )
    if old[1] != upload.path:
        garbage.add(conn, old[0], old[1])
    return True


def extend(
    conn: sqlite3.Connection,
    upload_id: str,
    attempt: str,
    claimed_until: float,
    expires_at: float,
) -> bool:
    """Move claim and expiry while bytes arrive. False when the attempt has lost its claim."""
    cursor = conn.execute(
        """UPDATE datasette_files_uploads SET claimed_until = ?, expires_at = ?
        WHERE id = ? AND claim = ? AND state = 'receiving'""",
        (claimed_until, expires_at, upload_id, attempt),
    )
    return cursor.rowcount > 0


def received(
    conn: sqlite3.Connection,
    upload_id: str,
    attempt: str,
    facts: dict[str, Any],
    expires_at: float,
) -> bool:
    """Record what the storage now holds. False when the attempt has lost its claim.

    ``facts``: stored_type, stored_size, content_hash, width, height.
    """
    cursor = conn.execute(
        """UPDATE datasette_files_uploads SET state = 'received', stored_type = :stored_type,
            stored_size = :stored_size, content_hash = :content_hash,
            width = :width, height = :height, expires_at = :expires_at
        WHERE id = :id AND claim = :claim AND state = 'receiving'""",
        {**facts, "id": upload_id, "claim": attempt, "expires_at": expires_at},
    )
    return cursor.rowcount > 0


def release(
    conn: sqlite3.Connection, upload: Upload, attempt: str, new_path: str, expires_at: float
) -> None:
    """After a failed attempt: its path becomes garbage, and the upload may be tried again."""
    cursor = conn.execute(
        """UPDATE datasette_files_uploads SET state = 'prepared', claim = NULL, path = ?,
            expires_at = ? WHERE id = ? AND claim = ? AND state = 'receiving'""",
        (new_path, expires_at, upload.id, attempt),
    )
    if cursor.rowcount:
        garbage.add(conn, upload.source_id, upload.path)


def hand_back(conn: sqlite3.Connection, upload_id: str, attempt: str, expires_at: float) -> None:
    """After a direct upload could not be finished now: what was sent stays, to be tried again."""
    conn.execute(
        """UPDATE datasette_files_uploads SET state = 'prepared', claim = NULL, expires_at = ?
        WHERE id = ? AND claim = ? AND state = 'receiving'""",
        (expires_at, upload_id, attempt),
    )


def reject(conn: sqlite3.Connection, upload: Upload, keep_until: float, lifetime: float) -> bool:
    """After a direct upload's bytes were found wrong: they are garbage, and its URL is spent.

    ``lifetime`` as for ``garbage.add_sent``. False when the attempt has lost its claim, and with
    it the path.
    """
    garbage.add_sent(conn, upload.id, lifetime)
    cursor = conn.execute(
        """UPDATE datasette_files_uploads SET state = 'expired', claim = NULL,
            instructions = NULL, expires_at = ?
        WHERE id = ? AND claim = ? AND state = 'receiving'""",
        (keep_until, upload.id, upload.claim),
    )
    if cursor.rowcount:
        garbage.add(conn, upload.source_id, upload.path)
    return cursor.rowcount > 0


def complete(conn: sqlite3.Connection, upload_id: str, keep_until: float, lifetime: float) -> bool:
    """Turn a received upload into a completed one; the caller inserts the file beside it.

    ``lifetime`` as for ``garbage.add_sent``.
    """
    garbage.add_sent(conn, upload_id, lifetime)
    cursor = conn.execute(
        """UPDATE datasette_files_uploads SET state = 'completed', expires_at = ?
        WHERE id = ? AND state = 'received'""",
        (keep_until, upload_id),
    )
    return cursor.rowcount > 0


def discard(conn: sqlite3.Connection, upload: Upload) -> None:
    """Forget an upload that nobody holds a token of, and have its bytes deleted."""
    cursor = conn.execute(
        "DELETE FROM datasette_files_uploads WHERE id = ? AND state != 'completed'", (upload.id,)
    )
    if cursor.rowcount:
        garbage.add(conn, upload.source_id, upload.path)


def finish(conn: sqlite3.Connection, upload_id: str, attempt: str) -> bool:
    """Remove a one-shot upload, whose file the caller inserts. False: it has lost its claim."""
    cursor = conn.execute(
        "DELETE FROM datasette_files_uploads WHERE id = ? AND claim = ? AND state = 'receiving'",
        (upload_id, attempt),
    )
    return cursor.rowcount > 0


def forget(conn: sqlite3.Connection, upload_id: str) -> None:
    conn.execute("DELETE FROM datasette_files_uploads WHERE id = ?", (upload_id,))


def any_due(conn: sqlite3.Connection, now: float) -> bool:
    """Whether any upload has expired."""
    row = conn.execute(
        "SELECT 1 FROM datasette_files_uploads WHERE expires_at <= ? LIMIT 1", (now,)
    ).fetchone()
    return row is not None


def expire(conn: sqlite3.Connection, now: float, keep_until: float, limit: int) -> int:
    """Expire what is due: its bytes become garbage, its row says so until ``keep_until``.

    Rows that were kept to answer a late client, and are due, are removed. How many were due.
    """
    rows = conn.execute(
        """SELECT id, source_id, path, state, created_at FROM datasette_files_uploads
        WHERE expires_at <= ? ORDER BY expires_at LIMIT ?""",
        (now, limit),
    ).fetchall()

    def step(row: tuple[str, int, str, str, float]) -> None:
        upload_id, source_id, path, state, created_at = row
        if state in ("completed", "expired"):
            forget(conn, upload_id)
            return
        garbage.add_sent(conn, upload_id, now - created_at + ON_THE_WAY_SECONDS)
        conn.execute(
            """UPDATE datasette_files_uploads SET state = 'expired', claim = NULL,
                instructions = NULL, expires_at = ? WHERE id = ?""",
            (keep_until, upload_id),
        )
        garbage.add(conn, source_id, path)

    def put_off(row: tuple[str, int, str, str, float]) -> None:
        conn.execute(
            "UPDATE datasette_files_uploads SET expires_at = ? WHERE id = ?", (now + 3600, row[0])
        )

    leases.each(conn, rows, step, put_off)
    return len(rows)
