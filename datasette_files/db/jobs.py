"""Jobs of any kind: their actors, options, states, leases and progress.

One row of ``datasette_files_jobs`` is one job. A kind keeps its data as JSON: the ``options`` of
the request, ``notes`` of things it has made and may have to remove, counters in ``progress``, and
the ``result``. Leaves out a kind's own tables (imports.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import Conflict
from .rows import names_of

_ACTIVE = "('pending', 'running')"
#: Whether a job's lease holds. A lease that ends more than twice its length from now was taken
#: before the clock was set back, and is stale.
_IS_HELD = "(lease_until > :now AND lease_until <= :now + 2 * :length)"
#: Waiting jobs of one kind, and of one kind and actor. All anonymous users count as one actor.
MAX_WAITING, MAX_WAITING_OF_ACTOR = 1000, 100


@dataclass(frozen=True, slots=True)
class Job:
    """One job. Times are seconds since the epoch."""

    id: int
    kind: str
    #: The actor who asked, with the token's restrictions (``_r``). None for an anonymous user, and
    #: for a job that has ended, which keeps only ``actor_id``.
    actor: dict[str, Any] | None
    actor_id: str | None
    options: dict[str, Any]
    notes: dict[str, Any]
    #: ``pending``, ``running``, ``finished``, ``error``, ``cancelled`` or ``interrupted``.
    status: str
    error: str | None
    #: The current step, named by the kind; None before the job runs.
    phase: str | None
    progress: dict[str, int]
    result: dict[str, Any]
    #: The process that runs it (jobs/holder.py).
    holder: str | None
    #: Whether the job shall stop.
    cancel: bool
    begun_at: float | None
    #: The moment of the last heartbeat.
    updated_at: float | None


_COLUMNS = ", ".join(names_of(Job))


def _job(row: Iterable[Any]) -> Job:
    values = dict(zip(Job.__slots__, row, strict=True))
    for name in ("actor", "options", "notes", "progress", "result"):
        values[name] = json.loads(values[name])
    return Job(**{**values, "cancel": bool(values["cancel"])})


def get(conn: sqlite3.Connection, job_id: int, kind: str | None = None) -> Job | None:
    """The job of this id; with ``kind`` only if it is of that kind."""
    row = conn.execute(
        f"SELECT {_COLUMNS} FROM datasette_files_jobs WHERE id = ? AND kind = ifnull(?, kind)",
        (job_id, kind),
    ).fetchone()
    return _job(row) if row else None


def add(
    conn: sqlite3.Connection,
    *,
    kind: str,
    actor: dict[str, Any] | None,
    actor_id: str | None,
    options: dict[str, Any],
    notes: dict[str, Any],
    first_id: int = 1,
) -> int:
    """Add a pending job; return its id, at least ``first_id``. Raises Conflict if too many wait."""
    _check_waiting(conn, kind, actor_id)
    cursor = conn.execute(
        """INSERT INTO datasette_files_jobs (id, kind, actor, actor_id, options, notes)
        SELECT max(?, 1 + ifnull(max(id), 0)), ?, ?, ?, ?, ? FROM datasette_files_jobs""",
        (
            *(first_id, kind, json.dumps(actor, default=str), actor_id),
            *(json.dumps(options), json.dumps(notes)),
        ),
    )
    return int(cursor.lastrowid or 0)


def _check_waiting(conn: sqlite3.Connection, kind: str, actor_id: str | None) -> None:
    waiting, own = conn.execute(
        """SELECT count(*), ifnull(sum(actor_id IS ?), 0) FROM datasette_files_jobs
        WHERE status = 'pending' AND kind = ?""",
        (actor_id, kind),
    ).fetchone()
    if own >= MAX_WAITING_OF_ACTOR:
        raise Conflict(
            f"{own:,} {kind}s of yours wait already; start this one when some are over, or cancel"
            " some"
        )
    if waiting >= MAX_WAITING:
        raise Conflict(f"{waiting:,} {kind}s wait already; start this one when some are over")


def any_active(conn: sqlite3.Connection) -> bool:
    """Tell whether a job is pending, running or still to be cleaned up."""
    row = conn.execute(
        f"""SELECT EXISTS (SELECT 1 FROM datasette_files_jobs WHERE status IN {_ACTIVE})
            OR EXISTS (SELECT 1 FROM datasette_files_jobs WHERE unclean)"""
    ).fetchone()
    return bool(row[0])


def claim(
    conn: sqlite3.Connection,
    kind: str,
    phase: str,
    *,
    holder: str,
    now: float,
    length: float,
    limit: int,
    job_id: int | None = None,
    shared: bool = False,
) -> Job | None:
    """Take the oldest pending job of a kind, unless ``limit`` of them run in all processes.

    ``length`` is the length of the lease in seconds. ``job_id``: take that pending job. ``shared``:
    an actor has fewer running jobs than places are free, as in jobs/places.py.
    """
    values = {"kind": kind, "now": now, "length": length, "job_id": job_id, "shared": shared}
    (running,) = conn.execute(
        f"""SELECT count(*) FROM datasette_files_jobs
        WHERE status = 'running' AND kind = :kind AND {_IS_HELD}""",
        values,
    ).fetchone()
    row = conn.execute(
        f"""SELECT id FROM datasette_files_jobs waiting
        WHERE status = 'pending' AND kind = :kind AND (:job_id IS NULL OR id = :job_id)
            AND (NOT :shared OR :free > (SELECT count(*) FROM datasette_files_jobs
                WHERE status = 'running' AND kind = :kind AND {_IS_HELD}
                    AND actor_id IS waiting.actor_id))
        ORDER BY id LIMIT 1""",
        {**values, "free": limit - running},
    ).fetchone()
    if row is None or running >= limit:
        return None
    conn.execute(
        """UPDATE datasette_files_jobs SET status = 'running', holder = ?, lease_until = ?,
            begun_at = ?, updated_at = ?, phase = ?, unclean = 1 WHERE id = ?""",
        (holder, now + length, now, now, phase, row[0]),
    )
    return get(conn, row[0])


def release_dead(conn: sqlite3.Connection, now: float, is_gone: Callable[[str], bool]) -> None:
    """End the leases of processes that have surely ended, before they expire."""
    for job_id, holder in conn.execute(
        """SELECT id, holder FROM datasette_files_jobs
        WHERE unclean AND lease_until > ? AND holder IS NOT NULL""",
        (now,),
    ).fetchall():
        if is_gone(holder):
            conn.execute("UPDATE datasette_files_jobs SET lease_until = 0 WHERE id = ?", (job_id,))


def take_over(
    conn: sqlite3.Connection,
    kinds: Iterable[str],
    *,
    holder: str,
    now: float,
    length: float,
    besides: Iterable[int] = (),
) -> Job | None:
    """Take a job whose process has died, or that is still to be cleaned up; not ``besides``."""
    row = conn.execute(
        f"""SELECT id FROM datasette_files_jobs
        WHERE unclean AND kind IN (SELECT value FROM json_each(:kinds))
            AND id NOT IN (SELECT value FROM json_each(:besides))
            AND (lease_until <= :now OR (status = 'running' AND NOT {_IS_HELD}))
        ORDER BY lease_until LIMIT 1""",
        {
            **{"kinds": json.dumps(list(kinds)), "besides": json.dumps(list(besides))},
            **{"now": now, "length": length},
        },
    ).fetchone()
    if row is None:
        return None
    conn.execute(
        "UPDATE datasette_files_jobs SET holder = ?, lease_until = ? WHERE id = ?",
        (holder, now + length, row[0]),
    )
    return get(conn, row[0])


def note(conn: sqlite3.Connection, job_id: int, **notes: Any) -> None:
    """Add notes to a job's notes. A value of None removes the note."""
    conn.execute(
        "UPDATE datasette_files_jobs SET notes = json_patch(notes, ?) WHERE id = ?",
        (json.dumps(notes), job_id),
    )


