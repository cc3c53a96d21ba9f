"""Local files: find and read those to upload, and write those that are downloaded.

Blocking calls run in threads, so that the storages' work on the event loop continues.
"""

from __future__ import annotations

import asyncio
import glob
import os
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from ..errors import FilesError, Invalid, NotFound
from ..transfer.publishing import check_free, publish, system_errors

_TAKEN = "add --force to replace it"
#: Bytes in one chunk.
_CHUNK_BYTES = 1024 * 1024
# Without O_NONBLOCK, opening a named pipe would wait for its other end.
_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Found:
    """A file to upload."""

    path: Path
    #: Bytes, at the time of the search.
    size: int
    #: Device and inode, to notice another file that takes its place before it is read.
    identity: tuple[int, int]
    #: Nanoseconds of the last change of its bytes, and of its inode.
    changed: tuple[int, int]

    @property
    def version(self) -> str:
        """Names the file and its version: another text after every change of its bytes."""
        return repr((os.fsencode(self.path.absolute()), self.size, self.changed))


def check_name(paths: tuple[str, ...], name: str | None, *, recursive: bool) -> None:
    """Raise Invalid for a name that several files would have, and for standard input without."""
    if "-" in paths and (len(paths) > 1 or name is None):
        raise Invalid("Standard input must be the only PATH, and needs --name")
    if name is not None and (len(paths) > 1 or recursive):
        raise Invalid("--name works with one file only; leave it out")


def found(
    given: tuple[str, ...], recursive: bool, fail: Callable[[str, FilesError], None]
) -> Iterator[Found]:
    """The files that the given paths name; ``recursive`` includes those below directories.

    A path may be a pattern. Below a directory, links are not followed and only regular files are
    found. ``fail`` receives each given path that is not a file or cannot be read, with its error.
    """
    for value in given:
        path = Path(value)
        matches = [path]
        if not os.path.lexists(path) and glob.has_magic(value):
            matches = [Path(match) for match in sorted(glob.glob(value, recursive=True))]  # noqa: PTH207
        if not matches:
            fail(value, NotFound("No file matches; check the path"))
        for match in matches:
            yield from _given(match, recursive, fail)


def _given(path: Path, recursive: bool, fail: Callable[[str, FilesError], None]) -> Iterator[Found]:
    try:
        info = path.stat()
    except OSError as error:
        fail(str(path), NotFound(f"The file cannot be read ({error.strerror})"))
        return
    if stat.S_ISREG(info.st_mode):
        yield _of(path, info)
    elif not stat.S_ISDIR(info.st_mode):
        fail(str(path), Invalid("This is neither a file nor a directory; choose another path"))
    elif recursive:
        yield from _below(path, fail)
    else:
        fail(str(path), Invalid("This is a directory; add --recursive to upload its files"))


def _below(folder: Path, fail: Callable[[str, FilesError], None]) -> Iterator[Found]:
    def unreadable(error: OSError) -> None:
        fail(str(error.filename), NotFound(f"The file cannot be read ({error.strerror})"))

    # fwalk opens directories by descriptor, so a directory replaced by a link is not followed.
    for directory, folders, names, descriptor in os.fwalk(folder, onerror=unreadable):
        folders.sort()
        for name in sorted(names):
            path = Path(directory, name)
            try:
                info = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except OSError as error:
                unreadable(error)
                continue
            if stat.S_ISREG(info.st_mode):
                yield _of(path, info)


def _of(path: Path, info: os.stat_result) -> Found:
    changed = (info.st_mtime_ns, info.st_ctime_ns)
    return Found(path, info.st_size, (info.st_dev, info.st_ino), changed)


async def chunks(file: Found, start: int = 0) -> AsyncGenerator[bytes, None]:
    """The file's bytes from ``start``.

    Raises NotFound if it is unreadable, Invalid if another file replaced it.
    """
    try:
        opened = await asyncio.to_thread(os.open, file.path, _OPEN_FLAGS)
        with os.fdopen(opened, "rb", buffering=0) as stream:
            info = os.fstat(opened)
            if (info.st_dev, info.st_ino) != file.identity:
                raise Invalid("Another file replaced this one during the upload; try again")
            stream.seek(start)
            async for chunk in read(stream):
                yield chunk
    except OSError as error:
        raise NotFound(f"The file cannot be read ({error.strerror})") from error


async def read(stream: BinaryIO) -> AsyncIterator[bytes]:
    """All bytes of an open file or of standard input, in chunks."""
    while chunk := await asyncio.to_thread(stream.read, _CHUNK_BYTES):
        yield chunk


def write_all(stream: BinaryIO, chunk: bytes) -> None:
    """Write every byte to an open file.

    Unbuffered output (PYTHONUNBUFFERED) may take only a part of the bytes, for example on a full
    disk. The next write then raises the error.
    """
    rest = memoryview(chunk)
    while rest:
        rest = rest[stream.write(rest) :]


@asynccontextmanager
async def new_file(path: Path, replaces: bool) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """Write a file that appears at ``path`` when the block ends: whole and durable, or not at all.

    The context's value writes a chunk. Raises Conflict if something is at ``path``, unless it is a
    regular file and ``replaces`` is true; NoSpace; Invalid for other errors of the system.
    """
    with system_errors(path, _TAKEN):
        check_free(path, replaces)
        # Leaving the context removes the folder with an unfinished file.
        folder = TemporaryDirectory(
            prefix=".datasette-files-", dir=path.parent, ignore_cleanup_errors=True
        )
    with folder:
        with system_errors(path, _TAKEN):
            # Unbuffered, so that closing writes nothing and cannot fail.
            file = FileIO(Path(folder.name, "new"), "x")
        with file:

            async def write(chunk: bytes) -> None:
                with system_errors(path, _TAKEN):
                    await asyncio.to_thread(write_all, file, chunk)

            yield write
            with system_errors(path, _TAKEN):
                await asyncio.to_thread(os.fsync, file.fileno())
                await asyncio.to_thread(publish, Path(str(file.name)), path, replaces)
