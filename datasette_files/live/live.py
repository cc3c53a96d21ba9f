"""The use cases of live tables: list what a file holds, open it, and have it open for a request."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import sqlite3
import time
from collections.abc import Collection
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

from datasette.permissions import PermissionSQL

from ..catalog.lookup import Lookup
from ..config import PluginConfig
from ..db import files as file_rows
from ..db import jobs as job_rows
from ..db import live as rows
from ..db.batching import Catalog
from ..db.jobs import Job
from ..db.live import Opened
from ..errors import BadType, Conflict, NotFound, PermissionDenied
from ..formats.base import shown_names
from ..imports.first_rows import Previews, Unseen
from ..imports.formats import Formats
from ..jobs.jobs import Jobs
from ..models import FileRecord
from ..naming import live_database
from ..permissions import live as permissions
from ..permissions.actions import Actor, actor_id
from ..permissions.sight import Sight, sight
from ..sources.sources import Source
from ..tables import fresh
from . import cache as caches
from .attached import Attached, LiveDatabase
from .cache import Cache
from .making import LiveWork, Reader

logger = logging.getLogger("datasette_files")

#: Seconds between two looks at what is no longer needed.
_INTERVAL = 20.0
#: The files that an actor may see of those whose tables are open, in the current request.
verdicts: ContextVar[dict[tuple[str, frozenset[str]], set[str]] | None] = ContextVar(
    "datasette_files_live_verdicts", default=None
)
_UNSEEN = "The file is too large to be looked into before it is opened"


class Live:
    """The live tables of one Datasette."""

    def __init__(
        self,
        datasette: Any,
        catalog: Catalog,
        config: PluginConfig,
        lookup: Lookup,
        jobs: Jobs,
        formats: Formats,
        previews: Previews,
    ) -> None:
        self._datasette = datasette
        self._catalog = catalog
        self._lookup = lookup
        self._jobs = jobs
        self._previews = previews
        self._attached = Attached(datasette, catalog)
        internal = datasette.get_internal_database()
        beside = Path(internal.path).absolute()
        #: The temporary internal database, if the site keeps none.
        self._temporary = beside if internal.is_temp_disk else None
        folder = config.live_tables_path or caches.folder_beside(beside)
        self._cache = Cache(Path(folder).absolute(), config.live_tables_bytes)
        self._reader = Reader(config, formats)
        self._wake = asyncio.Event()
        jobs.register(
            LiveWork(datasette, catalog, config, lookup, self._reader, self._cache, self.wake)
        )

    def wake(self) -> None:
        """Look now for what is no longer needed: a file or a database was removed."""
        self._wake.set()

    def offers(self, file: FileRecord) -> bool:
        """Tell whether the file is probably one with tables."""
        return live_database(file.id) is not None and self._reader.offers(file)

    async def tables(self, source: Source, file: FileRecord, client: str) -> dict[str, Any]:
        """What the file holds: ``tables``, and a ``problem`` if they cannot be told.

        Raises BadType, TimedOut, StorageError, StorageUnavailable.
        """
        opened = await self._opened(file)
        if opened is not None:
            path = self._cache.path(opened.key)
            try:
                return {"tables": await asyncio.to_thread(_described, path, opened)}
            except sqlite3.OperationalError as error:
                logger.info("Live tables were removed meanwhile: %s", error)
        task = await self._reader.task("list", source, file)
        try:
            return await self._previews.look(source, file, task, task["whole"], client)
        except Unseen as error:
            return {"tables": [], "problem": _UNSEEN if error.readable else str(error)}

    async def _opened(self, file: FileRecord) -> Opened | None:
        """The database with the file's tables, if it is in the cache."""
        key = self._reader.key(file)
        opened = await self._catalog.read(lambda conn: rows.get(conn, file.id))
        if opened is None or opened.key != key:
            return None
        return opened if await asyncio.to_thread(self._cache.has, key) else None

    async def was_opened(self, file: FileRecord) -> bool:
        """Tell whether somebody has opened the file before, as it is now."""
        opened = await self._catalog.read(lambda conn: rows.get(conn, file.id))
        return opened is not None and opened.key == self._reader.key(file)

    async def open(self, actor: Actor, file: FileRecord) -> int | None:
        """Open the file's tables: None if they are there, else the id of the job that makes them.

        Raises BadType, FileTooLarge, Conflict.
        """
        if live_database(file.id) is None:
            raise BadType("The file's id has no ULID, so it cannot be opened; upload it again")
        self._reader.check(file)
        key = self._reader.key(file)
        if await asyncio.to_thread(self._cache.has, key) and await self._catalog.write(
            lambda conn: rows.share(conn, file.id, key)
        ):
            return None

        def add(conn: sqlite3.Connection) -> int:
            going = rows.active(conn, file.id, key)
            return going or job_rows.add(
                conn,
                kind=rows.KIND,
                actor=actor,
                actor_id=actor_id(actor),
                options={"file_id": file.id, "key": key, "size": file.size or 0},
                notes={},
            )

        job = await self._catalog.write(add)
        self._jobs.wake()
        return job

    async def job(self, file: FileRecord, job_id: int) -> Job:
        """A job about the file, for whoever may see the file. Raises NotFound."""
        found = await self._catalog.read(lambda conn: rows.job(conn, file.id, job_id))
        if found is None:
            raise NotFound(f"There is no job {job_id} that opens this file")
        return found

    def may_cancel(self, actor: Actor, job: Job) -> bool:
        """Tell whether the actor has started the job, or is root."""
        who = actor_id(actor)
        return job.actor_id == who or (who == "root" and self._datasette.root_enabled)

    async def cancel(self, actor: Actor, job: Job) -> None:
        """Cancel a job. Raises PermissionDenied, Conflict."""
        if not self.may_cancel(actor, job):
            raise PermissionDenied("Only who opened a file may cancel it; sign in as its actor")
        if await self._catalog.write(lambda conn: job_rows.cancel(conn, job.id)) is None:
            raise Conflict(f"The job is over: {job.status}")

    async def arrive(self, file_id: str) -> bool | None:
        """Have a file's tables attached for a request to them, whoever sends it.

        Datasette asks for the permission afterwards. False if they have to be made; None if there
        is no such file.
        """
        name = live_database(file_id)
        if name is None:
            return None

        def look(conn: sqlite3.Connection) -> tuple[FileRecord | None, Opened | None]:
            return file_rows.get(conn, file_id), rows.get(conn, file_id)

        file, opened = await self._catalog.read(look)
        if file is None:
            self._attached.remove(name)
            return None
        key = self._reader.key(file)
        there = opened is not None and opened.key == key
        if opened is None or not there or not await asyncio.to_thread(self._cache.use, key):
            self._attached.remove(name)
            return False
        if self._attached.key(name) is None and name in self._datasette.databases:
            return None  # the site's own
        if self._attached.key(name) != key:
            counts = {one["name"]: one["rows"] for one in opened.tables}
            database = LiveDatabase(self._datasette, self._cache.path(key), counts)
            self._attached.add(name, file.id, key, database)
        await self._attached.listed(name)
        return True

    async def rules(self, actor: Actor, action: str) -> PermissionSQL | None:
        """Datasette's rules about live tables for an actor; None for an action on other things."""
        if not permissions.concerns(self._datasette, action):
            return None
        attached = self._attached.files
        seen = await self._seen(actor, frozenset(attached.values())) if attached else set()
        return permissions.rules(
            self._datasette, action, {name: one in seen for name, one in attached.items()}
        )

    async def _seen(self, actor: Actor, file_ids: frozenset[str]) -> set[str]:
        """Those of the files that the actor may see: decided once in a request, as by Datasette."""
        decided = verdicts.get()
        key = (json.dumps(actor, sort_keys=True, default=repr), file_ids)
        if decided is not None and key in decided:
            return decided[key]
        can_see = await sight(self._datasette, actor)
        seen = await self._catalog.read(lambda conn: _visible(conn, can_see, file_ids))
        if decided is not None:
            decided[key] = seen
        return seen

    async def run(self, _datasette: Any = None) -> None:
        """Remove what is no longer needed, again and again, until cancelled."""
        if self._temporary is not None:
            await asyncio.to_thread(caches.clear_left, self._temporary)
        while True:
            self._wake.clear()
            try:
                await self.tidy()
            except Exception:
                logger.exception("Tidying live tables failed; it is tried again")
            try:
                await asyncio.wait_for(self._wake.wait(), _INTERVAL)
            except asyncio.TimeoutError:
                continue

    async def tidy(self) -> None:
        """Detach what is idle or gone; remove databases of files that are deleted, or too many."""
        self._attached.remove_idle()
        # Listed before the rows are read: a database that is made has its row before it comes.
        there = await asyncio.to_thread(self._cache.keys)
        if there:
            wanted = await self._catalog.read(rows.keys)
            await asyncio.to_thread(self._cache.remove_all, set(there) - wanted)
            await asyncio.to_thread(self._cache.tidy)
        for name, file_id in self._attached.files.items():
            opened = await self._catalog.read(partial(rows.get, file_id=file_id))
            if opened is None or not await asyncio.to_thread(self._cache.has, opened.key):
                self._attached.remove(name)

    async def close(self) -> None:
        """Close what is detached; remove the cache of an internal database that ends here."""
        self._attached.close_detached(time.monotonic())
        if self._temporary is not None:
            await asyncio.to_thread(shutil.rmtree, self._cache.folder, ignore_errors=True)


def _visible(conn: sqlite3.Connection, can_see: Sight, file_ids: Collection[str]) -> set[str]:
    """Those of the files that are there and that the actor may see."""
    there = file_rows.by_ids(conn, file_ids).values()
    return {one for _, one in can_see.among(conn, [(file.source_slug, file.id) for file in there])}


def _described(path: Path, opened: Opened) -> list[dict[str, Any]]:
    """The tables of a database with their columns. Raises sqlite3.OperationalError."""
    columns = fresh.columns(path, [one["name"] for one in opened.tables])
    return [
        {**one, "columns": shown_names(names)}
        for one, names in zip(opened.tables, columns, strict=True)
    ]
