"""A zip made while it is sent, from any byte on: files as they are stored, in bounded memory.

The places come from protocol/zipfile64.py, the bytes of the files from the guarded reader. Whether
the files may be read is asked again as the archive goes on; a refusal ends the stream before its
announced length. Leaves out HTTP, and where the members are kept (zips.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
import zlib
from bisect import bisect_right
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from datetime import datetime
from itertools import chain
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
from ..sources.sources import Source
from .downloads import Body, LocalRange
from .zip_names import Names

#: Bytes of a file up to which it is read in one piece, beside others.
_SMALL = 256 * 1024
#: Bytes of small files that are read at once.
_RUN_BYTES = 1024 * 1024
#: Large files that are opened at once.
_AHEAD = 16
#: Pieces, each a header or a file, whose permission is asked at once; their bytes, and the seconds
#: for which the answer counts.
_ASKED, _ASKED_BYTES, _ASKED_SECONDS = 128, 64 * 1024 * 1024, 0.25

Files = Mapping[str, tuple[FileRecord, Source]]
#: Finds files by id. Raises PermissionDenied, NotFound or Expired unless all may be read.
Ask = Callable[[list[str]], Awaitable[Files]]
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
        self._asked_at = 0.0
        #: Descriptors by key; None for a file that is on no local disk.
        self._opened: dict[str, int | None] = {}

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
    ) -> AsyncGenerator[bytes | LocalRange, None]:
        try:
            for piece in pieces:
                if isinstance(piece, bytes):
                    yield piece
                    continue
                async with aclosing(self._range(piece.start, piece.end, local)) as chunks:
                    async for chunk in chunks:
                        yield chunk
        finally:
            self._close()

    async def _range(
        self, start: int, end: int, local: bool
    ) -> AsyncGenerator[bytes | LocalRange, None]:
        async for batch in _batches(self._pieces(start, end)):
            self._asked_at = 0.0
            runs = list(_runs(batch))
            for number, run in enumerate(runs):
                if time.monotonic() - self._asked_at > _ASKED_SECONDS:
                    await self._ask_for(chain.from_iterable(runs[number:]))
                one = run[0]
                if isinstance(one, Data) and one.end - one.start > _SMALL:
                    if local and one.member.key not in self._opened:
                        await self._open_ahead(runs[number:])
                    async with aclosing(self._large(one)) as chunks:
                        async for chunk in chunks:
                            yield chunk
                else:
                    yield b"".join(await asyncio.gather(*map(self._small, run)))

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

    async def _ask_for(self, pieces: Iterable[bytes | Data]) -> None:
        if keys := [one.member.key for one in pieces if isinstance(one, Data)]:
            self._files = await self._ask(keys)
        self._asked_at = time.monotonic()

    async def _small(self, piece: bytes | Data) -> bytes:
        if isinstance(piece, bytes):
            return piece
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

    async def _open_ahead(self, runs: list[list[bytes | Data]]) -> None:
        """Open the next large files that are on a local disk, at once: each takes a thread."""
        large = [run[0] for run in runs if _length(run[0]) > _SMALL][:_AHEAD]
        keys = list(dict.fromkeys(one.member.key for one in large if isinstance(one, Data)))

        async def open_one(key: str) -> None:
            file, source = self._files[key]
            self._opened[key] = await reading.open_local(source, file)

        results = await asyncio.gather(*map(open_one, keys), return_exceptions=True)
        if isinstance(results[0], BaseException):  # the others are reported when it is their turn
            raise results[0]

    def _close(self) -> None:
        for descriptor in self._opened.values():
            if descriptor is not None:
                os.close(descriptor)
        self._opened.clear()

    async def _large(self, piece: Data) -> AsyncGenerator[bytes | LocalRange, None]:
        file, source = self._files[piece.member.key]
        start = piece.start
        descriptor = self._opened.pop(piece.member.key, None)
        if descriptor is not None:
            opened = LocalRange(descriptor, start, piece.end, is_whole=False)
            try:
                yield opened
            finally:
                opened.close()
            start = opened.position
        if start == piece.end:
            return
        async with aclosing(reading.stream(source, file, start, piece.end)) as chunks:
            async for chunk in chunks:
                start += len(chunk)
                yield chunk
        _require(piece, start - piece.start)


def _require(piece: Data, size: int) -> None:
    """Raise StorageError if the storage gave another number of bytes."""
    if size != piece.end - piece.start:
        raise StorageError(
            f"The storage has another number of bytes of {piece.member.key} than when the zip was"
            " made; choose the files again"
        )


async def _batches(pieces: AsyncIterator[bytes | Data]) -> AsyncIterator[list[bytes | Data]]:
    """The pieces in lists of at most ``_ASKED`` and ``_ASKED_BYTES``, or of one."""
    batch: list[bytes | Data] = []
    size = 0
    async for piece in pieces:
        length = _length(piece)
        if batch and (len(batch) == _ASKED or size + length > _ASKED_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += length
    yield batch


def _length(piece: bytes | Data) -> int:
    return piece.end - piece.start if isinstance(piece, Data) else len(piece)


def _runs(batch: list[bytes | Data]) -> Iterable[list[bytes | Data]]:
    """The pieces in lists: one that is large, or small ones that are read at once."""
    run: list[bytes | Data] = []
    size = 0
    for piece in batch:
        length = _length(piece)
        is_large = isinstance(piece, Data) and length > _SMALL
        if run and (is_large or size + length > _RUN_BYTES):
            yield run
            run, size = [], 0
        if is_large:
            yield [piece]
            continue
        run.append(piece)
        size += length
    if run:
        yield run


async def _first(
    chunks: AsyncGenerator[bytes | LocalRange, None], count: int
) -> AsyncIterator[bytes | LocalRange]:
    """The first chunks, up to a range of a local file, which is read only once it is sent."""
    for _ in range(count):
        chunk = await anext(chunks, None)
        if chunk is None:
            return
        yield chunk
        if isinstance(chunk, LocalRange):
            return


async def _after(
    ahead: list[bytes | LocalRange], chunks: AsyncGenerator[bytes | LocalRange, None]
) -> AsyncGenerator[bytes | LocalRange, None]:
    while ahead:
        yield ahead.pop(0)  # a slow client holds no chunk longer than it takes
    async for chunk in chunks:
        yield chunk
