"""What is in an archive, from a bounded part of its bytes. Opens no member.

Of a zip its end is read, which holds its directory; of a tar its beginning, in which headers and
contents take turns. tarfile is not used: what hostile headers can make it do differs by Python's
patch release.
"""

from __future__ import annotations

import bz2
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass

_BLOCK = 512
#: Types of tar members (POSIX.1-2024, pax; GNU's L): files, folders, links; and what names others.
_FOLDER, _LONG_NAME, _PAX = b"5", b"L", b"x"
_UNLISTED = (b"g", b"K", b"V")
#: What zipfile makes of a directory that is damaged, by its Python's release: offsets beyond what
#: can be sought among them.
_DAMAGED = (
    *(zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError),
    *(struct.error, EOFError, OSError, IndexError),
)


@dataclass(frozen=True)
class Entry:
    """One member. ``size`` in bytes, unpacked, as the archive claims."""

    name: str
    size: int
    folder: bool


@dataclass(frozen=True)
class Listing:
    """The first members. ``total`` is None where more may follow than could be seen."""

    entries: list[Entry]
    total: int | None


def zip_listing(tail: bytes, most: int) -> Listing | None:
    """From the end of a zip; None where its whole directory is not in there."""
    try:
        with zipfile.ZipFile(io.BytesIO(tail)) as archive:
            members = archive.infolist()
    except _DAMAGED:
        return None
    # Not is_dir(): it stumbles over a member without a name.
    entries = [
        Entry(one.filename, one.file_size, one.filename.endswith("/")) for one in members[:most]
    ]
    return Listing(entries, len(members))


def unpacked(head: bytes, most: int) -> bytes | None:
    """The beginning of what gzip or bzip2 packed, at most ``most`` bytes; None for neither."""
    try:
        if head.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(wbits=31).decompress(head, most)
        if head.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(head, most)
    except (zlib.error, OSError, ValueError):
        return None
    return None


def tar_listing(head: bytes, most: int) -> Listing | None:
    """From the beginning of a tar; None for bytes that are none."""
    entries: list[Entry] = []
    name: str | None = None
    at = 0
    while at + _BLOCK <= len(head):
        block = head[at : at + _BLOCK]
        if not block.strip(b"\0"):
            return Listing(entries, len(entries))
        size = _number(block[124:136])
        if size is None or not _checks(block):
            return Listing(entries, None) if entries else None
        kind = block[156:157]
        content = head[at + _BLOCK : at + _BLOCK + min(size, 4096)]
        at += _BLOCK + -(-size // _BLOCK) * _BLOCK
        if kind == _LONG_NAME:
            name = _text(content)
        elif kind == _PAX:
            name = _pax_path(content) or name
        elif kind not in _UNLISTED:
            if len(entries) == most:
                return Listing(entries, None)
            entries.append(Entry(name or _name(block), size, kind == _FOLDER))
            name = None
    return Listing(entries, None) if entries else None


def _checks(block: bytes) -> bool:
    """Whether the header's sum is right: its own eight bytes count as spaces."""
    stored = _number(block[148:156])
    return stored == sum(block) - sum(block[148:156]) + 8 * 0x20


def _number(field: bytes) -> int | None:
    """An octal number; or, GNU's way for large ones, one of base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        number = int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        return None
    # int() takes a sign: by a size below zero the next header would be this one again, for ever.
    return number if number >= 0 else None


def _name(block: bytes) -> str:
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{_text(block[:100])}" if prefix else _text(block[:100])


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _pax_path(content: bytes) -> str | None:
    """``path`` of records such as ``30 path=long/name\\n``."""
    _, found, rest = content.partition(b" path=")
    return rest.split(b"\n", 1)[0].decode("utf-8", "replace") if found else None
