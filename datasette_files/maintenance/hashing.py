"""Hashing: the sha256 of files whose bytes went straight to their storage.

A background task of each process; for each source a lease lets one of them work at a time, on one
file at a time. It reads what the storage serves, so the hash is of the bytes that clients get.
Until then the storage's own tag stands in. Leaves out hashes that are known when an upload
completes (transfer/receiving.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing

from .. import naming
from ..db import batching, files, leases, unhashed
from ..errors import FilesError
from ..models import FileRecord
from ..sources.reading import Digest, Missing, stream
from ..sources.sources import Source, Sources

logger = logging.getLogger("datasette_files")

#: Seconds between two looks.
INTERVAL = 4.0
#: A process that died with the lease delays the others by so much.
_LEASE_SECONDS = 30.0


class Hasher:
    """Fills in what is not hashed yet, for one Datasette."""

    def __init__(self, database: batching.Catalog, sources: Sources) -> None:
        self._catalog = database
        self._sources = sources
        self._holder = naming.new_ulid()
        #: By source, as one that is slow must not keep the others.
        self._working: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                for source in self._sources:
                    if source.down is None and source.slug not in self._working:
                        self._start(source)
                await asyncio.sleep(INTERVAL)
        finally:
            for task in self._working.values():
                task.cancel()
            await asyncio.gather(*self._working.values(), return_exceptions=True)

    def _start(self, source: Source) -> None:
        async def work() -> None:
            try:
                await self.hash_source(source)
            except Exception:
                logger.exception("Hashing in source %r failed; it goes on later", source.slug)
            finally:
                del self._working[source.slug]

        self._working[source.slug] = asyncio.create_task(work())

    async def hash_source(self, source: Source) -> None:
        """All that is due in a source, file after file, unless another process is at it."""
        lease = f"hash {source.slug}"
        while await self._catalog.read(lambda conn: unhashed.due(conn, source.id, time.time())):
            if not await self._hold(lease):
                return
            try:
                await self._hash_next(source, lease)
            finally:
                await self._catalog.write(lambda conn: leases.give_up(conn, lease, self._holder))

    async def _hold(self, lease: str) -> bool:
        now = time.time()
        return await self._catalog.write(
            lambda conn: leases.acquire(conn, lease, self._holder, now, now + _LEASE_SECONDS)
        )

    async def _hash_next(self, source: Source, lease: str) -> None:
        def look(conn: batching.Connection) -> tuple[str | None, FileRecord | None]:
            file_id = unhashed.due(conn, source.id, time.time())
            return file_id, None if file_id is None else files.get(conn, file_id)

        file_id, file = await self._catalog.read(look)
        if file_id is None:
            return
        content_hash = None
        if file is not None:
            try:
                content_hash = await self._hash(source, file, lease)
            except Missing:
                pass  # it is logged, and has no hash
            except FilesError as error:
                logger.warning("File %s cannot be hashed yet: %s", file_id, error)
                await self._catalog.write(
                    lambda conn: unhashed.postpone(conn, file_id, time.time())
                )
                return
        await self._catalog.write(lambda conn: unhashed.done(conn, file_id, content_hash))

    async def _hash(self, source: Source, file: FileRecord, lease: str) -> str:
        """Read the file, and keep the lease meanwhile. Raises StorageError, StorageUnavailable."""
        digest, renew_at = Digest(), time.time() + _LEASE_SECONDS / 3
        async with aclosing(stream(source, file)) as chunks:
            async for chunk in chunks:
                await digest.add(chunk)
                if time.time() >= renew_at:
                    renew_at = time.time() + _LEASE_SECONDS / 3
                    await self._hold(lease)
        return digest.content_hash
