"""Import jobs: their states, leases, progress and options, and which table came from which file.

``_datasette_files_imports`` is the public release's table; what it has no column for stands beside
it in ``datasette_files_import_jobs``. A job without a row there was run by that release.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from ..errors import Conflict
from ..models import ImportDetails, Job, Origin

_COLUMNS = """id, file_id, import_type, database_name, table_name, status, row_count, total_size,
    bytes_read, error, started_at, finished_at"""
_DETAILS = """job_id, options, content_hash, phase, written, begun_at, updated_at, result, folder,
    staging, committing, cancel"""
_JOBS = "_datasette_files_imports"
_MORE = "datasette_files_import_jobs"
_ACTIVE = "('pending', 'running')"
#: Jobs that may wait: all, and those of one actor. Who is nobody is one.
MOST_WAITING, MOST_WAITING_OF_ACTOR = 1000, 100


def get(conn: sqlite3.Connection, file_id: str, job_id: int) -> Job | None:
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM {_JOBS} WHERE id = ? AND file_id = ?", (job_id, file_id)
    ).fetchone()
    return Job(*row) if row else None


def details(conn: sqlite3.Connection, job_id: int) -> ImportDetails | None:
    """What the public release's table has no column for."""
    row = conn.execute(f"SELECT {_DETAILS} FROM {_MORE} WHERE job_id = ?", (job_id,)).fetchone()
    if row is None:
        return None
    values = dict(zip((name.strip() for name in _DETAILS.split(",")), row, strict=True))
    values["options"] = json.loads(values["options"])
    values["result"] = json.loads(values["result"] or "{}")
    return ImportDetails(**values)


def actor_of(conn: sqlite3.Connection, job_id: int) -> str | None:
    row = conn.execute(f"SELECT actor_id FROM {_JOBS} WHERE id = ?", (job_id,)).fetchone()
    return row[0] if row else None


def add(
    conn: sqlite3.Connection,
    *,
    file_id: str,
    import_type: str,
    database: str,
    table: str,
    size: int,
    actor: str | None,
    content_hash: str | None,
    source_id: int,
    options: dict[str, Any],
) -> int:
    """A new job, pending. Raises Conflict where too many are."""
    _check_waiting(conn, actor)
    cursor = conn.execute(
        f"""INSERT INTO {_JOBS}
        (file_id, import_type, database_name, table_name, status, total_size, actor_id)
        VALUES (?, ?, ?, ?, 'pending', ?, ?)""",
        (file_id, import_type, database, table, size, actor),
    )
    conn.execute(
        f"INSERT INTO {_MORE} (job_id, options, content_hash, source_id) VALUES (?, ?, ?, ?)",
        (cursor.lastrowid, json.dumps(options), content_hash, source_id),
    )
    return int(cursor.lastrowid or 0)


def _check_waiting(conn: sqlite3.Connection, actor: str | None) -> None:
    waiting, own = conn.execute(
        f"""SELECT count(*), ifnull(sum(j.actor_id IS ?), 0)
        FROM {_JOBS} j JOIN {_MORE} m ON m.job_id = j.id WHERE j.status = 'pending'""",
        (actor,),
    ).fetchone()
    if own >= MOST_WAITING_OF_ACTOR:
        raise Conflict(
            f"{own:,} imports of yours wait already; start this one when some are over, or cancel"
            " some"
        )
    if waiting >= MOST_WAITING:
        raise Conflict(f"{waiting:,} imports wait already; start this one when some are over")


def any_active(conn: sqlite3.Connection) -> bool:
    """Whether a job is pending or running, or has left something behind."""
    row = conn.execute(
        f"""SELECT EXISTS (SELECT 1 FROM {_JOBS} j JOIN {_MORE} m ON m.job_id = j.id
            WHERE j.status IN {_ACTIVE})
        OR EXISTS (SELECT 1 FROM {_MORE} WHERE staging IS NOT NULL OR folder IS NOT NULL)"""
    ).fetchone()
    return bool(row[0])


