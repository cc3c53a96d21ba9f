"""Datasette's connections to live tables: attached when they are asked for, and a few at a time.

The only place that adds such a database to Datasette and takes it away. Leaves out which database a
file's tables are in (live.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasette.database import Database
from datasette.utils.sqlite import sqlite3

from ..db import live as rows
from ..db.batching import Catalog

logger = logging.getLogger("datasette_files")

#: Databases that one process has open, and seconds after which an unused one is closed.
MAX_OPEN = 50
IDLE_SECONDS = 600.0
#: Seconds that requests may still read a detached database.
GRACE_SECONDS = 10.0
#: Attempts at having a database listed by Datasette, and the seconds between two.
_TRIES, _PAUSE = 40, 0.05
_PRAGMAS = ("trusted_schema = OFF", "query_only = ON", "mmap_size = 0")


class LiveDatabase(Database):  # type: ignore[misc]
    """A file of the cache. It never changes, so it is read without locks.

    It counts as a database in memory: so its file is neither hashed nor offered, and ``--crossdb``
    attaches it to no other database.
    """

    def __init__(self, datasette: Any, file: Path, counts: dict[str, int]) -> None:
        super().__init__(datasette, is_mutable=False, is_memory=True)
        self._file = file
        self.cached_size = file.stat().st_size
        self._counts = counts

    def connect(self, write: bool = False) -> Any:
        """Open the file. Raises sqlite3.OperationalError for ``write``."""
        if write:
            raise sqlite3.OperationalError("live tables cannot be changed")
        uri = f"{self._file.as_uri()}?mode=ro&immutable=1"
        try:
            conn = sqlite3.connect(uri, uri=True, check_same_thread=False)
        except sqlite3.OperationalError as error:
            # Another process has removed it. Datasette visits each database at every request, so
            # it must not fail; the next request for this one detaches it.
            logger.info("The live tables %s are gone: %s", self.name, error)
            conn = sqlite3.connect(":memory:", check_same_thread=False)
        for pragma in _PRAGMAS:
            conn.execute(f"PRAGMA {pragma}")
        self._all_connections.append(conn)
        return conn

    @property
    def cached_table_counts(self) -> dict[str, int]:
        return self._counts


@dataclass
class _Open:
    file_id: str
    key: str
    database: LiveDatabase
    used: float


class Attached:
    """The live tables that Datasette has open in this process."""

    def __init__(self, datasette: Any, catalog: Catalog) -> None:
        self._datasette = datasette
        self._catalog = catalog
        self._open: dict[str, _Open] = {}
        #: Detached databases, which requests may still read, and when they were detached.
        self._detached: list[tuple[float, LiveDatabase]] = []

    @property
    def files(self) -> dict[str, str]:
        """The ids of the files by the databases' names."""
        return {name: one.file_id for name, one in self._open.items()}

    def key(self, name: str) -> str | None:
        """The key of an open database; notes that it is used."""
        one = self._open.get(name)
        if one is None:
            return None
        one.used = time.monotonic()
        return one.key

    def add(self, name: str, file_id: str, key: str, database: LiveDatabase) -> None:
        """Attach a database. Rules about it hold from the same moment on."""
        self.remove(name)
        while len(self._open) >= MAX_OPEN:
            self.remove(min(self._open, key=lambda one: self._open[one].used))
        self._open[name] = _Open(file_id, key, database, time.monotonic())
        self._datasette.add_database(database, name=name)

    def remove(self, name: str) -> None:
        """Detach a database, if it is attached.

        It is closed later: Datasette visits all databases at each request, and a closed one would
        fail a request that has begun.
        """
        if (one := self._open.pop(name, None)) is not None:
            others = self._datasette.databases.copy()
            del others[name]
            self._datasette.databases = others
            self._detached.append((time.monotonic(), one.database))

    def remove_idle(self) -> None:
        """Detach databases that were not used for long, and close detached ones."""
        now = time.monotonic()
        for name, one in list(self._open.items()):
            if now - one.used > IDLE_SECONDS:
                self.remove(name)
        self.close_detached(now - GRACE_SECONDS)

    def close_detached(self, until: float) -> None:
        """Close databases that were detached until a moment of ``time.monotonic``."""
        for moment, database in self._detached:
            if moment <= until:
                database.close()
        self._detached = [one for one in self._detached if one[0] > until]

    async def listed(self, name: str) -> None:
        """Have Datasette list the database's tables, without which it shows none.

        A process with the same internal database, in which this database is not open, takes it out
        of Datasette's list.
        """
        for _ in range(_TRIES):
            if await self._catalog.read(lambda conn: rows.is_in_catalog(conn, name)):
                return
            # While Datasette refreshes its list, this returns at once.
            await self._datasette.refresh_schemas(force=True)
            if not await self._catalog.read(lambda conn: rows.is_in_catalog(conn, name)):
                await asyncio.sleep(_PAUSE)
