"""One request's attempt at an upload that goes on: its lease, and its bytes in checkpoints.

Between two processes the internal database decides who has an upload: an attempt asks there for it,
the present one sees that, stops, and lets go. Leaves out the upload's life (resuming.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from ..db import resuming
from ..db.batching import Catalog
from ..db.resuming import Lease
from ..errors import Conflict
from ..jobs.holder import is_gone
from ..jobs.parallel import uncancel
from ..sources.reading import Beside, Digest

logger = logging.getLogger("datasette_files")

#: Seconds between two looks whether a newer attempt wants the upload.
LOOK_SECONDS = 0.25
#: An attempt that has not renewed its lease for this long is dead.
LEASE_SECONDS = 10.0
#: Seconds to wait for the attempt before to stop.
_PATIENCE = 5.0
#: Bytes that wait for the storage before the client has to wait. A killed server has lost them, one
#: ``append_bytes``, and what was in the socket's buffers: together less than 8 MiB. The storage
#: takes them together, as hashing and writing cost a thread hop each time.
_MAX_WAITING = 1024 * 1024

_TAKEN = "Another request goes on with this upload; ask for its offset, then try again"


class Attempt:
    """The right to move one upload's offset, from ``take`` to ``release``."""

    def __init__(self, catalog: Catalog, lease: Lease, expiry: float) -> None:
        self._catalog = catalog
        self.lease = lease
        self._expiry = expiry
        self._watcher: asyncio.Task[None] | None = None
        self._lost = False
        #: The task that waits for its client's bytes, and may be interrupted there.
        self._waiting: asyncio.Task[Any] | None = None

    async def take(self, check: Callable[[Any], object]) -> None:
        """Wait until the attempt before has stopped. ``check`` runs in the same transaction.

        Raises Conflict if it does not, or a newer attempt comes.
        """
        deadline = time.monotonic() + _PATIENCE
        waited = False
        while True:

            def take(conn: Any, waited: bool = waited) -> bool | None:
                check(conn)
                now = time.time()
                return resuming.take(
                    *(conn, self.lease, now, now + LEASE_SECONDS), waited=waited, is_gone=is_gone
                )

            taken = await self._catalog.write(take)
            if taken:
                self._watcher = asyncio.create_task(self._watch())
                return
            if taken is None or time.monotonic() > deadline:
                raise Conflict(_TAKEN)
            waited = True
            await asyncio.sleep(LOOK_SECONDS / 2)

    async def _watch(self) -> None:
        """Renew the lease; interrupt the attempt once a newer one wants the upload."""
        renew_at = time.monotonic() + LEASE_SECONDS / 4
        try:
            while await self._catalog.read(
                lambda conn: resuming.is_held(conn, self.lease, undisputed=True)
            ):
                await asyncio.sleep(LOOK_SECONDS)
                if time.monotonic() >= renew_at:
                    renew_at = time.monotonic() + LEASE_SECONDS / 4
                    await self.renew()
        except Conflict:
            pass  # lost
        except Exception:
            logger.exception("The lease on an upload cannot be renewed")
        self._lost = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def renew(self) -> None:
        """Postpone the lease and the upload's expiry. Raises Conflict if the upload is lost."""
        now = time.time()
        until, expires_at = now + LEASE_SECONDS, now + self._expiry
        if not await self._catalog.write(
            lambda conn: resuming.renew(conn, self.lease, until, expires_at)
        ):
            raise Conflict(_TAKEN)

    async def confirm(self) -> None:
        """Raise Conflict unless the upload is still this attempt's, by the database."""
        if not await self._catalog.read(lambda conn: resuming.is_held(conn, self.lease)):
            raise Conflict(_TAKEN)

    async def advance(self, offset: int, state: dict[str, Any]) -> None:
        """Record what is durable. Raises Conflict if the upload is lost."""
        expires_at = time.time() + self._expiry
        if not await self._catalog.write(
            lambda conn: resuming.advance(conn, self.lease, offset, state, expires_at)
        ):
            raise Conflict(_TAKEN)

    async def watched(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The client's chunks. Raises Conflict as soon as a newer attempt wants the upload."""
        iterator = aiter(chunks)
        while not self._lost:
            self._waiting = asyncio.current_task()
            try:
                chunk = await anext(iterator, None)
            except asyncio.CancelledError:
                if not self._lost:
                    raise
                uncancel(asyncio.current_task())
                break
            finally:
                self._waiting = None
            if chunk is None:
                return
            yield chunk
        raise Conflict(_TAKEN)

    async def release(self) -> None:
        """Let the upload go, so that the next attempt need not wait."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
            await self._catalog.write(lambda conn: resuming.release(conn, self.lease))


class Pipe:
    """Chunks on their way from a client to a storage, a bounded number of bytes."""

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._abandoned = False
        self._changed = asyncio.Event()

    async def put(self, chunk: bytes) -> bool:
        """Hand a chunk over; wait while enough are waiting. False once nobody takes them."""
        while self._size >= _MAX_WAITING and not self._abandoned:
            await self._change()
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._changed.set()
        return not self._abandoned

    def end(self) -> None:
        """Say that no more chunks come."""
        self._ended = True
        self._changed.set()

    def abandon(self) -> None:
        """Say that no more chunks are taken."""
        self._abandoned = True
        self._changed.set()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def head(self, size: int) -> bytes:
        """The first bytes, ``size`` if there are as many; they stay in the pipe."""
        while self._size < size and not self._ended:
            await self._change()
        return b"".join(self._chunks)[:size]

    async def take(self, limit: int) -> bytes:
        """Take at most ``limit`` bytes, once they or all that may wait are there, or the end is."""
        while self._size < min(_MAX_WAITING, limit) and not self._ended:
            await self._change()
        taken: list[bytes] = []
        while self._chunks and limit:
            chunk = self._chunks.popleft()
            if len(chunk) > limit:
                self._chunks.appendleft(chunk[limit:])
                chunk = chunk[:limit]
            taken.append(chunk)
            limit -= len(chunk)
            self._size -= len(chunk)
        self._changed.set()
        return b"".join(taken)


class Piece:
    """The stream of one ``append_upload``: from the pipe up to a checkpoint, hashed on its way."""

    def __init__(
        self, pipe: Pipe, limit: int, digest: Digest | None, confirm: Callable[[], Awaitable[None]]
    ) -> None:
        self._pipe = pipe
        self._limit = limit
        self._hashing = None if digest is None else Beside(digest)
        self._confirm = confirm
        #: Bytes taken.
        self.size = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # The storage has its lock now, so nobody can take the upload between this and its writes.
        await self._confirm()
        while self.size < self._limit:
            chunk = await self._pipe.take(self._limit - self.size)
            if not chunk:
                return
            self.size += len(chunk)
            if self._hashing is not None:
                await self._hashing.add(chunk)
            yield chunk  # the storage writes it while it is hashed

    async def hashed(self) -> None:
        """Wait until the bytes taken are in the digest."""
        if self._hashing is not None:
            await self._hashing.done()
