"""The round that deletes entries of the audit once they are older than ``audit_days``.

Nothing else deletes any; the table refuses it (db/migrations/audit.py).
"""

from __future__ import annotations

import sqlite3
import time

from ..db import audit
from ..db.batching import Catalog
from ..jobs.rounds import Round

#: Seconds between two looks; and those before the first, as requests come first.
INTERVAL = 600.0
_FIRST_AFTER = 60.0
#: Seconds. A process that dies with the lease delays the others by at most this.
_LEASE_SECONDS = 30.0
_DAY = 24 * 3600


class Retention:
    """Deletes old entries of one Datasette's audit. ``days`` 0: none."""

    def __init__(self, database: Catalog, days: int) -> None:
        self._catalog = database
        self._days = days
        self.round = Round(
            *(database, "audit", self._pass),
            interval=INTERVAL,
            lease_seconds=_LEASE_SECONDS,
            first_after=_FIRST_AFTER,
        )

    async def _pass(self) -> None:
        until = time.time() - self._days * _DAY
        if not self._days or not await self._catalog.read(lambda c: audit.any_due(c, until)):
            return

        def forget(conn: sqlite3.Connection) -> bool:
            return self.round.hold(conn) and audit.forget(conn, until)

        while await self._catalog.write(forget):
            pass
