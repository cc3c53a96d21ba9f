"""Uploads: prepare, receive, complete. One engine behind every way in.

Bytes stream from the socket to the storage; on the way they are counted against the limits and
their head decides the content type. The storage hashes what it stores. All state is one row in the
internal database, so an upload survives a restart and may go through several processes. Leaves out
HTTP (views/), and the removal of what was never finished (sweeping.py).

Order of things, so that no crash leaves a row without bytes or bytes that nobody remembers: the
path is written down, the bytes become durable, the file's row is committed.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from . import naming, sniffing
from .base import TIME_FORMAT, FileMetadata, Storage, UploadInstructions
from .config import PluginConfig, type_allowed
from .db import catalog, files, uploads
from .errors import (
    BadType,
    ChecksumMismatch,
    Conflict,
    Expired,
    FilesError,
    FileTooLarge,
    Invalid,
    NotFound,
    NotSupported,
    PermissionDenied,
    StorageError,
)
from .models import FileRecord, Upload
from .permissions import Grant
from .sources import Source
from .sweeping import Sweeper

logger = logging.getLogger("datasette_files")

#: How long a finished or expired upload is remembered, to answer a client that asks again.
REMEMBERED_SECONDS = 24 * 3600

_NO_BYTES = "No bytes have arrived yet; send the file first, then complete"


@dataclass(frozen=True)
class Incoming:
    """What a client says of a file before or with its bytes. ``size`` in bytes, sha256 in hex."""

    filename: str
    content_type: str
    size: int | None = None
    sha256: str | None = None


class Uploads:
    """The way in, for one Datasette."""

    def __init__(self, database: catalog.Catalog, config: PluginConfig, sweeper: Sweeper) -> None:
        self._catalog = database
        self._expiry = config.upload_expiry_seconds
        self._sweeper = sweeper

    async def prepare(
        self, source: Source, actor_id: str | None, grant: Grant, incoming: Incoming
    ) -> tuple[str, UploadInstructions | None]:
        """A token, and where to send the bytes; None: through Datasette.

        Raises FileTooLarge for a declared size over the limit, NotSupported, PermissionDenied.
        """
        upload, token = self._new(source, actor_id, incoming, "prepared")
        await self._catalog.read(lambda conn: grant.check(conn, source.slug))
        instructions = await _guarded(
            source.storage.prepare_upload(
                upload.path,
                upload.content_type,
                upload.size,
                sha256=upload.sha256,
                max_size=source.max_file_size,
                expires_in=int(self._expiry),
            )
        )
        if instructions is not None:
            upload = replace(upload, instructions=instructions.state)
        await self._catalog.write(lambda conn: uploads.insert(conn, upload, time.time()))
        return token, instructions

    async def receive(
        self,
        source: Source,
        actor_id: str | None,
        grant: Grant,
        token: str,
        chunks: AsyncIterator[bytes],
    ) -> None:
        """Take a prepared upload's bytes. Again before it is completed, they are replaced."""
        attempt = naming.new_claim()

        def claim(conn: Any) -> Upload:
            grant.check(conn, source.slug)
            upload = _owned(conn, token, source, actor_id)
            if upload.state in ("completed", "receiving") or upload.instructions is not None:
                raise _conflict(upload)
            # The first attempt has the prepared path; a later one must not write over it.
            path = upload.path if upload.claim is None else _next_path(source, upload)
            uploads.claim(conn, upload.id, attempt, path, time.time() + self._expiry)
            return replace(upload, claim=attempt, path=path)

        upload = await self._catalog.write(claim)
        try:
            facts = await self._store(source, upload, chunks)
        except BaseException:
            await self._give_back(source, upload)
            raise
        kept = await self._catalog.write(
            lambda conn: uploads.received(conn, upload.id, attempt, facts)
        )
        if not kept:
            await self._sweeper.remove(source, upload.path)
            raise Expired("The upload expired while it was received; prepare a new one")

    async def complete(
        self, source: Source, actor_id: str | None, grant: Grant, token: str
    ) -> tuple[FileRecord, bool]:
        """The file, and whether this call put it into the catalog rather than an earlier one."""

        def look(conn: Any) -> Upload:
            grant.check(conn, source.slug)
            return _owned(conn, token, source, actor_id)

        upload = await self._catalog.read(look)
        if upload.instructions is not None and upload.state == "prepared":
            await self._finish_direct(source, upload)

        def commit(conn: Any) -> tuple[FileRecord, bool]:
            upload = _owned(conn, token, source, actor_id)
            if upload.state == "completed":
                file = files.get(conn, upload.file_id)
                if file is None:
                    raise NotFound("The upload's file has been deleted")
                return file, False
            if upload.state != "received":
                raise _conflict(upload)
            file = _as_file(upload)
            uploads.complete(conn, upload.id, time.time() + REMEMBERED_SECONDS)
            files.insert(conn, file)
            return file, True

        return await self._catalog.write(commit)

    async def store(
        self,
        source: Source,
        actor_id: str | None,
        grant: Grant,
        incoming: Incoming,
        chunks: AsyncIterator[bytes],
    ) -> FileRecord:
        """All three steps in one call, always through Datasette."""
        upload, _ = self._new(source, actor_id, incoming, "receiving")

        def begin(conn: Any) -> None:
            grant.check(conn, source.slug)
            uploads.insert(conn, upload, time.time())

        await self._catalog.write(begin)
        try:
            file = _as_file(replace(upload, **await self._store(source, upload, chunks)))

            def commit(conn: Any) -> None:
                if not uploads.finish(conn, upload.id, upload.claim or ""):
                    raise Expired("The upload expired while it was received; send it again")
                files.insert(conn, file)

            await self._catalog.write(commit)
        except BaseException:
            await self._discard(source, upload)
            raise
        return file

    def _new(
        self, source: Source, actor_id: str | None, incoming: Incoming, state: str
    ) -> tuple[Upload, str]:
        source.storage  # noqa: B018 - raises while the source is down: its powers are not known
        if not source.capabilities.can_upload:
            raise NotSupported(f"The source {source.slug!r} does not take uploads")
        _check_size(source, incoming.size)
        ulid, token = naming.new_ulid(), naming.new_token()
        upload = Upload(
            id=naming.token_digest(token),
            source_id=source.id,
            source_slug=source.slug,
            file_id=naming.ID_PREFIX + ulid,
            path=_path(source, ulid, incoming.filename, actor_id),
            filename=incoming.filename,
            content_type=incoming.content_type,
            size=incoming.size,
            sha256=incoming.sha256,
            content_hash=None,
            actor_id=actor_id,
            state=state,
            expires_at=time.time() + self._expiry,
            claim=naming.new_claim() if state == "receiving" else None,
            instructions=None,
        )
        return upload, token

    async def _store(
        self, source: Source, upload: Upload, chunks: AsyncIterator[bytes]
    ) -> dict[str, Any]:
        """Stream the bytes into the storage; the facts of what it holds now."""
        stream = _CheckedStream(source, upload, chunks, self._extend)
        content_type = sniffing.stored_type(upload.content_type, await stream.head())
        _check_type(source, content_type)
        storage = source.storage
        if source.takes_bytes:
            content: Any = b"".join([chunk async for chunk in stream])
        else:
            content = stream.__aiter__()
        stored = _metadata(
            await _guarded(
                storage.receive_upload(upload.path, content, content_type), passing=stream
            )
        )
        if stored.size not in (None, stream.size):
            raise StorageError("The storage did not take every byte; try again")
        content_hash = stored.content_hash or ""
        if not content_hash.startswith("sha256:"):
            content_hash = await _guarded(_hash_stored(source, upload.path))
        _check_sha256(upload.sha256, content_hash)
        return {
            "stored_type": content_type,
            "stored_size": stream.size,
            "content_hash": content_hash,
            "width": stored.width,
            "height": stored.height,
            "expires_at": time.time() + self._expiry,
        }

    async def _extend(self, upload: Upload) -> float:
        """Move the expiry, as bytes still arrive; the moment of the next move."""
        now = time.time()
        held = await self._catalog.write(
            lambda conn: uploads.extend(conn, upload.id, upload.claim or "", now + self._expiry)
        )
        if not held:
            raise Expired("The upload expired while it was received; prepare a new one")
        return now + self._expiry / 4

    async def _finish_direct(self, source: Source, upload: Upload) -> None:
        """Have the storage verify what the client sent it, and record that as received."""
        attempt = naming.new_claim()
        claimed = await self._catalog.write(
            lambda conn: uploads.claim(
                conn, upload.id, attempt, upload.path, time.time() + self._expiry
            )
        )
        if not claimed:
            raise Conflict("The upload is being completed by another request; try again")
        upload = replace(upload, claim=attempt)
        try:
            facts = await self._direct_facts(source, upload)
        except (BadType, ChecksumMismatch, FileTooLarge, Invalid):
            keep_until = time.time() + REMEMBERED_SECONDS
            await self._undo(source, upload, lambda conn: uploads.reject(conn, upload, keep_until))
            raise
        except BaseException:
            # What the client sent may be sound: a storage's bad moment must not cost it.
            expires_at = time.time() + self._expiry
            await self._catalog.write(
                lambda conn: uploads.hand_back(conn, upload.id, attempt, expires_at)
            )
            raise
        await self._catalog.write(lambda conn: uploads.received(conn, upload.id, attempt, facts))

    async def _direct_facts(self, source: Source, upload: Upload) -> dict[str, Any]:
        """Have the storage finish, and hold what it has against what was declared and allowed."""
        storage = source.storage
        stored = _metadata(
            await _guarded(_finished(storage, upload.path, upload.instructions or {}))
        )
        if stored.size is None:
            raise StorageError("The storage does not say how many bytes it has")
        _check_size(source, stored.size)
        _check_declared_size(upload.size, stored.size)
        head = await _guarded(storage.read_bytes(upload.path, sniffing.HEAD))
        content_type = sniffing.stored_type(upload.content_type, head)
        _check_type(source, content_type)
        content_hash = stored.content_hash
        if upload.sha256 is not None:
            if not (content_hash or "").startswith("sha256:"):
                content_hash = await _guarded(_hash_stored(source, upload.path))
            _check_sha256(upload.sha256, content_hash or "")
        return {
            "stored_type": content_type,
            "stored_size": stored.size,
            "content_hash": content_hash,
            "width": stored.width,
            "height": stored.height,
            "expires_at": time.time() + self._expiry,
        }

    async def _give_back(self, source: Source, upload: Upload) -> None:
        """After a failed attempt: nothing stays behind, and the upload may be tried again."""
        fresh = _next_path(source, upload)
        await self._undo(
            source,
            upload,
            lambda conn: uploads.release(
                conn, upload, upload.claim or "", fresh, time.time() + self._expiry
            ),
        )

    async def _discard(self, source: Source, upload: Upload) -> None:
        await self._undo(source, upload, lambda conn: uploads.discard(conn, upload))

    async def _undo(self, source: Source, upload: Upload, change: Any) -> None:
        try:
            await self._catalog.write(change)
            await self._sweeper.remove(source, upload.path)
        except Exception:
            # The first error is the one to answer with; the sweeper finds what is left.
            logger.exception("Cleaning up after a failed upload failed")


