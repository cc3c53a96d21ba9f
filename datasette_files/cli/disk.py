"""Files on the machine where a command runs: those to upload, and those to write, whole or not.

Blocking calls go to threads; nobody else waits for the loop of a command, but storages do.
"""

from __future__ import annotations

import asyncio
import errno
import glob
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from ..errors import Conflict, FilesError, Invalid, NoSpace, NotFound

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: What a file system answers that has no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
#: Bytes read at once.
_READ = 1024 * 1024
# Without O_NONBLOCK, opening a named pipe would wait for its other end.
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Found:
    """A file to upload."""

    path: Path
    #: Bytes, when it was found.
    size: int
    #: Device and inode: what is in its place by the time that it is read has to be the same.
    identity: tuple[int, int]


def found(
    given: tuple[str, ...], recursive: bool, fail: Callable[[str, FilesError], None]
) -> Iterator[Found]:
    """The files that paths stand for: themselves, patterns, and with ``recursive`` directories.

    Below a directory no link is followed, and what is no regular file is passed over; ``fail`` is
    called for a path that the person gave and that is none.
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
        yield Found(path, info.st_size, (info.st_dev, info.st_ino))
    elif not stat.S_ISDIR(info.st_mode):
        fail(str(path), Invalid("This is neither a file nor a directory"))
    elif recursive:
        yield from _below(path, fail)
    else:
        fail(str(path), Invalid("This is a directory; add --recursive to upload its files"))


def _below(folder: Path, fail: Callable[[str, FilesError], None]) -> Iterator[Found]:
    def unreadable(error: OSError) -> None:
        fail(str(error.filename), NotFound(f"The file cannot be read ({error.strerror})"))

    # By descriptors: a directory that becomes a link meanwhile is not followed either.
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
                yield Found(path, info.st_size, (info.st_dev, info.st_ino))


async def chunks(file: Found) -> AsyncIterator[bytes]:
    """The file's bytes. Raises NotFound where it cannot be read, Invalid for another file."""
    try:
        opened = await asyncio.to_thread(os.open, file.path, _OPEN)
        with os.fdopen(opened, "rb", buffering=0) as stream:
            info = os.fstat(opened)
            if (info.st_dev, info.st_ino) != file.identity:
                raise Invalid("Another file replaced this one during the upload; try again")
            async for chunk in read(stream):
                yield chunk
    except OSError as error:
        raise NotFound(f"The file cannot be read ({error.strerror})") from error


async def read(stream: BinaryIO) -> AsyncIterator[bytes]:
    """All of an open file, or of standard input."""
    while chunk := await asyncio.to_thread(stream.read, _READ):
        yield chunk


def write_all(stream: BinaryIO, chunk: bytes) -> None:
    """Every byte to an open file: under PYTHONUNBUFFERED standard output may take a part of them,
    as where its disk is full or its reader gone, which only the next write says."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[stream.write(rest) :]


@asynccontextmanager
async def new_file(path: Path, replaces: bool) -> AsyncIterator[Callable[[bytes], Awaitable[None]]]:
    """Write a file that appears at ``path`` when the block ends: whole and durable, or not at all.

    Gives the function that takes its bytes. Raises Conflict for a file that is there, unless it is
    a regular one and may be replaced; NoSpace, and Invalid for what the system refuses.
    """
    with _answering(path):
        _check_free(path, replaces)
        # Removed with the file in it, whatever happens.
        folder = TemporaryDirectory(
            prefix=".datasette-files-", dir=path.parent, ignore_cleanup_errors=True
        )
    with folder:
        with _answering(path):
            # Unbuffered: nothing is left to be written as it is closed.
            file = FileIO(Path(folder.name, "new"), "x")
        with file:

            async def write(chunk: bytes) -> None:
                with _answering(path):
                    await asyncio.to_thread(write_all, file, chunk)

            yield write
            with _answering(path):
                await asyncio.to_thread(_publish, file, path, replaces)


@contextmanager
def _answering(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise Conflict(f"{path} exists already; add --force to replace it") from error
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace(f"The disk of {path} is full; free some space") from error
        raise Invalid(f"{path} cannot be written ({error.strerror})") from error


def _check_free(path: Path, replaces: bool) -> None:
    if not os.path.lexists(path):
        return
    if not replaces:
        raise FileExistsError
    if not stat.S_ISREG(path.lstat().st_mode):
        raise Conflict(f"{path} exists and is not a regular file; choose another path")


def _publish(file: FileIO, path: Path, replaces: bool) -> None:
    new = Path(str(file.name))
    os.fsync(file.fileno())
    _check_free(path, replaces)
    if replaces:
        new.replace(path)
    else:
        _link(new, path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _link(new: Path, path: Path) -> None:
    """Give the file its name. Unlike a rename, a link never replaces a file that came meanwhile."""
    try:
        os.link(new, path)
    except OSError as error:
        if error.errno not in _NO_LINKS or os.path.lexists(path):
            raise
        new.rename(path)
