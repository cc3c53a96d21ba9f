"""Uploads that go on, on disk: one temporary file, written from an offset under a lock.

The lock is flock(2) on the open file, which the kernel lets go when its process ends. It is taken
before the stream is read, so whoever has lost the upload meanwhile learns it before it writes.
Everything but ``append`` blocks.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from ..errors import Conflict
from .root import Root, storage_errors
from .threads import DiskThreads, close_after
from .writing import flush_data, publish, temporary_name, write_fully

_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_ONLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_MODE = 0o644
#: Bytes that are handed together to the thread that writes.
_BATCH = 1024 * 1024


async def append(
    root: Root, threads: DiskThreads, path: str, offset: int, stream: AsyncIterator[bytes]
) -> None:
    """Write the stream at ``offset``; it is durable when this returns.

    Raises Conflict if the file is locked, FileNotFoundError if it has fewer bytes than ``offset``.
    """
    fd = await threads.submit(partial(_open, root, path, create=offset == 0), undo=os.close)
    is_new = os.fstat(fd).st_size == 0
    writing: asyncio.Future[None] | None = None

    def step(chunks: list[bytes], *, first: bool, last: bool = False) -> None:
        if first:
            _cut(fd, path, offset)
        _write(fd, chunks)
        if last:
            _flush(root, fd, created=offset == 0)

    async def written() -> None:
        if writing is not None:
            await asyncio.shield(writing)

    try:
        chunks: list[bytes] = []
        pending = 0
        async for chunk in stream:
            chunks.append(chunk)
            pending += len(chunk)
            if pending >= _BATCH:
                await written()
                # The next ones arrive while these are written.
                writing = threads.submit(partial(step, chunks, first=writing is None))
                chunks, pending = [], 0
        await written()
        writing = threads.submit(partial(step, chunks, first=writing is None, last=True))
        await written()
    except BaseException:
        if is_new:  # the upload may have ended, and then nobody else deletes the file
            await asyncio.shield(threads.submit(partial(discard, root, path)))
        raise
    finally:
        if writing is None:
            os.close(fd)
        else:  # the thread may still use the descriptor, and this task be cancelled again
            writing.add_done_callback(partial(close_after, fd))
            await asyncio.wait([writing])


def _open(root: Root, path: str, *, create: bool) -> int:
    flags = _OPEN | os.O_CREAT if create else _OPEN
    with storage_errors(), root.temporary() as temporary:
        fd = os.open(temporary_name(path), flags, _MODE, dir_fd=temporary)
    try:
        _lock(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _lock(fd: int) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict("Another process still writes this upload; try again") from None


def _cut(fd: int, path: str, offset: int) -> None:
    """Drop what is beyond the offset, and stand there."""
    with storage_errors():
        if os.fstat(fd).st_size < offset:
            raise FileNotFoundError(path)
        os.ftruncate(fd, offset)
        os.lseek(fd, offset, os.SEEK_SET)


def _write(fd: int, chunks: list[bytes]) -> None:
    """Write, and have the kernel begin to write back, so that the flush has little left."""
    with storage_errors():
        start = os.lseek(fd, 0, os.SEEK_CUR)
        write_fully(fd, [chunk for chunk in chunks if chunk])
        if hasattr(os, "posix_fadvise"):  # not on macOS
            size = os.lseek(fd, 0, os.SEEK_CUR) - start
            os.posix_fadvise(fd, start, size, os.POSIX_FADV_DONTNEED)


def _flush(root: Root, fd: int, *, created: bool) -> None:
    with storage_errors():
        flush_data(fd)
        if created:
            with root.temporary() as temporary:
                os.fsync(temporary)


def open_again(root: Root, path: str) -> int | None:
    """A descriptor for reading the temporary file; None if there is none."""
    with storage_errors(), suppress(FileNotFoundError), root.temporary() as temporary:
        return os.open(temporary_name(path), _READ_ONLY, dir_fd=temporary)
    return None


def finish(root: Root, path: str) -> int:
    """Make the file visible at its path; return its size. May be repeated.

    Raises FileNotFoundError if there is none, Conflict if it is locked.
    """
    with storage_errors(), root.temporary() as temporary:
        try:
            fd = os.open(temporary_name(path), _OPEN, dir_fd=temporary)
        except FileNotFoundError:
            fd, _ = root.open(path)  # renamed already
            try:
                return os.fstat(fd).st_size
            finally:
                root.flush_directories(path)
                os.close(fd)
        try:
            _lock(fd)
            os.fsync(fd)
            publish(root, temporary, path)
            return os.fstat(fd).st_size
        finally:
            os.close(fd)


def discard(root: Root, path: str) -> None:
    """Delete the temporary file. May be repeated."""
    with storage_errors(), root.temporary() as temporary, suppress(FileNotFoundError):
        os.unlink(temporary_name(path), dir_fd=temporary)
