"""Imports in the public release's table, and the files that a table's rows came from.

``_datasette_files_imports`` has the public release's columns. All other data is in the job of the
same id (jobs.py); triggers copy its status and progress here. An import without a job was run by
the public release.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass, field
from typing import Any

from . import jobs
from .rows import insert_row, names_of

#: The kind of these jobs.
KIND = "import"
_JOBS = "datasette_files_jobs"


@dataclass(frozen=True, slots=True)
class ImportJob:
    """A row of ``_datasette_files_imports``, without the actor."""

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


_COLUMNS = ", ".join(f"i.{name}" for name in names_of(ImportJob))


@dataclass(frozen=True, slots=True)
class Origin:
    """A file that rows of a table came from. A deleted file has no name.

    A deleted file that the public release imported has no source either.
    """

    job_id: int
    file_id: str
    filename: str | None
    source: str | None
    content_hash: str | None
    actor_id: str | None
    #: UTC, in the catalog's form.
    imported_at: str | None
    rows: int


#: create: the table must not exist; append: add rows to it; replace: make it anew; merge: make its
#: rows those of the file, by primary key; compare: only show the changes of a merge.
IMPORT_MODES = ("create", "append", "replace", "merge", "compare")


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """A person's choices for an import."""

    database: str
    table: str
    mode: str = "create"
    #: The format's name; None: chosen by the file's name and type.
    format: str | None = None
    #: The fields of ``formats.base.ReadOptions`` that were chosen.
    read: dict[str, Any] = field(default_factory=dict)
    #: Chosen types by column.
    types: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    indexes: list[str] = field(default_factory=list)
    search: list[str] = field(default_factory=list)
    #: Whether a merge removes rows that are not in the file.
    removes: bool = False


def get(
    conn: sqlite3.Connection, file_id: str, import_id: int
) -> tuple[ImportJob, jobs.Job | None, str | None] | None:
    """Return an import of a file, its job, and the id of the actor who started it."""
    row = conn.execute(
        f"""SELECT {_COLUMNS}, i.actor_id FROM _datasette_files_imports i
        WHERE id = ? AND file_id = ?""",
        (import_id, file_id),
    ).fetchone()
    return (ImportJob(*row[:-1]), jobs.get(conn, import_id, KIND), row[-1]) if row else None


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
    by_command: bool = False,
) -> int:
    """Add a pending import; return its id. Raises Conflict if too many wait.

    ``by_command``: an administrator runs it at the command line, and no permission is checked.
    """
    (last,) = conn.execute("SELECT ifnull(max(id), 0) FROM _datasette_files_imports").fetchone()
    notes: dict[str, Any] = {
        "file_id": file_id,
        "content_hash": content_hash,
        "source_id": source_id,
    }
    if by_command:
        notes["by_command"] = True
    job_id = jobs.add(
        conn,
        kind=KIND,
        actor=actor,
        actor_id=actor_id,
        options=asdict(request),
        notes={**notes, "size": size},
        first_id=last + 1,
    )
    row = {
        **{"id": job_id, "file_id": file_id, "import_type": import_type, "status": "pending"},
        **{"database_name": request.database, "table_name": request.table},
        **{"total_size": size, "actor_id": actor_id},
    }
    insert_row(conn, "_datasette_files_imports", row)
    return job_id


def cancel(conn: sqlite3.Connection, job_id: int) -> bool:
    """Ask an import to stop; False if it is over. A row of 0.1a3, which has no job, is ended."""
    if jobs.get(conn, job_id, KIND) is not None:
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
    """List the files that a table's rows came from, newest first, back to its last creation."""
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
