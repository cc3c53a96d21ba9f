"""``FilesystemStorage``: the storage contract over a directory.

Layout below the configured ``root``::

    <path>                     a complete, flushed file, which appears by a rename
    .datasette-files/<digest>  a file being received, at once or in appends, named by the digest of
                               its path

So ``delete_file`` of a path also deletes the leftover of a crashed upload to it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import Any, ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from ..base import FileMetadata, GetSecret, Storage, StorageCapabilities
from ..errors import FilesError, FileTooLarge, Invalid
from . import appending, page_cache
from .root import Root, open_file, split, storage_errors
from .threads import DiskThreads, close_after
from .walk import Walks, describe
from .writing import SmallFile, SmallFiles, StreamedFile

_T = TypeVar("_T")
_P = ParamSpec("_P")

#: Bytes. A file up to this size is held in memory and written in a group with others.
_MAX_SMALL_FILE = 256 * 1024
#: Bytes of a larger file that one job hashes or writes.
_BATCH = 1024 * 1024
#: Bytes that a download reads at once, and that the kernel should read ahead. Larger reads are a
#: little faster, but each stalled client holds one in memory.
_READ = 256 * 1024
_READ_AHEAD = 4 * 1024 * 1024
_MAX_THREADS = 8


class FilesystemConfig(BaseModel):
    """The ``config`` of a source with ``storage: filesystem``."""

    model_config = ConfigDict(extra="forbid")

    #: The directory; made if it does not exist.
    root: str = Field(min_length=1)
    #: Bytes; means the same as the source's own key.
    max_file_size: PositiveInt | None = None


class FilesystemStorage(Storage):
    """Files in a directory. Downloads go through Datasette."""

    storage_type = "filesystem"
    capabilities = StorageCapabilities(
        can_upload=True, can_delete=True, can_list=True, requires_proxy_download=True
    )
    config_model = FilesystemConfig

    _root: Root
    _small_files: SmallFiles
    _walks: Walks

    def __init__(self) -> None:
        self._threads = DiskThreads(_MAX_THREADS)
        # True if ``page_cache`` works here. The first read in a thread checks it, as it may wait.
        self._has_page_cache = False

    async def configure(self, config: dict[str, Any], get_secret: GetSecret) -> None:
        """Take the root; make the directory if it does not exist."""
        await self._take(FilesystemConfig.model_validate(config), Root.make)

    async def resume(self, config: dict[str, Any], get_secret: GetSecret) -> None:
        """Take a root that was in use before. Raises StorageUnavailable while it is missing."""
        await self._take(FilesystemConfig.model_validate(config), Root.resume)

    async def _take(self, config: FilesystemConfig, hold: Callable[[Root], None]) -> None:
        def take() -> Root:
            root = Root(config.root)
            hold(root)
            return root

        self._root = await self._submit(take, undo=Root.close)
        self._small_files = SmallFiles(self._root, self._threads)
        self._walks = Walks(self._root)

    def _submit(
        self, fn: Callable[[], _T], undo: Callable[[_T], object] | None = None
    ) -> asyncio.Future[_T]:
        """Run blocking work in a thread, and translate its errors; ``undo`` as in DiskThreads."""

        def work() -> _T:
            with storage_errors():
                return fn()

        return self._threads.submit(work, undo)

    async def _run(self, fn: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return await self._submit(partial(fn, *args, **kwargs))

    async def receive_upload(
        self, path: str, stream: AsyncIterator[bytes], content_type: str
    ) -> FileMetadata:
        """Store the stream; the whole file is durable and visible when this returns."""
        chunks: list[bytes] = []
        size = 0
        async for chunk in stream:
            chunks.append(chunk)
            size += len(chunk)
            if size > _MAX_SMALL_FILE:
                return await self._receive_large(path, chunks, size, stream, content_type)
        small = SmallFile(path, chunks)
        await self._small_files.write(small)
        return _received(path, content_type, small.sha256, size)

    async def _receive_large(
        self,
        path: str,
        chunks: list[bytes],
        pending: int,
        stream: AsyncIterator[bytes],
        content_type: str,
    ) -> FileMetadata:
        file = StreamedFile(self._root, self._threads, path)
        size = pending
        try:
            async for chunk in stream:
                chunks.append(chunk)
                pending += len(chunk)
                size += len(chunk)
                if pending >= _BATCH:
                    await file.add(chunks, pending)
                    chunks, pending = [], 0
            await file.add(chunks, pending)
            sha256 = await file.finish()
        except BaseException:
            await asyncio.shield(file.abandon())
            raise
        return _received(path, content_type, sha256, size)

    async def append_upload(
        self, path: str, offset: int, stream: AsyncIterator[bytes], state: dict[str, Any]
    ) -> dict[str, Any]:
        """Write at ``offset`` of the temporary file, locked meanwhile and then flushed."""
        split(path)
        await appending.append(self._root, self._threads, path, offset, stream)
        return {}

    async def open_appended(self, path: str, state: dict[str, Any]) -> int | None:
        def close(descriptor: int | None) -> None:
            if descriptor is not None:
                os.close(descriptor)

        return await self._submit(partial(appending.open_again, self._root, path), undo=close)

    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> FileMetadata:
        size = await self._run(appending.finish, self._root, path)
        return FileMetadata(path=path, filename=path.rpartition("/")[2], size=size)

    async def discard_upload(self, path: str, instructions_state: dict[str, Any]) -> None:
        await self._run(appending.discard, self._root, path)

    async def get_file_metadata(self, path: str) -> FileMetadata | None:
        def look() -> FileMetadata | None:
            try:
                fd, info = self._root.open(path)
            except FileNotFoundError:
                return None
            os.close(fd)
            return describe(path, path.rpartition("/")[2], info)

        return await self._run(look)

    async def read_file(self, path: str) -> bytes:
        return await self._run(self._read, path, None, 2**63)

    async def read_bytes(self, path: str, num_bytes: int = 2048) -> bytes:
        return await self._run(self._read, path, num_bytes, 2**63)

    async def read_heads(self, paths: Sequence[str], num_bytes: int = 2048) -> list[bytes | None]:
        def read(directory: int, name: str) -> bytes | None:
            try:
                fd, _ = open_file(directory, name)
            except OSError:
                return None
            try:
                return os.pread(fd, num_bytes, 0)
            except OSError:
                return None
            finally:
                os.close(fd)

        def read_all() -> list[bytes | None]:
            found: list[bytes | None] = []
            # A listing gives the files of a directory one after the other.
            for _, group in groupby(paths, lambda path: path.rpartition("/")[0]):
                together = list(group)
                try:
                    with self._root.parent(together[0]) as (fd, _):
                        found += [read(fd, path.rpartition("/")[2]) for path in together]
                except (FileNotFoundError, PermissionError, Invalid):
                    found += [None] * len(together)
            return found

        return await self._run(read_all)

    async def read_file_limited(self, path: str, max_bytes: int) -> bytes:
        return await self._run(self._read, path, None, max_bytes)

    def _read(self, path: str, num_bytes: int | None, max_bytes: int) -> bytes:
        """Read the first bytes of a file; None: all. Raises FileTooLarge over ``max_bytes``."""
        fd, info = self._root.open(path)
        with os.fdopen(fd, "rb") as file:
            if info.st_size > max_bytes:
                raise FileTooLarge(f"The file has more than {max_bytes} bytes")
            self._has_page_cache = self._has_page_cache or page_cache.is_available(fd)
            return file.read(info.st_size if num_bytes is None else num_bytes)

    def cached_bytes(self, path: str, size: int) -> bytes | None:
        """Return the file if all of it is in the page cache, else None."""
        if not self._has_page_cache:
            return None
        try:
            split(path)
            with self._root.held() as root:
                return page_cache.read_file(root, path, size)
        except (FilesError, OSError):
            return None  # the ordinary read reports the error

    async def stream_file(self, path: str) -> AsyncIterator[bytes]:
        async for chunk in self.stream_range(path, 0, 2**63 - 1):
            yield chunk

    async def stream_range(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Open and read in one thread hop; bytes in the page cache are then read without a hop."""

        def open_and_read() -> tuple[int, int, bytes]:
            fd, info = self._root.open(path)
            stop = min(end, info.st_size)
            try:
                return fd, stop, _read_ahead(fd, start, max(start, stop))
            except BaseException:
                os.close(fd)
                raise

        fd, stop, chunk = await self._submit(open_and_read, undo=lambda opened: os.close(opened[0]))
        position = start
        buffer = memoryview(bytearray(_READ))
        reading: asyncio.Future[bytes] | None = None
        try:
            while chunk:
                yield chunk
                position += len(chunk)
                if position >= stop:
                    return
                chunk = page_cache.read(fd, buffer[: stop - position], position)
                if chunk:
                    # Without this, a fast client's download would block the event loop.
                    await asyncio.sleep(0)
                else:
                    reading = self._submit(partial(_read_ahead, fd, position, stop))
                    chunk = await asyncio.shield(reading)
        finally:
            if reading is None or reading.done():
                os.close(fd)
            else:  # the thread still uses it
                reading.add_done_callback(partial(close_after, fd))

    async def open_local(self, path: str) -> int | None:
        def open_one() -> int:
            fd, _ = self._root.open(path)
            self._has_page_cache = self._has_page_cache or page_cache.is_available(fd)
            return fd

        return await self._submit(open_one, undo=os.close)

    def cached_locals(self, paths: Sequence[str]) -> list[int | None]:
        """Open each file if every name on the way to it is in memory."""
        if self._has_page_cache:
            with suppress(FilesError, OSError):  # the ordinary way reports the error
                return self._root.open_cached(paths)
        return [None] * len(paths)

    async def delete_file(self, path: str) -> None:
        await self.delete_files([path])

    async def delete_files(self, paths: Iterable[str]) -> None:
        def delete() -> None:
            wanted = list(paths)
            self._root.unlink(*wanted)
            for path in wanted:
                appending.discard(self._root, path)

        await self._run(delete)

    async def list_files(
        self, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FileMetadata], str | None]:
        return await self._run(self._walks.page, prefix, cursor, limit)

    def unlisted(self) -> list[str]:
        return list(self._walks.unlisted)

    async def close(self) -> None:
        if hasattr(self, "_root"):  # configured
            await self._run(self._root.close)
        self._threads.close()


def _read_ahead(fd: int, position: int, stop: int) -> bytes:
    """Read from the disk, and have the kernel read ahead."""
    chunk = os.pread(fd, min(_READ, stop - position), position)
    if hasattr(os, "posix_fadvise") and position + len(chunk) < stop:  # not on macOS
        os.posix_fadvise(fd, position + len(chunk), _READ_AHEAD, os.POSIX_FADV_WILLNEED)
    return chunk


def _received(path: str, content_type: str, sha256: str, size: int) -> FileMetadata:
    return FileMetadata(
        path=path,
        filename=path.rpartition("/")[2],
        content_type=content_type,
        content_hash=f"sha256:{sha256}",
        size=size,
    )
