"""The content of a scratch database, and helpers to write it to a table.

Rows come from the scratch database, which is attached read only during one call.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .cache import cache_of

#: Marks staging tables as ours; Datasette hides names that begin with an underscore.
STAGING_PREFIX = "_datasette_files_import_"
#: The suffix of a staging table that is to be removed, and of a staging table's search index.
LEFT, SEARCH = "_left", "_fts"
#: The suffixes of an import's tables: the rows, rows to be removed, the search index, and the
#: tables of the index (sqlite.org/fts5.html, 9).
STAGING_SUFFIXES = (
    *("", LEFT, SEARCH),
    *(SEARCH + part for part in ("_data", "_idx", "_content", "_docsize", "_config")),
)
#: The name under which the scratch database is attached.
SOURCE = "datasette_files_import"

#: KiB of changed pages; about three million rows of four columns, or half with two indexes.
_CACHE_KIB = 256 * 1024


@dataclass(frozen=True)
class Content:
    """A scratch database, and the table to make from it."""

    #: The scratch database.
    path: Path
    columns: list[str]
    #: For each column integer, float, text or blob.
    kinds: list[str]
    rows: int
    table: str
    staging: str
    key: str | None = None
    indexes: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    #: The columns of an existing table, as in ``target.Existing``, to which the rows were fitted.
    fits: dict[str, str] | None = None
    #: The detected options of the file, as in ``formats.base.Table``.
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def staging_search(self) -> str:
        """The name of the staging table's search index."""
        return self.staging + SEARCH


@contextmanager
def attached(conn: sqlite3.Connection, path: Path) -> Iterator[None]:
    conn.execute(f"ATTACH DATABASE ? AS {SOURCE}", (f"{path.as_uri()}?mode=ro&immutable=1",))
    try:
        yield
    finally:
        conn.execute(f"DETACH DATABASE {SOURCE}")


@contextmanager
def transaction(
    conn: sqlite3.Connection, confirm: Callable[[], None] | None = None
) -> Iterator[None]:
    """Run a transaction. ``confirm`` is called directly before the commit, and may raise."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        if confirm is not None:
            confirm()
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


@contextmanager
def unspilled(conn: sqlite3.Connection) -> Iterator[None]:
    """Keep up to ``_CACHE_KIB`` of changed pages in memory until the commit.

    Without write-ahead logging a page that leaves the cache earlier locks readers out from then on
    (sqlite.org/lockingv3.html, 5.0); by this they wait for the commit alone.
    """
    try:
        with cache_of(conn, _CACHE_KIB):
            yield
    finally:
        conn.execute("PRAGMA shrink_memory")


@contextmanager
def legacy_names(conn: sqlite3.Connection) -> Iterator[None]:
    """Rename tables without rewriting other objects, so that a broken view does not prevent it."""
    before = conn.execute("PRAGMA legacy_alter_table").fetchone()[0]
    conn.execute("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        conn.execute(f"PRAGMA legacy_alter_table = {int(before)}")


def selected(content: Content) -> str:
    """Return SQL that selects the scratch database's columns, for columns with types."""
    return ", ".join(
        f"nullif(c{number}, '')" if kind in ("integer", "float") else f"c{number}"
        for number, kind in enumerate(content.kinds)
    )


def free_name(conn: sqlite3.Connection, wanted: str) -> str:
    name, number = wanted, 1
    while conn.execute(
        "SELECT 1 FROM sqlite_master WHERE name = ? COLLATE NOCASE", (name,)
    ).fetchone():
        number += 1
        name = f"{wanted}_{number}"
    return name
