"""Several processes that start on one new internal database at the same moment."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing

import pytest

from tests.db.conftest import check_search_index
from tests.support import starter


@pytest.mark.parametrize("attempts", [1, pytest.param(5, marks=pytest.mark.full)])
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
            assert [name for (name,) in applied] == [
                "0001_core",
                "0002_words",
                "0003_direct_uploads",
                "0004_thumbnails",
                "0005_imports",
                "0006_trash",
                "0007_settings",
                "0008_moves",
                "0009_jobs",
                "0010_shares",
            ]
