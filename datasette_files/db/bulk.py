"""The files of bulk actions that run as jobs: which wait, are done, or were refused.

A file's state changes in the transaction that changes the file, so that after a crash each file is
done and marked, or neither.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import jobs
from .jobs import Job

#: The kind of these jobs.
KIND = "bulk action"
#: States of files that are done; any other state is the code of a refusal.
DONE, TRASHED = "done", "trashed"
#: Seconds that the files of an ended job are remembered.
REMEMBERED_SECONDS = 7 * 24 * 3600
#: Rows of ended jobs that are forgotten in one transaction.
_FORGOTTEN = 10_000
_IS_DONE = f"state IN ('{DONE}', '{TRASHED}')"
_IS_REFUSED = f"state NOT IN ('{DONE}', '{TRASHED}')"


@dataclass(frozen=True, slots=True)
class Counts:
    """Numbers of a job's files."""

    total: int
    done: int
    refused: int
    #: Those of the done ones that were put into the trash.
    trashed: int


def add(conn: sqlite3.Connection, job_id: int, file_ids: Iterable[str]) -> None:
    """Add files to a job, after those that it has."""
    conn.execute(
        """INSERT INTO datasette_files_bulk (job_id, number, file_id)
        SELECT :job, key + 1 + (SELECT ifnull(max(number), 0) FROM datasette_files_bulk
            WHERE job_id = :job), value FROM json_each(:ids)""",
        {"job": job_id, "ids": json.dumps(list(file_ids))},
    )


def add_trashed(conn: sqlite3.Connection, job_id: int, other_id: int) -> None:
    """Add the files that another job put into the trash."""
    conn.execute(
        """INSERT INTO datasette_files_bulk (job_id, number, file_id)
        SELECT ?, number, file_id FROM datasette_files_bulk WHERE job_id = ? AND state = ?""",
        (job_id, other_id, TRASHED),
    )


def waiting(conn: sqlite3.Connection, job_id: int, after: int, limit: int) -> list[tuple[int, str]]:
    """The next files that wait, as ``(number, id)``."""
    return conn.execute(
        """SELECT number, file_id FROM datasette_files_bulk
        WHERE job_id = ? AND number > ? AND state IS NULL ORDER BY number LIMIT ?""",
        (job_id, after, limit),
    ).fetchall()


def mark(conn: sqlite3.Connection, job_id: int, states: Mapping[int, str]) -> None:
    """Set the states of files, by number."""
    conn.executemany(
        "UPDATE datasette_files_bulk SET state = ? WHERE job_id = ? AND number = ?",
        [(state, job_id, number) for number, state in states.items()],
    )


def counts(conn: sqlite3.Connection, job_id: int) -> Counts:
    """Count a job's files. Reads all of them: at the start and the end of a run."""
    row = conn.execute(
        f"""SELECT count(*), count(*) FILTER (WHERE {_IS_DONE}),
            count(*) FILTER (WHERE {_IS_REFUSED}), count(*) FILTER (WHERE state = '{TRASHED}')
        FROM datasette_files_bulk WHERE job_id = ?""",
        (job_id,),
    ).fetchone()
    return Counts(*row)


def refused(conn: sqlite3.Connection, job_id: int, limit: int) -> list[tuple[str, str]]:
    """The first refused files, as ``(id, code)``."""
    return conn.execute(
        f"""SELECT file_id, state FROM datasette_files_bulk
        INDEXED BY datasette_files_bulk_refused
        WHERE job_id = ? AND {_IS_REFUSED} ORDER BY number LIMIT ?""",
        (job_id, limit),
    ).fetchall()


def get(conn: sqlite3.Connection, job_id: int) -> Job | None:
    """The job of this id, if it is a bulk action."""
    return jobs.get(conn, job_id, KIND)


def forget(conn: sqlite3.Connection, now: float) -> bool:
    """Forget files of jobs that ended long ago; tell whether there may be more."""
    cursor = conn.execute(
        """DELETE FROM datasette_files_bulk WHERE (job_id, number) IN (
            SELECT b.job_id, b.number FROM datasette_files_jobs j
            CROSS JOIN datasette_files_bulk b ON b.job_id = j.id
            WHERE j.kind = ? AND j.status NOT IN ('pending', 'running')
                AND ifnull(j.updated_at, 0) < ? LIMIT ?)""",
        (KIND, now - REMEMBERED_SECONDS, _FORGOTTEN),
    )
    return cursor.rowcount == _FORGOTTEN
