"""The one guarded reader: reads bytes from a storage, and turns a storage's errors into ours.

Nothing else in the core calls a storage's reading methods. Checks the bytes against the catalog's
size, and in ``whole`` against its sha256. Leaves out HTTP (transfer/downloads.py) and the use of
the bytes.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager

from .. import telemetry
from ..base import FileMetadata
from ..errors import ChecksumMismatch, FilesError, StorageError
from ..jobs.parallel import to_its_end
from ..models import FileRecord, Upload
from .sources import Source

logger = logging.getLogger("datasette_files")

#: Attempts to read a stream without a byte of progress, and the seconds before the second one; each
#: further pause is twice as long.
ATTEMPTS = 4
PAUSE = 0.25
#: The end of a range to the end of a file whose size is not known.
_END = 2**63 - 1
#: Bytes. Smaller chunks are hashed at once, as a thread would take longer.
WORTH_A_THREAD = 64 * 1024
#: Bytes of a local file that a thread reads and hashes before the loop has its turn, and at a time.
_STEP = 8 * 1024 * 1024
_BUFFER = 1024 * 1024
#: Bytes. A smaller file may be read together with its row.
_MAX_SMALL_BYTES = 64 * 1024


class Missing(StorageError, FileNotFoundError):
    """A file of the catalog whose bytes, or some of them, are not in the storage.

    Trying again does not help. It is logged here, and nowhere else. It is a FileNotFoundError too,
    as plugins that read by ``File`` expect since 0.1a3.
    """


def _missing(slug: str, file: FileRecord | Upload, found: str) -> Missing:
    logger.error("The bytes of %s are missing: the source %r has %s", file.id, slug, found)
    return Missing(
        "The file's bytes are missing from the storage, or damaged there; an administrator must"
        " restore them from a backup"
    )


@contextmanager
def storage_errors(slug: str, file: FileRecord | Upload | None = None) -> Iterator[None]:
    """Turn every error of a call of a storage into one that a request can answer.

    Raises as ``translated``. Every call is made in this, so it makes the telemetry's span too.
    """
    with translated(slug, file), telemetry.storage_call():
        yield


@contextmanager
def translated(slug: str, file: FileRecord | Upload | None = None) -> Iterator[None]:
    """Turn every error of a storage into one that a request can answer. No other place does.

    Raises Missing for a file of the catalog that the storage does not have; StorageError, logged
    with its cause, for an error that a storage should not raise.
    """
    try:
        yield
    except FilesError:
        raise
    except Exception as error:
        if isinstance(error, FileNotFoundError) and isinstance(file, FileRecord):
            raise _missing(slug, file, "none") from error
        logger.exception("The storage of the source %r failed", slug)
        raise StorageError(
            f"The storage failed ({type(error).__name__}); try again, or ask an administrator to"
            " read the server's log"
        ) from error


def _size(file: FileRecord | Upload) -> int | None:
    """The size that the storage must have; None for an upload, whose size is only declared."""
    return file.size if isinstance(file, FileRecord) else None


async def stream(
    source: Source, file: FileRecord | Upload, start: int = 0, end: int | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes from ``start`` up to, not including, ``end``, in chunks.

    Raises StorageError, StorageUnavailable; Missing if their number is not that of the catalog.
    """
    path, size = file.path, _size(file)
    stop = min(_END if end is None else end, _END if size is None else size)
    passed = 0
    with storage_errors(source.slug, file):
        storage = source.storage
        all_of_it = start == 0 and end is None
        chunks = storage.stream_file(path) if all_of_it else storage.stream_range(path, start, stop)
        try:
            async for chunk in chunks:
                passed += len(chunk)
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
    if size is not None and passed != max(stop - start, 0):
        raise _missing(source.slug, file, f"{start + passed:,} bytes of {size:,}")


async def opened(
    source: Source, file: FileRecord, start: int, end: int
) -> AsyncGenerator[bytes, None]:
    """As ``stream``, with two chunks fetched, so the size of a one-chunk file is checked."""

    async def opening() -> AsyncGenerator[bytes, None]:
        async with aclosing(stream(source, file, start, end)) as chunks:
            ahead = [chunk for _ in range(2) if (chunk := await anext(chunks, b""))]
            yield b""  # a generator runs its ``finally`` on close only once it has begun
            while ahead:
                yield ahead.pop(0)  # a slow client holds no chunk longer than it takes
            async for chunk in chunks:
                yield chunk

    begun = opening()
    await anext(begun)
    return begun


