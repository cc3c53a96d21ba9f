"""``files_{slug}``: a source's files as a Datasette database, live and without a copy.

Leaves out its tables (source_views.py), what SQL reaches (closed.py), and who may see it
(permissions/source_tables.py).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import zlib
from contextlib import closing
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from datasette import utils
from datasette.database import Database, Results

from ..config import SourceConfig
from . import closed, source_views

logger = logging.getLogger("datasette_files")

PREFIX = "files_"
_VERSION = "PRAGMA schema_version"
#: Datasette's own statements about all tables. People's run on a closed connection alone.
_TABLES = frozenset(
    f"select * from sqlite_master WHERE type = '{one}'" for one in ("table", "view")
)
#: Milliseconds that Datasette's home page gives each table of each database.
_HOME_LIMIT = 10


@dataclass(frozen=True)
class _Described:
    """The declared tables, as Datasette asks for them, table by table, for each of its pages."""

    columns: dict[str, list[Any]]
    foreign_keys: dict[str, list[dict[str, str]]]
    all_foreign_keys: dict[str, Any]


@cache
def _described() -> _Described:
    with closing(closed.declared()) as conn:
        names = [*source_views.TABLES, source_views.SEARCH]
        return _Described(
            {name: utils.table_column_details(conn, name) for name in names},
            {name: utils.get_outbound_foreign_keys(conn, name) for name in names},
            utils.get_all_foreign_keys(conn),
        )


class SourceDatabase(Database):  # type: ignore[misc]
    """The database of one source."""

    def __init__(self, datasette: Any, slug: str, source_id: int, *, places: bool) -> None:
        super().__init__(datasette, is_memory=True, is_mutable=False)
        self.slug = slug
        self._source_id = source_id
        self._places = places

    def connect(self, write: bool = False) -> sqlite3.Connection:
        """A connection that is closed to everything but the source's views."""
        if write:
            raise sqlite3.OperationalError(f"{self.name} can only be read")
        conn = closed.connect(
            *(Path(self.ds.get_internal_database().path), self._source_id, self.slug),
            places=self._places,
        )
        self._all_connections.append(conn)
        return conn

    async def execute_isolated_fn(self, fn: Any) -> Any:
        """Run ``fn`` on the declared tables alone: it may replace the authorizer."""

        def run() -> Any:
            with closing(closed.declared()) as conn:
                return fn(conn)

        return await asyncio.to_thread(run)

    async def execute(self, sql: str, *args: Any, **kwargs: Any) -> Any:
        """As Datasette's. The schema never changes, so it needs no connection.

        Datasette asks for its version every second, and for all tables where it has changed.
        """
        if sql.strip(" ;") == _VERSION:
            version = zlib.crc32(source_views.DECLARED.encode()) & 0x7FFFFFFF
            return Results([(version,)], False, (("schema_version",),))
        if sql in _TABLES:
            with closing(closed.declared()) as conn:
                conn.row_factory = sqlite3.Row
                cursor = conn.execute(sql)
                return Results(cursor.fetchall(), False, cursor.description)
        return await super().execute(sql, *args, **kwargs)

    async def table_names(self) -> list[str]:
        return sorted(_described().columns)

    async def table_exists(self, table: str) -> bool:
        return table in _described().columns

    async def view_exists(self, table: str) -> bool:
        return False

    async def table_column_details(self, table: str) -> list[Any]:
        return list(_described().columns.get(table, ()))

    async def table_columns(self, table: str) -> list[str]:
        return [column.name for column in await self.table_column_details(table)]

    async def primary_keys(self, table: str) -> list[str]:
        keys = [column for column in await self.table_column_details(table) if column.is_pk]
        return [column.name for column in sorted(keys, key=lambda column: column.is_pk)]

    async def foreign_keys_for_table(self, table: str) -> list[dict[str, str]]:
        return list(_described().foreign_keys.get(table, ()))

    async def get_all_foreign_keys(self) -> dict[str, Any]:
        return deepcopy(_described().all_foreign_keys)

    async def table_counts(self, limit: int = _HOME_LIMIT) -> dict[str, int | None]:
        """The number of rows by table; of pages and media at most one beyond Datasette's limit.

        None for the home page, which has the databases of all sources: it shows no number then.
        """
        if limit <= _HOME_LIMIT:
            return dict.fromkeys(_described().columns)
        rows = await self.ds.get_internal_database().execute(
            source_views.counts(self._source_id, self.count_limit + 1)
        )
        return dict(tuple(row) for row in rows)

    async def attached_databases(self) -> list[Any]:
        return []

    async def view_names(self) -> list[str]:
        return []

    async def hidden_table_names(self) -> list[str]:
        tables = (self.ds.config.get("databases") or {}).get(self.name, {}).get("tables") or {}
        return [source_views.SEARCH, *(one for one, its in tables.items() if its.get("hidden"))]

    async def derived_table_dependencies(self) -> dict[str, str]:
        # One rule holds for all tables (permissions/source_tables.py).
        return {}

    async def fts_table(self, table: str) -> str | None:
        return source_views.SEARCH if table == "pages" else None

    async def label_column_for_table(self, table: str) -> str | None:
        config = await self.ds.table_config(self.name, table)
        label: str | None = config.get("label_column")
        return label or ("filename" if table == "files" else None)


def attach(datasette: Any, slug: str, source_id: int, config: SourceConfig) -> None:
    """Add the source's database, unless its yaml says no or its name is taken."""
    if not config.tables:
        return
    name = f"{PREFIX}{slug}"
    if name in datasette.databases:
        logger.warning(
            "The source %s has no database of its own: another one is called %s", slug, name
        )
    elif datasette.get_internal_database().path is None:
        logger.warning("The source %s has no database: the internal one is no file", slug)
    else:
        places = config.location == "show"
        datasette.add_database(SourceDatabase(datasette, slug, source_id, places=places), name=name)


def of_sources(datasette: Any) -> dict[str, SourceDatabase]:
    """The databases of sources, by name."""
    return {
        name: one for name, one in datasette.databases.items() if isinstance(one, SourceDatabase)
    }
