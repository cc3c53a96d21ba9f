"""Files of a source that have the same bytes as another, by their sha256."""

from __future__ import annotations

import sqlite3

from ..models import FileRecord
from .files import COLUMNS, record

#: Files that are looked at.
_MAX_FILES = 20


def before(conn: sqlite3.Connection, file: FileRecord) -> list[FileRecord]:
    """The oldest files of the same source that were there before and have the same bytes.

    Without other versions of the file, and files whose bytes are missing. None without a sha256.
    """
    if file.sha256 is None:
        return []
    # The plus keeps SQLite from putting the value into the expression, which the index then lacks.
    rows = conn.execute(
        f"""SELECT {COLUMNS} FROM datasette_files_sources s
        CROSS JOIN datasette_files f INDEXED BY datasette_files_digest ON f.source_id = s.id
        WHERE s.slug = :slug AND substr(f.content_hash, 8, 10) = substr(:hash, 8, 10)
            AND f.content_hash >= 'sha256:' AND f.content_hash < 'sha256;'
            AND +f.content_hash = :hash AND f.missing_since IS NULL
            AND f.seq < (SELECT seq FROM datasette_files WHERE id = :id)
            AND (f.series IS NULL
                OR f.series IS NOT (SELECT series FROM datasette_files WHERE id = :id))
        ORDER BY f.seq LIMIT :limit""",
        {
            "slug": file.source_slug,
            "hash": file.content_hash,
            "id": file.id,
            "limit": _MAX_FILES,
        },
    )
    return [record(row) for row in rows]
