"""Versions of files: the place of a new one, and which comes after one.

Versions are numbered within a series, whose name is the id of the first. Triggers keep
``superseded_by`` (migrations/versions.py).
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

from ..errors import Conflict, NotFound
from ..models import FileRecord


def placed(conn: sqlite3.Connection, file: FileRecord) -> FileRecord:
    """A new file as the next version of the one that it replaces.

    It gets that one's folder and tags if it has none. Raises NotFound if that one is gone, and
    Conflict if it is no longer the newest.
    """
    row = conn.execute(
        "SELECT series, superseded_by, folder, tags FROM datasette_files WHERE id = ?",
        (file.replaces,),
    ).fetchone()
    if row is None:
        raise NotFound(f"{file.replaces}, which is to be replaced, was deleted; upload it anew")
    if row[1] is not None:
        raise superseded(row[1])
    series = row[0] or file.replaces
    if row[0] is None:
        conn.execute("UPDATE datasette_files SET series = id WHERE id = ?", (file.replaces,))
    (number,) = conn.execute(
        """SELECT max(ifnull((SELECT max(version) FROM datasette_files WHERE series = :series), 1),
            ifnull((SELECT max(version) FROM datasette_files_trash WHERE series = :series), 1))""",
        {"series": series},
    ).fetchone()
    return replace(
        file,
        series=series,
        version=number + 1,
        folder=file.folder or row[2],
        tags=file.tags or tuple(json.loads(row[3])),
    )


def series_of(conn: sqlite3.Connection, file_id: str) -> str | None:
    """The series of a file, which may be in the trash; None for none."""
    row = conn.execute(
        """SELECT series FROM datasette_files WHERE id = :id
        UNION ALL SELECT series FROM datasette_files_trash WHERE id = :id""",
        {"id": file_id},
    ).fetchone()
    return None if row is None else row[0]


def superseded(newer: str) -> Conflict:
    return Conflict(
        f"Somebody has replaced the file meanwhile, by {newer}; look at that version, then replace"
        " the newest one"
    )


def next_of(conn: sqlite3.Connection, file: FileRecord) -> str | None:
    """The id of the version after this one; None for the newest, and where there is one only."""
    row = conn.execute(
        """SELECT id FROM datasette_files WHERE series = ? AND version > ?
        ORDER BY version LIMIT 1""",
        (file.series, file.version),
    ).fetchone()
    return None if row is None else str(row[0])


def replaced_by_upload(conn: sqlite3.Connection, upload_id: str) -> str | None:
    """The id of the file that an upload, once completed, replaces; None for none."""
    row = conn.execute(
        "SELECT replaces FROM datasette_files_uploads WHERE id = ? AND state != 'completed'",
        (upload_id,),
    ).fetchone()
    return None if row is None else row[0]
