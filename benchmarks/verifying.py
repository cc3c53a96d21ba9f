"""P14: verification of data, beside `sha256sum` on the same files, and of structure.

The seconds are those of the pass, as the catalog notes them, without the start of the command. The
structure is of a storage that lists from memory, so that what is measured is the catalog's side:
comparing a listing of 1,000,000 files, and each file of the catalog with what was listed. The
memory is what such a command has at most, above that of one over an empty source.
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
from benchmarks.report import Against, Figure, Sample, Target

MIB = 1024 * 1024
DATA_FILES = 10
DATA_SIZE, DATA_SIZE_QUICK = 1024 * MIB, 64 * MIB
FILES, FILES_QUICK = 1_000_000, 50_000
MAX_MEMORY = 64 * MIB

#: A storage of so many files, which have no bytes.
_PLUGIN = """
from datasette import hookimpl
from datasette_files.base import FileMetadata, Storage, StorageCapabilities


class Listed(Storage):
    storage_type = "listed"
    capabilities = StorageCapabilities(can_list=True)

    async def configure(self, config, get_secret):
        self.count = config["count"]

    def _file(self, number):
        path = f"{number // 1000:04}/{number % 1000:03}.txt"
        return FileMetadata(path, path[5:], "text/plain", size=1, created_at="2026-01-01T00:00:00Z")

    async def get_file_metadata(self, path):
        return self._file(int(path[:4]) * 1000 + int(path[5:8]))

    async def read_file(self, path, max_bytes=None):
        return b"1"

    async def list_files(self, prefix="", cursor=None, limit=100):
        start = int(cursor or 0)
        stop = min(self.count, start + limit)
        listed = [self._file(number) for number in range(start, stop)]
        return listed, None if stop >= self.count else str(stop)


@hookimpl
def register_files_storage_types(datasette):
    return [Listed]
"""


class _Site:
    """A site in its own folder, with a source on disk and one that lists from memory."""

    def __init__(self, bench: Bench, count: int) -> None:
        self._bench = bench
        folder = bench.folder("site")
        self.root = folder / "docs"
        self.root.mkdir()
        self.internal = folder / "internal.db"
        self.internal.touch()
        self._config = folder / "datasette.json"
        self._plugins = folder / "plugins"
        self._plugins.mkdir()
        (self._plugins / "listed.py").write_text(_PLUGIN)
        sources = {
            "docs": {"storage": "filesystem", "config": {"root": str(self.root)}},
            "listed": {"storage": "listed", "config": {"count": count}},
            "empty": {"storage": "listed", "config": {"count": 0}},
        }
        self._config.write_text(json.dumps({"plugins": {"datasette-files": {"sources": sources}}}))

    def run(self, *arguments: str) -> int:
        """Run a command to its end; the most bytes that it had in memory."""
        process = subprocess.Popen(
            [
                *(str(self._bench.ours.python), "-m", "datasette", "files", *arguments),
                *("-c", str(self._config), "--internal", str(self.internal)),
                *("--plugins-dir", str(self._plugins)),
            ],
            env={**os.environ, **self._bench.ours.extra},
            stdout=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, process.args)
        return used.ru_maxrss * 1024

    def seconds(self) -> float:
        """The seconds of the last pass."""
        with closing(sqlite3.connect(self.internal)) as conn:
            row = conn.execute(
                "SELECT ended_at - started_at FROM datasette_files_passes ORDER BY id DESC LIMIT 1"
            ).fetchone()
        return float(row[0])

    def note(self, sums: str) -> None:
        """Give the catalog's files the sha256 that `sha256sum` printed."""
        with closing(sqlite3.connect(self.internal)) as conn, conn:
            for line in sums.splitlines():
                digest, _, path = line.partition("  ")
                conn.execute(
                    "UPDATE datasette_files SET content_hash = 'sha256:' || ? WHERE path = ?",
                    (digest, path),
                )


def verify(bench: Bench) -> list[Figure]:
    """P14: MB/s, files a second, and bytes."""
    site = _Site(bench, FILES_QUICK if bench.quick else FILES)
    return [*_data(bench, site), *_structure(bench, site)]


def _data(bench: Bench, site: _Site) -> list[Figure]:
    size = DATA_SIZE_QUICK if bench.quick else DATA_SIZE
    names = [f"{number}.bin" for number in range(DATA_FILES)]
    for name in names:
        _fill(site.root / name, size)
    site.run("sync", "docs")
    site.note(_sha256sum(site.root, names)[1])
    megabytes = DATA_FILES * size / 1e6

    def ours() -> float:
        site.run("verify", "docs", "--data")
        return megabytes / site.seconds()

    def limit() -> float:
        return megabytes / _sha256sum(site.root, names)[0]

    found = bench.alternate("P14 data, MB/s", {"ours": ours, "limit": limit})
    for name in names:
        (site.root / name).unlink()
    return [
        Figure(
            *("P14", f"verify {megabytes / 1000:.1f} GB of data", "MB/s", found["ours"]),
            target=Target(0.8, Against.LIMIT),
            limit=found["limit"],
        )
    ]


def _structure(bench: Bench, site: _Site) -> list[Figure]:
    count = FILES_QUICK if bench.quick else FILES
    site.run("sync", "listed")
    speeds, growths = [], []
    for turn in range(bench.rounds):
        before = site.run("verify", "empty")
        growths.append(float(site.run("verify", "listed") - before))
        speeds.append(site.seconds())
        log(f"P14 structure, round {turn + 1}: {speeds[-1]:.2f} s, {growths[-1] / MIB:.0f} MiB")
    return [
        Figure(
            *("P14", f"verify the structure of {count:,} files", "s", Sample(tuple(speeds))),
            target=Target(count / 100_000),
        ),
        Figure(
            *("P14", "memory of that, above an empty source", "MiB"),
            Sample(tuple(growth / MIB for growth in growths)),
            target=Target(MAX_MEMORY / MIB),
        ),
    ]


def _fill(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))


def _sha256sum(folder: Path, names: list[str]) -> tuple[float, str]:
    """The seconds that it takes, and what it prints."""
    begun = time.perf_counter()
    done = subprocess.run(
        ["sha256sum", *names], cwd=folder, check=True, capture_output=True, text=True
    )
    return time.perf_counter() - begun, done.stdout
