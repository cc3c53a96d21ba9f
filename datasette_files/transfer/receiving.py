"""One attempt at getting an upload's bytes into its storage, and what the storage then holds.

``through_datasette`` streams a request's bytes in, ``past_datasette`` asks about those that a
client sent to the storage itself. Both end in the same facts (``stored_type``, ``stored_size``,
``content_hash``, ``width``, ``height``), held against what was declared and what the source allows.
Leaves out the upload's row, and whose it is (uploads.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ..base import FileMetadata
from ..errors import ChecksumMismatch, Conflict, StorageError
from ..media import sniffing
from ..models import Upload
from ..sources import reading
from ..sources.limits import check_declared_size
from ..sources.reading import storage_errors
from ..sources.sources import Source

logger = logging.getLogger("datasette_files")

NO_BYTES = "No bytes have arrived yet; send the file first, then complete"

#: Moves the upload's expiry while bytes arrive; the moment of the next move.
Extend = Callable[[Upload], Awaitable[float]]


async def through_datasette(
    source: Source, upload: Upload, chunks: AsyncIterator[bytes], extend: Extend
) -> dict[str, Any]:
    """Stream the bytes into the storage; the facts of what it holds now."""
    stream = _CheckedStream(source, upload, chunks, extend)
    content_type = sniffing.stored_type(upload.content_type, await stream.head())
    source.limits.check_type(upload.filename, content_type)
    storage = source.storage
    if source.takes_bytes:
        content: Any = b"".join([chunk async for chunk in stream])
    else:
        content = stream.__aiter__()
    try:
        answered = await storage.receive_upload(upload.path, content, content_type)
    except Exception:
        if stream.error is not None:
            # Whatever the storage made of it, the stream's own error is what happened.
            raise stream.error from None
        with storage_errors(source.slug):
            raise
    stored = _metadata(answered)
    if stored.size not in (None, stream.size):
        raise StorageError("The storage did not take every byte; try again")
    content_hash = stored.content_hash or ""
    if not content_hash.startswith("sha256:"):
        content_hash = await reading.content_hash(source, upload)
    _check_sha256(upload.sha256, content_hash)
    return _facts(stored, content_type, stream.size, content_hash)


async def past_datasette(source: Source, upload: Upload) -> dict[str, Any]:
    """Have the storage finish, and hold what it has against what was declared and allowed."""
    stored = _metadata(await _finished(source, upload))
    if stored.size is None:
        raise StorageError("The storage does not say how many bytes it has")
    source.limits.check_size(stored.size)
    check_declared_size(upload.size, stored.size)
    head = await reading.head(source, upload, sniffing.HEAD)
    content_type = sniffing.stored_type(upload.content_type, head)
    source.limits.check_type(upload.filename, content_type)
    content_hash = stored.content_hash
    if upload.sha256 is not None:
        if not (content_hash or "").startswith("sha256:"):
            content_hash = await reading.content_hash(source, upload)
        _check_sha256(upload.sha256, content_hash or "")
    return _facts(stored, content_type, stored.size, content_hash)


def _facts(
    stored: FileMetadata, content_type: str, size: int, content_hash: str | None
) -> dict[str, Any]:
    return {
        "stored_type": content_type,
        "stored_size": size,
        "content_hash": content_hash,
        "width": stored.width,
        "height": stored.height,
    }


class _CheckedStream:
    """The bytes on their way to the storage, held against what was declared and allowed."""

    def __init__(
        self, source: Source, upload: Upload, chunks: AsyncIterator[bytes], extend: Extend
    ) -> None:
        self._source = source
        self._upload = upload
        self._chunks = chunks
        self._extend = extend
        self._head: list[bytes] = []
        now = time.time()
        alive_until = min(upload.expires_at, upload.claimed_until or upload.expires_at)
        self._extend_at = now + (alive_until - now) / 4
        self._limit = source.max_file_size
        if upload.size is not None:
            self._limit = min(self._limit, upload.size)
        #: Bytes seen.
        self.size = 0
        #: What stopped the stream, to be told from an error of the storage's own.
        self.error: BaseException | None = None

    async def head(self) -> bytes:
        """The first bytes, enough to sniff; they are still streamed after."""
        length = 0
        async for chunk in self._chunks:
            self._head.append(self._count(chunk))
            length += len(chunk)
            if length >= sniffing.HEAD:
                break
        return b"".join(self._head)[: sniffing.HEAD]

    def _count(self, chunk: bytes) -> bytes:
        self.size += len(chunk)
        if self.size > self._limit:
            self._source.limits.check_size(self.size)
            check_declared_size(self._upload.size, self.size)
        return chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for chunk in self._head:
                yield chunk
            self._head.clear()
            async for chunk in self._chunks:
                yield self._count(chunk)
                if time.time() >= self._extend_at:
                    self._extend_at = await self._extend(self._upload)
            check_declared_size(self._upload.size, self.size)
        except GeneratorExit:
            raise  # the storage wants no more
        except BaseException as error:
            self.error = error
            raise


async def _finished(source: Source, upload: Upload) -> FileMetadata:
    with storage_errors(source.slug):
        try:
            return await source.storage.finish_upload(upload.path, upload.instructions or {})
        except FileNotFoundError:
            raise Conflict(NO_BYTES) from None


def _metadata(stored: object) -> FileMetadata:
    """What a storage answered. Raises StorageError for anything but what the contract says."""
    if isinstance(stored, FileMetadata):
        return stored
    logger.error("A storage answered an upload with %r, not with FileMetadata", type(stored))
    raise StorageError("The storage gave an answer that makes no sense; ask its administrator")


def _check_sha256(declared: str | None, content_hash: str) -> None:
    if declared is not None and content_hash != f"sha256:{declared}":
        raise ChecksumMismatch(
            "The bytes that arrived are not those whose sha256 was declared; send the file again"
        )
