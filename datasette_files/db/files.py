"""The catalog of files: one row for each, by id. Lists are in listing.py, hits in search.py."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from ..media.families import FAMILIES, family
from ..models import FileRecord, SourceTotals
from ..naming import storable
from . import audit, moves, thumbnails, versions
from .migrations import FILE_COLUMNS
from .rows import insert_row, names_of

_TEXT = "(SELECT t.{} FROM datasette_files_texts t WHERE t.seq = f.seq)"
#: The expressions of fields that are not columns of the file's row.
_ELSEWHERE = {
    "source_slug": "s.slug",
    "text_status": _TEXT.format("status"),
    "text_error": _TEXT.format("error"),
}
#: The columns for ``record``, of ``datasette_files f`` joined to its source ``s``.
COLUMNS = ", ".join(_ELSEWHERE.get(name, f"f.{name}") for name in names_of(FileRecord))
_TAGS = names_of(FileRecord).index("tags")
_JOINED = "datasette_files f JOIN datasette_files_sources s ON s.id = f.source_id"

#: Versions in one answer.
_MAX_VERSIONS = 1_000
#: Uploaders offered as a choice; any other id is typed.
_MAX_UPLOADERS = 50


@dataclass(frozen=True, slots=True)
class SourceContents:
    """A source's totals, and the choices for its page's filters."""

    totals: SourceTotals
    #: Files by family (media/families.py), for the families that occur.
    families: dict[str, int]
    #: Actors' ids, at most ``_MAX_UPLOADERS``.
    uploaders: list[str]


def record(row: Iterable[object]) -> FileRecord:
    """A row of ``COLUMNS`` as a record."""
    values: list[Any] = list(row)
    values[_TAGS] = tuple(json.loads(values[_TAGS]))
    return FileRecord(*values)


def row_of(file: FileRecord) -> dict[str, object]:
    """The file's row, as ``{column: value}``."""
    row = {name: getattr(file, name) for name in FILE_COLUMNS}
    return {**row, "tags": json.dumps(file.tags)}


def get(conn: sqlite3.Connection, file_id: str) -> FileRecord | None:
    """The file of this id, which may be any text of a request."""
    if not storable(file_id):
        return None
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


def versions_of(conn: sqlite3.Connection, file_id: str) -> list[FileRecord]:
    """Every version of a file, the newest first. The file itself may be in the trash."""
    rows = conn.execute(
        f"""SELECT {COLUMNS} FROM {_JOINED}
        WHERE f.id = ? OR f.series = ? ORDER BY f.version DESC LIMIT ?""",
        (file_id, versions.series_of(conn, file_id), _MAX_VERSIONS),
    )
    return [record(row) for row in rows]


def outside(
    conn: sqlite3.Connection, ids: list[str], slugs: Iterable[str]
) -> list[tuple[str, str]]:
    """The ``(slug, id)`` of those files that exist in other sources than these."""
    rows = conn.execute(
        """SELECT s.slug, f.id FROM json_each(:ids) AS wanted
        CROSS JOIN datasette_files f ON f.id = wanted.value
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE s.slug NOT IN (SELECT value FROM json_each(:slugs))""",
        {"ids": json.dumps(ids), "slugs": json.dumps(list(slugs))},
    )
    return [(row[0], row[1]) for row in rows]


def batch_json(
    conn: sqlite3.Connection,
    ids: list[str],
    slugs: Iterable[str],
    base_url: str,
    single: Collection[str] = (),
) -> str:
    """A JSON object by id of those files that exist in these sources, in the shape of cells.

    ``single`` are ids of files of other sources to include.

    SQLite writes the JSON: for a hundred files a tenth of the cost of Python objects, and the
    interpreter's lock stays free.
    """
    row = conn.execute(
        """SELECT group_concat(json_quote(f.id) || ': ' || json_object(
            'id', f.id, 'filename', f.filename, 'content_type', f.content_type, 'size', f.size,
            'width', f.width, 'height', f.height,
            'folder', f.folder, 'tags', json(f.tags), 'crc32', f.crc32,
            'missing_since', f.missing_since,
            'download_url', :prefix || f.id || '/download',
            'thumbnail_url', :prefix || f.id || '/thumbnail',
            'info_url', :prefix || f.id), ', ')
        FROM json_each(:ids) AS wanted
        CROSS JOIN datasette_files f ON f.id = wanted.value
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE s.slug IN (SELECT value FROM json_each(:slugs))
            OR f.id IN (SELECT value FROM json_each(:single))""",
        {
            "prefix": f"{base_url}-/files/",
            "ids": json.dumps(ids),
            "slugs": json.dumps(list(slugs)),
            "single": json.dumps(list(single)),
        },
    ).fetchone()
    return "{" + (row[0] or "") + "}"


def insert(
    conn: sqlite3.Connection, file: FileRecord, action: audit.Action = "upload", **detail: object
) -> None:
    """Add a file. Raises sqlite3.IntegrityError where its id or path is taken.

    A file that replaces another becomes its next version: raises as ``versions.placed``. ``action``
    and ``detail`` are for the audit.
    """
    if file.replaces is not None:
        file = versions.placed(conn, file)
        detail = {"replaces": file.replaces, **detail}
        audit.of_rows(conn, "replace", "f.id = :id", {"id": file.replaces}, {"by": file.id})
    insert_row(conn, "datasette_files", row_of(file))
    audit.of_file(conn, action, file, size=file.size, **detail)


def change(
    conn: sqlite3.Connection, old: FileRecord, file: FileRecord, names: Collection[str]
) -> bool:
    """Set these columns to the values of ``file``, which were those of ``old``.

    False if its row is gone.
    """
    row = row_of(file)
    changed = {name: row[name] for name in names}
    cursor = conn.execute(
        f"UPDATE datasette_files SET {', '.join(f'{name} = ?' for name in changed)} WHERE id = ?",
        (*changed.values(), file.id),
    )
    if cursor.rowcount:
        audit.update(conn, old, file, list(names))
    return cursor.rowcount > 0


def delete(conn: sqlite3.Connection, file_id: str) -> FileRecord | None:
    """Remove the file and its thumbnails. Returns its record, or None if there was none."""
    file = get(conn, file_id)
    if file is not None:
        conn.execute("DELETE FROM datasette_files WHERE id = ?", (file_id,))
        thumbnails.delete(conn, file_id)
        moves.forget(conn, file_id)
        audit.of_file(conn, "delete", file, outcome="purged")
    return file


def totals(conn: sqlite3.Connection, source_ids: Iterable[int]) -> dict[int, SourceTotals]:
    """Files and bytes of each source, from the totals that triggers keep."""
    ids = list(source_ids)
    rows = conn.execute(
        f"""SELECT source_id, sum(files), sum(bytes) FROM datasette_files_totals
        WHERE source_id IN ({", ".join("?" * len(ids))}) GROUP BY source_id""",
        ids,
    )
    return {row[0]: SourceTotals(row[1], row[2]) for row in rows}


def contents(conn: sqlite3.Connection, source_id: int) -> SourceContents:
    """One source's contents, from the totals that triggers keep."""
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
