"""``kill -9`` of a real server in the middle of bulk actions on 2,000 files.

After each restart every file is done and counted by the job, or neither; then the job goes on.
"""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from datasette_files.db import files as file_rows
from datasette_files.models import FileRecord
from datasette_files.naming import new_ulid
from tests.conftest import OPEN
from tests.support.client import Client, expect
from tests.support.faults.scene import rows
from tests.support.server import Server

pytestmark = pytest.mark.full

FILES = 2_000
DONE = {
    "tag": "SELECT count(*) FROM datasette_files WHERE tags = '[\"new\"]'",
    "delete": "SELECT count(*) FROM datasette_files_trash",
}


def seed(internal: Path, root: Path, number: int) -> None:
    """Files with bytes, written past the server, which has stopped."""
    with closing(sqlite3.connect(internal)) as conn, conn:
        (source_id,) = conn.execute("SELECT id FROM datasette_files_sources").fetchone()
        for index in range(number):
            ulid = new_ulid()
            (root / ulid).mkdir(parents=True)
            (root / ulid / "a.txt").write_bytes(b"x")
            facts: dict[str, Any] = {"content_type": "text/plain", "content_hash": None, "size": 1}
            facts |= {"width": None, "height": None, "uploaded_by": None, "metadata": None}
            facts |= {"created_at": "2026-01-02 03:04:05", "search_text": None}
            record = FileRecord(
                id=f"df-{ulid}",
                source_id=source_id,
                source_slug="docs",
                path=f"{ulid}/a.txt",
                filename=f"a{index}.txt",
                **facts,
            )
            file_rows.insert(conn, record)


@pytest.mark.timeout(300)
def test_each_file_is_done_or_not_and_the_job_goes_on(tmp_path: Path) -> None:
    root, chance = tmp_path / "docs", random.Random(1)
    source = {"storage": "filesystem", "trash_days": 1, "config": {"root": str(root)}}
    config = {"plugins": {"datasette-files": {"sources": {"docs": source}}}, "permissions": OPEN}
    with Server(tmp_path, config) as server:
        server.stop()
        seed(server.internal, root, FILES)
        server.start()
        client = Client(server.url)
        for action, query in DONE.items():
            wanted = {"action": action, "selection": {"source": "docs"}}
            wanted |= {"tags": ["new"]} if action == "tag" else {}
            begun = expect(client.post_json("/-/files/-/bulk", wanted), 202).json()["job"]["url"]
            kills = 0
            while True:
                time.sleep(chance.uniform(0.2, 0.8))
                job = expect(client.request("GET", f"{begun}.json"), 200).json()
                if job["status"] == "finished":
                    break
                server.kill()
                marked = "SELECT count(*) FROM datasette_files_bulk WHERE job_id = ? AND state"
                (counted,) = rows(
                    server.internal, f"{marked} IS NOT NULL".replace("?", str(job["id"]))
                )
                (changed,) = rows(server.internal, query)
                assert counted == changed
                kills += 1
                server.start()
                client = Client(server.url)
            assert (job["done"], job["refused"], job["total"]) == (FILES, [], FILES)
            assert rows(server.internal, query) == [(FILES,)]
            assert kills, "the job was over before the first kill; give it more files"
            print(f"{action}: {kills} kills")
    assert len(list(root.rglob("a.txt"))) == FILES
