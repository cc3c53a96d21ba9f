"""One import, from a claimed job to a table: a process reads, Datasette's connection writes.

The order that makes a crash harmless: what will have to be removed is written down before it is
made; that the last transaction begins, before it does. Leaves out who may import (imports.py) and
when a job runs (jobs.py).
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from datasette.events import CreateTableEvent

from . import import_process, naming
from .db import imports as rows
from .errors import Conflict, FilesError, Invalid, StorageError
from .events import ImportFileEvent
from .jobs import Progress
from .models import FileRecord, ImportRequest, Job
from .sources import Source
from .tables import target

if TYPE_CHECKING:
    from .app import Files

_T = TypeVar("_T")

logger = logging.getLogger("datasette_files")

#: Where each import has a private folder, in the system's own for temporary files.
_FOLDER_PREFIX = "datasette-files-import-"
#: Rows of the first transaction; how long one is to take, in seconds; and the most rows.
_FIRST_ROWS, _HOLD, _MOST_ROWS = 2_000, 0.08, 20_000
#: Seconds between two transactions, in which other processes get at the database.
_GAP = 0.002
#: How often a step is tried while another process has the database locked: a try takes 5 seconds.
_TRIES = 12


class ImportWork:
    """What ``jobs.Jobs`` runs."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def folder(self) -> str:
        return str(Path(tempfile.gettempdir()).absolute() / f"{_FOLDER_PREFIX}{naming.new_ulid()}")

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
        await asyncio.to_thread(folder.mkdir, mode=0o700)
        task = {
            "work": "import",
            "folder": str(folder),
            "format": import_process.located(self._files.imports.format_of(file, request.format)),
            "options": request.read,
            "types": request.types,
            "hints": _hints(request, table),
            "key": _key(request, table),
            "max_bytes": self._files.config.import_max_bytes,
        }

        def note(read: int, count: int) -> None:
            progress.phase = "reading again" if read < progress.read else progress.phase
            progress.read, progress.rows = read, count

        outcome = await progress.unless_stopped(
            import_process.run(task, lambda: content_of(source, file), note)
        )
        progress.rows, progress.read = outcome["rows"], job.total_size
        content = _content(request, outcome, folder / "rows.db", table)
        progress.phase = "writing"
        await _Writing(self._files, database, job, request, content, progress, holder).run()
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
            ImportFileEvent(
                actor=actor,
                **self._files.facts(file),
                database=request.database,
                table=request.table,
                job=job.id,
                mode=request.mode,
                rows=count,
            )
        )

    def explain(self, job: Job, error: Exception) -> str:
        """What the job says of an error."""
        if isinstance(error, import_process.ImportFailed | FilesError):
            return str(error)
        if isinstance(error, sqlite3.IntegrityError):
            return f"A row breaks a rule of the table ({error}); mend the file or the table"
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
        if details.staging is not None and database is not None and database.is_mutable:
            staging = details.staging
            stays = await database.execute_fn(lambda conn: target.exists(conn, staging))
            if details.committing and not stays:
                # Its last transaction was committed, and then the process died.
                await self._end(job, "finished", None, details.result)
            gone = False
            while not gone:
                gone = await _retried(database, lambda conn: target.drop_some(conn, staging))
        if details.folder is not None:
            await asyncio.to_thread(_remove, Path(details.folder))
        await self._end(job, status, error, None)
        clean = details.staging is None or database is not None
        await catalog.write(lambda conn: rows.cleaned(conn, job.id, clean))


def _remove(folder: Path) -> None:
    """Remove an import's folder, and never another's."""
    if folder.name.startswith(_FOLDER_PREFIX) and folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)


