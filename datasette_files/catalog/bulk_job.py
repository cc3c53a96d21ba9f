"""Bulk actions that run as jobs: they survive a crash and go on, and can be watched and cancelled.

A job first writes down which files match, page by page; then it does them in order. Another process
goes on where one was killed. Leaves out the action on each file (bulk.py).
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from ..db import bulk as rows
from ..db import jobs
from ..db.batching import Catalog
from ..db.bulk import Counts
from ..db.jobs import Job
from ..errors import Conflict, NotFound, PermissionDenied, StorageUnavailable
from ..jobs.jobs import Cancelled, Jobs, Kind, Lost, Progress
from ..permissions.actions import Actor, actor_id
from .bulk import OF_TRASH, Bulk, Mark, Order, Outcome, size_of
from .selecting import Filters, Selecting, Selection

#: Refused files that a job names.
MAX_REFUSED = 1_000
#: Files that match, written down in one transaction.
_PAGE = 500
#: Attempts while the internal database is busy, and the seconds before the first repetition; twice
#: as many before each next one.
_ATTEMPTS, _PAUSE = 5, 1.0
#: Seconds that a move waits for the claim of a process that was killed while it moved the file:
#: longer than such a claim lasts.
_CLAIMED_SECONDS = 70.0


@dataclass(frozen=True)
class Shown:
    """A job as its actor sees it."""

    job: Job
    counts: Counts
    #: As ``(id, code)``, at most ``MAX_REFUSED``.
    refused: list[tuple[str, str]]

    @property
    def is_active(self) -> bool:
        return self.job.status in ("pending", "running")

    @property
    def can_undo(self) -> bool:
        """Whether the job is over and has put files into the trash."""
        return not self.is_active and self.counts.trashed > 0


class BulkJobs:
    """The bulk actions of one Datasette that are jobs."""

    def __init__(
        self, datasette: Any, database: Catalog, bulk: Bulk, selecting: Selecting, runs: Jobs
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self._jobs = runs
        runs.register(BulkWork(database, bulk, selecting))

    async def start(self, actor: Actor, order: Order, selection: Selection) -> int:
        """Start a job; return its id. Raises Conflict if too many wait."""
        filters = None if selection.filters is None else vars(selection.filters)

        def add(conn: sqlite3.Connection) -> int:
            job_id = self._add(conn, actor, order, filters)
            rows.add(conn, job_id, selection.ids or ())
            return job_id

        return await self._begun(await self._catalog.write(add, 64 * len(selection.ids or ())))

    async def undo(self, actor: Actor, job_id: int) -> int:
        """Start a job that restores what a job has put into the trash; return its id.

        Raises NotFound, PermissionDenied, Conflict.
        """
        shown = await self.shown(actor, job_id)
        if not shown.can_undo:
            raise Conflict("There is nothing to restore: the job put no file into the trash")

        def add(conn: sqlite3.Connection) -> int:
            new_id = self._add(conn, actor, Order("restore"), None)
            rows.add_trashed(conn, new_id, job_id)
            return new_id

        return await self._begun(await self._catalog.write(add))

    def _add(
        self, conn: sqlite3.Connection, actor: Actor, order: Order, filters: dict[str, Any] | None
    ) -> int:
        return jobs.add(
            conn,
            kind=rows.KIND,
            actor=actor,
            actor_id=actor_id(actor),
            options={"order": asdict(order), "filters": filters},
            notes={"selecting": filters is not None},
        )

    async def _begun(self, job_id: int) -> int:
        self._jobs.wake()
        return job_id

    async def shown(self, actor: Actor, job_id: int) -> Shown:
        """A job for who started it, or for root. Raises NotFound, PermissionDenied."""

        def look(conn: sqlite3.Connection) -> Shown | None:
            job = rows.get(conn, job_id)
            if job is None:
                return None
            return Shown(job, rows.counts(conn, job_id), rows.refused(conn, job_id, MAX_REFUSED))

        shown = await self._catalog.query(look)
        if shown is None:
            raise NotFound(f"There is no bulk action {job_id}")
        who = actor_id(actor)
        is_root = who == "root" and self._datasette.root_enabled
        if shown.job.actor_id != who and not is_root:
            raise PermissionDenied("Only who started a bulk action sees it; sign in as its actor")
        return shown

    async def cancel(self, actor: Actor, job_id: int) -> None:
        """Let a job stop before its next files. Raises NotFound, PermissionDenied, Conflict."""
        shown = await self.shown(actor, job_id)
        if await self._catalog.write(lambda conn: jobs.cancel(conn, job_id)) is None:
            raise Conflict(f"The job is over: {shown.job.status}")


class BulkWork(Kind):
    """The kind of job that does one action on many files."""

    name = rows.KIND
    phase = "selecting"
    limit = 2

    def __init__(self, database: Catalog, bulk: Bulk, selecting: Selecting) -> None:
        super().__init__(database)
        self._bulk = bulk
        self._selecting = selecting

    async def permit(self, job: Job) -> None:
        """Check nothing: each file is asked for in the transaction that changes it."""

    async def run(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Select, then do each file that waits. Raises Cancelled, Lost, FilesError."""
        order = Order(**{**job.options["order"], "tags": tuple(job.options["order"]["tags"])})
        await self._forget_old()
        if job.notes.get("selecting"):
            await self._select(job, order, progress)
        counts = await self._catalog.query(lambda conn: rows.counts(conn, job.id))
        progress.phase = "working"
        progress.count(total=counts.total, done=counts.done, refused=counts.refused)
        after = 0
        while waiting := await self._waiting(job, after, size_of(order)):
            progress.check()
            outcome = await self._patiently(job, order, waiting)
            refused = len(outcome.refused)
            progress.count(
                done=progress.counts["done"] + len(outcome.states) - refused,
                refused=progress.counts["refused"] + refused,
            )
            after = waiting[-1][0]
        return {}

    async def _forget_old(self) -> None:
        while await self._catalog.write(lambda conn: rows.forget(conn, time.time())):
            pass

    async def _select(self, job: Job, order: Order, progress: Progress) -> None:
        """Write down the files that match. After a crash it goes on from the last page."""
        filters = Filters.from_json(job.options["filters"])
        token: str | None = job.notes.get("after")
        while True:
            progress.check()
            ids, token = await self._selecting.page(
                job.actor, filters, order.action in OF_TRASH, token, _PAGE
            )
            await self._catalog.write(partial(_note, job=job, ids=ids, token=token))
            progress.count(total=progress.counts.get("total", 0) + len(ids))
            if token is None:
                return

    async def _waiting(self, job: Job, after: int, limit: int) -> list[tuple[int, str]]:
        return await self._catalog.read(lambda conn: rows.waiting(conn, job.id, after, limit))

    async def _patiently(self, job: Job, order: Order, waiting: list[tuple[int, str]]) -> Outcome:
        """Do the action for these files; repeat it while the internal database is busy."""
        ids, mark = [file_id for _, file_id in waiting], self._mark(job, waiting)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._bulk.do(job.actor, order, ids, mark, _CLAIMED_SECONDS)
            except StorageUnavailable:
                if attempt == _ATTEMPTS:
                    raise
            await asyncio.sleep(_PAUSE * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    def _mark(self, job: Job, waiting: Sequence[tuple[int, str]]) -> Mark:
        """Make the function that marks these files while the job stands. It raises Cancelled, Lost.

        So a job that was cancelled, or taken over by another process, commits no file any more.
        """
        numbers = {file_id: number for number, file_id in waiting}

        def mark(conn: sqlite3.Connection, states: dict[str, str]) -> None:
            stands = jobs.stands(conn, job)
            if not stands:
                raise Lost if stands is None else Cancelled
            # Without a state this also runs on a connection for reading. There even an UPDATE of no
            # row begins a transaction, and all later reads would see the past.
            if states:
                rows.mark(conn, job.id, {numbers[one]: state for one, state in states.items()})

        return mark

    async def clean(self, job: Job, status: str, error: str | None) -> None:
        """End the job with its counters; one whose process ended goes on in its next run."""
        if status == "interrupted":
            if await self._catalog.write(lambda conn: jobs.again(conn, job)):
                return
            status = "cancelled"
        counts = await self._catalog.query(lambda conn: rows.counts(conn, job.id))
        await self.end(job, status, error, None, **asdict(counts))
        await self._catalog.write(lambda conn: jobs.cleaned(conn, job.id))


def _note(conn: sqlite3.Connection, job: Job, ids: list[str], token: str | None) -> None:
    stands = jobs.stands(conn, job)
    if not stands:
        raise Lost if stands is None else Cancelled
    rows.add(conn, job.id, ids)
    jobs.note(conn, job.id, after=token, selecting=None if token is None else True)
