"""Copying and moving files between sources, while a server goes on serving them.

The order of the steps keeps rows and bytes together after a crash. An upload's row reserves an
unused path in the target; the bytes become durable there; one transaction switches the file's row
to them and notes the old bytes as garbage. Until that transaction the file is read from its old
place. After it the old bytes stay for a grace period, for running downloads and signed addresses.
The sweeper removes the leftovers of a crash, and running the same command again does the rest.

Leaves out the selection of files (db/selection.py) and the output (cli/).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from sqlite3 import Connection
from typing import Any, Literal

from .. import naming
from ..base import TIME_FORMAT
from ..db import audit, batching, files, garbage, moves, uploads
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
from . import receiving, reserving
from .incoming import Incoming, new_upload
from .reserving import Reservation

logger = logging.getLogger("datasette_files")

#: After this time the claims of a dead process lapse, and its leftovers are swept.
CLAIM_SECONDS = 60.0
#: How long moved bytes stay at their old place: longer than signed addresses live by default, and
#: than most downloads take.
GRACE_SECONDS = 3600.0
#: Attempts at a file whose storage fails; the pause before the second, doubled for each next one.
MAX_ATTEMPTS = 3
PAUSE_SECONDS = 1.0

State = Literal["moved", "copied", "present"]
#: Asked when the bytes are there; it returns what runs in the transaction of the commit first, and
#: may refuse it there.
Confirm = Callable[[], Awaitable[Callable[[Connection], None]]]


@dataclass(frozen=True)
class Order:
    """A task for many files: copy or move each from ``source`` to ``target``."""

    source: Source
    target: Source
    #: Move each file; else copy it.
    moves: bool
    #: Seconds that moved bytes stay at their old place. With 0, ``Copier.clear`` deletes them.
    grace: float = GRACE_SECONDS
    #: Read each stored file back and compare its hash, before it counts.
    reads_back: bool = False
    #: Checks the permission again before the commit. None: the site's administrator asked.
    confirm: Confirm | None = None

    def check(self) -> None:
        """Raise Invalid, NotSupported or StorageUnavailable if no file can be copied or moved."""
        if self.source is self.target:
            raise Invalid("SOURCE and TARGET are the same; name two different sources")
        self.source.require_up()
        self.target.require_uploads()
        if self.moves and not self.source.capabilities.can_delete:
            raise NotSupported(
                f"The source {self.source.slug!r} cannot delete files, so files cannot be moved out"
                " of it; use copy"
            )

    def refusal(self, file: FileRecord) -> FilesError | None:
        """Return the error if the target's limits refuse the file's catalog record; else None."""
        try:
            self.target.limits.check(file.filename, file.type, file.size)
        except FilesError as error:
            return error
        return None


@dataclass(frozen=True)
class Carried:
    """The result for one file. ``file`` is the catalog's record after it."""

    state: State
    file: FileRecord