async def open_local(source: Source, file: FileRecord) -> int | None:
    """Open a file that its storage keeps on a local disk; the caller closes the descriptor.

    None for another storage, and for a file that is not of the catalog's size and larger. Raises
    StorageError, StorageUnavailable; Missing if the file is shorter than the catalog says.
    """
    with storage_errors(source.slug, file):
        descriptor = await source.storage.open_local(file.path)
    if descriptor is None:
        return None
    size = os.fstat(descriptor).st_size
    if size == file.size:
        return descriptor
    os.close(descriptor)
    if file.size is not None and size < file.size:
        raise _missing(source.slug, file, f"{size:,} bytes of {file.size:,}")
    return None


def cached_locals(source: Source, files: Sequence[FileRecord]) -> list[int | None]:
    """As ``open_local`` of each file, in order, where the storage needs no waiting for it.

    None for others, and for a file of another size than the catalog's, which ``open_local``
    reports. Does not block. Raises StorageError.
    """
    if source.down is not None:
        return [None] * len(files)
    with translated(source.slug):
        opened = source.storage.cached_locals([file.path for file in files])
    return [_of_size(one, file.size) for one, file in zip(opened, files, strict=True)]


def _of_size(descriptor: int | None, size: int | None) -> int | None:
    if descriptor is None or os.fstat(descriptor).st_size == size:
        return descriptor
    os.close(descriptor)
    return None


async def is_local(source: Source, file: FileRecord) -> bool:
    """Tell whether ``open_local`` opens the file. Raises as it does."""
    descriptor = await open_local(source, file)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None


async def head(source: Source, file: FileRecord | Upload, size: int) -> bytes:
    """Read at most the first ``size`` bytes. Raises StorageError, StorageUnavailable, Missing."""
    known = _size(file)
    size = size if known is None else min(size, known)
    with storage_errors(source.slug, file):
        content = await source.storage.read_bytes(file.path, size)
    return _all(source, file, content, size)[:size]


async def tail(source: Source, file: FileRecord, size: int) -> bytes:
    """Read at most the last ``size`` bytes. Raises StorageError, StorageUnavailable, Missing."""
    if file.size is None or file.size <= size:
        return await head(source, file, size)
    chunks = stream(source, file, file.size - size, file.size)
    return b"".join([chunk async for chunk in chunks])


async def limited(source: Source, file: FileRecord, max_bytes: int) -> bytes:
    """Read all bytes. Raises FileTooLarge for more than ``max_bytes``, and as ``head``."""
    with storage_errors(source.slug, file):
        content = await source.storage.read_file_limited(file.path, max_bytes)
    return _all(source, file, content, max_bytes)


def _all(source: Source, file: FileRecord | Upload, content: bytes, wanted: int) -> bytes:
    size = _size(file)
    if size is not None and len(content) < min(wanted, size):
        raise _missing(source.slug, file, f"{len(content):,} bytes of {size:,}")
    return content


def small(source: Source, file: FileRecord) -> bytes | None:
    """Return a small file's bytes if its storage has them in memory, else None. Does not block."""
    if file.size is None or file.size >= _MAX_SMALL_BYTES or source.down is not None:
        return None
    with translated(source.slug, file):
        content = source.storage.cached_bytes(file.path, file.size)
    # A wrong size is reported by the other methods.
    return content if content is not None and len(content) == file.size else None


async def metadata(source: Source, path: str) -> FileMetadata | None:
    """Return the storage's metadata of an object. Raises StorageError, StorageUnavailable."""
    with storage_errors(source.slug):
        return await source.storage.get_file_metadata(path)


async def heads(source: Source, paths: Sequence[str], num_bytes: int) -> list[bytes | None]:
    """The first bytes of objects, in order; None for one that cannot be read."""
    with storage_errors(source.slug):
        return await source.storage.read_heads(paths, num_bytes)


class Crc32:
    """Computes the CRC-32 (ISO-HDLC, as in zip files) of a stream, chunk by chunk."""

    def __init__(self) -> None:
        self._crc32 = 0

    async def add(self, chunk: bytes) -> None:
        if len(chunk) < WORTH_A_THREAD:
            self.update(chunk)
        else:
            await asyncio.to_thread(self.update, chunk)

    def update(self, chunk: bytes | memoryview) -> None:
        """Add a chunk on this thread."""
        self._crc32 = zlib.crc32(chunk, self._crc32)

    @property
    def value(self) -> str:
        """Eight lower-case hexadecimal digits."""
        return f"{self._crc32:08x}"


