"""Pictures without what they tell beside the picture: place, time, camera, comments. Pure.

Nothing is decoded, and no byte moves: what is left out becomes zeros in a part that readers skip,
so the length stays, and ranges and checks of the length hold. The orientation and the colour
profile stay. Where the structure breaks, and behind the end of the picture (the second picture or
the video of some phones), all is zeros. The signature of the bytes decides by which rules, as the
type that a file is stored under may be another picture's. TIFF has rules of its own (tiff.py).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

_EXIF = b"Exif\x00\x00"
#: Entries of a directory that are looked at for the orientation.
_MAX_ENTRIES = 200
#: Bytes of EXIF in a PNG or WebP that are looked at for it.
_MAX_EXIF = 256 * 1024
_ZEROS = bytes(64 * 1024)
#: Segments, chunks or blocks of one file: behind these all is zeros. And the fewest bytes that are
#: yielded at once. Both bound the time on the event loop, as a part may have but two bytes.
_MAX_PARTS, _PIECE = 200_000, 16 * 1024
_PNG = b"\x89PNG\r\n\x1a\n"
#: Chunks beside the critical ones that belong to the picture (PNG, third edition, 11.3).
_PNG_KEPT = frozenset(
    (
        *(b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"bKGD", b"pHYs", b"hIST"),
        *(b"sPLT", b"cICP", b"mDCV", b"cLLI", b"acTL", b"fcTL", b"fdAT"),
    )
)
#: Ancillary, private, safe to copy: every reader skips it.
_PNG_LEFT_OUT = b"stRp"
_WEBP_KEPT = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"ICCP"))
_WEBP_XMP = 0x04
#: A marker amid the data of a JPEG: no stuffed byte, restart or fill byte (ITU-T T.81, B.1.1).
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
#: Markers without a segment, and fill bytes (B.1.1.2, B.1.1.3).
_IDLE = re.compile(rb"(?:\xff(?=\xff)|\xff[\x01\xd0-\xd7])+")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
#: Extensions of applications that belong to the picture: how often it plays, its colour profile.
_GIF_KEPT = (b"NETSCAPE2.0", b"ANIMEXTS1.0", b"ICCRGBG1012")
_GIF_CONTROL, _GIF_APPLICATION = 0xF9, 0xFF
#: A block of zeros, after its length.
_GIF_BLOCK = b"\xff" + bytes(255)

#: Bytes at the beginning that decide.
HEAD = 12
Chunks = AsyncGenerator[bytes, None]


def takes(head: bytes) -> bool:
    """Tell whether ``strip`` takes a file that begins with these bytes."""
    return _way(head) is not None


async def strip(chunks: AsyncIterator[bytes]) -> Chunks:
    """The same number of bytes, without what tells of more than the picture.

    Bytes that begin as no such picture pass as they are.
    """
    file = _Pieces(chunks)
    way = _way(await file.head(HEAD))
    held: list[bytes] = []
    size = 0
    async for piece in way(file) if way else file.next():
        held.append(piece)
        size += len(piece)
        if size >= _PIECE:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


class _Pieces:
    """The bytes of a file by number, whatever the size of its chunks, in linear time."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._data = b""
        self._at = 0

    async def _ready(self) -> bool:
        """Have a byte at hand; False at the end."""
        while self._at == len(self._data):
            chunk = await anext(self._chunks, None)
            if chunk is None:
                return False
            self._data, self._at = chunk, 0
        return True

    async def _longer(self) -> bool:
        """Have more bytes at hand than now; False at the end."""
        left, self._at = self._data[self._at :], len(self._data)
        found = await self._ready()
        self._data, self._at = left + self._data[self._at :], 0
        return found

    def _upto(self, end: int) -> bytes:
        found, self._at = self._data[self._at : end], min(end, len(self._data))
        return found

    async def head(self, number: int) -> bytes:
        """The next bytes, which stay the next; fewer at the end."""
        while len(self._data) - self._at < number and await self._longer():
            pass
        return self._data[self._at : self._at + number]

    async def take(self, number: int) -> bytes:
        """The next bytes in one piece; fewer at the end."""
        if self._at + number <= len(self._data):
            return self._upto(self._at + number)
        return b"".join([piece async for piece in self.next(number)])

    def back(self) -> None:
        """Put the last byte back that was taken."""
        self._at -= 1

    def matching(self, pattern: re.Pattern[bytes]) -> bytes:
        """The next bytes at hand that match."""
        found = pattern.match(self._data, self._at)
        return self._upto(found.end()) if found else b""

    async def next(self, number: int | None = None) -> Chunks:
        """The next bytes as they come; None: all that are left."""
        while number != 0 and await self._ready():
            found = self._upto(len(self._data) if number is None else self._at + number)
            if number is not None:
                number -= len(found)
            yield found

    async def until(self, pattern: re.Pattern[bytes]) -> Chunks:
        """The bytes before the next match of a pattern of two bytes, the first of which is FF."""
        while await self._ready():
            found = pattern.search(self._data, self._at)
            end = len(self._data) - self._data.endswith(b"\xff")
            yield self._upto(found.start() if found else end)
            if found:
                return
            # The second byte may be in the next chunk.
            if self._at < len(self._data) and not await self._longer():
                yield self._upto(len(self._data))

    async def blocks(self) -> Chunks:
        """Blocks of a GIF, each after its length, up to the empty one that ends them."""
        ahead = 0
        while await self._ready():
            at, data = self._at + ahead, self._data
            while at < len(data) and data[at]:
                at += 1 + data[at]
            yield self._upto(at + 1)
            if at < len(data):
                return
            ahead = at - len(data)


