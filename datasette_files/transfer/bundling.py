"""Bundles: a table with its files, or the files of a source, as one bag that needs no Datasette.

A bag (BagIt 1.0, RFC 8493) that is a Data Package too::

    datapackage.json         lists rows and files, for other programs
    rows.schema.json         the table's schema, if there are rows
    data/rows.csv            the rows
    data/files.csv           the catalog's record of each file
    data/files/{name}        the files; names are unique, and safe on Windows

A bundle is complete: a file that cannot be read, or has another sha256, ends it. Leaves out the
writing (bag_writing.py) and the way back (unbundling.py).
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from .. import naming
from ..db import columns as column_rows
from ..db import files as file_rows
from ..db import selection
from ..db.batching import Catalog
from ..errors import FilesError, Invalid
from ..formats import bag_csv
from ..formats.table_schema import MAX_SCHEMA, TableSchema
from ..models import FileRecord
from ..sources import reading
from ..sources.sources import Sources
from ..tables import bundled
from ..tables.bag_index import FILE_COLUMNS, PAGE, BagIndex
from .bag_writing import BagWriter, Written, workspace
from .publishing import system_errors

FILES, FILES_CSV = "data/files/", "data/files.csv"
ROWS_CSV, ROWS_SCHEMA = "data/rows.csv", "rows.schema.json"
PACKAGE = "datapackage.json"
#: The label of bag-info.txt that marks a bag as a bundle, and the version of its layout.
LABEL, VERSION = "Datasette-Files-Bundle", "1"
#: Bytes; smaller chunks are written at once, as a thread would take longer.
_WORTH_A_THREAD = 64 * 1024
_ID = re.compile(naming.ID_PATTERN)
#: The types of the columns of data/files.csv that are not text.
INTEGERS = ("size", "width", "height")

_T = TypeVar("_T")


@dataclass
class Bundled:
    """The contents of a bundle. ``absent``: ids in the rows that no file has."""

    files: int = 0
    bytes: int = 0
    rows: int | None = None
    absent: int = 0


@dataclass(frozen=True)
class TableOrder:
    """A table to be bundled; ``database`` is Datasette's."""

    database: Any
    table: str


class Bundler:
    """Makes the bundles of one Datasette."""

    def __init__(self, database: Catalog, sources: Sources) -> None:
        self._catalog = database
        self._sources = sources

    async def bundle(
        self,
        out: Path,
        what: TableOrder | int,
        *,
        zipped: bool = False,
        tell: Callable[[int], None] = lambda size: None,
    ) -> Bundled:
        """Write a bundle of a table with its files, or of a source, by its id in the catalog.

        ``tell`` receives the number of bytes of each chunk of a file. Raises Conflict if ``out``
        exists, NotFound, Invalid, NoSpace, and the errors of reading a file.
        """
        with workspace(out) as work, system_errors(out):
            bag = _Bag(out, work, zipped)
            try:
                if isinstance(what, TableOrder):
                    await self._add_rows(bag, what)
                    chosen = self._of_rows(bag)
                else:
                    chosen = self._of_source(what)
                async for file in chosen:
                    await self._add_file(bag, file, tell)
                await in_thread(lambda stop: bag.finish())
            finally:
                bag.close()
        return bag.bundled

    async def _add_rows(self, bag: _Bag, order: TableOrder) -> None:
        name = order.database.name
        columns = await self._catalog.query(column_rows.all_columns)
        files = {
            one.column: (one.type, one.config)
            for one in columns
            if (one.database, one.table) == (name, order.table)
        }

        def write(stop: Callable[[], None]) -> Callable[[Any], None]:
            def write_rows(conn: Any) -> None:
                with bundled.snapshot(conn):
                    schema = bundled.schema(conn, name, order.table, files)
                    bag.add_rows(schema, lambda add: bundled.rows(conn, schema, add), stop)

            return write_rows

        try:
            await stoppable(lambda stop: order.database.execute_fn(write(stop)))
        except sqlite3.DatabaseError as error:
            raise Invalid(f"The table {order.table!r} cannot be read ({error})") from error

    async def _of_rows(self, bag: _Bag) -> AsyncIterator[FileRecord]:
        for ids in bag.index.ids():
            found = await self._catalog.query(
                lambda conn, ids=ids: file_rows.by_ids(conn, ids)  # type: ignore[misc]
            )
            bag.bundled.absent += len(ids) - len(found)
            for one in ids:
                if one in found:
                    yield found[one]

    async def _of_source(self, source_id: int) -> AsyncIterator[FileRecord]:
        after, chosen = "", selection.Selection(source_id)
        while page := await self._catalog.query(
            lambda conn, after=after: selection.page(conn, chosen, after, PAGE)  # type: ignore[misc]
        ):
            for file in page:
                yield file
            after = page[-1].path

    async def _add_file(self, bag: _Bag, file: FileRecord, tell: Callable[[int], None]) -> None:
        try:
            source = self._sources.get(file.source_slug)
            with bag.writer.member(bag.free_path(file.filename)) as member:
                async for chunk in reading.whole(source, file):
                    if len(chunk) < _WORTH_A_THREAD:
                        member.write(chunk)
                    else:
                        await asyncio.to_thread(member.write, chunk)
                    tell(len(chunk))
        except FilesError as error:
            raise type(error)(f"{file.id} cannot be bundled: {error}") from error
        bag.list_file(file, member.written)


