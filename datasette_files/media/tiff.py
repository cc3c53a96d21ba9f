"""TIFF without what it tells beside the picture: place, time, camera, comments. Pure.

As in stripping.py no byte moves and nothing is decoded: what is left out becomes zeros. A TIFF has
its directories anywhere, so they are read first. Kept are the tags that a decoder needs, their
values, and the strips and tiles; all else is zeros. The directories keep their places and lose
entries (TIFF 6.0, 2; BigTIFF).
"""

from __future__ import annotations

import struct
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from dataclasses import dataclass, field

#: Directories of one file; the entries, strips and tiles of all of them. They bound the time on the
#: event loop.
_MAX_DIRECTORIES, _MAX_ENTRIES, _MAX_PIECES = 1_000, 30_000, 100_000
#: Bytes that are read at once where directories are.
_WINDOW = 64 * 1024
#: Bytes of one value, by its type (TIFF 6.0, 2; BigTIFF).
_SIZES = {
    **{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4},
    **{16: 8, 17: 8, 18: 8},
}
_INTEGERS = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
#: Tags that belong to the picture: TIFF 6.0, its supplements, and the colour profile.
_KEPT = frozenset(
    (
        *range(254, 260),
        *(262, 263, 264, 265, 266, 273, 274),
        *(277, 278, 279, 280, 281, 282, 283, 284, 286, 287, 290, 291, 292, 293, 296, 297),
        *(301, 317, 318, 319, 320, 321, 322, 323, 324, 325, 326, 327, 328, 330, 332, 334),
        *(336, 338, 339, 340, 341, 342, 347, 529, 530, 531, 532, 34675),
    )
)
#: Where the strips and the tiles are, and how long each is.
_DATA = ((273, 279), (324, 325))
_COMPRESSION, _OLD_JPEG = 259, 6
#: Directories within a picture's: further pictures; and Exif, places and their like.
_PICTURES, _DESCRIPTIONS = 330, (34665, 34853, 40965)
_ORDERS = {b"II": "<", b"MM": ">"}

#: The content type that ``plan`` takes, and how such files begin.
TYPE = "image/tiff"
SIGNATURES = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")

#: Returns the file's bytes from one number to another; fewer at the end of the file.
Read = Callable[[int, int], Awaitable[bytes]]
Range = tuple[int, int]


class Unstrippable(Exception):
    """The file has a form that cannot be stripped. The message is shown to the user."""


@dataclass(frozen=True)
class Segment:
    """Bytes of the stripped file: those of the file itself, unless there are others."""

    start: int
    end: int
    content: bytes | None = None


async def plan(read: Read) -> list[Segment] | None:
    """The segments that stay, in order; None for a file that is no TIFF. Raises Unstrippable."""
    return await _Directories(read).plan()


async def apply(
    segments: list[Segment], chunks: AsyncIterable[bytes]
) -> AsyncGenerator[bytes, None]:
    """The file's bytes with zeros outside of the segments. ``chunks``: from its beginning on."""
    at = number = 0
    async for chunk in chunks:
        end = at + len(chunk)
        made = bytearray(len(chunk))
        while number < len(segments) and segments[number].start < end:
            one = segments[number]
            low, high = max(one.start, at), min(one.end, end)
            if one.content is None:
                made[low - at : high - at] = chunk[low - at : high - at]
            else:
                made[low - at : high - at] = one.content[low - one.start : high - one.start]
            if one.end > end:
                break
            number += 1
        yield bytes(made)
        at = end


@dataclass
class _Found:
    """Ranges of the file, and the directories to write anew."""

    kept: list[Range] = field(default_factory=list)
    dropped: list[Range] = field(default_factory=list)
    written: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    tag: int
    kind: int
    count: int
    #: Its bytes in the directory.
    raw: bytes
    #: Where its values are.
    place: Range


