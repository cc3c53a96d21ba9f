"""R2 on S3: the server is killed while the store works for it, and the next one goes on.

A proxy holds the store's answer back, so that the kill comes at a known moment: before the store
did what was asked, or after it did. Another process has the upload as soon as the dead one's claim
on it has lapsed, which a plugin file makes short.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Answer, Client, Unanswered, expect
from tests.support.faults.proxy import FaultProxy
from tests.support.faults.s3_scene import LARGE, Scene, s3_sources, site, store_proxy
from tests.support.faults.scene import SLACK, SWEPT_WITHIN, settle
from tests.support.moto_server import new_prefix, shared_store
from tests.support.server import Server

pytestmark = pytest.mark.full

CONTENT = b"past Datasette" * 50_000
EXPIRY = 12
#: Seconds after which an attempt that nobody hears of is dead.
CLAIM = 2

_SHORT_CLAIMS = f"""
from datasette_files.transfer import claims

claims.CLAIM_SECONDS = {CLAIM}
"""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Callable[..., Scene]]:
    """``scene(**plugin_config)``: a server of its own and its proxy; two share a database."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "short_claims.py").write_text(_SHORT_CLAIMS)
    proxy, prefix = store_proxy(), new_prefix()
    servers: list[Server] = []

    def make(**plugin: Any) -> Scene:
        server = site(tmp_path, s3_sources(proxy, prefix), plugins=plugins, **plugin)
        servers.append(server)
        return Scene(server.start(), shared_store(), proxy, prefix)

    yield make
    proxy.refuse_connections()
    for server in servers:
        server.__exit__()
    for key in shared_store().keys(prefix):
        shared_store().boto.delete_object(Bucket=shared_store().bucket, Key=key)


#: Whether the store has done what was asked when the server dies.
HOLDS: dict[str, Callable[[FaultProxy, str], None]] = {
    "before": lambda proxy, op: proxy.stalls(op),
    "after": lambda proxy, op: proxy.stalls_answers(op, after=-1),
}


def moments(*always: tuple[str, str], of: list[str]) -> Any:
    """Every operation, killed before and after the store does it; not all in every run."""
    found = [(operation, hold) for operation in of for hold in HOLDS]
    return pytest.mark.parametrize(
        ("operation", "hold"),
        [pytest.param(*one, marks=() if one in always else pytest.mark.full) for one in found],
    )


def _killed_within(scene: Scene, operation: str, hold: str, ask: Callable[[], Answer]) -> None:
    """Kill the server while the store holds back its answer to this operation."""
    HOLDS[hold](scene.proxy, operation)

    def asking() -> None:
        with suppress(Unanswered):
            ask()

    asked = threading.Thread(target=asking)
    asked.start()
    settle(lambda: not scene.proxy.faults_met(), 60)
    scene.server.kill()
    asked.join(60)
    assert not asked.is_alive()
    scene.proxy.heal()
    scene.server.start()


@moments(
    ("UploadPart", "before"),
    of=["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"],
)
@pytest.mark.full
def test_a_kill_within_a_multipart_upload_leaves_nothing(
    scene: Callable[..., Scene], operation: str, hold: str
) -> None:
    killed = scene(upload_expiry_seconds=EXPIRY)
    _killed_within(
        killed,
        operation,
        hold,
        lambda: killed.client.request("PUT", "/-/files/upload/proxied/a.bin", LARGE),
    )
    if (operation, hold) != ("CreateMultipartUpload", "before"):
        assert killed.differences(), "the kill came too late"
    settle(killed.differences, EXPIRY + SWEPT_WITHIN + SLACK)
    assert killed.catalogued() == set()
    file = killed.client.put("proxied", "a.bin", LARGE)
    assert killed.client.download(file["id"]).body == LARGE
    assert killed.differences() == {}


@moments(
    ("CopyObject", "before"),
    of=["HeadObject", "CopyObject", "GetObject", "DeleteObject"],
)
@pytest.mark.full
def test_a_kill_within_the_completion_of_a_direct_upload_is_made_good(
    scene: Callable[..., Scene], operation: str, hold: str
) -> None:
    killed = scene()
    prepared = killed.prepared(CONTENT)
    token = prepared["upload_token"]
    _killed_within(killed, operation, hold, lambda: killed.client.complete("direct", token))
    assert killed.catalogued() == set()
    answers: list[Answer] = []

    def refused() -> bool:
        answers.append(killed.client.complete("direct", token))
        return answers[-1].status == 409

    settle(refused, CLAIM + SLACK)
    file = expect(answers[-1], 201).json()["file"]
    assert killed.client.download(file["id"]).body == CONTENT
    settle(killed.differences)


@pytest.mark.full
def test_a_completion_that_takes_long_is_nobody_elses(scene: Callable[..., Scene]) -> None:
    """A process that is alive keeps its claim, however long the store takes."""
    one, other = scene(), scene()
    prepared = one.prepared(CONTENT)
    one.proxy.holds_answers("CopyObject", seconds=CLAIM * 2.5)
    answers: list[Answer] = []
    waiting = threading.Thread(
        target=lambda: answers.append(one.client.complete("direct", prepared["upload_token"]))
    )
    waiting.start()
    settle(lambda: not one.proxy.faults_met(), 60)
    while waiting.is_alive():
        late = other.client.complete("direct", prepared["upload_token"])
        assert late.status in (409, 200), late
        waiting.join(0.2)
    expect(answers[0], 201)
    assert one.proxy.count("CopyObject") == 1
    settle(one.differences)


def _race(scenes: list[Scene], uploads: int) -> None:
    """Both processes complete each upload at the same moment; one of them makes the file."""
    outcomes: dict[tuple[int, ...], int] = {}
    for _ in range(uploads):
        prepared = scenes[0].prepared(CONTENT)
        start = threading.Barrier(len(scenes))
        answers: list[Answer] = []

        def complete(client: Client, token: str, start: Any, answers: list[Answer]) -> None:
            start.wait()
            answers.append(client.complete("direct", token))

        threads = [
            threading.Thread(
                target=complete, args=(one.client, prepared["upload_token"], start, answers)
            )
            for one in scenes
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        statuses = tuple(sorted(answer.status for answer in answers))
        assert statuses in ((200, 201), (201, 409)), answers
        outcomes[statuses] = outcomes.get(statuses, 0) + 1
        (made,) = (answer.json()["file"] for answer in answers if answer.status == 201)
        for one in scenes:
            again = expect(one.client.complete("direct", prepared["upload_token"]), 200)
            assert again.json()["file"] == made
            assert one.client.download(made["id"]).body == CONTENT
    assert len(scenes[0].catalogued()) == uploads
    settle(scenes[0].differences)
    print(f"{uploads} uploads completed by two processes at once: {outcomes}")


@pytest.mark.full
def test_two_processes_race_to_complete(scene: Callable[..., Scene]) -> None:
    _race([scene(), scene()], uploads=3)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_two_processes_race_to_complete_a_hundred(scene: Callable[..., Scene]) -> None:
    _race([scene(), scene()], uploads=100)
