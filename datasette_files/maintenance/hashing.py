"""Hashing: the sha256 of files whose bytes went straight to their storage.

One process at a time, under a lease per source, hashes one file after another. It reads the bytes
that the storage serves to clients. Until then the storage's own tag is used. Leaves out hashes that
are known when an upload completes (transfer/receiving.py).
"""

from __future__ import annotations

import logging
import time
from contextlib import aclosing
from sqlite3 import Connection

from ..db import batching, files, unhashed
from ..errors import FilesError
from ..jobs.rounds import Round
from ..models import FileRecord
from ..sources.reading import Digest, Missing, stream
from ..sources.sources import Source

logger = logging.getLogger("datasette_files")

#: Seconds between two searches for unhashed files.
INTERVAL = 4.0
#: Seconds. A process that dies with the lease delays the others by at most this.
_LEASE_SECONDS = 30.0


class Hashing:
    """Hashes the unhashed files of one source: a slow source does not delay the others."""

    def __init__(self, database: batching.Catalog, source: Source) -> None:
        self._catalog = database
        self._source = source
        self.round = Round(
            *(database, f"hash {source.slug}", self._pass),
            interval=INTERVAL,
            lease_seconds=_LEASE_SECONDS,
        )

    async def _pass(self) -> None:
        """Hash every file that is due, one by one, unless another process has the lease."""
        while self._source.down is None and await self._catalog.read(self._due) is not None:
            if not await self._catalog.write(self.round.hold):
                return
            # Read again under the lease: another process may have hashed the file meanwhile.
            file_id, file = await self._catalog.read(self._next)
            if file_id is not None:
                await self._hash_one(file_id, file)

    def _due(self, conn: Connection) -> str | None:
        return unhashed.due(conn, self._source.id, time.time())

    def _next(self, conn: Connection) -> tuple[str | None, FileRecord | None]:
        file_id = self._due(conn)
        return file_id, None if file_id is None else files.get(conn, file_id)

    async def _hash_one(self, file_id: str, file: FileRecord | None) -> None:
        content_hash = None
        if file is not None:
            try:
                content_hash = await self._hash(file)
            except Missing:
                pass  # reading.py has logged it; the file stays without a hash
            except FilesError as error:
                logger.warning("File %s cannot be hashed yet: %s", file_id, error)
                await self._catalog.write(
                    lambda conn: unhashed.postpone(conn, file_id, time.time())
                )
                return
        await self._catalog.write(lambda conn: unhashed.done(conn, file_id, content_hash))

    async def _hash(self, file: FileRecord) -> str:
        """Hash the file and renew the lease meanwhile. Raises StorageError, StorageUnavailable."""
        digest = Digest()
        async with aclosing(stream(self._source, file)) as chunks:
            async for chunk in chunks:
                await digest.add(chunk)
                await self.round.keep()
        return digest.content_hash
