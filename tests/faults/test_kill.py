"""R1: ``kill -9`` at random moments of uploads and deletes; then the survivors are judged.

A ledger holds what the server acknowledged. After each restart: no acknowledged file is lost or
altered, no acknowledged deletion is undone, no row is without its bytes. At the end, after the
uploads expired, nothing is left that no row refers to.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.faults.scene import catalogued, held, leftovers, settle, until_killed
from tests.support.server import Server

pytestmark = pytest.mark.full

EXPIRY = 2


@dataclass
class Ledger:
    """The answers that clients got, and the requests that nobody answered any more."""

    stored: dict[str, str] = field(default_factory=dict)
    deleting: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    unanswered: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledge(self, record: dict[str, Any], content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        assert record["content_hash"] == f"sha256:{digest}"
        with self.lock:
            self.stored[record["id"]] = digest

    def one_to_delete(self, chance: random.Random) -> str | None:
        with self.lock:
            ids = sorted(set(self.stored) - self.deleting)
            if not ids:
                return None
            chosen = chance.choice(ids)
            self.deleting.add(chosen)
            return chosen


def _small(client: Client, ledger: Ledger, chance: random.Random) -> None:
    content = chance.randbytes(chance.randrange(20_000))
    ledger.acknowledge(client.put("docs", "small.bin", content, len(content)), content)


def _three_steps(client: Client, ledger: Ledger, chance: random.Random) -> None:
    content = chance.randbytes(chance.randrange(300_000))
    ledger.acknowledge(client.three_steps("docs", "steps.bin", content), content)


def _large(client: Client, ledger: Ledger, chance: random.Random) -> None:
    """Streamed slowly enough that most kills come in the middle of one."""
    content = chance.randbytes(3_000_000)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(content), 200_000):
            yield content[start : start + 200_000]
            time.sleep(0.01)

    ledger.acknowledge(client.put("docs", "large.bin", pieces()), content)


def _delete(client: Client, ledger: Ledger, chance: random.Random) -> None:
    chosen = ledger.one_to_delete(chance)
    if chosen is None:
        time.sleep(0.01)
        return
    answer = client.delete(chosen)
    assert answer.status == 204, answer
    with ledger.lock:
        ledger.deleted.add(chosen)


def _work_until_killed(server: Server, ledger: Ledger, seed: int) -> None:
    client, chance = Client(server.url), random.Random(seed)

    def taking(step: Any) -> Callable[[], None]:
        own = random.Random(chance.random())
        return partial(step, client, ledger, own)

    steps = (_small, _small, _three_steps, _three_steps, _large, _delete)
    until_killed(server, [taking(step) for step in steps], chance.uniform(0.05, 0.8))
    # Each had one under way.
    ledger.unanswered += len(steps)


def _judge(server: Server, root: Path, ledger: Ledger, ids: list[str]) -> None:
    """Hold what the server has against the ledger; only these ids are downloaded."""
    client = Client(server.url)
    for file_id in ids:
        download = client.download(file_id)
        if file_id in ledger.deleted:
            assert download.status == 404, file_id
        elif file_id in ledger.deleting and download.status == 404:
            ledger.deleted.add(file_id)
        else:
            assert download.status == 200, (file_id, download)
            assert hashlib.sha256(download.body).hexdigest() == ledger.stored[file_id]
            ledger.deleting.discard(file_id)
    for path, content_hash in catalogued(server.internal).items():
        assert _hash(root / path) == content_hash, path
    visible = {file["id"] for file in client.all_files("docs")}
    kept = set(ledger.stored) - ledger.deleted
    assert kept <= visible
    # More is visible only where the commit was made and its answer was lost.
    assert len(visible - kept) <= ledger.unanswered


def _hash(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _run(serve: Any, root: Path, rounds: int) -> None:
    ledger = Ledger()
    server = serve(upload_expiry_seconds=EXPIRY)
    judged: set[str] = set()
    for number in range(rounds):
        _work_until_killed(server, ledger, seed=number)
        server.start()
        fresh = sorted(set(ledger.stored) - judged)
        old = sorted(judged)
        sample = set(random.Random(number).sample(old, min(50, len(old))))
        begun = ledger.deleting - ledger.deleted
        _judge(server, root, ledger, sorted({*fresh, *sample, *begun}))
        judged |= set(fresh)
    _judge(server, root, ledger, sorted(ledger.stored))
    assert ledger.stored
    assert ledger.unanswered
    seconds = settle(lambda: leftovers(server, root))
    assert held(root) == set(catalogued(server.internal))
    print(
        f"{rounds} kills: {len(ledger.stored)} uploads acknowledged, {len(ledger.deleted)} deleted,"
        f" {ledger.unanswered} requests cut; all swept {seconds:.1f} s after the last start"
    )


def test_kills_lose_nothing_and_leave_nothing(serve, root):
    _run(serve, root, rounds=5)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_two_hundred_kills_lose_nothing_and_leave_nothing(serve, root):
    _run(serve, root, rounds=200)
