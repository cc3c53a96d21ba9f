"""The thumbnail cache, and the failures to make a thumbnail.

The default size is in the public release's table, one row a file, in a format that every client
takes. Other sizes, and all sizes as WebP, are in a table of ours.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from .rows import insert_row, names_of

#: Pixels of the longest side in the public release's table.
DEFAULT_SIDE = 200
#: The variant for every client, and the one for those that take WebP.
_ANY, _WEBP = "", "webp"
_FILE_EXISTS = "WHERE EXISTS (SELECT 1 FROM datasette_files WHERE id = :file_id)"


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A cached thumbnail, by the columns of its table; ``created_at`` in the catalog's format."""

    file_id: str
    thumbnail: bytes
    content_type: str
    width: int | None
    height: int | None
    generator: str | None
    created_at: str


@dataclass(frozen=True, slots=True)
class ThumbnailFailure:
    """A failed attempt at a thumbnail, by the columns of its table."""

    #: Names the settings and generators of the attempt; under another one it is tried again.
    fingerprint: str
    reason: str
    attempts: int
    #: Seconds since the epoch; None: never tried again under the same fingerprint.
    retry_at: float | None

    def holds(self, fingerprint: str, now: float) -> bool:
        """Tell whether no attempt is due under this fingerprint."""
        return self.fingerprint == fingerprint and (self.retry_at is None or self.retry_at > now)


_COLUMNS = ", ".join(names_of(Thumbnail))
_FAILURE_COLUMNS = ", ".join(names_of(ThumbnailFailure))


def find(conn: sqlite3.Connection, file_id: str, side: int, *, webp: bool) -> Thumbnail | None:
    """The cached thumbnail of this size; as WebP if ``webp`` and cached."""
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
    """Cache a size: the first for every client, the second as WebP. Forgets a failure.

    Does nothing where the file has been deleted meanwhile.
    """
    for variant, thumbnail in zip((_ANY, _WEBP), made, strict=False):
        row: dict[str, object] = asdict(thumbnail)
        if side == DEFAULT_SIDE and variant == _ANY:
            _put_row(conn, "datasette_files_thumbnails", row)
        else:
            row |= {"side": side, "variant": variant}
            _put_row(conn, "datasette_files_thumbnail_sizes", row)
        _forget_failure(conn, thumbnail.file_id)


def _put_row(conn: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    """Insert or replace a row, unless its file has been deleted meanwhile."""
    insert_row(conn, table, row, verb="INSERT OR REPLACE", condition=_FILE_EXISTS)


def set_size(conn: sqlite3.Connection, file_id: str, width: int, height: int) -> None:
    """Set width and height in pixels, where the catalog has none."""
    conn.execute(
        "UPDATE datasette_files SET width = ?, height = ? WHERE id = ? AND width IS NULL",
        (width, height, file_id),
    )


def failure(conn: sqlite3.Connection, file_id: str) -> ThumbnailFailure | None:
    """The failure of the last attempt, or None."""
    row = conn.execute(
        f"SELECT {_FAILURE_COLUMNS} FROM datasette_files_thumbnail_failures WHERE file_id = ?",
        (file_id,),
    ).fetchone()
    return ThumbnailFailure(*row) if row else None


def put_failure(conn: sqlite3.Connection, file_id: str, failed: ThumbnailFailure) -> None:
    """Record a failure, unless its file has been deleted meanwhile."""
    row = {"file_id": file_id, **asdict(failed)}
    _put_row(conn, "datasette_files_thumbnail_failures", row)


def delete(conn: sqlite3.Connection, file_id: str) -> None:
    """Delete the thumbnails and the failure of a deleted file."""
    conn.execute("DELETE FROM datasette_files_thumbnails WHERE file_id = ?", (file_id,))
    conn.execute("DELETE FROM datasette_files_thumbnail_sizes WHERE file_id = ?", (file_id,))
    _forget_failure(conn, file_id)


def _forget_failure(conn: sqlite3.Connection, file_id: str) -> None:
    conn.execute("DELETE FROM datasette_files_thumbnail_failures WHERE file_id = ?", (file_id,))
