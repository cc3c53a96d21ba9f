"""Imports: what a file would become as a table, and jobs that make it so.

The use cases behind the import pages: preview, start, cancel, restart, and which table came from
which file. Leaves out the import itself (importing/run.py) and when it runs (jobs.py).
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from .db import imports as rows
from .errors import BadType, Conflict, FilesError, Invalid, NotFound, PermissionDenied
from .formats.base import ImportFormat
from .formats.excel import Workbook
from .importing import folders
from .importing.fitting import check_table, writable_database
from .importing.previews import Preview, Previews
from .importing.requests import check_reading, checked
from .importing.run import ImportWork
from .jobs import Jobs
from .models import FileRecord, ImportDetails, ImportRequest, Job, Origin
from .permissions import Actor, actor_id, may_add_rows, may_view_table, missing_for_import
from .sources import Source
from .tables import target

if TYPE_CHECKING:
    from .app import Files

_PACKED = (".gz", ".gzip", ".zip", ".zst")
_PACKED_TYPES = (
    *("application/gzip", "application/x-gzip", "application/zip"),
    "application/zstd",
)
#: How many of a file's imports, and of a table's files, are shown.
_SHOWN = 20


class Imports:
    """The imports of one Datasette."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.jobs = Jobs(files.catalog, ImportWork(files), files.config.import_concurrency)
        #: Set at start, from the hook.
        self.formats: list[ImportFormat] = []
        self._previews = Previews(files)

    def find_format(self, content_type: str, filename: str) -> ImportFormat | None:
        """The format that a file probably is of; packed, by its name without the end."""
        name, kind = filename.lower(), content_type
        for end in _PACKED:
            if name.endswith(end):
                name = name.removesuffix(end)
                kind = "application/octet-stream"
        for one in self.formats:
            if one.matches(kind, name):
                return one
        if content_type in _PACKED_TYPES and filename.lower().endswith(_PACKED):
            return self._named("csv")
        return None

    def format_of(self, file: FileRecord, name: str | None) -> ImportFormat:
        """The format of this name, else the file's; CSV for what may be anything.

        Raises Invalid, BadType.
        """
        found = self.find_format(file.type, file.filename)
        if found is None and not name and file.filename.lower().endswith(Workbook.extensions):
            raise BadType(
                "Workbooks are read where datasette-files[excel] is installed; ask the"
                " administrator, or save the sheet as CSV"
            )
        chosen = self._named(name) if name else found or self._named("csv")
        if chosen is None and name:
            raise Invalid(
                f"There is no format {name!r}; there are:"
                f" {', '.join(one.name for one in self.formats)}"
            )
        if chosen is None:
            raise BadType("No import format is for files of this type")
        return chosen

    def _named(self, name: str) -> ImportFormat | None:
        return next((one for one in self.formats if one.name == name), None)

    async def preview(
        self, source: Source, file: FileRecord, name: str | None, read: dict[str, Any]
    ) -> Preview:
        """The first rows, read as wanted.

        Raises Invalid, BadType, TimedOut, StorageError, StorageUnavailable.
        """
        check_reading(read)
        chosen = self.format_of(file, name)
        return await self._previews.make(source, file, chosen, read, asked=bool(name))

    async def start(self, actor: Actor, file: FileRecord, request: ImportRequest) -> int:
        """A new job; its id.

        Raises PermissionDenied, Invalid, Conflict, NoSpace, StorageUnavailable.
        """
        request = await self._by_own_name(checked(request))
        await self._permit(actor, request)
        chosen = self.format_of(file, request.format)
        database = writable_database(self._files.datasette, request.database)
        table = await database.execute_fn(lambda conn: target.existing(conn, request.table))
        check_table(request, table)
        await asyncio.to_thread(folders.check_room, file.size or 0)
        job = await self._files.catalog.write(
            lambda conn: rows.add(
                conn,
                file_id=file.id,
                import_type=chosen.name,
                database=request.database,
                table=request.table,
                size=file.size or 0,
                actor=actor_id(actor),
                content_hash=file.content_hash,
                source_id=file.source_id,
                options=asdict(request),
            )
        )
        self.jobs.wake()
        return job

    async def _by_own_name(self, request: ImportRequest) -> ImportRequest:
        """With the table's name as the database writes it, by which permissions are given."""
        database = self._files.datasette.databases.get(request.database)
        if database is None:
            return request
        name = await database.execute_fn(lambda conn: target.own_name(conn, request.table))
        return replace(request, table=name)

    async def _permit(self, actor: Actor, request: ImportRequest) -> None:
        missing = await missing_for_import(
            *(self._files.datasette, actor, request.database, request.table, request.mode),
            removes=request.removes,
        )
        if missing:
            raise PermissionDenied(
                f"You do not have permission to import into {request.database!r} this way: needs"
                f" {', '.join(missing)}; sign in, or ask its administrator"
            )

    async def visible_job(
        self, actor: Actor, file_id: str, job_id: int
    ) -> tuple[Job, ImportDetails | None]:
        """A job, for who started it or may view its table: it tells of that too.

        Raises NotFound, PermissionDenied.
        """
        job, details = await self.job(file_id, job_id)
        who = await self._files.catalog.read(lambda conn: rows.actor_of(conn, job_id))
        if who is not None and who == actor_id(actor):
            return job, details
        if await may_view_table(self._files.datasette, actor, job.database_name, job.table_name):
            return job, details
        raise PermissionDenied(
            "You do not have permission to see this import: needs view-table on its table; sign in,"
            " or ask its administrator"
        )

    async def job(self, file_id: str, job_id: int) -> tuple[Job, ImportDetails | None]:
        """Raises NotFound."""

        def look(conn: Any) -> tuple[Job | None, ImportDetails | None]:
            return rows.get(conn, file_id, job_id), rows.details(conn, job_id)

        job, details = await self._files.catalog.read(look)
        if job is None:
            raise NotFound(f"There is no import {job_id} of this file")
        return job, details

    def request_of(self, job: Job, details: ImportDetails | None) -> ImportRequest:
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
        job, details = await self.job(file.id, job_id)
        await self._permit(actor, self.request_of(job, details))
        if await self._files.catalog.write(lambda conn: rows.cancel(conn, job_id)) is None:
            raise Conflict(f"The import is over: {job.status}")

    async def restart(self, actor: Actor, file: FileRecord, job_id: int) -> int:
        """A new job with the options of one that did not finish. As ``start``, and NotFound."""
        job, details = await self.job(file.id, job_id)
        request = self.request_of(job, details)
        if job.status not in ("error", "cancelled", "interrupted"):
            await self._permit(actor, request)
            raise Conflict(f"Only an import that did not finish is started again: {job.status}")
        return await self.start(actor, file, request)

    async def apply(self, actor: Actor, file: FileRecord, job_id: int, removes: bool) -> int:
        """A job that does what a comparison showed."""
        job, details = await self.job(file.id, job_id)
        request = self.request_of(job, details)
        return await self.start(actor, file, replace(request, mode="merge", removes=removes))

    async def databases(self, actor: Actor) -> list[tuple[str, bool]]:
        """The databases that the actor may import into, and whether new tables are possible there.

        Else there are tables that rows may be added to.
        """
        datasette = self._files.datasette
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

    async def of_file(self, file: FileRecord) -> list[tuple[Job, str]]:
        """The file's jobs, newest first, each with its mode."""
        return await self._files.catalog.read(lambda conn: rows.of_file(conn, file.id, _SHOWN))

    async def origins(self, database: str, table: str) -> list[Origin]:
        """The files whose rows are in a table, newest first."""
        return await self._files.catalog.read(
            lambda conn: rows.origins(conn, database, table, _SHOWN)
        )
