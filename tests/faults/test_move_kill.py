"""``kill -9`` at random moments of ``datasette files move``, beside a server that is in use.

Disk to S3 and back, while clients download, upload and delete. After each kill: every file that
was acknowledged is there under its id with its bytes, and no row is without them. At the end the
last move finishes what is left, and nothing stays that no row refers to. And the same with the
server killed beside the move, and in the midst of a bulk move, which goes on by itself.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import OPEN
from tests.support.client import Client, expect
from tests.support.faults.scene import (
    SLACK,
    Bucket,
    Place,
    held,
    place,
    rows,
    seed,
    settle,
    source_at,
)
from tests.support.server import Server

CLAIM = 2
GRACE = 2
_SHORT_CLAIMS = f"""
from datasette_files.transfer import copying

copying.CLAIM_SECONDS = {CLAIM}
copying.PAUSE_SECONDS = 0.05
"""
_AT_WORK = "SELECT 1 FROM datasette_files_moves WHERE claimed_until > unixepoch()"
_UNFINISHED = "SELECT path FROM datasette_files_uploads WHERE state = 'receiving'"
_LARGE = 9_000_000  # of two parts
_KILLS = 15  # of a server amid one bulk move, which then may end


@dataclass
class Site:
    """A server with two sources, and what its clients were told."""

    server: Server
    places: dict[str, Place]
    #: Ids, and the sha256 of their bytes.
    stored: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def put(self, source: str, content: bytes) -> None:
        record = Client(self.server.url).put(source, "file.bin", content, len(content))
        with self.lock:
            self.stored[record["id"]] = hashlib.sha256(content).hexdigest()

    def any_id(self, chance: random.Random) -> str:
        with self.lock:
            return chance.choice(sorted(set(self.stored) - self.deleted))

    def move(self, source: str, target: str, *more: str) -> Any:
        arguments = ["move", source, target, "--all", "--grace", str(GRACE), *more]
        return self.server.beside(*arguments)

    def catalogued(self) -> dict[str, tuple[str, str]]:
        """``{id: (source, path)}``."""
        found = rows(
            self.server.internal,
            """SELECT f.id, s.slug, f.path FROM datasette_files f
            JOIN datasette_files_sources s ON s.id = f.source_id""",
        )
        return {file_id: (slug, path) for file_id, slug, path in found}

    def leftovers(self) -> dict[str, Any]:
        """Everything that is neither a file nor the memory of one."""
        open_rows = {
            "uploads": _UNFINISHED,
            "garbage": """SELECT path FROM datasette_files_garbage WHERE done_at IS NULL
                AND instructions IS NULL""",
        }
        found: dict[str, Any] = {
            name: rows(self.server.internal, sql) for name, sql in open_rows.items()
        }
        known = set(self.catalogued().values())
        for slug, where in self.places.items():
            found[slug] = sorted(p for p in held(where) if (slug, p) not in known)
        return {name: what for name, what in found.items() if what}


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """Two sources: ``disk``, and ``s3`` or the one on disk that a test's parameter names."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "short_claims.py").write_text(_SHORT_CLAIMS)
    target = getattr(request, "param", "s3")
    where = place("s3-proxy" if target == "s3" else "disk", tmp_path / target)
    places = {"disk": tmp_path / "disk", target: where}
    sources = {slug: source_at(where) for slug, where in places.items()}
    config = {"plugins": {"datasette-files": {"sources": sources}}, "permissions": OPEN}
    with Server(tmp_path, config, plugins=plugins) as server:
        yield Site(server, places)
    if isinstance(where, Bucket):
        where.empty()


def _read(site: Site, chance: random.Random) -> None:
    file_id = site.any_id(chance)
    answer = Client(site.server.url).download(file_id)
    if answer.status == 404 and file_id in site.deleted:
        return
    assert answer.status == 200, (file_id, answer)
    assert hashlib.sha256(answer.body).hexdigest() == site.stored[file_id], file_id
    site.counts["downloads"] += 1


def _change(site: Site, chance: random.Random) -> None:
    """Upload a file, and delete one: repeated where it was moved just then."""
    site.put(chance.choice(sorted(site.places)), chance.randbytes(chance.randrange(20_000)))
    file_id = site.any_id(chance)
    with site.lock:
        site.deleted.add(file_id)
    while (answer := Client(site.server.url).delete(file_id)).status == 409:
        site.counts["deletes repeated"] += 1
    expect(answer, 204)
    site.counts["deletes"] += 1


def _in_use(site: Site, seed: int, work: Callable[[], None]) -> None:
    """Do ``work`` while clients use the server; what they find wrong is raised."""
    chance, over, wrong = random.Random(seed), threading.Event(), list[BaseException]()

    def client(step: Callable[..., None], own: random.Random) -> None:
        try:
            while not over.is_set():
                step(site, own)
                time.sleep(0.02)
        except BaseException as error:
            wrong.append(error)

    threads = [
        threading.Thread(target=client, args=(step, random.Random(chance.random())))
        for step in (_read, _read, _change)
    ]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
    assert wrong == []


def _until_it_works(site: Site, process: Any) -> None:
    """Until the command has begun with a file, or has none left."""
    while process.poll() is None:
        if rows(site.server.internal, _AT_WORK):
            return
        time.sleep(0.005)


def _judge(site: Site) -> None:
    catalogued = site.catalogued()
    acknowledged = set(site.stored) - site.deleted
    assert acknowledged == set(catalogued)
    for slug, where in site.places.items():
        paths = {path for of, path in catalogued.values() if of == slug}
        assert paths <= held(where)


