"""One attempt at getting an upload's bytes into its storage, and what the storage then holds.

``through_datasette`` streams a request's bytes in, ``past_datasette`` asks about those that a
client sent to the storage itself. Both end in the same facts (``stored_type``, ``stored_size``,
``content_hash``, ``width``, ``height``), held against what was declared and what the source allows.
Leaves out the upload's row, and whose it is (uploads.py).
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ..base import FileMetadata, Storage
from ..config import type_allowed
from ..errors import (
    BadType,
    ChecksumMismatch,
    Conflict,
    FilesError,
    FileTooLarge,
    Invalid,
    StorageError,
)
from ..media import sniffing
from ..models import Upload
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
    _check_type(source, content_type)
    storage = source.storage
    if source.takes_bytes:
        content: Any = b"".join([chunk async for chunk in stream])
    else:
        content = stream.__aiter__()
    stored = _metadata(
        await guarded(storage.receive_upload(upload.path, content, content_type), passing=stream)
    )
    if stored.size not in (None, stream.size):
        raise StorageError("The storage did not take every byte; try again")
    content_hash = stored.content_hash or ""
    if not content_hash.startswith("sha256:"):
        content_hash = await guarded(hash_stored(source, upload.path))
    _check_sha256(upload.sha256, content_hash)
    return {
        "stored_type": content_type,
        "stored_size": stream.size,
        "content_hash": content_hash,
        "width": stored.width,
        "height": stored.height,
    }


async def past_datasette(source: Source, upload: Upload) -> dict[str, Any]:
    """Have the storage finish, and hold what it has against what was declared and allowed."""
    storage = source.storage
    stored = _metadata(await guarded(_finished(storage, upload.path, upload.instructions or {})))
    if stored.size is None:
        raise StorageError("The storage does not say how many bytes it has")
    check_size(source, stored.size)
    _check_declared_size(upload.size, stored.size)
    head = await guarded(storage.read_bytes(upload.path, sniffing.HEAD))
    content_type = sniffing.stored_type(upload.content_type, head)
    _check_type(source, content_type)
    content_hash = stored.content_hash
    if upload.sha256 is not None:
        if not (content_hash or "").startswith("sha256:"):
            content_hash = await guarded(hash_stored(source, upload.path))
        _check_sha256(upload.sha256, content_hash or "")
    return {
        "stored_type": content_type,
        "stored_size": stored.size,
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
            check_size(self._source, self.size)
            _check_declared_size(self._upload.size, self.size)
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
            _check_declared_size(self._upload.size, self.size)
        except GeneratorExit:
            raise  # the storage wants no more
        except BaseException as error:
            self.error = error
            raise


async def guarded(call: Any, passing: _CheckedStream | None = None) -> Any:
    """Await a storage's method; an error it should not raise becomes a StorageError."""
    try:
        return await call
    except Exception as error:
        if passing is not None and passing.error is not None:
            # Whatever the storage made of it, the stream's own error is what happened.
            raise passing.error from None
        if isinstance(error, FilesError):
            raise
        logger.exception("A storage failed during an upload")
        raise StorageError("The storage failed; try again, or ask its administrator") from error


async def _finished(storage: Storage, path: str, state: dict[str, Any]) -> FileMetadata:
    try:
        return await storage.finish_upload(path, state)
    except FileNotFoundError:
        raise Conflict(NO_BYTES) from None


def _metadata(stored: object) -> FileMetadata:
    """What a storage answered. Raises StorageError for anything but what the contract says."""
    if isinstance(stored, FileMetadata):
        return stored
    logger.error("A storage answered an upload with %r, not with FileMetadata", type(stored))
    raise StorageError("The storage gave an answer that makes no sense; ask its administrator")


async def hash_stored(source: Source, path: str) -> str:
    """The sha256 that the storage should have told us, by reading back."""
    digest = hashlib.sha256()
    async for chunk in source.storage.stream_file(path):
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def check_size(source: Source, size: int | None) -> None:
    if size is not None and size > source.max_file_size:
        raise FileTooLarge(
            f"The file is larger than the {source.max_file_size:,} bytes that the source"
            f" {source.slug!r} takes"
        )


def _check_declared_size(declared: int | None, size: int) -> None:
    if declared is not None and size != declared:
        raise Invalid(
            f"{declared:,} bytes were declared, but {'only ' if size < declared else ''}"
            f"{size:,}{' or more' if size > declared else ''} arrived; send the file again"
        )


def _check_type(source: Source, content_type: str) -> None:
    allowed = source.config.allowed_content_types
    if not type_allowed(content_type, allowed):
        raise BadType(
            f"The source {source.slug!r} does not take files of type {content_type}; it takes"
            f" {', '.join(allowed or [])}"
        )


def _check_sha256(declared: str | None, content_hash: str) -> None:
    if declared is not None and content_hash != f"sha256:{declared}":
        raise ChecksumMismatch(
            "The bytes that arrived are not those whose sha256 was declared; send the file again"
        )
