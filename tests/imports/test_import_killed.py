"""R1 for imports: ``kill -9`` at random moments, then a new start. All rows are left, or none.

Every mode in turn. After each kill the job is interrupted, or finished if its last transaction was
committed; no staging table, no folder and no process of it stays behind.
"""

from __future__ import annotations

import os
import random
import sqlite3
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import disk_source
from tests.support.imports import site
from tests.support.imports.begin import begin
from tests.support.server import Server

ROWS = 40_000
CONTENT = b"id,name,value\n" + b"".join(
    b"%d,name %d,%d.25\n" % (number, number, number) for number in range(ROWS)
)
MODES = ("create", "replace", "append", "merge")


def _ended(server: Server, url: str) -> dict[str, Any]:
    while (job := server.get_json(f"{url}.json"))["status"] not in site.OVER:
        time.sleep(0.05)
    return dict(job)


def _cleaned(folder: Path, data: Path) -> None:
    """Wait until nothing of an import is left; a test that waits in vain times out."""
    while (
        list(folder.glob("datasette-files-import-*"))
        or any(name.startswith("_datasette") for name in site.tables(data))
        or any(_is_ours(process, folder) for process in Path("/proc").glob("[0-9]*"))
    ):
        time.sleep(0.05)


def _is_ours(process: Path, folder: Path) -> bool:
    """Whether it is the process of an import that works in a folder below this one."""
    try:
        links = [os.readlink(link) for link in (process / "fd").iterdir()]
    except OSError:
        return False
    return any(link.startswith(f"{folder}/datasette-files-import-") for link in links)


def old(mode: str) -> list[tuple[Any, ...]]:
    """Rows that a table has before: those of a merge have keys of the file, others have none."""
    first = 0 if mode == "merge" else -10
    return [(first + number, "old", 0.5) for number in range(10)]


def _whole(mode: str) -> int:
    """Rows of the table after an import that was not cut short."""
    return ROWS + 10 if mode == "append" else ROWS


@pytest.mark.full
@pytest.mark.parametrize("kills", [4, 100])
@pytest.mark.timeout(3600)
def test_a_killed_import_leaves_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: int
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    data = site.database(tmp_path)
    config = {
        "plugins": {"datasette-files": {"sources": {"docs": disk_source(tmp_path / "docs")}}},
        "permissions": site.PERMISSIONS,
    }
    server = Server(tmp_path, config, databases=[data])
    chance = random.Random(7)
    outcomes = []
    with server:
        request = urllib.request.Request(
            f"{server.url}/-/files/upload/docs/big.csv", CONTENT, method="PUT"
        )
        urllib.request.urlopen(request, timeout=60).close()
        (file_id,) = [file["id"] for file in server.get_json("/-/files/source/docs.json")["files"]]
        for number in range(kills):
            mode, table = MODES[number % len(MODES)], f"made_{number}"
            if mode != "create":
                _make(data, table, mode)
            url = begin(server, file_id, {"table_name": table, "mode": mode})
            # Any moment: it takes about a second, more on a busy machine.
            phase = chance.choice(["reading", "writing", "anything"])
            while (job := server.get_json(f"{url}.json"))["status"] in ("pending", "running"):
                if phase == "anything" or job["phase"] == phase:
                    break
            time.sleep(chance.random() * 0.5)
            server.kill()
            server.start()
            job = _ended(server, url)
            _cleaned(tmp_path, data)
            outcomes.append(f"{mode} {job['status']}")
            assert job["status"] in ("interrupted", "finished"), job
            there = table in site.tables(data)
            if job["status"] == "finished":
                assert len(site.rows(data, table)) == _whole(mode)
            elif mode == "create":
                assert not there
            else:
                assert site.rows(data, table) == old(mode)
        # And one that nobody disturbs.
        url = begin(server, file_id, {"table_name": "last"})
        assert _ended(server, url)["status"] == "finished"
        assert len(site.rows(data, "last")) == ROWS
    print(f"\n{kills} kills: {dict(Counter(outcomes))}")  # for docs/reliability.md, by pytest -s
    assert any("interrupted" in outcome for outcome in outcomes)


def _make(data: Path, table: str, mode: str) -> None:
    conn = sqlite3.connect(data, timeout=30)
    conn.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, name TEXT, value REAL)")
    conn.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", old(mode))
    conn.commit()
    conn.close()
