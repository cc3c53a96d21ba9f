"""Long work in the background: claimed under a lease, watched, cancelled, taken over after a crash.

The state of a job is in the internal database alone, so that another process sees it, and goes on
with the others when one dies. At most ``limit`` run at once, in all processes together. Leaves out
what a job does: ``Work`` is the import's, in imports/run.py.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Protocol, TypeVar

from .. import naming
from ..db import batching, imports
from ..models import Job

_T = TypeVar("_T")

logger = logging.getLogger("datasette_files")

#: Seconds that a dead process keeps its job, between two signs of life, and between two looks.
LEASE_SECONDS = 8.0
HEARTBEAT_SECONDS = 1.0
INTERVAL = 3.0


class Cancelled(Exception):
    """Its user wants the job to stop."""


class Lost(Exception):
    """The job is another process's by now: this one was too slow, and has to leave it alone."""


@dataclass
class Progress:
    """How far a job is, as the work says."""

    phase: str = "reading"
    rows: int = 0
    #: Bytes.
    read: int = 0
    written: int = 0
    #: Set once the user wants it to stop, or it is no longer ours.
    stopped: Exception | None = None
    _stop: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self, why: Exception) -> None:
        self.stopped = why
        self._stop.set()

    def check(self) -> None:
        """To be called before each step. Raises Cancelled, Lost."""
        if self.stopped is not None:
            raise self.stopped

    async def unless_stopped(self, step: Coroutine[Any, Any, _T]) -> _T:
        """Do what takes long, and cancel it when the job is to stop. Raises Cancelled, Lost."""
        working, stopping = asyncio.create_task(step), asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            self.check()
            return await working
        finally:
            working.cancel()
            stopping.cancel()
            await asyncio.gather(working, stopping, return_exceptions=True)


class Work(Protocol):
    """What the jobs are about."""

    def folder(self) -> str:
        """A new folder's path, for one job."""

    async def run(self, job: Job, progress: Progress, holder: str) -> None:
        """Do it; the job is ended by then. Raises Cancelled, Lost and any error."""

    def explain(self, job: Job, error: Exception) -> str:
        """What a person is told of an error."""

    async def clean(self, job: Job, status: str, error: str | None) -> None:
        """Remove what a job left behind, then end it with this status unless it has ended."""


def _this_process() -> str:
    """This process as others of the same system know it; empty where there is no /proc."""
    pid = os.getpid()
    started = _started(pid)
    return f"{_system()}/{pid}/{started}" if started else ""


def _system() -> str:
    """The running system, and of it the processes that see each other."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """When a process started (proc(5), the 22nd field of stat); None for one that is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def _is_gone(holder: str) -> bool:
    """Whether a process that held a lease is surely gone; one of another system may live."""
    system, _, rest = holder.partition("/")
    pid, _, rest = rest.partition("/")
    if not system or system != _system() or not pid.isdigit():
        return False
    return _started(int(pid)) != rest.partition("/")[0]


class Jobs:
    """Runs the jobs of one Datasette."""

    def __init__(self, database: batching.Catalog, work: Work, limit: int) -> None:
        self._catalog = database
        self._work = work
        self._limit = limit
        self.holder = f"{_this_process()}/{naming.new_ulid()}"
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """There is a new job, or a place for one."""
        self._wake.set()

    async def run(self) -> None:
        """Run jobs until cancelled; then those that run are interrupted."""
        try:
            while True:
                self._wake.clear()
                try:
                    await self._look()
                except Exception:
                    logger.exception("Looking for imports failed; it goes on")
                try:
                    await asyncio.wait_for(self._wake.wait(), INTERVAL)
                except asyncio.TimeoutError:
                    continue  # time for a look
        finally:
            await self.close()

    async def close(self) -> None:
        """Interrupt the jobs that run here."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self) -> None:
        if not await self._catalog.read(imports.any_active):
            return
        while (left := await self._catalog.write(self._take_over)) is not None:
            if not await self._clean(left):
                break  # it is tried again once its lease is over
        while (job := await self._catalog.write(self._claim)) is not None:
            task = asyncio.create_task(self._run(job))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _take_over(self, conn: Connection) -> Job | None:
        now = time.time()
        imports.release_dead(conn, now, _is_gone)
        return imports.take_over(conn, self.holder, now, now + LEASE_SECONDS)

    def _claim(self, conn: Connection) -> Job | None:
        now = time.time()
        return imports.claim(
            conn,
            holder=self.holder,
            now=now,
            until=now + LEASE_SECONDS,
            limit=self._limit,
            folder=self._work.folder(),
        )

    async def _clean(self, job: Job, status: str = "interrupted", error: str | None = None) -> bool:
        try:
            await self._work.clean(job, status, error)
        except Exception:
            logger.exception("What import %d left behind cannot be removed yet", job.id)
            return False
        return True

    async def _run(self, job: Job) -> None:
        progress = Progress()
        beating = asyncio.create_task(self._beat(job, progress))
        status, message = "interrupted", None
        try:
            await self._work.run(job, progress, self.holder)
            status = "finished"
        except Cancelled:
            status = "cancelled"
        except Lost:
            logger.warning("Import %d was taken over by another process", job.id)
            return
        except Exception as error:  # noqa: BLE001 - answered: the job says it
            status, message = "error", self._work.explain(job, error)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            if not isinstance(progress.stopped, Lost):
                await asyncio.shield(self._clean(job, status, message))
            self.wake()

    async def _beat(self, job: Job, progress: Progress) -> None:
        """Show that the job is alive, and see whether it is to stop."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            try:
                stop = await self._catalog.write(
                    lambda conn: imports.renew(
                        conn,
                        job.id,
                        self.holder,
                        now=time.time(),
                        until=time.time() + LEASE_SECONDS,
                        phase=progress.phase,
                        rows=progress.rows,
                        read=progress.read,
                        written=progress.written,
                    )
                )
            except Exception:
                logger.exception("Import %d cannot write its progress down", job.id)
                continue
            if stop is None:
                progress.stop(Lost())
            elif stop:
                progress.stop(Cancelled())
