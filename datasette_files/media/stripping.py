"""Pictures without what they tell beside the picture: place, time, camera, comments. Pure.

Nothing is decoded, and no byte moves: what is left out becomes zeros in a part that readers skip,
so the length stays, and ranges and checks of the length hold. The orientation and the colour
profile stay. Where the structure breaks, and behind the end of the picture (the second picture or
the video of some phones), all is zeros. A file without its type's signature passes unchanged: no
reader takes it for one.
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
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA

Chunks = AsyncGenerator[bytes, None]


def strip(content_type: str, chunks: AsyncIterator[bytes]) -> Chunks:
    """The same number of bytes, without what tells of more than the picture. Raises KeyError."""
    return _STRIPPERS[content_type](_Pieces(chunks))


class _Pieces:
    """The bytes of a file by number, whatever the size of its chunks."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    async def some(self) -> bytes:
        """The next bytes at hand; none at the end."""
        found, self._left = self._left, b""
        while not found:
            try:
                found = await anext(self._chunks)
            except StopAsyncIteration:
                break
        return found

    def back(self, rest: bytes) -> None:
        """Put the end of ``some`` back."""
        self._left = rest + self._left

    async def take(self, number: int) -> bytes:
        """The next bytes in one piece; fewer at the end."""
        parts: list[bytes] = []
        while number > 0 and (found := await self.some()):
            self.back(found[number:])
            parts.append(found[:number])
            number -= len(parts[-1])
        return b"".join(parts)

    async def next(self, number: int | None = None) -> Chunks:
        """The next bytes as they come; None: all that are left."""
        while number != 0 and (found := await self.some()):
            if number is not None:
                self.back(found[number:])
                found = found[:number]
                number -= len(found)
            yield found


async def _blank(pieces: Chunks) -> Chunks:
    async for piece in pieces:
        for start in range(0, len(piece), len(_ZEROS)):
            yield _ZEROS[: len(piece) - start]


async def _jpeg(file: _Pieces) -> Chunks:
    """JPEG (ITU-T T.81, B), with Exif's and Adobe's segments."""
    head = await file.take(2)
    yield head
    if head != bytes((0xFF, _SOI)):
        async for piece in file.next():
            yield piece
        return
    while len(marker := await file.take(2)) == 2 and marker[0] == 0xFF:
        if marker[1] == 0xFF:  # a fill byte
            yield b"\xff"
            file.back(b"\xff")
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
            async for piece in _entropy(file):
                yield piece
    else:
        yield bytes(len(marker))
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


async def _entropy(file: _Pieces) -> Chunks:
    """The coded data up to the next marker."""
    while data := await file.some():
        found = _MARKER.search(data)
        if found is not None:
            file.back(data[found.start() :])
            yield data[: found.start()]
            return
        if data[-1] == 0xFF:  # the marker's second byte is in the next piece
            more = await file.take(1)
            yield data[:-1]
            if not more:
                yield data[-1:]
                return
            file.back(data[-1:] + more)
            if _MARKER.match(data[-1:] + more):
                return
            yield await file.take(1)
            continue
        yield data


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
    head = await file.take(len(_PNG))
    yield head
    if head != _PNG:
        async for piece in file.next():
            yield piece
        return
    while len(start := await file.take(8)) == 8:
        size, name = int.from_bytes(start[:4], "big"), start[4:]
        if not name.isalpha() or size >= 1 << 31:
            yield bytes(8)
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
    else:
        yield bytes(len(start))
    async for piece in _blank(file.next()):
        yield piece


async def _once(piece: bytes) -> Chunks:
    yield piece


async def _webp(file: _Pieces) -> Chunks:
    """WebP (RFC 9649, 2)."""
    head = await file.take(12)
    yield head
    if head[:4] != b"RIFF" or head[8:] != b"WEBP":
        async for piece in file.next():
            yield piece
        return
    left = int.from_bytes(head[4:8], "little") - 4
    while left >= 8:
        start = await file.take(8)
        if len(start) < 8:
            yield bytes(len(start))
            break
        name, size = start[:4], int.from_bytes(start[4:], "little")
        size += size % 2
        if size > left - 8:
            yield bytes(8)
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


_STRIPPERS: dict[str, Callable[[_Pieces], Chunks]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/apng": _png,
    "image/webp": _webp,
}
#: The content types that ``strip`` takes.
TYPES = frozenset(_STRIPPERS)
