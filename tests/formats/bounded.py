"""Reads files as an import does, and ends when one takes more of the processor than it may.

``python -m tests.formats.bounded FOLDER SECONDS``: of each file the preview, then all rows. Prints
the name of each file that is read.
"""

from __future__ import annotations

import resource
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from datasette_files.formats.base import ImportProblem
from tests.support.imports import engine


def read(path: Path) -> None:
    for work in (engine.preview, engine.read):
        with tempfile.TemporaryDirectory() as folder, suppress(ImportProblem):
            work(path, Path(folder))


def limit_processor(seconds: int) -> None:
    """Let this process be ended by the system once it has used so many more seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))


if __name__ == "__main__":
    for path in sorted(Path(sys.argv[1]).iterdir()):
        limit_processor(int(sys.argv[2]))
        read(path)
        print(path.name, flush=True)
