"""Readers of a table while rows are added to it, in a database without write-ahead logging."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.tables import content as contents
from datasette_files.tables import merging
from tests.conftest import upload
from tests.support.imports import site

ALICE = {"id": "alice"}
ROWS = 60_000
#: 5 MB in the table, more than SQLite's own cache of 2 MB.
MANY = b"id,name\n" + b"".join(b"%d,%060d\n" % (n, n) for n in range(ROWS))


@pytest.mark.parametrize("mode", ["append", "merge"])
async def test_readers_go_on_until_the_commit(
    datasette: Datasette, data: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    counts: list[int] = []

    with sqlite3.connect(data) as conn:
        conn.execute("CREATE TABLE made (id INTEGER PRIMARY KEY, name TEXT)")
        conn.execute("CREATE INDEX names ON made (name)")
    transaction = contents.transaction

    def watched(conn: sqlite3.Connection, confirm: Any = None) -> Any:
        def look() -> None:
            with sqlite3.connect(f"file:{data}?mode=ro", uri=True, timeout=0) as other:
                counts.append(other.execute("SELECT count(*) FROM made").fetchone()[0])
            confirm()

        return transaction(conn, look)

    monkeypatch.setattr(merging, "transaction", watched)
    job = await site.imported(datasette, MANY, mode=mode)
    assert job["status"] == "finished", job["error"]
    assert counts == [0]
    assert len(site.rows(data)) == ROWS


@pytest.mark.full
async def test_a_locked_database_is_told_as_that(datasette: Datasette, data: Path) -> None:
    file = await upload(datasette, b"id\n1\n", "x.csv")
    begun = await site.start(datasette, b"id\n1\n", actor=ALICE)
    job = await site.ended(datasette, begun.headers["location"], actor=ALICE)
    conn = sqlite3.connect(data)
    conn.execute("BEGIN EXCLUSIVE")
    try:
        form = {"database_name": "data", "table_name": "made", "mode": "append"}
        url = f"/-/files/import/{file['id']}"
        started = await datasette.client.post(url, data=form)
        assert (started.status_code, started.json()["code"]) == (503, "storage_unavailable")
        assert started.headers["retry-after"] == "10"
        # The poll of who started it asks the internal database alone.
        url = f"/-/files/import/{job['file_id']}/{job['id']}.json"
        assert (await datasette.client.get(url, actor=ALICE)).status_code == 200
    finally:
        conn.close()
