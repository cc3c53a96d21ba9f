"""A process is killed in the middle of a transaction; then Datasette starts."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from datasette.database import Database

from tests.conftest import MakeDatasette
from tests.support.imports import site

# Few pages fit the cache, so most of them are in the file before the end.
_KILLED = """
import os, signal, sqlite3, sys
conn = sqlite3.connect(sys.argv[1], isolation_level=None)
conn.execute("PRAGMA cache_size = 2")
conn.execute("BEGIN")
conn.execute("DELETE FROM other")
conn.executemany("INSERT INTO other VALUES (?)", (("x" * 1000,) for _ in range(500)))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("waits", [False, True])
async def test_what_a_killed_process_was_writing_is_undone_before_a_read(
    make_datasette: MakeDatasette, tmp_path: Path, waits: bool
) -> None:
    path = site.database(tmp_path)
    with sqlite3.connect(path) as conn:
        conn.execute("INSERT INTO other VALUES ('old')")
    conn.close()
    if not waits:
        subprocess.run([sys.executable, "-c", _KILLED, path], check=False, timeout=30)
        assert path.with_name("data.db-journal").stat().st_size > 0
    writer = sqlite3.connect(path, isolation_level=None)
    datasette = await make_datasette(permissions=site.PERMISSIONS)
    database = Database(datasette, path=str(path), is_mutable=True)
    datasette.add_database(database, name="data")
    if waits:
        # One that is alive is let be: what it writes is seen once it is committed.
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO other VALUES ('new')")
    rows = (await database.execute("SELECT a FROM other")).rows
    assert [row[0] for row in rows] == ["old"]
    if waits:
        writer.execute("COMMIT")
        rows = (await database.execute("SELECT a FROM other")).rows
        assert [row[0] for row in rows] == ["old", "new"]
    writer.close()
    await asyncio.to_thread(database.close)