class Copier:
    """Copies and moves files between the sources of one Datasette."""

    def __init__(self, database: batching.Catalog, sweeper: Sweeper) -> None:
        self._catalog = database
        self._sweeper = sweeper

    async def carry(
        self, order: Order, file: FileRecord, tell: Callable[[int], None] = lambda size: None
    ) -> Carried:
        """Copy or move one file. ``tell`` receives the number of bytes of each transferred chunk.

        A failed attempt's bytes are told again as a negative number. Raises Conflict if another
        process works on the file, NotFound if the file was deleted meanwhile, ChecksumMismatch if
        its bytes differ from the catalog's sha256, the refusal of the target, and the errors of the
        storages after the last attempt.
        """
        refusal = order.refusal(file)
        if refusal is not None and await self.foreseen(order, file) is None:
            raise refusal
        for attempt in range(1, MAX_ATTEMPTS + 1):
            progress = _Progress(tell)
            try:
                return await self._carry(order, file, progress)
            except BaseException as error:
                progress.take_back()
                again = isinstance(error, StorageError | StorageUnavailable | Expired)
                if not again or attempt == MAX_ATTEMPTS or isinstance(error, reading.Missing):
                    raise
                logger.warning("The transfer of %s failed and is repeated: %s", file.id, error)
            await asyncio.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        raise AssertionError("the last attempt returns or raises")

    async def _carry(self, order: Order, file: FileRecord, progress: _Progress) -> Carried:
        upload = _new_upload(order, file)
        try:
            present = await self._begin(order, file, upload)
        except asyncio.CancelledError:
            # Cancelling does not stop a queued commit, so the rows may have been written.
            await asyncio.shield(self._undo(order, file, upload))
            raise
        if present is not None:
            return Carried("present", present)
        try:
            async with self._kept_alive(file, upload):
                facts = await self._stream(order, file, upload, progress)
                begin = await order.confirm() if order.confirm else None
                carried = await self._catalog.write(
                    lambda conn: _commit(conn, order, file, upload, facts, begin)
                )
        except BaseException:
            await asyncio.shield(self._undo(order, file, upload))
            raise
        return carried

    async def move(
        self, source: Source, target: Source, file: FileRecord, confirm: Confirm
    ) -> Carried:
        """Move one file for an actor. Raises as ``Order.check``, ``carry`` and ``confirm``."""
        order = Order(source, target, moves=True, confirm=confirm)
        order.check()
        return await self.carry(order, file)

    async def clear(self, source: Source, paths: Sequence[str]) -> None:
        """Delete the old bytes of files that were moved without a grace period.

        Pass many paths at once: storages delete them in one request. Without this call the server's
        sweeper deletes them.
        """
        if paths:
            await self._sweeper.remove(source, *paths)

    async def _begin(self, order: Order, file: FileRecord, upload: Upload) -> FileRecord | None:
        """Claim the file and record the new path; or return the target's file, if it has one."""

        def begin(conn: Connection) -> FileRecord | None:
            now = time.time()
            row = files.get(conn, file.id)
            if row is None:
                raise _gone(file)
            if order.moves and row.source_id == order.target.id:
                return row
            if (row.source_id, row.path) != (file.source_id, file.path):
                raise Conflict(
                    f"{file.id} was moved to the source {row.source_slug!r} meanwhile; check where"
                    " it is, then try again"
                )
            if not order.moves and (copy := moves.copy_of(conn, file.id, order.target.id)):
                return files.get(conn, copy)
            until = upload.claimed_until or now
            if not moves.claim(conn, file.id, order.target.id, upload.claim or "", now, until):
                raise Conflict(f"Another process is copying or moving {file.id}; try again")
            reserving.begin(conn, order.target, upload)
            return None

        return await self._catalog.write(begin)

    async def _stream(
        self, order: Order, file: FileRecord, upload: Upload, progress: _Progress
    ) -> FileRecord:
        """Stream the bytes into the target; return the file with the stored hashes and size."""
        digest = reading.Digest()

        async def chunks() -> AsyncIterator[bytes]:
            async for chunk in reading.whole(order.source, file, digest):
                progress.add(len(chunk))
                yield chunk

        async def extend(upload: Upload) -> float:
            await self._extend(file, upload)
            return time.time() + CLAIM_SECONDS / 4

        target = order.target
        stored = await receiving.receive_stream(
            target, upload, chunks(), extend, Reservation(self._catalog, target, upload).cover
        )
        if stored.content_hash != digest.content_hash:
            raise _damaged(order, "stored other bytes than it was sent")
        found = await reading.metadata(target, upload.path)
        if found is None or found.size not in (None, digest.size):
            raise _damaged(order, "does not have every byte that it was sent")
        if order.reads_back and await reading.content_hash(target, upload) != digest.content_hash:
            raise _damaged(order, "serves other bytes than it was sent")
        return replace(file, content_hash=digest.content_hash, size=digest.size, crc32=stored.crc32)

    @asynccontextmanager
    async def _kept_alive(self, file: FileRecord, upload: Upload) -> AsyncIterator[None]:
        """Renew claim and expiry while the block runs, also if a storage is silent for long."""

        async def extend() -> None:
            while True:
                await asyncio.sleep(CLAIM_SECONDS / 4)
                try:
                    await self._extend(file, upload)
                except FilesError as error:
                    # The commit fails if the claim is lost for good.
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
            raise _lost_claim(file)

    async def _undo(self, order: Order, file: FileRecord, upload: Upload) -> None:
        def undo(conn: Connection) -> None:
            moves.release(conn, file.id, upload.claim or "")
            uploads.discard(conn, upload)

        try:
            await self._catalog.write(undo)
            await self._sweeper.remove(order.target, upload.path)
        except Exception:
            # The caller needs the first error, not this one. The sweeper removes the leftovers.
            logger.exception("Cleaning up after %s failed", file.id)

    async def foreseen(self, order: Order, file: FileRecord) -> FileRecord | None:
        """Return the file if the target has it, so that ``carry`` does nothing; else None."""
        if order.moves:
            return file if file.source_id == order.target.id else None

        def look(conn: Connection) -> FileRecord | None:
            copy = moves.copy_of(conn, file.id, order.target.id)
            return None if copy is None else files.get(conn, copy)

        return await self._catalog.read(look)

    async def drop_dead_claims(self) -> None:
        """Drop the claims of dead processes."""
        await self._catalog.write(lambda conn: moves.purge(conn, time.time()))


