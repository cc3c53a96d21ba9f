"""Purges the trash: deletes for good each file whose time in it is over.

The bytes are noted as garbage in the same transaction, and left to the sweeper.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time

from .. import naming
from ..db import leases
from ..db import trash as rows
from ..db.batching import Catalog
from ..events import Announcer, DeleteFileEvent
from ..models import FileRecord
from ..sources.sources import Source, Sources

logger = logging.getLogger("datasette_files")

#: Seconds between two looks for files to purge.
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
        self._holder = naming.new_ulid()

    async def run(self) -> None:
        """Purge what is due until cancelled."""
        try:
            while True:
                try:
                    await self.purge_due()
                except Exception:
                    logger.exception("Purging failed; it goes on in %s seconds", INTERVAL)
                await asyncio.sleep(INTERVAL)
        finally:
            await self._catalog.write(lambda conn: leases.give_up(conn, "trash", self._holder))

    async def purge_due(self) -> None:
        """Everything whose time has come, in sources that are up, unless another process is at it.

        The bytes are noted, and left to the sweeper.
        """
        for source in self._sources:
            while source.down is None and source.capabilities.can_delete:
                purged = await self._purge_batch(source)
                for file in purged:
                    event = DeleteFileEvent.about(file, None, outcome="purged")
                    await self._announcer.announce(event)
                if len(purged) < _BATCH:
                    break

    async def _purge_batch(self, source: Source) -> list[FileRecord]:
        now = time.time()
        if not await self._catalog.read(lambda conn: rows.due(conn, source.id, now, 1)):
            return []

        def purge(conn: sqlite3.Connection) -> list[FileRecord]:
            if not leases.acquire(conn, "trash", self._holder, now, now + _LEASE_SECONDS):
                return []
            due = rows.due(conn, source.id, now, _BATCH)
            purged = [rows.purge(conn, one.file.id, one.trashed_by) for one in due]
            return [file for file in purged if file is not None]

        return await self._catalog.write(purge)
