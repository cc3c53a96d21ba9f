"""Imports of files into tables: the use cases behind the import pages.

Preview, start, cancel and restart imports, and list the files that a table's rows came from. Leaves
out the import itself (run.py) and when it runs (jobs/jobs.py).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ..catalog.lookup import Lookup
from ..config import PluginConfig
from ..db import imports as rows
from ..db.batching import Catalog
from ..db.imports import ImportJob, ImportRequest, Origin
from ..db.jobs import Job
from ..errors import Conflict, FilesError, NotFound, PermissionDenied
from ..events import Announcer
from ..jobs.jobs import Jobs
from ..models import FileRecord
from ..permissions.actions import Actor, actor_id
from ..permissions.tables import (
    may_add_rows,
    may_view_table,
    missing_for_import,
    tables_for_rows,
)
from ..sources.sources import Source
from ..tables import target
from . import folders
from .checking import ColumnRules
from .first_rows import Preview, Previews
from .fitting import check_table, writable_database
from .formats import Formats
from .requests import check_reading, checked
from .run import ImportWork, require

#: Imports of a file, and files of a table, that a page lists.
_MAX_SHOWN = 20


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
        columns: ColumnRules,
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self.formats = Formats()
        self._jobs = jobs
        jobs.register(
            ImportWork(datasette, database, config, lookup, announcer, self.formats, columns)
        )
        self.previews = Previews(config)

    async def preview(
        self,
        source: Source,
        file: FileRecord,
        name: str | None,
        read: dict[str, Any],
        client: str,
    ) -> Preview:
        """Make a preview with the format ``name`` and the reading options ``read`` for a client.

        Raises Invalid, BadType, TimedOut, StorageError, StorageUnavailable.
        """
        check_reading(read)
        chosen, known = self.formats.of(file, name), self.formats.registered
        return await self.previews.make(source, file, chosen, read, known, bool(name), client)

    async def start(self, actor: Actor, file: FileRecord, request: ImportRequest) -> int:
        """Start an import; return its job's id.

        Raises PermissionDenied, Invalid, Conflict, NoSpace, StorageUnavailable.
        """
        request = await self._by_own_name(checked(request))
        await self._permit(actor, request)
        job = await self._catalog.write(await self._adding(actor, file, request))
        self._jobs.wake()
        return job

    async def run_by_command(self, file: FileRecord, request: ImportRequest) -> Job:
        """Import at once, as an administrator at the command line; return the job as it ended.

        Raises Invalid, Conflict, NoSpace, StorageUnavailable.
        """
        request = await self._by_own_name(checked(request))
        add = await self._adding(None, file, request, by_command=True)
        return await self._jobs.run_here(rows.KIND, add)

    async def _adding(
        self, actor: Actor, file: FileRecord, request: ImportRequest, *, by_command: bool = False
    ) -> Callable[[sqlite3.Connection], int]:
        """Check that the file fits; return what adds the job."""
        chosen = self.formats.of(file, request.format)
        database = writable_database(self._datasette, request.database)
        table = await database.execute_fn(lambda conn: target.existing(conn, request.table))
        check_table(request, table)
        await asyncio.to_thread(folders.check_room, file.size or 0)
        return lambda conn: rows.add(
            conn,
            request,
            import_type=chosen.name,
            file_id=file.id,
            size=file.size or 0,
            actor=actor,
            actor_id=actor_id(actor),
            content_hash=file.content_hash,
            source_id=file.source_id,
            by_command=by_command,
        )

    async def _by_own_name(self, request: ImportRequest) -> ImportRequest:
        """Use the database's spelling of the table's name, as permissions do."""
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
        """Return a job to the actor who started it, or who may view its table.

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
        """Return an import, its job, and the id of the actor who started it. Raises NotFound."""
        found = await self._catalog.read(lambda conn: rows.get(conn, file_id, job_id))
        if found is None:
            raise NotFound(f"There is no import {job_id} of this file; see the file's imports")
        return found

    def request_of(self, job: ImportJob, details: Job | None) -> ImportRequest:
        """Return a job's request. Jobs of the public release have only database and table."""
        if details is not None:
            return ImportRequest(**details.options)
        return ImportRequest(job.database_name, job.table_name)

    async def may_run(self, actor: Actor, request: ImportRequest) -> bool:
        """Tell whether the actor has the permissions for this request."""
        try:
            await self._permit(actor, request)
        except PermissionDenied:
            return False
        return True

    async def cancel(self, actor: Actor, file: FileRecord, job_id: int) -> None:
        """Cancel a job. Raises NotFound, PermissionDenied, Conflict."""
        job, details = await self.visible_job(actor, file.id, job_id)
        await self._permit(actor, self.request_of(job, details))
        if not await self._catalog.write(lambda conn: rows.cancel(conn, job_id)):
            raise Conflict(f"The import is over: {job.status}")

    async def restart(self, actor: Actor, file: FileRecord, job_id: int) -> int:
        """Start an unfinished job again; return the new id. Raises NotFound, and as ``start``."""
        job, details = await self.visible_job(actor, file.id, job_id)
        request = self.request_of(job, details)
        if job.status not in ("error", "cancelled", "interrupted"):
            await self._permit(actor, request)
            raise Conflict(f"Only an import that did not finish is started again: {job.status}")
        return await self.start(actor, file, request)

    async def apply(self, actor: Actor, file: FileRecord, job_id: int, removes: bool) -> int:
        """Start the merge that a comparison showed; return its id. Raises as ``restart``."""
        job, details = await self.visible_job(actor, file.id, job_id)
        request = self.request_of(job, details)
        return await self.start(actor, file, replace(request, mode="merge", removes=removes))

    async def databases(self, actor: Actor) -> list[tuple[str, bool]]:
        """List ``(database, whether new tables may be created)`` that the actor may import into.

        If the actor may not create tables, there are tables to which the actor may add rows.
        """
        datasette = self._datasette
        offered = []
        for name in datasette.databases:
            try:
                writable_database(datasette, name)
            except FilesError:
                continue
            creates = not await missing_for_import(datasette, actor, name, "", "create")
            if creates or await may_add_rows(datasette, actor, name):
                offered.append((name, creates))
        return offered

    async def tables(self, actor: Actor, databases: list[str]) -> dict[str, list[str]]:
        """List by database the tables that a form offers the actor for rows."""
        return {name: await tables_for_rows(self._datasette, actor, name) for name in databases}

    async def of_file(self, file: FileRecord) -> list[tuple[ImportJob, str]]:
        """Return the file's jobs, newest first, each with its mode."""
        return await self._catalog.read(lambda conn: rows.of_file(conn, file.id, _MAX_SHOWN))

    async def origins(self, database: str, table: str) -> list[Origin]:
        """Return the files whose rows are in a table, newest first."""
        return await self._catalog.read(
            lambda conn: rows.origins(conn, database, table, _MAX_SHOWN)
        )
