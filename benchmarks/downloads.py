"""P4, one large download beside nginx; P5 and P6, many small answers beside the public release."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from statistics import median

from benchmarks import environments, transfers
from benchmarks.bench import SMALL, Bench, seed
from benchmarks.client import UnexpectedStatusError, exchange, latencies
from benchmarks.environments import Interpreter, SetupError
from benchmarks.load import Fetch, throughput
from benchmarks.messages import Wire
from benchmarks.report import NOT_MEASURED, Against, Figure, Sample, Target
from benchmarks.servers import DatasetteServer, Server, nginx_server
from benchmarks.uploads import large_size, named

CONNECTIONS = 8
RANGE_SIZE = 1_000_000
FASTER = {"h11": 1.5, "httptools": 2.5}


def large(bench: Bench) -> list[Figure]:
    """P4: MB/s of one file from our server and from nginx, and ms for a range at its end."""
    size = large_size(bench)
    work = f"download {named(size)}"
    with ExitStack() as stack:
        ours = stack.enter_context(bench.datasette(bench.ours))
        envelope = ours.wire.raw_put("bench", "large.bin", size)
        try:
            answer = bench.call(transfers.upload, ours.address, envelope, size)[1]
        except UnexpectedStatusError as error:
            return _refused(work, str(error))
        record_url = f"/-/files/{answer.json()['file']['id']}"
        record = exchange(ours.address, [ours.wire.get(f"{record_url}.json")])[0].json()
        request = ours.wire.get(f"{record_url}/download")
        sides: dict[str, Callable[[], float]] = {
            "ours": partial(bench.call, transfers.download, ours.address, request)
        }
        unavailable = ""
        try:
            nginx = nginx_server(bench.folder("nginx"), ours.roots["bench"])
            stack.enter_context(nginx)
            plain = Wire().get(f"/{record['path']}")
            sides["nginx"] = partial(bench.call, transfers.download, nginx.address, plain)
        except SetupError as error:
            unavailable = str(error)
        copyparty = stack.enter_context(bench.peer())
        bench.call(transfers.upload, copyparty.address, Wire().put("/large.bin", size), size)
        fetched = Wire().get("/large.bin")
        sides["copyparty"] = partial(bench.call, transfers.download, copyparty.address, fetched)
        samples = bench.alternate(f"P4 {named(size)}", sides)
        end = ours.wire.get(
            f"{record_url}/download", f"Range: bytes={size - RANGE_SIZE}-{size - 1}"
        )
        ranges = bench.alternate("P4 range, ms", {"ours": partial(_range_ms, bench, ours, end)})
    nginx_sample = samples.get("nginx", Sample(error=unavailable))
    return [
        Figure(
            *("P4", work, "MB/s", samples["ours"], Target(0.95, Against.LIMIT)),
            limit=nginx_sample,
            copyparty=samples["copyparty"],
        ),
        Figure("P4", "range of 1 MB at its end", "ms", ranges["ours"], Target(10)),
    ]


def _refused(work: str, reason: str) -> list[Figure]:
    sample = Sample(error=reason)
    return [
        Figure("P4", work, "MB/s", sample, Target(0.95, Against.LIMIT)),
        Figure("P4", "range of 1 MB at its end", "ms", sample, Target(10)),
    ]


def _range_ms(bench: Bench, server: DatasetteServer, request: bytes) -> float:
    return median(bench.call(latencies, server.address, [request], 20)[0]) * 1000


def _sides(bench: Bench) -> dict[str, Interpreter]:
    return {
        "public": bench.public,
        "h11": bench.ours,
        "httptools": environments.with_httptools(bench.ours, bench.cache),
    }


def _rates(
    bench: Bench,
    title: str,
    servers: Mapping[str, Server],
    requests: Mapping[str, tuple[bytes, ...]],
) -> dict[str, Sample]:
    seconds = 2.0 if bench.quick else 4.0
    return bench.alternate(
        title,
        {
            side: partial(
                bench.call,
                throughput,
                server.address,
                Fetch(requests[side]),
                CONNECTIONS,
                seconds,
            )
            for side, server in servers.items()
        },
    )


def small(bench: Bench) -> list[Figure]:
    """P5: downloads of 10 KB and records per second, with h11 and with httptools."""
    figures: list[Figure] = []
    note = ""
    if bench.ours.version("httptools"):
        note = "httptools is installed beside ours, so the h11 line was measured with it too"
    with ExitStack() as stack:
        servers = {
            side: stack.enter_context(bench.datasette(interpreter))
            for side, interpreter in _sides(bench).items()
        }
        ids = {side: seed(server, 100) for side, server in servers.items()}
        yardsticks = {
            f"yardstick {parser}": stack.enter_context(bench.yardstick(_sides(bench)[parser]))
            for parser in FASTER
        }
        copyparty = stack.enter_context(bench.peer())
        names = [f"/note-{number:06d}.bin" for number in range(100)]
        for name in names:
            bench.call(transfers.upload, copyparty.address, Wire().put(name, SMALL), SMALL)
        for work, suffix in (("download 10 KB", "/download"), ("/-/files/{id}.json", ".json")):
            requests = {
                side: tuple(server.wire.get(f"/-/files/{one}{suffix}") for one in ids[side])
                for side, server in servers.items()
            }
            others: dict[str, Server] = {**servers, **yardsticks}
            requests |= dict.fromkeys(yardsticks, (Wire().get("/-/yardstick"),))
            if suffix == "/download":
                others["copyparty"] = copyparty
                requests["copyparty"] = tuple(Wire().get(name) for name in names)
            samples = _rates(bench, f"P5 {work}", others, requests)
            figures += [
                Figure(
                    "P5",
                    f"{work}, {parser}",
                    "requests/s",
                    samples[parser],
                    Target(bound, Against.PUBLIC),
                    public=samples["public"],
                    copyparty=samples.get("copyparty", NOT_MEASURED),
                    datasette=samples[f"yardstick {parser}"],
                    note=note if parser == "h11" else "",
                )
                for parser, bound in FASTER.items()
            ]
    return figures


def batch(bench: Bench) -> list[Figure]:
    """P6: `batch.json` with 100 ids, requests per second."""
    with ExitStack() as stack:
        servers = {
            side: stack.enter_context(bench.datasette(interpreter))
            for side, interpreter in (("public", bench.public), ("ours", bench.ours))
        }
        requests = {
            side: (_batch_request(server, seed(server, 100)),) for side, server in servers.items()
        }
        yardstick = stack.enter_context(bench.yardstick(bench.ours))
        requests["yardstick"] = (Wire().get("/-/yardstick"),)
        samples = _rates(bench, "P6 batch.json", {**servers, "yardstick": yardstick}, requests)
    return [
        Figure(
            *("P6", "batch.json with 100 ids", "requests/s"),
            *(samples["ours"], Target(4.0, Against.PUBLIC)),
            public=samples["public"],
            datasette=samples["yardstick"],
        )
    ]


def _batch_request(server: DatasetteServer, ids: list[str]) -> bytes:
    return server.wire.get("/-/files/batch.json?" + "&".join(f"id={one}" for one in ids))
