"""The catalog of files: one row for each, by id. Lists are in listing.py, hits in search.py."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from ..media.families import FAMILIES, family
from ..models import FileRecord, SourceTotals
from . import moves, thumbnails
from .schema import FILE_COLUMNS

#: Selects what ``record`` takes, from ``datasette_files f`` joined to its source ``s``.
COLUMNS = ", ".join(f"f.{column}" for column in FILE_COLUMNS) + ", s.slug"
_JOINED = "datasette_files f JOIN datasette_files_sources s ON s.id = f.source_id"


#: So many uploaders are offered; the others are typed.
_MAX_UPLOADERS = 50


@dataclass(frozen=True, slots=True)
class SourceContents:
    """What a source holds, as its page offers it for filtering."""

    totals: SourceTotals
    #: Files by family (media/families.py), for the families that occur.
    families: dict[str, int]
    #: Some actors' ids, at most as many as a choice offers.
    uploaders: list[str]


def record(row: Iterable[object]) -> FileRecord:
    """A row of ``COLUMNS`` as a record."""
    return FileRecord(*row)  # type: ignore[arg-type]


def get(conn: sqlite3.Connection, file_id: str) -> FileRecord | None:
    row = conn.execute(f"SELECT {COLUMNS} FROM {_JOINED} WHERE f.id = ?", (file_id,)).fetchone()
    return record(row) if row else None


def by_ids(conn: sqlite3.Connection, ids: Iterable[str]) -> dict[str, FileRecord]:
    """The files of these ids that exist, by id."""
    rows = conn.execute(
        f"""SELECT {COLUMNS} FROM json_each(?) AS wanted
        CROSS JOIN datasette_files f ON f.id = wanted.value
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id""",
        (json.dumps(list(ids)),),
    )
    return {row[0]: record(row) for row in rows}


def batch_json(
    conn: sqlite3.Connection, ids: list[str], slugs: Iterable[str], base_url: str
) -> str:
    """The files of these ids that exist in these sources: a JSON object by id, as cells show them.

    SQLite writes the JSON, as one row: a hundred entries cost a tenth of what they do as Python
    objects, and none of it holds the interpreter up.
    """
    row = conn.execute(
        """SELECT group_concat(json_quote(f.id) || ': ' || json_object(
            'id', f.id, 'filename', f.filename, 'content_type', f.content_type, 'size', f.size,
            'width', f.width, 'height', f.height,
            'download_url', :prefix || f.id || '/download',
            'thumbnail_url', :prefix || f.id || '/thumbnail',
            'info_url', :prefix || f.id), ', ')
        FROM json_each(:ids) AS wanted
        CROSS JOIN datasette_files f ON f.id = wanted.value
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE s.slug IN (SELECT value FROM json_each(:slugs))""",
        {
            "prefix": f"{base_url}-/files/",
            "ids": json.dumps(ids),
            "slugs": json.dumps(list(slugs)),
        },
    ).fetchone()
    return "{" + (row[0] or "") + "}"


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
    """Take the file out of the catalog, with its thumbnails. The record, or None if absent."""
    file = get(conn, file_id)
    if file is not None:
        conn.execute("DELETE FROM datasette_files WHERE id = ?", (file_id,))
        thumbnails.delete(conn, file_id)
        moves.forget(conn, file_id)
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


def contents(conn: sqlite3.Connection, source_id: int) -> SourceContents:
    """One source's totals, families and uploaders, from what the triggers keep."""
    rows = conn.execute(
        """SELECT content_type, sum(files), sum(bytes) FROM datasette_files_totals
        WHERE source_id = ? GROUP BY content_type""",
        (source_id,),
    ).fetchall()
    families = dict.fromkeys(FAMILIES, 0)
    for content_type, files, _ in rows:
        families[family(content_type)] += files
    uploaders = conn.execute(
        """SELECT DISTINCT uploaded_by FROM datasette_files_totals
        WHERE source_id = ? AND uploaded_by > '' ORDER BY uploaded_by LIMIT ?""",
        (source_id, _MAX_UPLOADERS),
    )
    return SourceContents(
        SourceTotals(sum(row[1] for row in rows), sum(row[2] for row in rows)),
        {name: files for name, files in families.items() if files},
        [row[0] for row in uploaders],
    )
