"""One import, from a claimed job to a table: a process reads, Datasette's connection writes.

The order that makes a crash harmless: what will have to be removed is written down before it is
made; that the last transaction begins, before it does. Leaves out who may import (imports.py), when
a job runs (jobs.py), and the writing itself (writing.py).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasette.events import CreateTableEvent

from ..db import imports as rows
from ..errors import FilesError, Invalid, StorageError
from ..events import ImportFileEvent
from ..jobs import Progress
from ..models import FileRecord, ImportRequest, Job
from ..sources import Source
from ..tables import leftovers, target
from . import folders, process
from .fitting import check_table, fit, hints, key_of, numbers, writable_database
from .writing import Writing, retried

if TYPE_CHECKING:
    from ..app import Files

logger = logging.getLogger("datasette_files")


class ImportWork:
    """What ``jobs.Jobs`` runs."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def folder(self) -> str:
        return folders.new()

    async def run(self, job: Job, progress: Progress, holder: str) -> None:
        """Import. Raises Cancelled, Lost, ImportFailed, FilesError, sqlite3.Error."""
        details = await self._files.catalog.read(lambda conn: rows.details(conn, job.id))
        if details is None or details.folder is None:
            raise Invalid("This import has no options; start another")
        request = ImportRequest(**details.options)
        file, source = await self._files.existing(job.file_id)
        database = writable_database(self._files.datasette, request.database)
        table = await database.execute_fn(lambda conn: target.existing(conn, request.table))
        check_table(request, table)
        folder = Path(details.folder)
        await asyncio.to_thread(folders.check_room, job.total_size)
        await asyncio.to_thread(folders.make, folder)
        task = {
            "work": "import",
            "folder": str(folder),
            **process.formats(
                self._files.imports.format_of(file, request.format),
                self._files.imports.formats,
                request.format is not None,
            ),
            "options": request.read,
            "types": request.types,
            "hints": hints(request, table),
            "numbers": numbers(request, table),
            "collation": table.collation if table is not None else None,
            "key": key_of(request, table),
            "max_bytes": self._files.config.import_max_bytes,
        }

        def note(read: int, count: int) -> None:
            progress.phase = "reading again" if read < progress.read else progress.phase
            progress.read, progress.rows = read, count

        outcome = await progress.unless_stopped(
            process.run(task, lambda: content_of(source, file), note)
        )
        progress.rows, progress.read = outcome["rows"], job.total_size
        content = fit(request, outcome, folder / "rows.db", table)
        progress.phase = "writing"
        await Writing(self._files, database, job, request, content, progress, holder).run()
        result = await self._files.catalog.read(lambda conn: rows.details(conn, job.id))
        await self._end(job, "finished", None, result.result if result else {})
        await self._announce(job, file, request, content.rows, created=table is None)

    async def _end(
        self, job: Job, status: str, error: str | None, result: dict[str, Any] | None
    ) -> None:
        await self._files.catalog.write(
            lambda conn: rows.end(
                conn, job.id, status, error, (result or {}).get("rows"), result or None
            )
        )

    async def _announce(
        self, job: Job, file: FileRecord, request: ImportRequest, count: int, created: bool
    ) -> None:
        if request.mode == "compare":
            return
        who = await self._files.catalog.read(lambda conn: rows.actor_of(conn, job.id))
        actor = None if who is None else {"id": who}
        if created:
            database = self._files.datasette.get_database(request.database)
            schema = await database.get_table_definition(request.table)
            await self._files.announce(
                CreateTableEvent(actor, request.database, request.table, schema or "")
            )
        await self._files.announce(
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
        catalog = self._files.catalog
        details = await catalog.read(lambda conn: rows.details(conn, job.id))
        if details is None:
            return
        database = self._files.datasette.databases.get(job.database_name)
        staging, reachable = details.staging, database is not None and database.is_mutable
        if staging is not None and reachable:
            left = await retried(database, lambda conn: leftovers.begin(conn, staging))
            if details.committing and not left:
                # Its last transaction was committed, and then the process died.
                await self._end(job, "finished", None, details.result)
            await catalog.write(lambda conn: rows.gives_up(conn, job.id))
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
        await catalog.write(lambda conn: rows.cleaned(conn, job.id, gone))


async def content_of(source: Source, file: FileRecord) -> AsyncIterator[bytes]:
    """The file's bytes from its storage. Raises FilesError for whatever a storage makes of it."""
    passed = 0
    try:
        async for chunk in source.storage.stream_file(file.path):
            passed += len(chunk)
            yield chunk
    except FilesError:
        raise
    except Exception as error:
        logger.exception("Source %r failed to read a file", source.slug)
        raise StorageError("The storage failed to read the file; try again") from error
    if file.size is not None and passed != file.size:
        logger.error("Source %r has %d bytes of %d of %s", source.slug, passed, file.size, file.id)
        raise StorageError(
            f"The storage gave {passed:,} bytes of a file of {file.size:,}; upload it again"
        )
