"""Reads files whose crc32 or sha256 is not known yet, because a zip of them was asked for.

What is learnt is kept in the catalog, so that a restart repeats at most one file. Leaves out the
files that nobody waits for (maintenance/hashing.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..db import unhashed
from ..db.batching import Catalog
from ..errors import FilesError, StorageUnavailable
from ..models import FileRecord
from ..sources import reading
from ..sources.reading import Digest
from ..sources.sources import Source
from .zip_batches import Ask

logger = logging.getLogger("datasette_files")

#: Zips whose files are read at the same time, and those that wait for it or have failed.
_AT_ONCE, _MAX_WAITING = 2, 50
#: Seconds that one request waits; without a request for the longer time, reading ends.
_PATIENCE, _FORGOTTEN_SECONDS = 2.0, 60.0


@dataclass
class Progress:
    """How far the reading of one zip's files is."""

    files: int
    done: int = 0
    #: Of the files that are done, and of the one that is being read.
    bytes_read: int = 0


#: Reads one file, and keeps what is learnt.
Reader = Callable[[Progress, FileRecord, Source], Awaitable[None]]


@dataclass
class _Run:
    progress: Progress
    asked_at: float = field(default_factory=time.monotonic)
    task: asyncio.Task[None] = field(init=False)


class Checksums:
    """The reading of one Datasette's files for zips."""

    def __init__(self, database: Catalog) -> None:
        self._catalog = database
        self._runs: dict[str, _Run] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def learn(
        self, name: str, ids: Sequence[str], ask: Ask, read: Reader | None = None
    ) -> Progress | None:
        """Read these files, for the zip of this name; return None once all are read.

        ``read`` takes the place of learning their crc32 and sha256.

        After a moment the reading goes on without the caller, who asks again. Each file's
        permission is asked before it is read. Raises StorageUnavailable where too many zips wait,
        ChecksumMismatch, StorageError, and as ``ask``.
        """
        run = self._runs.get(name)
        if run is None:
            self._make_room()
            run = self._runs[name] = _Run(Progress(len(ids)))
            run.task = asyncio.create_task(self._read(run, list(ids), ask, read or self._read_one))
            run.task.add_done_callback(partial(self._ended, name))
        run.asked_at = time.monotonic()
        await asyncio.wait({run.task}, timeout=_PATIENCE)
        if not run.task.done():
            return run.progress
        self._runs.pop(name, None)
        run.task.result()
        return None if run.progress.done == run.progress.files else run.progress

    def _make_room(self) -> None:
        for name in [name for name, one in self._runs.items() if one.task.done()]:
            del self._runs[name]
        if len(self._runs) >= _MAX_WAITING:
            raise StorageUnavailable(
                "Too many zips wait for files that are read first; try again in a minute",
                headers={"Retry-After": "60"},
            )

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        """Log a failure, which the next request for the zip answers with."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        logger.warning("Files for a zip cannot be read: %s", error, exc_info=_unexpected(error))

    async def _read(self, run: _Run, ids: list[str], ask: Ask, read: Reader) -> None:
        async with self._turns:
            for file_id in ids:
                if time.monotonic() - run.asked_at > _FORGOTTEN_SECONDS:
                    return
                await read(run.progress, *(await ask([file_id]))[file_id])
                run.progress.done += 1

    async def _read_one(self, progress: Progress, file: FileRecord, source: Source) -> None:
        if file.crc32 is not None and file.sha256 is not None:
            return
        digest, before = Digest(crc32=True), progress.bytes_read
        async for _ in reading.whole(source, file, digest):
            progress.bytes_read = before + digest.size
        hashes = (digest.content_hash, digest.crc32)
        await self._catalog.write(lambda conn: unhashed.done(conn, file.id, hashes))

    async def close(self) -> None:
        """Stop reading."""
        tasks = [run.task for run in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _unexpected(error: BaseException) -> BaseException | None:
    return None if isinstance(error, FilesError) else error
