"""Thumbnails: the cache, the generators of other plugins, and when they run.

Generators are asked in their order; the first thumbnail is cached. One runs at most for
``thumbnail_timeout_seconds``, at most ``thumbnail_concurrency`` at a time, and once for a file
however many ask. Icons, for files without a thumbnail, are in imaging/icons.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import OrderedDict
from collections.abc import Awaitable
from datetime import datetime, timezone
from typing import TypeGuard, TypeVar

from .base import TIME_FORMAT, ThumbnailGenerator, ThumbnailResult
from .config import PluginConfig
from .db import catalog, thumbnails
from .errors import FilesError, StorageError, StorageUnavailable
from .imaging.icons import icon
from .models import FileRecord, Thumbnail
from .sources import Source

_T = TypeVar("_T")

logger = logging.getLogger("datasette_files")

_MAX_PIXELS = 200
#: How many files that gave no thumbnail are remembered, so that they are not tried at each view.
_REMEMBERED = 10_000
#: What a generator may hand back. Served in a sandbox, where an SVG can run no script.
_TYPES = tuple(f"image/{name}" for name in ("png", "jpeg", "webp", "gif", "avif", "svg+xml"))


class Thumbnails:
    """The thumbnails of one Datasette."""

    def __init__(self, database: catalog.Catalog, config: PluginConfig) -> None:
        self._catalog = database
        self._config = config
        self._slots = asyncio.Semaphore(config.thumbnail_concurrency)
        self._running: dict[str, asyncio.Task[Thumbnail | None]] = {}
        self._hopeless: OrderedDict[str, None] = OrderedDict()
        #: Set at start, from the hook.
        self.generators: list[ThumbnailGenerator] = []

    async def get(self, source: Source, file: FileRecord) -> Thumbnail:
        """The file's thumbnail: cached, made now, or an icon."""
        cached = await self._catalog.read(lambda conn: thumbnails.get(conn, file.id))
        made = cached or await self._made(source, file)
        return made or _icon(file)

    async def close(self) -> None:
        """End the generators that still run."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _made(self, source: Source, file: FileRecord) -> Thumbnail | None:
        if not self.generators or file.id in self._hopeless:
            return None
        task = self._running.get(file.id)
        if task is None:
            task = asyncio.create_task(self._make(source, file))
            self._running[file.id] = task
            task.add_done_callback(lambda _: self._running.pop(file.id, None))
        # One that leaves does not take the thumbnail away from the others.
        return await asyncio.shield(task)

    async def make_eagerly(self, source: Source, file: FileRecord) -> None:
        """After an upload: make and cache the thumbnail, if the configuration says so."""
        if self._config.thumbnail_eager:
            await self._made(source, file)

    async def _make(self, source: Source, file: FileRecord) -> Thumbnail | None:
        try:
            async with self._slots:
                result = await self._generate(source, file)
        except (StorageError, StorageUnavailable) as error:
            # An outage says nothing about the file: it is tried again when next asked for.
            logger.warning("No thumbnail of %s for now: %s", file.id, error)
            return None
        if result is None:
            self._hopeless[file.id] = None
            if len(self._hopeless) > _REMEMBERED:
                self._hopeless.popitem(last=False)
            return None
        name, made = result
        thumbnail = Thumbnail(
            file_id=file.id,
            thumbnail=made.thumb_bytes,
            content_type=made.content_type,
            width=made.width,
            height=made.height,
            generator=name,
            created_at=datetime.now(timezone.utc).strftime(TIME_FORMAT),
        )
        try:
            await self._catalog.write(lambda conn: thumbnails.put(conn, thumbnail))
        except FilesError as error:
            logger.warning("The thumbnail of %s is not cached: %s", file.id, error)
        return thumbnail

    async def _generate(
        self, source: Source, file: FileRecord
    ) -> tuple[str, ThumbnailResult] | None:
        limit = self._config.thumbnail_max_source_bytes
        if file.size is not None and file.size > limit:
            return None
        content: bytes | None = None
        for generator in self.generators:
            name = getattr(generator, "name", type(generator).__name__)
            try:
                if not await self._in_time(generator.can_generate(file.type, file.filename)):
                    continue
                if content is None:
                    content = await _content(source, file, limit)
                result = await self._in_time(
                    generator.generate(content, file.type, file.filename, _MAX_PIXELS, _MAX_PIXELS)
                )
            except (StorageError, StorageUnavailable):
                raise
            except FilesError as error:
                logger.warning("No thumbnail of %s: %s", file.id, error)
                return None
            except Exception:
                logger.exception("Thumbnail generator %r failed", name)
                continue
            if _is_shown(result):
                return name, result
            if result is not None:
                made = getattr(result, "content_type", type(result).__name__)
                logger.error("Thumbnail generator %r made %s: not shown", name, made)
        return None

    async def _in_time(self, step: Awaitable[_T]) -> _T:
        return await asyncio.wait_for(step, self._config.thumbnail_timeout_seconds)


def _is_shown(result: object) -> TypeGuard[ThumbnailResult]:
    """Whether a generator handed back what it should."""
    return (
        isinstance(result, ThumbnailResult)
        and result.content_type in _TYPES
        and isinstance(result.thumb_bytes, bytes)
        and all(isinstance(n, int | None) for n in (result.width, result.height))
    )


async def _content(source: Source, file: FileRecord, limit: int) -> bytes:
    """The file. Raises StorageError for whatever a storage makes of it, and FileTooLarge."""
    try:
        return await source.storage.read_file_limited(file.path, limit)
    except FilesError:
        raise
    except Exception as error:
        logger.exception("Source %r failed to read a file", source.slug)
        raise StorageError("The storage failed to read the file") from error


def entity_tag(thumbnail: Thumbnail) -> str:
    """A strong entity tag of the thumbnail's bytes."""
    return f'"{hashlib.sha256(thumbnail.thumbnail).hexdigest()[:32]}"'


def _icon(file: FileRecord) -> Thumbnail:
    svg = icon(file.type, file.filename)
    return Thumbnail(file.id, svg.encode(), "image/svg+xml", 200, 200, "icon", file.created_at)
