"""Copying and moving files between sources, beside a server that goes on serving them.

Order of things, so that no crash leaves a row without bytes or bytes that nobody remembers: an
upload's row in the target names a path that was never used, the bytes become durable there, one
transaction makes the file's row say so, and notes the old bytes as garbage. Until that transaction
the file is read from where it was; after it the old bytes stay for a grace, for downloads that have
begun and addresses that were signed. What a crash leaves is swept as that of any upload, and the
same command again goes on with what is not done.

Leaves out which files are meant (db/selection.py) and how it is told (cli/).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from sqlite3 import Connection
from typing import Any, Literal

from .. import naming
from ..base import TIME_FORMAT
from ..db import batching, files, garbage, moves, uploads
from ..errors import (
    Conflict,
    Expired,
    FilesError,
    Invalid,
    NotFound,
    NotSupported,
    StorageError,
    StorageUnavailable,
)
from ..maintenance.sweeping import Sweeper
from ..models import FileRecord, Upload
from ..sources import reading
from ..sources.sources import Source
from . import receiving

logger = logging.getLogger("datasette_files")

#: Of a process that died, its claims lapse and its leftovers are swept after so many seconds.
CLAIM_SECONDS = 60.0
#: Seconds that moved bytes stay at their old place: longer than any address that is signed by
#: default, and than most downloads.
GRACE_SECONDS = 3600.0
#: Attempts at a file whose storage fails, and seconds before the second; then twice as many.
ATTEMPTS = 3
PAUSE = 1.0

State = Literal["moved", "copied", "present"]


@dataclass(frozen=True)
class Order:
    """What is done with each file. Raises Invalid, NotSupported for what cannot be."""

    source: Source
    target: Source
    #: Else each file is copied.
    moves: bool
    #: Seconds that moved bytes stay at their old place. Without any, ``Copier.clear`` deletes them.
    grace: float = GRACE_SECONDS
    #: Whether what arrived is read back and hashed too, before it counts.
    reads_back: bool = False

    def check(self) -> None:
        """Raises Invalid, NotSupported, StorageUnavailable where no file can be carried."""
        if self.source is self.target:
            raise Invalid("SOURCE and TARGET are the same source; name two")
        self.source.require_up()
        self.target.require_uploads()
        if self.moves and not self.source.capabilities.can_delete:
            raise NotSupported(
                f"The source {self.source.slug!r} does not delete files, so none can be moved out"
                " of it; use copy"
            )

    def refusal(self, file: FileRecord) -> FilesError | None:
        """Why the target does not take a file, as far as the catalog tells."""
        try:
            self.target.limits.check(file.filename, file.type, file.size)
        except FilesError as error:
            return error
        return None


@dataclass(frozen=True)
class Carried:
    """A file that was carried, or was there already. ``file`` is as the catalog has it now."""

    state: State
    file: FileRecord


class Copier:
    """Carries files between the sources of one Datasette."""

    def __init__(self, database: batching.Catalog, sweeper: Sweeper) -> None:
        self._catalog = database
        self._sweeper = sweeper

    async def carry(
        self, order: Order, file: FileRecord, tell: Callable[[int], None] = lambda size: None
    ) -> Carried:
        """Copy or move one file. ``tell`` is given the bytes that have passed, as they do.

        Raises Conflict where another process is at it, NotFound where the file is gone meanwhile,
        ChecksumMismatch where its bytes are not what the catalog says, and what the storages raise,
        after some attempts.
        """
        refusal = order.refusal(file)
        if refusal is not None and await self.foreseen(order, file) is None:
            raise refusal
        for attempt in range(1, ATTEMPTS + 1):
            told = _Told(tell)
            try:
                return await self._carry(order, file, told)
            except (StorageError, StorageUnavailable, Expired) as error:
                told.take_back()
                if attempt == ATTEMPTS or isinstance(error, reading.Missing):
                    raise
                logger.warning("%s is tried again: %s", file.id, error)
                await asyncio.sleep(PAUSE * 2 ** (attempt - 1))
            except BaseException:
                told.take_back()
                raise
        raise AssertionError("the last attempt returns or raises")

    async def _carry(self, order: Order, file: FileRecord, told: _Told) -> Carried:
        upload = _upload(order, file)
        try:
            present = await self._begin(order, file, upload)
        except asyncio.CancelledError:
            # It may be written all the same, as what waits for its commit is not called back.
            await self._undone(order, file, upload)
            raise
        if present is not None:
            return Carried("present", present)
        try:
            async with self._kept_alive(file, upload):
                facts = await self._stream(order, file, upload, told)
                carried = await self._catalog.write(
                    lambda conn: _commit(conn, order, file, upload, facts)
                )
        except BaseException:
            await self._undone(order, file, upload)
            raise
        return carried

    async def clear(self, source: Source, paths: Sequence[str]) -> None:
        """Delete old bytes, moved without a grace, now. Many at once cost a storage little more
        than one; without this the sweep of a server deletes them.
        """
        if paths:
            await self._sweeper.remove(source, *paths)

    async def _begin(self, order: Order, file: FileRecord, upload: Upload) -> FileRecord | None:
        """Claim the file and write the path down; or the file that is in the target already."""

        def begin(conn: Connection) -> FileRecord | None:
            now = time.time()
            row = files.get(conn, file.id)
            if row is None:
                raise _gone(file)
            if order.moves and row.source_id == order.target.id:
                return row
            if (row.source_id, row.path) != (file.source_id, file.path):
                raise _elsewhere(file, row)
            if not order.moves and (copy := moves.copy_of(conn, file.id, order.target.id)):
                return files.get(conn, copy)
            until = upload.claimed_until or now
            if not moves.claim(conn, file.id, order.target.id, upload.claim or "", now, until):
                raise Conflict(f"{file.id} is being copied or moved by another process; try again")
            uploads.insert(conn, upload, now)
            return None

        return await self._catalog.write(begin)

    async def _stream(
        self, order: Order, file: FileRecord, upload: Upload, told: _Told
    ) -> FileRecord:
        """The bytes, from one storage into the other; hash and size of what arrived."""
        digest = reading.Digest()

        async def passing() -> AsyncIterator[bytes]:
            async for chunk in reading.whole(order.source, file, digest):
                told.add(len(chunk))
                yield chunk

        async def extend(upload: Upload) -> float:
            await self._extend(file, upload)
            return time.time() + CLAIM_SECONDS / 4

        target = order.target
        stored = await receiving.through_datasette(target, upload, passing(), extend)
        if stored["content_hash"] != digest.content_hash:
            raise StorageError(f"The source {target.slug!r} did not store what was sent; try again")
        found = await reading.metadata(target, upload.path)
        if found is None or found.size not in (None, digest.size):
            raise StorageError(f"The source {target.slug!r} does not have what it was sent")
        if order.reads_back and await reading.content_hash(target, upload) != digest.content_hash:
            raise StorageError(f"The source {target.slug!r} serves other bytes than were sent")
        return replace(file, content_hash=digest.content_hash, size=digest.size)

    @asynccontextmanager
    async def _kept_alive(self, file: FileRecord, upload: Upload) -> AsyncIterator[None]:
        """Move claim and expiry meanwhile, however long a storage says nothing."""

        async def extend() -> None:
            while True:
                await asyncio.sleep(CLAIM_SECONDS / 4)
                try:
                    await self._extend(file, upload)
                except FilesError as error:
                    # A claim that is lost for good is noticed when the file would be committed.
                    logger.warning("The claim on %s cannot be renewed: %s", file.id, error)

        task = asyncio.create_task(extend())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _extend(self, file: FileRecord, upload: Upload) -> None:
        until = time.time() + CLAIM_SECONDS

        def extend(conn: Connection) -> bool:
            attempt = upload.claim or ""
            held = moves.extend(conn, file.id, attempt, until)
            return uploads.extend(conn, upload.id, attempt, until, until) and held

        if not await self._catalog.write(extend):
            raise Expired(f"{file.id} took too long on its way, and was given up")

    async def _undone(self, order: Order, file: FileRecord, upload: Upload) -> None:
        await asyncio.shield(asyncio.ensure_future(self._undo(order, file, upload)))

    async def _undo(self, order: Order, file: FileRecord, upload: Upload) -> None:
        def undo(conn: Connection) -> None:
            moves.release(conn, file.id, upload.claim or "")
            uploads.discard(conn, upload)

        try:
            await self._catalog.write(undo)
            await self._sweeper.remove(order.target, upload.path)
        except Exception:
            # The first error is the one to tell; the sweeper finds what is left.
            logger.exception("Cleaning up after %s failed", file.id)

    async def foreseen(self, order: Order, file: FileRecord) -> FileRecord | None:
        """The file that is in the target already, so that ``carry`` would do nothing."""
        if order.moves:
            return file if file.source_id == order.target.id else None

        def look(conn: Connection) -> FileRecord | None:
            copy = moves.copy_of(conn, file.id, order.target.id)
            return None if copy is None else files.get(conn, copy)

        return await self._catalog.read(look)

    async def forget_the_dead(self) -> None:
        """Drop the claims of processes that died."""
        await self._catalog.write(lambda conn: moves.purge(conn, time.time()))


class _Told:
    """Passes progress on, and takes back what an attempt told that then failed."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._size = 0

    def add(self, size: int) -> None:
        self._size += size
        self._tell(size)

    def take_back(self) -> None:
        self._tell(-self._size)
        self._size = 0