def claim(
    conn: sqlite3.Connection, *, holder: str, now: float, until: float, limit: int, folder: str
) -> Job | None:
    """Take the oldest pending job, unless ``limit`` are running already, wherever that is."""
    (running,) = conn.execute(
        f"""SELECT count(*) FROM {_JOBS} j JOIN {_MORE} m ON m.job_id = j.id
        WHERE j.status = 'running' AND m.lease_until > ?""",
        (now,),
    ).fetchone()
    if running >= limit:
        return None
    row = conn.execute(
        f"""SELECT {_COLUMNS} FROM {_JOBS} j JOIN {_MORE} m ON m.job_id = j.id
        WHERE j.status = 'pending' ORDER BY j.id LIMIT 1"""
    ).fetchone()
    if row is None:
        return None
    job = Job(*row)
    conn.execute(f"UPDATE {_JOBS} SET status = 'running' WHERE id = ?", (job.id,))
    conn.execute(
        f"""UPDATE {_MORE} SET holder = ?, lease_until = ?, begun_at = ?, updated_at = ?,
        phase = 'reading', folder = ? WHERE job_id = ?""",
        (holder, until, now, now, folder, job.id),
    )
    return job


def release_dead(conn: sqlite3.Connection, now: float, is_gone: Callable[[str], bool]) -> None:
    """End the leases of processes that are known to be gone, before their time."""
    for job_id, holder in conn.execute(
        f"SELECT job_id, holder FROM {_MORE} WHERE lease_until > ? AND holder IS NOT NULL", (now,)
    ).fetchall():
        if is_gone(holder):
            conn.execute(f"UPDATE {_MORE} SET lease_until = 0 WHERE job_id = ?", (job_id,))


def take_over(conn: sqlite3.Connection, holder: str, now: float, until: float) -> Job | None:
    """A job that was running in a process that has died, or that left something behind."""
    row = conn.execute(
        f"""SELECT {_COLUMNS} FROM {_JOBS} j JOIN {_MORE} m ON m.job_id = j.id
        WHERE ifnull(m.lease_until, 0) <= ? AND (j.status = 'running'
            OR (j.status != 'pending' AND (m.staging IS NOT NULL OR m.folder IS NOT NULL)))
        ORDER BY m.lease_until LIMIT 1""",
        (now,),
    ).fetchone()
    if row is None:
        return None
    conn.execute(
        f"UPDATE {_MORE} SET holder = ?, lease_until = ? WHERE job_id = ?", (holder, until, row[0])
    )
    return Job(*row)


def set_staging(conn: sqlite3.Connection, job_id: int, staging: str) -> None:
    """Write down a table's name before the table is made."""
    conn.execute(f"UPDATE {_MORE} SET staging = ? WHERE job_id = ?", (staging, job_id))


def cleaned(conn: sqlite3.Connection, job_id: int, gone: bool) -> None:
    """Nothing of the job is left behind; or a table, in a database that is not attached now.

    Then another look is due in an hour.
    """
    if gone:
        conn.execute(
            f"UPDATE {_MORE} SET staging = NULL, folder = NULL WHERE job_id = ?", (job_id,)
        )
        return
    conn.execute(
        f"""UPDATE {_MORE} SET folder = NULL, lease_until = strftime('%s', 'now') + 3600
        WHERE job_id = ?""",
        (job_id,),
    )


def renew(
    conn: sqlite3.Connection,
    job_id: int,
    holder: str,
    *,
    now: float,
    until: float,
    phase: str,
    rows: int,
    read: int,
    written: int,
) -> bool | None:
    """Renew the lease and write progress down; whether to stop. None: it is no longer ours."""
    cursor = conn.execute(
        f"""UPDATE {_MORE} SET lease_until = ?, updated_at = ?, phase = ?, written = ?
        WHERE job_id = ? AND holder = ?
            AND (SELECT status FROM {_JOBS} WHERE id = job_id) = 'running'""",
        (until, now, phase, written, job_id, holder),
    )
    if not cursor.rowcount:
        return None
    conn.execute(
        f"UPDATE {_JOBS} SET row_count = ?, bytes_read = min(?, total_size) WHERE id = ?",
        (rows, read, job_id),
    )
    (cancel,) = conn.execute(f"SELECT cancel FROM {_MORE} WHERE job_id = ?", (job_id,)).fetchone()
    return bool(cancel)


