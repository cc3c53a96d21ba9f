"""``Files``: the one object per Datasette. It owns the configuration, sources, catalog, use cases.

Holds start and stop, and the small questions that every room asks (find a file, with or without a
permission). Leaves out HTTP (views/) and the hooks (plugin.py). No state lives outside of it, so
two Datasettes in one process do not see each other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from datasette.events import Event
from datasette.plugins import pm
from datasette.utils import StartupError, await_me_maybe

from .catalog.trash import Trash
from .columns.columns import Columns
from .config import config_of
from .db import files as file_rows
from .db import schema
from .db.batching import Catalog
from .errors import ConfigurationError, Conflict, FilesError, NotFound, StorageError
from .events import UpdateFileEvent, UploadFileEvent
from .imports.imports import Imports
from .maintenance.hashing import Hasher
from .maintenance.sweeping import Sweeper
from .models import FileRecord, TrashedFile
from .permissions.rules import BROWSE, Actor, Grant, check_source_blocks, grant, mark_source_blocks
from .previews.thumbnails import Thumbnails
from .sources.health import Inspector
from .sources.settings import Settings
from .sources.sources import Secrets, Source, Sources, storage_types
from .transfer.copying import Carried, Copier, Order
from .transfer.uploads import Uploads

logger = logging.getLogger("datasette_files")

#: Bytes; a file smaller than this may be read together with its row.
_AT_HAND = 64 * 1024


class Files:
    """datasette-files in one Datasette."""

    def __init__(self, datasette: Any) -> None:
        self.datasette = datasette
        self.config = config_of(datasette)
        self.base_url: str = datasette.setting("base_url")
        self.secrets = Secrets(datasette)
        self.catalog = Catalog(datasette.get_internal_database())
        classes = [
            cls
            for batch in pm.hook.register_files_storage_types(datasette=datasette)
            for cls in batch
        ]
        self.sources = Sources(self.config, storage_types(classes))
        self.columns = Columns(datasette, self.catalog, self.config)
        self.sweeper = Sweeper(self.catalog, self.sources)
        self.hasher = Hasher(self.catalog, self.sources)
        #: Of users' tables for a file (uses.py).
        self.searching = asyncio.Semaphore(1)
        self.uploads = Uploads(self.catalog, self.config, self.sweeper)
        self.copier = Copier(self.catalog, self.sweeper)
        self.inspector = Inspector(self.catalog, self.sources)
        self.thumbnails = Thumbnails(self.catalog, self.config)
        self.imports = Imports(self)
        self.settings = Settings(self)
        self.trash = Trash(self)
        self._tasks: set[asyncio.Task[None]] = set()
        self._assets: dict[str, str] = {}

    @classmethod
    def of(cls, datasette: Any) -> Files:
        """The one of this Datasette. Raises StartupError for a wrong configuration."""
        files: Files | None = getattr(datasette, "_datasette_files", None)
        if files is None:
            try:
                files = cls(datasette)
            except ConfigurationError as error:
                raise StartupError(str(error)) from None
            datasette._datasette_files = files
        return files

    def asset(self, name: str) -> str:
        """The address, with its hash, of a file in static/ that a template names.

        Datasette finds one by the metadata of all plugins, which takes it 3 ms each time. Where it
        keeps hashes, the address cannot change either.
        """
        if (url := self._assets.get(name)) is not None:
            return url
        found: str = self.datasette.static(name, plugin="datasette_files")
        if self.datasette.cache_headers:
            self._assets[name] = found
        return found

    async def start(self) -> None:
        """Bring the schema and the sources up. Raises StartupError."""
        try:
            check_source_blocks(self.datasette)
        except ConfigurationError as error:
            raise StartupError(str(error)) from None
        mark_source_blocks(self.datasette)
        await self.catalog.maintain(schema.prepare)
        declared = [
            (source.slug, source.config.storage, source.config.label, source.redacted)
            for source in self.sources
        ]
        rows = await self.catalog.write(lambda conn: schema.sync_sources(conn, declared))
        for source in self.sources:
            source.id, source.provisioned = rows[source.slug]
        # From here on every hop sees the settings that hold at its moment.
        self.catalog.before_each = self.settings.refresh
        await self.catalog.read(lambda conn: None)
        try:
            await self.sources.start(self.secrets.get)
        except ConfigurationError as error:
            raise StartupError(str(error)) from None
        try:
            await self.columns.check_all()
        except ConfigurationError as error:
            raise StartupError(str(error)) from None
        await self._remember_provisioned()
        self.thumbnails.use(
            [
                generator
                for batch in pm.hook.register_thumbnail_generators(datasette=self.datasette)
                for generator in batch
            ]
        )
        self.imports.formats = [
            format_
            for batch in pm.hook.register_import_formats(datasette=self.datasette)
            for format_ in batch
        ]
        self.datasette.add_background_task(self._sweep, name="datasette-files sweeper")
        self.datasette.add_background_task(self._hash, name="datasette-files hashing")
        self.datasette.add_background_task(self._import, name="datasette-files imports")
        self.datasette.add_background_task(self._purge, name="datasette-files trash")
        if any(source.down is not None for source in self.sources):
            self.datasette.add_background_task(self._recover, name="datasette-files recovery")

    async def _sweep(self, datasette: Any) -> None:
        await self.sweeper.run()

    async def _hash(self, datasette: Any) -> None:
        await self.hasher.run()

    async def _import(self, datasette: Any) -> None:
        await self.imports.jobs.run()

    async def _purge(self, datasette: Any) -> None:
        await self.trash.run()

    async def _recover(self, datasette: Any) -> None:
        """Bring up what was down at start."""
        down = [source for source in self.sources if source.down is not None]

        async def recover(source: Source) -> None:
            await self.sources.keep_up(source, self.secrets.get)
            await self._remember_provisioned()

        await asyncio.gather(*(recover(source) for source in down))

    async def _remember_provisioned(self) -> None:
        """Note which sources have been up, so that what vanishes from now on is not made anew."""
        for source in self.sources:
            if source.down is None and source.provisioned != source.place:
                await self.catalog.write(
                    partial(schema.set_provisioned, source_id=source.id, place=source.place)
                )
                source.provisioned = source.place

    async def stop(self) -> None:
        """Let go of storages and of work that nobody waits for."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.imports.jobs.close()
        await self.thumbnails.close()
        await self.inspector.close()
        await self.sources.close()

    def in_background(self, work: Callable[[], Awaitable[None]], what: str) -> None:
        """Run what no request waits for; its failure is logged."""

        async def run() -> None:
            try:
                await work()
            except FilesError as error:
                logger.warning("%s: %s", what, error)
            except Exception:
                logger.exception("%s failed", what)

        task = asyncio.create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def announce(self, event: Event) -> None:
        """Tell plugins what has been committed: whatever they do, it has been."""
        try:
            await self.datasette.track_event(event)
        except Exception:
            logger.exception("A plugin failed on the event %s", event.name)

    async def find(self, file_id: str) -> tuple[FileRecord, Source] | None:
        """A file and its source, or None; without any permission check."""
        file = await self.catalog.read(lambda conn: file_rows.get(conn, file_id))
        if file is None:
            return None
        try:
            return file, self.sources.get(file.source_slug)
        except NotFound:
            return None  # its source is no longer configured

    async def existing(self, file_id: str) -> tuple[FileRecord, Source]:
        """As ``find``. Raises NotFound."""
        found = await self.find(file_id)
        if found is None:
            raise absent(file_id)
        return found

    async def browsable(self, actor: Actor, file_id: str) -> tuple[FileRecord, Source]:
        """A file that the actor may browse: row and permission in one look-up.

        Raises NotFound, PermissionDenied.
        """
        file, source, _ = await self._look_up(actor, file_id, 0)
        return file, source

    async def browsable_with_bytes(
        self, actor: Actor, file_id: str
    ) -> tuple[FileRecord, Source, bytes | None]:
        """As ``browsable``, and a small file's bytes where its storage has them at hand."""
        return await self._look_up(actor, file_id, _AT_HAND)

    async def _look_up(
        self, actor: Actor, file_id: str, at_hand: int
    ) -> tuple[FileRecord, Source, bytes | None]:
        allowed = await grant(self.datasette, actor, BROWSE)

        def look(conn: Any) -> tuple[FileRecord, Source, bytes | None]:
            file = file_rows.get(conn, file_id)
            if file is None or file.source_slug not in self.config.sources:
                raise absent(file_id)
            allowed.check(conn, file.source_slug)
            source = self.sources.get(file.source_slug)
            content = None
            if file.size is not None and file.size < at_hand and source.down is None:
                content = source.storage.cached_bytes(file.path, file.size)
            return file, source, content

        return await self.catalog.read(look)

    async def allowed_sources(self, actor: Actor, action: str) -> frozenset[str]:
        """The slugs of the configured sources on which the actor may do something."""
        allowed: Grant = await grant(self.datasette, actor, action)
        return await self.catalog.read(allowed.slugs)

    async def uploaded(
        self, source: Source, file: FileRecord, actor: Actor, *, picture: bool = True
    ) -> None:
        """After a file's commit: tell plugins, and make its thumbnail, or leave it to who asks."""
        await self.announce(UploadFileEvent.about(file, actor))
        if picture:
            self.thumbnails.make_eagerly(source, file)

    async def carry(self, order: Order, file: FileRecord, tell: Callable[[int], None]) -> Carried:
        """Copy or move one file, and tell plugins. Raises as ``Copier.carry``."""
        carried = await self.copier.carry(order, file, tell)
        if carried.state == "copied":
            await self.announce(UploadFileEvent.about(carried.file, None))
        elif carried.state == "moved":
            await self.announce(UpdateFileEvent.about(carried.file, None))
        return carried

    async def update(
        self, file: FileRecord, actor: Actor, search_text: str, if_match: str | None = None
    ) -> FileRecord:
        """Change what may be changed. ``if_match`` is the ``search_text_tag`` it is a change of.

        Raises NotFound if the file is gone meanwhile, Conflict if its text is another meanwhile.
        """

        def change(conn: Any) -> FileRecord | None:
            now = file_rows.get(conn, file.id)
            if now is not None and if_match not in (None, now.search_text_tag):
                raise Conflict(
                    "The search text was changed by somebody else meanwhile, and is not"
                    " overwritten; copy yours, reload the file's page, and put the two together"
                )
            file_rows.set_search_text(conn, file.id, search_text)
            return file_rows.get(conn, file.id)

        changed = await self.catalog.write(change)
        if changed is None:
            raise absent(file.id)
        await self.announce(UpdateFileEvent.about(changed, actor))
        return changed

    async def delete(self, source: Source, file: FileRecord, actor: Actor) -> TrashedFile | None:
        """Take the file out of the catalog: into the trash, or for good and then None (trash.py).

        Raises NotSupported, StorageUnavailable; Conflict for a file that was moved meanwhile to
        another source, where the actor may have other rights.
        """
        return await self.trash.delete(source, file, actor)

    async def head(self, source: Source, file: FileRecord, size: int) -> bytes:
        """At most the first ``size`` bytes. Raises StorageError, StorageUnavailable."""
        return await self._read(file, source.storage.read_bytes(file.path, size))

    async def tail(self, source: Source, file: FileRecord, size: int) -> bytes:
        """At most the last ``size`` bytes. Raises StorageError, StorageUnavailable."""
        if file.size is None or file.size <= size:
            return await self.head(source, file, size)
        start, end = file.size - size, file.size

        async def read() -> bytes:
            stream = source.storage.stream_range(file.path, start, end)
            return b"".join([chunk async for chunk in stream])

        return await self._read(file, read())

    async def _read(self, file: FileRecord, reading: Awaitable[bytes]) -> bytes:
        try:
            return await reading
        except FilesError:
            raise
        except Exception as error:
            logger.exception("A part of %s cannot be read", file.id)
            raise StorageError("The storage failed to read the file; try again") from error

    async def file_actions(
        self, actor: Actor, source: Source, file: FileRecord, record: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """What plugins offer for the menu of a file's page.

        They see no bytes while the storage fails; it is asked for some if a plugin takes them.
        """
        preview = b""
        if any("preview_bytes" in hook.argnames for hook in pm.hook.file_actions.get_hookimpls()):
            try:
                preview = await self.head(source, file, 2048)
            except FilesError as error:
                logger.warning("No preview of %s: %s", file.id, error)
        actions: list[dict[str, Any]] = []
        try:
            for result in pm.hook.file_actions(
                datasette=self.datasette, actor=actor, file=record, preview_bytes=preview
            ):
                actions.extend(await await_me_maybe(result) or [])
        except Exception:
            logger.exception("A plugin's file_actions failed")
        return actions


def absent(file_id: str) -> NotFound:
    return NotFound(f"There is no file {file_id}; it may have been deleted")
