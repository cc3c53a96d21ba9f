"""A permission that is withdrawn after an import was asked for: then nothing of it is written."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.db import jobs as rows
from datasette_files.tables import merging
from tests.conftest import MakeDatasette
from tests.support.imports import site

PEOPLE = b"id,name\n1,Ann\n2,Bob\n"
ALICE = {"id": "alice", "_r": {"a": [*site.PERMISSIONS, "view-table", "view-database"]}}


def withdraw(datasette: Datasette, action: str) -> None:
    datasette.config = {
        **datasette.config,
        "permissions": {**datasette.config["permissions"], action: False},
    }


def holds(datasette: Datasette, data: Path) -> None:
    """Make the table that rows are to come to, with one row."""
    conn = sqlite3.connect(data)
    conn.execute("CREATE TABLE made (id INTEGER PRIMARY KEY, name TEXT)")
    conn.execute("INSERT INTO made VALUES (1, 'Old')")
    conn.commit()
    conn.close()


async def refused(datasette: Datasette, url: str, action: str) -> dict[str, Any]:
    job = await site.ended(datasette, url)
    assert job["status"] == "error", job
    assert "You do not have permission to" in job["error"]
    assert action in job["error"]
    assert "nothing was written" in job["error"]
    return job


@pytest.mark.parametrize(
    "mode, action",
    [
        ("create", "create-table"),
        ("replace", "drop-table"),
        ("append", "insert-row"),
        ("merge", "update-row"),
        ("compare", "update-row"),
        ("append", "files-browse"),
    ],
)
async def test_while_it_runs(
    datasette: Datasette, data: Path, monkeypatch: pytest.MonkeyPatch, mode: str, action: str
) -> None:
    if mode != "create":
        holds(datasette, data)
    begun, withdrawn = asyncio.Event(), asyncio.Event()

    async def stream_file(path: str) -> AsyncIterator[bytes]:
        yield PEOPLE[:10]
        begun.set()
        await withdrawn.wait()
        yield PEOPLE[10:]

    storage = Files.of(datasette).sources.get("docs").storage
    monkeypatch.setattr(storage, "stream_file", stream_file)
    url = (await site.start(datasette, PEOPLE, mode=mode)).headers["location"]
    await begun.wait()
    before = datasette.config
    withdraw(datasette, action)
    withdrawn.set()
    if action == "files-browse":
        catalog = Files.of(datasette).catalog
        while await catalog.read(rows.any_active):
            await asyncio.sleep(0.05)
        datasette.config = before
    job = await refused(datasette, url, action.replace("browse", "view"))
    assert job["added"] is None, "a comparison tells nothing either"
    assert site.tables(data) == (set() if mode == "create" else {"made"})
    assert mode == "create" or site.rows(data) == [(1, "Old")]


async def test_within_its_last_transaction(
    datasette: Datasette, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may take many seconds: it is asked for directly before the commit."""
    holds(datasette, data)
    unchanged, seen = merging._check_unchanged, []

    def check_unchanged(conn: sqlite3.Connection, content: Any) -> None:
        unchanged(conn, content)
        seen.append(conn.in_transaction)
        withdraw(datasette, "insert-row")

    monkeypatch.setattr(merging, "_check_unchanged", check_unchanged)
    url = (await site.start(datasette, b"name\nNew\n", mode="append")).headers["location"]
    await refused(datasette, url, "insert-row")
    assert seen == [True]
    assert site.rows(data) == [(1, "Old")]
    assert site.tables(data) == {"made"}


async def test_while_it_waits_and_the_server_starts_anew(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasette = await make_datasette(permissions=site.PERMISSIONS)
    site.attach(datasette, tmp_path)
    with monkeypatch.context() as nothing_begins:
        nothing_begins.setattr(rows, "any_active", lambda conn: False)
        urls = []
        for table in ("first", "second"):
            answer = await site.start(datasette, PEOPLE, actor=ALICE, table_name=table)
            urls.append(answer.headers["location"])
        kept = await Files.of(datasette).catalog.read(lambda conn: rows.get(conn, 1))
        assert kept is not None
        assert (kept.actor, kept.actor_id) == (ALICE, "alice"), "the token's restrictions too"
        await datasette.invoke_shutdown()
        again = await make_datasette(permissions={**site.PERMISSIONS, "create-table": False})
        again.add_database(
            type(datasette.get_database("data"))(again, path=str(tmp_path / "data.db")), name="data"
        )
    for url in urls:
        await refused(again, url, "create-table")
    assert site.tables(tmp_path / "data.db") == set()
    kept = await Files.of(again).catalog.read(lambda conn: rows.get(conn, 1))
    assert kept is not None
    assert (kept.actor, kept.actor_id) == (None, "alice"), "the rest is not kept once it is over"


async def test_the_restrictions_of_a_token_hold_when_the_job_runs(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever changes a stored job's restrictions sees that they, and not the id, decide."""
    datasette = await make_datasette(permissions=site.PERMISSIONS)
    site.attach(datasette, tmp_path)
    with monkeypatch.context() as nothing_begins:
        nothing_begins.setattr(rows, "any_active", lambda conn: False)
        url = (await site.start(datasette, PEOPLE, actor=ALICE)).headers["location"]
        await Files.of(datasette).catalog.write(
            lambda conn: conn.execute(
                """UPDATE datasette_files_jobs
                SET actor = json_set(actor, '$._r.a', json_array('files-browse'))"""
            )
        )
    await refused(datasette, url, "create-table")
    assert site.tables(tmp_path / "data.db") == set()


async def test_without_threads_of_datasettes_own_nothing_waits_for_itself(
    make_datasette: MakeDatasette, tmp_path: Path, data: Path
) -> None:
    """Then transactions run on the event loop, and cannot ask anything from within."""
    datasette = await make_datasette(permissions=site.PERMISSIONS, settings={"num_sql_threads": 0})
    site.attach(datasette, tmp_path)
    holds(datasette, data)
    job = await site.imported(datasette, b"name\nNew\n", mode="append")
    assert job["status"] == "finished", job["error"]
    assert site.rows(data) == [(1, "Old"), (2, "New")]
