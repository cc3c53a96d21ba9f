"""Uploads on their way in: each step is one conditional change of one row.

The row alone decides which step may follow, so two processes or two requests with one token
cannot both own its path: ``claim`` names the attempt that does.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, NamedTuple

from ..models import Upload
from . import garbage, leases
from .rows import insert_row, names_of

#: After its URL expired, how long a client may take to end a request to a storage.
ON_THE_WAY_SECONDS = 300.0

_COLUMNS = tuple(name for name in names_of(Upload) if name != "source_slug")
#: The storage's own states, which are stored as JSON.
_STATES = ("instructions", "parts_state")
_SELECTED = ", ".join(f"u.{name}" for name in _COLUMNS)


def get(conn: sqlite3.Connection, upload_id: str) -> Upload | None:
    row = conn.execute(
        f"""SELECT {_SELECTED}, s.slug FROM datasette_files_uploads u
        JOIN datasette_files_sources s ON s.id = u.source_id WHERE u.id = ?""",
        (upload_id,),
    ).fetchone()
    if row is None:
        return None
    values: dict[str, Any] = dict(zip((*_COLUMNS, "source_slug"), row, strict=True))
    for name in _STATES:
        if values[name] is not None:
            values[name] = json.loads(values[name])
    values["tags"] = tuple(json.loads(values["tags"]))
    return Upload(**values)


def insert(conn: sqlite3.Connection, upload: Upload, now: float) -> None:
    row: dict[str, Any] = {name: getattr(upload, name) for name in _COLUMNS}
    for name in _STATES:
        if row[name] is not None:
            row[name] = json.dumps(row[name])
    row["tags"] = json.dumps(upload.tags)
    insert_row(conn, "datasette_files_uploads", {**row, "created_at": now})


def claim(conn: sqlite3.Connection, upload: Upload, now: float) -> bool:
    """Let the attempt ``upload.claim`` receive the upload, with its path and its times.

    Bytes of an earlier attempt become garbage. False if the upload is completed, claimed by an
    attempt that is still alive, or expired and not a direct one.
    """
    old = conn.execute(
        """SELECT source_id, path FROM datasette_files_uploads WHERE id = ? AND
            (state IN ('prepared', 'received') OR (state = 'receiving' AND claimed_until <= ?)
                OR (state = 'expired' AND coalesce(instructions, parts_state) IS NOT NULL))""",
        (upload.id, now),
    ).fetchone()
    if old is None or garbage.is_noted(conn, *old):
        return False
    conn.execute(
        """UPDATE datasette_files_uploads SET state = 'receiving', claim = ?, claimed_until = ?,
            path = ?, expires_at = ?, reserved = ? WHERE id = ?""",
        (
            *(upload.claim, upload.claimed_until, upload.path, upload.expires_at),
            *(upload.reserved, upload.id),
        ),
    )
    if old[1] != upload.path:
        garbage.add(conn, old[0], old[1])
    return True


def extend(
    conn: sqlite3.Connection, upload_id: str, attempt: str, claimed_until: float, expires_at: float
) -> bool:
    """Move claim and expiry while bytes arrive. False when the attempt has lost its claim."""
    cursor = conn.execute(
        """UPDATE datasette_files_uploads SET claimed_until = ?, expires_at = ?
        WHERE id = ? AND claim = ? AND state = 'receiving'""",
        (claimed_until, expires_at, upload_id, attempt),
    )
    return cursor.rowcount > 0


def received(conn: sqlite3.Connection, upload: Upload, expires_at: float) -> bool:
    """Record the facts of the stored object. False when the attempt has lost its claim."""
    facts = ("stored_type", "stored_size", "content_hash", "crc32", "width", "height")
    cursor = conn.execute(
        f"""UPDATE datasette_files_uploads SET state = 'received', expires_at = ?,
            {", ".join(f"{name} = ?" for name in facts)}, reserved = ifnull(?, reserved)
        WHERE id = ? AND claim = ? AND state = 'receiving'""",
        (
            *(expires_at, *(getattr(upload, name) for name in facts), upload.stored_size),
            *(upload.id, upload.claim),
        ),
    )
    return cursor.rowcount > 0


def release(
    conn: sqlite3.Connection, upload: Upload, attempt: str, new_path: str, expires_at: float
) -> None:
    """End a failed attempt: its path becomes garbage, and the upload may be tried again."""
    cursor = conn.execute(
        """UPDATE datasette_files_uploads SET state = 'prepared', claim = NULL, path = ?,
            expires_at = ?, reserved = ifnull(size, 0)
        WHERE id = ? AND claim = ? AND state = 'receiving'""",
        (new_path, expires_at, upload.id, attempt),
    )
    if cursor.rowcount:
        garbage.add(conn, upload.source_id, upload.path)


def hand_back(
    conn: sqlite3.Connection,
    upload_id: str,
    attempt: str,
    expires_at: float,
    state: str = "prepared",
) -> None:
    """End an attempt that could not finish a direct upload now: its bytes stay for the next one.

    ``state`` is ``expired`` for an upload that was, and to which nothing has come since.
    """
    conn.execute(
        """UPDATE datasette_files_uploads SET state = ?, claim = NULL, expires_at = ?
        WHERE id = ? AND claim = ? AND state = 'receiving'""",
        (state, expires_at, upload_id, attempt),
    )


def reject(conn: sqlite3.Connection, upload: Upload, keep_until: float, lifetime: float) -> bool:
    """End a direct upload with wrong bytes: they become garbage, and its URL is of no more use.

    ``lifetime`` as for ``garbage.add_sent``. False when the attempt has lost its claim.
    """
    garbage.add_sent(conn, upload.id, lifetime)
    cursor = conn.execute(
        """UPDATE datasette_files_uploads SET state = 'expired', claim = NULL,
            instructions = NULL, parts_state = NULL, expires_at = ?
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
    """Delete an upload in one request, unless another attempt has it; its bytes become garbage."""
    cursor = conn.execute(
        """DELETE FROM datasette_files_uploads
        WHERE id = ? AND claim IS ? AND state != 'completed'""",
        (upload.id, upload.claim),
    )
    if cursor.rowcount:
        garbage.add(conn, upload.source_id, upload.path)


