"""Uploads: prepare, receive, complete. Every route and command uploads through this engine.

All state is one row in the internal database, so an upload survives a restart and may go through
several processes. Leaves out HTTP (views/), whose an upload is (owners.py), the claims of attempts
(claims.py), streaming into the storage (receiving.py), and the removal of unfinished uploads
(maintenance/sweeping.py).

The order of the steps keeps rows and bytes together after a crash: first the path is recorded,
then the bytes become durable, then the file's row is committed.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from sqlite3 import Connection, IntegrityError

from .. import naming
from ..base import UploadInstructions, UploadParts
from ..config import PluginConfig
from ..db import batching, files, unhashed, uploads
from ..errors import Conflict, Expired, PermissionDenied
from ..jobs.holder import is_gone, this_process
from ..maintenance.sweeping import REMEMBERED_SECONDS, Sweeper
from ..models import FileRecord, Upload
from ..permissions.grants import Grant
from ..permissions.shares import LinkGrant
from ..sources.reading import storage_errors
from ..sources.sources import Source
from . import owners, receiving, reserving
from .claims import CLAIM_SECONDS, LOST_CLAIM, Claims
from .incoming import Incoming, as_file, new_upload, next_path
from .reserving import Reservation

#: How long a request may be repeated under its key. A day, as after three steps, would be a row for
#: each of the many small files that ``put`` and the upload page send so.
_REPEATABLE_SECONDS = 3600


@dataclass(frozen=True)
class Ways:
    """How a client may send an upload's bytes: to Datasette, unless ``instructions`` are given.

    ``parts`` may be sent to the storage instead, where they are given.
    """

    instructions: UploadInstructions | None = None
    parts: UploadParts | None = None


class Uploads:
    """The uploads of one Datasette."""

    def __init__(self, database: batching.Catalog, config: PluginConfig, sweeper: Sweeper) -> None:
        self._catalog = database
        self._expiry = config.upload_expiry_seconds
        self._sweeper = sweeper
        self._claims = Claims(database, self._expiry, sweeper)
        self._process = this_process()

    async def prepare(
        self, source: Source, actor_id: str | None, grant: Grant, incoming: Incoming
    ) -> tuple[str, Ways]:
        """Return a token, and the ways in which the bytes may be sent.

        Raises FileTooLarge for a declared size over the limit, NotSupported, PermissionDenied,
        QuotaExceeded, and Invalid as ``reserving.begin``.
        """

        def new() -> tuple[Upload, str]:
            return self._new(source, actor_id, grant, incoming)

        if not source.prepares_uploads:
            _, token = await self._begin(source, grant, new)
            return token, Ways()
        # The storage signs a URL next, so the permission is checked before.
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
            parts = None if upload.size is None else await source.storage.plan_parts(upload.size)
        if instructions is not None:
            upload = replace(upload, instructions=instructions.state)
        if parts is not None:
            upload = replace(upload, part_size=parts.part_size, part_count=parts.count)
        await self._begin(source, grant, lambda: (upload, token))
        return token, Ways(instructions, parts)

    async def _begin(
        self, source: Source, grant: Grant, new: Callable[[], tuple[Upload, str]]
    ) -> tuple[Upload, str]:
        """Record the upload and its path, so that a crash leaves no unknown bytes.

        ``new`` runs in the same hop, so that the limits in force at that moment apply.
        """

        def insert(conn: Connection) -> tuple[Upload, str]:
            grant.check(conn, source.slug)
            upload, token = new()
            reserving.begin(conn, source, upload)
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
        """Store a prepared upload's bytes. Until it is completed, a second call replaces them.

        Raises Conflict, Expired, NotFound, PermissionDenied, and as ``receiving.receive_stream``.
        """

        def claim(conn: Connection) -> Upload:
            grant.check(conn, source.slug)
            upload = owners.owned(conn, token, source, actor_id, grant)
            now = time.time()
            if (
                upload.state == "completed"
                or upload.is_being_received(now)
                or upload.instructions is not None
            ):
                raise owners.conflict(upload)
            # The first attempt uses the prepared path; a later one must not overwrite it.
            path = upload.path if upload.claim is None else next_path(source, upload)
            upload = self._claims.new(upload, now)
            upload = replace(upload, path=path, reserved=upload.size or 0)
            if not uploads.claim(conn, upload, now):
                raise owners.conflict(upload)
            return upload

        upload = await self._catalog.write(claim)
        try:
            stored = await self._stream(source, upload, chunks)
            allowed = await grant.renewed()
        except BaseException:
            await self._claims.release(source, upload)
            raise
        try:
            recorded = await self._claims.record(stored, allowed)
        except PermissionDenied:
            await self._claims.release(source, upload)
            raise
        if not recorded:
            await self._sweeper.remove(source, upload.path)
            raise Expired(LOST_CLAIM)

    async def complete(
        self, source: Source, actor_id: str | None, grant: Grant, token: str
    ) -> tuple[FileRecord, bool]:
        """Add the upload's file to the catalog; return it, and False if an earlier call added it.

        A direct upload may have taken longer than its expiry, as the storage reports no progress:
        what has arrived is taken.

        Raises Conflict, Expired, NotFound, PermissionDenied; for a direct upload also as
        ``receiving.verify_direct_upload``.
        """

        def commit(conn: Connection, grant: Grant) -> tuple[FileRecord, bool] | Upload:
            grant.check(conn, source.slug)
            upload = owners.owned(conn, token, source, actor_id, grant, takes_late=True)
            if upload.state == "completed":
                return owners.file_of(conn, upload), False
            unverified = upload.state in ("prepared", "expired") or (
                upload.state == "receiving" and not upload.is_being_received(time.time())
            )
            if unverified and upload.is_direct:
                return upload
            if upload.state != "received":
                raise owners.conflict(upload)
            file = as_file(upload)
            uploads.complete(
                conn, upload.id, time.time() + REMEMBERED_SECONDS, self._claims.url_lifetime
            )
            files.insert(conn, file)
            reserving.settle(conn, source, upload)
            if file.sha256 is None:
                unhashed.add(conn, file.id, file.source_id)
            return file, True

        # The body of the request may have come slowly.
        committed = await self._catalog.write(partial(commit, grant=await grant.renewed()))
        if isinstance(committed, Upload):
            await self._claims.verify_direct(source, committed, grant)
            committed = await self._catalog.write(partial(commit, grant=await grant.renewed()))
        if isinstance(committed, Upload):
            raise Conflict("Another request changed the upload meanwhile; try again")
        return committed

    async def store(
        self,
        source: Source,
        actor_id: str | None,
        grant: Grant,
        incoming: Incoming,
        chunks: AsyncIterator[bytes],
        also: Callable[[Connection, Upload], None] | None = None,
        described: Callable[[FileRecord], FileRecord] = lambda file: file,
    ) -> FileRecord:
        """Prepare, receive and complete in one call. The bytes always pass through Datasette.

        The permission is asked before the first byte, and again in the commit. ``also`` runs in
        the transaction that adds the file. ``described`` may change the new file's record before.

        Raises PermissionDenied, NotSupported, Expired, Conflict if the file's id is taken, and as
        ``receiving.receive_stream``.
        """
        claim = naming.new_claim()
        upload, _ = await self._begin(
            source, grant, lambda: self._new(source, actor_id, grant, incoming, claim)
        )
        return await self._store(source, grant, upload, chunks, also, described)

    async def store_once(
        self,
        source: Source,
        actor_id: str | None,
        grant: Grant,
        incoming: Incoming,
        chunks: AsyncIterator[bytes],
        key: str,
    ) -> tuple[FileRecord, bool]:
        """As ``store``, for a client that may repeat the request under the same key.

        Returns the file, and False if an earlier request added it: its bytes are not read then.

        Raises Conflict while an earlier request goes on, Invalid if the key belongs to another
        file, NotFound if the file was deleted, and as ``store``.
        """
        token = naming.repeatable_token(source.id, actor_id, key)
        claim = f"{self._process}/{naming.new_claim()}"

        def begin(conn: Connection) -> Upload | FileRecord:
            grant.check(conn, source.slug)
            if (file := owners.repeated(conn, token, incoming)) is not None:
                return file
            now = time.time()
            upload, _ = self._new(source, actor_id, grant, incoming, claim, token)
            upload = replace(upload, claimed_until=now + CLAIM_SECONDS)
            if (earlier := uploads.get(conn, upload.id)) is not None:
                if earlier.is_being_received(now) and not is_gone(earlier.claim or ""):
                    raise Conflict(owners.GOES_ON)
                uploads.discard(conn, earlier)
            reserving.begin(conn, source, upload)
            return upload

        begun = await self._catalog.write(begin)
        if isinstance(begun, FileRecord):
            return begun, False
        return await self._store(source, grant, begun, chunks, kept=_REPEATABLE_SECONDS), True

    async def repeated(
        self, source: Source, actor_id: str | None, grant: Grant, incoming: Incoming, key: str
    ) -> FileRecord | None:
        """The file that ``store_once`` added under this key. Raises as it does."""
        token = naming.repeatable_token(source.id, actor_id, key)

        def look(conn: Connection) -> FileRecord | None:
            grant.check(conn, source.slug)
            return owners.repeated(conn, token, incoming)

        return await self._catalog.read(look)

    async def _store(
        self,
        source: Source,
        grant: Grant,
        upload: Upload,
        chunks: AsyncIterator[bytes],
        also: Callable[[Connection, Upload], None] | None = None,
        described: Callable[[FileRecord], FileRecord] = lambda file: file,
        kept: float | None = None,
    ) -> FileRecord:
        """Receive and complete an upload that has begun; keep its row for ``kept`` seconds."""
        try:
            stored = await self._stream(source, upload, chunks)
            file, allowed = described(as_file(stored)), await grant.renewed()

            def commit(conn: Connection) -> None:
                allowed.check(conn, source.slug)
                keep_until = None if kept is None else time.time() + kept
                if not uploads.finish(conn, upload.id, upload.claim or "", keep_until):
                    raise Expired(LOST_CLAIM)
                try:
                    files.insert(conn, file)
                except IntegrityError:
                    raise Conflict(f"The id {file.id} was taken meanwhile; try again") from None
                if also is not None:
                    also(conn, stored)
                reserving.settle(conn, source, stored)

            await self._catalog.write(commit)
        except BaseException:
            await self._claims.undo(source, upload, lambda conn: uploads.discard(conn, upload))
            raise
        return file

    async def _stream(self, source: Source, upload: Upload, chunks: AsyncIterator[bytes]) -> Upload:
        room = Reservation(self._catalog, source, upload)
        return await receiving.receive_stream(
            source, upload, chunks, self._claims.extend, room.cover
        )

    def _new(
        self,
        source: Source,
        actor_id: str | None,
        grant: Grant,
        incoming: Incoming,
        claim: str | None = None,
        token: str | None = None,
    ) -> tuple[Upload, str]:
        source.require_uploads()
        source.limits.check_size(incoming.size)
        token, expires_at = token or naming.new_token(), time.time() + self._expiry
        upload = new_upload(source, actor_id, incoming, token, expires_at, claim)
        link = grant.link.id if isinstance(grant, LinkGrant) else None
        return replace(upload, link=link), token
