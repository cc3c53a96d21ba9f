"""Whose code small requests run: a profile of the server under load, and what the access log costs.

py-spy looks 200 times a second at every thread that works. A sample counts for the innermost of
`OWNERS` on its stack, so the standard library and SQLite count for who called them. `PROFILE` of
`python -m benchmarks`; it must be allowed to look into another process (ptrace(2)), as root is.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from dataclasses import replace
from functools import partial

from benchmarks import environments
from benchmarks.bench import SMALL, Bench, seed
from benchmarks.downloads import CONNECTIONS
from benchmarks.environments import Interpreter, SetupError
from benchmarks.load import Fetch, OneShot, Script, throughput
from benchmarks.report import Figure, Sample
from benchmarks.servers import DatasetteServer

#: Seconds before the profile begins, and those of the profile.
_WARM = 1.0
_SECONDS = 10
#: The beginning of a file's path, as py-spy shortens it, and whose code that is.
OWNERS = {
    "datasette_files/": "this plugin",
    "datasette/": "Datasette",
    "logging/": "the access log",
    "uvicorn/": "uvicorn and h11",
    "h11/": "uvicorn and h11",
}
_OTHERS = "the event loop and threads"
#: The innermost frames of threads that wait for work, which py-spy takes for working at times.
_WAITING = (
    "select (",
    "_worker (concurrent/",
    "wait (threading.py",
    "_work (datasette_files/filesys",
)

#: Run when a server's Python starts: uvicorn's log of each request has no handler then.
_NO_ACCESS_LOG = """
from uvicorn.config import LOGGING_CONFIG
LOGGING_CONFIG["loggers"]["uvicorn.access"] = {"handlers": [], "level": "INFO", "propagate": False}
"""


def requests(bench: Bench) -> list[Figure]:
    """PROFILE: shares of processor time by owner, and rates with and without the access log."""
    quiet = _without_access_log(bench)
    figures: list[Figure] = []
    with bench.datasette(bench.ours) as ours, bench.datasette(quiet) as silent:
        for name, script in _work(ours).items():
            shares = _profile(bench, ours, script)
            figures += [
                Figure("PROFILE", f"{name}: {owner}", "%", Sample((share,)))
                for owner, share in sorted(shares.items(), key=lambda item: -item[1])
            ]
        works = {"with": _work(ours), "without": _work(silent)}
        servers = {"with": ours, "without": silent}
        for name in works["with"]:
            rates = bench.alternate(
                f"PROFILE {name}, the access log",
                {
                    way: partial(_rate, bench, servers[way], works[way][name], 4.0)
                    for way in servers
                },
            )
            figures += [
                Figure("PROFILE", f"{name}, {way} the access log", "requests/s", sample)
                for way, sample in rates.items()
            ]
    return figures


def _work(server: DatasetteServer) -> dict[str, Script]:
    ids = seed(server, 100)
    return {
        "a file's JSON": Fetch(tuple(server.wire.get(f"/-/files/{one}.json") for one in ids)),
        "download of 10 KB": Fetch(
            tuple(server.wire.get(f"/-/files/{one}/download") for one in ids)
        ),
        "upload of 10 KB in one request": OneShot(server.wire, "bench", os.urandom(SMALL)),
    }


def _rate(bench: Bench, server: DatasetteServer, script: Script, seconds: float) -> float:
    return bench.call(throughput, server.address, script, CONNECTIONS, seconds)


def _profile(bench: Bench, server: DatasetteServer, script: Script) -> dict[str, float]:
    """The share of each owner in percent. Raises SetupError where py-spy may not look."""
    load = bench.submit(
        throughput, server.address, script, CONNECTIONS, _WARM + float(_SECONDS) + _WARM
    )
    time.sleep(_WARM)
    out = bench.folder("profile") / "stacks.txt"
    done = subprocess.run(
        [
            *(str(environments.py_spy(bench.cache)), "record", "--format", "raw"),
            *("--rate", "200", "--duration", str(_SECONDS), "--output", str(out)),
            *("--pid", str(server.pid)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    load.result()
    if done.returncode:
        raise SetupError(f"py-spy: {done.stderr.strip()}")
    return shares(out.read_text())


def shares(stacks: str) -> dict[str, float]:
    """Percent by owner, of py-spy's raw lines: frames from the outermost, and how many samples."""
    counts: Counter[str] = Counter()
    for line in stacks.splitlines():
        frames, _, samples = line.rpartition(" ")
        stack = frames.split(";")
        if not any(waiting in stack[-1] for waiting in _WAITING):
            counts[_owner(stack)] += int(samples)
    total = counts.total()
    return {owner: 100 * count / total for owner, count in counts.items()}


def _owner(frames: list[str]) -> str:
    for frame in reversed(frames):
        path = frame.rpartition(" (")[2]
        for beginning, owner in OWNERS.items():
            if path.startswith(beginning):
                return owner
    return _OTHERS


def _without_access_log(bench: Bench) -> Interpreter:
    folder = bench.folder("quiet")
    (folder / "sitecustomize.py").write_text(_NO_ACCESS_LOG)
    return replace(bench.ours, extra={**bench.ours.extra, "PYTHONPATH": str(folder)})
