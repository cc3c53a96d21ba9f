"""The database that is made of a file's tables, in the process that reads the file.

Its tables have types and, where the file has them, keys. Leaves out where the rows come from: a
scratch database (scratch.py) or a stranger's SQLite file (strange.py).
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from ..formats.base import ImportProblem
from . import target
from .content import Content
from .names import quoted
from .strange import StrangeTable

#: Part of the disk that must stay free.
_LEFT_FREE = 0.02
_PAGE = 4096
#: Rows that are copied between two looks at the size.
_STEP = 20_000
#: Instructions of SQLite's virtual machine between two calls of ``tell``.
_STEPS = 1_000_000


class TooLarge(ImportProblem):
    """The tables take more than all live tables may."""


class Fresh:
    """The new database. It is thrown away after a crash, so nothing is flushed."""

    def __init__(self, path: Path, most: int, tell: Callable[[], None]) -> None:
        self._path = path
        self._most = most
        self._taken: set[str] = set()
        self._conn = sqlite3.connect(path.as_uri(), uri=True, isolation_level=None)
        self._conn.set_progress_handler(tell, _STEPS)
        self._conn.execute(f"PRAGMA page_size = {_PAGE}")
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "locking_mode = EXCLUSIVE"):
            self._conn.execute(f"PRAGMA {pragma}")

    def name(self, wanted: str) -> str:
        """Return a name for a table that is free, as near to the wanted one as can be."""
        base = wanted if wanted.strip() else "table"
        if base.lower().startswith("sqlite_"):  # SQLite's own
            base = f"file_{base}"
        name, number = base, 1
        while name.lower() in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name.lower())
        return name

    def bring_in(self, name: str, outcome: dict[str, Any], scratch: Path) -> None:
        """Make a table of a scratch database's rows."""
        kinds = [kind or "text" for kind in outcome["types"]]
        content = Content(scratch, outcome["columns"], kinds, outcome["rows"], name, name)
        target.create_staging(self._conn, content)
        for done in range(0, content.rows, _STEP):
            target.copy_rows(self._conn, content, done, done + _STEP)
            self.check_size()

    def copy(self, name: str, table: StrangeTable, batches: Iterable[list[Any]]) -> None:
        """Make a table of rows. Raises sqlite3.IntegrityError."""
        parts = [
            f"{quoted(column)} {kind}"
            for column, kind in zip(table.columns, table.kinds, strict=True)
        ]
        if table.key:
            parts.append(f"PRIMARY KEY ({', '.join(map(quoted, table.key))})")
        self._conn.execute(f"CREATE TABLE {quoted(name)} ({', '.join(parts)})")
        row = ", ".join("?" * len(table.columns))
        self._conn.execute("BEGIN")
        try:
            for batch in batches:
                self._conn.executemany(f"INSERT INTO {quoted(name)} VALUES ({row})", batch)
                self.check_size()
        finally:
            if self._conn.in_transaction:
                self._conn.execute("COMMIT")

    def drop(self, name: str) -> None:
        self._conn.execute(f"DROP TABLE IF EXISTS {quoted(name)}")

    def check_size(self) -> None:
        """Raise ImportProblem if the database is too large; OSError if the disk is nearly full."""
        (pages,) = self._conn.execute("PRAGMA page_count").fetchone()
        size = pages * _PAGE
        if size > self._most:
            raise TooLarge(
                f"The tables take more than {self._most:,} bytes; split the file, or ask the"
                " administrator to raise live_tables_bytes"
            )
        check_disk(self._path)

    def close(self) -> None:
        # Datasette reads a schema again only if its number is another one.
        number = int.from_bytes(os.urandom(4), "big") >> 1
        self._conn.execute(f"PRAGMA schema_version = {number or 1}")
        self._conn.close()


def check_disk(path: Path) -> None:
    """Raise OSError if the disk is nearly full."""
    disk = shutil.disk_usage(path)
    if disk.free < _LEFT_FREE * disk.total:
        raise OSError(errno.ENOSPC, f"it has only {disk.free:,} bytes free")


def columns(path: Path, tables: Iterable[str]) -> list[list[str]]:
    """Return the columns of each table of a database of ours. Raises sqlite3.OperationalError."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)) as conn:
        return [
            [row[1] for row in conn.execute(f"PRAGMA table_info({quoted(table)})")]
            for table in tables
        ]
