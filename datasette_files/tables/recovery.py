"""What a killed process was writing to a user's database is undone before the database is read.

SQLite undoes it by itself when a database is opened that can be written to (hot journals,
sqlite.org/lockingv3.html, 4.0). Datasette opens one for reading first, which then fails, and with
it the start of the server. Databases in WAL mode have no such journal.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

logger = logging.getLogger("datasette_files")

#: Seconds that this waits for a process that is writing: then there is nothing to undo.
_PATIENCE = 1.0


def roll_back(path: Path) -> None:
    """Undo a transaction that was cut short, if there is one. Looks for a file, mostly no more."""
    if not path.with_name(f"{path.name}-journal").exists():
        return
    address = f"{path.absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE)) as conn:
            conn.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        # Somebody is writing, or it cannot be written to: whoever reads it is told.
        logger.info("%s was not looked at for a transaction cut short: %s", path.name, error)
