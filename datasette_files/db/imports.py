"""Import jobs, as the public release's table keeps them. Reading only: running them is to come."""

from __future__ import annotations

import sqlite3

from ..models import Job

_COLUMNS = """id, file_id, import_type, database_name, table_name, status, row_count, total_size,
    bytes_read, error, started_at, finished_at"""


def get(conn: sqlite3.Connection, file_id: str, job_id: int) -> Job | None:
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM _datasette_files_imports WHERE id = ? AND file_id = ?",
        (job_id, file_id),
    ).fetchone()
    return Job(*row) if row else None
