"""Bundles: a table with its files, or the files of a source, as one bag that needs no Datasette.

A bundle is complete: a file that cannot be read, or has another sha256, ends it. Leaves out the
content of a bag (bag_layout.py), the writing (bag_writing.py), the way back (unbundling.py), and
bundles over HTTP (zip_bags.py).
"""

from __future__ import annotations

import asyncio
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
from ..formats.table_schema import TableSchema
from ..models import FileRecord
from ..sources import reading
from ..sources.sources import Sources
from ..tables import bundled
from ..tables.bag_index import PAGE, BagIndex
from .bag_layout import Layout, free_path
from .bag_writing import BagWriter, Written, folder_name, workspace
from .publishing import system_errors

#: Bytes; smaller chunks are written at once, as a thread would take longer.
_WORTH_A_THREAD = 64 * 1024
_ID = re.compile(naming.ID_PATTERN)

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
                await in_thread(lambda stop: bag.publish())
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
            with bag.writer.member(free_path(file.filename, bag.index.take_name)) as member:
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
    """A bundle on its way to the disk."""

    def __init__(self, out: Path, work: Path, zipped: bool) -> None:
        self.bundled = Bundled()
        self.index = BagIndex(work / "index.db")
        self.writer = BagWriter(out, work, zipped)
        self.layout = Layout(self.writer, work, folder_name(out.name))

    def add_rows(
        self,
        schema: TableSchema,
        each: Callable[[Callable[[tuple[Any, ...]], None]], int],
        stop: Callable[[], None],
    ) -> None:
        """Write the rows that ``each`` passes on, and note the ids in their file columns."""
        ids = schema.file_columns

        def noted(add: Callable[[tuple[Any, ...]], None]) -> int:
            def one(values: tuple[Any, ...]) -> None:
                add(values)
                for number, kind in ids.items():
                    self.index.add_ids(_ids(values[number], kind))

            return each(one)

        self.bundled.rows = self.layout.add_rows(schema, noted, stop)

    def list_file(self, file: FileRecord, written: Written) -> None:
        self.bundled.files += 1
        self.bundled.bytes += written.size
        self.layout.list_file(file, written)

    def publish(self) -> None:
        """Write the lists and the tag files, and give the bag its name. Blocks."""
        self.layout.finish()
        self.writer.publish()

    def close(self) -> None:
        self.writer.close()
        self.index.close()
        self.layout.close()


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
