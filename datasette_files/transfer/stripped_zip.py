"""Pictures without their places in the zip of a link.

Stripped bytes keep their number, so such a member differs from the original by its crc32 alone. It
is computed when a zip first needs it and stays in memory; after a restart the picture is read once
more. A picture that cannot be stripped is left out, and a text says why. Leaves out which pictures
are stripped, and how (stripped.py).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection
from contextlib import aclosing
from dataclasses import dataclass, replace

from ..db.batching import Catalog
from ..errors import BadType, StorageError, StorageUnavailable
from ..models import FileRecord
from ..protocol.ranges import ByteRange
from ..protocol.zipfile64 import Data
from ..sources.reading import Crc32
from ..sources.sources import Source
from . import stripped
from .checksums import Checksums, Progress
from .zip_batches import Ask
from .zipping import Texts

#: Pictures whose crc32 is kept.
_MAX_KEPT = 10_000
#: Bytes that the archive gets at once, as it holds many pieces.
_PIECE = 64 * 1024
#: Seconds for which a right counts while a picture is read.
_ASKED_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Learnt:
    """The crc32 of a picture's stripped bytes; None if it cannot be stripped, with the reason."""

    crc32: str | None = None
    reason: str = ""


class StrippedMembers:
    """The stripped pictures in the zips of one Datasette's links."""

    def __init__(self, catalog: Catalog, checksums: Checksums) -> None:
        self._catalog = catalog
        self._checksums = checksums
        #: By the file's id, whose bytes never change.
        self._learnt: OrderedDict[str, _Learnt] = OrderedDict()

    async def learn(self, name: str, ids: Collection[str], ask: Ask) -> Progress | None:
        """Read those of the pictures that are not known yet; otherwise as ``Checksums.learn``."""
        for file_id in ids:
            if file_id in self._learnt:
                self._learnt.move_to_end(file_id)
        unread = [file_id for file_id in ids if file_id not in self._learnt]
        return await self._checksums.learn(name, unread, ask, self._read) if unread else None

    async def _read(self, progress: Progress, file: FileRecord, source: Source) -> None:
        crc32, whole = Crc32(), ByteRange(0, file.size or 0)
        try:
            async with aclosing(stripped.stream(self._catalog, source, file, whole)) as chunks:
                async for chunk in chunks:
                    await crc32.add(chunk)
                    progress.bytes_read += len(chunk)
        except BadType as error:
            self._learnt[file.id] = _Learnt(reason=str(error))
        else:
            self._learnt[file.id] = _Learnt(crc32.value)
        if len(self._learnt) > _MAX_KEPT:
            self._learnt.popitem(last=False)

    def member(self, file: FileRecord) -> FileRecord:
        """The file with the crc32 of its stripped bytes. Raises BadType, StorageUnavailable."""
        learnt = self._learnt.get(file.id)
        if learnt is None:
            raise StorageUnavailable("Too many zips of pictures are being made; try again")
        if learnt.crc32 is None:
            raise BadType(learnt.reason)
        return replace(file, crc32=learnt.crc32)

    def texts(self, ids: Collection[str], ask: Ask) -> Texts:
        """Read the members of these ids stripped. ``ask`` is called again meanwhile."""

        async def chunks(piece: Data) -> AsyncIterator[bytes]:
            key, size = piece.member.key, 0
            file, source = (await ask([key]))[key]
            asked_at, wanted = time.monotonic(), ByteRange(piece.start, piece.end)
            async with aclosing(stripped.stream(self._catalog, source, file, wanted)) as made:
                async for chunk in made:
                    size += len(chunk)
                    if time.monotonic() - asked_at > _ASKED_SECONDS:
                        await ask([key])
                        asked_at = time.monotonic()
                    for start in range(0, len(chunk), _PIECE):
                        yield chunk[start : start + _PIECE]
            if size != wanted.length:
                raise StorageError(f"The storage has another number of bytes of {key}; try again")

        return lambda piece: chunks(piece) if piece.member.key in ids else None
