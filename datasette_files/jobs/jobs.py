"""Long work in the background: claimed under a lease, watched, cancelled, taken over after a crash.

The state of a job is only in the internal database, so every process sees it, and another process
cleans up after one that died. A kind of work is a subclass of ``Kind``; imports/run.py has the
first. Leaves out endless loops (rounds.py).
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import TimeoutError as TimedOut
from dataclasses import dataclass, field
from functools import partial
from sqlite3 import Connection
from typing import Any, TypeVar

from .. import naming
from ..db import jobs as rows
from ..db.audit import By, acting
from ..db.batching import Catalog
from ..db.jobs import Job
from ..errors import Conflict, FilesError, StorageUnavailable
from .holder import is_gone, this_process

_T = TypeVar("_T")

logger = logging.getLogger("datasette_files")

#: Seconds that a dead process keeps its job, between two heartbeats, and between two searches for
#: jobs.
LEASE_SECONDS = 8.0
HEARTBEAT_SECONDS = 1.0
INTERVAL = 3.0
#: Seconds that a transaction waits for the answer whether its actor may still commit it.
_PERMIT_SECONDS = 10.0


class Cancelled(Exception):
    """The user has cancelled the job."""


class Lost(Exception):
    """Another process has taken the job over, as this one was too slow. It must stop its work."""


@dataclass
class Progress:
    """The phase and the counters of a running job, set by its work."""

    phase: str
    #: Counters by name; each kind has its own names.
    counts: dict[str, int] = field(default_factory=dict)
    #: Set once the job is cancelled or lost.
    stopped: Exception | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self, **counts: int) -> None:
        """Set counters."""
        self.counts.update(counts)

    def stop(self, why: Exception) -> None:
        self.stopped = why
        self._stop.set()

    def check(self) -> None:
        """Raise Cancelled or Lost if the job is to stop. Call it before each step."""
        if self.stopped is not None:
            raise self.stopped

    async def unless_stopped(self, step: Coroutine[Any, Any, _T]) -> _T:
        """Do a long step, and cancel it when the job is to stop. Raises Cancelled, Lost."""
        working, stopping = asyncio.create_task(step), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            self.check()
            return await working
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)


class Kind(ABC):
    """One kind of work. A subclass runs its jobs, and cleans up after an interrupted one."""

    #: A noun, for messages; its plural must end in an s.
    name: str
    #: The first phase of a job; the work may set others on its ``Progress``.
    phase: str
    #: Jobs that run at once, in all processes together.
    limit: int
    #: Whether an actor leaves as many of these places free as it takes.
    shared = False

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    @abstractmethod
    async def permit(self, job: Job) -> None:
        """Check that the job's actor still has permission. Raises PermissionDenied, NotFound.

        Called before a job runs; ``run`` must have it checked again before it commits.
        """

    @abstractmethod
    async def run(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Do the work; return the job's result. Raises Cancelled, Lost and any error."""

    def explain(self, job: Job, error: Exception) -> str:
        """Return the error's message for the job's page."""
        if isinstance(error, FilesError):
            return str(error)
        logger.error("The %s %d failed", self.name, job.id, exc_info=error)
        return f"The {self.name} failed ({type(error).__name__}); see the server's log"

    async def clean(self, job: Job, status: str, error: str | None) -> None:
        """Remove a job's leftovers, then end it with this status unless it has ended."""
        await self.end(job, status, error)
        await self._catalog.write(lambda conn: rows.cleaned(conn, job.id))

    async def end(
        self,
        job: Job,
        status: str,
        error: str | None = None,
        result: dict[str, Any] | None = None,
        **counts: int,
    ) -> None:
        """End a job with this status and its last counters, unless it has ended."""

        def end(conn: Connection) -> None:
            if rows.end(conn, job.id, status, error, result, counts) and status == "finished":
                self.record(conn, job, result or {})

        await self._catalog.write(end)

    def record(self, conn: Connection, job: Job, result: dict[str, Any]) -> None:
        """Write the audit of a finished job, in the transaction that ends it; by default none."""
        return

    def confirmation(self, job: Job) -> Callable[[], None]:
        """Return a function that calls ``permit`` from another thread, directly before a commit.

        The transaction locks its database meanwhile. So a check that takes too long, for example
        as it waits for this database, counts as refused. On the event loop's own thread
        (``num_sql_threads: 0``) nothing is checked: nothing runs between ``permit`` and a commit.
        """
        loop, thread = asyncio.get_running_loop(), threading.get_ident()

        def confirm() -> None:
            if threading.get_ident() == thread:
                return
            asked = asyncio.run_coroutine_threadsafe(self.permit(job), loop)
            try:
                asked.result(_PERMIT_SECONDS)
            except TimedOut:
                asked.cancel()
                raise StorageUnavailable(
                    "Your permission could not be checked again in time, so nothing was written;"
                    " start it again"
                ) from None

        return confirm


