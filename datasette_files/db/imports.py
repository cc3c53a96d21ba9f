"""Imports as the public release's table keeps them, and which table came from which file.

``_datasette_files_imports`` keeps the public release's columns. What it has no column for is in the
job of the same id (jobs.py), whose triggers keep status and progress here. An import without a job
was run by that release.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass, field
from typing import Any

from . import jobs

#: The kind of these jobs.
KIND = "import"
_COLUMNS = """i.id, i.file_id, i.import_type, i.database_name, i.table_name, i.status, i.row_count,
    i.total_size, i.bytes_read, i.error, i.started_at, i.finished_at"""
_JOBS = "datasette_files_jobs"


@dataclass(frozen=True, slots=True)
class ImportJob:
    """An import's progress, as ``_datasette_files_imports`` keeps it."""

    id: int
    file_id: str
    import_type: str
    database_name: str
    table_name: str
    status: str
    row_count: int
    total_size: int
    bytes_read: int
    error: str | None
    started_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """A file that rows of a table came from; once it is gone, it has no name.

    Nor has it a source, if the public release imported it.
    """

    job_id: int
    file_id: str
    filename: str | None
    source: str | None
    content_hash: str | None
    actor_id: str | None
    #: As in the catalog.
    imported_at: str | None
    rows: int


#: What an import does with a table of its name: it must not exist, rows are added to it, it is made
#: anew, or it becomes as the file is, by primary key; or it is only compared with the file.
IMPORT_MODES = ("create", "append", "replace", "merge", "compare")


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What a person wants of an import."""

    database: str
    table: str
    mode: str = "create"
    #: The format's name; None: by the file's name and type.
    format: str | None = None
    #: As ``formats.base.ReadOptions``, what was chosen alone.
    read: dict[str, Any] = field(default_factory=dict)
    #: Chosen types by column.
    types: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    indexes: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    #: Of a merge: whether rows that are not in the file are removed.
    removes: bool = False


def get(
    conn: sqlite3.Connection, file_id: str, import_id: int
) -> tuple[ImportJob, jobs.Job | None, str | None] | None:
    """An import of a file, its job, and the id of the actor who asked for it."""
    row = conn.execute(
        f"""SELECT {_COLUMNS}, i.actor_id FROM _datasette_files_imports i
        WHERE id = ? AND file_id = ?""",
        (import_id, file_id),
    ).fetchone()
    return (ImportJob(*row[:-1]), jobs.get(conn, import_id), row[-1]) if row else None


def add(
    conn: sqlite3.Connection,
    request: ImportRequest,
    *,
    import_type: str,
    file_id: str,
    size: int,
    actor: dict[str, Any] | None,
    actor_id: str | None,
    content_hash: str | None,
    source_id: int,
) -> int:
    """Add an import, pending; its id. Raises Conflict where too many wait."""
    (last,) = conn.execute("SELECT ifnull(max(id), 0) FROM _datasette_files_imports").fetchone()
    notes = {"file_id": file_id, "content_hash": content_hash, "source_id": source_id}
    job_id = jobs.add(
        conn,
        kind=KIND,
        actor=actor,
        actor_id=actor_id,
        options=asdict(request),
        notes={**notes, "size": size},
        first_id=last + 1,
    )
    conn.execute(
        """INSERT INTO _datasette_files_imports (id, file_id, import_type, database_name,
            table_name, status, total_size, actor_id) VALUES (?, ?, ?, ?, ?, 'pending', ?, ?)""",
        (job_id, file_id, import_type, request.database, request.table, size, actor_id),
    )
    return job_id


def cancel(conn: sqlite3.Connection, job_id: int) -> bool:
    """Ask an import to stop; False if it is over. A row of 0.1a3, which has no job, is ended."""
    if jobs.get(conn, job_id) is not None:
        return jobs.cancel(conn, job_id) is not None
    ended = conn.execute(
        """UPDATE _datasette_files_imports SET status = 'cancelled', finished_at = datetime('now')
        WHERE id = ? AND status IN ('pending', 'running')""",
        (job_id,),
    )
    return ended.rowcount == 1


def of_file(conn: sqlite3.Connection, file_id: str, limit: int) -> list[tuple[ImportJob, str]]:
    """The file's jobs, newest first, each with its mode."""
    rows = conn.execute(
        f"""SELECT {_COLUMNS}, ifnull(json_extract(j.options, '$.mode'), 'create')
        FROM _datasette_files_imports i LEFT JOIN {_JOBS} j ON j.id = i.id
        WHERE i.file_id = ? ORDER BY i.id DESC LIMIT ?""",
        (file_id, limit),
    )
    return [(ImportJob(*row[:-1]), row[-1]) for row in rows]


def origins(conn: sqlite3.Connection, database: str, table: str, limit: int) -> list[Origin]:
    """The files that a table's rows came from, newest first, since it was last made anew."""
    rows = conn.execute(
        f"""SELECT i.id, i.file_id, f.filename, s.slug, json_extract(j.notes, '$.content_hash'),
            i.actor_id, i.finished_at, i.row_count, json_extract(j.options, '$.mode')
        FROM _datasette_files_imports i LEFT JOIN {_JOBS} j ON j.id = i.id
        LEFT JOIN datasette_files f ON f.id = i.file_id
        LEFT JOIN datasette_files_sources s
            ON s.id = ifnull(f.source_id, json_extract(j.notes, '$.source_id'))
        WHERE i.database_name = ? AND i.table_name = ? AND i.status = 'finished'
            AND ifnull(json_extract(j.options, '$.mode'), 'create') != 'compare'
        ORDER BY i.id DESC LIMIT ?""",
        (database, table, limit),
    )
    found = []
    for row in rows:
        found.append(Origin(*row[:8]))
        if (row[8] or "create") in ("create", "replace"):
            break
    return found
