"""Several processes that start on one new internal database at the same moment."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing

import pytest
import sqlite_utils

from datasette_files.db.migrations import migrations
from tests.db.conftest import check_search_index
from tests.support import starter


@pytest.mark.full
@pytest.mark.timeout(300)
@pytest.mark.parametrize("attempts", [5])
def test_processes_that_start_at_once_make_one_schema(tmp_path, attempts):
    for attempt in range(attempts):
        database = tmp_path / f"{attempt}.db"
        with ExitStack() as stack:
            processes = [stack.enter_context(starter.starting(database)) for _ in range(3)]
            for process in processes:
                starter.go(process)
            for process in processes:
                _, errors = process.communicate(timeout=60)
                assert process.returncode == 0, errors.decode()
        with closing(sqlite3.connect(database)) as conn:
            check_search_index(conn)
            applied = conn.execute(
                "SELECT name FROM _sqlite_migrations WHERE migration_set = 'datasette_files'"
            ).fetchall()
            known = migrations.pending(sqlite_utils.Database(memory=True))
            assert {name for (name,) in applied} == {one.name for one in known}
