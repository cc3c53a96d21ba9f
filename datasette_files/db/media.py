"""Facts about pictures, videos and sound, and the queue of files whose facts are due.

A file's row says what became of it: ``pending``, ``done``, ``none`` (nothing reads files of its
type) or ``failed``. Triggers queue a file again when it moves or gets another type.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Literal

from ..models import FileRecord
from .files import COLUMNS, record
from .leases import RETRY_AT
from .rows import names_of

Status = Literal["done", "none", "failed"]
#: Rows that one transaction queues again.
_REQUEUED = 2_000


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one file; None for what is not known."""

    #: ISO 8601, with the offset from UTC if it is known.
    taken_at: str | None = None
    camera: str | None = None
    lens: str | None = None
    #: Seconds.
    duration: float | None = None
    #: Pixels, upright.
    width: int | None = None
    height: int | None = None
    #: Decimal degrees, WGS 84.
    latitude: float | None = None
    longitude: float | None = None
    #: Whether the file tells a place in any way, known or not.
    has_place: bool = False


_FACTS = names_of(Facts)


def due(conn: sqlite3.Connection, source_id: int, now: float, limit: int) -> list[FileRecord]:
    """The files of a source whose facts are due, the newest first."""
    rows = conn.execute(
        f"""SELECT {COLUMNS}
        FROM datasette_files_media m INDEXED BY datasette_files_media_by_source
        CROSS JOIN datasette_files f ON f.seq = m.seq
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE m.source_id = ? AND m.status = 'pending' AND m.not_before <= ?
        ORDER BY m.file_id DESC LIMIT ?""",
        (source_id, now, limit),
    )
    return [record(row) for row in rows]


def finish(
    conn: sqlite3.Connection,
    file: FileRecord,
    reader: str,
    status: Status,
    facts: Facts,
    error: str | None = None,
) -> None:
    """Note what became of a file, unless it is gone, moved, or another type now."""
    conn.execute(
        f"""UPDATE datasette_files_media SET status = ?, reader = ?, error = ?, attempts = 0,
            not_before = 0, {", ".join(f"{name} = ?" for name in _FACTS)}
        WHERE status = 'pending' AND seq = (SELECT f.seq FROM datasette_files f
            WHERE f.id = ? AND f.source_id = ? AND f.content_type IS ?)""",
        (*(status, reader, error), *astuple(facts), *(file.id, file.source_id, file.content_type)),
    )


def postpone(conn: sqlite3.Connection, file_id: str, now: float, error: str) -> None:
    """Try again later: each time later, up to an hour apart."""
    conn.execute(
        f"""UPDATE datasette_files_media SET error = ?, attempts = attempts + 1,
            not_before = {RETRY_AT} WHERE status = 'pending'
        AND seq = (SELECT seq FROM datasette_files WHERE id = ?)""",
        (error, now, file_id),
    )


def read_by_others(conn: sqlite3.Connection, source_id: int, reader: str) -> list[int]:
    """Some files that another version of the reader has read, by ``seq``."""
    rows = conn.execute(
        """SELECT seq FROM datasette_files_media INDEXED BY datasette_files_media_readers
        WHERE source_id = ?1 AND reader < ?2
        UNION ALL SELECT seq FROM datasette_files_media INDEXED BY datasette_files_media_readers
        WHERE source_id = ?1 AND reader > ?2 LIMIT ?3""",
        (source_id, reader, _REQUEUED),
    )
    return [row[0] for row in rows]


def requeue(conn: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Queue these files again."""
    conn.execute(
        """UPDATE datasette_files_media
        SET status = 'pending', reader = NULL, attempts = 0, not_before = 0
        WHERE seq IN (SELECT value FROM json_each(?))""",
        (json.dumps(list(seqs)),),
    )


def of_file(conn: sqlite3.Connection, file_id: str) -> tuple[str, Facts] | None:
    """The status and the facts of a file; None if it is no picture, video or sound."""
    row = conn.execute(
        f"""SELECT m.status, {", ".join(f"m.{name}" for name in _FACTS)} FROM datasette_files f
        JOIN datasette_files_media m ON m.seq = f.seq WHERE f.id = ?""",
        (file_id,),
    ).fetchone()
    return (row[0], Facts(*tuple(row)[1:])) if row else None
