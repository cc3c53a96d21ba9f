"""Uploads: prepare, receive, complete. One engine behind every way in.

All state is one row in the internal database, so an upload survives a restart and may go through
several processes. Leaves out HTTP (views/), the way of the bytes into the storage (receiving.py),
and the removal of what was never finished (maintenance/sweeping.py).

Order of things, so that no crash leaves a row without bytes or bytes that nobody remembers: the
path is written down, the bytes become durable, the file's row is committed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from sqlite3 import Connection
from typing import Any

from .. import naming
from ..base import TIME_FORMAT, UploadInstructions
from ..config import PluginConfig
from ..db import batching, files, unhashed, uploads
from ..errors import (
    BadType,
    ChecksumMismatch,
    Conflict,
    Expired,
    FileTooLarge,
    Invalid,
    NotFound,
    PermissionDenied,
)
from ..maintenance.sweeping import REMEMBERED_SECONDS, Sweeper
from ..models import FileRecord, Upload
from ..permissions.grants import Grant
from ..sources.reading import storage_errors
from ..sources.sources import Source
from . import receiving

logger = logging.getLogger("datasette_files")

#: An attempt from which so long nothing was heard is dead: another may take its place.
CLAIM_SECONDS = 60.0
#: For so long at most an attempt is called alive while a storage verifies what a client sent it,
#: which says nothing on the way.
_FINISHING_SECONDS = 600.0

_LOST = "The upload expired, or was sent again, while it was received; send the file again"


@dataclass(frozen=True)
class Incoming:
    """What a client says of a file before or with its bytes. ``size`` in bytes, sha256 in hex."""

    filename: str
    content_type: str
    size: int | None = None
    sha256: str | None = None


class Uploads:
    """The way in, for one Datasette."""

    def __init__(self, database: batching.Catalog, config: PluginConfig, sweeper: Sweeper) -> None:
        self._catalog = database
        self._expiry = config.upload_expiry_seconds
        self._sweeper = sweeper
        #: Seconds after which nothing more arrives by a URL that prepare gave out.
        self._url_lifetime = config.upload_expiry_seconds + uploads.ON_THE_WAY_SECONDS

    async def prepare(
        self, source: Source, actor_id: str | None, grant: Grant, incoming: Incoming
    ) -> tuple[str, UploadInstructions | None]:
        """A token, and where to send the bytes; None: through Datasette.

        Raises FileTooLarge for a declared size over the limit, NotSupported, PermissionDenied.
        """

        def new() -> tuple[Upload, str]:
            return self._new(source, actor_id, incoming, "prepared")

        if not source.prepares_uploads:
            _, token = await self._begin(source, grant, new)
            return token, None
        # The storage may sign something away, so nobody gets that far without permission.
        await self._catalog.read(lambda conn: grant.check(conn, source.slug))
        upload, token = new()
        with storage_errors(source.slug):
            instructions = await source.storage.prepare_upload(
                upload.path,
                upload.content_type,
                upload.size,
                sha256=upload.sha256,
                max_size=source.max_file_size,
                expires_in=int(self._expiry),
            )
        if instructions is not None:
            upload = replace(upload, instructions=instructions.state)
        await self._begin(source, grant, lambda: (upload, token))
        return token, instructions

    async def _begin(
        self, source: Source, grant: Grant, new: Callable[[], tuple[Upload, str]]
    ) -> tuple[Upload, str]:
        """Write down that the upload is coming, and its path: a crash leaves nothing unknown.

        It is made in the hop that writes it, by the settings that hold then.
        """

        def insert(conn: Connection) -> tuple[Upload, str]:
            grant.check(conn, source.slug)
            upload, token = new()
            uploads.insert(conn, upload, time.time())
            return upload, token

        return await self._catalog.write(insert)

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

        def claim(conn: Connection) -> Upload:
            grant.check(conn, source.slug)
            upload = _owned(conn, token, source, actor_id)
            now = time.time()
            if (
                upload.state == "completed"
                or upload.is_being_received(now)
                or upload.instructions is not None
            ):
                raise _conflict(upload)
            # The first attempt has the prepared path; a later one must not write over it.
            path = upload.path if upload.claim is None else _next_path(source, upload)
            upload = replace(
                upload,
                claim=attempt,
                claimed_until=now + CLAIM_SECONDS,
                path=path,
                expires_at=now + self._expiry,
            )
            uploads.claim(conn, upload, now)
            return upload

        upload = await self._catalog.write(claim)
        try:
            facts = await receiving.through_datasette(source, upload, chunks, self._extend)
        except BaseException:
            await self._give_back(source, upload)
            raise
        expires_at = time.time() + self._expiry
        kept = await self._catalog.write(
            lambda conn: uploads.received(conn, upload.id, attempt, facts, expires_at)
        )
        if not kept:
            await self._sweeper.remove(source, upload.path)
            raise Expired(_LOST)

    async def complete(
        self, source: Source, actor_id: str | None, grant: Grant, token: str
    ) -> tuple[FileRecord, bool]:
        """The file, and whether this call put it into the catalog rather than an earlier one."""

        def commit(conn: Connection) -> tuple[FileRecord, bool] | Upload:
            grant.check(conn, source.slug)
            upload = _owned(conn, token, source, actor_id)
            if upload.state == "completed":
                file = files.get(conn, upload.file_id)
                if file is None:
                    raise NotFound("The upload's file has been deleted")
                return file, False
            unverified = upload.state == "prepared" or (
                upload.state == "receiving" and not upload.is_being_received(time.time())
            )
            if unverified and upload.instructions is not None:
                return upload
            if upload.state != "received":
                raise _conflict(upload)
            file = _as_file(upload)
            uploads.complete(conn, upload.id, time.time() + REMEMBERED_SECONDS, self._url_lifetime)
            files.insert(conn, file)
            if file.sha256 is None:
                unhashed.add(conn, file.id, file.source_id)
            return file, True

        committed = await self._catalog.write(commit)
        if isinstance(committed, Upload):
            await self._finish_direct(source, committed)
            committed = await self._catalog.write(commit)
        if isinstance(committed, Upload):
            raise Conflict("The upload changed while it was completed; try again")
        return committed

    async def store(
        self,
        source: Source,
        actor_id: str | None,
        grant: Grant,
        incoming: Incoming,
        chunks: AsyncIterator[bytes],
    ) -> FileRecord:
        """All three steps in one call, always through Datasette."""
        upload, _ = await self._begin(
            source, grant, lambda: self._new(source, actor_id, incoming, "receiving")
        )
        try:
            facts = await receiving.through_datasette(source, upload, chunks, self._extend)
            file = _as_file(replace(upload, **facts))

            def commit(conn: Connection) -> None:
                if not uploads.finish(conn, upload.id, upload.claim or ""):
                    raise Expired(_LOST)
                files.insert(conn, file)

            await self._catalog.write(commit)
        except BaseException:
            await self._discard(source, upload)
            raise
        return file

    def _new(
        self, source: Source, actor_id: str | None, incoming: Incoming, state: str
    ) -> tuple[Upload, str]:
        source.require_uploads()
        source.limits.check_size(incoming.size)
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

    async def _extend(self, upload: Upload) -> float:
        """Move the expiry, as bytes still arrive; the moment of the next move."""
        now = time.time()
        held = await self._catalog.write(
            lambda conn: uploads.extend(
                conn, upload.id, upload.claim or "", now + CLAIM_SECONDS, now + self._expiry
            )
        )
        if not held:
            raise Expired(_LOST)
        return now + min(CLAIM_SECONDS, self._expiry) / 4

    async def _finish_direct(self, source: Source, upload: Upload) -> None:
        """Have the storage verify what the client sent it, and record that as received."""
        now = time.time()
        upload = replace(
            upload,
            claim=naming.new_claim(),
            claimed_until=now + CLAIM_SECONDS,
            expires_at=now + self._expiry,
        )
        claimed = await self._catalog.write(lambda conn: uploads.claim(conn, upload, now))
        if not claimed:
            raise Conflict("The upload is being completed by another request; try again")
        attempt = upload.claim or ""
        alive = asyncio.create_task(self._stay_alive(upload))
        try:
            facts = await receiving.past_datasette(source, upload)
        except (BadType, ChecksumMismatch, FileTooLarge, Invalid):
            keep_until = time.time() + REMEMBERED_SECONDS
            await self._undo(
                source,
                upload,
                lambda conn: uploads.reject(conn, upload, keep_until, self._url_lifetime),
            )
            raise
        except BaseException:
            # What the client sent may be sound: a storage's bad moment must not cost it.
            expires_at = time.time() + self._expiry
            await self._catalog.write(
                lambda conn: uploads.hand_back(conn, upload.id, attempt, expires_at)
            )
            raise
        finally:
            alive.cancel()
        expires_at = time.time() + self._expiry
        await self._catalog.write(
            lambda conn: uploads.received(conn, upload.id, attempt, facts, expires_at)
        )

    async def _stay_alive(self, upload: Upload) -> None:
        """Move claim and expiry until cancelled, so that only a dead process's claim lapses."""
        until = time.time() + _FINISHING_SECONDS
        try:
            while time.time() < until:
                await asyncio.sleep(min(CLAIM_SECONDS, self._expiry) / 4)
                await self._extend(upload)
        except Expired:
            logger.warning("Another attempt has taken an upload that was being completed")
        except Exception:
            logger.exception("The claim on an upload cannot be renewed; it lapses")

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
            if await self._catalog.write(change) is not False:  # else it is another attempt's
                await self._sweeper.remove(source, upload.path)
        except Exception:
            # The first error is the one to answer with; the sweeper finds what is left.
            logger.exception("Cleaning up after a failed upload failed")


def _owned(conn: Connection, token: str, source: Source, actor_id: str | None) -> Upload:
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
    if upload.state == "receiving" and upload.is_being_received(time.time()):
        return Conflict(
            "The upload is being completed by another request; try again"
            if upload.instructions is not None
            else "The upload's bytes are still arriving; wait for them, then try again"
        )
    if upload.state == "completed":
        return Conflict("The upload is completed already")
    if upload.instructions is not None:
        return Conflict("The upload's bytes go straight to the storage, as prepare answered")
    return Conflict(receiving.NO_BYTES)


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
