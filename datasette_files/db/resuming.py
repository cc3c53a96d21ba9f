"""Uploads that go on: the durable offset, and the one attempt that may move it.

The attempt is a lease. It ends when its request does; it is taken from a process that has ended,
and from one that has not renewed it. ``wanted`` names the newer attempt for which the present one
must stop. Leaves out the upload's own row (uploads.py).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..models import Upload
from . import garbage, uploads
from .rows import insert_row


@dataclass(frozen=True, slots=True)
class Resumable:
    """An upload that goes on. ``offset``: bytes that are durable in the storage."""

    upload: Upload
    offset: int
    #: The storage's state for the next append.
    state: dict[str, Any]
    #: The header ``Upload-Metadata``, as the client sent it.
    metadata: str
    #: The header ``Upload-Concat``, or None.
    concat: str | None

    @property
    def is_partial(self) -> bool:
        return self.concat == "partial"

    @property
    def is_whole(self) -> bool:
        """Whether every byte is durable."""
        return self.offset == self.upload.size


@dataclass(frozen=True, slots=True)
class Lease:
    """An attempt at an upload, by one request of one process."""

    upload_id: str
    attempt: str
    holder: str


def insert(
    conn: sqlite3.Connection,
    upload: Upload,
    now: float,
    *,
    metadata: str,
    concat: str | None,
    offset: int = 0,
) -> None:
    """Insert a new upload and its row here."""
    uploads.insert(conn, upload, now)
    row = {"upload_id": upload.id, "offset": offset, "metadata": metadata, "concat": concat}
    insert_row(conn, "datasette_files_resuming", row)


def get(conn: sqlite3.Connection, upload_id: str) -> Resumable | None:
    upload = uploads.get(conn, upload_id)
    row = conn.execute(
        "SELECT offset, state, metadata, concat FROM datasette_files_resuming WHERE upload_id = ?",
        (upload_id,),
    ).fetchone()
    if upload is None or row is None:
        return None
    return Resumable(upload, row[0], json.loads(row[1]), row[2], row[3])


def marked(conn: sqlite3.Connection, source_id: int, mark: str) -> list[tuple[str, str, float]]:
    """``(upload id, metadata, expiry)`` of uploads that may go on, the longest first.

    ``mark`` is the beginning of their metadata.
    """
    return conn.execute(
        """SELECT u.id, r.metadata, u.expires_at FROM datasette_files_resuming r
        JOIN datasette_files_uploads u ON u.id = r.upload_id
        WHERE u.source_id = ? AND u.state = 'prepared' AND u.expires_at > ?
            AND substr(r.metadata, 1, ?) = ? ORDER BY r.offset DESC""",
        (source_id, time.time(), len(mark), mark),
    ).fetchall()


def take_over(conn: sqlite3.Connection, upload_id: str, new_id: str, metadata: str) -> None:
    """Give an upload another id and metadata. An attempt under the old id has lost it."""
    conn.execute("UPDATE datasette_files_uploads SET id = ? WHERE id = ?", (new_id, upload_id))
    conn.execute(
        """UPDATE datasette_files_resuming SET upload_id = ?, metadata = ?, attempt = NULL,
            holder = NULL, lease_until = 0, wanted = NULL WHERE upload_id = ?""",
        (new_id, metadata, upload_id),
    )


def take(
    conn: sqlite3.Connection,
    lease: Lease,
    now: float,
    lease_until: float,
    *,
    waited: bool,
    is_gone: Callable[[str], bool],
) -> bool | None:
    """Take the upload for an attempt. False: ask again, once the present attempt has stopped.

    None if ``waited`` and a still newer attempt wants it. ``is_gone`` tells whether the process of
    a holder's name has surely ended.
    """
    row = conn.execute(
        "SELECT attempt, holder, lease_until, wanted FROM datasette_files_resuming"
        " WHERE upload_id = ?",
        (lease.upload_id,),
    ).fetchone()
    attempt, holder, until, wanted = row
    if waited and wanted != lease.attempt:
        return None
    if attempt is not None and until > now and not is_gone(holder or ""):
        conn.execute(
            "UPDATE datasette_files_resuming SET wanted = ? WHERE upload_id = ?",
            (lease.attempt, lease.upload_id),
        )
        return False
    conn.execute(
        """UPDATE datasette_files_resuming SET attempt = ?, holder = ?, lease_until = ?,
            wanted = NULL WHERE upload_id = ?""",
        (lease.attempt, lease.holder, lease_until, lease.upload_id),
    )
    return True


def is_held(conn: sqlite3.Connection, lease: Lease, *, undisputed: bool = False) -> bool:
    """Tell whether the attempt still has the upload; ``undisputed``: and no newer one wants it."""
    row = conn.execute(
        """SELECT wanted FROM datasette_files_resuming r JOIN datasette_files_uploads u
            ON u.id = r.upload_id
        WHERE r.upload_id = ? AND r.attempt = ? AND u.state = 'prepared'""",
        (lease.upload_id, lease.attempt),
    ).fetchone()
    return row is not None and not (undisputed and row[0] is not None)


def renew(conn: sqlite3.Connection, lease: Lease, lease_until: float, expires_at: float) -> bool:
    """Postpone the lease and the upload's expiry. False when the attempt has lost the upload."""
    cursor = conn.execute(
        "UPDATE datasette_files_resuming SET lease_until = ? WHERE upload_id = ? AND attempt = ?",
        (lease_until, lease.upload_id, lease.attempt),
    )
    return cursor.rowcount > 0 and _postpone(conn, lease, expires_at)