def _download_all(site: Site) -> None:
    for file_id in set(site.stored) - site.deleted:
        answer = expect(Client(site.server.url).download(file_id), 200)
        assert hashlib.sha256(answer.body).hexdigest() == site.stored[file_id]


def _finish(site: Site) -> float:
    """Move what is left to ``s3`` and read all of it; the seconds until nothing else is there."""
    time.sleep(CLAIM)
    # The claims of the last that was killed have lapsed, so this one leaves nothing.
    process = site.move("disk", "s3")
    process.wait(300)
    assert {slug for slug, _ in site.catalogued().values()} == {"s3"}, site.server.log.read_text()
    _judge(site)
    _download_all(site)
    return settle(site.leftovers, GRACE + CLAIM + 10 + SLACK)


def _run(site: Site, kills: int, small: int, large: int) -> None:
    chance = random.Random(kills)
    for number in range(small + large):
        size = _LARGE if number < large else chance.randrange(20_000)
        site.put("disk", chance.randbytes(size))
    source, target = "disk", "s3"
    for number in range(kills):

        def begin_and_kill(source: str = source, target: str = target) -> None:
            process = site.move(source, target)
            _until_it_works(site, process)
            time.sleep(chance.uniform(0, 1.2))
            site.counts["killed in its midst"] += process.poll() is None
            process.send_signal(9)
            process.wait(30)

        before = site.catalogued()
        _in_use(site, number, begin_and_kill)
        site.counts["moved"] += sum(
            before[file_id][0] != slug
            for file_id, (slug, _) in site.catalogued().items()
            if file_id in before
        )
        site.counts["left for the sweeper"] += len(rows(site.server.internal, _UNFINISHED))
        _judge(site)
        if chance.random() < 0.3 or source not in {of for of, _ in site.catalogued().values()}:
            source, target = target, source
    seconds = _finish(site)
    assert site.counts["killed in its midst"]
    assert "Traceback" not in site.server.log.read_text()
    print(
        f"{kills} kills, {dict(site.counts)}; {len(site.stored)} uploads, of these"
        f" {len(site.deleted)} deleted; nothing left {seconds:.1f} s after the last move"
    )


@pytest.mark.full
@pytest.mark.timeout(900)
def test_the_server_is_killed_beside_a_move_and_the_move_beside_a_server(site: Site) -> None:
    """In turns, and both at once. A move goes on without a server, and the server without it."""
    chance = random.Random(8)
    for number in range(25):
        site.put("disk", chance.randbytes(_LARGE if number < 3 else chance.randrange(20_000)))
    source, target = "disk", "s3"
    for killed in ("server", "move", "both") * 3:
        process = site.move(source, target, "--jobs", "2")
        _until_it_works(site, process)
        time.sleep(chance.uniform(0, 0.8))
        if killed != "server":
            site.counts["moves in their midst"] += process.poll() is None
            process.send_signal(9)
        if killed != "move":
            site.counts["servers beside a move"] += process.poll() is None
            site.server.kill()
        process.wait(300)
        _judge(site)
        if killed == "server":
            stays = {slug for slug, _ in site.catalogued().values()}
            site.counts["finished alone"] += stays == {target}
        if killed != "move":
            site.server.start()
        _download_all(site)
        source, target = target, source
    seconds = _finish(site)
    assert site.counts["moves in their midst"]
    assert site.counts["servers beside a move"]
    assert "Traceback" not in site.server.log.read_text()
    print(f"{dict(site.counts)}; nothing left {seconds:.1f} s after the last move")


@pytest.mark.full
def test_kills_of_moves_lose_nothing_and_leave_nothing(site: Site) -> None:
    _run(site, kills=2, small=15, large=1)


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_a_hundred_kills_of_moves_lose_nothing_and_leave_nothing(site: Site) -> None:
    _run(site, kills=100, small=60, large=4)


def _age(site: Site) -> None:
    """Let the grace period of all old bytes be over."""
    with closing(sqlite3.connect(site.server.internal, timeout=30)) as conn, conn:
        conn.execute("UPDATE datasette_files_garbage SET not_before = 0")


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("site", "files"), [("other", 3_000), ("s3", 500)], indirect=["site"])
def test_a_bulk_move_goes_on_after_kills_of_the_server(site: Site, files: int) -> None:
    """Each file is in one source at any moment, and at the end in the job's count."""
    chance = random.Random(files)
    disk, target = site.places["disk"], next(slug for slug in site.places if slug != "disk")
    assert isinstance(disk, Path)
    site.server.stop()
    site.stored = seed(site.server.internal, disk, "disk", files)
    site.server.start()
    wanted = {"action": "move", "selection": {"source": "disk"}, "to": target}
    answer = Client(site.server.url).post_json("/-/files/-/bulk", wanted)
    url = expect(answer, 202).json()["job"]["url"]
    while True:
        time.sleep(chance.uniform(0.5, 4))
        job = expect(Client(site.server.url).request("GET", f"{url}.json"), 200).json()
        if job["status"] == "finished":
            break
        assert job["status"] in ("pending", "running"), job
        if site.counts["kills"] == _KILLS:
            continue
        site.server.kill()
        site.counts["kills"] += 1
        _judge(site)
        site.server.start()
    refused = {one["id"] for one in job["refused"]}
    slugs = {file_id: slug for file_id, (slug, _) in site.catalogued().items()}
    assert {file_id for file_id, slug in slugs.items() if slug != target} == refused
    assert (job["done"], job["total"]) == (files - len(refused), files)
    assert site.counts["kills"], "the job was over before the first kill; give it more files"
    _judge(site)
    _download_all(site)
    _age(site)
    seconds = settle(site.leftovers, 120)
    print(f"{dict(site.counts)}, {len(refused)} refused; nothing left after {seconds:.1f} s")
