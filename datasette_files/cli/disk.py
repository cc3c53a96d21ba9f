"""Files on the machine where a command runs: those to upload, and those to write, whole or not.

Blocking calls go to threads; nobody else waits for the loop of a command, but storages do.
"""

from __future__ import annotations

import asyncio
import errno
import glob
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from ..errors import Conflict, FilesError, Invalid, NoSpace, NotFound

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
#: What a file system answers that has no hard links.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
#: Bytes read at once.
_READ = 1024 * 1024
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
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


class NewFile:
    """A file that appears at ``path`` by ``finish``, whole, or not at all.

    ``async with`` removes what was not finished. Raises Conflict for a file that is there, unless
    it may be replaced; NoSpace, Invalid for what the system does not do.
    """

    def __init__(self, path: Path, replaces: bool) -> None:
        self._path = path
        self._replaces = replaces
        self._temporary = path.with_name(f".datasette-files-{secrets.token_hex(8)}")
        self._file: BinaryIO | None = None

    async def __aenter__(self) -> NewFile:
        await self._run(self._open)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self._remove))

    async def write(self, chunk: bytes) -> None:
        await self._run(lambda: self._opened.write(chunk))

    async def finish(self) -> None:
        """Make it durable and visible."""
        await self._run(self._publish)

    @property
    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("the file is not open")
        return self._file

    async def _run(self, work: Callable[[], object]) -> None:
        try:
            await asyncio.to_thread(work)
        except FileExistsError as error:
            raise self._taken() from error
        except OSError as error:
            if error.errno in _FULL:
                raise NoSpace(f"The disk of {self._path} is full; free some space") from error
            raise Invalid(f"{self._path} cannot be written ({error.strerror})") from error

    def _taken(self) -> Conflict:
        return Conflict(f"{self._path} exists already; add --force to replace it")

    def _open(self) -> None:
        if not self._replaces and os.path.lexists(self._path):
            raise FileExistsError
        self._file = os.fdopen(os.open(self._temporary, _CREATE, 0o666), "wb")

    def _publish(self) -> None:
        self._opened.flush()
        os.fsync(self._opened.fileno())
        if self._replaces:
            self._temporary.replace(self._path)
        else:
            self._link()
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _link(self) -> None:
        """Unlike a rename, it does not replace what has come meanwhile."""
        try:
            os.link(self._temporary, self._path)
        except OSError as error:
            if error.errno not in _NO_LINKS or os.path.lexists(self._path):
                raise
            self._temporary.rename(self._path)

    def _remove(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # told by the write that failed
                self._file.close()
            self._temporary.unlink(missing_ok=True)
