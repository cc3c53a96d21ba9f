"""Several files as one zip, made while it is sent: stored, not compressed, with zip64.

The checksum of a file is known once its bytes are read, so it follows them in a data descriptor
(4.3.9). The length of the archive is known before, as nothing is compressed. The numbers are those
of sections in APPNOTE 6.3.10. Leaves out HTTP.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from ..models import FileRecord
from ..naming import plain
from ..sources import reading
from ..sources.sources import Source
from .downloads import Body

CONTENT_TYPE = "application/zip"

#: 4.4.3.2: zip64. 4.4.4: bit 3, a data descriptor follows; bit 11, names are UTF-8.
_VERSION, _FLAGS = 45, 0x0808
_ZIP64, _FULL32, _FULL16 = 0x0001, 0xFFFFFFFF, 0xFFFF
_LOCAL, _CENTRAL, _DESCRIPTOR = 0x04034B50, 0x02014B50, 0x08074B50
_END64, _LOCATOR, _END = 0x06064B50, 0x07064B50, 0x06054B50
_LOCAL_BYTES, _DESCRIPTOR_BYTES, _CENTRAL_BYTES = 30 + 20, 24, 46 + 28
_END_BYTES = 56 + 20 + 22

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f]')
#: Names that Windows reserves, with any extension.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
_MAX_NAME_BYTES = 240


@dataclass
class _Entry:
    name: bytes
    file: FileRecord
    source: Source
    offset: int = 0
    size: int = 0
    crc: int = 0


class Archive:
    """A zip of these files, in their order. ``again`` is asked before each file is read."""

    def __init__(
        self,
        files: Sequence[tuple[FileRecord, Source]],
        again: Callable[[FileRecord], Awaitable[None]],
    ) -> None:
        names = unique_names(file.filename for file, _ in files)
        self._entries = [
            _Entry(name.encode(), file, source)
            for name, (file, source) in zip(names, files, strict=True)
        ]
        self._again = again

    @property
    def length(self) -> int | None:
        """Bytes of the archive; None if the size of a file is not known."""
        around = _LOCAL_BYTES + _DESCRIPTOR_BYTES + _CENTRAL_BYTES
        total = _END_BYTES
        for entry in self._entries:
            if entry.file.size is None:
                return None
            total += around + 2 * len(entry.name) + entry.file.size
        return total

    async def open(self) -> Body:
        """Read the beginning of the first file, so that its failure comes before any header.

        Raises StorageError, StorageUnavailable, and as ``again``.
        """
        chunks = self._chunks()
        ahead = [await anext(chunks), await anext(chunks)]
        return Body(_after(ahead, chunks), chunks)

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        offset = 0
        for entry in self._entries:
            entry.offset = offset
            await self._again(entry.file)
            yield _local(entry)
            async with aclosing(reading.stream(entry.source, entry.file)) as chunks:
                async for chunk in chunks:
                    entry.crc = zlib.crc32(chunk, entry.crc)
                    entry.size += len(chunk)
                    yield chunk
            yield struct.pack("<IIQQ", _DESCRIPTOR, entry.crc, entry.size, entry.size)
            offset += _LOCAL_BYTES + len(entry.name) + entry.size + _DESCRIPTOR_BYTES
        central = [_central(entry) for entry in self._entries]
        for record in central:
            yield record
        yield _end(len(central), sum(map(len, central)), offset)


async def _after(
    ahead: Iterable[bytes], chunks: AsyncGenerator[bytes, None]
) -> AsyncGenerator[bytes, None]:
    for chunk in ahead:
        yield chunk
    async for chunk in chunks:
        yield chunk


def _local(entry: _Entry) -> bytes:
    """A local file header (4.3.7): sizes are in the descriptor, as its zip64 field says by 0."""
    time, date = _moment(entry.file.modified)
    head = struct.pack(
        "<IHHHHHIIIHH",
        *(_LOCAL, _VERSION, _FLAGS, 0, time, date),
        *(0, _FULL32, _FULL32, len(entry.name), 20),
    )
    return head + entry.name + struct.pack("<HHQQ", _ZIP64, 16, 0, 0)


def _central(entry: _Entry) -> bytes:
    """A header of the central directory (4.3.12)."""
    time, date = _moment(entry.file.modified)
    head = struct.pack(
        "<IHHHHHHIIIHHHHHII",
        *(_CENTRAL, _VERSION, _VERSION, _FLAGS, 0, time, date),
        *(entry.crc, _FULL32, _FULL32, len(entry.name), 28, 0, 0, 0, 0, _FULL32),
    )
    return (
        head + entry.name + struct.pack("<HHQQQ", _ZIP64, 24, entry.size, entry.size, entry.offset)
    )


def _end(count: int, size: int, offset: int) -> bytes:
    """The end of the central directory, of zip64 (4.3.14 to 4.3.16) and of zip."""
    return (
        struct.pack("<IQHHIIQQQQ", _END64, 44, _VERSION, _VERSION, 0, 0, count, count, size, offset)
        + struct.pack("<IIQI", _LOCATOR, 0, offset + size, 1)
        + struct.pack("<IHHHHIIH", _END, 0, 0, _FULL16, _FULL16, _FULL32, _FULL32, 0)
    )


def _moment(moment: datetime | None) -> tuple[int, int]:
    """MS-DOS time and date, which begin in 1980."""
    if moment is None or not 1980 <= moment.year < 2108:
        return 0, 0x21
    time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    return time, (moment.year - 1980) << 9 | moment.month << 5 | moment.day


def unique_names(names: Iterable[str]) -> list[str]:
    """The names made safe on Windows too, each different from the others in any case."""
    taken: set[str] = set()
    numbers: dict[str, int] = {}
    unique = []
    for name in map(_safe, names):
        stem, dot, extension = name.rpartition(".")
        if not stem:
            stem, dot, extension = name, "", ""
        chosen, key = name, name.casefold()
        while chosen.casefold() in taken:
            numbers[key] = numbers.get(key, 1) + 1
            chosen = f"{stem} ({numbers[key]}){dot}{extension}"
        taken.add(chosen.casefold())
        unique.append(chosen)
    return unique


def _safe(name: str) -> str:
    name = _UNSAFE.sub("_", plain(name)).strip(" ").rstrip(". ") or "file"
    if _RESERVED.match(name):
        name = f"_{name}"
    if len(name.encode()) <= _MAX_NAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > 20:
        stem, dot, extension = name, "", ""
    end = dot + extension
    return stem.encode()[: _MAX_NAME_BYTES - len(end.encode())].decode(errors="ignore") + end
