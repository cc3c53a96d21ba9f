"""The thumbnail cache, in the public release's table: one thumbnail of the default size a file."""

from __future__ import annotations

import sqlite3

from ..models import Thumbnail

_COLUMNS = "file_id, thumbnail, content_type, width, height, generator, created_at"


def get(conn: sqlite3.Connection, file_id: str) -> Thumbnail | None:
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM datasette_files_thumbnails WHERE file_id = ?", (file_id,)
    ).fetchone()
    return Thumbnail(*row) if row else None


def put(conn: sqlite3.Connection, thumbnail: Thumbnail) -> None:
    """Cache it, unless its file has been deleted meanwhile."""
    conn.execute(
        f"""INSERT OR REPLACE INTO datasette_files_thumbnails ({_COLUMNS})
        SELECT ?, ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM datasette_files WHERE id = ?)""",
        (
            thumbnail.file_id,
            thumbnail.thumbnail,
            thumbnail.content_type,
            thumbnail.width,
            thumbnail.height,
            thumbnail.generator,
            thumbnail.created_at,
            thumbnail.file_id,
        ),
    )
