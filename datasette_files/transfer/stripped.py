"""Downloads of pictures without the place where they were taken (media/stripping.py, tiff.py).

The type that a file is stored under decides whether it is stripped, the bytes decide how.

The bytes keep their number, so conditions and ranges work as on the original, under an entity tag
of their own. A range is read from the beginning on, and never by the kernel, a proxy or a redirect.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace

from ..db import media
from ..db.batching import Catalog
from ..errors import BadType, StorageUnavailable
from ..media import sniffing, stripping, tiff
from ..models import FileRecord
from ..naming import plain
from ..protocol.ranges import ByteRange
from ..sources import reading
from ..sources.sources import Source
from . import downloads
from .downloads import Body, Kind, Plan

#: The types whose place can be left out.
TYPES = stripping.TYPES | {tiff.TYPE}
_MEDIA = ("image/", "video/", "audio/")
#: Files that hold no place by their kind, though they are of these families.
_PLACELESS = frozenset(("image/svg+xml", "image/vnd.microsoft.icon"))
#: Sound that may tell a place, as phones' recordings do; other kinds of sound do not.
_RECORDINGS = frozenset(("audio/mp4", "audio/x-m4a", "audio/3gpp"))


async def needed(catalog: Catalog, file: FileRecord, *, asked: bool = False) -> bool:
    """Tell whether the file is sent stripped where no place may be told; False: as it is.

    Of a type that nothing strips, a file passes if it is known to tell no place. The one place that
    decides which files may pass. Raises BadType, StorageUnavailable; if ``asked`` for a stripped
    file, BadType where one has yet to be read.
    """
    if file.type in TYPES:
        return True
    if not file.type.startswith(_MEDIA) or file.type in _PLACELESS:
        return False
    status, tells = await _known(catalog, file)
    name = plain(file.filename)
    if status == "pending" and not asked:
        raise StorageUnavailable(f"{name} has yet to be searched for a place; try again soon")
    unread = status in ("none", "failed")
    is_plain_sound = file.type.startswith("audio/") and file.type not in _RECORDINGS
    if (status == "done" and not tells) or (unread and is_plain_sound):
        return False
    reason = f"{name} may tell where it was made, and no {file.type} can be sent without that"
    if unread:
        reason = f"Nothing here can read whether {name} ({file.type}) tells where it was made"
    raise BadType(
        f"{reason}; ask for a copy as JPEG, PNG, WebP, GIF or TIFF, or have the administrator set"
        " location: show for its source"
    )


async def needing(catalog: Catalog, files: Iterable[FileRecord]) -> tuple[set[str], dict[str, str]]:
    """The ids of the files that a zip holds stripped: all but those known to tell no place.

    And why others cannot be sent, by id. Raises StorageUnavailable as ``needed`` does.
    """
    bare, refused = set(), {}
    for file in files:
        try:
            if await needed(catalog, file) and await _known(catalog, file) != ("done", False):
                bare.add(file.id)
        except BadType as error:
            refused[file.id] = str(error)
    return bare, refused


async def _known(catalog: Catalog, file: FileRecord) -> tuple[str, bool]:
    """``(status, whether the file tells a place)``; ``pending`` before anything is known."""
    found = await catalog.read(lambda conn: media.of_file(conn, file.id))
    return (found[0], bool(found[1].has_place)) if found else ("pending", False)


async def plan(
    source: Source, file: FileRecord, kind: Kind, method: str, headers: Mapping[str, str]
) -> Plan:
    """As ``downloads.plan``, for the stripped bytes. Of several ranges none is served."""
    tag = f"stripped-{file.sha256 or file.content_hash}" if file.content_hash else None
    asked = dict(headers)
    if "," in asked.get("range", ""):
        del asked["range"]
    made = await downloads.plan(
        source, replace(file, content_hash=tag), kind, method, asked, may_redirect=False
    )
    return replace(made, kept=False)


async def open_body(
    catalog: Catalog, source: Source, file: FileRecord, pieces: tuple[bytes | ByteRange, ...]
) -> Body:
    """As ``downloads.open_body``: the first bytes are read before headers are sent.

    Raises BadType for bytes that nothing strips, as ``needed`` does for a type.
    """
    wanted = next(one for one in pieces if isinstance(one, ByteRange))
    return Body(*await _opened(catalog, source, file, wanted))


async def stream(
    catalog: Catalog, source: Source, file: FileRecord, wanted: ByteRange
) -> AsyncGenerator[bytes, None]:
    """Yield a range of the stripped bytes. Raises as ``open_body``."""
    if not wanted.length:
        return
    made, opened = await _opened(catalog, source, file, wanted)
    async with aclosing(opened), aclosing(made) as chunks:
        async for chunk in chunks:
            yield chunk


async def _opened(
    catalog: Catalog, source: Source, file: FileRecord, wanted: ByteRange
) -> tuple[AsyncGenerator[bytes, None], AsyncGenerator[bytes, None]]:
    """The bytes, and the storage's stream that they are made of."""
    head, opened = await _begun(source, file, wanted.end)
    try:
        made = opened
        if stripping.takes(head):
            made = stripping.strip(opened)
        elif head.startswith(tiff.SIGNATURES):
            await opened.aclose()  # a storage may serve few streams at once
            segments = await _tiff(source, file)
            head, opened = await _begun(source, file, wanted.end)
            made = opened if segments is None else tiff.apply(segments, opened)
        else:
            # Stored under the name of a type that it is not. Bytes of no known type pass.
            await needed(catalog, replace(file, content_type=sniffing.sniff(head)))
    except BaseException:
        await opened.aclose()
        raise
    return _from(made, opened, wanted.start), opened


async def _begun(
    source: Source, file: FileRecord, end: int
) -> tuple[bytes, AsyncGenerator[bytes, None]]:
    """The first bytes of a file, and its bytes up to ``end`` from the first on."""
    opened = await reading.opened(source, file, 0, end)
    ahead: list[bytes] = []
    while sum(map(len, ahead)) < sniffing.HEAD and (chunk := await anext(opened, b"")):
        ahead.append(chunk)

    async def chunks() -> AsyncGenerator[bytes, None]:
        async with aclosing(opened):
            yield b""
            while ahead:
                yield ahead.pop(0)
            async for chunk in opened:
                yield chunk

    begun = chunks()
    await anext(begun)
    return b"".join(ahead)[: sniffing.HEAD], begun


async def _tiff(source: Source, file: FileRecord) -> list[tiff.Segment] | None:
    """The parts of a TIFF that are sent. Raises BadType, StorageError, StorageUnavailable."""

    async def read(start: int, end: int) -> bytes:
        end = end if file.size is None else min(end, file.size)
        if start >= end:
            return b""
        async with aclosing(reading.stream(source, file, start, end)) as chunks:
            return b"".join([chunk async for chunk in chunks])

    try:
        return await tiff.plan(read)
    except tiff.Unstrippable as error:
        raise BadType(
            f"{error}, so {plain(file.filename)} cannot be sent stripped; ask for a copy as PNG"
        ) from error


async def _from(
    made: AsyncGenerator[bytes, None], opened: AsyncGenerator[bytes, None], skipped: int
) -> AsyncGenerator[bytes, None]:
    async with aclosing(opened), aclosing(made) as pieces:
        async for piece in pieces:
            if len(piece) > skipped:
                yield piece[skipped:]
            skipped = max(0, skipped - len(piece))
            await asyncio.sleep(0)  # a piece of many parts takes milliseconds