def _upload(order: Order, file: FileRecord) -> Upload:
    """An upload of the file's bytes into the target. Nobody has its token.

    Its path has a ULID of its own: none is ever used twice, so that what is noted as garbage is
    never what a later attempt has put there.
    """
    ulid = naming.new_ulid()
    until = time.time() + CLAIM_SECONDS
    return Upload(
        id=naming.token_digest(naming.new_token()),
        source_id=order.target.id,
        source_slug=order.target.slug,
        file_id=file.id if order.moves else naming.ID_PREFIX + ulid,
        path=naming.storage_path(
            order.target.config.path_template,
            ulid=ulid,
            filename=file.filename,
            source=order.target.slug,
            actor_id=file.uploaded_by,
        ),
        filename=file.filename,
        content_type=file.type,
        size=file.size,
        sha256=file.sha256,
        content_hash=None,
        actor_id=file.uploaded_by,
        state="receiving",
        expires_at=until,
        claim=naming.new_claim(),
        instructions=None,
        claimed_until=until,
    )


def _commit(
    conn: Connection, order: Order, file: FileRecord, upload: Upload, facts: FileRecord
) -> Carried:
    attempt = upload.claim or ""
    if not uploads.finish(conn, upload.id, attempt):
        raise Expired(f"{file.id} took too long on its way, and was given up")
    moves.release(conn, file.id, attempt)
    if not order.moves:
        return _commit_copy(conn, order, file, upload, facts)
    if not moves.switch(conn, file, order.target.id, upload.path, facts):
        raise _gone(file)
    garbage.add(conn, file.source_id, file.path, not_before=time.time() + order.grace)
    return Carried("moved", _existing(conn, file.id))


def _commit_copy(
    conn: Connection, order: Order, file: FileRecord, upload: Upload, facts: FileRecord
) -> Carried:
    row = files.get(conn, file.id)
    if row is None:
        raise _gone(file)
    changes: dict[str, Any] = {
        "id": upload.file_id,
        "source_id": order.target.id,
        "path": upload.path,
        "content_hash": facts.content_hash,
        "size": facts.size,
        "created_at": datetime.now(timezone.utc).strftime(TIME_FORMAT),
    }
    files.insert(conn, replace(row, **changes))
    moves.note_copy(conn, file.id, order.target.id, upload.file_id)
    return Carried("copied", _existing(conn, upload.file_id))


def _existing(conn: Connection, file_id: str) -> FileRecord:
    file = files.get(conn, file_id)
    if file is None:
        raise AssertionError("its row has just been written")
    return file


def _gone(file: FileRecord) -> NotFound:
    return NotFound(f"{file.id} was deleted, or moved by another process, meanwhile")


def _elsewhere(file: FileRecord, row: FileRecord) -> Conflict:
    return Conflict(f"{file.id} was moved to the source {row.source_slug!r} meanwhile")
