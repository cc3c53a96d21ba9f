"""Jobs of any kind: a kind is one class; leases, ids and progress are the same for all."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import Any

import pytest
import sqlite_utils

from datasette_files.app import Files
from datasette_files.db import jobs as rows
from datasette_files.db import schema
from datasette_files.errors import PermissionDenied
from datasette_files.jobs.jobs import Kind, Progress
from tests.db.conftest import new_catalog


class Count(Kind):
    """Counts to a number, slowly."""

    name = "count"
    phase = "counting"
    limit = 1
    allowed = True

    async def permit(self, job: rows.Job) -> None:
        if not self.allowed:
            raise PermissionDenied("You may not count any more; ask the administrator")

    async def run(self, job: rows.Job, progress: Progress) -> dict[str, Any]:
        for number in range(job.options["to"]):
            progress.check()
            progress.count(done=number + 1)
            await asyncio.sleep(job.options.get("pause", 0))
        if job.options.get("fails"):
            raise ZeroDivisionError("a secret of the server")
        return {"sum": sum(range(job.options["to"] + 1))}


@pytest.fixture
async def count(files: Files, datasette: Any) -> Count:
    kind = Count(files.catalog)
    files.jobs.register(kind)
    await datasette.client.get("/-/versions.json")  # by which background work begins
    return kind


async def add(files: Files, **options: Any) -> int:
    job_id = await files.catalog.write(
        lambda conn: rows.add(
            conn, kind="count", actor=None, actor_id=None, options=options, notes={}
        )
    )
    files.jobs.wake()
    return job_id


async def job(files: Files, job_id: int) -> rows.Job:
    found = await files.catalog.read(lambda conn: rows.get(conn, job_id))
    assert found is not None
    return found


async def over(files: Files, job_id: int) -> rows.Job:
    while (found := await job(files, job_id)).status in ("pending", "running"):
        await asyncio.sleep(0.02)
    return found


async def test_a_kind_is_one_class(files: Files, count: Count) -> None:
    done = await over(files, await add(files, to=4))
    assert (done.status, done.result, done.progress) == ("finished", {"sum": 10}, {"done": 4})
    assert done.phase == "counting"
    while await files.catalog.read(rows.any_active):
        await asyncio.sleep(0.02)


async def test_an_error_says_no_more_than_its_kind_does(
    files: Files, count: Count, caplog: pytest.LogCaptureFixture
) -> None:
    done = await over(files, await add(files, to=1, fails=True))
    assert (done.status, done.result) == ("error", {})
    assert done.error == "The count failed (ZeroDivisionError); see the server's log"
    assert "a secret of the server" in caplog.text


async def test_a_job_whose_actor_may_no_longer_is_not_begun(files: Files, count: Count) -> None:
    count.allowed = False
    done = await over(files, await add(files, to=3))
    assert (done.status, done.progress) == ("error", {})
    assert done.error == "You may not count any more; ask the administrator"


async def test_a_job_that_runs_is_cancelled_and_the_next_begins(files: Files, count: Count) -> None:
    long, other = await add(files, to=10**9, pause=0.01), await add(files, to=1)
    while (await job(files, long)).status == "pending":
        await asyncio.sleep(0.02)
    assert (await job(files, other)).status == "pending", "one runs at a time"
    assert await files.catalog.write(lambda conn: rows.cancel(conn, long)) == "running"
    assert (await over(files, long)).status == "cancelled"
    assert (await over(files, other)).status == "finished"
    assert await files.catalog.write(lambda conn: rows.cancel(conn, long)) is None


async def test_a_late_heartbeat_does_not_end_a_job_in_its_own_process(
    files: Files, count: Count
) -> None:
    late = await add(files, to=40, pause=0.01)
    while (await job(files, late)).status == "pending":
        await asyncio.sleep(0.01)
    looks = 0
    while (await job(files, late)).status == "running":
        await files.catalog.write(
            lambda conn: conn.execute("UPDATE datasette_files_jobs SET lease_until = 0")
        )
        files.jobs.wake()
        looks += 1
        await asyncio.sleep(0.01)
    assert looks > 3
    assert (await over(files, late)).status == "finished"
    while await files.catalog.read(rows.any_active):
        await asyncio.sleep(0.02)


def _add(conn: sqlite3.Connection, kind: str = "count", first_id: int = 1) -> int:
    return rows.add(
        *(conn,),
        **{"kind": kind, "actor": {"id": "a"}, "actor_id": "a", "options": {}, "notes": {}},
        first_id=first_id,
    )


def _claim(conn: sqlite3.Connection, now: float) -> rows.Job | None:
    return rows.claim(conn, "count", "begins", holder="h", now=now, length=8, limit=1)


def test_a_lease_far_ahead_does_not_keep_a_job_after_the_clock_was_set_back() -> None:
    with closing(new_catalog()) as conn:
        first = _add(conn)
        assert _claim(conn, now=10_000) is not None
        values: dict[str, Any] = {"holder": "other", "length": 8}
        assert rows.take_over(conn, ["count"], now=10_007, **values) is None
        assert rows.take_over(conn, ["another kind"], now=10_008, **values) is None
        taken = rows.take_over(conn, ["count"], now=9_000, **values)
        assert taken is not None
        assert (taken.id, taken.holder) == (first, "other")
        _add(conn)
        assert _claim(conn, now=9_001) is None, "the limit holds"
        assert _claim(conn, now=5_000) is not None, "a stale lease takes no place"


def test_ids_go_on_after_those_that_a_kind_knows_of() -> None:
    with closing(new_catalog()) as conn:
        assert [_add(conn), _add(conn, first_id=7), _add(conn), _add(conn, first_id=2)] == [
            *(1, 7, 8, 9)
        ]


def test_jobs_of_before_are_kept() -> None:
    conn = sqlite3.connect(":memory:")
    with closing(conn):
        db = sqlite_utils.Database(conn)
        schema.migrations.apply(db, stop_before="0009_jobs")
        conn.executescript(
            """INSERT INTO _datasette_files_imports (id, file_id, database_name, table_name, status,
                row_count, total_size, bytes_read, actor_id) VALUES
                (1, 'df-public', 'data', 'a', 'finished', 3, 9, 9, 'alice'),
                (2, 'df-a', 'data', 'b', 'pending', 0, 9, 0, 'alice'),
                (3, 'df-b', 'data', 'c', 'running', 2, 9, 5, NULL);
            INSERT INTO datasette_files_import_jobs (job_id, options, staging, folder, written)
                VALUES (2, '{"mode": "create"}', NULL, NULL, 0),
                (3, '{}', '_staging', '/folder', 1);"""
        )
        schema.migrations.apply(db)
        assert rows.get(conn, 1) is None
        pending, running = rows.get(conn, 2), rows.get(conn, 3)
        assert pending is not None
        assert running is not None
        assert (pending.status, pending.actor, pending.options) == (
            *("pending", {"id": "alice"}),
            {"mode": "create"},
        )
        assert running.progress == {"rows": 2, "read": 5, "written": 1}
        assert (running.actor, running.notes["staging"]) == (None, "_staging")
        taken = rows.take_over(conn, ["import"], holder="h", now=5, length=8)
        assert taken is not None
        assert taken.id == 3
        assert rows.end(conn, 3, "interrupted")
        public = "SELECT status, row_count, finished_at IS NULL FROM _datasette_files_imports"
        assert conn.execute(public).fetchall() == [
            *(("finished", 3, 1), ("pending", 0, 1)),
            ("interrupted", 2, 0),
        ]
