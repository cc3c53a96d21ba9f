"""Imports: what a file would become as a table, and jobs that make it so.

The use cases behind the import pages: preview, start, cancel, restart, and which table came from
which file. Leaves out the import itself (import_run.py) and when it runs (jobs.py).
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import import_process
from .db import imports as rows
from .errors import BadType, Conflict, FilesError, Invalid, NotFound, PermissionDenied, TimedOut
from .formats.base import ImportFormat
from .formats.characters import ENCODINGS
from .formats.excel import Workbook
from .formats.packed import ZIP
from .formats.types import TYPES
from .import_run import ImportWork, check_table, content_of, writable_database
from .jobs import Jobs
from .models import IMPORT_MODES, FileRecord, ImportDetails, ImportRequest, Job, Origin
from .permissions import Actor, actor_id, missing_for_import
from .sources import Source
from .tables import target

if TYPE_CHECKING:
    from .app import Files

logger = logging.getLogger("datasette_files")

#: Bytes of a file that a preview looks at; and of one that has to be whole to be looked at.
_HEAD = 256 * 1024
_WHOLE = 64 * 1024 * 1024
#: Previews made at the same time, and the seconds that one may take.
_PREVIEWS, _PREVIEW_SECONDS = 2, 30.0
_PACKED = (".gz", ".gzip", ".zip")
_PACKED_TYPES = ("application/gzip", "application/x-gzip", "application/zip")
_TOO_LARGE = "The file is too large for a preview; it can be imported all the same"
#: Characters of a table's name.
_LONGEST_NAME = 200
#: How many of a file's imports, and of a table's files, are shown.
_SHOWN = 20


@dataclass(frozen=True)
class Preview:
    """The first rows of a file as a table. ``problem``: why there are none, or no more."""

    format: str
    columns: list[str] = field(default_factory=list)
    #: By these rows alone.
    types: list[str] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    members: list[str] = field(default_factory=list)
    problem: str | None = None
    #: Whether the file may be imported though there are no rows here.
    readable: bool = False


class Imports:
    """The imports of one Datasette."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.jobs = Jobs(files.catalog, ImportWork(files), files.config.import_concurrency)
        #: Set at start, from the hook.
        self.formats: list[ImportFormat] = []
        self._previews = asyncio.Semaphore(_PREVIEWS)

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
        """The first rows, read as wanted. Raises Invalid, StorageError, StorageUnavailable."""
        chosen = self.format_of(file, name)
        check_reading(read)
        head = await self._files.head(source, file, _HEAD)
        whole = chosen.seeks or head.startswith(ZIP)
        if whole and (file.size or 0) > _WHOLE:
            return Preview(chosen.name, problem=_TOO_LARGE, readable=True)

        async def content() -> AsyncIterator[bytes]:
            if not whole:
                yield head
                return
            async for chunk in content_of(source, file):
                yield chunk

        task = {
            **{"work": "preview", "format": import_process.located(chosen), "options": read},
            "cut": not whole and (file.size is None or file.size > len(head)),
            "max_bytes": self._files.config.import_max_bytes,
        }
        folder = await asyncio.to_thread(tempfile.mkdtemp, prefix="datasette-files-preview-")
        try:
            async with self._previews:
                made = await asyncio.wait_for(
                    import_process.run({**task, "folder": folder}, content, lambda *_: None),
                    _PREVIEW_SECONDS,
                )
        except import_process.ImportFailed as error:
            return Preview(chosen.name, problem=str(error))
        except asyncio.TimeoutError:
            if whole:
                return Preview(chosen.name, problem=_TOO_LARGE, readable=True)
            raise TimedOut("The preview took too long; try again in a minute") from None
        finally:
            await asyncio.to_thread(shutil.rmtree, folder)
        return Preview(chosen.name, **{**made, "types": [kind or "text" for kind in made["types"]]})

    async def start(self, actor: Actor, file: FileRecord, request: ImportRequest) -> int:
        """A new job; its id. Raises PermissionDenied, Invalid, Conflict."""
        request = checked(request)
        await self._permit(actor, request)
        chosen = self.format_of(file, request.format)
        database = writable_database(self._files.datasette, request.database)
        table = await database.execute_fn(lambda conn: target.existing(conn, request.table))
        check_table(request, table)
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
                options=asdict(request),
            )
        )
        self.jobs.wake()
        return job

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

    async def databases(self, actor: Actor) -> list[str]:
        """The databases in which the actor may make tables."""
        datasette = self._files.datasette
        offered = []
        for name in datasette.databases:
            try:
                writable_database(datasette, name)
            except FilesError:
                continue  # it is not offered
            if not await missing_for_import(datasette, actor, name, "", "create"):
                offered.append(name)
        return offered

    async def of_file(self, file: FileRecord) -> list[tuple[Job, str]]:
        """The file's jobs, newest first, each with its mode."""
        return await self._files.catalog.read(lambda conn: rows.of_file(conn, file.id, _SHOWN))

    async def origins(self, database: str, table: str) -> list[Origin]:
        """The files whose rows are in a table, newest first."""
        return await self._files.catalog.read(
            lambda conn: rows.origins(conn, database, table, _SHOWN)
        )


def checked(request: ImportRequest) -> ImportRequest:
    """The request, if it makes sense. Raises Invalid."""
    name = request.table
    if request.mode not in IMPORT_MODES:
        raise Invalid(f"There is no mode {request.mode!r}; there are: {', '.join(IMPORT_MODES)}")
    if not name.strip() or len(name) > _LONGEST_NAME or not _is_text(name):
        raise Invalid(f"table_name must be a name of 1 to {_LONGEST_NAME} characters")
    if request.mode in ("create", "replace") and re.match("(?i)sqlite_", name):
        raise Invalid("Names that begin with sqlite_ are SQLite's own; choose another")
    if name.startswith(target.STAGING_PREFIX):
        raise Invalid(f"Names that begin with {target.STAGING_PREFIX} are for imports that run")
    check_reading(request.read)
    for column, kind in request.types.items():
        if kind not in TYPES:
            raise Invalid(
                f"There is no type {kind!r} for {column!r}; there are: {', '.join(TYPES)}"
            )
    if request.removes and request.mode not in ("merge", "compare"):
        raise Invalid("Rows are removed by a merge only")
    return request


def check_reading(read: dict[str, Any]) -> None:
    """Raises Invalid for a way of reading that there is not."""
    if (encoding := read.get("encoding")) is not None and encoding not in ENCODINGS:
        raise Invalid(f"There is no encoding {encoding!r}; there are: {', '.join(ENCODINGS)}")
    if read.get("errors", "strict") not in ("strict", "replace"):
        raise Invalid("errors must be strict or replace")
    if read.get("extra", "error") not in ("error", "drop"):
        raise Invalid("extra must be error or drop")
    for name in ("delimiter", "quote"):
        value = read.get(name)
        if value and (len(value) > 1 or value in "\r\n\x00" or not _is_text(value)):
            raise Invalid(f"{name} must be one character, and no line break")
    if read.get("delimiter") and read.get("delimiter") == read.get("quote", '"'):
        raise Invalid("delimiter and quote must be two characters")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in text


def table_name(filename: str) -> str:
    """A table's name for a file: what its name begins with, as SQL is easy to write for."""
    stem = Path(filename).name
    for _ in range(2):
        end = Path(stem).suffix
        if end and end[1:].isalnum():
            stem = stem.removesuffix(end)
    return re.sub(r"\W+", "_", stem).strip("_").lower()[:_LONGEST_NAME] or "imported"
