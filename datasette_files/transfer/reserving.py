"""Reservations: an upload's files and bytes in its source's quotas and in its link's bounds.

An upload reserves its declared size when it begins; one without a declared size reserves as its
bytes come, before the storage gets them. A reservation ends with its upload, in whichever way: the
row's state decides (db/migrations/quotas.py). Each step is one transaction over kept totals, so
uploads that come together do not pass a quota by a byte. Leaves out limits of a single file
(sources/limits.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from sqlite3 import Connection

from ..config import SourceConfig
from ..db import quotas, shares, uploads
from ..db.batching import Catalog
from ..errors import Invalid, QuotaExceeded
from ..models import Upload
from ..sources.sources import Source

#: Bytes from which on a stream reserves as many again ahead, and the most that it reserves ahead.
_AHEAD_FROM = 1024 * 1024
_MAX_AHEAD = 16 * 1024 * 1024


@dataclass(frozen=True)
class Left:
    """Room in a source for one actor: files and bytes; None where no quota holds."""

    files: int | None = None
    bytes: int | None = None

    def as_json(self) -> dict[str, int | None]:
        return {"files": self.files, "bytes": self.bytes}


def left(conn: Connection, source: Source, actor_id: str | None, *, own: bool = True) -> Left:
    """The room that is left; ``own``: the actor's own quota counts too. Never below 0."""
    config = source.config
    if not has_quota(config):
        return Left()
    total = quotas.used(conn, source.id)
    files = None if config.quota_files is None else config.quota_files - total.files
    rooms = [] if config.quota_bytes is None else [config.quota_bytes - total.bytes]
    if own and config.quota_bytes_per_actor is not None:
        mine = quotas.used_by(conn, source.id, actor_id)
        rooms.append(config.quota_bytes_per_actor - mine.bytes)
    return Left(None if files is None else max(0, files), max(0, min(rooms)) if rooms else None)


def has_quota(config: SourceConfig) -> bool:
    """Tell whether a quota holds in a source."""
    limits = (config.quota_bytes, config.quota_files, config.quota_bytes_per_actor)
    return any(limit is not None for limit in limits)


def begin(conn: Connection, source: Source, upload: Upload) -> None:
    """Insert the upload's row, and reserve. Raises QuotaExceeded.

    Raises Invalid for bytes that go to the storage directly without a declared size: how many come
    cannot be limited.
    """
    if upload.size is None and upload.instructions is not None and _is_limited(source, upload):
        raise Invalid("size is missing; declare the file's size, as the room here is limited")
    uploads.insert(conn, upload, time.time())
    check(conn, source, upload)


def check(conn: Connection, source: Source, upload: Upload) -> None:
    """Raise QuotaExceeded if what is stored and reserved passes a quota or the link's bounds."""
    if upload.link is not None and not shares.within_bounds(conn, upload.link):
        raise QuotaExceeded(
            "This link takes no more files, or none of this size; ask its sender for a new one"
        )
    config = source.config
    if not has_quota(config):
        return
    total = quotas.used(conn, source.id)
    if config.quota_files is not None and total.files > config.quota_files:
        raise QuotaExceeded(
            f"The source {source.slug!r} takes {config.quota_files:,} files in all, and is full;"
            " delete some for good, or ask for a larger quota"
        )
    if config.quota_bytes is not None and total.bytes > config.quota_bytes:
        raise QuotaExceeded(
            f"The source {source.slug!r} has no room for this file: it takes"
            f" {config.quota_bytes:,} bytes in all; delete some for good, or ask for a larger quota"
        )
    # What comes by a link is nobody's, and has the link's own bounds.
    if config.quota_bytes_per_actor is None or upload.link is not None:
        return
    if quotas.used_by(conn, source.id, upload.actor_id).bytes > config.quota_bytes_per_actor:
        raise QuotaExceeded(
            f"You have no room for this file in the source {source.slug!r}: each person has"
            f" {config.quota_bytes_per_actor:,} bytes; delete some files for good"
        )


def settle(conn: Connection, source: Source, stored: Upload) -> None:
    """Count a completed upload, whose file is inserted. Raises QuotaExceeded as ``check``."""
    if stored.link is not None:
        shares.count_upload(conn, stored.link, stored.stored_size or 0)
    check(conn, source, stored)


def _is_limited(source: Source, upload: Upload) -> bool:
    return upload.link is not None or has_quota(source.config)


class Reservation:
    """The bytes that one upload has reserved, as its stream grows."""

    def __init__(self, database: Catalog, source: Source, upload: Upload) -> None:
        self._catalog = database
        self._source = source
        self._upload = upload
        self._reserved = upload.reserved

    async def cover(self, size: int) -> None:
        """Reserve so that ``size`` bytes may be stored in all. Raises QuotaExceeded.

        A long stream reserves ahead, if there is room, so that it seldom waits for this.
        """
        if size <= self._reserved or not _is_limited(self._source, self._upload):
            return
        ahead = size + min(size, _MAX_AHEAD) if size >= _AHEAD_FROM else size
        for wanted in sorted({size, ahead}, reverse=True):
            try:
                await self._catalog.write(partial(self._reserve, size=wanted))
            except QuotaExceeded:
                if wanted == size:
                    raise
            else:
                self._reserved = wanted
                return

    def _reserve(self, conn: Connection, size: int) -> None:
        quotas.reserve(conn, self._upload.id, size)
        check(conn, self._source, replace(self._upload, reserved=size))


@asynccontextmanager
async def lent(database: Catalog, parts: Sequence[Upload]) -> AsyncIterator[None]:
    """Lend what partial uploads have reserved to the upload that joins them.

    They are forgotten when that succeeds, and have it back when it fails.
    """

    def lend(conn: Connection) -> None:
        for part in parts:
            quotas.reserve(conn, part.id, 0)

    def take_back(conn: Connection) -> None:
        for part in parts:
            quotas.reserve(conn, part.id, part.reserved)

    await database.write(lend)
    try:
        yield
    except BaseException:
        await asyncio.shield(database.write(take_back))
        raise
