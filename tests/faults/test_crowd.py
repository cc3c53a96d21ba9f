"""R9: a hundred clients upload, download and delete at once. Nothing lost, every sha256 right.

Afterwards the process holds no more open files than before, and a second crowd of the same size
does not make it larger than the first did.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.support.client import Client, expect
from tests.support.faults.scene import (
    SLACK,
    Bucket,
    catalogued,
    everywhere,
    held,
    leftovers,
    settle,
)
from tests.support.server import Server

pytestmark = pytest.mark.full

CLIENTS = 100
#: On moto, which serves all of them with one core of Python.
CLIENTS_OF_MOTO = 25
#: As long the SDK keeps a connection that nobody uses, and some more.
IDLE_SECONDS = 20.0
#: Descriptors that Datasette's reading threads may open yet: a connection each, on first need.
MAY_OPEN = 6
#: How much larger a second crowd may leave the process: caches that are still filling. Bytes.
MAY_GROW = 32 * 1024 * 1024


@dataclass
class Tally:
    """The actions of all clients, and the digests of the files that must still be there."""

    uploads: int = 0
    downloads: int = 0
    deletes: int = 0
    kept: dict[str, str] = field(default_factory=dict)
    failures: list[BaseException] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def _content(chance: random.Random) -> bytes:
    """Mostly small, now and then large enough to be streamed."""
    return chance.randbytes(chance.choice((100, 2_000, 10_000, 10_000, 50_000, 600_000)))


def _check(client: Client, file_id: str, digest: str) -> None:
    download = expect(client.download(file_id), 200)
    assert hashlib.sha256(download.body).hexdigest() == digest, file_id


def _visit(client: Client, tally: Tally, chance: random.Random, until: float) -> None:
    """One client's stay: it alone knows its files, so it alone judges them."""
    mine: dict[str, str] = {}
    done = {"uploads": 0, "downloads": 0, "deletes": 0}
    while time.monotonic() < until:
        content = _content(chance)
        if chance.random() < 0.5:
            record = client.put("docs", "crowd.bin", content, len(content))
        else:
            record = client.three_steps("docs", "crowd.bin", content)
        digest = hashlib.sha256(content).hexdigest()
        assert record["content_hash"] == f"sha256:{digest}"
        mine[record["id"]] = digest
        done["uploads"] += 1
        _check(client, *chance.choice(sorted(mine.items())))
        done["downloads"] += 1
        if chance.random() < 0.2:
            gone = chance.choice(sorted(mine))
            expect(client.delete(gone), 204)
            del mine[gone]
            done["deletes"] += 1
    with tally.lock:
        tally.kept |= mine
        tally.uploads += done["uploads"]
        tally.downloads += done["downloads"]
        tally.deletes += done["deletes"]


def _crowd(server: Server, tally: Tally, seconds: float, clients: int) -> None:
    until = time.monotonic() + seconds

    def stay(seed: int) -> None:
        try:
            _visit(Client(server.url), tally, random.Random(seed), until)
        except BaseException as error:
            tally.failures.append(error)

    threads = [threading.Thread(target=stay, args=(seed,)) for seed in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 60)
        assert not thread.is_alive()
    assert not tally.failures, tally.failures[:3]


def _run(serve: Any, root: Any, seconds: float) -> None:
    server, clients = serve(), CLIENTS
    if isinstance(root, Bucket) and root.store.is_moto:
        clients = CLIENTS_OF_MOTO
    client, tally = Client(server.url), Tally()
    expect(client.delete(client.put("docs", "warm.bin", b"warm")["id"]), 204)
    _crowd(server, tally, seconds / 2, clients)
    open_files, resident = server.open_files, server.resident
    _crowd(server, tally, seconds / 2, clients)
    for file_id, digest in tally.kept.items():
        _check(client, file_id, digest)
    assert {file["id"] for file in client.all_files("docs")} == set(tally.kept)
    settle(lambda: leftovers(server, root), SLACK)
    assert held(root) == set(catalogued(server.internal))
    settle(lambda: server.open_files > open_files + MAY_OPEN, SLACK + IDLE_SECONDS)
    grown = server.resident - resident
    print(
        f"{clients} clients: {tally.uploads} uploads, {tally.downloads} downloads,"
        f" {tally.deletes} deletions; {grown / 1024:+,.0f} KiB, {server.open_files} open files"
    )
    assert grown < MAY_GROW
    assert "Traceback" not in server.log.read_text()


@everywhere()
@pytest.mark.full
def test_a_crowd_loses_nothing(serve, root):
    _run(serve, root, seconds=5)


@pytest.mark.full
@pytest.mark.timeout(600)
@everywhere()
def test_a_crowd_loses_nothing_in_a_minute(serve, root):
    _run(serve, root, seconds=60)
