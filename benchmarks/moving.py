"""A deployment that moves from disk to S3 and back by ``datasette files move``, measured.

One large file, then many small ones: each way the time, the peak resident set of the command, and
whether every file's bytes are those that went in, read from the disk and from the bucket past
Datasette. The S3 is that of tests/support/moto_server.py: moto's server, or what the environment
names.

    uv run python -m benchmarks.moving --large 1073741824 --files 10000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHUNK = 1024 * 1024
#: The largest of the small files, in bytes.
_SMALL = 20_000


@dataclass(frozen=True)
class Ran:
    """A command that has ended well: seconds, and its peak resident set in bytes."""

    seconds: float
    peak: int


class Site:
    """A configuration with a source on disk and one on S3, and the commands on it."""

    def __init__(self, folder: Path, s3: dict[str, Any], size: int) -> None:
        self.folder = folder
        self.internal = folder / "internal.db"
        disk = {"storage": "filesystem", "config": {"root": str(folder / "disk")}}
        limit = {"max_file_size": size}
        sources = {"disk": {**disk, **limit}, "s3": {"storage": "s3", "config": s3, **limit}}
        self._config = folder / "datasette.json"
        self._config.write_text(json.dumps({"plugins": {"datasette-files": {"sources": sources}}}))

    def run(self, *arguments: str) -> Ran:
        command = [sys.executable, "-m", "datasette", "files", *arguments]
        command += ["-c", str(self._config), "--internal", str(self.internal), "--json"]
        begun = time.perf_counter()
        with tempfile.TemporaryFile() as words:
            process = subprocess.Popen(command, stdout=words)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            words.seek(0)
            if process.returncode:
                raise RuntimeError(f"{arguments}: {process.returncode}\n{words.read().decode()}")
        return Ran(time.perf_counter() - begun, usage.ru_maxrss * 1024)

    def rows(self) -> list[tuple[str, str, str]]:
        """``(source, path, content hash)`` of every file."""
        with closing(sqlite3.connect(self.internal)) as conn:
            return conn.execute(
                """SELECT s.slug, f.path, f.content_hash FROM datasette_files f
                JOIN datasette_files_sources s ON s.id = f.source_id"""
            ).fetchall()


def digest(chunks: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return f"sha256:{found.hexdigest()}"


def read_disk(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def make(folder: Path, files: int, size: int | None) -> list[str]:
    """Files of random bytes, each of ``size`` or of up to 20,000 bytes; their hashes."""
    folder.mkdir()
    chance, hashes = random.Random(files), []
    for number in range(files):
        path = folder / f"{number:06}.bin"
        left = size if size is not None else chance.randrange(_SMALL)
        with path.open("wb") as file:
            while left > 0:
                file.write(chance.randbytes(min(left, _CHUNK)))
                left -= _CHUNK
        hashes.append(digest(read_disk(path)))
    return sorted(hashes)


def check(site: Site, store: Any, prefix: str, source: str, hashes: list[str]) -> None:
    """Raises RuntimeError unless the source has every file, its bytes and its hash."""
    found = []
    for slug, path, content_hash in site.rows():
        if slug == "disk":
            actual = digest(read_disk(site.folder / "disk" / path))
        else:
            answer = store.boto.get_object(Bucket=store.bucket, Key=prefix + path)
            actual = digest(answer["Body"].iter_chunks(_CHUNK))
        if (slug, actual) != (source, content_hash):
            raise RuntimeError(f"{path} in {slug}: {actual}, and not {content_hash} in {source}")
        found.append(actual)
    if sorted(found) != hashes:
        raise RuntimeError(f"{len(found)} files in the catalog, and not the {len(hashes)} put in")


def measure(folder: Path, files: int, size: int | None, jobs: int) -> Iterator[str]:
    """A line for each way."""
    from tests.support.moto_server import new_prefix, shared_store

    store, prefix = shared_store(), new_prefix()
    hashes = make(folder / "in", files, size)
    total = sum(path.stat().st_size for path in (folder / "in").iterdir())
    site = Site(folder, store.config(prefix, download="proxy"), max(total, 1))
    put = site.run("put", "disk", str(folder / "in"), "--recursive", "--jobs", str(jobs))
    steps = [("put", "disk", put)]
    for source, target in (("disk", "s3"), ("s3", "disk")):
        moved = site.run("move", source, target, "--all", "--grace", "0", "--jobs", str(jobs))
        check(site, store, prefix, target, hashes)
        steps.append((f"{source} to {target}", target, moved))
    for what, _, ran in steps:
        yield (
            f"{files:,} files, {total:,} bytes, {what}: {ran.seconds:.1f} s,"
            f" {files / ran.seconds:.0f} files/s, {total / ran.seconds / 1e6:.0f} MB/s,"
            f" peak {ran.peak / 1e6:.0f} MB; every sha256 right"
        )


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", type=int, default=1 << 30, help="bytes of the large file")
    parser.add_argument("--files", type=int, default=10_000, help="how many small files")
    parser.add_argument("--jobs", type=int, default=4)
    given = parser.parse_args(arguments)
    for files, size in ((1, given.large), (given.files, None)):
        if files and size != 0:
            with tempfile.TemporaryDirectory(prefix="moving-") as folder:
                for line in measure(Path(folder), files, size, given.jobs):
                    print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
