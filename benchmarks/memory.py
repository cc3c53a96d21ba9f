"""P3: how far our server's resident set grows while one very large file goes up and comes down.

Read from /proc: the peak (`VmHWM`, reset before each transfer by writing 5 to `clear_refs`) of the
server process, plus what its child processes hold, sampled twenty times a second. See proc(5).
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks import transfers
from benchmarks.bench import SMALL, Bench, log
from benchmarks.client import UnexpectedStatusError
from benchmarks.report import Figure, Sample, Target
from benchmarks.servers import DatasetteServer
from benchmarks.uploads import named

HUGE = 5 << 30
HUGE_QUICK = 1 << 29
INTERVAL_SECONDS = 0.05
TARGET = Target(32)


def status_bytes(pid: int, name: str) -> int:
    """A size of /proc/PID/status in bytes; 0 when the process has gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":")), 0)


def children(pid: int) -> list[int]:
    """The live descendants of a process."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            direct = [int(child) for child in path.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in direct:
            found += [child, *children(child)]
    return found


def _command(pid: int) -> bytes:
    """The command line of a process; empty when it has gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Growth:
    """A context in which the growth of one process and its children is watched; `peak` in bytes.

    Of the children, those whose command line has `named` in it.
    """

    def __init__(self, pid: int, named: str = "") -> None:
        self._pid = pid
        self._named = named.encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before = 0
        self._children_peak = 0
        self.peak = 0

    def __enter__(self) -> Growth:
        Path(f"/proc/{self._pid}/clear_refs").write_text("5")
        self._before = status_bytes(self._pid, "VmRSS") + self._children_now()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.peak = status_bytes(self._pid, "VmHWM") + self._children_peak - self._before

    def _children_now(self) -> int:
        return sum(
            status_bytes(child, "VmRSS")
            for child in children(self._pid)
            if self._named in _command(child)
        )

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            self._children_peak = max(self._children_peak, self._children_now())


def growth(bench: Bench) -> list[Figure]:
    """P3: MiB by which our resident set grows; a fresh server a round, warmed by small files."""
    size = HUGE_QUICK if bench.quick else HUGE
    up: list[float] = []
    down: list[float] = []
    error = ""
    for turn in range(bench.rounds):
        try:
            with bench.datasette(bench.ours) as server:
                _round(bench, server, size, up, down)
        except UnexpectedStatusError as refused:
            error = str(refused)
            break
        log(f"P3, round {turn + 1} of {bench.rounds}: up {up[-1]:.1f} MiB, down {down[-1]:.1f} MiB")
    return [
        Figure("P3", f"growth, upload of {named(size)}", "MiB", Sample(tuple(up), error), TARGET),
        Figure(
            "P3", f"growth, download of {named(size)}", "MiB", Sample(tuple(down), error), TARGET
        ),
    ]


def _round(
    bench: Bench, server: DatasetteServer, size: int, up: list[float], down: list[float]
) -> None:
    for _ in range(20):
        warm = server.wire.raw_put("bench", "warm.bin", SMALL)
        file_id = _id(bench.call(transfers.upload, server.address, warm, SMALL)[1].json())
        get = server.wire.get(f"/-/files/{file_id}/download")
        bench.call(transfers.download, server.address, get)
    envelope = server.wire.raw_put("bench", "huge.bin", size)
    with Growth(server.pid) as watched:
        response = bench.call(transfers.upload, server.address, envelope, size)[1]
    up.append(watched.peak / 2**20)
    get = server.wire.get(f"/-/files/{_id(response.json())}/download")
    with Growth(server.pid) as watched:
        bench.call(transfers.download, server.address, get)
    down.append(watched.peak / 2**20)
    server.discard_files()


def _id(answer: dict[str, Any]) -> str:
    file_id: str = answer["file"]["id"]
    return file_id
