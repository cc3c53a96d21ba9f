"""A process that brings one internal database's schema up: ``python starter.py PATH``.

Says ``ready``, waits for a line, then prepares; so that a test can start several at one moment, or
kill one in the middle.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasette_files.db import schema


@contextmanager
def starting(database: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process, imported and waiting for ``go``; killed if it still runs at the end."""
    with subprocess.Popen(
        [sys.executable, __file__, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
        finally:
            process.kill()


def go(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    process.stdin.flush()


def _main() -> None:
    connection = sqlite3.connect(sys.argv[1], timeout=30)
    print("ready", flush=True)
    sys.stdin.readline()
    schema.prepare(connection)


if __name__ == "__main__":
    _main()
