"""``kill -9`` of a real server in the middle of bulk actions on 10,000 files.

After each restart every file is done and counted by the job, or neither; then the job goes on.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.conftest import OPEN
from tests.support.client import Client, expect
from tests.support.faults.scene import rows, seed
from tests.support.server import Server

pytestmark = pytest.mark.full

FILES = 10_000
#: Of each action; then it may end.
KILLS = 12
DONE = {
    "tag": "SELECT count(*) FROM datasette_files WHERE tags = '[\"new\"]'",
    "folder": "SELECT count(*) FROM datasette_files WHERE folder = 'new/er'",
    "delete": "SELECT count(*) FROM datasette_files_trash",
}


@pytest.mark.timeout(900)
def test_each_file_is_done_or_not_and_the_job_goes_on(tmp_path: Path) -> None:
    root, chance = tmp_path / "docs", random.Random(1)
    source = {"storage": "filesystem", "trash_days": 1, "config": {"root": str(root)}}
    config = {"plugins": {"datasette-files": {"sources": {"docs": source}}}, "permissions": OPEN}
    with Server(tmp_path, config) as server:
        server.stop()
        seed(server.internal, root, "docs", FILES)
        server.start()
        client = Client(server.url)
        for action, query in DONE.items():
            wanted = {"action": action, "selection": {"source": "docs"}}
            wanted |= {"tag": {"tags": ["new"]}, "folder": {"folder": "new/er"}}.get(action, {})
            begun = expect(client.post_json("/-/files/-/bulk", wanted), 202).json()["job"]["url"]
            kills = 0
            while True:
                time.sleep(chance.uniform(0.5, 2))
                job = expect(client.request("GET", f"{begun}.json"), 200).json()
                if job["status"] == "finished":
                    break
                if kills == KILLS:
                    continue
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
    assert len(list(root.rglob("*.txt"))) == FILES
