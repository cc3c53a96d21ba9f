"""``kill -9`` while a database of the public release is adopted: the next start finishes it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from datasette_files.db import schema
from tests.db.conftest import check_search_index
from tests.support import public, starter

pytestmark = pytest.mark.full

ROWS = 5_000


@pytest.mark.full
def test_an_adoption_that_is_killed_loses_nothing(installation, tmp_path):
    database = tmp_path / "internal.db"
    with closing(sqlite3.connect(database)) as conn, conn:
        conn.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO datasette_files (id, source_id, path, filename)
            SELECT 'df-' || i, 1, 'p/' || i, 'name ' || i FROM n""",
            (ROWS,),
        )
    kills = 0
    for attempt in range(6):
        with starter.starting(database) as process:
            starter.go(process)
            time.sleep(0.04 * attempt)
            kills += process.poll() is None
    assert kills
    with closing(sqlite3.connect(database)) as conn:
        schema.prepare(conn)
        count = conn.execute("SELECT count(*) FROM datasette_files").fetchone()
        assert count == (ROWS + len(installation.records),)
        total = conn.execute("SELECT sum(files) FROM datasette_files_totals").fetchone()
        assert total == count
        check_search_index(conn)
        left = "SELECT name FROM sqlite_master WHERE name LIKE 'datasette_files_0_1%'"
        assert conn.execute(left).fetchall() == []
    for path in tmp_path.glob("internal.db*"):
        assert not any(secret.encode() in path.read_bytes() for secret in public.SECRETS)
