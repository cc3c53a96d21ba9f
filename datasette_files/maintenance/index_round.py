"""The round that indexes a source: makes walks that are due, asked for or interrupted.

Files that are missing for ``missing_days`` leave the catalog here.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from typing import Any

from ..db import batching, files, index
from ..errors import StorageUnavailable
from ..events import Announcer, DeleteFileEvent
from ..jobs.rounds import Round
from ..models import FileRecord
from ..sources.sources import Source
from .indexing import Indexer

logger = logging.getLogger("datasette_files")

#: Seconds between two looks whether a walk is due.
INTERVAL = 3.0
#: Seconds. A process that dies with the lease delays the others by at most this.
_LEASE_SECONDS = 30.0
_DAY = 24 * 3600
#: Files that leave the catalog in one transaction.
_BATCH = 100


class Indexing:
    """Indexes one source: one process at a time, also beside a command."""

    def __init__(
        self, database: batching.Catalog, indexer: Indexer, source: Source, announcer: Announcer
    ) -> None:
        self._catalog = database
        self._indexer = indexer
        self._source = source
        self._announcer = announcer
        self.round = Round(
            *(database, f"index {source.slug}", self._pass),
            interval=INTERVAL,
            lease_seconds=_LEASE_SECONDS,
        )

    async def walk(self, **how: Any) -> index.Walk:
        """Make a walk now, under the lease. Arguments as ``Indexer.walk``; raises as it does.

        Raises StorageUnavailable while another process indexes the source.
        """
        if not await self._catalog.write(self.round.hold):
            raise StorageUnavailable(
                f"Another process indexes the source {self._source.slug!r} now; wait for it"
            )
        try:
            async with self.round.kept():
                return await self._indexer.walk(self._source, **how)
        finally:
            await self.round.end()

    async def _pass(self) -> None:
        source = self._source
        if source.down is not None or not source.capabilities.can_list:
            return
        if await self._catalog.read(self._is_due) and await self._catalog.write(self.round.hold):
            async with self.round.kept():
                walk = await self._indexer.walk(source)
            if walk.problem is not None and walk.ended_at is None:
                # It goes on after the round's pause, which grows.
                raise StorageUnavailable(f"Indexing {source.slug!r} stopped: {walk.problem}")
            if walk.problem is not None:
                logger.warning("Indexing the source %r stopped: %s", source.slug, walk.problem)
        while source.config.missing_days and await self._forget_some():
            pass

    def _is_due(self, conn: sqlite3.Connection) -> bool:
        walks = index.latest(conn, self._source.id)
        if walks and walks[0].ended_at is None:
            return True
        config = self._source.config.index
        if config is None or not config.interval_seconds:
            return False
        return not walks or (walks[0].ended_at or 0) + config.interval_seconds <= time.time()

    async def _forget_some(self) -> bool:
        """Remove files that are missing for too long; their bytes are gone already.

        Returns whether there may be more.
        """
        before = time.time() - self._source.config.missing_days * _DAY
        source_id = self._source.id
        if not await self._catalog.read(lambda c: index.long_missing(c, source_id, before, 1)):
            return False

        def forget(conn: sqlite3.Connection) -> list[FileRecord]:
            if not self.round.hold(conn):
                return []
            found = index.long_missing(conn, source_id, before, _BATCH)
            for file in found:
                files.delete(conn, file.id)
            return found

        forgotten = await self._catalog.write(forget)
        for file in forgotten:
            await self._announcer.announce(DeleteFileEvent.about(file, None, outcome="purged"))
        return len(forgotten) == _BATCH
