"""The live tables of files: the database that has a file's tables, and the jobs that make one."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from . import jobs
from .jobs import Job

#: The kind of these jobs.
KIND = "live table"


@dataclass(frozen=True, slots=True)
class Opened:
    """A file whose tables were opened. ``tables``: ``{name, rows}`` of each."""

    key: str
    tables: list[dict[str, Any]]


def get(conn: sqlite3.Connection, file_id: str) -> Opened | None:
    """What is known of a file's live tables; None if they were never opened."""
    row = conn.execute(
        "SELECT key, tables FROM datasette_files_live WHERE file_id = ?", (file_id,)
    ).fetchone()
    return Opened(row[0], json.loads(row[1])) if row else None


def put(conn: sqlite3.Connection, file_id: str, opened: Opened) -> None:
    """Note the database that has a file's tables."""
    conn.execute(
        "INSERT OR REPLACE INTO datasette_files_live (file_id, key, tables) VALUES (?, ?, ?)",
        (file_id, opened.key, json.dumps(opened.tables)),
    )


def share(conn: sqlite3.Connection, file_id: str, key: str) -> bool:
    """Note a database that another file's tables are in; False if no file has them there."""
    cursor = conn.execute(
        """INSERT OR REPLACE INTO datasette_files_live (file_id, key, tables)
        SELECT ?, key, tables FROM datasette_files_live WHERE key = ? LIMIT 1""",
        (file_id, key),
    )
    return cursor.rowcount > 0


def keys(conn: sqlite3.Connection) -> set[str]:
    """The keys of all databases that a file has."""
    return {row[0] for row in conn.execute("SELECT DISTINCT key FROM datasette_files_live")}


def is_in_catalog(conn: sqlite3.Connection, database: str) -> bool:
    """Tell whether Datasette's list of databases has this one, which its permissions need."""
    return (
        conn.execute(
            "SELECT 1 FROM catalog_databases WHERE database_name = ?", (database,)
        ).fetchone()
        is not None
    )


def job(conn: sqlite3.Connection, file_id: str, job_id: int) -> Job | None:
    """A job that makes a file's live tables."""
    found = jobs.get(conn, job_id, KIND)
    return found if found is not None and found.options["file_id"] == file_id else None


def active(conn: sqlite3.Connection, file_id: str, key: str) -> int | None:
    """The id of the job that makes this database for the file, or waits to."""
    row = conn.execute(
        """SELECT id FROM datasette_files_jobs
        WHERE status IN ('pending', 'running') AND kind = ? AND NOT cancel
            AND json_extract(options, '$.file_id') = ? AND json_extract(options, '$.key') = ?
        ORDER BY id LIMIT 1""",
        (KIND, file_id, key),
    ).fetchone()
    return row[0] if row else None
