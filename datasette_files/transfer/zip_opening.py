"""Large files of a zip that are on a local disk: opened a few ahead, for the kernel to send.

Leaves out which files may be read (zip_batches.py), and sending them.
"""

from __future__ import annotations

import asyncio
import os

from ..sources import reading
from .zip_batches import Batch
from .zip_runs import Large

#: Files that are opened at once.
_AHEAD = 16


class Opener:
    """Descriptors of the next large files; ``close`` those that nobody took."""

    def __init__(self) -> None:
        #: By key; None for a file that is on no local disk.
        self._opened: dict[str, int | None] = {}

    def cached(self, batch: Batch, first: Large) -> int | None:
        """A descriptor of the batch's first file, if it needs no waiting and may be read."""
        key = first.data.member.key
        if key not in batch.files:
            return None
        if key not in self._opened:
            self._open_cached(batch)
        return self._opened.pop(key) if self._opened.get(key) is not None else None

    async def open(self, batch: Batch, first: Large) -> int | None:
        """As ``cached``, and waits; None if the file is on no local disk.

        Raises as ``reading.open_local``.
        """
        descriptor = self.cached(batch, first)
        if descriptor is not None:
            return descriptor
        key = first.data.member.key
        if key not in self._opened:
            await self._open(batch)
        return self._opened.pop(key)

    def close(self) -> None:
        for descriptor in self._opened.values():
            if descriptor is not None:
                os.close(descriptor)
        self._opened.clear()

    def _closed(self, batch: Batch) -> list[str]:
        """The keys of the next files that may be read and are not open."""
        keys: dict[str, None] = {}
        for run in batch.left:
            if isinstance(run, Large):
                keys[run.data.member.key] = None
                if len(keys) == _AHEAD:
                    break
        return [key for key in keys if key in batch.files and key not in self._opened]

    def _open_cached(self, batch: Batch) -> None:
        """Open those of the first file's source whose names are in memory."""
        closed = self._closed(batch)
        _, source = batch.files[closed[0]]
        keys = [key for key in closed if batch.files[key][1] is source]
        found = reading.cached_locals(source, [batch.files[key][0] for key in keys])
        for key, descriptor in zip(keys, found, strict=True):
            if descriptor is not None:
                self._opened[key] = descriptor

    async def _open(self, batch: Batch) -> None:
        """Open them at once: each takes a thread. Raises the error of the first one."""

        async def open_one(key: str) -> None:
            file, source = batch.files[key]
            self._opened[key] = await reading.open_local(source, file)

        opening = map(open_one, self._closed(batch))
        results = await asyncio.gather(*opening, return_exceptions=True)
        if isinstance(results[0], BaseException):  # the others are reported when it is their turn
            raise results[0]