async def _blank(pieces: Chunks) -> Chunks:
    async for piece in pieces:
        for start in range(0, len(piece), len(_ZEROS)):
            yield _ZEROS[: len(piece) - start]


async def _jpeg(file: _Pieces) -> Chunks:
    """JPEG (ITU-T T.81, B), with Exif's and Adobe's segments."""
    yield await file.take(2)
    for _ in range(_MAX_PARTS):
        yield file.matching(_IDLE)
        marker = await file.take(2)
        if len(marker) < 2 or marker[0] != 0xFF:
            yield bytes(len(marker))
            break
        if marker[1] == 0xFF:  # a fill byte
            yield b"\xff"
            file.back()
            continue
        yield marker
        if marker[1] == _EOI:
            break
        if marker[1] == 0x01 or 0xD0 <= marker[1] <= 0xD7:
            continue
        size = await file.take(2)
        payload = await file.take(max(0, int.from_bytes(size, "big") - 2))
        yield size + (payload if _is_of_picture(marker[1], payload) else _emptied(payload))
        if marker[1] == _SOS:
            async for piece in file.until(_MARKER):
                yield piece
    async for piece in _blank(file.next()):
        yield piece


def _is_of_picture(marker: int, payload: bytes) -> bool:
    """Tell whether the decoder needs the segment."""
    if 0xC0 <= marker <= 0xDF:
        return True
    return (
        (marker == 0xE0 and payload.startswith(b"JFIF\x00") and len(payload) == 14)
        or (marker == 0xE2 and payload.startswith(b"ICC_PROFILE\x00"))
        or (marker == 0xEE and payload.startswith(b"Adobe"))
    )


def _emptied(payload: bytes) -> bytes:
    if not payload.startswith(_EXIF):
        return bytes(len(payload))
    return _EXIF + _only_orientation(payload[len(_EXIF) :])


def _only_orientation(tiff: bytes) -> bytes:
    """A directory of EXIF with the orientation alone, in as many bytes (TIFF 6.0, 2)."""
    orientation = 1
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order is not None:
            (start,) = struct.unpack_from(f"{order}I", tiff, 4)
            (count,) = struct.unpack_from(f"{order}H", tiff, start)
            for number in range(min(count, _MAX_ENTRIES)):
                tag, kind, _, value = struct.unpack_from(
                    f"{order}HHIH", tiff, start + 2 + 12 * number
                )
                if (tag, kind) == (0x0112, 3) and 1 <= value <= 8:
                    orientation = value
    except struct.error:
        orientation = 1
    made = struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return made.ljust(len(tiff), b"\x00") if len(made) <= len(tiff) else bytes(len(tiff))


async def _png(file: _Pieces) -> Chunks:
    """PNG and APNG (PNG, third edition, 5)."""
    yield await file.take(len(_PNG))
    for _ in range(_MAX_PARTS):
        start = await file.take(8)
        size, name = int.from_bytes(start[:4], "big"), start[4:]
        if len(name) < 4 or not name.isalpha() or size >= 1 << 31:
            yield bytes(len(start))
            break
        if name[:1].isupper() or name in _PNG_KEPT:
            yield start
            async for piece in file.next(size + 4):
                yield piece
            if name == b"IEND":
                break
            continue
        data: Chunks = _blank(file.next(size))
        if name == b"eXIf" and size <= _MAX_EXIF:
            data = _once(_only_orientation(await file.take(size)))
        else:
            name = _PNG_LEFT_OUT
        yield start[:4] + name
        check = zlib.crc32(name)
        async for piece in data:
            check = zlib.crc32(piece, check)
            yield piece
        yield struct.pack(">I", check)[: len(await file.take(4))]
    async for piece in _blank(file.next()):
        yield piece


