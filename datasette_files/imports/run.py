"""One import, from a claimed job to a table: a process reads, Datasette's connection writes.

The order that makes a crash harmless: what will have to be removed is written down before it is
made; that the last transaction begins, before it does. Leaves out who may import (imports.py), when
a job runs (jobs.py), and the writing itself (writing.py).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

from datasette.events import CreateTableEvent

from ..catalog.lookup import Lookup
from ..config import PluginConfig
from ..db import imports as rows
from ..db.batching import Catalog
from ..errors import FilesError, Invalid
from ..events import Announcer, ImportFileEvent
from ..jobs.jobs import Progress
from ..models import FileRecord, ImportRequest, Job
from ..sources import reading
from ..tables import leftovers, target
from . import folders, process
from .fitting import check_table, fit, hints, key_of, numbers, writable_database
from .formats import Formats
from .writing import Writing, retried

logger = logging.getLogger("datasette_files")


class ImportWork:
    """What ``jobs.Jobs`` runs."""

    def __init__(
        self,
        datasette: Any,
        database: Catalog,
        config: PluginConfig,
        lookup: Lookup,
        announcer: Announcer,
        formats: Formats,
    ) -> None:
        self._datasette = datasette
        self._catalog = database
        self._config = config
        self._lookup = lookup
        self._announcer = announcer
        self._formats = formats

    def folder(self) -> str:
        return folders.new()

    async def run(self, job: Job, progress: Progress, holder: str) -> None:
        """Import. Raises Cancelled, Lost, ImportFailed, FilesError, sqlite3.Error."""
        details = await self._catalog.read(lambda conn: rows.details(conn, job.id))
        if details is None or details.folder is None:
            raise Invalid("This import has no options; start another")
        request = ImportRequest(**details.options)
        file, source = await self._lookup.existing(job.file_id)
        database = writable_database(self._datasette, request.database)
        table = await database.execute_fn(lambda conn: target.existing(conn, request.table))
        check_table(request, table)
        folder = Path(details.folder)
        await asyncio.to_thread(folders.check_room, job.total_size)
        await asyncio.to_thread(folders.make, folder)
        task = {
            "work": "import",
            "folder": str(folder),
            "format": process.located(self._formats.of(file, request.format)),
            "options": request.read,
            "types": request.types,
            "hints": hints(request, table),
            "numbers": numbers(request, table),
            "collation": table.collation if table is not None else None,
            "key": key_of(request, table),
            "max_bytes": self._config.import_max_bytes,
        }

        def note(read: int, count: int) -> None:
            progress.phase = "reading again" if read < progress.read else progress.phase
            progress.read, progress.rows = read, count

        outcome = await progress.unless_stopped(
            process.run(task, lambda: reading.stream(source, file), note)
        )
        progress.rows, progress.read = outcome["rows"], job.total_size
        content = fit(request, outcome, folder / "rows.db", table)
        progress.phase = "writing"
        await Writing(self._catalog, database, job, request, content, progress, holder).run()
        result = await self._catalog.read(lambda conn: rows.details(conn, job.id))
        await self._end(job, "finished", None, result.result if result else {})
        await self._announce(job, file, request, content.rows, created=table is None)

    async def _end(
        self, job: Job, status: str, error: str | None, result: dict[str, Any] | None
    ) -> None:
        await self._catalog.write(
            lambda conn: rows.end(
                conn, job.id, status, error, (result or {}).get("rows"), result or None
            )
        )

    async def _announce(
        self, job: Job, file: FileRecord, request: ImportRequest, count: int, created: bool
    ) -> None:
        if request.mode == "compare":
            return
        who = await self._catalog.read(lambda conn: rows.actor_of(conn, job.id))
        actor = None if who is None else {"id": who}
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
        """What the job says of an error."""
        if isinstance(error, process.ImportFailed | FilesError):
            return str(error)
        if isinstance(error, sqlite3.IntegrityError):
            return f"A row breaks a rule of the table ({error}); mend the file or the table"
        if isinstance(error, sqlite3.OperationalError) and "full" in str(error):
            logger.error("Import %d: %s", job.id, error)
            return (
                f"The disk of the database {job.database_name!r} is full; ask the administrator"
                " for room there, then start the import again"
            )
        if isinstance(error, sqlite3.OperationalError):
            logger.error("Import %d: %s", job.id, error)
            return f"The database did not take the rows ({error}); start the import again"
        logger.error("Import %d failed", job.id, exc_info=error)
        return f"The import failed ({type(error).__name__}); see the server's log"

    async def clean(self, job: Job, status: str, error: str | None) -> None:
        """Remove the job's staging table and folder; then end it, if it has not ended."""
        details = await self._catalog.read(lambda conn: rows.details(conn, job.id))
        if details is None:
            return
        database = self._datasette.databases.get(job.database_name)
        staging, reachable = details.staging, database is not None and database.is_mutable
        if staging is not None and reachable:
            left = await retried(database, lambda conn: leftovers.begin(conn, staging))
            if details.committing and not left:
                # Its last transaction was committed, and then the process died.
                await self._end(job, "finished", None, details.result)
            await self._catalog.write(lambda conn: rows.gives_up(conn, job.id))
            try:
                while left:
                    left = await retried(database, lambda conn: leftovers.drop_some(conn, staging))
            except sqlite3.OperationalError:
                # On a full disk, say: it is told now, and removed later.
                await self._end(job, status, error, None)
                raise
        if details.folder is not None:
            await asyncio.to_thread(folders.remove, Path(details.folder))
        await self._end(job, status, error, None)
        gone = staging is None or reachable
        await self._catalog.write(lambda conn: rows.cleaned(conn, job.id, gone))
