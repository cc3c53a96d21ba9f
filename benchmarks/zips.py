"""P13: a selection as a zip, beside the download of one file of as many bytes.

1 GiB in 1,000 files: MB/s, the first byte, a range at its end, memory. 100,000 files that exist as
rows only: the seconds in which they are chosen, and the first byte and the last of their zip.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from statistics import median

from benchmarks import transfers
from benchmarks.bench import Bench, log
from benchmarks.client import exchange, latencies
from benchmarks.memory import Growth
from benchmarks.report import Against, Figure, Sample, Target
from benchmarks.servers import DatasetteServer
from benchmarks.uploads import large_size, named

FILES = 1_000
PLANNED = 100_000
PLANNED_QUICK = 10_000
REPEATS = 10
_MANY = """WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?)
    INSERT INTO datasette_files (id, source_id, path, filename, content_type, size, crc32, folder)
    SELECT printf('df-%026d', n), s.id, 'many/' || n, printf('scan %d of a contract.pdf', n),
        'application/pdf', n * 37, printf('%08x', n * 2654435761 % 4294967296),
        'many/' || (n % 500)
    FROM n, datasette_files_sources s WHERE s.slug = 'bench'"""


def selections(bench: Bench) -> list[Figure]:
    """P13: MB/s, ms, MiB and seconds."""
    size = large_size(bench)
    work = f"zip, {named(size)} in {FILES:,} files"
    with bench.datasette(bench.ours) as server:
        for number in range(FILES):
            envelope = server.wire.raw_put("bench", f"{number}.bin", size // FILES)
            bench.call(transfers.upload, server.address, envelope, size // FILES)
        many = select(server, {"source": "bench"})[1]
        envelope = server.wire.raw_put("bench", "large.bin", size)
        large = bench.call(transfers.upload, server.address, envelope, size)[1].json()
        whole = {
            "ours": server.wire.get(many),
            "one file": server.wire.get(f"/-/files/{large['file']['id']}/download"),
        }
        sides: dict[str, Callable[[], float]] = {
            side: partial(bench.call, transfers.download, server.address, request)
            for side, request in whole.items()
        }
        rates = bench.alternate(work, sides)
        edges = _edges(bench, server, many, "P13")
        with Growth(server.pid) as watched:
            bench.call(transfers.download, server.address, whole["ours"])
        planned = _planned(bench, server)
    return [
        Figure(
            *("P13", work, "MB/s", rates["ours"], Target(0.7, Against.LIMIT)),
            limit=rates["one file"],
            note="the limit is the download of one file of as many bytes from the same server",
        ),
        Figure("P13", f"{work}: first byte", "ms", edges["first"], Target(1_000)),
        Figure("P13", f"{work}: range at its end", "ms", edges["last"], Target(50)),
        Figure("P13", f"{work}: growth", "MiB", Sample((watched.peak / 2**20,)), Target(32)),
        *planned,
    ]


def select(server: DatasetteServer, selection: dict[str, object]) -> tuple[float, str]:
    """The seconds of a selection, and the address of its zip."""
    request = server.wire.post_json("/-/files/-/selection", selection)
    started = time.perf_counter()
    answer = exchange(server.address, [request])[0].expect(request).json()
    url: str = answer["zip_url"]
    return time.perf_counter() - started, url


def _edges(bench: Bench, server: DatasetteServer, url: str, title: str) -> dict[str, Sample]:
    """Milliseconds for the first byte and for the last 10,000."""
    ranges = {"first": "bytes=0-0", "last": "bytes=-10000"}
    return bench.alternate(
        f"{title} edges, ms",
        {
            name: partial(_ms, bench, server, server.wire.get(url, f"Range: {wanted}"))
            for name, wanted in ranges.items()
        },
    )


def _ms(bench: Bench, server: DatasetteServer, request: bytes) -> float:
    return median(bench.call(latencies, server.address, [request], REPEATS)[0]) * 1000


def _planned(bench: Bench, server: DatasetteServer) -> list[Figure]:
    count = PLANNED_QUICK if bench.quick else PLANNED
    with closing(sqlite3.connect(server.folder / "internal.db", timeout=60)) as conn, conn:
        conn.execute(_MANY, (count,))
    seconds, url = [], ""
    with Growth(server.pid) as watched:
        for _ in range(bench.rounds):
            taken, url = select(server, {"source": "bench", "folder": "many"})
            seconds.append(taken)
    log(f"P13 {count:,} files chosen: {seconds[-1]:.2f} s, {watched.peak / 2**20:.1f} MiB")
    edges = _edges(bench, server, url, f"P13 {count:,} files")
    work = f"zip of {count:,} files"
    return [
        Figure("P13", f"{work}: chosen", "s", Sample(tuple(seconds))),
        Figure(
            "P13", f"{work}: growth while they are chosen", "MiB", Sample((watched.peak / 2**20,))
        ),
        Figure("P13", f"{work}: first byte", "ms", edges["first"], Target(1_000)),
        Figure("P13", f"{work}: range at its end", "ms", edges["last"], Target(50)),
    ]
