"""P7: how long others wait for `/-/files/{id}.json` while large files go up and come down.

A probe asks at a modest fixed rate from a process of its own. The public release, which refuses
1 GiB, is probed beside uploads and downloads of 90 MB. The clients share the machine's cores with
the server, so on two cores part of the tail is theirs; the line without load shows the floor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

from benchmarks import transfers
from benchmarks.bench import Bench, log, seed
from benchmarks.client import UnexpectedStatusError
from benchmarks.report import Figure, Sample, Target
from benchmarks.servers import DatasetteServer
from benchmarks.uploads import MEDIUM, large_size, named

RATE = 20.0  # requests/s
SOURCES = ("bench", "kept")  # the first is emptied between rounds
PHASES = ("nothing else", "uploads", "downloads")

Load = Callable[[float], Future[int]]


@dataclass
class Tail:
    """Percentiles of each round, in ms."""

    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    worst: list[float] = field(default_factory=list)
    transfers: int = 0
    error: str = ""

    def add(self, seconds: list[float]) -> None:
        """Take in one round's latencies."""
        ordered = sorted(second * 1000 for second in seconds)
        self.p50.append(median(ordered))
        self.p99.append(ordered[math.ceil(len(ordered) * 0.99) - 1])
        self.worst.append(ordered[-1])

    def describe(self) -> str:
        """The medians of p50 and p99 and the greatest latency of all rounds."""
        if not self.worst:
            return ""
        beside = f" beside {self.transfers} transfers" if self.transfers else ""
        p50, p99, worst = median(self.p50), median(self.p99), max(self.worst)
        return f"p50 {p50:.1f}, p99 {p99:.1f}, max {worst:.1f} ms{beside}"


def others(bench: Bench) -> list[Figure]:
    """P7: p99 of a record's JSON, idle, beside uploads and beside downloads."""
    size = large_size(bench)
    with ExitStack() as stack:
        ours = stack.enter_context(bench.datasette(bench.ours, SOURCES))
        public = stack.enter_context(bench.datasette(bench.public, SOURCES))
        loads = {"ours": _ours_loads(bench, ours, size), "public": _public_loads(bench, public)}
        servers = {"ours": ours, "public": public}
        requests = {
            side: server.wire.get(f"/-/files/{seed(server, 1)[0]}.json")
            for side, server in servers.items()
        }
        tails = {(side, phase): Tail() for phase in PHASES for side in servers}
        for _ in range(bench.rounds):
            for (side, phase), tail in tails.items():
                if not tail.error:
                    _round(bench, servers[side], requests[side], loads[side].get(phase), tail)
                    log(f"P7 {side} beside {phase}: {tail.error or tail.describe()}")
    return [_figure(phase, size, tails) for phase in PHASES]


def _figure(phase: str, size: int, tails: dict[tuple[str, str], Tail]) -> Figure:
    ours, public = tails["ours", phase], tails["public", phase]
    beside = phase if phase == "nothing else" else f"{named(size)} {phase}"
    sides = (("ours", ours), ("public (90 MB files)", public))
    notes = [f"{side} {tail.describe()}" for side, tail in sides if tail.worst]
    return Figure(
        "P7",
        f"p99 of {{id}}.json beside {beside}",
        "ms",
        Sample(tuple(ours.p99), ours.error),
        None if phase == "nothing else" else Target(100),
        public=Sample(tuple(public.p99), public.error),
        note="; ".join(notes),
    )


def _round(
    bench: Bench, server: DatasetteServer, request: bytes, load: Load | None, tail: Tail
) -> None:
    seconds = 5.0 if bench.quick else 10.0
    try:
        busy = load(seconds) if load else None
        taken = bench.call(transfers.probe, server.address, request, RATE, seconds)
        if busy is not None:
            tail.transfers += busy.result()
        tail.add(taken)
    except (UnexpectedStatusError, ConnectionError) as error:
        tail.error = str(error)
    server.discard_files()


def _ours_loads(bench: Bench, server: DatasetteServer, size: int) -> dict[str, Load]:
    kept = server.wire.raw_put("kept", "large.bin", size)
    try:
        answer = bench.call(transfers.upload, server.address, kept, size)[1]
    except UnexpectedStatusError as error:
        return _refusing(error)
    get = server.wire.get(f"/-/files/{answer.json()['file']['id']}/download")
    envelope = server.wire.raw_put("bench", "large.bin", size)
    upload, download = transfers.upload_until, transfers.download_until
    return {
        "uploads": lambda seconds: bench.submit(upload, server.address, envelope, size, seconds),
        "downloads": lambda seconds: bench.submit(download, server.address, get, seconds),
    }


def _refusing(error: UnexpectedStatusError) -> dict[str, Load]:
    def refuse(seconds: float) -> Future[int]:
        raise error

    return {"uploads": refuse, "downloads": refuse}


def _public_loads(bench: Bench, server: DatasetteServer) -> dict[str, Load]:
    answer = bench.call(
        transfers.upload_in_three_steps, server.address, server.wire, "kept", MEDIUM
    )[1]
    get = server.wire.get(f"/-/files/{answer.json()['file']['id']}/download")
    address, wire = server.address, server.wire
    upload, download = transfers.upload_in_three_steps_until, transfers.download_until
    return {
        "uploads": lambda seconds: bench.submit(upload, address, wire, "bench", MEDIUM, seconds),
        "downloads": lambda seconds: bench.submit(download, address, get, seconds),
    }
