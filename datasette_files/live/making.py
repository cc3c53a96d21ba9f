"""One job that makes the database of a file's live tables; the confined process reads the file."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..catalog.lookup import Lookup, absent
from ..config import PluginConfig
from ..db import files as file_rows
from ..db import jobs
from ..db import live as rows
from ..db.batching import Catalog
from ..db.jobs import Job
from ..db.live import Opened
from ..errors import BadType, FileTooLarge
from ..formats.packed import GZIP, OLE, ZIP, ZSTD
from ..imports import process
from ..imports.formats import Formats
from ..imports.requests import stem
from ..jobs.jobs import Cancelled, Kind, Lost, Progress
from ..models import FileRecord
from ..permissions.sight import sight
from ..sources import reading
from ..sources.sources import Source
from .cache import Cache

#: Raised when the same bytes become other tables: those made before are not used any more.
_VERSION = 1
_MAGIC = b"SQLite format 3\x00"
SQLITE_TYPES = ("application/vnd.sqlite3", "application/x-sqlite3")
SQLITE_ENDS = (".db", ".sqlite", ".sqlite3", ".db3")
#: Formats of which one pass gives all rows; files of others are copied by the process first.
_ONE_PASS = ("csv", "tsv", "ndjson")
#: Tables left out, with their reasons, that a job tells.
_MAX_LEFT_OUT = 100


class Reader:
    """How a file is read for its live tables."""

    def __init__(self, config: PluginConfig, formats: Formats) -> None:
        self._config = config
        self._formats = formats

    def key(self, file: FileRecord) -> str:
        """The name of a file's database: equal where the same bytes would become the same tables.

        Bytes never change under one id and time of creation.
        """
        content = file.sha256 or [file.id, file.created_at, file.path, file.size]
        known = [one.name for one in self._formats.registered]
        made_of = [_VERSION, content, file.filename, file.type, known]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()

    def offers(self, file: FileRecord) -> bool:
        """Tell whether the file is probably one with tables, by its name and type."""
        if (file.size or 0) > self._config.import_max_bytes:
            return False
        return _is_named_sqlite(file) or (self._formats.find(file.type, file.filename) is not None)

    def check(self, file: FileRecord) -> None:
        """Raise FileTooLarge for a file that no process reads."""
        if (file.size or 0) > self._config.import_max_bytes:
            raise FileTooLarge(
                f"The file has more than {self._config.import_max_bytes:,} bytes; split it, or ask"
                " the administrator to raise import_max_bytes"
            )

    async def task(self, work: str, source: Source, file: FileRecord) -> dict[str, Any]:
        """The process's task. Raises BadType, StorageError, StorageUnavailable."""
        head = await reading.head(source, file, len(_MAGIC))
        is_sqlite = head == _MAGIC
        if not is_sqlite and file.type in SQLITE_TYPES:
            raise BadType("The file is no SQLite database; upload it again")
        chosen = self._formats.of(file, None)
        packed = head.startswith((ZIP, OLE, GZIP, ZSTD))
        return {
            **{"work": work, "options": {}, "sqlite": is_sqlite, "name": stem(file.filename)},
            **process.formats(chosen, self._formats.registered, asked=False),
            "whole": is_sqlite or chosen.seeks,
            "keeps": packed or chosen.name not in _ONE_PASS,
            "size": file.size or 0,
            "most": self._config.live_tables_bytes,
            "max_bytes": self._config.import_max_bytes,
        }


def _is_named_sqlite(file: FileRecord) -> bool:
    return file.type in SQLITE_TYPES or file.filename.lower().endswith(SQLITE_ENDS)


class LiveWork(Kind):
    """The kind of job that makes live tables."""

    name = rows.KIND
    phase = "reading"
    shared = True

    def __init__(
        self,
        datasette: Any,
        catalog: Catalog,
        config: PluginConfig,
        lookup: Lookup,
        reader: Reader,
        cache: Cache,
        kept: Callable[[], None],
    ) -> None:
        """``kept`` is called after a database came into the cache, and others perhaps left it."""
        super().__init__(catalog)
        self._datasette = datasette
        self.limit = config.import_concurrency
        self._lookup = lookup
        self._reader = reader
        self._cache = cache
        self._kept = kept

    async def permit(self, job: Job) -> None:
        """Check that the job's actor may see the file. Raises PermissionDenied, NotFound."""
        await self._lookup.visible(job.actor, job.options["file_id"])

    async def run(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Make the database. Raises Cancelled, Lost, ImportFailed, FilesError."""
        file, source = await self._lookup.existing(job.options["file_id"])
        key = self._reader.key(file)
        await asyncio.to_thread(self._cache.check_room, file.size or 0)
        task = await self._reader.task("open", source, file)
        folder = self._cache.new_folder()
        await self._catalog.write(lambda conn: jobs.note(conn, job.id, folder=str(folder)))
        await asyncio.to_thread(self._cache.make_folder, folder)

        def note(read: int, count: int) -> None:
            progress.count(read=read, rows=count)

        outcome = await progress.unless_stopped(
            process.run(task, lambda: reading.stream(source, file), note, folder)
        )
        opened = Opened(key, outcome["tables"])
        progress.count(read=file.size or 0, rows=sum(one["rows"] for one in opened.tables))
        await self._commit(job, file, opened)
        await asyncio.to_thread(self._cache.keep, folder / "live.db", key)
        self._kept()
        return {"tables": len(opened.tables), "left_out": outcome["left_out"][:_MAX_LEFT_OUT]}

    async def _commit(self, job: Job, file: FileRecord, opened: Opened) -> None:
        """Note the database, if the actor may still see the file.

        It comes into the cache afterwards: a database that no row has is removed from there.
        """
        seen = await sight(self._datasette, job.actor)

        def commit(conn: sqlite3.Connection) -> None:
            stands = jobs.stands(conn, job)
            if not stands:
                raise Lost if stands is None else Cancelled
            now = file_rows.get(conn, file.id)
            if now is None:
                raise absent(file.id)
            seen.check(conn, now)
            rows.put(conn, file.id, opened)

        await self._catalog.write(commit)

    def explain(self, job: Job, error: Exception) -> str:
        return (
            str(error) if isinstance(error, process.ImportFailed) else super().explain(job, error)
        )

    async def clean(self, job: Job, status: str, error: str | None) -> None:
        """Remove the job's folder; then end it, if it has not ended."""
        current = await self._catalog.read(lambda conn: jobs.get(conn, job.id)) or job
        if (folder := current.notes.get("folder")) is not None:
            await asyncio.to_thread(self._cache.remove_folder, Path(folder))
        await super().clean(job, status, error)
