"""The program of an import's child: reads a file, fills a scratch database in its folder.

imports/process.py starts it, already confined. The first message is the task; pipe.py defines the
others. It does not load Datasette, and knows neither the configuration nor a secret.
"""

from __future__ import annotations

import sqlite3
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from ...formats.base import ImportProblem
from ...sandbox import framing
from .filling import Filling
from .opening import Opening, listed
from .pipe import Frames, Reports
from .reading import Reading, preview


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """Run the task in the first message; send the outcome, or the problem of the file."""
    task = framing.read_message(source)
    if task is None:
        return
    frames = Frames(source)
    reports = Reports(sink, frames, task["seconds"], task["rate"])
    try:
        reports.send(done=_outcome({**task, "folder": str(Path.cwd())}, frames, reports))
    except ImportProblem as problem:
        reports.send(problem=str(problem))
    except MemoryError:
        reports.send(problem="The file takes more memory than an import has; split it")
    except sqlite3.OperationalError as error:
        reports.send(problem=_folder_problem(str(error)))
    except OSError as error:
        reports.send(problem=_folder_problem(error.strerror or str(error)))
    except Exception as error:  # noqa: BLE001 - reported to the server, which logs it
        reports.send(
            problem=f"The import failed ({type(error).__name__}); see the server's log",
            trace=traceback.format_exc()[-8000:],
        )


def _outcome(task: dict[str, Any], frames: Frames, reports: Reports) -> dict[str, Any]:
    if task["work"] == "open":
        return Opening(task, frames, reports).run()
    if task["work"] == "list":
        return listed(task, frames, reports)
    reading = Reading(task, frames, reports)
    return preview(reading) if task["work"] == "preview" else Filling(reading).run()


def _folder_problem(reason: str) -> str:
    return (
        f"The server's disk for temporary files cannot be used ({reason}); ask the administrator"
        " for room there, then start the import again"
    )
