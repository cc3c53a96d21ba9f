"""The tables of a stranger's SQLite file: their columns and rows, by values.

Nothing of the file's SQL becomes part of another database, and of the file only plain tables are
read: no view, no virtual table, and a trigger has no occasion to run. SQLite parses the schema to
find the tables, and computes generated columns, with the safeguards of sqlite.org/security.html;
both happen in the sandbox alone.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..formats.base import MAX_COLUMNS, ImportProblem
from .names import quoted
from .target import affinity

#: SQLite's limits (sqlite.org/limits.html) for the file: bytes of a value and of a statement,
#: and the depth of an expression. None may attach a database.
_LIMITS = {
    "LENGTH": 64 * 1024 * 1024,
    "SQL_LENGTH": 1024 * 1024,
    "COLUMN": MAX_COLUMNS,
    "EXPR_DEPTH": 100,
    "ATTACHED": 0,
    "TRIGGER_DEPTH": 1,
    "WORKER_THREADS": 0,
}
_PRAGMAS = (
    *("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "query_only = ON"),
    *("recursive_triggers = OFF", "cache_size = -4096", "temp_store = FILE"),
)
#: Instructions of SQLite's virtual machine between two calls of ``tell``.
_STEPS = 1_000_000
_BATCH = 500
_TABLE = re.compile(r"\s*CREATE\s+TABLE\b", re.IGNORECASE)
_VIRTUAL = re.compile(r"\s*CREATE\s+VIRTUAL\s+TABLE\b", re.IGNORECASE)
#: Ends of the names of tables in which FTS and R-Trees keep their data.
_SHADOWS = (
    *("content", "data", "idx", "docsize", "config", "segments", "segdir", "stat"),
    *("node", "rowid", "parent"),
)
_ALLOWED = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)
#: The declared type that gives a column its affinity (sqlite.org/datatype3.html, 3.1).
_DECLARED = {"integer": "INTEGER", "float": "REAL", "text": "TEXT", "numeric": "NUMERIC"}


@dataclass(frozen=True)
class StrangeTable:
    """A table of the file. ``kinds`` are declared types, ``key`` the columns of its key."""

    name: str
    columns: list[str]
    kinds: list[str]
    key: list[str]


class SqliteFile:
    """An SQLite file, opened so that nothing in it is trusted. Raises ImportProblem."""

    def __init__(self, path: Path, tell: Any = None) -> None:
        # A write-ahead log is not part of the file, so the database is read as it is.
        self._conn = sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
        self._conn.text_factory = _text
        for name, value in _LIMITS.items():
            # Python 3.10 cannot set limits.
            with suppress(AttributeError):
                self._conn.setlimit(getattr(sqlite3, f"SQLITE_LIMIT_{name}"), value)  # type: ignore[attr-defined,unused-ignore]
        with _explained():
            for pragma in _PRAGMAS:  # some of them read the schema
                self._conn.execute(f"PRAGMA {pragma}")
        self._conn.set_progress_handler(tell, _STEPS)
        self._conn.set_authorizer(_authorized)

    def names(self, limit: int) -> list[str]:
        """Return the names of at most ``limit`` plain tables. Raises ImportProblem."""
        with _explained():
            found = self._conn.execute(
                "SELECT name, sql, rootpage FROM sqlite_master WHERE type = 'table'"
            ).fetchmany(4 * limit)
        shadows = {
            f"{name}_{end}".lower()
            for name, sql, _ in found
            if _VIRTUAL.match(str(sql))
            for end in _SHADOWS
        }
        return [
            name
            for name, sql, page in found
            if isinstance(name, str)
            and isinstance(page, int)
            and page > 0
            and _TABLE.match(str(sql))
            and not name.lower().startswith("sqlite_")
            and name.lower() not in shadows
        ][:limit]

    def table(self, name: str) -> StrangeTable:
        """Describe a table. Raises ImportProblem."""
        with _explained():
            infos = self._conn.execute(f"PRAGMA table_xinfo({quoted(name)})").fetchall()
        # Of the hidden columns, 2 and 3 are generated ones.
        shown = [info for info in infos if info[6] in (0, 2, 3)]
        if not shown:
            raise ImportProblem("The table has no columns that can be read")
        kinds = [_DECLARED.get(affinity(str(info[2] or "")), "") for info in shown]
        key = [str(info[1]) for info in sorted(shown, key=lambda info: info[5]) if info[5]]
        return StrangeTable(name, [str(info[1]) for info in shown], kinds, key)

    def rows(self, table: StrangeTable) -> Iterator[list[tuple[Any, ...]]]:
        """Yield the rows in batches. Raises ImportProblem."""
        # A name without its table would be a text where there is no such column.
        columns = ", ".join(f"it.{quoted(column)}" for column in table.columns)
        with _explained():
            cursor = self._conn.execute(f"SELECT {columns} FROM main.{quoted(table.name)} AS it")
            while batch := cursor.fetchmany(_BATCH):
                yield batch


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _authorized(action: int, first: str | None, *_: str | None) -> int:
    allowed = action in _ALLOWED or (action == sqlite3.SQLITE_PRAGMA and first == "table_xinfo")
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise ImportProblem(
            f"SQLite cannot read it ({str(error)[:200]}); repair the database, for example by"
            " sqlite3's .recover, and upload it again"
        ) from None
