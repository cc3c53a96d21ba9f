"""Downloads of pictures without the place where they were taken (media/stripping.py).

The bytes keep their number, so conditions and ranges work as on the original, under an entity tag
of their own. A range is read from the beginning on, and never by the kernel, a proxy or a redirect.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from dataclasses import replace

from ..db import media
from ..db.batching import Catalog
from ..errors import BadType, StorageUnavailable
from ..media import stripping
from ..models import FileRecord
from ..protocol.ranges import ByteRange
from ..sources import reading
from ..sources.sources import Source
from . import downloads
from .downloads import Body, Kind, Plan

_MEDIA = ("image/", "video/", "audio/")


async def needed(catalog: Catalog, file: FileRecord, *, asked: bool = False) -> bool:
    """Tell whether the file is sent stripped where no place may be told; False: as it is.

    Of a type that nothing strips, a file passes if it is known to tell no place, and one that
    nothing can read unless ``asked`` for a stripped one. Raises BadType, StorageUnavailable.
    """
    if file.type in stripping.TYPES:
        return True
    if not file.type.startswith(_MEDIA):
        return False
    status, tells = await _known(catalog, file)
    if status == "pending" and not asked:
        raise StorageUnavailable("This file has yet to be searched for a place; try again soon")
    if (status == "done" and not tells) or (status in ("none", "failed") and not asked):
        return False
    raise BadType(
        f"This file may tell where it was made, and no {file.type} can be sent without that; ask"
        " for a copy as JPEG, PNG or WebP, or with the place removed"
    )


async def check_originals(catalog: Catalog, files: Iterable[FileRecord]) -> None:
    """Refuse files that may tell a place, where originals are sent: in a zip.

    Raises BadType, StorageUnavailable.
    """
    for file in files:
        if not await needed(catalog, file):
            continue
        status, tells = await _known(catalog, file)
        if status == "pending":
            raise StorageUnavailable(
                "These files have yet to be searched for places; try again soon, or fetch them one"
                " by one"
            )
        if status != "done" or tells:
            raise BadType(
                "A picture among these files may tell where it was taken, and a zip holds"
                " originals; fetch the files one by one"
            )


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
    source: Source, file: FileRecord, pieces: tuple[bytes | ByteRange, ...]
) -> Body:
    """As ``downloads.open_body``: the first bytes are read before headers are sent."""
    wanted = next(one for one in pieces if isinstance(one, ByteRange))
    opened = await reading.opened(source, file, 0, wanted.end)
    return Body(_stripped(file.type, opened, wanted.start), opened)


async def _stripped(
    content_type: str, opened: AsyncGenerator[bytes, None], skipped: int
) -> AsyncGenerator[bytes, None]:
    async with (
        aclosing(opened) as chunks,
        aclosing(stripping.strip(content_type, chunks)) as pieces,
    ):
        async for piece in pieces:
            if len(piece) > skipped:
                yield piece[skipped:]
            skipped = max(0, skipped - len(piece))
