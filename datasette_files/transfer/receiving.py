"""One attempt to bring an upload's bytes into its storage, and the facts of the stored object.

``receive_stream`` streams a request's bytes in. ``verify_direct_upload`` asks the storage about
bytes that a client sent to it directly. Both check type, size and sha256 against the declaration
and the source's limits, and return the upload with ``stored_type``, ``stored_size``,
``content_hash``, ``width`` and ``height``; ``receive_stream`` computes ``crc32`` too. Leaves out
the upload's row and its owner (uploads.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from .. import telemetry
from ..base import FileMetadata
from ..errors import ChecksumMismatch, Conflict, StorageError
from ..media import sniffing
from ..models import Upload
from ..sources import reading
from ..sources.limits import check_declared_size
from ..sources.reading import storage_errors, translated
from ..sources.sources import Source

logger = logging.getLogger("datasette_files")


class NothingSent(Conflict):
    """The client of an upload completes it before any byte arrived."""

    def __init__(self) -> None:
        super().__init__("No bytes have arrived yet; send the file first, then complete")


#: Bytes of a large upload that are handed on together, and seconds in which they may arrive.
_BATCH = 1024 * 1024
_BATCH_SECONDS = 1.0

#: Postpones the upload's expiry while bytes arrive, and returns the time of the next call.
Extend = Callable[[Upload], Awaitable[float]]
#: Reserves room so that as many bytes may be stored in all, before the storage gets them.
Cover = Callable[[int], Awaitable[None]]


@telemetry.spanned(telemetry.UPLOAD)
async def receive_stream(
    source: Source, upload: Upload, chunks: AsyncIterator[bytes], extend: Extend, cover: Cover
) -> Upload:
    """Stream the bytes into the storage; return the upload with the facts of the stored object.

    Raises BadType, FileTooLarge, Invalid, ChecksumMismatch, QuotaExceeded if the bytes are refused,
    and StorageError, StorageUnavailable.
    """
    stream = _CheckedStream(source, upload, chunks, extend, cover)
    content_type = sniffing.stored_type(upload.content_type, await stream.head())
    source.limits.check_type(upload.filename, content_type)
    storage = source.storage
    if source.takes_bytes:
        content: Any = b"".join([chunk async for chunk in stream])
    else:
        content = stream.__aiter__()
    try:
        with telemetry.storage_call():
            answered = await storage.receive_upload(upload.path, content, content_type)
    except Exception:
        if stream.error is not None:
            # The stream's own error is the cause; the storage may have raised another.
            raise stream.error from None
        with translated(source.slug):
            raise
    stored = _as_metadata(answered)
    if stored.size not in (None, stream.size):
        raise StorageError("The storage did not take every byte; try again")
    telemetry.count_bytes("stored", stream.size)
    content_hash = await _checked_sha256(source, upload, stored)
    received = _with_facts(upload, stored, content_type, stream.size, content_hash)
    return replace(received, crc32=await stream.crc32())


@telemetry.spanned(telemetry.UPLOAD)
async def verify_direct_upload(
    source: Source, upload: Upload, content_hash: str | None = None
) -> Upload:
    """Let the storage finish a direct upload; return the upload with the stored object's facts.

    ``content_hash`` is that of an upload whose bytes have passed through Datasette in pieces.
    Raises NothingSent if the client has sent nothing; else as ``receive_stream``.
    """
    # Parts first: a client that has sent none may have used the other way that it was offered.
    for state in (upload.parts_state, upload.instructions):
        if state is not None:
            with storage_errors(source.slug):
                try:
                    answered = await source.storage.finish_upload(upload.path, state)
                except FileNotFoundError:
                    continue
            break
    else:
        raise NothingSent
    stored = _as_metadata(answered)
    if stored.size is None:
        raise StorageError(
            "The storage does not tell the size of the stored file; ask an administrator"
        )
    source.limits.check_size(stored.size)
    check_declared_size(upload.size, stored.size)
    head = await reading.head(source, upload, sniffing.HEAD)
    content_type = sniffing.stored_type(upload.content_type, head)
    source.limits.check_type(upload.filename, content_type)
    stored.content_hash = content_hash or stored.content_hash
    content_hash = stored.content_hash
    if upload.sha256 is not None:
        content_hash = await _checked_sha256(source, upload, stored)
    return _with_facts(upload, stored, content_type, stored.size, content_hash)


def _as_metadata(answered: object) -> FileMetadata:
    """Return a storage's answer. Raises StorageError if it is not FileMetadata."""
    if isinstance(answered, FileMetadata):
        return answered
    logger.error("A storage answered an upload with %r, not with FileMetadata", type(answered))
    raise StorageError("The storage gave an invalid answer; ask an administrator")