def cleaned(conn: sqlite3.Connection, job_id: int, look_again_at: float | None = None) -> None:
    """Record that a job is cleaned up; or, with ``look_again_at``, when to clean up again."""
    conn.execute(
        """UPDATE datasette_files_jobs SET unclean = ?, lease_until = ifnull(?, lease_until)
        WHERE id = ?""",
        (look_again_at is not None, look_again_at, job_id),
    )


def renew(
    conn: sqlite3.Connection,
    job: Job,
    *,
    now: float,
    length: float,
    phase: str,
    progress: dict[str, int],
) -> bool | None:
    """Renew the lease, record progress; return whether to stop. None: the lease is lost."""
    cursor = conn.execute(
        """UPDATE datasette_files_jobs
        SET lease_until = ?, updated_at = ?, phase = ?, progress = json_patch(progress, ?)
        WHERE id = ? AND holder = ? AND status = 'running'""",
        (now + length, now, phase, json.dumps(progress), job.id, job.holder),
    )
    renewed = get(conn, job.id) if cursor.rowcount else None
    return renewed.cancel if renewed else None


def stands(conn: sqlite3.Connection, job: Job) -> bool | None:
    """Tell whether the job may go on: False if it was cancelled, None if its lease is lost."""
    now = get(conn, job.id)
    if now is None or now.holder != job.holder or now.status != "running":
        return None
    return not now.cancel


def again(conn: sqlite3.Connection, job: Job) -> bool:
    """Let a job that was interrupted wait for its next run. False if it has ended."""
    cursor = conn.execute(
        """UPDATE datasette_files_jobs
        SET status = 'pending', holder = NULL, lease_until = 0, unclean = 0
        WHERE id = ? AND status = 'running' AND NOT cancel""",
        (job.id,),
    )
    return cursor.rowcount > 0


def commits(conn: sqlite3.Connection, job: Job, result: dict[str, Any]) -> bool:
    """Record that the last transaction begins. False if the job was cancelled or lost."""
    cursor = conn.execute(
        """UPDATE datasette_files_jobs
        SET notes = json_patch(notes, '{"committing": 1}'), result = ?
        WHERE id = ? AND holder = ? AND NOT cancel AND status = 'running'""",
        (json.dumps(result), job.id, job.holder),
    )
    return cursor.rowcount > 0


def end(
    conn: sqlite3.Connection,
    job_id: int,
    status: str,
    error: str | None = None,
    result: dict[str, Any] | None = None,
    progress: dict[str, int] | None = None,
) -> bool:
    """End a job and forget its actor but for the id. False if it had ended already."""
    cursor = conn.execute(
        f"""UPDATE datasette_files_jobs SET status = ?, error = ?, actor = 'null',
            result = ifnull(?, result), progress = json_patch(progress, ?)
        WHERE id = ? AND status IN {_ACTIVE}""",
        (
            *(status, error, None if result is None else json.dumps(result)),
            *(json.dumps(progress or {}), job_id),
        ),
    )
    return cursor.rowcount > 0


def cancel(conn: sqlite3.Connection, job_id: int) -> str | None:
    """Ask a job to stop, or end a pending one. Return its status, None if it had ended."""
    job = get(conn, job_id)
    if job is None or job.status not in ("pending", "running"):
        return None
    conn.execute("UPDATE datasette_files_jobs SET cancel = 1 WHERE id = ?", (job_id,))
    if job.status == "pending":
        end(conn, job_id, "cancelled")
    return job.status
