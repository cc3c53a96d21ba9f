"""A connection on which SQL of people reaches one source's views and nothing else.

Its main database is in memory and holds the declared tables, without rows. The internal database is
attached, for reading alone, and temporary views show what is in one source (source_views.py).
SQLite asks an authorizer about everything that a statement does while it is compiled
(sqlite.org/c3ref/set_authorizer.html). Tables of the internal database are open only on behalf of
a view, and SQLite names the view; but it names a common table expression in the same way. So the
views read through a name that is drawn by lot for each connection, and a statement that holds that
name is refused. FTS5 reads its own tables with statements of its own, on nobody's behalf: those are
open, and a statement that holds their name is refused too. An identifier has no other spelling
than its letters, so the text of the statement tells.

The only place that opens the internal database to SQL of people.
"""

from __future__ import annotations

import re
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasette.utils import escape_fts

from .page_words import indexed
from .source_views import DECLARED, INTERNAL, PAGES_INDEX, SEARCH, TABLES, views

if TYPE_CHECKING:
    from typing_extensions import Self

_OPEN = frozenset({*TABLES, SEARCH})
#: Pragmas about one table, which people may also call as functions.
_TABLE_PRAGMAS = frozenset(
    {"table_info", "table_xinfo", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
)
#: SQLite's own functions that return rows.
_FUNCTION_TABLES = frozenset(
    {"json_each", "json_tree", *(f"pragma_{one}" for one in _TABLE_PRAGMAS)}
)
#: Pragmas of Datasette that tell or change nothing about the internal database.
_PRAGMAS = frozenset({"schema_version", "cache_size"})
#: Built-in functions that are nobody's business here: they load code or write a log.
_REFUSED = frozenset({"load_extension", "sqlite_log", "fts3_tokenizer"})
#: Functions that are registered: FTS5's operator, and Datasette's for terms.
_ADDED = frozenset({"match", "escape_fts"})
_PRAGMA = re.compile(r"\s*pragma\s+(?=\w+\s*(?:[(=;]|$))", re.IGNORECASE)

_Authorizer = Callable[[int, str | None, str | None, str | None, str | None], int]


class _Closed(sqlite3.Connection):
    """Refuses statements that hold one of ``names``, which are in lower case."""

    names: tuple[str, ...] = ()
    _loads = False

    def enable_load_extension(self, enable: bool, /) -> None:
        """Skip what is loaded now: no function of an extension may be called here."""
        self._loads = enable

    def load_extension(self, *_args: Any, **_options: Any) -> None:
        """Load nothing."""

    def cursor(self, factory: Any = None) -> Any:
        if factory is not None:
            raise sqlite3.ProgrammingError("this connection has cursors of its own")
        return super().cursor(_Cursor)

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.cursor()
        return cursor.execute("SELECT NULL") if self._loads else cursor.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> sqlite3.Cursor:
        cursor: sqlite3.Cursor = self.cursor()
        return cursor.executemany(sql, parameters)

    def executescript(self, sql_script: str) -> sqlite3.Cursor:
        raise _refusal()

    def checked(self, sql: str) -> str:
        """The statement to run. A pragma without a database is about the declared tables.

        Raises sqlite3.OperationalError.
        """
        lowered = sql.lower()
        if any(name in lowered for name in self.names):
            raise _refusal()
        return _PRAGMA.sub("PRAGMA main.", sql, count=1) if _PRAGMA.match(sql) else sql


@contextmanager
def _one_error() -> Iterator[None]:
    """Raise a refusal as the error that Datasette answers with 400, with what can be read."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # A refusal, not one of the kinds that say more.
        if type(error) is sqlite3.DatabaseError:
            raise _refusal() from None
        raise


def _refusal() -> sqlite3.OperationalError:
    return sqlite3.OperationalError(f"not authorized: only {', '.join(TABLES)} can be read here")


class _Cursor(sqlite3.Cursor):
    def _checked(self, sql: str) -> str:
        connection = self.connection
        if not isinstance(connection, _Closed):
            raise TypeError("a cursor of another connection")
        return connection.checked(sql)

    def execute(self, sql: str, parameters: Any = ()) -> Self:
        with _one_error():
            return super().execute(self._checked(sql), parameters)

    def executemany(self, sql: str, parameters: Any) -> Self:
        with _one_error():
            return super().executemany(self._checked(sql), parameters)

    def executescript(self, sql_script: str) -> sqlite3.Cursor:
        raise _refusal()


def declared() -> sqlite3.Connection:
    """A connection to the declared tables alone, which are empty."""
    conn = sqlite3.connect(":memory:", check_same_thread=False)
    conn.executescript(DECLARED)
    return conn


def connect(internal: Path, source_id: int, slug: str, *, places: bool) -> sqlite3.Connection:
    """A connection to the views of one source. Raises sqlite3.Error.

    ``internal`` is the file of the internal database; ``places``: whether places are shown.
    """
    conn = sqlite3.connect(":memory:", uri=True, check_same_thread=False, factory=_Closed)
    try:
        inner = f"inside_{secrets.token_hex(16)}"
        plain = super(_Closed, conn).cursor()
        functions = {
            row[0].lower()
            for row in plain.execute("SELECT name FROM pragma_function_list WHERE builtin")
        }
        plain.executescript(DECLARED)
        for table in _FUNCTION_TABLES:  # SQLite makes it at its first use, which is refused later
            plain.execute(f"SELECT 1 FROM {table}('[]')").fetchall()
        described = {row[0].lower() for row in plain.execute("SELECT name FROM sqlite_master")}
        plain.execute(f"ATTACH ? AS {INTERNAL}", (f"{internal.absolute().as_uri()}?mode=ro",))
        for statement in views(source_id, slug, inner, places=places):
            plain.execute(statement)
        plain.execute("PRAGMA query_only = ON")
        plain.close()
        use_our_search(conn)
        conn.set_authorizer(_authorizer(inner, functions - _REFUSED | _ADDED, described))
        conn.names = (inner, PAGES_INDEX)
    except BaseException:
        conn.close()
        raise
    return conn


def use_our_search(conn: sqlite3.Connection) -> None:
    """Let Datasette's function for terms spell them as the index of pages does."""
    conn.create_function("escape_fts", 1, _escaped, deterministic=True)


def _escaped(query: object) -> str | None:
    return None if query is None else indexed(escape_fts(str(query)))


def _authorizer(inner: str, functions: Iterable[str], described: set[str]) -> _Authorizer:
    """The authorizer of one connection. ``inner`` names what reads for the views.

    ``described``: the tables and indexes of the main database, which SQLite finds by name before
    those of the attached one.
    """
    callable_ = frozenset(functions)

    def may_read(table: str, schema: str | None, behalf: str | None) -> bool:
        if schema == INTERNAL:
            return behalf == inner or (behalf is None and table.startswith(f"{PAGES_INDEX}_"))
        return (
            table in _OPEN
            or table in _FUNCTION_TABLES
            or (table == "sqlite_master" and schema != "temp")
        )

    def may_tell(pragma: str, value: str | None, schema: str | None) -> bool:
        if schema == INTERNAL:  # FTS5 looks whether another connection has written
            return pragma == "data_version" and value is None
        if pragma in _TABLE_PRAGMAS:
            return schema == "main" or (value is not None and value.lower() in described)
        return pragma in _PRAGMAS

    def verdict(
        action: int, first: str | None, second: str | None, schema: str | None, behalf: str | None
    ) -> int:
        # SQLite hands on the names of databases and of some tables as the statement spells them.
        schema = None if schema is None else schema.lower()
        if action == sqlite3.SQLITE_READ:
            allowed = may_read((first or "").lower(), schema, behalf)
        elif action == sqlite3.SQLITE_FUNCTION:
            allowed = (second or "").lower() in callable_
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = may_tell((first or "").lower(), second, schema)
        else:
            allowed = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE)
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    return verdict