async def _once(piece: bytes) -> Chunks:
    yield piece


async def _webp(file: _Pieces) -> Chunks:
    """WebP (RFC 9649, 2)."""
    head = await file.take(12)
    yield head
    left = int.from_bytes(head[4:8], "little") - 4
    for _ in range(_MAX_PARTS):
        start = await file.take(min(left, 8))
        name, size = start[:4], int.from_bytes(start[4:], "little")
        size += size % 2
        if len(start) < 8 or size > left - 8:
            yield bytes(len(start))
            break
        left -= 8 + size
        data = file.next(size)
        if name == b"VP8X":
            flags = await file.take(min(size, 1))
            yield start + bytes(one & ~_WEBP_XMP for one in flags)
            data = file.next(size - len(flags))
        elif name == b"EXIF" and size <= _MAX_EXIF:
            yield start
            data = _once(_tiff_of(await file.take(size)))
        elif name in _WEBP_KEPT:
            yield start
        else:
            yield b"JUNK" + start[4:]
            data = _blank(data)
        async for piece in data:
            yield piece
    async for piece in _blank(file.next()):
        yield piece


def _tiff_of(payload: bytes) -> bytes:
    """Some programs write JPEG's prefix before the directory."""
    return _emptied(payload) if payload.startswith(_EXIF) else _only_orientation(payload)


async def _gif(file: _Pieces) -> Chunks:
    """GIF (Graphics Interchange Format 89a, 15 to 27), with XMP's extension before any picture."""
    head = await file.take(13)
    yield head
    yield await file.take(_colours(head[10:11]))
    for _ in range(_MAX_PARTS):
        kind = await file.take(1)
        if kind == b",":
            start = await file.take(9)
            yield kind + start
            yield await file.take(_colours(start[8:9]) + 1)
            data = file.blocks()
        elif kind == b"!":
            data = _extension(file)
            yield kind
        else:
            yield kind if kind == b";" else bytes(len(kind))
            break
        async for piece in data:
            yield piece
    async for piece in _blank(file.next()):
        yield piece


def _colours(flags: bytes) -> int:
    """Bytes of the table of colours that the flags of a screen or picture tell."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


async def _extension(file: _Pieces) -> Chunks:
    """An extension from its label on; one that is no part of the picture as blocks of zeros."""
    label = await file.take(1)
    yield label
    keeps = label == bytes((_GIF_CONTROL,))
    if label == bytes((_GIF_APPLICATION,)):
        size = await file.take(1)
        if size == b"\x0b":
            name = await file.take(11)
            keeps = name in _GIF_KEPT
            yield size + (name if keeps else bytes(len(name)))
        elif size:
            file.back()
    owed = 0
    async for piece in file.blocks():
        if keeps:
            yield piece
            continue
        owed += len(piece)
        ready = max(0, owed // len(_GIF_BLOCK) - 2)
        owed -= ready * len(_GIF_BLOCK)
        yield ready * _GIF_BLOCK
    if owed:
        yield _hollow(owed)


def _hollow(size: int) -> bytes:
    """Blocks of zeros that fill ``size`` bytes with the empty one that ends them."""
    full, rest = divmod(size - 1, len(_GIF_BLOCK))
    if rest == 1 and full:  # no block is as short
        return (full - 1) * _GIF_BLOCK + b"\xfe" + bytes(254) + b"\x01\x00" + b"\x00"
    return full * _GIF_BLOCK + (bytes((rest - 1, *bytes(rest - 1))) if rest else b"") + b"\x00"


def _way(head: bytes) -> Callable[[_Pieces], Chunks] | None:
    """The rules for a file that begins with these bytes; None if it is none of these pictures."""
    if head.startswith(bytes((0xFF, _SOI))):
        return _jpeg
    if head.startswith(_PNG):
        return _png
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp
    return _gif if head.startswith((b"GIF87a", b"GIF89a")) else None


#: The content types of these pictures.
TYPES = frozenset(f"image/{name}" for name in ("jpeg", "png", "apng", "webp", "gif"))
