"""An hour of mixed work by a dozen clients: nothing lost, memory and descriptors flat.

Each client does visits of every kind (visits.py) with a pause between them, on one server with two
sources on disk. Every 30 seconds the server's resident set, its descriptors and its children are
read from /proc. At the end every file is downloaded and judged by its sha256, the lists hold these
files and no other, and the disk holds no byte beyond them. The number of files stays bounded, so
that what grows is not the catalog. See docs/reliability.md.

    uv run python -m benchmarks.soak --minutes 60
"""

from __future__ import annotations

import argparse
import re
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.memory import children, status_bytes
from benchmarks.visitor import SOURCES, Actor
from benchmarks.visits import Visits
from datasette_files.views.routes import ROUTES
from tests.conftest import OPEN, disk_source
from tests.support.client import Unanswered, expect
from tests.support.faults.scene import catalogued, held, rows, settle
from tests.support.server import Server

CLIENTS = 12
SAMPLE_SECONDS = 30.0
MIB = 1 << 20
#: Uploads that nobody completes are swept after this; the last wait is a little longer.
_EXPIRY_SECONDS = 60
_ACTIONS = (
    *("files-view", "files-manage", "files-share", "debug-storages", "create-table"),
    *("insert-row", "update-row", "delete-row", "drop-table"),
)


@dataclass(frozen=True)
class Look:
    """The server at one moment; sizes in bytes, times in seconds."""

    at: float
    resident: int
    children: int
    descriptors: int
    threads: int
    processor: float
    visits: int


class Soak:
    """One run: its server, its visitors, and what was seen of them."""

    def __init__(self, server: Server, clients: int, pause: float) -> None:
        self.server = server
        self.looks: list[Look] = []
        self.failures: list[str] = []
        #: Requests that were not answered in time, as on a machine that has no time for the server.
        self.unanswered = 0
        #: Each method and path that was asked for, with ids left in.
        self.asked: set[tuple[str, str]] = set()
        self._pause = pause
        self._begun = time.monotonic()
        self.visitors = [Visits(server.url, number, self._note) for number in range(clients)]

    def _note(self, method: str, path: str) -> None:
        self.asked.add((method, path.partition("?")[0]))

    @property
    def visits(self) -> int:
        return sum(sum(visitor.done.values()) for visitor in self.visitors)

    def run(self, seconds: float) -> None:
        """Let all visitors do visits, each kind first once, for at least these seconds."""
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=self._stay, args=(one, end)) for one in self.visitors]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            self.look()
            wanted = time.monotonic() + SAMPLE_SECONDS
            for thread in threads:
                thread.join(max(0.0, wanted - time.monotonic()))

    def _stay(self, visitor: Visits, end: float) -> None:
        waiting = visitor.kinds
        visitor.chance.shuffle(waiting)
        while waiting or time.monotonic() < end:
            try:
                if waiting:
                    visitor.run(waiting.pop())
                else:
                    visitor.visit()
            except Unanswered as error:
                self.unanswered += 1
                print(f"{visitor.name}: {error}", file=sys.stderr, flush=True)
                self._reconcile(visitor)
            except Exception as error:
                self._fail(error)
            time.sleep(visitor.chance.uniform(0.5, 1.5) * self._pause)

    def _reconcile(self, visitor: Visits) -> None:
        while True:
            try:
                visitor.reconcile()
            except Unanswered:
                time.sleep(self._pause)
                continue
            except Exception as error:
                self._fail(error)
            return

    def _fail(self, error: Exception) -> None:
        self.failures.append("".join(traceback.format_exception(error)))
        print(self.failures[-1], file=sys.stderr, flush=True)

    def look(self) -> None:
        """Take a sample, and tell it on standard error."""
        pid = self.server.pid
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        found = Look(
            time.monotonic() - self._begun,
            status_bytes(pid, "VmRSS"),
            sum(status_bytes(child, "VmRSS") for child in children(pid)),
            self.server.open_files,
            int(fields[17]),
            (int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])) / 100,
            self.visits,
        )
        self.looks.append(found)
        print(
            f"{found.at:6.0f} s: {found.resident / MIB:.1f} MiB, {found.descriptors} descriptors,"
            f" {found.threads} threads, children {found.children / MIB:.0f} MiB,"
            f" {found.processor:.0f} s of a core, {found.visits} visits,"
            f" {len(self.failures)} failures",
            file=sys.stderr,
            flush=True,
        )

    def judge(self, roots: list[Path]) -> Iterator[str]:
        """A line for each thing that is lost, left over, or wrong."""
        settle(self._unfinished, _EXPIRY_SECONDS + 60)
        kept = {one.id for visitor in self.visitors for one in visitor.files.values()}
        for visitor in self.visitors:
            for one in visitor.files.values():
                try:
                    visitor.check(one)
                except AssertionError as error:
                    yield f"lost or altered: {one} {error}"
        client = Actor(self.server.url, "judge", self._note)
        listed: set[str] = set()
        for source in SOURCES:
            path: str | None = f"/-/files/source/{source}.json?versions=all&_size=200"
            while path is not None:
                page = client.json(path)
                listed |= {file["id"] for file in page["files"]}
                path = page["next_url"]
        if listed != kept:
            yield f"listed and not known, or known and not listed: {listed ^ kept}"
        internal = self.server.internal
        # The old place of a file that moved is kept for an hour.
        owed = rows(internal, "SELECT path FROM datasette_files_garbage WHERE done_at IS NULL")
        stray = set().union(*map(held, roots)) - {path for (path,) in owed}
        stray ^= set(catalogued(internal))
        if stray:
            yield f"on the disk and not in the catalog, or the reverse: {sorted(stray)[:20]}"
        log = self.server.log.read_text()
        if "Traceback" in log:
            yield "the log has a traceback:\n" + log[log.index("Traceback") :][:3000]

    def _unfinished(self) -> list[Any]:
        return rows(
            self.server.internal,
            "SELECT path FROM datasette_files_uploads WHERE state NOT IN ('completed', 'expired')"
            f" UNION ALL SELECT path FROM datasette_files_garbage WHERE done_at IS NULL"
            f" AND not_before <= {time.time()}",
        )

    def unvisited(self) -> list[str]:
        """The routes that nobody asked for, as ``METHOD path``."""
        left = []
        for route in ROUTES:
            pattern = re.compile(route.pattern)
            seen = {method for method, path in self.asked if pattern.match(path)}
            left += [f"{one} {route.path}" for one in route.methods if one not in seen]
        return left

    def figures(self) -> Iterator[str]:
        """The figures, a line each."""
        done: dict[str, int] = {}
        for visitor in self.visitors:
            for kind, number in visitor.done.items():
                done[kind] = done.get(kind, 0) + number
        last = self.looks[-1]
        yield (
            f"{last.at / 60:.0f} minutes, {len(self.visitors)} clients, {last.visits} visits: "
            + (", ".join(f"{kind} {number}" for kind, number in done.items()))
        )
        yield f"processor, children included: {last.processor / last.at:.2f} of a core"
        quarter = max(1, len(self.looks) // 4)
        first, end = self.looks[:quarter], self.looks[-quarter:]
        later = self.looks[quarter:]
        for name, unit, value in (
            ("resident set", "MiB", lambda look: look.resident / MIB),
            ("descriptors", "", lambda look: float(look.descriptors)),
            ("threads", "", lambda look: float(look.threads)),
        ):
            before, after = (statistics.median(map(value, part)) for part in (first, end))
            slope = _slope([(look.at / 3600, value(look)) for look in later])
            yield (
                f"{name}: median {before:.1f} {unit} in the first quarter, {after:.1f} in the last;"
                f" {slope:+.2f} an hour over the last three quarters"
            )


def _slope(points: list[tuple[float, float]]) -> float:
    """The slope of the straight line nearest to the points; 0 for fewer than two."""
    if len(points) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*points, strict=True)).slope


