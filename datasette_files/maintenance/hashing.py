"""Hashing: the sha256 of files whose bytes went straight to their storage.

A background task of each process; for each source a lease lets one of them work at a time, on one
file at a time. It reads what the storage serves, so the hash is of the bytes that clients get.
Until then the storage's own tag stands in. Leaves out hashes that are known when an upload
completes (transfer/receiving.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from sqlite3 import Connection

from ..db import batching, unhashed
from ..jobs.rounds import Round
from ..sources.sources import Source

logger = logging.getLogger("datasette_files")

#: Seconds between two looks.
INTERVAL = 4.0
#: A process that died with the lease delays the others by so much.
_LEASE_SECONDS = 30.0
#: Bytes hashed in one go, in a thread.
_BATCH = 1024 * 1024


class Hashing:
    """Fills in what is not hashed yet of one source: one that is slow does not keep the others."""

    def __init__(self, database: batching.Catalog, source: Source) -> None:
        self._catalog = database
        self._source = source
        self.round = Round(
            *(database, f"hash {source.slug}", self._pass),
            interval=INTERVAL,
            lease_seconds=_LEASE_SECONDS,
        )

    async def _pass(self) -> None:
        """All that is due, file after file, unless another process is at it."""
        while self._source.down is None and await self._catalog.read(self._due) is not None:
            if not await self._catalog.write(self.round.hold):
                return
            # Only now: another process may have done it meanwhile.
            if (due := await self._catalog.read(self._due)) is not None:
                await self._hash_one(*due)

    def _due(self, conn: Connection) -> tuple[str, str | None, int | None] | None:
        return unhashed.due(conn, self._source.id, time.time())

    async def _hash_one(self, file_id: str, path: str | None, size: int | None) -> None:
        content_hash = None
        if path is not None:
            try:
                content_hash = await self._hash(path, size)
            except FileNotFoundError:
                logger.error("File %s has no bytes in its storage, and so no hash", file_id)  # noqa: TRY400
            except Exception as error:  # noqa: BLE001 - whatever a storage raises, it is tried again
                logger.warning("File %s cannot be hashed yet: %s", file_id, error)
                await self._catalog.write(
                    lambda conn: unhashed.postpone(conn, file_id, time.time())
                )
                return
        await self._catalog.write(lambda conn: unhashed.done(conn, file_id, content_hash))

    async def _hash(self, path: str, size: int | None) -> str:
        """Raises what the storage raises, and ValueError where it does not give every byte."""
        digest, batch, total = hashlib.sha256(), bytearray(), 0
        async for chunk in self._source.storage.stream_file(path):
            batch += chunk
            total += len(chunk)
            if len(batch) >= _BATCH:
                await asyncio.to_thread(digest.update, batch)
                batch = bytearray()
            await self.round.keep()
        digest.update(batch)
        if size is not None and total != size:
            raise ValueError(f"the storage gave {total} bytes of {size}")
        return f"sha256:{digest.hexdigest()}"
