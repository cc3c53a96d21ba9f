"""Hashing: sha256 and crc32 of files whose bytes went straight to their storage.

One process at a time, under a lease per source, hashes one file after another. It reads the bytes
that the storage serves to clients. Until then the storage's own tag is used. Files that lack only
the crc32, such as those of older releases, come last and slowly. Leaves out hashes that are known
when an upload completes (transfer/receiving.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from sqlite3 import Connection

from ..db import batching, files, unhashed
from ..errors import ChecksumMismatch, FilesError
from ..jobs.rounds import Round
from ..models import FileRecord
from ..sources import reading
from ..sources.reading import Digest, Missing
from ..sources.sources import Source

logger = logging.getLogger("datasette_files")

#: Seconds between two searches for unhashed files.
INTERVAL = 4.0
#: Seconds. A process that dies with the lease delays the others by at most this.
_LEASE_SECONDS = 30.0
#: Bytes a second that are read of files that were indexed, or lack only the crc32, and such files
#: of one pass.
CRC32_RATE = 32 * 1024 * 1024
CRC32_FILES = 50
#: Files without bytes after which a pass ends: of a source that lost them all, few are asked for.
_MISSING_FILES = 5


class Hashing:
    """Hashes the unhashed files of one source: a slow source does not delay the others."""

    def __init__(self, database: batching.Catalog, source: Source) -> None:
        self._catalog = database
        self._source = source
        #: Whether the files of this pass came with a walk, or lack only the crc32.
        self._slow = False
        self.round = Round(
            *(database, f"hash {source.slug}", self._pass),
            interval=INTERVAL,
            lease_seconds=_LEASE_SECONDS,
        )

    async def _pass(self) -> None:
        """Hash every file that is due, one by one, unless another process has the lease."""
        self._slow = self._source.down is None and await self._catalog.read(self._lacks_crc32)
        if self._slow and not await self._catalog.write(self._queue_more):
            return
        missing = 0
        while self._source.down is None and await self._catalog.read(self._due) is not None:
            if missing == _MISSING_FILES or not await self._catalog.write(self.round.hold):
                return
            # Read again under the lease: another process may have hashed the file meanwhile.
            file_id, file = await self._catalog.read(self._next)
            if file_id is not None:
                missing += await self._hash_one(file_id, file)

    def _due(self, conn: Connection) -> str | None:
        return unhashed.due(conn, self._source.id, time.time())

    def _lacks_crc32(self, conn: Connection) -> bool:
        """Tell whether a file waits only for its crc32, and no other is due."""
        return self._due(conn) is None and bool(unhashed.without_crc32(conn, self._source.id, 1))

    def _queue_more(self, conn: Connection) -> bool:
        held = self.round.hold(conn)
        if held and self._lacks_crc32(conn):
            unhashed.queue_more(conn, self._source.id, CRC32_FILES)
        return held

    def _next(self, conn: Connection) -> tuple[str | None, FileRecord | None]:
        file_id = self._due(conn)
        return file_id, None if file_id is None else files.get(conn, file_id)

    async def _hash_one(self, file_id: str, file: FileRecord | None) -> bool:
        """Hash the file and take it off the queue, or put it off. Tell whether it has no bytes."""
        digest, missing = None, False
        if file is not None:
            try:
                digest = await self._hash(file)
            except Missing:
                missing = True  # reading.py has logged it; the file stays without a hash
            except ChecksumMismatch as error:
                logger.error("%s", error)  # noqa: TRY400 - the storage is at fault, not our code
            except FilesError as error:
                logger.warning("File %s cannot be hashed yet: %s", file_id, error)
                await self._catalog.write(
                    lambda conn: unhashed.postpone(conn, file_id, time.time())
                )
                return False
        hashes = (digest.content_hash, digest.crc32) if digest else None
        await self._catalog.write(lambda conn: unhashed.done(conn, file_id, hashes))
        return missing

    async def _hash(self, file: FileRecord) -> Digest:
        """Read the file. Renews the lease meanwhile.

        Raises StorageError, StorageUnavailable, and ChecksumMismatch against a known sha256.
        """

        async def told(size: int) -> None:
            await self.round.keep()
            if self._slow or file.sha256 is not None:
                await asyncio.sleep(size / CRC32_RATE)

        digest = await reading.digest(self._source, file, Digest(crc32=True), told)
        digest.check(file)
        return digest
