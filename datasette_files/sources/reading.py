"""Reading a whole file for a command: to its last byte, taken up again where the storage broke.

Nothing a client waits for: downloads are in downloads.py. What arrives is held against the
catalog's size here, and against its sha256 by whoever takes the chunks (``Digest``).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable

from ..errors import ChecksumMismatch, FilesError, StorageError
from ..models import FileRecord
from .sources import Source

logger = logging.getLogger("datasette_files")

#: How often in a row a stream that broke is taken up again without a byte of progress, and the
#: first pause before it, in seconds; each is twice the one before.
ATTEMPTS = 4
PAUSE = 0.25
#: As "to the end".
_END = 2**63 - 1
#: Bytes; hashing less is quicker than the way to a thread.
_WORTH_A_THREAD = 64 * 1024


async def head(source: Source, file: FileRecord, size: int) -> bytes:
    """At most the first ``size`` bytes. Raises StorageError, StorageUnavailable."""
    return await _part(file, source.storage.read_bytes(file.path, size))


async def tail(source: Source, file: FileRecord, size: int) -> bytes:
    """At most the last ``size`` bytes. Raises StorageError, StorageUnavailable."""
    if file.size is None or file.size <= size:
        return await head(source, file, size)
    start, end = file.size - size, file.size

    async def read() -> bytes:
        stream = source.storage.stream_range(file.path, start, end)
        return b"".join([chunk async for chunk in stream])

    return await _part(file, read())


async def _part(file: FileRecord, reading: Awaitable[bytes]) -> bytes:
    try:
        return await reading
    except FilesError:
        raise
    except Exception as error:
        logger.exception("A part of %s cannot be read", file.id)
        raise StorageError("The storage failed to read the file; try again") from error


async def whole(source: Source, file: FileRecord) -> AsyncIterator[bytes]:
    """Every byte of a file, in chunks. Raises StorageError, StorageUnavailable."""
    position, failures = 0, 0
    while True:
        stream = _from(source, file, position)
        problem: Exception | None = None
        try:
            async for chunk in stream:
                position += len(chunk)
                failures = 0
                yield chunk
        except FileNotFoundError:
            raise StorageError(f"The bytes of {file.id} are missing from its storage") from None
        except Exception as error:  # noqa: BLE001 - whatever a storage raises, it is tried again
            problem = error
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
        if problem is None:
            if file.size not in (None, position):
                raise StorageError(
                    f"The storage has {position:,} bytes of {file.id}, and the catalog says"
                    f" {file.size:,}; restore the file from a backup"
                )
            return
        failures += 1
        if failures >= ATTEMPTS:
            raise _as_answer(problem, file) from problem
        logger.warning("Reading %s broke at byte %s: %s", file.id, position, problem)
        await asyncio.sleep(PAUSE * 2 ** (failures - 1))


def _from(source: Source, file: FileRecord, position: int) -> AsyncIterator[bytes]:
    if position == 0:
        return source.storage.stream_file(file.path)
    end = _END if file.size is None else file.size
    return source.storage.stream_range(file.path, position, end)


def _as_answer(problem: Exception, file: FileRecord) -> FilesError:
    if isinstance(problem, FilesError):
        return problem
    return StorageError(f"The storage failed to read {file.id}: {type(problem).__name__}")


class Digest:
    """The sha256 and size of chunks, as they pass."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        #: Bytes.
        self.size = 0

    async def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if len(chunk) < _WORTH_A_THREAD:
            self._sha256.update(chunk)
        else:
            await asyncio.to_thread(self._sha256.update, chunk)

    @property
    def content_hash(self) -> str:
        """As the catalog keeps it."""
        return f"sha256:{self._sha256.hexdigest()}"

    def check(self, file: FileRecord) -> None:
        """Raises ChecksumMismatch where the catalog has another sha256."""
        if file.sha256 is not None and self.content_hash != f"sha256:{file.sha256}":
            raise ChecksumMismatch(
                f"The stored bytes of {file.id} are not those whose sha256 the catalog has; restore"
                " the file from a backup"
            )


async def content_of(source: Source, file: FileRecord) -> AsyncIterator[bytes]:
    """The file's bytes from its storage. Raises FilesError for whatever a storage makes of it."""
    passed = 0
    try:
        async for chunk in source.storage.stream_file(file.path):
            passed += len(chunk)
            yield chunk
    except FilesError:
        raise
    except Exception as error:
        logger.exception("Source %r failed to read a file", source.slug)
        raise StorageError("The storage failed to read the file; try again") from error
    if file.size is not None and passed != file.size:
        logger.error("Source %r has %d bytes of %d of %s", source.slug, passed, file.size, file.id)
        raise StorageError(
            f"The storage gave {passed:,} bytes of a file of {file.size:,}; upload it again"
        )
