"""What a fault test looks at from outside: the source's folder, the catalog's tables, the process.

Holds only looking and waiting; nothing here goes through the server's own code.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.conftest import OPEN, disk_source
from tests.server import Server

#: The contract: what expired is gone within this, bytes included. Seconds.
SWEPT_WITHIN = 10.0
#: What a machine that is busy with other tests may add.
SLACK = 10.0


def config(root: Path, **plugin: Any) -> dict[str, Any]:
    """A yaml with one open source ``docs`` at ``root``."""
    plugin = {"sources": {"docs": disk_source(root)}, **plugin}
    return {"plugins": {"datasette-files": plugin}, "permissions": OPEN}


def on_disk(root: Path) -> set[str]:
    """Every file below the root, files being received too, by its path in the storage.

    Directories may vanish during the look.
    """
    return {
        Path(folder, name).relative_to(root).as_posix()
        for folder, _, names in os.walk(root)
        for name in names
    }


def rows(database: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database, timeout=30)) as connection:
        return connection.execute(sql).fetchall()


def catalogued(database: Path) -> dict[str, str]:
    """``{path: content hash}`` of every file in the catalog."""
    return dict(rows(database, "SELECT path, content_hash FROM datasette_files"))


def leftovers(server: Server, root: Path) -> dict[str, Any]:
    """What is neither a file nor the memory of one; empty when all is swept."""
    live = rows(
        server.internal,
        """SELECT state, path FROM datasette_files_uploads
        WHERE state NOT IN ('completed', 'expired')""",
    )
    owed = rows(server.internal, "SELECT path FROM datasette_files_garbage WHERE done_at IS NULL")
    stray = on_disk(root) - set(catalogued(server.internal))
    found = {"uploads": live, "garbage": owed, "bytes": sorted(stray)}
    return {name: what for name, what in found.items() if what}


def settle(look: Callable[[], Any], seconds: float = SWEPT_WITHIN + SLACK) -> float:
    """Wait until ``look`` returns nothing; the seconds it took.

    Raises AssertionError with what the last look found.
    """
    begun = time.monotonic()
    while found := look():
        assert time.monotonic() - begun < seconds, found
        time.sleep(0.1)
    return time.monotonic() - begun
