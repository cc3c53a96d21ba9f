"""An empty internal database, made once a process: its migrations cost more than most tests."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path

import sqlite_utils

from datasette_files.db.migrations import migrations


@cache
def _empty() -> sqlite3.Connection:
    conn = sqlite3.connect(":memory:", check_same_thread=False)
    migrations.apply(sqlite_utils.Database(conn, execute_plugins=False))
    conn.commit()
    return conn


def fill(conn: sqlite3.Connection) -> None:
    """Bring a new database to today's schema."""
    _empty().backup(conn)


def new_database(path: Path) -> None:
    """Write an internal database as after a first start, unless the file is there."""
    if not path.exists():
        with closing(sqlite3.connect(path)) as conn:
            fill(conn)
