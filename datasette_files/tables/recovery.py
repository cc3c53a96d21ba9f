"""Rolls back the transaction of a killed process in a user's database, before it is read.

SQLite does this when it opens a database for writing (hot journals, sqlite.org/lockingv3.html,
4.0). Datasette first opens it for reading, which fails, and then the server does not start.
Databases in WAL mode are not affected.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

logger = logging.getLogger("datasette_files")

#: Seconds to wait for a lock. Its holder is alive, so there is nothing to roll back.
_TIMEOUT = 1.0


def roll_back(path: Path) -> None:
    """Roll back an interrupted transaction, if the database has a journal."""
    if not path.with_name(f"{path.name}-journal").exists():
        return
    address = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_TIMEOUT)) as conn:
            conn.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        # Another process writes, or the file is read-only; a reader gets its own error.
        logger.info("%s was not checked for an interrupted transaction: %s", path.name, error)