async def _checked_sha256(source: Source, upload: Upload, stored: FileMetadata) -> str:
    """Return the sha256 from the storage, else from the stored bytes. Raises ChecksumMismatch."""
    content_hash = stored.content_hash or ""
    if not content_hash.startswith("sha256:"):
        content_hash = await reading.content_hash(source, upload)
    if upload.sha256 is not None and content_hash != f"sha256:{upload.sha256}":
        raise ChecksumMismatch("The bytes do not have the declared sha256; send the file again")
    return content_hash


def _with_facts(
    upload: Upload, stored: FileMetadata, content_type: str, size: int, content_hash: str | None
) -> Upload:
    return replace(
        upload,
        stored_type=content_type,
        stored_size=size,
        content_hash=content_hash,
        width=stored.width,
        height=stored.height,
    )


class _CheckedStream:
    """A stream that checks the bytes against declared size and limit, on the way to the storage."""

    def __init__(
        self,
        source: Source,
        upload: Upload,
        chunks: AsyncIterator[bytes],
        extend: Extend,
        cover: Cover,
    ) -> None:
        self._source = source
        self._upload = upload
        self._chunks = chunks
        self._extend = extend
        self._cover = cover
        self._head: list[bytes] = []
        now = time.time()
        alive_until = min(upload.expires_at, upload.claimed_until or upload.expires_at)
        self._next_extension = now + (alive_until - now) / 4
        self._limit = source.max_file_size
        if upload.size is not None:
            self._limit = min(self._limit, upload.size)
        #: Bytes read until now.
        self.size = 0
        self._crc32 = reading.Crc32()
        self._adding = reading.Beside(self._crc32)
        #: The error that ended the stream, as opposed to an error of the storage.
        self.error: BaseException | None = None

    async def head(self) -> bytes:
        """Return the first bytes, enough to sniff the type. Iteration yields them again."""
        length = 0
        async for chunk in self._chunks:
            self._head.append(await self._count(chunk))
            length += len(chunk)
            if length >= sniffing.HEAD:
                break
        return b"".join(self._head)[: sniffing.HEAD]

    async def _count(self, chunk: bytes) -> bytes:
        self.size += len(chunk)
        if self.size > self._limit:
            self._source.limits.check_size(self.size)
            check_declared_size(self._upload.size, self.size)
        await self._cover(self.size)
        return chunk

    async def crc32(self) -> str:
        """As ``Crc32.value``, of all bytes that the storage took, which need not ask for more."""
        await self._adding.done()
        return self._crc32.value

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for batch in self._batches():
                await self._adding.add(batch)
                yield batch  # the storage writes it meanwhile
                del batch  # a client that stalls holds no more than what it has sent since
            check_declared_size(self._upload.size, self.size)
        except GeneratorExit:
            raise  # the storage stopped reading
        except BaseException as error:
            self.error = error
            raise

    async def _batches(self) -> AsyncIterator[bytes]:
        """The bytes in large batches, as each chunk would cost a hop of a thread.

        Those of a slow client are handed on every second.
        """
        gathered, self._head = self._head, []
        size, due = sum(map(len, gathered)), time.time() + _BATCH_SECONDS
        async for chunk in self._chunks:
            gathered.append(await self._count(chunk))
            size += len(chunk)
            now = time.time()
            if size >= _BATCH or now >= due:
                batch = b"".join(gathered)
                gathered.clear()
                size, due = 0, now + _BATCH_SECONDS
                yield batch
                del batch
            if now >= self._next_extension:
                self._next_extension = await self._extend(self._upload)
        if gathered:
            yield b"".join(gathered)
