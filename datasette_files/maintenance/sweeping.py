"""Sweeping: removes expired uploads, and bytes that nothing refers to any more.

One process at a time sweeps, under a lease. The note of bytes to delete stays in the catalog until
they are deleted, so a deletion that failed or was interrupted is tried again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from functools import partial
from sqlite3 import Connection
from typing import Any

from ..db import batching, garbage, search, uploads, zips
from ..db.garbage import Garbage
from ..errors import StorageUnavailable
from ..jobs.rounds import Round
from ..sources.sources import Source, Sources

logger = logging.getLogger("datasette_files")

#: Seconds between two passes. Expired uploads are removed within twice this.
INTERVAL = 4.0
#: Seconds by which a process that died with the lease delays the others. Together with ``INTERVAL``
#: it is less than the promised ten seconds. Two overlapping passes only repeat work.
_LEASE_SECONDS = 5.0
_BATCH = 500
#: How long a deleted file, or an upload that has ended, is remembered for clients that repeat a
#: request.
REMEMBERED_SECONDS = 24 * 3600


class Sweeper:
    """Sweeps the sources of one Datasette."""

    def __init__(self, database: batching.Catalog, sources: Sources) -> None:
        self._catalog = database
        self._sources = sources
        self.round = Round(
            *(database, "sweep", self._pass), interval=INTERVAL, lease_seconds=_LEASE_SECONDS
        )
        #: Deletions that run, by source, so that a slow storage does not delay the others.
        self._deleting: dict[str, asyncio.Task[None]] = {}

    async def run(self, _datasette: Any = None) -> None:
        """Sweep until cancelled."""
        try:
            await self.round.run()
        finally:
            for task in self._deleting.values():
                task.cancel()
            await asyncio.gather(*self._deleting.values(), return_exceptions=True)

    async def sweep(self) -> None:
        """Do one round now."""
        await self.round.once()

    async def _pass(self) -> None:
        """Expire uploads, delete garbage, forget old notes and zips, index other tools' files."""
        more = await self._catalog.read(search.any_due)
        while more:
            more = await self._catalog.write(search.index_due)
        now = time.time()
        if await self._catalog.read(partial(zips.any_due, now=now)):
            await self._catalog.write(partial(zips.forget_due, now=now))
        slugs = self._swept()

        def look(conn: Connection) -> bool:
            return uploads.any_due(conn, now) or bool(garbage.due(conn, now, slugs, 1))

        if not await self._catalog.read(look):
            return

        def expire(conn: Connection) -> tuple[bool, list[Garbage]]:
            if not self.round.hold(conn):
                return False, []
            expired = uploads.expire(conn, now, now + REMEMBERED_SECONDS, _BATCH)
            garbage.purge(conn, now - REMEMBERED_SECONDS)
            notes = garbage.due(conn, now, self._swept(), _BATCH)
            return _BATCH in (expired, len(notes)), notes

        more = True
        while more:
            more, notes = await self._catalog.write(expire)
            await self._delete(notes)

    async def _delete(self, notes: list[Garbage]) -> None:
        by_source: dict[str, list[Garbage]] = {}
        for note in notes:
            by_source.setdefault(note.source_slug, []).append(note)
        started = []
        for slug, group in by_source.items():
            task = asyncio.create_task(self._delete_from(self._sources.get(slug), group))
            self._deleting[slug] = task
            task.add_done_callback(partial(self._deleted, slug))
            started.append(task)
        if started:
            await asyncio.wait(started, timeout=INTERVAL)

    def _deleted(self, slug: str, task: asyncio.Task[None]) -> None:
        del self._deleting[slug]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Sweeping the source %r failed", slug, exc_info=error)

    def _swept(self) -> list[str]:
        """List the sources that are up and whose last deletion has ended."""
        up = (source.slug for source in self._sources if source.down is None)
        return [slug for slug in up if slug not in self._deleting]

    async def _delete_from(self, source: Source, notes: list[Garbage]) -> None:
        """Delete the bytes of the notes together; if that fails, one by one."""
        ids = [note.id for note in notes]
        try:
            for note in notes:
                if note.instructions is not None:
                    state = json.loads(note.instructions)
                    await source.storage.discard_upload(note.path, state)
            paths = [note.path for note in notes if note.instructions is None]
            if paths and source.capabilities.can_delete:
                await source.storage.delete_files(paths)
        except Exception as error:  # noqa: BLE001 - whatever a storage raises, it is tried again
            if len(notes) > 1 and not isinstance(error, StorageUnavailable):
                # One path that cannot be deleted must not stop the others.
                for note in notes:
                    await self._delete_from(source, [note])
                return
            logger.warning(
                "%d paths of source %r cannot be deleted yet: %s", len(notes), source.slug, error
            )
            await self._catalog.write(lambda conn: garbage.postpone(conn, ids, time.time()))
            return
        await self._catalog.write(lambda conn: garbage.done(conn, ids, time.time()))

    async def remove(self, source: Source, *paths: str) -> None:
        """Delete the bytes at unused paths, now if possible, else later."""

        def note(conn: Connection) -> list[Garbage]:
            return [
                Garbage(note_id, source.slug, path)
                for path in paths
                for note_id in garbage.ensure(conn, source.id, path)
            ]

        if notes := await self._catalog.write(note):
            await self._delete_from(source, notes)