class _Progress:
    """One attempt's progress: passes it on, and takes it back if the attempt fails."""

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._size = 0

    def add(self, size: int) -> None:
        self._size += size
        self._tell(size)

    def take_back(self) -> None:
        self._tell(-self._size)
        self._size = 0


def _new_upload(order: Order, file: FileRecord) -> Upload:
    """Make an upload of the file's bytes into the target. No client knows its token."""
    until = time.time() + CLAIM_SECONDS
    upload = new_upload(
        order.target,
        file.uploaded_by,
        Incoming(file.filename, file.type, file.size, file.sha256),
        naming.new_token(),
        until,
        naming.new_claim(),
    )
    file_id = file.id if order.moves else upload.file_id
    return replace(upload, file_id=file_id, claimed_until=until)


def _commit(
    conn: Connection,
    order: Order,
    file: FileRecord,
    upload: Upload,
    facts: FileRecord,
    begin: Callable[[Connection], None] | None,
) -> Carried:
    if begin is not None:
        begin(conn)
    attempt = upload.claim or ""
    if not uploads.finish(conn, upload.id, attempt):
        raise _lost_claim(file)
    moves.release(conn, file.id, attempt)
    if not order.moves:
        copied = _commit_copy(conn, order, file, upload, facts)
        reserving.check(conn, order.target, upload)
        return copied
    if not moves.switch(conn, file, order.target.id, upload.path, facts):
        raise _gone(file)
    reserving.check(conn, order.target, upload)
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
        "crc32": facts.crc32,
        "size": facts.size,
        "created_at": datetime.now(timezone.utc).strftime(TIME_FORMAT),
        # A copy is a file of its own.
        **{"replaces": None, "series": None, "version": 1, "superseded_by": None},
    }
    audit.of_file(conn, "copy", row, copied="out", to=upload.file_id)
    files.insert(conn, replace(row, **changes), "copy", copied="in", of=file.id)
    moves.note_copy(conn, file.id, order.target.id, upload.file_id)
    return Carried("copied", _existing(conn, upload.file_id))


def _existing(conn: Connection, file_id: str) -> FileRecord:
    file = files.get(conn, file_id)
    if file is None:
        raise AssertionError("the row was written in this transaction")
    return file


def _gone(file: FileRecord) -> NotFound:
    return NotFound(f"{file.id} was deleted, or another process moved it, meanwhile")


def _lost_claim(file: FileRecord) -> Expired:
    return Expired(f"The transfer of {file.id} took too long and was stopped; try again")


def _damaged(order: Order, fault: str) -> StorageError:
    return StorageError(f"The source {order.target.slug!r} {fault}; try again")
