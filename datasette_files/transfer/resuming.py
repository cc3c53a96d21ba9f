"""Uploads that go on: create, append, complete, join, terminate. tus speaks to this use case.

The bytes reach the storage in checkpoints. The offset is recorded after each, so it is durable, and
whatever ends the server costs its client one checkpoint. The last byte completes the upload by the
rules of every other way in. Leaves out HTTP (views/tus.py), whose uploads they are (authority.py),
the bytes of one request (appending.py) and its lease (attempts.py), and the removal of what expired
(maintenance/sweeping.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from sqlite3 import Connection

from .. import naming
from ..config import PluginConfig
from ..db import batching, files, quotas, resuming
from ..db.resuming import Lease, Resumable
from ..errors import (
    BadType,
    ChecksumMismatch,
    Conflict,
    Expired,
    FileTooLarge,
    Invalid,
    NotSupported,
    PermissionDenied,
)
from ..jobs.holder import this_process
from ..maintenance.sweeping import REMEMBERED_SECONDS
from ..models import FileRecord, Upload
from ..sources import reading
from ..sources.reading import Digest
from ..sources.sources import Source
from . import receiving, reserving
from .appending import Appending, Sent
from .attempts import Attempt
from .authority import Authority
from .incoming import Incoming, as_file, new_upload
from .uploads import Uploads

_WHOLE = "The upload has all its bytes; it takes no more"


@dataclass(frozen=True)
class Progress:
    """An upload after a request; ``file`` where this request completed it."""

    resumable: Resumable
    file: FileRecord | None = None

    @property
    def upload(self) -> Upload:
        return self.resumable.upload


class Resuming:
    """The uploads of one Datasette that go on."""

    def __init__(self, database: batching.Catalog, config: PluginConfig, uploads: Uploads) -> None:
        self._catalog = database
        self._expiry = config.upload_expiry_seconds
        self._uploads = uploads
        self._appending = Appending(database, config)

    async def create(
        self,
        source: Source,
        authority: Authority,
        incoming: Incoming,
        *,
        metadata: str = "",
        concat: str | None = None,
        prepared: str | None = None,
    ) -> tuple[str, Progress]:
        """A new upload: its id, and itself. One without bytes is completed at once.

        ``prepared`` is the token of a prepared upload that it replaces, and whose tags, folder and
        older version it takes over. Raises Conflict, FileTooLarge, NotFound, NotSupported,
        PermissionDenied, QuotaExceeded, StorageUnavailable.
        """
        resumable_id = (
            naming.new_resumable_id() if prepared is None else naming.resumable_id_of(prepared)
        )

        def insert(conn: Connection) -> Resumable:
            authority.check(conn, source)
            require_appends(source)
            source.limits.check_size(incoming.size)
            if authority.link is not None and incoming.size is None:
                raise Invalid("Send Upload-Length; this link takes only files of a declared size")
            now = time.time()
            token = naming.resumable_token(resumable_id)
            upload = new_upload(source, authority.actor_id, incoming, token, now + self._expiry)
            files_of = 0 if concat == "partial" else 1
            upload = replace(upload, link=authority.link, reserved_files=files_of)
            if prepared is not None:
                before = authority.replace_prepared(conn, source, prepared)
                folder = upload.folder or before.folder
                upload = replace(upload, folder=folder, tags=before.tags, replaces=before.replaces)
            resuming.insert(conn, upload, now, metadata=metadata, concat=concat)
            reserving.check(conn, source, upload)
            return Resumable(upload, 0, {}, metadata, concat)

        resumable = await self._catalog.write(insert)
        if resumable.is_whole:
            return resumable_id, await self._with_attempt(source, authority, resumable_id, None)
        return resumable_id, Progress(resumable)

    async def look(self, source: Source, authority: Authority, resumable_id: str) -> Progress:
        """The upload with its durable offset. Completes one whose last request could not.

        Raises Conflict while another request completes it, NotFound, PermissionDenied, Expired.
        """
        resumable = await self._catalog.read(
            lambda conn: authority.owned(conn, source, resumable_id)
        )
        if resumable.is_whole and resumable.upload.state == "prepared":
            return await self._with_attempt(source, authority, resumable_id, None)
        return Progress(resumable)

    async def append(
        self, source: Source, authority: Authority, resumable_id: str, sent: Sent
    ) -> Progress:
        """Append a request's bytes; with the last one the upload becomes a file.

        What arrived before an error of the client stays, unless it has a checksum. Raises Conflict
        for another offset than the durable one, and if another request takes the upload;
        ChecksumMismatch, FileTooLarge, and as ``receiving.verify_direct_upload``.
        """
        return await self._with_attempt(source, authority, resumable_id, sent)

    async def set_length(
        self, source: Source, authority: Authority, resumable_id: str, size: int
    ) -> None:
        """Take the size in bytes of an upload whose client tells it later, once.

        Raises Conflict for another size than the known one, FileTooLarge, Invalid.
        """

        def change(conn: Connection) -> None:
            resumable = authority.owned(conn, source, resumable_id)
            known = resumable.upload.size
            if known is not None and known != size:
                raise Conflict(f"The upload has {known:,} bytes; Upload-Length cannot change")
            source.limits.check_size(size)
            if size < resumable.offset:
                raise Invalid(f"{resumable.offset:,} bytes have arrived; Upload-Length is smaller")
            resuming.set_length(conn, resumable.upload.id, size)
            # A request whose bytes still arrive may fill what it has reserved.
            quotas.reserve(conn, resumable.upload.id, max(size, resumable.upload.reserved))
            reserving.check(conn, source, resumable.upload)

        await self._catalog.write(change)

    async def join(
        self,
        source: Source,
        authority: Authority,
        parts: tuple[str, ...],
        incoming: Incoming,
        *,
        metadata: str,
        concat: str,
    ) -> tuple[str, Progress]:
        """A file of the bytes of partial uploads, in this order; these are removed.

        Raises Conflict for a part that is not whole, and as ``Uploads.store``.
        """
        resumable_id = naming.new_resumable_id()

        def parts_now(conn: Connection) -> list[Resumable]:
            authority.check(conn, source)
            require_appends(source)
            found = [authority.owned(conn, source, part) for part in parts]
            if not all(part.is_partial and part.upload.state == "received" for part in found):
                raise Conflict("A partial upload has not all its bytes yet; end it, then join")
            return found

        found = await self._catalog.read(parts_now)
        size = sum(part.offset for part in found)
        digest = naming.token_digest(naming.resumable_token(resumable_id))
        joined: list[Resumable] = []

        async def chunks() -> AsyncIterator[bytes]:
            for part in found:
                async for chunk in reading.stream(source, part.upload):
                    yield chunk

        def also(conn: Connection, stored: Upload) -> None:
            for part in {part.upload.id: part for part in parts_now(conn)}.values():
                resuming.forget(conn, part.upload)
            now = time.time()
            final = replace(
                *(stored,), id=digest, state="completed", expires_at=now + REMEMBERED_SECONDS
            )
            resuming.insert(conn, final, now, metadata=metadata, concat=concat, offset=size)
            joined.append(Resumable(final, size, {}, metadata, concat))

        async with reserving.lent(self._catalog, [part.upload for part in found]):
            file = await self._uploads.store(
                *(source, authority.actor_id, authority.grant, replace(incoming, size=size)),
                chunks(),
                also,
            )
        return resumable_id, Progress(joined[-1], file)

    async def terminate(self, source: Source, authority: Authority, resumable_id: str) -> None:
        """Forget an upload, and remove its bytes. A file that it became stays."""
        attempt = await self._attempt(source, authority, resumable_id)
        try:
            await self._catalog.write(
                lambda conn: resuming.forget(
                    conn, authority.owned(conn, source, resumable_id).upload
                )
            )
        finally:
            await asyncio.shield(attempt.release())

    async def _attempt(self, source: Source, authority: Authority, resumable_id: str) -> Attempt:
        upload_id = naming.token_digest(naming.resumable_token(resumable_id))
        lease = Lease(upload_id, naming.new_claim(), this_process())
        attempt = Attempt(self._catalog, lease, self._expiry)
        await attempt.take(lambda conn: authority.owned(conn, source, resumable_id))
        return attempt

    async def _with_attempt(
        self, source: Source, authority: Authority, resumable_id: str, sent: Sent | None
    ) -> Progress:
        """Take the upload, append what was sent, and complete it if that was the last byte."""
        attempt = await self._attempt(source, authority, resumable_id)
        try:
            now = await self._catalog.read(lambda conn: authority.owned(conn, source, resumable_id))
            if sent is not None:
                _check_offset(now, sent)
            if now.upload.state != "prepared":
                return Progress(now)
            if sent is not None:
                now = await self._appending.receive(source, now, attempt, sent)
            if not now.is_whole:
                return Progress(now)
            if now.offset == 0:
                now = await self._appending.receive_nothing(source, now, attempt)
            return await self._complete(source, authority, now)
        finally:
            await asyncio.shield(attempt.release())

    async def _complete(
        self, source: Source, authority: Authority, resumable: Resumable
    ) -> Progress:
        """Make the storage's object final, check it, and add the file to the catalog."""
        upload = replace(resumable.upload, instructions=resumable.state)
        digest = None
        if not resumable.is_partial:
            digest = await self._appending.digest_of(source, resumable)
        try:
            stored = await self._final(source, resumable, upload, digest)
        except (BadType, ChecksumMismatch, FileTooLarge, Invalid):
            await self._appending.end(upload)
            raise
        stored = replace(stored, instructions=None)
        if resumable.is_partial:
            await self._catalog.write(
                lambda conn: resuming.finish(conn, stored, "received", time.time() + self._expiry)
            )
            done = replace(stored, state="received", expires_at=time.time() + self._expiry)
            return Progress(replace(resumable, upload=done))
        file, allowed = as_file(stored), await authority.renewed()

        def commit(conn: Connection) -> None:
            allowed.check(conn, source)
            if not resuming.finish(conn, stored, "completed", time.time() + REMEMBERED_SECONDS):
                raise Expired("The upload expired or was ended meanwhile; begin it again")
            files.insert(conn, file)
            reserving.settle(conn, source, stored)

        await self._catalog.write(commit)
        done = replace(stored, state="completed")
        return Progress(replace(resumable, upload=done), file)

    async def _final(
        self, source: Source, resumable: Resumable, upload: Upload, digest: Digest | None
    ) -> Upload:
        """The upload with the facts of its object; of a partial one, only the size."""
        if resumable.is_partial:
            with reading.storage_errors(source.slug):
                await source.storage.finish_upload(upload.path, resumable.state)
            return replace(upload, stored_type=upload.content_type, stored_size=resumable.offset)
        known = digest.content_hash if digest else None
        stored = await receiving.verify_direct_upload(source, upload, known)
        if digest is None and stored.content_hash is None:
            digest = await reading.digest(source, upload, Digest(crc32=True))
            stored = replace(stored, content_hash=digest.content_hash)
        return replace(stored, crc32=digest.crc32) if digest else stored


def require_appends(source: Source) -> None:
    """Raise NotSupported for a storage without ``append_upload``; as ``require_uploads``."""
    source.require_uploads()
    if not source.appends_uploads:
        raise NotSupported(
            f"The source {source.slug!r} takes no uploads that go on; prepare an ordinary one"
        )


def _check_offset(now: Resumable, sent: Sent) -> None:
    """Raise Conflict for bytes at another place than the durable offset, FileTooLarge."""
    if now.concat is not None and not now.is_partial:
        raise PermissionDenied("This upload joins others; it takes no bytes of its own")
    if sent.offset != now.offset:
        raise Conflict(
            f"The upload goes on at byte {now.offset:,}, not {sent.offset:,}; send from there",
            headers={"Upload-Offset": str(now.offset)},
        )
    if now.upload.state != "prepared" and sent.length:
        raise Conflict(_WHOLE)
    size = now.upload.size
    if size is not None and sent.length is not None and now.offset + sent.length > size:
        raise FileTooLarge(f"The upload has {size:,} bytes in all; the request holds more")
