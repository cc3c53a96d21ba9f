"""P12: a directory of 100,000 files becomes an index, and a second walk finds no change.

The seconds are those of the walk itself, as the catalog notes them, without the start of the
command. The limit is a plain listing of the same directory with the size and time of each file.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from benchmarks.bench import Bench, log
from benchmarks.report import Figure, Sample, Target

FOLDERS = 100
EACH = 1_000
EACH_QUICK = 100


def index(bench: Bench) -> list[Figure]:
    """P12: seconds."""
    each = EACH_QUICK if bench.quick else EACH
    number = FOLDERS * each
    root = bench.folder("tree") / "docs"
    for folder in range(FOLDERS):
        (root / f"{folder:02}").mkdir(parents=True)
        for file in range(each):
            (root / f"{folder:02}" / f"scan {file:04}.txt").write_text(f"{folder} {file}")
    first: list[float] = []
    second: list[float] = []
    listing: list[float] = []
    for turn in range(bench.rounds):
        site = bench.folder("site")
        walks = [_walk(bench, site, root) for _ in range(2)]
        first.append(walks[0])
        second.append(walks[1])
        listing.append(_listed(root))
        log(f"index {number:,} files, round {turn + 1}: {first[-1]:.2f} s, {second[-1]:.2f} s")
    limit = Sample(tuple(listing))
    return [
        Figure(
            *("P12", f"index a directory of {number:,} files", "s", Sample(tuple(first))),
            target=Target(number / 20_000),
            limit=limit,
        ),
        Figure(
            *("P12", "a second walk without changes", "s", Sample(tuple(second))),
            target=Target(number / 50_000),
            limit=limit,
        ),
    ]


def _walk(bench: Bench, site: Path, root: Path) -> float:
    """The seconds of one walk by the command."""
    internal = site / "internal.db"
    internal.touch()
    config = site / "datasette.json"
    sources = {"docs": {"storage": "filesystem", "config": {"root": str(root)}}}
    config.write_text(json.dumps({"plugins": {"datasette-files": {"sources": sources}}}))
    subprocess.run(
        [
            *(str(bench.ours.python), "-m", "datasette", "files", "sync", "docs", "--json"),
            *("-c", str(config), "--internal", str(internal)),
        ],
        env={**os.environ, **bench.ours.extra},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with closing(sqlite3.connect(internal)) as conn:
        row = conn.execute(
            "SELECT ended_at - started_at FROM datasette_files_walks ORDER BY id DESC LIMIT 1"
        ).fetchone()
    return float(row[0])


def _listed(root: Path) -> float:
    begun = time.perf_counter()
    for folder, _, names in os.walk(root):
        for name in names:
            os.stat(f"{folder}/{name}")
    return time.perf_counter() - begun