class Beside:
    """Adds a stream's chunks to a digest, large ones in a thread while the caller goes on."""

    def __init__(self, digest: Crc32 | Digest) -> None:
        self._digest = digest
        self._adding: asyncio.Future[None] | None = None

    async def add(self, chunk: bytes) -> None:
        """Begin with a chunk, once the one before is added."""
        await self.done()
        if len(chunk) < WORTH_A_THREAD:
            self._digest.update(chunk)
        else:
            loop = asyncio.get_running_loop()
            self._adding = loop.run_in_executor(None, self._digest.update, chunk)

    async def done(self) -> None:
        """Wait until all chunks are in the digest."""
        if self._adding is not None:
            await self._adding


class Digest:
    """Computes the sha256 and the size of a stream, chunk by chunk; on request its crc32 too."""

    def __init__(self, *, crc32: bool = False) -> None:
        self._sha256 = hashlib.sha256()
        self._crc32 = Crc32() if crc32 else None
        #: Bytes.
        self.size = 0

    async def add(self, chunk: bytes) -> None:
        if len(chunk) < WORTH_A_THREAD:
            self.update(chunk)
        else:  # one hop for both: each may wait milliseconds for the interpreter's lock
            await asyncio.to_thread(self.update, chunk)

    def update(self, chunk: bytes | memoryview) -> None:
        """Add a chunk on this thread."""
        self._sha256.update(chunk)
        if self._crc32:
            self._crc32.update(chunk)
        self.size += len(chunk)

    def read(self, descriptor: int, size: int) -> int:
        """Add at most ``size`` of the next bytes of an open file; return their number. Blocks.

        0 is the end of the file. Raises OSError.
        """
        buffer, read = memoryview(bytearray(min(size, _BUFFER))), 0
        while read < size and (found := os.readv(descriptor, [buffer[: size - read]])):
            self.update(buffer[:found])
            read += found
        return read

    @property
    def crc32(self) -> str | None:
        """As ``Crc32.value``; None if it was not asked for."""
        return self._crc32.value if self._crc32 else None

    @property
    def content_hash(self) -> str:
        """The digest in the catalog's form, ``sha256:<hex>``."""
        return f"sha256:{self._sha256.hexdigest()}"

    def check(self, file: FileRecord) -> None:
        """Raise ChecksumMismatch if the catalog has another sha256."""
        if file.sha256 is not None and self.content_hash != f"sha256:{file.sha256}":
            raise ChecksumMismatch(
                f"The stored bytes of {file.id} do not have the sha256 of the catalog; restore the"
                " file from a backup"
            )


async def content_hash(source: Source, file: FileRecord | Upload) -> str:
    """Hash the stored bytes; return ``sha256:<hex>``. Raises as ``stream``."""
    return (await digest(source, file, Digest())).content_hash


async def _nothing(size: int) -> None:
    """Tell nobody."""


async def digest(
    source: Source,
    file: FileRecord | Upload,
    into: Digest,
    tell: Callable[[int], Awaitable[None]] = _nothing,
) -> Digest:
    """Add the stored bytes to a new digest. ``tell`` gets the number of bytes of each step.

    A file on a local disk is read where it is hashed: one hop a step costs less than one a chunk.
    Raises as ``stream``, and what ``tell`` raises.
    """
    with storage_errors(source.slug, file):
        descriptor = await source.storage.open_local(file.path)
    if descriptor is None:
        async with aclosing(stream(source, file)) as chunks:
            async for chunk in chunks:
                await into.add(chunk)
                await tell(len(chunk))
        return into
    try:
        left = os.fstat(descriptor).st_size  # it may grow faster than it is read
        while left:
            with translated(source.slug, file):
                # The thread must have ended before the descriptor is closed.
                step = min(left, _STEP)
                read = await to_its_end(asyncio.to_thread(into.read, descriptor, step))
            if not read:
                break
            left -= read
            await tell(read)
    finally:
        os.close(descriptor)
    if (size := _size(file)) is not None and into.size != size:
        raise _missing(source.slug, file, f"{into.size:,} bytes of {size:,}")
    return into


async def whole(
    source: Source, file: FileRecord, digest: Digest | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield every byte of a file. If the storage fails, go on at the byte where it did.

    The bytes are added to ``digest`` too. Raises ChecksumMismatch at the end, and as ``stream``.
    """
    digest, failures = digest or Digest(), 0
    while True:
        try:
            async with aclosing(stream(source, file, digest.size)) as chunks:
                async for chunk in chunks:
                    failures = 0
                    await digest.add(chunk)
                    yield chunk
            break
        except Missing:
            raise
        except FilesError as error:
            failures += 1
            if failures >= ATTEMPTS:
                raise
            logger.warning("Reading %s failed at byte %s: %s", file.id, digest.size, error)
        await asyncio.sleep(PAUSE * 2 ** (failures - 1))
    digest.check(file)