class _CheckedStream:
    """The bytes on their way to the storage, held against what was declared and allowed."""

    def __init__(
        self, source: Source, upload: Upload, chunks: AsyncIterator[bytes], extend: Any
    ) -> None:
        self._source = source
        self._upload = upload
        self._chunks = chunks
        self._extend = extend
        self._head: list[bytes] = []
        self._extend_at = time.time() + (upload.expires_at - time.time()) / 4
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
            _check_size(self._source, self.size)
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
        except BaseException as error:
            self.error = error
            raise


async def _guarded(call: Any, passing: _CheckedStream | None = None) -> Any:
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
        raise Conflict(_NO_BYTES) from None


def _metadata(stored: object) -> FileMetadata:
    """What a storage answered. Raises StorageError for anything but what the contract says."""
    if isinstance(stored, FileMetadata):
        return stored
    logger.error("A storage answered an upload with %r, not with FileMetadata", type(stored))
    raise StorageError("The storage gave an answer that makes no sense; ask its administrator")


async def _hash_stored(source: Source, path: str) -> str:
    """The sha256 that the storage should have told us, by reading back."""
    digest = hashlib.sha256()
    async for chunk in source.storage.stream_file(path):
        digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def _owned(conn: Any, token: str, source: Source, actor_id: str | None) -> Upload:
    """The token's upload, if it is this actor's, in this source, and not expired."""
    upload = uploads.get(conn, naming.token_digest(token))
    if upload is None or upload.source_id != source.id:
        raise NotFound("There is no such upload in this source; prepare a new one")
    if upload.actor_id != actor_id:
        raise PermissionDenied("The upload was prepared by somebody else")
    if upload.state == "expired" or upload.expires_at <= time.time():
        raise Expired("The upload was prepared too long ago; prepare a new one")
    return upload


