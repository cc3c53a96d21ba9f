"""P1, large uploads to disk, and P2, small ones, each with the limit beside it."""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import transfers
from benchmarks.bench import SMALL, Bench
from benchmarks.client import Address
from benchmarks.load import OneShot, Post, Put, Script, ThreeSteps, throughput
from benchmarks.messages import Envelope, Wire
from benchmarks.report import NOT_MEASURED, Against, Figure, Target
from benchmarks.servers import DatasetteServer, Server, limit_server

MEDIUM = 90_000_000  # bytes; the public release refuses more than 100 MB
LARGE = 1 << 30
LARGE_QUICK = 1 << 28


def large_size(bench: Bench) -> int:
    """Bytes of the large file of P1, P4 and P7."""
    return LARGE_QUICK if bench.quick else LARGE


def named(size: int) -> str:
    """A size for a table line: `1 GiB`, `512 MiB`."""
    return f"{size >> 30} GiB" if size >= 1 << 30 else f"{size >> 20} MiB"


def large(bench: Bench) -> list[Figure]:
    """P1: MB/s of uploads to disk."""
    size = large_size(bench)
    with ExitStack() as stack:
        ours = stack.enter_context(bench.datasette(bench.ours))
        public = stack.enter_context(bench.datasette(bench.public))
        limit = stack.enter_context(limit_server("durable", bench.folder("durable")))
        copyparty = stack.enter_context(bench.peer())
        bench.call(_three_steps_rate, ours.address, ours.wire, SMALL)
        bench.call(_three_steps_rate, public.address, public.wire, SMALL)
        medium = bench.alternate(
            "P1 90 MB",
            {
                side: partial(_medium_turn, bench, server)
                for side, server in (("public", public), ("ours", ours))
            },
        )
        raw = ours.wire.raw_put("bench", "large.bin", size)
        form = ours.wire.multipart("/-/files/upload/bench", {}, "large.bin", size)
        whole = bench.alternate(
            f"P1 {named(size)}",
            {
                "limit": partial(_large_turn, bench, limit, raw, size),
                "raw": partial(_large_turn, bench, ours, raw, size),
                "multipart": partial(_large_turn, bench, ours, form, size),
                "copyparty": partial(
                    _large_turn, bench, copyparty, Wire().put("/large.bin", size), size
                ),
            },
        )
    bound = Target(0.8, Against.LIMIT)
    return [
        Figure(
            "P1",
            "upload 90 MB, three steps",
            "MB/s",
            medium["ours"],
            Target(2.0, Against.PUBLIC),
            public=medium["public"],
        ),
        Figure(
            *("P1", f"upload {named(size)}, raw PUT", "MB/s"),
            *(whole["raw"], bound),
            limit=whole["limit"],
            copyparty=whole["copyparty"],
        ),
        Figure(
            *("P1", f"upload {named(size)}, multipart", "MB/s"),
            *(whole["multipart"], bound),
            limit=whole["limit"],
        ),
    ]


def _three_steps_rate(address: Address, wire: Wire, size: int) -> float:
    return transfers.upload_in_three_steps(address, wire, "bench", size)[0]


def _upload_rate(address: Address, envelope: Envelope, size: int) -> float:
    return transfers.upload(address, envelope, size)[0]


def _medium_turn(bench: Bench, server: DatasetteServer) -> float:
    rate = bench.call(_three_steps_rate, server.address, server.wire, MEDIUM)
    server.discard_files()
    return rate


def _large_turn(bench: Bench, server: Server, envelope: Envelope, size: int) -> float:
    rate = bench.call(_upload_rate, server.address, envelope, size)
    if isinstance(server, DatasetteServer):
        server.discard_files()
    else:
        _empty(server.folder / "files")
    return rate


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_file():  # copyparty keeps a folder of its own beside the files
            path.unlink()


def small(bench: Bench) -> list[Figure]:
    """P2: files of 10 KB per second over 8 and 32 connections."""
    seconds = 2.0 if bench.quick else 5.0
    content = os.urandom(SMALL)
    figures: list[Figure] = []
    with ExitStack() as stack:
        ours = stack.enter_context(bench.datasette(bench.ours))
        public = stack.enter_context(bench.datasette(bench.public))
        nothing = stack.enter_context(limit_server("nothing", bench.folder("nothing")))
        copyparty = stack.enter_context(bench.peer())
        yardstick = stack.enter_context(bench.yardstick(bench.ours))
        steps = ThreeSteps(ours.wire, "bench", content)
        once = OneShot(ours.wire, "bench", content)
        work: dict[str, tuple[Server, Script]] = {
            "public three steps": (public, steps),
            "ours three steps": (ours, steps),
            "ours one-shot": (ours, once),
            "nothing three steps": (nothing, steps),
            "nothing one-shot": (nothing, once),
            "copyparty one-shot": (copyparty, Put(content)),
            "yardstick": (yardstick, Post("/-/yardstick", content)),
        }
        for connections, bounds in ((32, (2.0, 4.5)), (8, (1.3, 2.5))):
            samples = bench.alternate(
                f"P2 {connections} clients",
                {
                    name: partial(
                        bench.call, throughput, server.address, script, connections, seconds
                    )
                    for name, (server, script) in work.items()
                },
            )
            for bound, way in zip(bounds, ("three steps", "one-shot"), strict=True):
                figures.append(
                    Figure(
                        "P2",
                        f"upload 10 KB, {connections} clients, {way}",
                        "files/s",
                        samples[f"ours {way}"],
                        Target(bound, Against.PUBLIC),
                        public=samples["public three steps"],
                        limit=samples[f"nothing {way}"],
                        copyparty=samples.get(f"copyparty {way}", NOT_MEASURED),
                        datasette=samples["yardstick"],
                    )
                )
    return figures
