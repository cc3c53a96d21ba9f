"""The command: `uv run python -m benchmarks [--only P2,P5] [--rounds N] [--quick] [--json FILE]`.

Reads the options, prepares the interpreters, runs the families of measurements in turn and prints
the table. It exits with 1 when a family could not be run, never because a target was missed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from benchmarks import (
    downloads,
    environments,
    file_page,
    grants,
    imports,
    latency,
    lists,
    memory,
    profiling,
    s3,
    texts,
    thumbnails,
    uploads,
    verifying,
    walks,
    zips,
)
from benchmarks.bench import Bench, log
from benchmarks.environments import ROOT, SetupError
from benchmarks.report import Figure, table

FAMILIES: dict[str, Callable[[Bench], list[Figure]]] = {
    "P1": uploads.large,
    "P2": uploads.small,
    "P3": memory.growth,
    "P4": downloads.large,
    "P5": downloads.small,
    "P6": downloads.batch,
    "P7": latency.others,
    "P8": lists.million,
    "P8V": grants.single,
    "P9": imports.million,
    "P10": thumbnails.photos,
    "P11": s3.through,
    "P12": walks.index,
    "P13": zips.selections,
    "P14": verifying.verify,
    "P15": texts.documents,
    "P18": imports.live,
    "P19": file_page.many_columns,
    "PROFILE": profiling.requests,
}
#: Run only when named: they need what not every machine has, or long.
NAMED = ("P11", "P14", "P15", "PROFILE")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure our server and the public release side by side.",
    )
    parser.add_argument(
        "--only",
        help="families to run, as in P2,P5",
        default=",".join(n for n in FAMILIES if n not in NAMED),
    )
    parser.add_argument("--rounds", type=int, help="turns of every side (3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="smaller files, shorter turns")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value there")
    parser.add_argument(
        "--cache",
        type=Path,
        default=ROOT / ".dev" / "benchmarks",
        help="folder of the public release's environment and of built catalogs",
    )
    parser.add_argument(
        "--ours-python", type=Path, metavar="PATH", help="another interpreter to measure as ours"
    )
    parser.add_argument(
        "--signed-in",
        action="store_true",
        help="permissions per source for one actor with a cookie, instead of for everyone",
    )
    options = parser.parse_args(arguments)
    options.only = [name.strip().upper() for name in options.only.split(",") if name.strip()]
    unknown = [name for name in options.only if name not in FAMILIES]
    if unknown:
        parser.error(f"no such family: {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    if options.rounds is None:
        options.rounds = 1 if options.quick else 3
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


def _leave(signum: int, frame: FrameType | None) -> None:
    """Turn SIGTERM into an exit that closes every context, servers and folders included."""
    raise SystemExit(128 + signum)


def _measure(bench: Bench, names: list[str]) -> tuple[list[Figure], list[str]]:
    """Run the families; return their figures and the names of those that could not be run."""
    figures: list[Figure] = []
    failed: list[str] = []
    for name in names:
        log(f"--- {name}")
        try:
            figures += FAMILIES[name](bench)
        except SetupError as error:
            log(f"{name}: {error}")
            failed.append(name)
        except Exception:
            # The other families are still worth their figures; the command exits with 1.
            traceback.print_exc()
            failed.append(name)
    return figures, failed


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.platform()}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, _leave)
    cache = options.cache.absolute()
    cache.mkdir(parents=True, exist_ok=True)
    try:
        ours = environments.ours(cache, options.ours_python)
        public = environments.public(cache)
    except SetupError as error:
        log(str(error))
        return 1
    versions = {side.label: side.version("datasette-files") for side in (ours, public)}
    with (
        tempfile.TemporaryDirectory(prefix="run-", dir=cache) as scratch,
        ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        bench = Bench(
            *(ours, public, cache, Path(scratch)),
            *(options.rounds, options.quick, options.signed_in, pool),
        )
        figures, failed = _measure(bench, options.only)
    moment = datetime.now(timezone.utc).isoformat(timespec="seconds")
    print(f"{moment}; {_machine()}; rounds: {options.rounds}{', quick' if options.quick else ''}")
    others = f"public {versions['public']}, copyparty {environments.COPYPARTY}"
    print(f"ours {versions['ours']}, {others}\n")
    if options.json:
        record = {
            **{"moment": moment, "machine": _machine(), "versions": versions},
            **{"rounds": options.rounds, "quick": options.quick, "failed": failed},
            "figures": [figure.as_json() for figure in figures],
        }
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    print(table(figures))
    if failed:
        log(f"could not be run: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
