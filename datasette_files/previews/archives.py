"""Lists the members of an archive from a bounded part of its bytes. Opens no member.

A zip has its directory at the end, so its tail is read. A tar has a header before each member, so
its head is read. tarfile is not used: hostile headers affect it differently in each patch release
of Python.
"""

from __future__ import annotations

import bz2
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass

_BLOCK = 512
#: Types of tar blocks (POSIX.1-2024, pax; L is GNU's): a folder, and two that name the next member.
_FOLDER, _LONG_NAME, _PAX = b"5", b"L", b"x"
#: Blocks that are not members: global pax headers, GNU's link names and volume labels.
_UNLISTED = (b"g", b"K", b"V")
#: zipfile raises these for a damaged directory, depending on the release of Python.
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
    """The first members. ``total`` is None if the bytes end before the archive does."""

    entries: list[Entry]
    total: int | None


def zip_listing(tail: bytes, limit: int) -> Listing | None:
    """List a zip from its last bytes; None if they do not hold the whole directory."""
    try:
        with zipfile.ZipFile(io.BytesIO(tail)) as archive:
            members = archive.infolist()
    except _DAMAGED:
        return None
    # Not is_dir(): it fails for a member without a name.
    entries = [
        Entry(one.filename, one.file_size, one.filename.endswith("/")) for one in members[:limit]
    ]
    return Listing(entries, len(members))


def unpacked(head: bytes, max_bytes: int) -> bytes | None:
    """Decompress the head of a gzip or bzip2 file; None for other bytes."""
    try:
        if head.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(wbits=31).decompress(head, max_bytes)
        if head.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(head, max_bytes)
    except (zlib.error, OSError, ValueError):
        return None
    return None


def tar_listing(head: bytes, limit: int) -> Listing | None:
    """List a tar from its first bytes; None for bytes that are not a tar."""
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
            if len(entries) == limit:
                return Listing(entries, None)
            entries.append(Entry(name or _name(block), size, kind == _FOLDER))
            name = None
    return Listing(entries, None) if entries else None


def _checks(block: bytes) -> bool:
    """Tell whether the header's checksum is right. Its own eight bytes count as spaces."""
    stored = _number(block[148:156])
    return stored == sum(block) - sum(block[148:156]) + 8 * 0x20


def _number(field: bytes) -> int | None:
    """Parse an octal number, or a base-256 number, as GNU tar writes large ones."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        number = int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        return None
    # int() accepts a sign. With a negative size, the loop would read the same header for ever.
    return number if number >= 0 else None


def _name(block: bytes) -> str:
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""
    return f"{prefix}/{_text(block[:100])}" if prefix else _text(block[:100])


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "replace")


def _pax_path(content: bytes) -> str | None:
    """Return the ``path`` of pax records such as ``30 path=long/name\\n``."""
    _, found, rest = content.partition(b" path=")
    return rest.split(b"\n", 1)[0].decode("utf-8", "replace") if found else None
