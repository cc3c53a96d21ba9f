"""Makes received bytes durable: hash, write, flush, rename, flush the directory.

Large files: hashing and writing each run in a lane, a queue that uses one thread at a time, while
the next bytes arrive. The disk writes back meanwhile, so that the last flush is short. Small files:
all that wait are written as a group, as a thread hop costs more than the write. Everything but
the two classes' coroutines blocks.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from ..errors import StorageUnavailable
from .root import Root, storage_errors
from .threads import DiskThreads, settle

#: Most bytes of one upload that may wait for the disk; then the sender waits.
_MAX_IN_FLIGHT = 8 * 1024 * 1024
#: Bytes between two requests to write back.
_WRITE_BACK = 32 * 1024 * 1024
#: Chunks that one system call may take.
_MAX_VECTORS = 256

# Some systems lack fdatasync, which does not flush a file's times.
flush_data = getattr(os, "fdatasync", os.fsync)

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o644
#: Threads that write and flush one group of small files.
_MAX_WRITERS = 4
#: Attempts at a rename; each fails only if a deletion removes its directory at that moment.
_MAX_RENAMES = 50


def temporary_name(path: str) -> str:
    """Return the name of a file being received, by which a crash's leftover is found."""
    return hashlib.sha256(path.encode()).hexdigest()


@dataclass
class SmallFile:
    """A whole small file. After the attempt to write it, it has a digest or an error."""

    path: str
    chunks: list[bytes]
    sha256: str = ""
    error: Exception | None = None


class SmallFiles:
    """Writes small files in groups: those that arrive while a group is written form the next.

    Several flushes at the same time cost as much as one, so several threads write and flush a
    group. Then its files are renamed and its directories flushed. The first of these flushes makes
    all names durable; the others are cheap.
    """

    def __init__(self, root: Root, threads: DiskThreads) -> None:
        self._root = root
        self._threads = threads
        self._waiting: list[tuple[SmallFile, asyncio.Future[None]]] = []
        self._group: list[tuple[SmallFile, asyncio.Future[None]]] = []
        self._drainer: asyncio.Task[None] | None = None

    async def write(self, file: SmallFile) -> None:
        """Return once the file is durable at its path."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((file, future))
        if self._drainer is None:
            self._drainer = asyncio.create_task(self._drain())
            self._drainer.add_done_callback(self._give_up)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            # The group cannot be stopped: wait for its end, then delete this file.
            await asyncio.wait([future])
            if not future.cancelled() and future.exception() is None:
                await self._threads.submit(lambda: self._root.unlink(file.path))
            raise

    async def _drain(self) -> None:
        while self._waiting:
            self._group, self._waiting = self._waiting, []
            await self._write_group([file for file, _ in self._group])
            for file, future in self._group:
                settle(future, None, file.error)
        self._drainer = None

    def _give_up(self, drainer: asyncio.Task[None]) -> None:
        """Cancel the waiting uploads if the drainer was cancelled, for example as the loop ends.

        This is a callback because a task cancelled before its first step runs no code.
        """
        if self._drainer is not drainer:
            return
        self._drainer = None
        lost, self._waiting = self._group + self._waiting, []
        for _, future in lost:
            future.cancel()

    async def _write_group(self, files: list[SmallFile]) -> None:
        """Write the files; each gets its own error."""
        count = min(_MAX_WRITERS, len(files))
        shares = [files[first::count] for first in range(count)]
        try:
            await asyncio.gather(
                *(self._threads.submit(partial(_write_temporaries, self._root, s)) for s in shares)
            )
            written = [file for file in files if file.error is None]
            if written:
                await self._threads.submit(partial(_publish_group, self._root, written))
        except Exception as error:  # noqa: BLE001 - raised again where each upload waits
            for file in files:
                file.error = file.error or error


def _write_temporaries(root: Root, files: list[SmallFile]) -> None:
    for file in files:
        with _caught(file), storage_errors(), root.temporary() as temporary:
            _write_temporary(temporary, file)


def _write_temporary(temporary: int, file: SmallFile) -> None:
    body = file.chunks[0] if len(file.chunks) == 1 else b"".join(file.chunks)
    file.sha256 = hashlib.sha256(body).hexdigest()
    name = temporary_name(file.path)
    fd = _create(temporary, name)
    try:
        write_fully(fd, [body])
        os.fsync(fd)
    except BaseException:
        os.unlink(name, dir_fd=temporary)
        raise
    finally:
        os.close(fd)


def _publish_group(root: Root, files: list[SmallFile]) -> None:
    with storage_errors(), root.temporary() as temporary:
        for file in files:
            with _caught(file), storage_errors():
                _rename(root, temporary, file.path)
    for file in files:
        if file.error is None:
            with _caught(file), storage_errors():
                _flush_or_remove(root, file.path)


def publish(root: Root, temporary: int, path: str) -> None:
    """Make a flushed temporary file visible at its path, durably. It stays where that fails."""
    _move(root, temporary, path)
    root.flush_directories(path)


def _flush_or_remove(root: Root, path: str) -> None:
    """Make a renamed file's name durable, or delete the file."""
    try:
        root.flush_directories(path)
    except BaseException:
        root.unlink(path)
        raise


