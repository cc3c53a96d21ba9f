"""The rows of one of Datasette's pages, in all of its pages, as CSV, and the files that they hold.

Datasette itself reads the rows, by its JSON: with its filters, and as the actor. Rows, bytes, files
and time are bounded; what is left out is told. Leaves out the zip (transfer/zips.py).
"""

from __future__ import annotations

import asyncio
import base64
import io
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode

from datasette.utils import PrefixedUrlString

from ..errors import NotFound, PermissionDenied, TimedOut
from ..formats.csv_line import line
from ..tables.target import Existing, existing
from ..transfer.bag_layout import checked_schema
from ..transfer.zip_rows import Origin, Rows
from .columns import Columns
from .typed_rows import TypedRows

#: The bounds of one zip.
MAX_ROWS, MAX_FILES = 100_000, 50_000
MAX_CSV = 32 * 1024 * 1024
_MAX_SECONDS = 30.0
#: Zips whose rows are read at once, and seconds that a further one waits.
_AT_ONCE, _MAX_WAIT = 2, 20.0
#: Arguments of Datasette's pages that do not choose rows or columns.
_OF_THE_PAGE = frozenset(
    ("_next", "_size", "_labels", "_label", "_shape", "_json", "_nl", "_extra", "_trace", "_ttl")
)
_WHOLE = {
    **dict.fromkeys(("_nocount", "_nofacet", "_nosuggest", "_json_infinity"), "1"),
    "_size": "max",
}


@dataclass(frozen=True)
class RowsPage:
    """What Datasette gives to a renderer. ``rows`` are those of the page, with these columns."""

    request: Any
    database: str
    #: None: of a query.
    table: str | None
    columns: list[str]
    rows: list[Any]
    #: A stored query's name.
    query: str | None = None
    #: Whether Datasette cut the result of a query.
    truncated: bool = False

    @property
    def has_more(self) -> bool:
        """Tell whether Datasette has more pages of these rows: a table's, not a row's."""
        return self.table is not None and "pks" not in self.request.url_vars


class CsvRows:
    """Rows as CSV for people."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns
        self._text = io.StringIO(newline="")
        self._text.write(line(columns))

    @property
    def length(self) -> int:
        """The characters of the rows."""
        return self._text.tell()

    def write(self, row: Mapping[str, Any]) -> None:
        self._text.write(line(_cell(row.get(name)) for name in self._columns))

    @property
    def content(self) -> bytes:
        return self._text.getvalue().encode("utf-8", "replace")


@dataclass
class _Found:
    """Rows read so far."""

    out: CsvRows | TypedRows
    rows: int = 0
    ids: dict[str, None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> bool:
        """Write rows; False at a bound, which is noted."""
        for row in rows:
            if self.rows >= MAX_ROWS or self.out.length > MAX_CSV:
                self.notes.append(f"There are more rows: the first {self.rows:,} are here.")
                return False
            self.out.write(row)
            self.rows += 1
        return True

    def hold(self, ids: Iterable[str]) -> None:
        """Take up the ids of files, up to the bound, which is noted."""
        for one in ids:
            if len(self.ids) >= MAX_FILES and one not in self.ids:
                self.notes.append(f"The rows hold more files: the first {MAX_FILES:,} are here.")
                return
            self.ids[one] = None


class RowReader:
    """Reads rows of one Datasette."""

    def __init__(self, datasette: Any, columns: Columns) -> None:
        self._datasette = datasette
        self._columns = columns
        self._places = asyncio.Semaphore(_AT_ONCE)

    async def read(self, page: RowsPage, *, typed: bool = False) -> tuple[Rows, list[str]]:
        """The rows, and the ids in their file columns in the order of the rows.

        ``typed``: as a bundle has them, with their schema. Raises TimedOut, PermissionDenied.
        """
        try:
            await asyncio.wait_for(self._places.acquire(), _MAX_WAIT)
        except asyncio.TimeoutError:  # another class in Python 3.10
            raise TimedOut("Others make zips of rows too; try again in a minute") from None
        try:
            out = TypedRows(page.columns) if typed else CsvRows(page.columns)
            found = await self._read(page, _Found(out))
            schema, content = await self._written(page, out)
        finally:
            self._places.release()
        origin = Origin(page.database, page.table, page.query)
        return Rows(origin, content, found.notes, schema), list(found.ids)

    async def _written(
        self, page: RowsPage, out: CsvRows | TypedRows
    ) -> tuple[bytes | None, bytes]:
        """The bytes of the schema, if there is one, and of the rows."""
        if isinstance(out, CsvRows):
            return None, await asyncio.to_thread(lambda: out.content)
        database = self._datasette.get_database(page.database)
        table: Existing | None = None
        files: dict[str, tuple[str, Any]] = {}
        if page.table is not None:
            if await database.table_exists(page.table):
                table = await database.execute_fn(partial(existing, table=page.table))
            files = await self._columns.kinds(page.database, page.table)
        name = page.table or page.query or "rows"
        schema, content = await asyncio.to_thread(out.finish, page.database, name, table, files)
        return checked_schema(schema).encode(), content

    async def _read(self, page: RowsPage, found: _Found) -> _Found:
        ends = time.monotonic() + _MAX_SECONDS
        async for rows in self._pages(page, found):
            fits = found.add(rows)
            found.hold(await self._columns.ids_of(rows, page.database, page.table))
            if not fits:
                break
            if time.monotonic() > ends:
                found.notes.append(
                    f"The time was over: the first {found.rows:,} rows are here. Filter the table."
                )
                break
        return found

    async def _pages(self, page: RowsPage, found: _Found) -> AsyncIterator[list[Mapping[str, Any]]]:
        if not page.has_more:
            if page.truncated:
                found.notes.append(
                    f"Datasette stops a query after {len(page.rows):,} rows: there are more."
                )
            # By its place, as a row of SQLite knows no difference between f and F.
            yield [dict(zip(row.keys(), row, strict=True)) for row in page.rows]
            return
        after: str | None = ""
        while after is not None:
            shown = await self._page(page, after)
            if shown is None:
                found.notes.append(f"Datasette failed to read on after {found.rows:,} rows.")
                return
            yield shown["rows"]
            after = shown["next"]

    async def _page(self, page: RowsPage, after: str) -> dict[str, Any] | None:
        """A page of the table as JSON; None for an error of Datasette, such as a timeout.

        Raises PermissionDenied, NotFound.
        """
        kept = [
            (name, value)
            for name, value in parse_qsl(page.request.query_string, keep_blank_values=True)
            if name not in _OF_THE_PAGE and not name.startswith("_facet")
        ]
        asked = {**_WHOLE, **({"_next": after} if after else {})}
        url = self._datasette.urls.table(page.database, page.table, format="json")
        address = PrefixedUrlString(f"{url}?{urlencode([*kept, *asked.items()])}")
        answer = await self._datasette.client.get(address, actor=page.request.actor)
        if answer.status_code == PermissionDenied.status:
            raise PermissionDenied("You may not view these rows; ask for access")
        if answer.status_code == NotFound.status:
            raise NotFound("The table is gone; look at the database")
        shown: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return shown


def _cell(value: Any) -> Any:
    """A value as CSV has it: a BLOB, which is bytes or Datasette's JSON of them, as base64."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dict) and value.get("$base64") is True:
        return value["encoded"]
    return value
