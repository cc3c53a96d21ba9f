"""The import's own process: reads a file from standard input, fills a scratch database.

Started by process.py, which sees what is written to standard output: one JSON object to a line
(pipe.py). Loads nothing of Datasette, knows no configuration and no secret. Ends when the server
does: then standard input ends, or standard output cannot be written to.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
import traceback

from ...formats.base import ImportProblem
from .filling import Filling
from .pipe import Frames, Reports, ServerGone
from .reading import Reading, preview

#: Address space: what a hostile file can make this process take.
_MEMORY = 1024 * 1024 * 1024


def main() -> int:
    """Do what standard input says. 0 where the outcome was told, a problem of the file included."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    pipe = sys.stdin.buffer
    task = json.loads(pipe.readline())
    frames = Frames(pipe)
    reports = Reports(sys.stdout.buffer, frames)
    # Where SQLite sorts what does not fit into memory.
    os.environ["SQLITE_TMPDIR"] = task["folder"]
    try:
        reading = Reading(task, frames, reports)
        outcome = preview(reading) if task["work"] == "preview" else Filling(reading).run()
        reports.send(done=outcome)
    except ImportProblem as problem:
        reports.send(problem=str(problem))
    except (ServerGone, BrokenPipeError):
        return 3
    except MemoryError:
        reports.send(problem="The file takes more memory than an import has; split it")
    except sqlite3.OperationalError as error:
        reports.send(problem=_folder_problem(str(error)))
    except OSError as error:
        reports.send(problem=_folder_problem(error.strerror or str(error)))
    except Exception as error:  # noqa: BLE001 - told, and in the log
        traceback.print_exc()
        reports.send(problem=f"The import failed ({type(error).__name__}); see the server's log")
    return 0


def _folder_problem(reason: str) -> str:
    return (
        f"The server's disk for temporary files cannot be used ({reason}); ask the administrator"
        " for room there, then start the import again"
    )
