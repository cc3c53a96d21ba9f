"""One loop of background work, done by one process at a time, under a lease.

Holds the lease, the pauses, and the log line of a pass that fails. Leaves out the work itself, and
long work that somebody asked for (jobs.py).
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .. import naming
from ..db import leases
from ..db.batching import Catalog

logger = logging.getLogger("datasette_files")

#: Seconds. The longest pause after passes that failed.
LONGEST_PAUSE = 60.0


def backoff(failures: int, first: float, longest: float) -> float:
    """Seconds to wait after so many failures in a row (from 1): doubled each time, jittered.

    Between half of the pause and all of it, so that processes that failed together do not return
    together.
    """
    pause = min(longest, first * 2.0 ** min(failures - 1, 60))
    return pause * random.uniform(0.5, 1)  # noqa: S311 - it spreads load and guards nothing


class Round:
    """A pass of work, repeated. ``work`` takes the lease by ``hold`` once it has something to do.

    So an idle site writes nothing. ``name`` is the lease's; ``interval`` is the pause between two
    passes; a process that dies with the lease delays the others by at most ``lease_seconds``.
    """

    def __init__(
        self,
        catalog: Catalog,
        name: str,
        work: Callable[[], Awaitable[None]],
        *,
        interval: float,
        lease_seconds: float,
    ) -> None:
        self.name = name
        self._catalog = catalog
        self._work = work
        self._interval = interval
        self._lease_seconds = lease_seconds
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
        """Renew the lease once a third of it is over. To be called while a step takes long."""
        if time.time() >= self._renew_at:
            await self._catalog.write(self.hold)

    async def once(self) -> None:
        """One pass; at its end the lease is given up."""
        try:
            await self._work()
        finally:
            if self._is_holding:
                self._is_holding = False
                await self._catalog.write(
                    lambda conn: leases.give_up(conn, self.name, self._holder)
                )

    async def run(self, _datasette: Any = None) -> None:
        """Pass after pass until cancelled. A pass that fails is logged, and tried again later."""
        failures = 0
        while True:
            try:
                await self.once()
                failures, pause = 0, self._interval
            except Exception as error:
                failures += 1
                pause = backoff(failures, self._interval, LONGEST_PAUSE)
                logger.error(  # noqa: TRY400 - one traceback for a row of failures is enough
                    "The background work %r failed, and is tried again in %.1f seconds: %s",
                    self.name,
                    pause,
                    error,
                    exc_info=failures == 1,
                )
            await asyncio.sleep(pause)