def _config(folder: Path) -> dict[str, Any]:
    sources = {name: disk_source(folder / name) for name in SOURCES}
    for name in SOURCES:
        (folder / name).mkdir()
    types = {"photo": "file", "papers": "files"}
    return {
        "plugins": {
            "datasette-files": {
                **{"sources": sources, "trash_days": 1, "share_max_days": 1},
                **{"upload_expiry_seconds": _EXPIRY_SECONDS, "share_default_days": 1},
                "live_tables_bytes": 64 * MIB,
            }
        },
        "databases": {"data": {"tables": {"people": {"column_types": types}}}},
        "permissions": {**OPEN, **dict.fromkeys(_ACTIONS, True)},
    }


def _database(path: Path) -> Path:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute(
        "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, photo TEXT, papers TEXT)"
    )
    connection.commit()
    connection.close()
    return path


def soak(folder: Path, minutes: float, clients: int, pause: float) -> tuple[list[str], bool]:
    """Run; the figures and what was lost, a line each, and whether nothing was."""
    database = _database(folder / "data.db")
    with Server(folder, _config(folder), databases=[database]) as server:
        run = Soak(server, clients, pause)
        expect(run.visitors[0].client.request("GET", "/-/files"), 200)
        run.run(minutes * 60)
        lost = list(run.judge([folder / name for name in SOURCES]))
        run.look()
        lines = [*run.figures(), f"failures of visits: {len(run.failures)}"]
        lines += [f"requests without an answer in time: {run.unanswered}"]
        lines += [f"kept at the end: {sum(len(one.files) for one in run.visitors)} files"]
        lines += [f"routes not asked for: {', '.join(run.unvisited()) or 'none'}"]
        lines += lost or ["lost: nothing"]
    return lines, not lost and not run.failures


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--pause", type=float, default=8.0, help="seconds between two visits")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        lines, sound = soak(Path(folder), given.minutes, given.clients, given.pause)
    for line in lines:
        print(line, flush=True)
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