def finish(
    conn: sqlite3.Connection, upload_id: str, attempt: str, keep_until: float | None = None
) -> bool:
    """End an upload in one request, whose file the caller inserts. False without its claim.

    Until ``keep_until`` it is kept, for a client that repeats the request.
    """
    held = "WHERE id = ?1 AND claim = ?2 AND state = 'receiving'"
    if keep_until is None:
        sql = f"DELETE FROM datasette_files_uploads {held}"
        return conn.execute(sql, (upload_id, attempt)).rowcount > 0
    sql = f"UPDATE datasette_files_uploads SET state = 'completed', expires_at = ?3 {held}"
    return conn.execute(sql, (upload_id, attempt, keep_until)).rowcount > 0


def forget(conn: sqlite3.Connection, upload_id: str) -> None:
    conn.execute("DELETE FROM datasette_files_uploads WHERE id = ?", (upload_id,))


#: Until when an attempt may be alive. One in a single request sets no time before it has lasted
#: for a while; here a minute is enough for it, as no server should run.
_ALIVE_UNTIL = "CASE state WHEN 'receiving' THEN ifnull(claimed_until, created_at + 60) END"


class Unfinished(NamedTuple):
    """An upload that has neither completed nor expired."""

    id: str
    path: str
    #: Seconds since the epoch; None if no attempt has begun.
    alive_until: float | None


def unfinished(
    conn: sqlite3.Connection, source_id: int, after: str, limit: int
) -> list[Unfinished]:
    """The first unfinished uploads to a source whose id comes after ``after``."""
    rows = conn.execute(
        f"""SELECT id, path, {_ALIVE_UNTIL} FROM datasette_files_uploads
        WHERE source_id = ? AND id > ? AND state NOT IN ('completed', 'expired')
        ORDER BY id LIMIT ?""",
        (source_id, after, limit),
    )
    return [Unfinished(*row) for row in rows]


def forget_stored(
    conn: sqlite3.Connection, upload: Unfinished, now: float, lifetime: float
) -> bool:
    """Forget an upload whose object stays at its path. False if an attempt is alive.

    ``lifetime`` as for ``garbage.add_sent``.
    """
    condition = f"""id = ? AND path = ? AND state NOT IN ('completed', 'expired')
        AND ifnull({_ALIVE_UNTIL}, 0) <= ?"""
    values = (upload.id, upload.path, now)
    found = conn.execute(f"SELECT 1 FROM datasette_files_uploads WHERE {condition}", values)
    if found.fetchone() is None:
        return False
    garbage.add_sent(conn, upload.id, lifetime)
    forget(conn, upload.id)
    return True


def any_due(conn: sqlite3.Connection, now: float) -> bool:
    """Tell whether an upload is due to expire or to be removed."""
    row = conn.execute(
        "SELECT 1 FROM datasette_files_uploads WHERE expires_at <= ? LIMIT 1", (now,)
    ).fetchone()
    return row is not None


def expire(conn: sqlite3.Connection, now: float, keep_until: float, limit: int) -> int:
    """Expire at most ``limit`` due uploads; return how many were due.

    Their bytes become garbage. Their rows stay until ``keep_until`` to answer a late client, and
    are then removed. A direct upload keeps its instructions meanwhile: its client may be in the
    middle of a long request to the storage, and then completes what has arrived.
    """
    rows = conn.execute(
        """SELECT id, source_id, path, state, coalesce(signed_at, created_at)
        FROM datasette_files_uploads WHERE expires_at <= ? ORDER BY expires_at LIMIT ?""",
        (now, limit),
    ).fetchall()

    def step(row: tuple[str, int, str, str, float]) -> None:
        upload_id, source_id, path, state, signed_at = row
        if state == "expired":
            garbage.add_sent(conn, upload_id, now - signed_at)
        if state in ("completed", "expired"):
            forget(conn, upload_id)
            return
        # A storage may not list the parts at a path, so they are discarded by their state too.
        garbage.add_sent(conn, upload_id, now - signed_at, ("parts_state",))
        garbage.add_sent(conn, upload_id, now - signed_at + ON_THE_WAY_SECONDS)
        garbage.add_appended(conn, upload_id)
        conn.execute(
            """UPDATE datasette_files_uploads SET state = 'expired', claim = NULL, expires_at = ?
            WHERE id = ?""",
            (keep_until, upload_id),
        )
        garbage.add(conn, source_id, path)

    def put_off(row: tuple[str, int, str, str, float]) -> None:
        conn.execute(
            "UPDATE datasette_files_uploads SET expires_at = ? WHERE id = ?", (now + 3600, row[0])
        )

    leases.each(conn, rows, step, put_off)
    return len(rows)
