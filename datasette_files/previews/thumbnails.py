"""Thumbnails: the cache, what makes them, what came of trying, and the order of the work.

Generators of plugins are asked first (generators.py); then the workers, which alone decode anything
of ours (previews/workers.py). A source has its share of the work: where its storage hangs, the
others' go on. What cannot be pictured is remembered until the settings or the generators
change; what failed for another reason is tried again after a pause. Icons are in previews/icons.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

from ..base import TIME_FORMAT, ThumbnailGenerator
from ..config import PluginConfig
from ..db import batching, thumbnails
from ..db.thumbnails import DEFAULT_SIDE, Thumbnail, ThumbnailFailure
from ..errors import FilesError, FileTooLarge, StorageError
from ..models import FileRecord
from ..sources import reading
from ..sources.sources import Source
from . import kinds
from .generators import Generators
from .icons import icon
from .queue import NotYet, Queue
from .workers import TRANSFER_SECONDS, Blameless, Job, Limits, Lost, Refused, Workers

logger = logging.getLogger("datasette_files")

#: The sides that ``?w=`` takes, in pixels.
SIDES = (DEFAULT_SIDE, 400, 800, 1600)
#: Seconds for which a request waits for its thumbnail, before it is given an icon for now.
WAIT_SECONDS = 20.0
#: Seconds until a file is tried again: after a storage's failure, and after a worker's.
PAUSE_SECONDS = 120.0
LOST_PAUSE_SECONDS = 300.0
#: Seconds after which it is looked anew which optional parts are installed.
LOOK_SECONDS = 60.0
#: So often a worker may be lost over a file, before the file is taken to be the reason.
ATTEMPTS = 3
#: So many sources may wait for their storages before work for the next one waits too.
_SOURCES = 8
_WEBP = "image/webp"
_NAMES = {"image": "pillow", "pdf": "pypdfium2", "clip": "ffmpeg"}


@dataclass(frozen=True)
class Shown:
    """A thumbnail or an icon. An icon that is not ``settled`` may be a thumbnail the next time."""

    thumbnail: Thumbnail
    settled: bool = True


class _NotMade(Exception):
    """There is no thumbnail. ``pause`` in seconds; None: for good."""

    def __init__(self, reason: str, pause: float | None = None, *, counts: bool = False) -> None:
        super().__init__(reason)
        self.pause = pause
        #: Whether a third time is the last.
        self.counts = counts


class Thumbnails:
    """The thumbnails of one Datasette."""

    def __init__(self, database: batching.Catalog, config: PluginConfig) -> None:
        self._catalog = database
        self._config = config
        self._kinds = kinds.installed()
        self._looked = time.monotonic()
        self._queue: Queue[tuple[Thumbnail, ...]] = Queue(
            _SOURCES * config.thumbnail_concurrency, config.thumbnail_concurrency
        )
        limits = Limits(
            memory=config.thumbnail_process_memory_limit_bytes,
            max_bytes=config.thumbnail_max_source_bytes,
            max_pixels=config.thumbnail_max_pixels,
            seconds=config.thumbnail_timeout_seconds,
        )
        self.workers = Workers(
            config.thumbnail_concurrency, limits, heif=self._kinds.heif, ffmpeg=self._kinds.ffmpeg
        )
        self._limits = limits
        self._known: list[str] = []
        self._fingerprint = ""
        self.use([])

    def use(self, generators: list[ThumbnailGenerator]) -> None:
        """At start: ask those of plugins first, in this order."""
        config = self._config
        self._plugins = Generators(
            generators, config.thumbnail_concurrency, config.thumbnail_timeout_seconds
        )
        self._known = [f"{type(one).__module__}.{type(one).__qualname__}" for one in generators]
        self._mark()

    def _mark(self) -> None:
        """By what a failure is to be known, should it be of other rules than today's."""
        made_by = f"{self._kinds.versions} {self._limits} {self._known}"
        self._fingerprint = hashlib.sha256(made_by.encode()).hexdigest()[:16]

    @property
    def waiting(self) -> int:
        """Thumbnails that are being made, or will be."""
        return self._queue.waiting

    def can_picture(self, source: Source, file: FileRecord) -> bool:
        """Whether a built-in generator knows the type, and the file is not too large for it."""
        return (
            source.config.thumbnails
            and self._kinds.of(file.type) is not None
            and not self._too_large(file)
        )

    async def failed(self, file: FileRecord) -> bool:
        """Whether it is known that there is no thumbnail of the file, for now at least."""
        failure = await self._catalog.read(lambda conn: thumbnails.failure(conn, file.id))
        return failure is not None and failure.holds(self._fingerprint, time.time())

    async def get(
        self,
        source: Source,
        file: FileRecord,
        side: int = DEFAULT_SIDE,
        *,
        webp: bool = False,
        asker: str = "",
    ) -> Shown:
        """The file's thumbnail within ``side`` by ``side``: cached, made now, or an icon.

        ``webp``: whether the client takes WebP. Those who ask under different names are served in
        turn.
        """
        await self._look()

        def look(conn: batching.Connection) -> tuple[Thumbnail | None, ThumbnailFailure | None]:
            found = thumbnails.find(conn, file.id, side, webp=webp)
            return found, None if found else thumbnails.failure(conn, file.id)

        if not source.config.thumbnails:
            return Shown(_icon(file))
        found, failure = await self._catalog.read(look)
        if found is not None:
            return Shown(found)
        if not self._may_try(file) or (
            failure is not None and failure.holds(self._fingerprint, time.time())
        ):
            return Shown(_icon(file), settled=failure is None or failure.retry_at is None)
        work = partial(self._make, source, file, side, failure)
        try:
            made = await self._queue.ask((file.id, side), work, asker, WAIT_SECONDS, source.slug)
        except NotYet:
            return Shown(_icon(file), settled=False)
        # The last is the smallest, and may be WebP.
        fit = [one for one in made if webp or len(made) == 1 or one.content_type != _WEBP]
        return Shown(fit[-1]) if fit else Shown(_icon(file), settled=False)

    async def close(self) -> None:
        """End what still runs, and every worker."""
        await self._queue.close()
        await self._plugins.close()
        await self.workers.close()

    def make_eagerly(self, source: Source, file: FileRecord) -> None:
        """After an upload: have the thumbnail made soon, if the configuration says so."""
        if self._config.thumbnail_eager and source.config.thumbnails and self._may_try(file):
            work = partial(self._make, source, file, DEFAULT_SIDE, None)
            self._queue.add((file.id, DEFAULT_SIDE), work, source.slug)

    async def _look(self) -> None:
        """Now and then: what has been installed or removed since."""
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        found = await asyncio.to_thread(kinds.installed)
        if found != self._kinds:
            self._kinds = found
            self.workers.use(heif=found.heif, ffmpeg=found.ffmpeg)
            self._mark()

    def _too_large(self, file: FileRecord) -> bool:
        return file.size is not None and file.size > self._limits.max_bytes

    def _may_try(self, file: FileRecord) -> bool:
        known = self._known or self._kinds.of(file.type) is not None
        return bool(known) and not self._too_large(file)

    async def _make(
        self, source: Source, file: FileRecord, side: int, before: ThumbnailFailure | None
    ) -> tuple[Thumbnail, ...]:
        """Make and cache it; nothing where there is none, which is written down too."""
        try:
            made, size = await self._generate(source, file, side)
        except _NotMade as error:
            await self._remember(file, error, before)
            return ()

        def keep(conn: batching.Connection) -> None:
            thumbnails.put(conn, made, side)
            if size is not None:
                thumbnails.set_size(conn, file.id, *size)

        try:
            await self._catalog.write(keep)
        except FilesError as error:
            logger.warning("The thumbnail of %s is not cached: %s", file.id, error)
        return made

    async def _remember(
        self, file: FileRecord, error: _NotMade, before: ThumbnailFailure | None
    ) -> None:
        attempts = 1
        if before is not None and before.fingerprint == self._fingerprint:
            attempts += before.attempts
        final = error.pause is None or (error.counts and attempts >= ATTEMPTS)
        retry_at = None if final else time.time() + (error.pause or 0)
        missing = isinstance(error.__cause__, reading.Missing)
        failure = ThumbnailFailure(self._fingerprint, str(error)[:500], attempts, retry_at)
        logger.log(
            # A missing file is logged by who misses it.
            logging.INFO if error.pause is None or missing else logging.WARNING,
            "No thumbnail of %s%s: %s",
            *(file.id, "" if final else " for now", error),
        )
        try:
            await self._catalog.write(lambda conn: thumbnails.put_failure(conn, file.id, failure))
        except FilesError as trouble:
            logger.warning("What came of %s is not written down: %s", file.id, trouble)

    async def _generate(
        self, source: Source, file: FileRecord, side: int
    ) -> tuple[tuple[Thumbnail, ...], tuple[int, int] | None]:
        """The thumbnails, and the file's own size in pixels where that is known now."""
        content = partial(_content, source, file, self._limits.max_bytes)
        try:
            found, trouble = await self._plugins.first(file.type, file.filename, side, content)
            if found is not None:
                name, result = found
                size = result.width, result.height
                encoded = result.thumb_bytes, result.content_type
                return (_thumbnail(file, *encoded, *size, name),), None
            kind = self._kinds.of(file.type)
            if kind is None:
                pause = LOST_PAUSE_SECONDS if trouble else None
                counts = trouble != "busy"
                raise _NotMade("no generator makes one", pause, counts=counts)
            return await self._by_workers(source, file, Job(kind, file.type, side))
        except FileTooLarge as error:
            raise _NotMade(str(error)) from error
        except FilesError as error:
            # An outage says nothing about the file.
            raise _NotMade(str(error), PAUSE_SECONDS) from error

    async def _by_workers(
        self, source: Source, file: FileRecord, job: Job
    ) -> tuple[tuple[Thumbnail, ...], tuple[int, int] | None]:
        pieces = _pieces(source, file, self._limits.max_bytes)
        try:
            async with aclosing(pieces):
                answer = await self.workers.run(job, pieces)
        except Refused as error:
            raise _NotMade(str(error)) from error
        except Lost as error:
            counts = not isinstance(error, Blameless)
            raise _NotMade(str(error), LOST_PAUSE_SECONDS, counts=counts) from error
        made = tuple(
            _thumbnail(file, one.content, one.content_type, one.width, one.height, _NAMES[job.kind])
            for one in answer.images
        )
        if answer.width is None or answer.height is None:
            return made, None
        return made, (answer.width, answer.height)