class _Writing:
    """The rows of one import on their way from the scratch database to the user's."""

    def __init__(
        self,
        files: Files,
        database: Any,
        job: Job,
        request: ImportRequest,
        content: target.Content,
        progress: Progress,
        holder: str,
    ) -> None:
        self._files = files
        self._database = database
        self._job = job
        self._request = request
        self._content = content
        self._progress = progress
        self._holder = holder
        self._result: dict[str, Any] = {
            "rows": content.rows,
            "columns": list(zip(content.columns, content.kinds, strict=True)),
        }

    async def run(self) -> None:
        if self._request.mode == "compare":
            self._result.update(asdict(await self._compare()))
            await self._files.catalog.write(
                lambda conn: rows.commits(conn, self._job.id, self._holder, self._result)
            )
            return
        await self._files.catalog.write(
            lambda conn: rows.set_staging(conn, self._job.id, self._content.staging)
        )
        if self._request.mode in ("create", "replace"):
            await self._fill()
            await self._last(
                lambda conn: target.appear(conn, self._content, self._request.mode == "replace")
            )
            return
        await self._write(lambda conn: target.create_marker(conn, self._content.staging))
        if self._request.mode == "append":
            await self._last(lambda conn: target.append(conn, self._content))
            return
        self._result.update(asdict(await self._compare()))
        await self._last(lambda conn: target.merge(conn, self._content, self._request.removes))

    async def _last(self, step: Callable[[sqlite3.Connection], Any]) -> None:
        """The transaction by which the rows appear; from here on the job cannot be cancelled."""
        self._progress.check()
        ours = await self._files.catalog.write(
            lambda conn: rows.commits(conn, self._job.id, self._holder, self._result)
        )
        if not ours:
            await asyncio.sleep(0)
            self._progress.check()
            raise Invalid("The import was cancelled at the last moment")
        await self._write(step)
        self._progress.written = self._content.rows

    async def _write(self, step: Callable[[sqlite3.Connection], _T]) -> _T:
        return await _retried(self._database, step)

    async def _fill(self) -> None:
        """Fill the staging table, so many rows at a time as a short transaction takes."""
        content = self._content
        await self._write(lambda conn: target.create_staging(conn, content))
        size, done = _FIRST_ROWS, 0
        while done < content.rows:
            self._progress.check()
            upto = min(done + size, content.rows)
            took = await self._write(
                lambda conn, done=done, upto=upto: target.copy_rows(conn, content, done, upto)  # type: ignore[misc]
            )
            self._progress.written = done = upto
            size = _next_size(size, took)
            await asyncio.sleep(_GAP)
        last: int | None = -(2**63)
        while content.search and last is not None:
            self._progress.check()
            last = await self._write(
                lambda conn, last=last: target.index_words(conn, content, last, _FIRST_ROWS)  # type: ignore[misc]
            )
            await asyncio.sleep(_GAP)

    async def _compare(self) -> target.Differences:
        """What the file would change, some rows at a time: nobody is held up."""
        content, done, found, changed, total = self._content, 0, 0, 0, 0
        while done < content.rows or not done:
            self._progress.check()
            upto = min(done + _MOST_ROWS, content.rows)
            part = await self._database.execute_fn(
                lambda conn, done=done, upto=upto: target.compare(conn, content, done, upto)
            )
            found, changed, total = found + part[0], changed + part[1], part[2]
            if not content.rows:
                break
            self._progress.written = done = upto
        return target.Differences(content.rows - found, changed, max(0, total - found))


def _next_size(size: int, took: float) -> int:
    """Rows for the next transaction, by how long the last took."""
    factor = min(2.0, max(0.25, _HOLD / max(took, 0.001)))
    return int(min(_MOST_ROWS, max(100, size * factor)))


async def _retried(database: Any, step: Callable[[sqlite3.Connection], _T]) -> _T:
    """Run on the write connection; again while another process has the database locked."""
    for left in range(_TRIES - 1, -1, -1):
        try:
            result: _T = await database.execute_write_fn(step, transaction=False)
        except sqlite3.OperationalError as error:
            if not left or "locked" not in str(error):
                raise
            logger.info("%s is locked; the import tries again", database.name)
            await asyncio.sleep(0.1)
        else:
            return result
    raise AssertionError("the last try returns or raises")


def writable_database(datasette: Any, name: str) -> Any:
    """A database that rows can be written to. Raises Invalid."""
    database = datasette.databases.get(name)
    if database is None:
        raise Invalid(f"There is no database {name!r}; choose another")
    if not database.is_mutable or (database.is_memory and database.memory_name is None):
        raise Invalid(f"The database {name!r} cannot be written to; choose another")
    return database


