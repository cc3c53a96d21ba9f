"""The catalog of files: one row for each, by id. Lists are in listing.py, hits in search.py."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from ..models import FileRecord, SourceTotals
from .schema import FILE_COLUMNS

#: Selects what ``record`` takes, from ``datasette_files f`` joined to its source ``s``.
COLUMNS = ", ".join(f"f.{column}" for column in FILE_COLUMNS) + ", s.slug"
_JOINED = "datasette_files f JOIN datasette_files_sources s ON s.id = f.source_id"


def record(row: Iterable[object]) -> FileRecord:
    """A row of ``COLUMNS`` as a record."""
    return FileRecord(*row)  # type: ignore[arg-type]


def get(conn: sqlite3.Connection, file_id: str) -> FileRecord | None:
    row = conn.execute(f"SELECT {COLUMNS} FROM {_JOINED} WHERE f.id = ?", (file_id,)).fetchone()
    return record(row) if row else None


def get_many(conn: sqlite3.Connection, ids: list[str]) -> list[FileRecord]:
    """The files of these ids that exist, in no particular order."""
    marks = ", ".join("?" * len(ids))
    rows = conn.execute(f"SELECT {COLUMNS} FROM {_JOINED} WHERE f.id IN ({marks})", ids)
    return [record(row) for row in rows]


def insert(conn: sqlite3.Connection, file: FileRecord) -> None:
    """Add a file. Raises sqlite3.IntegrityError where its id or path is taken."""
    columns = ", ".join(FILE_COLUMNS)
    conn.execute(
        f"INSERT INTO datasette_files ({columns}) VALUES ({', '.join('?' * len(FILE_COLUMNS))})",
        [getattr(file, column) for column in FILE_COLUMNS],
    )


def set_search_text(conn: sqlite3.Connection, file_id: str, search_text: str) -> bool:
    """Whether the file was there to be changed."""
    cursor = conn.execute(
        "UPDATE datasette_files SET search_text = ? WHERE id = ?", (search_text, file_id)
    )
    return cursor.rowcount > 0


def delete(conn: sqlite3.Connection, file_id: str) -> FileRecord | None:
    """Take the file out of the catalog, with its thumbnail. The record, or None if absent."""
    file = get(conn, file_id)
    if file is not None:
        conn.execute("DELETE FROM datasette_files WHERE id = ?", (file_id,))
        conn.execute("DELETE FROM datasette_files_thumbnails WHERE file_id = ?", (file_id,))
    return file


def totals(conn: sqlite3.Connection, source_ids: Iterable[int]) -> dict[int, SourceTotals]:
    """Files and bytes of each of the sources, from what the triggers keep."""
    ids = list(source_ids)
    rows = conn.execute(
        f"""SELECT source_id, sum(files), sum(bytes) FROM datasette_files_totals
        WHERE source_id IN ({", ".join("?" * len(ids))}) GROUP BY source_id""",
        ids,
    )
    return {row[0]: SourceTotals(row[1], row[2]) for row in rows}
