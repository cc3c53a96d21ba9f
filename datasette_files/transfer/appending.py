"""The bytes of one request, appended to an upload that goes on, checkpoint by checkpoint.

Leaves out the lease and the pieces (attempts.py), what a restart lost of the digest (rereading.py),
and the upload's life (resuming.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from .. import telemetry
from ..config import PluginConfig
from ..db import resuming
from ..db.batching import Catalog
from ..db.resuming import Resumable
from ..errors import BadType, ChecksumMismatch, Expired, FilesError, FileTooLarge, StorageError
from ..maintenance.sweeping import REMEMBERED_SECONDS
from ..media import sniffing
from ..models import Upload
from ..protocol.digest import Digest as Declared
from ..sources import reading
from ..sources.reading import Digest
from ..sources.sources import Source
from .attempts import Attempt, Piece, Pipe
from .rereading import Rereading
from .reserving import Reservation

#: Uploads whose running sha256 is kept between two requests.
_MAX_DIGESTS = 10_000

_GONE = "The bytes received are gone from the storage; begin the upload again"


@dataclass(frozen=True)
class Sent:
    """The bytes of one request. ``length`` (bytes) and ``digest`` as its headers declare them."""

    offset: int
    chunks: AsyncIterator[bytes]
    length: int | None = None
    digest: Declared | None = None


class Appending:
    """Appends to the uploads of one Datasette."""

    def __init__(self, catalog: Catalog, config: PluginConfig) -> None:
        self._catalog = catalog
        self._expiry = config.upload_expiry_seconds
        #: The sha256 of the stored bytes, by upload: up to the durable offset, or of fewer after a
        #: restart, as it is lost with the process.
        self._digests: OrderedDict[str, Digest] = OrderedDict()

    async def digest_of(self, source: Source, resumable: Resumable) -> Digest | None:
        """The digest of all stored bytes. None if it is lost and they cannot be read here."""
        return await self._rereading(source, resumable).to(resumable.offset, resumable.state)

    def _rereading(self, source: Source, resumable: Resumable) -> Rereading:
        digest = self._digests.pop(resumable.upload.id, None)
        if digest is None or digest.size > resumable.offset:
            digest = Digest(crc32=True)
        return Rereading(source, resumable.upload, digest)

    @telemetry.spanned(telemetry.UPLOAD)
    async def receive(
        self, source: Source, resumable: Resumable, attempt: Attempt, sent: Sent
    ) -> Resumable:
        """Append the bytes of a request. The upload with its new offset."""
        pipe = Pipe()
        storing = asyncio.create_task(
            self._store(source, resumable, attempt, pipe, checked=sent.digest is not None)
        )
        hashed = hashlib.new(sent.digest.algorithm, usedforsecurity=False) if sent.digest else None
        received, failure = resumable.offset, None
        room = Reservation(self._catalog, source, resumable.upload)
        try:
            async for chunk in attempt.watched(sent.chunks):
                received += len(chunk)
                _check_size(source, resumable, received)
                await room.cover(received)
                if hashed is not None:
                    await asyncio.to_thread(hashed.update, chunk)
                if not await pipe.put(chunk):
                    break
        except FilesError as error:
            failure = error
        except BaseException:
            storing.cancel()
            await asyncio.gather(storing, return_exceptions=True)
            raise
        pipe.end()
        stored = await storing
        telemetry.count_bytes("stored", stored.offset - resumable.offset)
        # Bytes whose offset is not recorded may be replaced by others, in another process too.
        digest = self._digests.pop(stored.upload.id, None) if sent.digest else None
        if failure is not None:
            raise failure
        if sent.digest is None or hashed is None:
            return stored
        if not sent.digest.holds(hashed.hexdigest()):
            raise ChecksumMismatch("The bytes do not have the Upload-Checksum; send them again")
        await attempt.advance(stored.offset, stored.state)
        if digest is not None:
            self._digests[stored.upload.id] = digest
        return stored

    async def receive_nothing(
        self, source: Source, resumable: Resumable, attempt: Attempt
    ) -> Resumable:
        """Store the object of an upload without bytes."""
        pipe = Pipe()
        pipe.end()
        return await self._store(source, resumable, attempt, pipe, checked=False)

    async def _store(
        self, source: Source, resumable: Resumable, attempt: Attempt, pipe: Pipe, *, checked: bool
    ) -> Resumable:
        """Hand the pipe to the storage, checkpoint by checkpoint.

        ``checked``: leave it to the caller to record the offset, once it knows the checksum.
        """
        upload, offset, state = resumable.upload, resumable.offset, resumable.state
        rereading = self._rereading(source, resumable)
        try:
            if offset == 0 and not resumable.is_partial:
                await self._check_head(source, upload, pipe)
            while await pipe.head(1) or upload.size == offset == 0:
                digest = rereading.digest_at(offset)
                piece = Piece(pipe, source.storage.append_bytes, digest, attempt.confirm)
                try:
                    with reading.storage_errors(source.slug):
                        state = await source.storage.append_upload(
                            upload.path, offset, piece.__aiter__(), state
                        )
                except StorageError as error:
                    if isinstance(error.__cause__, FileNotFoundError):
                        await self.end(upload)
                        raise Expired(_GONE) from error
                    raise
                finally:
                    await piece.hashed()
                offset += piece.size
                if not checked:
                    await attempt.advance(offset, state)
                if not piece.size:
                    break
                if not resumable.is_partial:
                    await rereading.beside(offset, state)
        finally:
            pipe.abandon()
            await rereading.stop()
        if not resumable.is_partial:
            self._digests[upload.id] = rereading.digest
        if len(self._digests) > _MAX_DIGESTS:
            self._digests.popitem(last=False)
        upload = replace(upload, expires_at=time.time() + self._expiry)
        return replace(resumable, upload=upload, offset=offset, state=state)

    async def _check_head(self, source: Source, upload: Upload, pipe: Pipe) -> None:
        """Raise BadType, and end the upload, if its first bytes say that it cannot be stored."""
        head = await pipe.head(sniffing.HEAD)
        if len(head) < sniffing.HEAD and len(head) != upload.size:
            return  # too few to tell; all bytes are checked at the end
        try:
            source.limits.check_type(
                upload.filename, sniffing.stored_type(upload.content_type, head)
            )
        except BadType:
            await self.end(upload)
            raise

    async def end(self, upload: Upload) -> None:
        """End an upload whose bytes can become no file."""
        keep_until = time.time() + REMEMBERED_SECONDS
        await self._catalog.write(lambda conn: resuming.end(conn, upload, keep_until))


def _check_size(source: Source, resumable: Resumable, received: int) -> None:
    source.limits.check_size(received)
    size = resumable.upload.size
    if size is not None and received > size:
        raise FileTooLarge(f"The upload has {size:,} bytes in all; more arrived")