@contextmanager
def _caught(file: SmallFile) -> Iterator[None]:
    """Keep an error for its own upload, so that the others go on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - raised again where the upload waits
        file.error = error


def _create(temporary: int, name: str) -> int:
    try:
        return os.open(name, _CREATE, _MODE, dir_fd=temporary)
    except FileExistsError:
        # It is a crash's leftover: each attempt has its own path.
        os.unlink(name, dir_fd=temporary)
        return os.open(name, _CREATE, _MODE, dir_fd=temporary)


def _rename(root: Root, temporary: int, path: str) -> None:
    """Rename a flushed file to its path, or delete it. The caller flushes its directories."""
    try:
        _move(root, temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary_name(path), dir_fd=temporary)
        raise


def _move(root: Root, temporary: int, path: str) -> None:
    for left in range(_MAX_RENAMES - 1, -1, -1):
        try:
            with root.parent(path, create=True) as (directory, final):
                name = temporary_name(path)
                os.rename(name, final, src_dir_fd=temporary, dst_dir_fd=directory)
                return
        except FileNotFoundError:
            # A deletion may remove a shared directory between the two calls.
            if not left:
                raise


def write_fully(fd: int, chunks: list[bytes]) -> None:
    """Write all chunks at the file's position."""
    for first in range(0, len(chunks), _MAX_VECTORS):
        vectors: list[bytes | memoryview] = list(chunks[first : first + _MAX_VECTORS])
        while vectors:
            written = os.writev(fd, vectors)
            while vectors and written >= len(vectors[0]):
                written -= len(vectors.pop(0))
            if written:
                vectors[0] = memoryview(vectors[0])[written:]


class _Lane:
    """Runs jobs in order on the shared threads, one at a time."""

    def __init__(self, threads: DiskThreads) -> None:
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[tuple[Callable[[], None], asyncio.Future[None]]] = deque()
        self._running = False

    def submit(self, job: Callable[[], None]) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        self._jobs.append((job, future))
        self._run()
        return future

    def _run(self) -> None:
        if self._running or not self._jobs:
            return
        try:
            turn = self._threads.submit(self._work)
        except StorageUnavailable as error:
            while self._jobs:
                settle(self._jobs.popleft()[1], None, error)
            return
        self._running = True
        turn.add_done_callback(self._rest)

    def _work(self) -> None:
        """Run one job per turn, so that a busy lane also leaves threads to others."""
        job, future = self._jobs.popleft()
        error: Exception | None = None
        try:
            job()
        except Exception as caught:  # noqa: BLE001 - raised again in its upload
            error = caught
        self._loop.call_soon_threadsafe(settle, future, None, error)

    def _rest(self, _: asyncio.Future[None]) -> None:
        self._running = False
        self._run()


class StreamedFile:
    """A large file being received. ``add`` batches of chunks, then ``finish`` or ``abandon``."""

    def __init__(self, root: Root, threads: DiskThreads, path: str) -> None:
        self._root = root
        self._threads = threads
        self._path = path
        self._hashing = _Lane(threads)
        self._writing = _Lane(threads)
        self._digest = hashlib.sha256()
        self._jobs: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._in_flight = 0
        self._unsynced = 0
        self._write_back: asyncio.Future[None] | None = None
        self._fd = -1
        self._published = False

    async def add(self, chunks: list[bytes], size: int) -> None:
        """Take a batch of ``size`` bytes; wait while more than ``_MAX_IN_FLIGHT`` are pending."""
        if self._fd < 0 and not self._jobs:
            self._jobs.append((0, self._writing.submit(self._open)))
        self._jobs.append((0, self._hashing.submit(lambda: self._update(chunks))))
        self._jobs.append((size, self._writing.submit(lambda: self._write(chunks))))
        self._in_flight += size
        while self._jobs and (self._in_flight > _MAX_IN_FLIGHT or self._jobs[0][1].done()):
            await self._await_oldest()
        self._unsynced += size
        if self._unsynced >= _WRITE_BACK and (self._write_back is None or self._write_back.done()):
            self._unsynced = 0
            self._write_back = self._threads.submit(self._sync_data)

    async def _await_oldest(self) -> None:
        size, future = self._jobs.popleft()
        self._in_flight -= size
        await future

    async def finish(self) -> str:
        """Make the file durable and visible at its path; return its sha256 in hexadecimal."""
        while self._jobs:
            await self._await_oldest()
        if self._write_back is not None:
            await self._write_back
        await self._writing.submit(self._publish)
        return self._digest.hexdigest()

    async def abandon(self) -> None:
        """Delete the file, whether temporary or published."""
        pending = [future for _, future in self._jobs]
        if self._write_back is not None:
            pending.append(self._write_back)
        await asyncio.gather(*pending, return_exceptions=True)
        await self._writing.submit(self._remove)

    def _open(self) -> None:
        with storage_errors(), self._root.temporary() as temporary:
            self._fd = _create(temporary, temporary_name(self._path))

    def _update(self, chunks: list[bytes]) -> None:
        for chunk in chunks:
            self._digest.update(chunk)

    def _write(self, chunks: list[bytes]) -> None:
        with storage_errors():
            if self._fd >= 0:  # else opening it failed, which the upload reports
                write_fully(self._fd, chunks)

    def _sync_data(self) -> None:
        with storage_errors():
            if self._fd >= 0:
                flush_data(self._fd)

    def _publish(self) -> None:
        with storage_errors(), self._root.temporary() as temporary:
            os.fsync(self._fd)
            _rename(self._root, temporary, self._path)
            self._published = True
            self._root.flush_directories(self._path)
            self._close()

    def _remove(self) -> None:
        try:
            with storage_errors():
                if self._published:
                    self._root.unlink(self._path)
                elif self._fd >= 0:
                    with self._root.temporary() as temporary, suppress(FileNotFoundError):
                        os.unlink(temporary_name(self._path), dir_fd=temporary)
        finally:
            self._close()

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
