"""Bringing a bundle back: its files into sources, and its rows into a table.

The order: verify the whole bag; see that sources, limits, ids and keys allow all of it; store the
files; add the rows in one transaction. Nothing is written before the first two are done. A file
keeps its id where that is free, and is there already if the file of that id has the same sha256.
Else its new id follows from the old one and its sha256, so that a repetition finds it: after a
crash the same command does the rest.

Leaves out the bag (bag_reading.py), the records in it (bag_records.py), and the SQL
(tables/restoring.py).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from ..db import bundles
from ..db.batching import Catalog
from ..errors import FilesError, Invalid, NotFound
from ..events import Announcer, UploadFileEvent
from ..formats import bag_csv, table_schema
from ..formats.table_schema import MAX_SCHEMA, TableSchema
from ..models import FileRecord, SourceTotals
from ..permissions.actions import UPLOAD
from ..permissions.grants import administrator
from ..sources import reading
from ..sources.sources import Source, Sources
from ..tables import restoring
from ..tables.bag_index import FILE_COLUMNS, BagIndex
from . import bag_reading, bag_records
from .bag_layout import FILES, FILES_CSV, LABEL, ROWS_CSV, ROWS_SCHEMA, VERSION
from .bag_reading import Bag
from .bundling import in_thread
from .databases import Databases
from .incoming import Incoming
from .uploads import Uploads

#: Attempts at a new id for a file whose id is taken.
_MAX_IDS = 100

_T = TypeVar("_T")


@dataclass
class Unbundled:
    """The results. ``renamed``: files that have a new id."""

    stored: SourceTotals = field(default_factory=SourceTotals)
    present: SourceTotals = field(default_factory=SourceTotals)
    renamed: int = 0
    #: The database and table of the rows, and the rows added and there already.
    database: str | None = None
    table: str | None = None
    rows: restoring.Comparison | None = None


@dataclass(frozen=True)
class _Rows:
    """The rows on their way: their plan, and the scratch database that holds them."""

    plan: restoring.Plan
    path: Path


class Unbundling:
    """One bag that is brought back: ``check``, then ``files`` and ``store`` each, then ``rows``."""

    def __init__(self, unbundler: Unbundler, bag: Bag, folder: Path, databases: Databases) -> None:
        self._unbundler = unbundler
        self._bag = bag
        self._folder = folder
        self._databases = databases
        self._index = BagIndex(folder / "index.db")
        self._rows: _Rows | None = None
        self._sources: dict[str, Source] = {}
        self.unbundled = Unbundled()

    def close(self) -> None:
        self._index.close()

    async def check(self, slugs: dict[str, str]) -> None:
        """Verify the bag, and that all of it can be restored. ``slugs``: new ones by old ones.

        Raises ChecksumMismatch or Invalid for an unsound bag, NotFound for an unknown source,
        FileTooLarge or BadType for a file that its source does not take, and Conflict for rows
        whose keys are taken. Nothing is written before it returns.
        """
        await in_thread(self._verify)
        for slug in self._index.sources():
            self._sources[slug] = self._source(slug, slugs.get(slug, slug))
        schema = self._schema()
        if schema is not None:
            await self._stage(schema, slugs)
        for page in self._index.files():
            await self._resolve(page)
        if self._rows is not None:
            await self._compare(self._rows)

    def _verify(self, stop: Callable[[], None]) -> None:
        info = bag_reading.verify(self._bag, self._index, stop)
        if info.get(LABEL.lower()) != VERSION:
            raise Invalid(f"The bag is no bundle of datasette-files of the version {VERSION}")
        rows = self._cells(FILES_CSV)
        if next(rows, None) != list(FILE_COLUMNS):
            raise Invalid(f"{FILES_CSV} has not the columns of a bundle; take a sound copy")
        for row in rows:
            stop()
            file = bag_records.parse(row)
            if self._index.member(file["path"]) != (file["size"], file["sha256"]):
                raise Invalid(f"{FILES_CSV} names {file['path']!r} otherwise than the manifest")
            if not self._index.add_file(file):
                raise Invalid(f"{FILES_CSV} names {file['id']} or its path twice")
        if unlisted := self._index.unlisted(FILES):
            raise Invalid(f"{FILES_CSV} does not name {unlisted!r}; take a sound copy")

    def _cells(self, path: str) -> Iterator[list[str]]:
        """The rows of a CSV file of the bag."""
        found = self._index.member(path)
        if found is None or found[1] is None:
            raise Invalid(f"The bag has no {path}; this is not a bundle")
        return bag_csv.read(bag_reading.read(self._bag, path, found[0], found[1]))

    def _source(self, old: str, new: str) -> Source:
        try:
            source = self._unbundler.sources.get(new)
        except NotFound as error:
            raise NotFound(f"{error}; name another one with --source {old}=NEW") from None
        source.require_uploads()
        return source

    def _schema(self) -> TableSchema | None:
        """The schema of the rows, if there are any."""
        if self._index.member(ROWS_CSV) is None:
            return None
        content = bag_reading.small(self._bag, self._index, ROWS_SCHEMA, MAX_SCHEMA)
        return table_schema.parse(content)

    async def _stage(self, schema: TableSchema, slugs: dict[str, str]) -> None:
        """Read the rows into a scratch database."""
        fields = []
        for one in schema.fields:
            config = one.config
            if config is not None and isinstance(config.get("source"), str):
                config = {**config, "source": slugs.get(config["source"], config["source"])}
            if one.column_type is not None:
                self._unbundler.check_config(config, one.name)
            fields.append(replace(one, config=config))
        schema = replace(schema, fields=tuple(fields))
        database = self._databases.target(schema.database)
        plan = (
            restoring.plan(None, schema)
            if database is None
            else await database.execute_fn(lambda conn: restoring.plan(conn, schema))
        )
        self._rows = staged = _Rows(plan, self._folder / "rows.db")

        def fill(stop: Callable[[], None]) -> None:
            with restoring.scratch(staged.path, plan) as conn:
                restoring.fill(conn, plan, self._values(schema, stop))

        await in_thread(fill)

    def _values(self, schema: TableSchema, stop: Callable[[], None]) -> Iterator[tuple[Any, ...]]:
        rows = self._cells(ROWS_CSV)
        if next(rows, None) != [one.name for one in schema.fields]:
            raise Invalid(f"{ROWS_CSV} has not the columns of its schema; take a sound copy")
        kinds = [one.kind for one in schema.fields]
        for row in rows:
            stop()
            if len(row) != len(kinds):
                raise Invalid(f"{ROWS_CSV} has a row with more or fewer cells than columns")
            yield tuple(
                bag_csv.decode(cell, kind, schema.null)
                for cell, kind in zip(row, kinds, strict=True)
            )

    async def _resolve(self, page: list[dict[str, Any]]) -> None:
        """Find out which files are there, and under which ids the others are stored."""
        wanted = {row["id"]: row for row in page}
        for attempt in range(_MAX_IDS):
            ids = {bag_records.next_id(row, attempt): row for row in wanted.values()}
            taken = await self._unbundler.catalog.query(
                lambda conn, ids=ids: bundles.taken(conn, ids)  # type: ignore[misc]
            )
            for new, row in ids.items():
                file = taken.get(new)
                if new in taken and (file is None or not await self._is_same(file, row)):
                    continue
                del wanted[row["id"]]
                if new not in taken:
                    self._check_limits(row)
                else:
                    self._count("present", row)
                self.unbundled.renamed += new != row["id"]
                self._index.resolve(row["id"], new, new in taken)
            if not wanted:
                return
        raise Invalid(f"There is no free id for {next(iter(wanted))}; this bundle cannot be used")

    async def _is_same(self, file: FileRecord, row: dict[str, Any]) -> bool:
        sha256 = file.sha256
        if sha256 is None and file.size in (None, row["size"]):
            source = self._unbundler.sources.get(file.source_slug)
            sha256 = (await reading.content_hash(source, file)).partition(":")[2]
        return bool(sha256 == row["sha256"])

    def _check_limits(self, row: dict[str, Any]) -> None:
        source = self._sources[row["source"]]
        try:
            source.limits.check(row["filename"], row["content_type"], row["size"])
        except FilesError as error:
            raise type(error)(f"{row['id']} cannot be restored: {error}") from None

    async def _compare(self, rows: _Rows) -> None:
        """Give the rows their files' ids, and compare them with the table."""
        if self._index.renames:
            await asyncio.to_thread(
                restoring.rename_files, rows.path, rows.plan, self._index.target_id
            )
        database = self._databases.target(rows.plan.schema.database)
        if database is not None:
            await _translated(
                database.execute_fn(lambda conn: restoring.check(conn, rows.path, rows.plan))
            )

    async def files(self) -> AsyncIterator[dict[str, Any]]:
        """The files to be stored."""
        for page in self._index.files(to_store=True):
            for row in page:
                yield row

    async def store(self, row: dict[str, Any]) -> FileRecord:
        """Store one of ``files``. Raises as ``Uploads.store``, and for a bag that has changed."""
        source = self._sources[row["source"]]
        tags = bag_records.tags(row)
        incoming = Incoming(
            *(row["filename"], row["content_type"], row["size"], row["sha256"]), row["folder"], tags
        )

        def described(file: FileRecord) -> FileRecord:
            return replace(
                file,
                id=row["target_id"],
                width=row["width"] if file.width is None else file.width,
                height=row["height"] if file.height is None else file.height,
                created_at=row["created_at"],
                metadata=row["metadata"] or "{}",
                search_text=row["search_text"] or "",
            )

        file = await self._unbundler.uploads.store(
            source,
            row["uploaded_by"],
            administrator(UPLOAD, source.slug),
            incoming,
            self._chunks(row),
            described=described,
        )
        await self._unbundler.announcer.announce(UploadFileEvent.about(file, None))
        self._count("stored", row)
        return file

    async def _chunks(self, row: dict[str, Any]) -> AsyncIterator[bytes]:
        chunks = bag_reading.read(self._bag, row["path"], row["size"], row["sha256"])
        with closing(chunks):
            while chunk := await asyncio.to_thread(next, chunks, b""):
                yield chunk

    def _count(self, state: str, row: dict[str, Any]) -> None:
        before: SourceTotals = getattr(self.unbundled, state)
        after = SourceTotals(before.files + 1, before.bytes + row["size"])
        setattr(self.unbundled, state, after)

    async def rows(self) -> None:
        """Add the rows, after every file is stored. Raises Conflict if the table refuses one."""
        if self._rows is None:
            return
        plan, path = self._rows.plan, self._rows.path
        schema = plan.schema
        database = self._databases.made(schema.database)
        self.unbundled.rows = await _translated(
            database.execute_write_fn(
                lambda conn: restoring.add(conn, path, plan), transaction=False
            )
        )
        self.unbundled.database, self.unbundled.table = database.name, schema.table
        datasette = self._unbundler.datasette
        for one in schema.fields:
            found = (database.name, schema.table, one.name)
            if one.column_type is None or await datasette.get_column_type(*found) is not None:
                continue
            with suppress(ValueError):  # a column of an existing table that is not text
                await datasette.set_column_type(*found, one.column_type, one.config)


@dataclass(frozen=True)
class Unbundler:
    """Brings bundles back into one Datasette.

    ``check_config`` raises Invalid for the config of a file column that cannot be used; its second
    argument is the column's name.
    """

    datasette: Any
    catalog: Catalog
    sources: Sources
    uploads: Uploads
    announcer: Announcer
    check_config: Callable[[object, str], object]

    @asynccontextmanager
    async def opened(self, path: Path, databases: Databases) -> AsyncIterator[Unbundling]:
        """Open a bag, a folder or a zip file. Raises NotFound, Invalid."""
        with ExitStack() as stack:
            bag = stack.enter_context(bag_reading.opened_bag(path))
            folder = stack.enter_context(TemporaryDirectory(prefix="datasette-files-"))
            unbundling = Unbundling(self, bag, Path(folder), databases)
            stack.callback(unbundling.close)
            yield unbundling


async def _translated(work: Awaitable[_T]) -> _T:
    """Turn an error of a user's database into Invalid. Its transaction is undone."""
    try:
        return await work
    except sqlite3.DatabaseError as error:
        raise Invalid(f"The database cannot take the rows ({error}); no row was added") from error
