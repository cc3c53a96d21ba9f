"""``Files``: one object per Datasette. It builds the parts of the plugin and connects them.

Holds start and stop. Leaves out HTTP (views/) and the hooks (plugin.py). All state belongs to this
object, so two Datasettes in one process do not share any.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from datasette.plugins import pm
from datasette.utils import StartupError

from .catalog.audit import Audit
from .catalog.bulk import Bulk
from .catalog.bulk_job import BulkJobs
from .catalog.editing import Editing
from .catalog.links import Links
from .catalog.lookup import Lookup
from .catalog.offers import Offers
from .catalog.search import Search
from .catalog.selecting import Selecting
from .catalog.shares import Shares
from .catalog.trash import Trash
from .catalog.versions import Versions
from .columns.columns import Columns
from .columns.rows import RowReader
from .columns.unreferenced import UnreferencedSearch
from .columns.uses import UsesSearch
from .columns.version_rows import VersionRows
from .config import config_of
from .db import schema, search, source_database
from .db.batching import Catalog
from .errors import ConfigurationError
from .events import Announcer, UpdateFileEvent, UploadFileEvent
from .imports.imports import Imports
from .jobs.jobs import Jobs
from .live.live import Live
from .maintenance.hashing import Hashing
from .maintenance.index_round import Indexing
from .maintenance.indexing import Indexer
from .maintenance.purging import Purger
from .maintenance.retention import Retention
from .maintenance.sweeping import Sweeper
from .maintenance.verify import Verifier
from .maintenance.verify_job import VerifyJobs
from .maintenance.verify_round import Verification
from .models import FileRecord
from .permissions.actions import Actor
from .permissions.rules import check_source_blocks, mark_source_blocks
from .previews.facts import MediaFacts
from .previews.thumbnails import Thumbnails
from .sandbox.process import Protections, clear_left_folders
from .sources.health import Inspector
from .sources.secrets import Secrets
from .sources.settings import Settings
from .sources.sources import Source, Sources, storage_types
from .texts.extraction import Texts
from .transfer.bundling import Bundler
from .transfer.checksums import Checksums
from .transfer.continuing import Continuing
from .transfer.copying import Carried, Copier, Order
from .transfer.parts import Parts
from .transfer.resuming import Resuming
from .transfer.stripped_zip import StrippedMembers
from .transfer.unbundling import Unbundler
from .transfer.uploads import Uploads
from .transfer.zips import Zips

logger = logging.getLogger("datasette_files")

#: Seconds after the start until a child is asked what the kernel refuses: requests come first.
_PROBE_DELAY = 5.0


@contextmanager
def _startup_errors() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise StartupError(str(error)) from None


def _flat(batches: list[list[Any]]) -> list[Any]:
    """The results of a hook that returns a list, as one list."""
    return [one for batch in batches for one in batch]


class Files:
    """datasette-files in one Datasette."""

    def __init__(self, datasette: Any) -> None:
        self.datasette = datasette
        self.config = config_of(datasette)
        self.base_url: str = datasette.setting("base_url")
        self.secrets = Secrets(datasette)
        self.catalog = Catalog(datasette.get_internal_database())
        self.sources = Sources(
            self.config,
            storage_types(_flat(pm.hook.register_files_storage_types(datasette=datasette))),
        )
        self.settings = Settings(self.catalog, self.sources)
        self.announcer = Announcer(datasette)
        self.audit = Audit(self.config, datasette, self.catalog, self.sources)
        self.lookup = Lookup(datasette, self.catalog, self.config, self.sources)
        self.search = Search(datasette, self.catalog, self.sources)
        self.versions = Versions(datasette, self.catalog, self.lookup)
        self.editing = Editing(self.catalog, self.announcer)
        self.columns = Columns(datasette, self.catalog, self.config)
        self.rows = RowReader(datasette, self.columns)
        self.sweeper = Sweeper(self.catalog, self.sources)
        self.hashing = {source.slug: Hashing(self.catalog, source).round for source in self.sources}
        self.verifier = Verifier(self.catalog)
        self.indexer = Indexer(self.catalog)
        self.indexing = {
            source.slug: Indexing(self.catalog, self.indexer, source, self.announcer)
            for source in self.sources
        }
        self.uses = UsesSearch(datasette, self.catalog)
        self.version_rows = VersionRows(datasette, self.versions, self.columns, self.uses)
        self.unreferenced = UnreferencedSearch(datasette, self.catalog, self.search)
        self.uploads = Uploads(self.catalog, self.config, self.sweeper)
        self.parts = Parts(self.catalog, self.config)
        self.resuming = Resuming(self.catalog, self.config, self.uploads)
        self.continuing = Continuing(self.catalog, self.config, self.resuming)
        self.copier = Copier(self.catalog, self.sweeper)
        self.bundler = Bundler(self.catalog, self.sources)
        self.unbundler = Unbundler(
            datasette,
            self.catalog,
            self.sources,
            self.uploads,
            self.announcer,
            self.columns.check_config,
        )
        self.protections = Protections()
        self.inspector = Inspector(self.catalog, self.sources)
        self.thumbnails = Thumbnails(self.catalog, self.config)
        self.texts = Texts(self.catalog, self.config)
        self.facts = MediaFacts(self.catalog, self.config)
        self.jobs = Jobs(self.catalog)
        self.imports = Imports(
            *(datasette, self.catalog, self.config, self.lookup, self.announcer, self.jobs),
            self.columns,
        )
        self.live = Live(
            *(datasette, self.catalog, self.config, self.lookup, self.jobs),
            *(self.imports.formats, self.imports.previews),
        )
        self._build_work_on_many()
        self.purger = Purger(self.catalog, self.sources, self.announcer)
        #: Whether our tables are in the internal database.
        self.has_schema = False
        #: Addresses of our static files by name (views/assets.py).
        self.assets: dict[str, str] = {}

    def _build_work_on_many(self) -> None:
        """Build the trash, the links, and what works on many files at once."""
        datasette = self.datasette
        self.trash = Trash(
            datasette, self.catalog, self.sources, self.announcer, self.sweeper.remove
        )
        self.links = Links(datasette, self.catalog, self.config, self.sources, self.lookup)
        self.shares = Shares(
            datasette, self.catalog, self.config, self.lookup, self.links, self.announcer
        )
        self.bulk = Bulk(
            *(datasette, self.catalog, self.sources, self.trash, self.editing, self.shares),
            *(self.lookup, self.announcer, self.copier.move),
        )
        self.offers = Offers(datasette, self.catalog, self.sources, self.lookup, self.shares)
        self.selecting = Selecting(datasette, self.catalog, self.sources, self.search, self.trash)
        self.bulk_jobs = BulkJobs(datasette, self.catalog, self.bulk, self.selecting, self.jobs)
        self.verify_jobs = VerifyJobs(
            *(datasette, self.catalog, self.sources, self.verifier, self.jobs)
        )
        self.checksums = Checksums(self.catalog)
        self.stripped = StrippedMembers(self.catalog, self.checksums)
        self.zips = Zips(
            *(datasette, self.catalog, self.sources, self.lookup, self.search, self.checksums),
            is_audited=self.config.audit_downloads,
        )

    @classmethod
    def of(cls, datasette: Any) -> Files:
        """The object of this Datasette. Raises StartupError for a wrong configuration."""
        files: Files | None = getattr(datasette, "_datasette_files", None)
        if files is None:
            with _startup_errors():
                files = datasette._datasette_files = cls(datasette)
        return files

    async def start(self) -> None:
        """Prepare the schema and start the sources. Raises StartupError."""
        with _startup_errors():
            check_source_blocks(self.datasette)
        mark_source_blocks(self.datasette)
        await self.catalog.rebuild(schema.prepare)
        self.has_schema = True
        await self.catalog.maintain(schema.prepare_writing)
        declared = [
            (source.slug, source.config.storage, source.config.label, source.redacted)
            for source in self.sources
        ]
        rows = await self.catalog.write(lambda conn: schema.sync_sources(conn, declared))
        for source in self.sources:
            source.id, source.provisioned = rows[source.slug]
            source_database.attach(self.datasette, source.slug, source.id, source.config)
        # From here on, every hop first loads the current settings.
        self.catalog.before_each = self.settings.refresh
        self.catalog.before_commit = search.index_due
        await self.catalog.read(lambda conn: None)
        with _startup_errors():
            await self.sources.start(self.secrets.get)
            await self.columns.check_all()
        self._warn_of_shown_secrets()
        await self._remember_provisioned()
        self.thumbnails.use(_flat(pm.hook.register_thumbnail_generators(datasette=self.datasette)))
        self.imports.formats.registered = _flat(
            pm.hook.register_import_formats(datasette=self.datasette)
        )
        self.texts.use(_flat(pm.hook.register_text_extractors(datasette=self.datasette)))
        loops = {
            "sweeper": self.sweeper.run,
            "trash": self.purger.round.run,
            "audit": Retention(self.catalog, self.config.audit_days).round.run,
            "jobs": self.jobs.run,
            "live tables": self.live.run,
            "sandbox": self._look,
            **{one.name: one.run for one in self.hashing.values()},
            **{one.round.name: one.round.run for one in self.indexing.values()},
        }
        for source in self.sources:
            facts = self.facts.of(source).round
            loops[facts.name] = facts.run
            if source.config.text:
                extraction = self.texts.of(source).round
                loops[extraction.name] = extraction.run
            if source.config.verify_days:
                round_ = Verification(self.catalog, self.verifier, source).round
                loops[round_.name] = round_.run
        for name, loop in loops.items():
            self.datasette.add_background_task(loop, name=f"datasette-files {name}")
        if any(source.down is not None for source in self.sources):
            self.datasette.add_background_task(self._recover, name="datasette-files recovery")

    def _warn_of_shown_secrets(self) -> None:
        try:
            shown = self.datasette._config()
        except AttributeError as error:
            # Datasette cannot show a configuration with a number as a key, so none is seen.
            logger.info("/-/config.json was not searched for secrets: %s", error)
            return
        self.sources.warn_of_shown_secrets(shown)

    async def _look(self, datasette: Any) -> None:
        """Remove what children of killed servers left, and learn what the kernel refuses."""
        await asyncio.to_thread(clear_left_folders)
        await asyncio.sleep(_PROBE_DELAY)
        await self.protections.told()

    async def _recover(self, datasette: Any) -> None:
        """Start the sources that were down when Datasette started."""
        down = [source for source in self.sources if source.down is not None]

        async def recover(source: Source) -> None:
            await self.sources.keep_up(source, self.secrets.get)
            await self._remember_provisioned()

        await asyncio.gather(*(recover(source) for source in down))

    async def _remember_provisioned(self) -> None:
        """Record the sources that have started once, so that a lost root is not created again."""
        for source in self.sources:
            if source.down is None and source.provisioned != source.place:
                await self.catalog.write(
                    partial(schema.set_provisioned, source_id=source.id, place=source.place)
                )
                source.provisioned = source.place

    async def stop(self) -> None:
        """Close the storages, and stop the background work."""
        await self.audit.close()
        await self.jobs.close()
        await self.live.close()
        await self.checksums.close()
        await self.thumbnails.close()
        await self.inspector.close()
        await self.sources.close()

    async def uploaded(
        self, source: Source, file: FileRecord, actor: Actor, *, picture: bool = True
    ) -> None:
        """Announce a new file after its commit. ``picture``: make its thumbnail too, in advance."""
        await self.announcer.announce(UploadFileEvent.about(file, actor))
        if picture:
            self.thumbnails.make_eagerly(source, file)

    async def carry(self, order: Order, file: FileRecord, tell: Callable[[int], None]) -> Carried:
        """Copy or move one file, and announce it. Raises as ``Copier.carry``."""
        carried = await self.copier.carry(order, file, tell)
        if carried.state == "copied":
            await self.announcer.announce(UploadFileEvent.about(carried.file, None))
        elif carried.state == "moved":
            await self.announcer.announce(UpdateFileEvent.about(carried.file, None))
        return carried