def _conflict(upload: Upload) -> Conflict:
    if upload.instructions is not None:
        return Conflict("The upload's bytes go straight to the storage, as prepare answered")
    return Conflict(
        {
            "completed": "The upload is completed already",
            "receiving": "The upload's bytes are still arriving; wait for them, then try again",
            "prepared": _NO_BYTES,
        }[upload.state]
    )


def _check_size(source: Source, size: int | None) -> None:
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


def _path(source: Source, ulid: str, filename: str, actor_id: str | None) -> str:
    return naming.storage_path(
        source.config.path_template,
        ulid=ulid,
        filename=filename,
        source=source.slug,
        actor_id=actor_id,
    )


def _next_path(source: Source, upload: Upload) -> str:
    return _path(source, naming.new_ulid(), upload.filename, upload.actor_id)


def _as_file(upload: Upload) -> FileRecord:
    return FileRecord(
        id=upload.file_id,
        source_id=upload.source_id,
        path=upload.path,
        filename=upload.filename,
        content_type=upload.stored_type,
        content_hash=upload.content_hash,
        size=upload.stored_size,
        width=upload.width,
        height=upload.height,
        uploaded_by=upload.actor_id,
        created_at=datetime.now(timezone.utc).strftime(TIME_FORMAT),
        metadata="{}",
        search_text="",
        source_slug=upload.source_slug,
    )
