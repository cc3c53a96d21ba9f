"""Facts about pictures, videos and sound, read after their upload and again by a better reader.

One process at a time, under a lease per source, reads one file after the other, the newest first.
Between files that have been there for long it rests. Leaves out the confined process's part
(worker/facts.py) and what is shown to whom.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from functools import partial
from sqlite3 import Connection
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..config import PluginConfig
from ..db import media
from ..db.batching import Catalog
from ..db.media import Facts
from ..errors import FilesError
from ..jobs.rounds import Round
from ..models import FileRecord, written
from ..sandbox import framing, process
from ..sources import reading
from ..sources.sources import Source
from . import kinds
from .media_types import DEMUXERS, HEIF_TYPES, IMAGE_TYPES
from .workers import STALL_SECONDS, Limits, programs

logger = logging.getLogger("datasette_files")

#: Seconds between two searches for files that are due.
INTERVAL = 3.0
#: Seconds. A process that dies with the lease delays the others by at most this.
_LEASE_SECONDS = 30.0
#: Files that are looked at together.
_BATCH = 100
#: Raise this when more is read: then all files are read again.
_VERSION = 4
#: A JPEG has its facts before its pixels, in segments of 64 KiB (Exif 2.32, 4.5.4).
_JPEG_HEAD = 1024 * 1024
#: Seconds after which a file is an old one. After each, the round rests as long as it worked.
_OLD_SECONDS, _REST_SECONDS = 3600.0, 0.1

_Text = Annotated[str, Field(max_length=200)]
_Pixels = Annotated[int, Field(ge=0, lt=1 << 31)]


class _Expected(BaseModel):
    """The facts of an answer. A hostile file may control the process, so they are validated."""

    model_config = ConfigDict(extra="forbid", strict=True)

    taken_at: (
        Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT[\d:]{8}([+-]\d\d:\d\d)?$")] | None
    ) = None
    camera: _Text | None = None
    lens: _Text | None = None
    duration: Annotated[float, Field(ge=0, lt=1e9, allow_inf_nan=False)] | None = None
    width: _Pixels | None = None
    height: _Pixels | None = None
    latitude: Annotated[float, Field(ge=-90, le=90)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    has_place: bool = False


class MediaFacts:
    """The facts in one Datasette: a round for each source."""

    def __init__(self, catalog: Catalog, config: PluginConfig) -> None:
        self._catalog = catalog
        self._limits = Limits(
            memory=config.thumbnail_process_memory_limit_bytes,
            max_bytes=config.thumbnail_max_source_bytes,
            max_pixels=config.thumbnail_max_pixels,
            seconds=config.thumbnail_timeout_seconds,
        )
        #: Files are read one at a time, whatever their source.
        self._turn = asyncio.Semaphore(1)

    def of(self, source: Source) -> SourceFacts:
        """The reading of one source."""
        return SourceFacts(self._catalog, source, self._limits, self._turn)


class SourceFacts:
    """Reads the facts of one source's files."""

    def __init__(
        self, catalog: Catalog, source: Source, limits: Limits, turn: asyncio.Semaphore
    ) -> None:
        self._catalog, self._source = catalog, source
        self._limits, self._turn = limits, turn
        self._parts: _Parts | None = None
        self._child: process.Child | None = None
        self._read = 0
        self.round = Round(
            *(catalog, f"media {source.slug}", self._pass),
            interval=INTERVAL,
            lease_seconds=_LEASE_SECONDS,
            first_after=INTERVAL,
        )

    async def _pass(self) -> None:
        """Read every file that is due, unless another process has the lease."""
        if self._parts is None:
            parts = await asyncio.to_thread(_Parts)
            if not await self._renew(parts.version):
                return
            self._parts = parts
        try:
            while self._source.down is None and await self._catalog.read(self._first):
                if not await self._catalog.write(self.round.hold):
                    return
                # Read again under the lease: another process may have read the files meanwhile.
                for file in await self._catalog.read(self._due):
                    await self.round.keep()
                    if not await self._file(self._parts, file):
                        return
        finally:
            await self._close()

    def _first(self, conn: Connection) -> bool:
        return bool(media.due(conn, self._source.id, time.time(), 1))

    def _due(self, conn: Connection) -> list[FileRecord]:
        return media.due(conn, self._source.id, time.time(), _BATCH)

    async def _renew(self, version: str) -> bool:
        """Queue what other parts have read. False while another process has the lease."""
        find = partial(media.read_by_others, source_id=self._source.id, reader=version)
        while seqs := await self._catalog.query(find):
            if not await self._catalog.write(self.round.hold):
                return False
            await self._catalog.write(partial(media.requeue, seqs=seqs))
        return True

    async def _file(self, parts: _Parts, file: FileRecord) -> bool:
        """Read one file. False where the storage or the system fails: it is tried again later."""
        kind = parts.kind(file.type)
        finish = partial(media.finish, file=file, reader=parts.version)
        if kind is None:
            await self._catalog.write(partial(finish, status="none", facts=Facts()))
            return True
        async with self._turn:
            begun = time.monotonic()
            try:
                facts, problem = await self._facts(parts, file, kind)
            except (FilesError, OSError, asyncio.TimeoutError) as error:
                await self._close()
                reason = str(error)[:500] or "it takes too long to hand it over"
                if not isinstance(error, reading.Missing):  # reading.py has logged that
                    logger.warning("The facts of %s cannot be read yet: %s", file.id, reason)
                await self._catalog.write(
                    lambda conn: media.postpone(conn, file.id, time.time(), reason)
                )
                return isinstance(error, reading.Missing)
        status: media.Status = "done" if problem is None else "failed"
        await self._catalog.write(partial(finish, status=status, facts=facts, error=problem))
        if file.created_at < written(time.time() - _OLD_SECONDS):
            await asyncio.sleep(min(max(time.monotonic() - begun, _REST_SECONDS), 5.0))
        return True

    async def _facts(self, parts: _Parts, file: FileRecord, kind: str) -> tuple[Facts, str | None]:
        """The facts, and why there are none. Raises FilesError, OSError, TimeoutError."""
        end = _JPEG_HEAD if file.type == "image/jpeg" else None
        if end is None and (file.size or 0) > self._limits.max_bytes:
            return Facts(), f"It has more than {self._limits.max_bytes:,} bytes"
        async with aclosing(reading.stream(self._source, file, 0, end)) as content:
            # The first bytes before all else: no process is begun for a file that is missing.
            first = await asyncio.wait_for(anext(content, b""), STALL_SECONDS)
            child = await self._ready(parts)
            try:
                child.send({"kind": kind, "content_type": file.type})
                await child.feed(_bounded(first, content, self._limits.max_bytes))
                child.end_file()
                answer = await asyncio.wait_for(
                    child.receive(), self._limits.seconds * process.PATIENCE
                )
                facts, problem = _checked(answer)
            except process.NO_ANSWER:
                await self._close()
                return Facts(), "Its reader ended: it is damaged, or takes too much memory"
            except _TooSlow:
                raise asyncio.TimeoutError from None
            except asyncio.TimeoutError:
                await self._close()
                return Facts(), "It takes too long to read"
            except BaseException:
                await self._close()  # amid a message
                raise
        if answer.get("ends") or self._read >= self._limits.tasks:
            await self._close()
        return facts, problem

    async def _ready(self, parts: _Parts) -> process.Child:
        if self._child is None or not self._child.alive:
            await self._close()
            run = await asyncio.to_thread(programs, parts.ffprobe)
            try:
                child = await process.Child.start("previews.worker.facts", self._limits, run=run)
            except process.NO_ANSWER as error:
                raise OSError(f"no process can be started: {error}") from error
            child.send({**asdict(self._limits), "heif": parts.heif, "ffprobe": parts.ffprobe})
            self._child, self._read = child, 0
        self._read += 1
        return self._child

    async def _close(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.close()


class _Parts:
    """The installed parts that read facts. Made in a thread, as it reads directories."""

    def __init__(self) -> None:
        self.heif = kinds.installed().heif
        self.ffprobe = shutil.which("ffprobe") or ""
        known = [name for name in ("heif", "ffprobe") if getattr(self, name)]
        self.version = " ".join((str(_VERSION), *known))

    def kind(self, content_type: str) -> str | None:
        """``image`` or ``clip``; None for a type that nothing reads here."""
        if content_type in IMAGE_TYPES or (self.heif and content_type in HEIF_TYPES):
            return "image"
        return "clip" if self.ffprobe and content_type in DEMUXERS else None


class _TooSlow(Exception):
    """The storage takes too long to hand over the file."""


async def _bounded(first: bytes, content: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """The same pieces, at most ``most`` bytes. Raises _TooSlow if the storage is too slow."""
    piece: bytes | None = first
    while piece and most > 0:
        yield piece[:most]
        most -= len(piece)
        try:
            piece = await asyncio.wait_for(anext(content, None), STALL_SECONDS)
        except asyncio.TimeoutError:
            raise _TooSlow from None


def _checked(answer: dict[str, Any]) -> tuple[Facts, str | None]:
    """The facts of an answer, or its problem. Raises Broken for anything else."""
    if "problem" in answer:
        return Facts(), " ".join(str(answer["problem"]).split())[:500]
    try:
        expected = _Expected.model_validate(answer.get("facts"))
    except ValidationError as error:
        raise framing.Broken("an answer has the wrong facts") from error
    return Facts(**expected.model_dump()), None