def commits(conn: sqlite3.Connection, job_id: int, holder: str, result: dict[str, Any]) -> bool:
    """Note that the last transaction begins. False where the job is cancelled or not ours."""
    cursor = conn.execute(
        f"""UPDATE {_MORE} SET committing = 1, result = ?
        WHERE job_id = ? AND holder = ? AND NOT cancel
            AND (SELECT status FROM {_JOBS} WHERE id = job_id) = 'running'""",
        (json.dumps(result), job_id, holder),
    )
    return cursor.rowcount > 0


def gives_up(conn: sqlite3.Connection, job_id: int) -> None:
    """Note that the last transaction was not committed and never will be."""
    conn.execute(f"UPDATE {_MORE} SET committing = 0 WHERE job_id = ?", (job_id,))


def end(
    conn: sqlite3.Connection,
    job_id: int,
    status: str,
    error: str | None = None,
    rows: int | None = None,
    result: dict[str, Any] | None = None,
) -> bool:
    """The job is over. False where it was already."""
    cursor = conn.execute(
        f"""UPDATE {_JOBS} SET status = ?, error = ?, finished_at = datetime('now'),
            row_count = ifnull(?, row_count),
            bytes_read = CASE WHEN ? = 'finished' THEN total_size ELSE bytes_read END
        WHERE id = ? AND status IN {_ACTIVE}""",
        (status, error, rows, status, job_id),
    )
    if result is not None:
        conn.execute(
            f"UPDATE {_MORE} SET result = ?, written = ? WHERE job_id = ?",
            (json.dumps(result), rows or 0, job_id),
        )
    return cursor.rowcount > 0


def cancel(conn: sqlite3.Connection, job_id: int) -> str | None:
    """Ask a job to stop, or end one that has not begun; what it was doing, None if it is over."""
    row = conn.execute(
        f"SELECT status FROM {_JOBS} WHERE id = ? AND status IN {_ACTIVE}", (job_id,)
    ).fetchone()
    if row is None:
        return None
    if row[0] == "pending":
        end(conn, job_id, "cancelled")
    conn.execute(f"UPDATE {_MORE} SET cancel = 1 WHERE job_id = ?", (job_id,))
    return str(row[0])


def of_file(conn: sqlite3.Connection, file_id: str, limit: int) -> list[tuple[Job, str]]:
    """The file's jobs, newest first, each with its mode."""
    rows = conn.execute(
        f"""SELECT {_COLUMNS}, ifnull(json_extract(options, '$.mode'), 'create')
        FROM {_JOBS} LEFT JOIN {_MORE} ON job_id = id
        WHERE file_id = ? ORDER BY id DESC LIMIT ?""",
        (file_id, limit),
    )
    return [(Job(*row[:-1]), row[-1]) for row in rows]


def origins(conn: sqlite3.Connection, database: str, table: str, limit: int) -> list[Origin]:
    """The files that a table's rows came from, newest first, since it was last made anew."""
    rows = conn.execute(
        f"""SELECT j.id, j.file_id, f.filename, s.slug, m.content_hash, j.actor_id, j.finished_at,
            j.row_count, json_extract(m.options, '$.mode')
        FROM {_JOBS} j LEFT JOIN {_MORE} m ON m.job_id = j.id
        LEFT JOIN datasette_files f ON f.id = j.file_id
        LEFT JOIN datasette_files_sources s ON s.id = ifnull(f.source_id, m.source_id)
        WHERE j.database_name = ? AND j.table_name = ? AND j.status = 'finished'
            AND ifnull(json_extract(m.options, '$.mode'), 'create') != 'compare'
        ORDER BY j.id DESC LIMIT ?""",
        (database, table, limit),
    )
    found = []
    for row in rows:
        found.append(Origin(*row[:8]))
        if (row[8] or "create") in ("create", "replace"):
            break
    return found
