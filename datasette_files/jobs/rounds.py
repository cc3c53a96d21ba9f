"""One loop of background work, done by one process at a time, under a lease.

Holds the lease, the pauses, and the log line of a failed pass. Leaves out the work itself, and
long work that a user has started (jobs.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from .. import naming
from ..db import leases
from ..db.audit import By, acting
from ..db.batching import Catalog
from ..errors import FilesError

logger = logging.getLogger("datasette_files")

#: Seconds to wait after many failed passes.
MAX_PAUSE_SECONDS = 60.0


def backoff(failures: int, first: float, longest: float) -> float:
    """Seconds to wait after ``failures`` in a row (1 or more): doubled each time, jittered.

    The result is between half of the pause and all of it, so that processes that failed together
    do not retry together.
    """
    pause = min(longest, first * 2.0 ** min(failures - 1, 60))
    return pause * random.uniform(0.5, 1)  # noqa: S311 - it only spreads load


class Round:
    """A pass of work, repeated. ``work`` calls ``hold`` to take the lease once it finds work.

    So an idle site writes nothing. ``name`` is the lease's name, ``interval`` the seconds between
    two passes, ``first_after`` those before the first one. A process that dies with the lease
    delays the others by at most ``lease_seconds``.
    """

    def __init__(
        self,
        catalog: Catalog,
        name: str,
        work: Callable[[], Awaitable[None]],
        *,
        interval: float,
        lease_seconds: float,
        first_after: float = 0.0,
    ) -> None:
        self.name = name
        self._catalog = catalog
        self._work = work
        self._interval = interval
        self._lease_seconds = lease_seconds
        self._first_after = first_after
        self._holder = naming.new_ulid()
        self._is_holding = False
        self._renew_at = 0.0

    def hold(self, conn: sqlite3.Connection) -> bool:
        """Take or renew the lease, in the caller's transaction. False while another has it."""
        now = time.time()
        self._renew_at = now + self._lease_seconds / 3
        self._is_holding = leases.acquire(
            conn, self.name, self._holder, now, now + self._lease_seconds
        )
        return self._is_holding

    async def keep(self) -> None:
        """Renew the lease once a third of it is over. Call it often during a long step."""
        if time.time() >= self._renew_at:
            await self._catalog.write(self.hold)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Renew the lease, which this process has, for as long as what is inside takes.

        For steps of any length, such as a slow storage's answer, in which nothing calls ``keep``. A
        lease that is lost all the same is not taken back.
        """
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)
            if not renewing.cancelled():
                renewing.result()  # whatever else ended it is a fault of ours

    async def _renew(self) -> None:
        while self._is_holding:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                await self._catalog.write(self.hold)
            except FilesError as error:  # the database is busy; a second try is in time too
                logger.warning("The lease of %r is not renewed yet: %s", self.name, error)

    async def once(self) -> None:
        """Do one pass, then give up the lease."""
        try:
            await self._work()
        finally:
            await self.end()

    async def end(self) -> None:
        """Give up the lease."""
        if self._is_holding:
            self._is_holding = False
            await self._catalog.write(lambda conn: leases.give_up(conn, self.name, self._holder))

    async def run(self, _datasette: Any = None) -> None:
        """Repeat passes until cancelled. A failed pass is logged and tried again later."""
        failures = 0
        await asyncio.sleep(self._first_after)
        while True:
            try:
                with acting(By("round")):
                    await self.once()
                failures, pause = 0, self._interval
            except Exception as error:
                failures += 1
                pause = backoff(failures, self._interval, MAX_PAUSE_SECONDS)
                logger.error(  # noqa: TRY400 - only the first failure of a row has a traceback
                    "The background work %r failed, and is tried again in %.1f seconds: %s",
                    self.name,
                    pause,
                    error,
                    exc_info=failures == 1,
                )
            await asyncio.sleep(pause)
