"""The digest of an upload whose first bytes an earlier process received.

A digest is lost with its process. Where the storage keeps the upload on a local disk, the lost part
is read again beside the receiving of the last quarter, so that nobody waits for it at the end.
Leaves out the bytes that arrive (appending.py), and other storages, whose whole object is read at
the end (resuming.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

from ..errors import FilesError
from ..models import Upload
from ..sources.reading import Digest, storage_errors
from ..sources.sources import Source

logger = logging.getLogger("datasette_files")

#: Bytes that one thread hop reads and hashes, about 5 ms.
_PIECE = 4 * 1024 * 1024
#: The share of the upload that must be durable before. Reading is several times as fast as
#: receiving, and of no use after another restart.
_LATE = 0.75


class Rereading:
    """Brings the digest of an upload's stored bytes up to its durable offset."""

    def __init__(self, source: Source, upload: Upload, digest: Digest) -> None:
        self.digest = digest
        self._source = source
        self._upload = upload
        self._task: asyncio.Task[None] | None = None
        self._stopped = False

    def digest_at(self, offset: int) -> Digest | None:
        """The digest, if it holds all bytes up to the offset and nothing here adds to it."""
        return self.digest if self._task is None and self.digest.size == offset else None

    async def beside(self, offset: int, state: dict[str, Any]) -> None:
        """Read on while the rest arrives; ``offset`` is durable. Waits for the last bytes only."""
        size = self._upload.size
        if self._task is None:
            behind = self.digest.size < offset and not self._stopped
            if not behind or size is None or offset < size * _LATE:
                return
            self._task = asyncio.create_task(self._read(offset, state))
        if offset - self.digest.size <= 2 * _PIECE or self._task.done():
            await self._end()

    async def to(self, offset: int, state: dict[str, Any]) -> Digest | None:
        """Read up to the offset; the digest then, None if its storage cannot be read here."""
        if self.digest.size < offset:
            self._task = asyncio.create_task(self._read(offset, state))
            try:
                await self._end()
            finally:
                self._stopped = True
        return self.digest_at(offset)

    async def stop(self) -> None:
        """Read no more. The digest keeps what was read."""
        self._stopped = True
        await self._end()

    async def _end(self) -> None:
        """Wait for the task, which is never cancelled, as its thread uses the descriptor."""
        if self._task is not None:
            await asyncio.shield(self._task)
            self._task = None

    async def _read(self, end: int, state: dict[str, Any]) -> None:
        try:
            with storage_errors(self._source.slug):
                storage = self._source.storage
                descriptor = await storage.open_appended(self._upload.path, state)
                if descriptor is None:
                    self._stopped = True
                    return
                try:
                    os.lseek(descriptor, self.digest.size, os.SEEK_SET)
                    while (left := end - self.digest.size) and not self._stopped:
                        await asyncio.to_thread(self._add, descriptor, min(left, _PIECE))
                finally:
                    os.close(descriptor)
        except FilesError as error:
            # Whoever reads the whole object at the end says what is wrong with it.
            logger.warning("The upload %s is not hashed yet: %s", self._upload.id, error)
            self._stopped = True

    def _add(self, descriptor: int, size: int) -> None:
        if not self.digest.read(descriptor, size):
            raise FileNotFoundError(f"The upload has but {self.digest.size:,} bytes")