def check_table(request: ImportRequest, table: target.Existing | None) -> None:
    """Raises Conflict or Invalid where the table does not fit the mode."""
    mode, name = request.mode, request.table
    if mode == "create" and table is not None:
        raise Conflict(
            f"There is a table {name!r} already; choose another name, or to add to it or replace it"
        )
    if mode in ("append", "merge", "compare") and table is None:
        raise Invalid(f"There is no table {name!r} to import into; create it by the import")
    if mode in ("merge", "compare") and table is not None:
        if len(table.keys) != 1:
            raise Invalid(
                f"{name!r} has no primary key of one column, by which rows could be matched"
            )
        if request.key is not None and request.key.lower() != table.keys[0].lower():
            raise Invalid(f"The primary key of {name!r} is {table.keys[0]!r}, not {request.key!r}")


def _hints(request: ImportRequest, table: target.Existing | None) -> dict[str, str]:
    """The columns of a table that exists which hold text: then the file's are read as that."""
    if table is None or request.mode in ("create", "replace"):
        return {}
    return {
        name.lower(): "text"
        for name, declared in table.columns.items()
        if target.affinity(declared) == "text"
    }


def _key(request: ImportRequest, table: target.Existing | None) -> str | None:
    """The column by which rows are told apart, if any."""
    if request.mode in ("create", "replace"):
        return request.key
    return table.keys[0] if table is not None and request.mode != "append" else None


def _content(
    request: ImportRequest,
    outcome: dict[str, Any],
    path: Path,
    table: target.Existing | None,
) -> target.Content:
    """What was read. Raises Invalid where it does not fit the table that it is for."""
    columns, kinds = outcome["columns"], [kind or "text" for kind in outcome["types"]]
    key = _key(request, table)
    if request.mode in ("append", "merge", "compare") and table is not None:
        columns, kinds = _fitted(columns, outcome["types"], table, request.table)
        if key is not None and key not in columns:
            raise Invalid(f"The file has no column {key!r}, the table's primary key")
    elif key is not None:
        key = next((name for name in columns if name.lower() == key.lower()), key)
    for name in (*request.indexes, *request.search):
        if name not in columns:
            raise Invalid(f"There is no column {name!r} to index")
    if request.search and any(name.lower() == "rowid" for name in columns):
        raise Invalid("A table with a column named rowid cannot have full-text search")
    return target.Content(
        path=path,
        columns=columns,
        kinds=kinds,
        rows=outcome["rows"],
        table=request.table,
        staging=target.STAGING_PREFIX + naming.new_ulid(),
        key=key,
        indexes=tuple(dict.fromkeys(request.indexes)),
        search=tuple(dict.fromkeys(request.search)),
    )


def _fitted(
    columns: list[str], kinds: list[str | None], table: target.Existing, name: str
) -> tuple[list[str], list[str]]:
    """The file's columns by the table's names, and kinds that its types hold."""
    known = {column.lower(): column for column in table.columns}
    made = []
    for column, kind in zip(columns, kinds, strict=True):
        own = known.get(column.lower())
        if own is None:
            raise Invalid(
                f"The table {name!r} has no column {column!r}; add it to the table, or take it out"
                " of the file"
            )
        wanted = target.affinity(table.columns[own])
        if wanted in ("integer", "float") and kind in ("text", "blob"):
            raise Invalid(
                f"The column {own!r} of {name!r} holds numbers, and the file has others in it; mend"
                " the file, or change the column's type"
            )
        if wanted == "integer" and kind == "float":
            raise Invalid(
                f"The column {own!r} of {name!r} holds integers, and the file has fractions in it;"
                " mend the file, or change the column's type"
            )
        made.append(kind or ("integer" if wanted in ("integer", "float") else "text"))
    return [known[column.lower()] for column in columns], made


async def content_of(source: Source, file: FileRecord) -> AsyncIterator[bytes]:
    """The file's bytes from its storage. Raises FilesError for whatever a storage makes of it."""
    try:
        async for chunk in source.storage.stream_file(file.path):
            yield chunk
    except FilesError:
        raise
    except Exception as error:
        logger.exception("Source %r failed to read a file", source.slug)
        raise StorageError("The storage failed to read the file; try again") from error
