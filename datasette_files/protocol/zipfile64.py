"""The bytes of a zip file whose members are stored, not compressed: headers, and their places.

Size, name, time and CRC of each member are known before, so every byte around the data is a
function of them, and so are the length of the file and the place of any byte. The fields of zip64
are written where a size, place or number needs them. Numbers are those of sections in APPNOTE
6.3.10. Leaves out the data itself, and the choice of names (transfer/zip_names.py).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

CONTENT_TYPE = "application/zip"

_LOCAL, _CENTRAL = 0x04034B50, 0x02014B50
_END64, _LOCATOR, _END = 0x06064B50, 0x07064B50, 0x06054B50
#: 4.4.4: bit 11, names are UTF-8.
_FLAGS = 0x0800
#: 4.4.3.2: the least version that reads it, without and with zip64; 4.4.2.2: made on Unix.
_PLAIN_VERSION, _ZIP64_VERSION, _UNIX = 20, 45, 3 << 8
#: A regular file that its owner may write and everybody read, in the upper half.
_ATTRIBUTES = 0o100644 << 16
_FULL32, _FULL16 = 0xFFFFFFFF, 0xFFFF
_ZIP64_FIELD, _TIME_FIELD = 0x0001, 0x5455


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive. ``key`` is the caller's name for it, and no part of the archive."""

    key: str
    #: With ``/`` between folders.
    name: str
    #: Bytes.
    size: int
    crc32: int
    #: In UTC; None: unknown.
    modified: datetime | None


@dataclass(frozen=True, slots=True)
class Entry:
    """A member at its place."""

    member: Member
    #: Where its local header begins in the archive, and its record in the central directory.
    start: int
    central: int


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of an archive that is bytes of a member, from ``start`` up to ``end``."""

    member: Member
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Totals:
    """The number of members, and the bytes of their part and of the central directory."""

    files: int = 0
    members: int = 0
    central: int = 0

    @property
    def length(self) -> int:
        """Bytes of the archive."""
        return self.members + self.central + len(end_records(self))

    def with_member(self, member: Member) -> tuple[Entry, Totals]:
        """Place a member after the others."""
        entry = Entry(member, self.members, self.central)
        members = self.members + len(local_header(member)) + member.size
        central = self.central + len(central_record(entry))
        return entry, Totals(self.files + 1, members, central)


def local_header(member: Member) -> bytes:
    """4.3.7."""
    name, large = member.name.encode(), member.size >= _FULL32
    size = _FULL32 if large else member.size
    extra = struct.pack("<HHQQ", _ZIP64_FIELD, 16, member.size, member.size) if large else b""
    extra += _exact_time(member.modified)
    version = _ZIP64_VERSION if large else _PLAIN_VERSION
    head = struct.pack(
        "<IHHHHHIIIHH",
        *(_LOCAL, version, _FLAGS, 0, *_dos_time(member.modified)),
        *(member.crc32, size, size, len(name), len(extra)),
    )
    return head + name + extra


def central_record(entry: Entry) -> bytes:
    """4.3.12."""
    member = entry.member
    name = member.name.encode()
    sizes, places = member.size >= _FULL32, entry.start >= _FULL32
    large = [member.size] * 2 * sizes + [entry.start] * places
    extra = b""
    if large:
        extra = struct.pack(f"<HH{len(large)}Q", _ZIP64_FIELD, 8 * len(large), *large)
    extra += _exact_time(member.modified)
    version = _ZIP64_VERSION if large else _PLAIN_VERSION
    size = _FULL32 if sizes else member.size
    head = struct.pack(
        "<IHHHHHHIIIHHHHHII",
        *(_CENTRAL, _UNIX | version, version, _FLAGS, 0, *_dos_time(member.modified)),
        *(member.crc32, size, size, len(name), len(extra), 0, 0, 0, _ATTRIBUTES),
        _FULL32 if places else entry.start,
    )
    return head + name + extra


def end_records(totals: Totals) -> bytes:
    """The end of the central directory: of zip64, where it is needed (4.3.14, 4.3.15); 4.3.16."""
    count, size, place = totals.files, totals.central, totals.members
    end = struct.pack(
        "<IHHHHIIH",
        *(_END, 0, 0, min(count, _FULL16), min(count, _FULL16)),
        *(min(size, _FULL32), min(place, _FULL32), 0),
    )
    if count < _FULL16 and size < _FULL32 and place < _FULL32:
        return end
    versions = (_UNIX | _ZIP64_VERSION, _ZIP64_VERSION)
    end64 = struct.pack("<IQHHIIQQQQ", _END64, 44, *versions, 0, 0, count, count, size, place)
    return end64 + struct.pack("<IIQI", _LOCATOR, 0, place + size, 1) + end


def member_pieces(entry: Entry, start: int, end: int) -> Iterator[bytes | Data]:
    """The parts of an entry's header and data between two places of the archive."""
    header = local_header(entry.member)
    if piece := _cut(header, entry.start, start, end):
        yield piece
    begin, size = entry.start + len(header), entry.member.size
    first, last = max(start - begin, 0), min(end - begin, size)
    if first < last:
        yield Data(entry.member, first, last)


def central_piece(entry: Entry, totals: Totals, start: int, end: int) -> bytes:
    """The part of an entry's record between two places of the archive."""
    return _cut(central_record(entry), totals.members + entry.central, start, end)


def end_piece(totals: Totals, start: int, end: int) -> bytes:
    """The part of the archive's end between two places."""
    return _cut(end_records(totals), totals.members + totals.central, start, end)


def _cut(content: bytes, place: int, start: int, end: int) -> bytes:
    return content[max(start - place, 0) : max(end - place, 0)]


def _exact_time(moment: datetime | None) -> bytes:
    """The time in seconds since the epoch, which unlike the other one says its time zone.

    The extended timestamp of Info-ZIP (4.6.1), as its writers do in both headers.
    """
    seconds = -1 if moment is None else int(moment.replace(tzinfo=timezone.utc).timestamp())
    if not 0 <= seconds < 2**31:
        return b""
    return struct.pack("<HHBI", _TIME_FIELD, 5, 1, seconds)


def _dos_time(moment: datetime | None) -> tuple[int, int]:
    """MS-DOS time and date, which begin in 1980 (4.4.6)."""
    if moment is None or not 1980 <= moment.year < 2108:
        return 0, 0x21
    time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    return time, (moment.year - 1980) << 9 | moment.month << 5 | moment.day
