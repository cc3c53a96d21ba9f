"""The thumbnail cache, and what came of making thumbnails where nothing did.

The default size is in the public release's table, one for a file, in a format that every client
takes. Other sizes, and the same pictures as WebP, are in a table of ours.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

#: Pixels of the longest side in the public release's table.
DEFAULT_SIDE = 200
#: The variant for every client, and the one for those that take WebP.
_ANY, _WEBP = "", "webp"
_COLUMNS = "file_id, thumbnail, content_type, width, height, generator, created_at"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A cached thumbnail. ``created_at`` as in the catalog."""

    file_id: str
    thumbnail: bytes
    content_type: str
    width: int | None
    height: int | None
    generator: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class ThumbnailFailure:
    """Why a file has no thumbnail."""

    #: Of the settings and generators by which it was tried.
    fingerprint: str
    reason: str
    attempts: int
    #: In seconds since the epoch; None: not tried again by the same rules.
    retry_at: float | None

    def holds(self, fingerprint: str, now: float) -> bool:
        """Whether another attempt by these rules is of no use, or not yet due."""
        return self.fingerprint == fingerprint and (self.retry_at is None or self.retry_at > now)


def find(conn: sqlite3.Connection, file_id: str, side: int, *, webp: bool) -> Thumbnail | None:
    """The cached thumbnail of this size: as WebP where that is taken and there."""
    row = conn.execute(
        f"""SELECT {_COLUMNS} FROM datasette_files_thumbnail_sizes
        WHERE file_id = ? AND side = ? AND variant IN (?, ?) ORDER BY variant DESC LIMIT 1""",
        (file_id, side, _ANY, _WEBP if webp else _ANY),
    ).fetchone()
    if row is None and side == DEFAULT_SIDE:
        row = conn.execute(
            f"SELECT {_COLUMNS} FROM datasette_files_thumbnails WHERE file_id = ?", (file_id,)
        ).fetchone()
    return Thumbnail(*row) if row else None


def put(conn: sqlite3.Connection, made: Sequence[Thumbnail], side: int) -> None:
    """Cache a size, its first for every client and its second as WebP; forget a failure.

    Does nothing where the file has been deleted meanwhile.
    """
    for variant, thumbnail in zip((_ANY, _WEBP), made, strict=False):
        values = (
            thumbnail.file_id,
            thumbnail.thumbnail,
            thumbnail.content_type,
            thumbnail.width,
            thumbnail.height,
            thumbnail.generator,
            thumbnail.created_at,
        )
        exists = "WHERE EXISTS (SELECT 1 FROM datasette_files WHERE id = ?)"
        if side == DEFAULT_SIDE and variant == _ANY:
            conn.execute(
                f"""INSERT OR REPLACE INTO datasette_files_thumbnails ({_COLUMNS})
                SELECT ?, ?, ?, ?, ?, ?, ? {exists}""",
                (*values, thumbnail.file_id),
            )
        else:
            conn.execute(
                f"""INSERT OR REPLACE INTO datasette_files_thumbnail_sizes
                (side, variant, {_COLUMNS}) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ? {exists}""",
                (side, variant, *values, thumbnail.file_id),
            )
        _forget_failure(conn, thumbnail.file_id)


def set_size(conn: sqlite3.Connection, file_id: str, width: int, height: int) -> None:
    """Width and height in pixels, where the catalog has none."""
    conn.execute(
        "UPDATE datasette_files SET width = ?, height = ? WHERE id = ? AND width IS NULL",
        (width, height, file_id),
    )


def failure(conn: sqlite3.Connection, file_id: str) -> ThumbnailFailure | None:
    """What came of the last attempt, if nothing did."""
    row = conn.execute(
        """SELECT fingerprint, reason, attempts, retry_at FROM datasette_files_thumbnail_failures
        WHERE file_id = ?""",
        (file_id,),
    ).fetchone()
    return ThumbnailFailure(*row) if row else None


def put_failure(conn: sqlite3.Connection, file_id: str, failed: ThumbnailFailure) -> None:
    """Remember it, unless its file has been deleted meanwhile."""
    conn.execute(
        """INSERT OR REPLACE INTO datasette_files_thumbnail_failures
        (file_id, fingerprint, reason, attempts, retry_at)
        SELECT ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM datasette_files WHERE id = ?)""",
        (
            *(file_id, failed.fingerprint, failed.reason, failed.attempts, failed.retry_at),
            file_id,
        ),
    )


def delete(conn: sqlite3.Connection, file_id: str) -> None:
    """Forget all of a file that is deleted."""
    conn.execute("DELETE FROM datasette_files_thumbnails WHERE file_id = ?", (file_id,))
    conn.execute("DELETE FROM datasette_files_thumbnail_sizes WHERE file_id = ?", (file_id,))
    _forget_failure(conn, file_id)


def _forget_failure(conn: sqlite3.Connection, file_id: str) -> None:
    conn.execute("DELETE FROM datasette_files_thumbnail_failures WHERE file_id = ?", (file_id,))
