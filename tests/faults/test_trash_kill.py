"""R1: ``kill -9`` at random moments of trashing, restoring, purging and changing settings.

A ledger holds what the server acknowledged. After each restart every file is where the last
acknowledged request has put it, or where one that was cut would have: in the catalog, in the trash,
or gone; its bytes are there unless it is gone; a source's settings are those of one whole request.
At the end what was purged has left nothing.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.conftest import OPEN
from tests.support.client import Answer, Client, Unanswered
from tests.support.faults.scene import held, rows, settle, until_killed
from tests.support.server import Server

pytestmark = pytest.mark.full

FILES = 40
STATES = {"delete": "trash", "restore": "live", "purge": "gone"}
SETTINGS = "/-/files/source/docs/settings"


class Ledger:
    """Where each file may be, by what was acknowledged or cut; and the settings likewise."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.files: dict[str, set[str]] = {}
        #: The number that label, limit and days were all set to by one request.
        self.settings = {0}
        self.acknowledged = dict.fromkeys([*STATES, "settings"], 0)
        self.cut = 0
        self.busy: set[str] = set()

    def begin(self, state: str) -> str | None:
        """A file that is in this state for sure, and that nobody else is at."""
        with self.lock:
            for file_id, states in self.files.items():
                if states == {state} and file_id not in self.busy:
                    self.busy.add(file_id)
                    return file_id
        return None

    def end(self, file_id: str, kind: str, answered: bool) -> None:
        with self.lock:
            self.busy.discard(file_id)
            states = {STATES[kind]}
            self.files[file_id] = states if answered else self.files[file_id] | states
            self._count(kind, answered)

    def _count(self, kind: str, answered: bool) -> None:
        self.acknowledged[kind] += answered
        self.cut += not answered


def _send(client: Client, kind: str, file_id: str) -> Answer:
    if kind == "delete":
        return client.delete(file_id)
    return client.post_json(f"/-/files/trash/-/{kind}", {"ids": [file_id]})


def _change(client: Client, ledger: Ledger, kind: str, chance: random.Random) -> None:
    needed = "live" if kind == "delete" else "trash"
    file_id = ledger.begin(needed)
    if file_id is None:
        time.sleep(0.005)
        return
    try:
        answer = _send(client, kind, file_id)
    except Unanswered:
        ledger.end(file_id, kind, answered=False)
        raise
    assert answer.status in (200, 204), answer
    ledger.end(file_id, kind, answered=True)


def _set(client: Client, ledger: Ledger, kind: str, chance: random.Random) -> None:
    number = chance.randrange(1, 10_000)
    wanted = {"label": str(number), "max_file_size": 10_000_000 + number, "trash_days": number}
    try:
        answer = client.post_json(f"{SETTINGS}/-/update", {"settings": wanted})
    except Unanswered:
        with ledger.lock:
            ledger.settings.add(number)
            ledger._count(kind, answered=False)
        raise
    assert answer.status == 200, answer
    with ledger.lock:
        ledger.settings = {number}
        ledger._count(kind, answered=True)


def _work_until_killed(server: Server, ledger: Ledger, chance: random.Random) -> None:
    client = Client(server.url)
    while sum(states == {"live"} for states in ledger.files.values()) < FILES:
        record = client.put("docs", "a.txt", chance.randbytes(500))
        ledger.files[record["id"]] = {"live"}

    def taking(step: Any, kind: str) -> Callable[[], None]:
        own = random.Random(chance.random())
        return partial(step, client, ledger, kind, own)

    kinds = ("delete", "delete", "restore", "purge")
    steps = [*(taking(_change, kind) for kind in kinds), taking(_set, "settings")]
    until_killed(server, steps, chance.uniform(0.03, 0.5))


def _judge(server: Server, ledger: Ledger, root: Any) -> None:
    """Hold what the server has against the ledger, and take note of what was cut."""
    client = Client(server.url)
    live = {file["id"] for file in client.all_files("docs")}
    in_trash = {row[0] for row in rows(server.internal, "SELECT id FROM datasette_files_trash")}
    assert not live & in_trash
    for file_id, states in ledger.files.items():
        found = "live" if file_id in live else "trash" if file_id in in_trash else "gone"
        assert found in states, (file_id, found, states)
        ledger.files[file_id] = {found}
    assert live | in_trash <= set(ledger.files)
    paths = rows(
        server.internal,
        "SELECT path FROM datasette_files UNION ALL SELECT path FROM datasette_files_trash",
    )
    assert {path for (path,) in paths} <= held(root)
    for file_id in random.Random(0).sample(sorted(live), min(5, len(live))):
        assert client.download(file_id).status == 200
    for file_id in random.Random(0).sample(sorted(in_trash), min(5, len(in_trash))):
        assert client.download(file_id).status == 404
    _judge_settings(json.loads(client.request("GET", f"{SETTINGS}.json").body), ledger)


def _judge_settings(shown: dict[str, Any], ledger: Ledger) -> None:
    settings = {key: one["value"] for key, one in shown["settings"].items()}
    number = settings["trash_days"]
    if number == 1:  # the yaml's
        assert (settings["label"], settings["max_file_size"]) == (None, None)
        number = 0
    else:
        assert (settings["label"], settings["max_file_size"]) == (str(number), 10_000_000 + number)
        newest = {one["setting"]: one["new"] for one in reversed(shown["changes"])}
        assert newest == {key: settings[key] for key in newest}
    assert number in ledger.settings
    ledger.settings = {number}


def _run(server: Server, root: Any, rounds: int) -> None:
    ledger, chance = Ledger(), random.Random(rounds)
    for _ in range(rounds):
        _work_until_killed(server, ledger, chance)
        server.start()
        _judge(server, ledger, root)
    assert all(ledger.acknowledged.values())
    assert ledger.cut

    def left() -> list[str]:
        paths = rows(
            server.internal,
            "SELECT path FROM datasette_files UNION ALL SELECT path FROM datasette_files_trash",
        )
        return sorted(held(root) - {path for (path,) in paths})

    seconds = settle(left)
    print(
        f"{rounds} kills: acknowledged {ledger.acknowledged}, {ledger.cut} requests cut; the bytes"
        f" of what was purged were gone {seconds:.1f} s after the last start"
    )


@pytest.fixture
def server(tmp_path: Any, root: Any) -> Any:
    source = {"storage": "filesystem", "trash_days": 1, "config": {"root": str(root)}}
    config = {
        "plugins": {"datasette-files": {"sources": {"docs": source}, "upload_expiry_seconds": 2}},
        "permissions": {**OPEN, "files-manage": True},
    }
    with Server(tmp_path, config) as started:
        yield started


def test_kills_leave_every_file_in_one_place(server, root):
    _run(server, root, rounds=2)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_hundred_kills_leave_every_file_in_one_place(server, root):
    _run(server, root, rounds=100)