class Jobs:
    """Runs the jobs of one Datasette."""

    def __init__(self, database: Catalog) -> None:
        self._catalog = database
        self._kinds: dict[str, Kind] = {}
        self.holder = f"{this_process()}/{naming.new_ulid()}"
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        #: The jobs that run here, or are cleaned up by their run.
        self._running: set[int] = set()

    def register(self, kind: Kind) -> None:
        """Run jobs of this kind too."""
        self._kinds[kind.name] = kind

    def wake(self) -> None:
        """Look for jobs now: there is a new one, or one has ended."""
        self._wake.set()

    async def run(self, _datasette: Any = None) -> None:
        """Run jobs until cancelled; then interrupt the running ones."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self._look()
                except Exception:
                    logger.exception("Looking for jobs failed; it is tried again")
                try:
                    await asyncio.wait_for(self._wake.wait(), INTERVAL)
                except asyncio.TimeoutError:
                    continue
        finally:
            await self.close()

    async def close(self) -> None:
        """Interrupt the jobs that run here."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self) -> None:
        if not await self._catalog.read(rows.any_active):
            return
        while (left := await self._catalog.write(self._take_over)) is not None:
            if not await self._clean(left):
                break  # it is tried again when its lease expires
        for kind in self._kinds.values():
            while (job := await self._catalog.write(partial(self._claim, kind))) is not None:
                # An empty context: a job must not inherit skipped or cached permission checks of
                # the request that started this loop.
                task = contextvars.Context().run(asyncio.create_task, self._run(kind, job))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _take_over(self, conn: Connection) -> Job | None:
        now = time.time()
        rows.release_dead(conn, now, is_gone)
        # A busy machine may be late with a heartbeat. What runs here has not died.
        return rows.take_over(
            *(conn, self._kinds),
            holder=self.holder,
            now=now,
            length=LEASE_SECONDS,
            besides=self._running,
        )

    def _claim(self, kind: Kind, conn: Connection, job_id: int | None = None) -> Job | None:
        return rows.claim(
            *(conn, kind.name, kind.phase),
            holder=self.holder,
            now=time.time(),
            length=LEASE_SECONDS,
            limit=kind.limit,
            job_id=job_id,
            shared=kind.shared,
        )

    async def run_here(self, name: str, add: Callable[[Connection], int]) -> Job:
        """Add a job of a kind and run it in this process, for a command; return it as it ended.

        Raises Conflict if as many jobs of the kind run as may.
        """
        kind = self._kinds[name]

        def begin(conn: Connection) -> Job:
            job = self._claim(kind, conn, add(conn))
            if job is None:
                raise Conflict(f"{kind.limit} {name}s run already; try again when one is over")
            return job

        job = await self._catalog.write(begin)
        await self._run(kind, job)
        return await self._catalog.read(lambda conn: rows.get(conn, job.id)) or job

    async def _clean(self, job: Job, status: str = "interrupted", error: str | None = None) -> bool:
        try:
            with acting(_by(job)):
                await self._kinds[job.kind].clean(job, status, error)
        except Exception:
            logger.exception("Cleaning up after %s %d failed; it is tried again", job.kind, job.id)
            return False
        return True

    async def _run(self, kind: Kind, job: Job) -> None:
        progress = Progress(kind.phase)
        self._running.add(job.id)
        beating = asyncio.create_task(self._beat(job, progress))
        status, message = "interrupted", None
        try:
            with acting(_by(job)):
                await kind.permit(job)
                result = await kind.run(job, progress)
                await kind.end(job, "finished", None, result, **progress.counts)
            status = "finished"
        except Cancelled:
            status = "cancelled"
        except Lost:
            logger.warning("%s %d was taken over by another process", job.kind, job.id)
            return
        except Exception as error:  # noqa: BLE001 - the job's page shows it
            status, message = "error", kind.explain(job, error)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            if not isinstance(progress.stopped, Lost):
                await asyncio.shield(self._clean(job, status, message))
            self._running.discard(job.id)
            self.wake()

    async def _beat(self, job: Job, progress: Progress) -> None:
        """Renew the job's lease, record its progress, and stop it if it was cancelled or lost."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                stop = await self._catalog.write(
                    lambda conn: rows.renew(
                        *(conn, job),
                        now=time.time(),
                        length=LEASE_SECONDS,
                        phase=progress.phase,
                        progress=progress.counts,
                    )
                )
            except Exception:
                logger.exception("The progress of %s %d cannot be recorded", job.kind, job.id)
                continue
            if stop is None:
                progress.stop(Lost())
            elif stop:
                progress.stop(Cancelled())


def _by(job: Job) -> By:
    """Who asked for the job, in whose name it works, in whatever process."""
    return By("command" if job.notes.get("by_command") else "http", job.actor_id)
