"""One import, from a claimed job to a table: a process reads, Datasette's connection writes.

The order makes a crash harmless: the job's notes name a folder or table before it is made, and the
last transaction before it begins. Leaves out the use cases (imports.py), when a job runs
(jobs/jobs.py), and the writing itself (writing.py).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from pathlib import Path
from typing import Any

from datasette.events import CreateTableEvent

from .. import telemetry
from ..catalog.lookup import Lookup
from ..config import PluginConfig
from ..db import audit, jobs
from ..db import imports as rows
from ..db.batching import Catalog
from ..db.imports import ImportRequest
from ..db.jobs import Job
from ..errors import PermissionDenied
from ..events import Announcer, ImportFileEvent
from ..jobs.jobs import Kind, Progress
from ..models import FileRecord
from ..permissions.actions import VIEW, Actor
from ..permissions.tables import missing_for_import
from ..sources import reading
from ..tables import leftovers, target
from . import folders, process
from .checking import ColumnRules, check_values
from .fitting import check_table, fit, hints, key_of, numbers, writable_database
from .formats import Formats
from .writing import Writing, retried

logger = logging.getLogger("datasette_files")


async def require(datasette: Any, actor: Actor, request: ImportRequest, then: str) -> None:
    """Raise PermissionDenied unless the actor may run the request; ``then`` ends the message."""
    missing = await missing_for_import(
        *(datasette, actor, request.database, request.table, request.mode), removes=request.removes
    )
    if missing:
        raise PermissionDenied(
            f"You do not have permission to import into {request.database!r} this way: needs"
            f" {', '.join(missing)}; {then}"
        )


class ImportWork(Kind):
    """The kind of job that imports a file."""

    name = rows.KIND
    phase = "reading"

    def __init__(
        self,
        datasette: Any,
        database: Catalog,
        config: PluginConfig,
        lookup: Lookup,
        announcer: Announcer,
        formats: Formats,
        columns: ColumnRules,
    ) -> None:
        super().__init__(database)
        self._datasette = datasette
        self.limit = config.import_concurrency
        self._config = config
        self._lookup = lookup
        self._announcer = announcer
        self._formats = formats
        self._columns = columns

    async def permit(self, job: Job) -> None:
        """Check again that the actor may see the file and import it. Raises PermissionDenied.

        If the file was deleted meanwhile, its bytes have already been read with permission. A
        command acts as the site's administrator.
        """
        if job.notes.get("by_command"):
            return
        then = "it was withdrawn since, and nothing was written; ask the administrator"
        found = await self._lookup.find(job.notes["file_id"])
        if found is not None and not await self._lookup.sees(job.actor, found[0]):
            raise PermissionDenied(f"You do not have permission to see this file ({VIEW}): {then}")
        await require(self._datasette, job.actor, ImportRequest(**job.options), then)

    @telemetry.spanned(telemetry.IMPORT)
    async def run(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Import. Raises Cancelled, Lost, ImportFailed, FilesError, sqlite3.Error."""
        request, size = ImportRequest(**job.options), job.notes["size"]
        file, source = await self._lookup.existing(job.notes["file_id"])
        database = writable_database(self._datasette, request.database)
        table = await database.execute_fn(lambda conn: target.existing(conn, request.table))
        check_table(request, table)
        await asyncio.to_thread(folders.check_room, size)
        folder = Path(folders.new())
        await self._catalog.write(lambda conn: jobs.note(conn, job.id, folder=str(folder)))
        await asyncio.to_thread(folders.make, folder)
        task = {
            "work": "import",
            **process.formats(
                self._formats.of(file, request.format),
                self._formats.registered,
                request.format is not None,
            ),
            "options": request.read,
            "types": request.types,
            "hints": hints(request, table),
            "numbers": numbers(request, table),
            "collation": table.collation if table is not None else None,
            "key": key_of(request, table),
            "max_bytes": self._config.import_max_bytes,
        }

        def note(read: int, count: int) -> None:
            if read < progress.counts.get("read", 0):
                progress.phase = "reading again"
            progress.count(read=read, rows=count)

        outcome = await progress.unless_stopped(
            process.run(task, lambda: reading.stream(source, file), note, folder)
        )
        progress.count(read=size, rows=outcome["rows"])
        content = fit(request, outcome, folder / "rows.db", table)
        await check_values(self._columns, request.database, content, progress.check)
        progress.phase = "writing"
        writing = Writing(self._catalog, self, database, job, request, content, progress)
        result = await writing.run()
        # The job ends before the events, so that an error in a plugin's hook cannot fail it.
        await self.end(job, "finished", None, result, **_counts(result))
        await self._announce(job, file, request, content.rows, created=table is None)
        return result

    def record(self, conn: sqlite3.Connection, job: Job, result: dict[str, Any]) -> None:
        """Write the audit of an import that has changed a table, also if its file is gone."""
        request = ImportRequest(**job.options)
        if request.mode == "compare":
            return
        detail = {
            **{"database": request.database, "table": request.table, "mode": request.mode},
            **{"rows": result.get("rows"), "job": job.id},
        }
        source_id, file_id = job.notes.get("source_id"), job.notes["file_id"]
        audit.add(conn, audit.note("import", source_id, detail, file_id=file_id))

    async def _announce(
        self, job: Job, file: FileRecord, request: ImportRequest, count: int, created: bool
    ) -> None:
        if request.mode == "compare":
            return
        actor = job.actor
        if created:
            database = self._datasette.get_database(request.database)
            schema = await database.get_table_definition(request.table)
            await self._announcer.announce(
                CreateTableEvent(actor, request.database, request.table, schema or "")
            )
        await self._announcer.announce(
            ImportFileEvent.about(
                file,
                actor,
                database=request.database,
                table=request.table,
                job=job.id,
                mode=request.mode,
                rows=count,
            )
        )

    def explain(self, job: Job, error: Exception) -> str:
        if isinstance(error, process.ImportFailed):
            return str(error)
        if isinstance(error, sqlite3.IntegrityError):
            return f"A row breaks a rule of the table ({error}); mend the file or the table"
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            logger.error("Import %d: %s", job.id, error)
            return (
                f"The disk of the database {job.options['database']!r} is full; ask the"
                " administrator for room there, then start the import again"
            )
        if isinstance(error, sqlite3.OperationalError):
            logger.error("Import %d: %s", job.id, error)
            return f"The database did not take the rows ({error}); start the import again"
        return super().explain(job, error)

    async def clean(self, job: Job, status: str, error: str | None) -> None:
        """Remove the job's staging table and folder; then end it, if it has not ended."""
        current = await self._catalog.read(lambda conn: jobs.get(conn, job.id)) or job
        notes = current.notes
        database = self._datasette.databases.get(job.options["database"])
        staging, reachable = notes.get("staging"), database is not None and database.is_mutable
        if staging is not None and reachable:
            left = await retried(database, lambda conn: leftovers.begin(conn, staging))
            if notes.get("committing") and not left:
                # The last transaction was committed, and then the process died.
                await self.end(job, "finished", None, current.result, **_counts(current.result))
            # In all other cases the transaction will not be committed any more.
            await self._catalog.write(lambda conn: jobs.note(conn, job.id, committing=None))
            try:
                while left:
                    left = await retried(database, lambda conn: leftovers.drop_some(conn, staging))
            except sqlite3.OperationalError:
                # The disk may be full: end the job now, and remove the table later.
                await self.end(job, status, error)
                raise
        if (folder := notes.get("folder")) is not None:
            await asyncio.to_thread(folders.remove, Path(folder))
        await self.end(job, status, error)
        # If the table's database is not attached now, try again in an hour.
        later = None if staging is None or reachable else time.time() + 3600
        await self._catalog.write(lambda conn: jobs.cleaned(conn, job.id, later))


def _counts(result: dict[str, Any]) -> dict[str, int]:
    return {"rows": result["rows"], "written": result["rows"]} if "rows" in result else {}
