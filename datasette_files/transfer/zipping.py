"""A zip made while it is sent, from any byte on: files as they are stored, in bounded memory.

The places come from protocol/zipfile64.py, the bytes of the files from the guarded reader. Whether
the files may be read is asked again as the archive goes on; a refusal ends the stream before its
announced length. Leaves out HTTP, and where the members are kept (zips.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from bisect import bisect_right
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, closing
from datetime import datetime
from functools import partial
from typing import Protocol

from ..errors import NotFound, StorageError
from ..models import FileRecord
from ..protocol.ranges import ByteRange
from ..protocol.zipfile64 import (
    Data,
    Entry,
    Member,
    Totals,
    central_piece,
    end_piece,
    member_pieces,
)
from ..sources import reading
from .downloads import Body, LocalRange
from .zip_batches import Ask, Batch, Batches, Files
from .zip_names import Names
from .zip_opening import Opener
from .zip_runs import Large, LocalRun

#: Seconds for which the answer counts that files may be read.
_ASKED_SECONDS = 0.25

#: Bytes, or ranges of local files that their consumer sends, moves on, and asks for the next.
Chunk = bytes | Iterator[LocalRange]
#: Reads a piece of a member that is no file; None for a piece of a file.
Texts = Callable[[Data], AsyncIterator[bytes] | None]


def no_texts(piece: Data) -> AsyncIterator[bytes] | None:
    """For an archive of files alone."""
    return None


def with_texts(contents: Mapping[str, bytes], others: Texts) -> Texts:
    """Read members of these keys from memory."""

    async def chunks(piece: Data) -> AsyncIterator[bytes]:
        yield contents[piece.member.key][piece.start : piece.end]

    return lambda piece: chunks(piece) if piece.member.key in contents else others(piece)


class Directory(Protocol):
    """The members of one archive in their order."""

    totals: Totals

    async def holding(self, place: int, *, central: bool) -> int:
        """The start of the member whose bytes, or whose record, a place is in."""

    async def page(self, start: int) -> list[Entry]:
        """The next members that begin at a place or after it; none at the end."""


class Listed:
    """A directory in memory, for few members."""

    def __init__(self, members: Iterable[Member]) -> None:
        self.totals = Totals()
        self._entries: list[Entry] = []
        for member in members:
            entry, self.totals = self.totals.with_member(member)
            self._entries.append(entry)

    @property
    def entity_tag(self) -> str:
        """A strong one: all that the archive is made of."""
        digest = hashlib.sha256(repr([entry.member for entry in self._entries]).encode())
        return f'"{digest.hexdigest()}"'

    async def holding(self, place: int, *, central: bool) -> int:
        places = [entry.central if central else entry.start for entry in self._entries]
        return self._entries[bisect_right(places, place) - 1].start

    async def page(self, start: int) -> list[Entry]:
        return [entry for entry in self._entries if entry.start >= start]


def members(
    files: Iterable[FileRecord], texts: Mapping[str, bytes], written: datetime
) -> Iterator[Member]:
    """Files, whose crc32 is known, as members, and after them texts by name, which are their keys.

    Raises NotFound if the size of a file is not known.
    """
    names = Names()
    for file in files:
        if file.size is None or file.crc32 is None:
            raise NotFound(f"The size of {file.filename} is not known; leave it out")
        name = names.add("", file.filename)
        yield Member(file.id, name, file.size, int(file.crc32, 16), file.modified)
    for key, content in texts.items():
        yield Member(key, names.add("", key), len(content), zlib.crc32(content), written)


class Archive:
    """The bytes of a zip. ``ask`` is called again and again while they are read."""

    def __init__(self, directory: Directory, ask: Ask, texts: Texts = no_texts) -> None:
        self._directory = directory
        self._ask = ask
        self._texts = texts
        self._files: Files = {}
        self._opener = Opener()

    async def open(self, pieces: Sequence[bytes | ByteRange], *, local: bool = False) -> Body:
        """Read the first bytes, so that a failure comes before any header.

        ``local``: the body's chunks may be ranges of local files, which their consumer moves on.
        Raises StorageError, StorageUnavailable, and as ``ask``.
        """
        chunks = self._chunks(pieces, local)
        ahead = [chunk async for chunk in _first(chunks, 2)]
        return Body(_after(ahead, chunks), chunks)

    async def _chunks(
        self, pieces: Sequence[bytes | ByteRange], local: bool
    ) -> AsyncGenerator[Chunk, None]:
        try:
            for piece in pieces:
                if isinstance(piece, bytes):
                    yield piece
                    continue
                async with aclosing(self._range(piece.start, piece.end, local)) as chunks:
                    async for chunk in chunks:
                        yield chunk
        finally:
            self._opener.close()

    async def _range(self, start: int, end: int, local: bool) -> AsyncGenerator[Chunk, None]:
        batches = Batches(self._pieces(start, end), self._ask)
        try:
            while batch := await batches.next():
                while batch.left:
                    if not batch.is_allowed(_ASKED_SECONDS):
                        await batch.ask()
                    self._files, run = batch.files, batch.left[0]
                    if not isinstance(run, Large):
                        batch.left.popleft()
                        yield await self._small(run)
                        continue
                    async with aclosing(self._large(run, batch, batches, local)) as chunks:
                        async for chunk in chunks:
                            yield chunk
        finally:
            await batches.close()

    async def _pieces(self, start: int, end: int) -> AsyncIterator[bytes | Data]:
        """The pieces of the archive between two of its places."""
        totals = self._directory.totals
        if start < totals.members:
            first = await self._directory.holding(start, central=False)
            async for entry in self._entries(first):
                if entry.start >= end:
                    return
                for piece in member_pieces(entry, start, end):
                    text = self._texts(piece) if isinstance(piece, Data) else None
                    if text is None:
                        yield piece
                        continue
                    async for chunk in text:
                        yield chunk
        if totals.files and start < totals.members + totals.central and end > totals.members:
            place = max(start - totals.members, 0)
            first = await self._directory.holding(place, central=True)
            async for entry in self._entries(first):
                if totals.members + entry.central >= end:
                    break
                yield central_piece(entry, totals, start, end)
        yield end_piece(totals, start, end)

    async def _entries(self, start: int) -> AsyncIterator[Entry]:
        while page := await self._directory.page(start):
            for entry in page:
                yield entry
            start = page[-1].start + 1

    async def _small(self, run: list[bytes | Data]) -> bytes:
        """The bytes of small pieces; files among them are read at once."""
        files = (self._read(one) for one in run if isinstance(one, Data))
        read = iter(await asyncio.gather(*files))
        return b"".join(one if isinstance(one, bytes) else next(read) for one in run)

    async def _read(self, piece: Data) -> bytes:
        file, source = self._files[piece.member.key]
        content = reading.small(source, file)
        if content is not None:
            content = content[piece.start : piece.end]
        elif piece.start == 0:
            content = await reading.head(source, file, piece.end)
        else:
            chunks = reading.stream(source, file, piece.start, piece.end)
            content = b"".join([chunk async for chunk in chunks])
        _require(piece, len(content))
        return content

    async def _large(
        self, first: Large, batch: Batch, batches: Batches, local: bool
    ) -> AsyncGenerator[Chunk, None]:
        """Large files from the head of a batch, which are taken off it: the first, or a local run.

        While the last ones of a local run are sent, the next batch is prepared.
        """
        descriptor = await self._opener.open(batch, first) if local else None
        if descriptor is None:
            batch.left.popleft()
            rest: Large | None = first
        else:
            until, cached = batch.asked_at + _ASKED_SECONDS, partial(self._opener.cached, batch)
            local_run = LocalRun(batch.left, descriptor, until, cached, batches.begin_next)
            with closing(local_run):
                yield local_run
                rest = local_run.rest()
        if rest is not None:
            async with aclosing(self._through_python(rest)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def _through_python(self, part: Large) -> AsyncGenerator[bytes, None]:
        """The bytes before a piece of a file, and those of the piece."""
        if part.before:
            yield part.before
        piece, passed = part.data, 0
        if piece.start == piece.end:
            return
        file, source = self._files[piece.member.key]
        async with aclosing(reading.stream(source, file, piece.start, piece.end)) as chunks:
            async for chunk in chunks:
                passed += len(chunk)
                yield chunk
        _require(piece, passed)


def _require(piece: Data, size: int) -> None:
    """Raise StorageError if the storage gave another number of bytes."""
    if size != piece.end - piece.start:
        raise StorageError(
            f"The storage has another number of bytes of {piece.member.key} than when the zip was"
            " made; choose the files again"
        )


async def _first(chunks: AsyncGenerator[Chunk, None], count: int) -> AsyncIterator[Chunk]:
    """The first chunks, up to a range of a local file, which is read only once it is sent."""
    for _ in range(count):
        chunk = await anext(chunks, None)
        if chunk is None:
            return
        yield chunk
        if not isinstance(chunk, bytes):
            return


async def _after(
    ahead: list[Chunk], chunks: AsyncGenerator[Chunk, None]
) -> AsyncGenerator[Chunk, None]:
    while ahead:
        yield ahead.pop(0)  # a slow client holds no chunk longer than it takes
    async for chunk in chunks:
        yield chunk
