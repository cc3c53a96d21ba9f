"""Imports: what a file would become as a table, and jobs that make it so.

The use cases behind the import pages: preview, start, cancel, restart, and which table came from
which file. Leaves out the import itself (imports/run.py) and when it runs (jobs.py).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from ..catalog.lookup import Lookup
from ..config import PluginConfig
from ..db import imports as rows
from ..db import jobs as job_rows
from ..db.batching import Catalog
from ..db.imports import ImportJob, ImportRequest, Origin
from ..db.jobs import Job
from ..errors import Conflict, FilesError, NotFound, PermissionDenied
from ..events import Announcer
from ..jobs.jobs import Jobs
from ..models import FileRecord
from ..permissions.actions import Actor, actor_id
from ..permissions.tables import may_add_rows, may_view_table, missing_for_import
from ..sources.sources import Source
from ..tables import target
from . import folders
from .first_rows import Preview, Previews
from .fitting import check_table, writable_database
from .formats import Formats
from .requests import check_reading, checked
from .run import ImportWork, require

#: How many of a file's imports, and of a table's files, are shown.
_SHOWN = 20


class Imports:
    """The imports of one Datasette."""

    def __init__(
        self,
        datasette: Any,
        database: Catalog,
        config: PluginConfig,
        lookup: Lookup,
        announcer: Announcer,
        jobs: Jobs,
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self.formats = Formats()
        self._jobs = jobs
        jobs.register(ImportWork(datasette, database, config, lookup, announcer, self.formats))
        self._previews = Previews(config)

    async def preview(
        self, source: Source, file: FileRecord, name: str | None, read: dict[str, Any]
    ) -> Preview:
        """The first rows, read as wanted.

        Raises Invalid, BadType, TimedOut, StorageError, StorageUnavailable.
        """
        check_reading(read)
        return await self._previews.make(source, file, self.formats.of(file, name), read)

    async def start(self, actor: Actor, file: FileRecord, request: ImportRequest) -> int:
        """A new job; its id.

        Raises PermissionDenied, Invalid, Conflict, NoSpace, StorageUnavailable.
        """
        request = await self._by_own_name(checked(request))
        await self._permit(actor, request)
        chosen = self.formats.of(file, request.format)
        database = writable_database(self._datasette, request.database)
        table = await database.execute_fn(lambda conn: target.existing(conn, request.table))
        check_table(request, table)
        await asyncio.to_thread(folders.check_room, file.size or 0)
        job = await self._catalog.write(
            lambda conn: rows.add(
                conn,
                request,
                import_type=chosen.name,
                file_id=file.id,
                size=file.size or 0,
                actor=actor,
                actor_id=actor_id(actor),
                content_hash=file.content_hash,
                source_id=file.source_id,
            )
        )
        self._jobs.wake()
        return job

    async def _by_own_name(self, request: ImportRequest) -> ImportRequest:
        """With the table's name as the database writes it, by which permissions are given."""
        database = self._datasette.databases.get(request.database)
        if database is None:
            return request
        name = await database.execute_fn(lambda conn: target.own_name(conn, request.table))
        return replace(request, table=name)

    async def _permit(self, actor: Actor, request: ImportRequest) -> None:
        await require(self._datasette, actor, request, "sign in, or ask its administrator")

    async def visible_job(
        self, actor: Actor, file_id: str, job_id: int
    ) -> tuple[ImportJob, Job | None]:
        """A job, for who started it or may view its table: it tells of that too.

        Raises NotFound, PermissionDenied.
        """
        job, details, who = await self._job(file_id, job_id)
        if who is not None and who == actor_id(actor):
            return job, details
        if await may_view_table(self._datasette, actor, job.database_name, job.table_name):
            return job, details
        raise PermissionDenied(
            "You do not have permission to see this import: needs view-table on its table; sign in,"
            " or ask its administrator"
        )

    async def _job(self, file_id: str, job_id: int) -> tuple[ImportJob, Job | None, str | None]:
        """An import, its job, and who asked for it. Raises NotFound."""
        found = await self._catalog.read(lambda conn: rows.get(conn, file_id, job_id))
        if found is None:
            raise NotFound(f"There is no import {job_id} of this file")
        return found

    def request_of(self, job: ImportJob, details: Job | None) -> ImportRequest:
        """What a job was asked for; of the public release's jobs, what its table says."""
        if details is not None:
            return ImportRequest(**details.options)
        return ImportRequest(job.database_name, job.table_name)

    async def may_run(self, actor: Actor, request: ImportRequest) -> bool:
        """Whether the actor might start such a job."""
        try:
            await self._permit(actor, request)
        except PermissionDenied:
            return False
        return True

    async def cancel(self, actor: Actor, file: FileRecord, job_id: int) -> None:
        """Have a job stop. Raises NotFound, PermissionDenied, Conflict."""
        job, details = await self.visible_job(actor, file.id, job_id)
        await self._permit(actor, self.request_of(job, details))
        if await self._catalog.write(lambda conn: job_rows.cancel(conn, job_id)) is None:
            raise Conflict(f"The import is over: {job.status}")

    async def restart(self, actor: Actor, file: FileRecord, job_id: int) -> int:
        """A new job with the options of one that did not finish. As ``start``, and NotFound."""
        job, details = await self.visible_job(actor, file.id, job_id)
        request = self.request_of(job, details)
        if job.status not in ("error", "cancelled", "interrupted"):
            await self._permit(actor, request)
            raise Conflict(f"Only an import that did not finish is started again: {job.status}")
        return await self.start(actor, file, request)

    async def apply(self, actor: Actor, file: FileRecord, job_id: int, removes: bool) -> int:
        """A job that does what a comparison showed."""
        job, details = await self.visible_job(actor, file.id, job_id)
        request = self.request_of(job, details)
        return await self.start(actor, file, replace(request, mode="merge", removes=removes))

    async def databases(self, actor: Actor) -> list[tuple[str, bool]]:
        """The databases that the actor may import into, and whether new tables are possible there.

        Else there are tables that rows may be added to.
        """
        datasette = self._datasette
        offered = []
        for name in datasette.databases:
            try:
                writable_database(datasette, name)
            except FilesError:
                continue  # it is not offered
            creates = not await missing_for_import(datasette, actor, name, "", "create")
            if creates or await may_add_rows(datasette, actor, name):
                offered.append((name, creates))
        return offered

    async def of_file(self, file: FileRecord) -> list[tuple[ImportJob, str]]:
        """The file's jobs, newest first, each with its mode."""
        return await self._catalog.read(lambda conn: rows.of_file(conn, file.id, _SHOWN))

    async def origins(self, database: str, table: str) -> list[Origin]:
        """The files whose rows are in a table, newest first."""
        return await self._catalog.read(lambda conn: rows.origins(conn, database, table, _SHOWN))
