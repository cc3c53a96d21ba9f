"""What the scratch database holds, and the means of writing it to a table.

Rows come from the scratch database, attached read only for as long as one call.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

#: So that nobody takes one for a table of theirs; Datasette hides names that begin so.
STAGING_PREFIX = "_datasette_files_import_"
#: What the name of a staging table ends in once it is to go.
LEFT = "_left"
#: What the names of an import's tables end in: of the rows, of those that are to go, of the search
#: index and of the tables that FTS5 keeps it in.
STAGING_SUFFIXES = (
    *("", LEFT, "_fts"),
    *("_fts_data", "_fts_idx", "_fts_content", "_fts_docsize", "_fts_config"),
)
#: The name under which the scratch database is attached.
SOURCE = "datasette_files_import"


@dataclass(frozen=True)
class Content:
    """What the scratch database holds, and what is to become of it."""

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
    #: Of a table that exists: its columns as ``target.Existing`` has them, to which the rows fit.
    fits: dict[str, str] | None = None


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
    """One transaction. ``confirm`` is called directly before its commit, and may still raise."""
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
def legacy_names(conn: sqlite3.Connection) -> Iterator[None]:
    """Renaming touches nothing else: a broken view of somebody's is not in the way of it."""
    before = conn.execute("PRAGMA legacy_alter_table").fetchone()[0]
    conn.execute("PRAGMA legacy_alter_table = ON")
    try:
        yield
    finally:
        conn.execute(f"PRAGMA legacy_alter_table = {int(before)}")


def selected(content: Content) -> str:
    """The scratch database's columns, for columns whose types convert what they hold."""
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
