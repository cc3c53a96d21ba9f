"""Purges the trash: deletes files for good once their time in it is over.

Notes their bytes as garbage in the same transaction. Leaves out deleting the bytes (sweeping.py).
"""

from __future__ import annotations

import sqlite3
import time

from ..db import trash as rows
from ..db.batching import Catalog
from ..events import Announcer, DeleteFileEvent
from ..jobs.rounds import Round
from ..models import FileRecord
from ..sources.sources import Source, Sources

#: Seconds between two searches for files to purge.
INTERVAL = 10.0
#: Seconds. A process that dies with the lease delays the others by at most this.
_LEASE_SECONDS = 30.0
#: Files purged in one transaction, so that other writes wait for milliseconds.
_BATCH = 100


class Purger:
    """Purges the trash of one Datasette."""

    def __init__(self, database: Catalog, sources: Sources, announcer: Announcer) -> None:
        self._catalog = database
        self._sources = sources
        self._announcer = announcer
        self.round = Round(
            *(database, "trash", self._pass), interval=INTERVAL, lease_seconds=_LEASE_SECONDS
        )

    async def purge_due(self) -> None:
        """Do one round now."""
        await self.round.once()

    async def _pass(self) -> None:
        """Purge the files that are due in the sources that are up, if no other process does."""
        for source in self._sources:
            more = True
            while more and source.down is None and source.capabilities.can_delete:
                more = await self._purge_batch(source)

    async def _purge_batch(self, source: Source) -> bool:
        """Purge some files; return whether more may be due."""
        now = time.time()
        if not await self._catalog.read(lambda conn: rows.due(conn, source.id, now, 1)):
            return False

        def purge(conn: sqlite3.Connection) -> tuple[list[FileRecord], bool]:
            if not self.round.hold(conn):
                return [], False
            due = rows.due(conn, source.id, now, _BATCH)
            return rows.purge_all(conn, due, now), len(due) == _BATCH

        purged, more = await self._catalog.write(purge)
        for file in purged:
            await self._announcer.announce(DeleteFileEvent.about(file, None, outcome="purged"))
        return more