def advance(
    conn: sqlite3.Connection, lease: Lease, offset: int, state: dict[str, Any], expires_at: float
) -> bool:
    """Record what is durable now. False when the attempt has lost the upload."""
    cursor = conn.execute(
        """UPDATE datasette_files_resuming SET offset = ?, state = ?
        WHERE upload_id = ? AND attempt = ?""",
        (offset, json.dumps(state), lease.upload_id, lease.attempt),
    )
    return cursor.rowcount > 0 and _postpone(conn, lease, expires_at)


def _postpone(conn: sqlite3.Connection, lease: Lease, expires_at: float) -> bool:
    cursor = conn.execute(
        "UPDATE datasette_files_uploads SET expires_at = ? WHERE id = ? AND state = 'prepared'",
        (expires_at, lease.upload_id),
    )
    return cursor.rowcount > 0


def release(conn: sqlite3.Connection, lease: Lease) -> None:
    """End an attempt, so that the next one need not wait."""
    conn.execute(
        """UPDATE datasette_files_resuming SET attempt = NULL, holder = NULL, lease_until = 0
        WHERE upload_id = ? AND attempt = ?""",
        (lease.upload_id, lease.attempt),
    )


def set_length(conn: sqlite3.Connection, upload_id: str, size: int) -> None:
    """Record the size in bytes of an upload whose client told it later."""
    conn.execute(
        "UPDATE datasette_files_uploads SET size = ? WHERE id = ? AND size IS NULL",
        (size, upload_id),
    )


def finish(conn: sqlite3.Connection, stored: Upload, state: str, expires_at: float) -> bool:
    """Record the facts of the stored object. False if another attempt has ended the upload.

    ``state`` is ``completed``, where the caller inserts the file, or ``received`` for a partial
    upload, which waits to be joined.
    """
    facts = ("stored_type", "stored_size", "content_hash", "width", "height")
    cursor = conn.execute(
        f"""UPDATE datasette_files_uploads SET state = ?, expires_at = ?,
            {", ".join(f"{name} = ?" for name in facts)}
        WHERE id = ? AND state = 'prepared'""",
        (state, expires_at, *(getattr(stored, name) for name in facts), stored.id),
    )
    return cursor.rowcount > 0


def end(conn: sqlite3.Connection, upload: Upload, keep_until: float) -> None:
    """End an upload that cannot complete; its bytes become garbage."""
    cursor = conn.execute(
        """UPDATE datasette_files_uploads SET state = 'expired', expires_at = ?
        WHERE id = ? AND state IN ('prepared', 'received')""",
        (keep_until, upload.id),
    )
    if cursor.rowcount:
        garbage.add_appended(conn, upload.id)
        garbage.add(conn, upload.source_id, upload.path)


def forget(conn: sqlite3.Connection, upload: Upload) -> None:
    """Forget an upload; unless it became a file, its bytes become garbage."""
    if upload.state in ("prepared", "received"):
        garbage.add_appended(conn, upload.id)
        garbage.add(conn, upload.source_id, upload.path)
    uploads.forget(conn, upload.id)
