"""Thumbnails: made, cached, and queued; failures remembered and tried again.

Plugins' generators are asked first (generators.py), then the workers, which decode for the built-in
generators (workers.py). Each source has its share of the queue, so a storage that hangs does not
stop the others. A file that cannot be drawn is remembered until the settings or the generators
change; after any other failure it is tried again. Leaves out drawing icons (icons.py).
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

from .. import telemetry
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
#: Seconds for which a request waits for its thumbnail. Then it gets an icon.
WAIT_SECONDS = 20.0
#: Seconds until a file is tried again after a failure of its storage, and of a worker.
PAUSE_SECONDS = 120.0
LOST_PAUSE_SECONDS = 300.0
#: Seconds between two checks of which optional parts are installed.
LOOK_SECONDS = 60.0
#: A file that loses this many workers is not tried again.
ATTEMPTS = 3
#: Sources that can hang before the work of all others waits too.
_MAX_HANGING_SOURCES = 8
_WEBP = "image/webp"
_NAMES = {"image": "pillow", "pdf": "pypdfium2", "clip": "ffmpeg"}


@dataclass(frozen=True)
class Shown:
    """A thumbnail or an icon. Unless ``settled``, a later request may get a thumbnail instead."""

    thumbnail: Thumbnail
    settled: bool = True


class _NotMade(Exception):
    """No thumbnail was made. ``pause``: seconds until the next attempt; None: no other."""

    def __init__(self, reason: str, pause: float | None = None, *, counts: bool = False) -> None:
        super().__init__(reason)
        self.pause = pause
        #: Whether the file is given up after ``ATTEMPTS`` failures.
        self.counts = counts


class Thumbnails:
    """The thumbnails of one Datasette."""

    def __init__(self, database: batching.Catalog, config: PluginConfig) -> None:
        self._catalog = database
        self._config = config
        self._kinds = kinds.installed()
        self._looked = time.monotonic()
        self._queue: Queue[tuple[Thumbnail, ...]] = Queue(
            _MAX_HANGING_SOURCES * config.thumbnail_concurrency, config.thumbnail_concurrency
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
        """Ask these generators of plugins first, in this order. Called at start."""
        config = self._config
        self._plugins = Generators(
            generators, config.thumbnail_concurrency, config.thumbnail_timeout_seconds
        )
        self._known = [f"{type(one).__module__}.{type(one).__qualname__}" for one in generators]
        self._mark()

    def _mark(self) -> None:
        """Fingerprint settings and generators; a failure recorded under another is retried."""
        made_by = f"{self._kinds.versions} {self._limits} {self._known}"
        self._fingerprint = hashlib.sha256(made_by.encode()).hexdigest()[:16]

    @property
    def waiting(self) -> int:
        """The number of thumbnails that are queued or being made."""
        return self._queue.waiting

    def can_picture(self, source: Source, file: FileRecord) -> bool:
        """Tell whether a built-in generator takes the file's type and size."""
        return (
            source.config.thumbnails
            and self._kinds.of(file.type) is not None
            and not self._too_large(file)
        )

    async def failed(self, file: FileRecord) -> bool:
        """Tell whether making the file's thumbnail failed, and is not to be tried now."""
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
        page: str = "",
    ) -> Shown:
        """Return the file's thumbnail within ``side`` by ``side``, cached or made now, or an icon.

        ``webp`` tells whether the client accepts WebP. Clients are served in turn by ``asker``, and
        each client's pages in turn by ``page``.
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
            asked = self._queue.ask((file.id, side), work, asker, WAIT_SECONDS, source.slug, page)
            made = await asked
        except NotYet:
            return Shown(_icon(file), settled=False)
        # The last one is the smallest. It may be WebP.
        fit = [one for one in made if webp or len(made) == 1 or one.content_type != _WEBP]
        return Shown(fit[-1]) if fit else Shown(_icon(file), settled=False)

    async def close(self) -> None:
        """End all work, the generators and the workers."""
        await self._queue.close()
        await self._plugins.close()
        await self.workers.close()

    def make_eagerly(self, source: Source, file: FileRecord) -> None:
        """Queue the thumbnail of a new file, if the configuration has ``thumbnail_eager``."""
        if self._config.thumbnail_eager and source.config.thumbnails and self._may_try(file):
            work = partial(self._make, source, file, DEFAULT_SIDE, None)
            self._queue.add((file.id, DEFAULT_SIDE), work, source.slug)

    async def _look(self) -> None:
        """Check for newly installed or removed packages, once in ``LOOK_SECONDS``."""
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
        """Make and cache the thumbnails. A failure is recorded, and an empty tuple returned."""
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
            await self._catalog.write(keep, sum(len(one.thumbnail) for one in made))
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
            # reading.py has logged a missing file.
            logging.INFO if error.pause is None or missing else logging.WARNING,
            "No thumbnail of %s%s: %s",
            *(file.id, "" if final else " for now", error),
        )
        try:
            await self._catalog.write(lambda conn: thumbnails.put_failure(conn, file.id, failure))
        except FilesError as trouble:
            logger.warning("The failed thumbnail of %s is not recorded: %s", file.id, trouble)

    @telemetry.spanned(telemetry.THUMBNAIL)
    async def _generate(
        self, source: Source, file: FileRecord, side: int
    ) -> tuple[tuple[Thumbnail, ...], tuple[int, int] | None]:
        """Return ``(thumbnails, (width, height) of the file in pixels or None)``."""
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
                raise _NotMade("no generator makes a thumbnail of it", pause, counts=counts)
            return await self._by_workers(source, file, Job(kind, file.type, side))
        except FileTooLarge as error:
            raise _NotMade(str(error)) from error
        except FilesError as error:
            # The file may be fine: the storage failed.
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
    """Read the whole file for a plugin's generator. Raises StorageError, FileTooLarge."""
    try:
        return await asyncio.wait_for(reading.limited(source, file, limit), TRANSFER_SECONDS)
    except asyncio.TimeoutError:
        raise StorageError(f"Reading the file took longer than {TRANSFER_SECONDS:g} s") from None


async def _pieces(source: Source, file: FileRecord, limit: int) -> AsyncGenerator[bytes, None]:
    """Stream the file for a worker. Raises StorageError, StorageUnavailable, FileTooLarge."""
    total = 0
    async with aclosing(reading.stream(source, file, 0, limit + 1)) as chunks:
        async for chunk in chunks:
            total += len(chunk)
            if total > limit:
                raise FileTooLarge(f"The file has more than {limit} bytes")
            yield chunk


def entity_tag(thumbnail: Thumbnail) -> str:
    """Return a strong entity tag of the thumbnail's bytes."""
    return f'"{hashlib.sha256(thumbnail.thumbnail).hexdigest()[:32]}"'


def _icon(file: FileRecord) -> Thumbnail:
    svg = icon(file.type, file.filename)
    return Thumbnail(file.id, svg.encode(), "image/svg+xml", 200, 200, "icon", file.created_at)