def _thumbnail(
    file: FileRecord, content: bytes, content_type: str, width: int, height: int, generator: str
) -> Thumbnail:
    now = datetime.now(timezone.utc).strftime(TIME_FORMAT)
    return Thumbnail(file.id, content, content_type, width, height, generator, now)


async def _content(source: Source, file: FileRecord, limit: int) -> bytes:
    """The file whole, for a generator of a plugin. Raises StorageError and FileTooLarge."""
    try:
        return await asyncio.wait_for(reading.limited(source, file, limit), TRANSFER_SECONDS)
    except asyncio.TimeoutError:
        raise StorageError(f"To read it takes longer than {TRANSFER_SECONDS:g} s") from None


async def _pieces(source: Source, file: FileRecord, limit: int) -> AsyncGenerator[bytes, None]:
    """The file as its storage streams it. Raises StorageError, StorageUnavailable, FileTooLarge."""
    total = 0
    async with aclosing(reading.stream(source, file, 0, limit + 1)) as chunks:
        async for chunk in chunks:
            total += len(chunk)
            if total > limit:
                raise FileTooLarge(f"The file has more than {limit} bytes")
            yield chunk


def entity_tag(thumbnail: Thumbnail) -> str:
    """A strong entity tag of the thumbnail's bytes."""
    return f'"{hashlib.sha256(thumbnail.thumbnail).hexdigest()[:32]}"'


def _icon(file: FileRecord) -> Thumbnail:
    svg = icon(file.type, file.filename)
    return Thumbnail(file.id, svg.encode(), "image/svg+xml", 200, 200, "icon", file.created_at)
