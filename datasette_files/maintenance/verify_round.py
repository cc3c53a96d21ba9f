"""The round that verifies a source by itself: structure each day, data in hourly shares."""

from __future__ import annotations

import logging
import sqlite3
import time
from dataclasses import replace
from functools import partial

from ..db import batching, verify
from ..db.verify import Share
from ..jobs.rounds import Round
from ..sources.sources import Source
from .verify import Order, Verifier

logger = logging.getLogger("datasette_files")

#: Seconds between two looks whether a pass is due.
INTERVAL = 60.0
#: Seconds. A process that dies with the lease delays the others by at most this.
_LEASE_SECONDS = 60.0
_HOUR = 3600


class Verification:
    """The round that verifies one source: structure each day, each byte once in ``verify_days``."""

    def __init__(self, database: batching.Catalog, verifier: Verifier, source: Source) -> None:
        self._catalog = database
        self._verifier = verifier
        self._source = source
        self.round = Round(
            *(database, f"verify {source.slug}", self._pass),
            interval=INTERVAL,
            lease_seconds=_LEASE_SECONDS,
        )

    async def _pass(self) -> None:
        """Verify the structure and this hour's share of the data, if they are due."""
        days, now = self._source.config.verify_days, time.time()
        if not days or self._source.down is not None:
            return
        share = Share(int(now // _HOUR) % (24 * days) + 1, 24 * days)
        due = partial(self._due, share=share, now=now)
        if not await self._catalog.read(due) or not await self._catalog.write(self.round.hold):
            return
        # Read again under the lease: another process may have verified it meanwhile.
        for order in await self._catalog.read(due):
            report = await self._verifier.verify(order, keep=self.round.keep)
            if report.findings or report.problems:
                logger.warning(
                    "Verification of the source %r: %d findings, %d problems; see"
                    " /-/files/source/%s/verify",
                    *(self._source.slug, len(report.findings), len(report.problems)),
                    self._source.slug,
                )

    def _due(self, conn: sqlite3.Connection, share: Share, now: float) -> list[Order]:
        """The structure if it was not looked at for a day; this hour's share of the data."""
        structure = verify.passes(conn, self._source.id, is_data=False, limit=1)
        data = verify.passes(conn, self._source.id, is_data=True, limit=1)
        orders = []
        if not structure or structure[0].started_at < now - 24 * _HOUR:
            orders.append(Order(self._source))
        if not data or data[0].started_at < now // _HOUR * _HOUR:
            orders.append(Order(self._source, data=True, structure=False, share=share))
        return [replace(order, deadline=now + _HOUR) for order in orders]