class _Bag:
    """A bundle on its way: the bag, and the lists that are written at its end."""

    def __init__(self, out: Path, work: Path, zipped: bool) -> None:
        self.bundled = Bundled()
        self.index = BagIndex(work / "index.db")
        self.writer = BagWriter(out, work, zipped)
        self._name = naming.stored_name(out.name.removesuffix(".zip"))
        self._tables: list[dict[str, Any]] = []
        self._listed = (work / "files.csv").open("w+", encoding="utf-8", newline="")
        self._rows = csv.writer(self._listed)
        self._rows.writerow(FILE_COLUMNS)
        self._resources = (work / "resources").open("w+", encoding="utf-8", newline="")

    def add_rows(
        self,
        schema: TableSchema,
        each: Callable[[Callable[[tuple[Any, ...]], None]], int],
        stop: Callable[[], None],
    ) -> None:
        """Write the rows that ``each`` passes on, and note the ids in their file columns."""
        described = schema.as_json()
        if len(described) > MAX_SCHEMA:
            raise Invalid("The table's column names are too many or too long; shorten them")
        kinds = [field.kind for field in schema.fields]
        ids = schema.file_columns
        with self.writer.member(ROWS_CSV) as member:
            buffer = io.StringIO(newline="")
            rows = csv.writer(buffer)
            rows.writerow([field.name for field in schema.fields])

            def flush() -> None:
                stop()
                member.write(buffer.getvalue().encode())
                buffer.seek(0)
                buffer.truncate()

            def add(values: tuple[Any, ...]) -> None:
                rows.writerow(
                    bag_csv.encode(value, kind, schema.null)
                    for value, kind in zip(values, kinds, strict=True)
                )
                for number, kind in ids.items():
                    self.index.add_ids(_ids(values[number], kind))
                if buffer.tell() >= _WORTH_A_THREAD:
                    flush()

            self.bundled.rows = each(add)
            flush()
        self.writer.add(ROWS_SCHEMA, described)
        self._tables.append(_table("rows", member.written, ROWS_SCHEMA))

    def free_path(self, filename: str) -> str:
        """A path for a file: unique whatever the case of its letters, and without ``..``."""
        name = re.sub(r"\.{2,}", ".", naming.stored_name(filename))
        stem, dot, extension = name.rpartition(".")
        if not dot:
            stem, extension = name, ""
        candidate = name
        while number := self.index.take_name(candidate.casefold()):
            candidate = f"{stem}-{number + 1}{dot}{extension}"
        return FILES + candidate

    def list_file(self, file: FileRecord, written: Written) -> None:
        self.bundled.files += 1
        self.bundled.bytes += written.size
        own = {"path": written.path, "source": file.source_slug, "size": written.size}
        row = {**own, "sha256": written.sha256, "tags": json.dumps(file.tags)}
        self._rows.writerow(
            row[name] if name in row else getattr(file, name) for name in FILE_COLUMNS
        )
        resource = {
            **_resource(file.id.lower(), written),
            "type": "file",
            "title": file.filename,
            "mediatype": file.type,
        }
        self._resources.write(",\n" + json.dumps(resource))

    def finish(self) -> None:
        """Write the lists and the tag files, and publish the bag. Blocks."""
        self._listed.flush()
        with Path(self._listed.name).open("rb") as listed:
            written = self.writer.add(FILES_CSV, listed)
        self._tables.append(_table("files", written, _files_schema()))
        head = {"profile": "data-package", "name": _package_name(self._name)}
        self._resources.flush()
        with self.writer.member(PACKAGE) as package:
            begin = json.dumps(head)[:-1] + ', "resources": ['
            package.write((begin + ",\n".join(map(json.dumps, self._tables))).encode())
            self._resources.seek(0)
            while text := self._resources.read(_WORTH_A_THREAD):
                package.write(text.encode())
            package.write(b"]}\n")
        self.writer.finish([("Bag-Software-Agent", "datasette-files"), (LABEL, VERSION)])
        self.writer.publish()

    def close(self) -> None:
        self.writer.close()
        self.index.close()
        self._listed.close()
        self._resources.close()


def _ids(value: object, kind: str) -> list[str]:
    """The ids in a value of a column of the type ``file`` or ``files``."""
    found: object = [value]
    if kind == "files":
        try:
            found = json.loads(value) if isinstance(value, str) else None
        except (ValueError, RecursionError):
            return []
    if not isinstance(found, list):
        return []
    return [one for one in found if isinstance(one, str) and _ID.fullmatch(one)]


def _resource(name: str, written: Written) -> dict[str, Any]:
    facts = {"bytes": written.size, "hash": f"sha256:{written.sha256}"}
    return {"name": name, "path": written.path, **facts}


def _table(name: str, written: Written, schema: object) -> dict[str, Any]:
    return {
        **_resource(name, written),
        "profile": "tabular-data-resource",
        "type": "table",
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "schema": schema,
    }


def _files_schema() -> dict[str, Any]:
    fields = [
        {"name": name, "type": "integer" if name in INTEGERS else "string"} for name in FILE_COLUMNS
    ]
    return {"fields": fields, "primaryKey": ["id"]}


def _package_name(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-") or "bundle"


async def stoppable(work: Callable[[Callable[[], None]], Awaitable[_T]]) -> _T:
    """Await work in a thread. It calls its argument, which raises once the caller is cancelled.

    Returns only when the thread has ended, so that its files can be removed.
    """
    stopped = threading.Event()

    def stop() -> None:
        if stopped.is_set():
            raise Invalid("The work was interrupted; run it again")

    task = asyncio.ensure_future(work(stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stopped.set()
        await asyncio.gather(task, return_exceptions=True)
        raise


async def in_thread(work: Callable[[Callable[[], None]], _T]) -> _T:
    """As ``stoppable``, for a blocking function."""
    return await stoppable(lambda stop: asyncio.to_thread(work, stop))