class _Directories:
    """Reads the directories of one file."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._window = (0, b"")
        self._order = "<"
        self._is_big = False
        self._seen: set[int] = set()
        self._entries = self._pieces = 0
        self._found = _Found()

    async def plan(self) -> list[Segment] | None:
        head = await self._bytes(0, 16)
        order = _ORDERS.get(head[:2])
        version = head[2:4] if order == "<" else head[3:1:-1]
        if order is None or version not in (b"*\x00", b"+\x00"):
            return None
        self._order, self._is_big = order, version == b"+\x00"
        size = 16 if self._is_big else 8
        self._found.kept.append((0, size))
        waiting = [(start, True) for start in self._numbers(head[size // 2 : size], self._word)]
        while waiting:
            waiting += await self._directory(*waiting.pop())
        return _segments(self._found)

    @property
    def _word(self) -> str:
        """The form of a place in the file."""
        return "Q" if self._is_big else "I"

    async def _directory(self, start: int, keeps: bool) -> list[tuple[int, bool]]:
        """Take in a directory; return the places of further ones, and whether these stay."""
        if start == 0 or start in self._seen:
            return []
        self._seen.add(start)
        if len(self._seen) > _MAX_DIRECTORIES:
            raise Unstrippable(f"It has more than {_MAX_DIRECTORIES:,} pictures or directories")
        width, word, shape = (20, 8, "Q") if self._is_big else (12, 2, "H")
        counted = self._numbers(await self._bytes(start, start + word), shape)
        if not counted:
            return []
        self._entries += counted[0]
        if self._entries > _MAX_ENTRIES:
            raise Unstrippable(f"Its directories have more than {_MAX_ENTRIES:,} entries")
        first = start + word
        end = first + width * counted[0]
        link = 8 if self._is_big else 4
        content = await self._bytes(first, end + link)
        entries = [
            self._entry(first + at, content[at : at + width])
            for at in range(0, min(end - first, len(content) - width + 1), width)
        ]
        self._found.dropped.append((start, end + link))
        inner = await self._inner(entries, keeps)
        if not keeps:
            self._found.dropped += [entry.place for entry in entries]
            return inner
        await self._picture(entries)
        stay = [entry.raw for entry in entries if entry.tag in _KEPT]
        next_one = content[end - first : end - first + link]
        number = struct.pack(self._order + shape, len(stay))
        self._found.written[start] = b"".join((number, *stay, next_one))
        return [*inner, *((place, True) for place in self._numbers(next_one, self._word))]

    def _entry(self, start: int, raw: bytes) -> _Entry:
        shape = "HHQ" if self._is_big else "HHI"
        tag, kind, count = struct.unpack_from(self._order + shape, raw)
        room = 8 if self._is_big else 4
        size = _SIZES.get(kind, 1) * count
        place = start + len(raw) - room
        if size > room:
            place = self._numbers(raw[-room:], self._word)[0]
        return _Entry(tag, kind, count, raw, (place, place + size))

    async def _picture(self, entries: list[_Entry]) -> None:
        """Keep the values of a picture's tags, and its data."""
        by_tag = {entry.tag: entry for entry in entries}
        for entry in entries:
            (self._found.kept if entry.tag in _KEPT else self._found.dropped).append(entry.place)
        if _COMPRESSION in by_tag and await self._values(by_tag[_COMPRESSION]) == [_OLD_JPEG]:
            raise Unstrippable("It has a picture of an old form (JPEG of TIFF 6.0)")
        for places, sizes in _DATA:
            if places not in by_tag:
                continue
            starts = await self._values(by_tag[places])
            lengths = await self._values(by_tag[sizes]) if sizes in by_tag else []
            if len(lengths) < len(starts):
                raise Unstrippable("It does not tell how long its strips are")
            self._found.kept += [
                (start, start + length) for start, length in zip(starts, lengths, strict=False)
            ]

    async def _inner(self, entries: list[_Entry], keeps: bool) -> list[tuple[int, bool]]:
        """The places of the directories that a directory names, and whether these stay."""
        return [
            (start, keeps and entry.tag == _PICTURES)
            for entry in entries
            if entry.tag == _PICTURES or entry.tag in _DESCRIPTIONS
            for start in await self._values(entry)
        ]

    async def _values(self, entry: _Entry) -> list[int]:
        """The integers of an entry. Raises Unstrippable for too many."""
        shape = _INTEGERS.get(entry.kind)
        if shape is None:
            return []
        self._pieces += entry.count
        if self._pieces > _MAX_PIECES:
            raise Unstrippable(f"It has more than {_MAX_PIECES:,} strips or tiles")
        return self._numbers(await self._bytes(*entry.place), shape)

    def _numbers(self, content: bytes, shape: str) -> list[int]:
        count = len(content) // struct.calcsize("=" + shape)
        return list(struct.unpack_from(f"{self._order}{count}{shape}", content))

    async def _bytes(self, start: int, end: int) -> bytes:
        begun, window = self._window
        if not begun <= start <= end <= begun + len(window):
            begun, window = start, await self._read(start, max(end, start + _WINDOW))
            self._window = begun, window
        return window[start - begun : end - begun]


def _segments(found: _Found) -> list[Segment]:
    written = [
        Segment(start, start + len(content), content) for start, content in found.written.items()
    ]
    holes = _merged([*found.dropped, *((one.start, one.end) for one in written)])
    kept = [Segment(*one) for one in _without(_merged(found.kept), holes)]
    return sorted((*kept, *_apart(written)), key=lambda one: one.start)


def _apart(written: list[Segment]) -> Iterable[Segment]:
    """Directories that do not overlap: of those of a hostile file, the first."""
    end = 0
    for one in sorted(written, key=lambda segment: segment.start):
        if one.start >= end:
            yield one
            end = one.end


def _merged(ranges: Iterable[Range]) -> list[Range]:
    """The same bytes as ranges in order, which neither touch nor overlap."""
    made: list[Range] = []
    for start, end in sorted(ranges):
        if made and start <= made[-1][1]:
            made[-1] = made[-1][0], max(made[-1][1], end)
        elif end > start:
            made.append((start, end))
    return made


def _without(ranges: list[Range], holes: list[Range]) -> Iterable[Range]:
    """Ranges without the bytes of others; both in order."""
    number = 0
    for low, end in ranges:
        start = low
        while number < len(holes) and holes[number][1] <= start:
            number += 1
        at = number
        while at < len(holes) and holes[at][0] < end:
            if holes[at][0] > start:
                yield start, holes[at][0]
            start = max(start, holes[at][1])
            at += 1
        if start < end:
            yield start, end
