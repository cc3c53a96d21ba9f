"""R10: what several clients did through two servers at once can be explained, answer by answer.

Two servers share an internal database and two sources with quotas. Every file's history has an
order that agrees with time and with each answer: nothing is lost or undone, bytes under an id do
not change, a revoked link shows nothing. Samples of the database, and the bytes that the history
proves to be there, never pass a quota; a request was refused for it only when there was no room.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.conftest import disk_source
from tests.support.faults.histories import Operation, conflicts_alone, unexplained
from tests.support.faults.history_clients import SOURCES, Recorder
from tests.support.faults.room import Room
from tests.support.server import Server
from tests.support.trash import EVERYTHING

#: Bytes of each source: a few files, so that there is often no room.
QUOTA = 20_000
_ACTIVE = "state IN ('prepared', 'receiving', 'received')"
#: What each source holds, counted anew, and as the kept totals have it.
_HELD = f"""SELECT s.slug,
    (SELECT ifnull(sum(size), 0) FROM datasette_files WHERE source_id = s.id)
    + (SELECT ifnull(sum(size), 0) FROM datasette_files_trash WHERE source_id = s.id)
    + (SELECT ifnull(sum(reserved), 0) FROM datasette_files_uploads
        WHERE source_id = s.id AND {_ACTIVE}),
    (SELECT ifnull(sum(bytes), 0) FROM datasette_files_usage WHERE source_id = s.id)
    FROM datasette_files_sources s"""


def _site(folder: Path) -> Server:
    sources = {
        slug: disk_source(folder / slug, trash_days=1, quota_bytes=QUOTA) for slug in SOURCES
    }
    plugin = {"sources": sources}
    return Server(folder, {"plugins": {"datasette-files": plugin}, "permissions": EVERYTHING})


@contextmanager
def _sampled(internal: Path) -> Iterator[Counter[str]]:
    """Look at the sources' totals, again and again, while the block runs."""
    seen: Counter[str] = Counter()
    ended = threading.Event()

    def look() -> None:
        with closing(sqlite3.connect(internal, timeout=30)) as conn:
            while not ended.wait(0.002):
                for slug, counted, kept in conn.execute(_HELD).fetchall():
                    seen["samples"] += 1
                    seen["over the quota"] += counted > QUOTA
                    seen["totals that are wrong"] += counted != kept
                    seen[slug] = max(seen[slug], counted)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join(30)


def _told(history: list[Operation], wrong: Operation) -> list[str]:
    """The operation, and those on its file that had begun before it ended."""
    before = [one for one in history if wrong.end is None or one.begin <= wrong.end]
    return [str(one) for one in (wrong, *sorted(before, key=lambda one: one.begin))]


def _judge(recorder: Recorder, samples: Counter[str]) -> Counter[tuple[str, str]]:
    """The number of answers, by kind and code."""
    for history in recorder.by_file():
        wrong = unexplained(history)
        assert wrong is None, "\n".join(["This is not explained:", *_told(history, wrong)])
    quotas = dict.fromkeys(SOURCES, QUOTA)
    room = Room(recorder.history, quotas)
    assert (room.passed(), room.refused_needlessly()) == ([], [])
    assert conflicts_alone(recorder.history) == []
    assert samples["samples"] > 0
    assert (samples["over the quota"], samples["totals that are wrong"]) == (0, 0)
    answers = Counter((one.kind, one.code if one.end else "none") for one in recorder.history)
    print(f"{len(recorder.history):,} operations on {len(recorder.by_file()):,} files; {samples}")
    print(", ".join(f"{kind} {code} {n:,}" for (kind, code), n in sorted(answers.items())))
    return answers


def test_every_answer_of_two_servers_is_explained(tmp_path: Path) -> None:
    with _site(tmp_path) as one, _site(tmp_path) as other, _sampled(one.internal) as samples:
        recorder = Recorder([one.url, other.url])
        recorder.run(4, seed=1, wanted=lambda: len(recorder.history) < 200)()
    _judge(recorder, samples)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_every_answer_is_explained_over_kills(tmp_path: Path) -> None:
    """For two minutes; every few seconds one of the servers is killed and started again."""
    with _site(tmp_path) as one, _site(tmp_path) as other, _sampled(one.internal) as samples:
        recorder = Recorder([one.url, other.url])
        until = time.monotonic() + 120
        end = recorder.run(8, seed=2, wanted=lambda: time.monotonic() < until)
        servers = [one, other]
        while time.monotonic() < until:
            time.sleep(6)
            killed = servers.pop(0)
            recorder.urls.remove(killed.url)
            time.sleep(0.05)
            killed.kill()
            killed.start(port=killed.port)
            recorder.urls.append(killed.url)
            servers.append(killed)
        end()
    answers = _judge(recorder, samples)
    # Each question got both answers.
    for kind in ("download by link", "restore", "delete", "move"):
        assert answers[kind, "ok"]
        assert answers[kind, "not_found"]
    assert answers["upload", "quota_exceeded"]
    assert answers["replace", "conflict"]
