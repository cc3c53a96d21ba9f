"""A worker: the program that decodes uploaded files, which are not trusted, one after the other.

workers.py starts it, and kills it if it breaks a limit. The first message holds the settings; each
other message is a job, followed by its file. Each answer is followed by its images.
"""

from __future__ import annotations

import io
import subprocess
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

from PIL import Image

from ...sandbox import confinement, framing
from ..media_types import HEIF_TYPES
from . import clips, documents, pictures


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """Work until the other side closes the pipe."""
    settings = framing.read_message(source)
    if settings is None:
        return
    formats = pictures.prepare(heif=settings["heif"], max_pixels=settings["max_pixels"])
    while (job := framing.read_message(source)) is not None:
        answer, contents = _answer({**settings, **job, "formats": formats}, source)
        sink.write(framing.packed(answer))
        for content in contents:
            sink.writelines((*framing.frames(content), framing.END))
        sink.flush()
        if answer.get("ends"):
            return


def _answer(job: dict[str, Any], source: BinaryIO) -> tuple[dict[str, Any], list[bytes]]:
    """Run one job; return the answer and its images. The file is read to its end in any case."""
    started = time.monotonic()
    # The server limits the wall-clock time of the transfer.
    pieces = framing.read_pieces(source)
    confinement.allow_cpu(confinement.cpu_used() + job["seconds"])
    try:
        made = _made(job, pieces)
    except MemoryError:
        # The memory is fragmented now; the next file gets a new process.
        return {"ok": False, "reason": "takes too much memory", "ends": True}, []
    except subprocess.TimeoutExpired:
        return {"ok": False, "reason": "takes too long", "again": True}, []
    except clips.Killed as error:
        return {"ok": False, "reason": str(error), "again": True}, []
    except pictures.Absent as error:
        # The part may be installed again soon; only a new process is sure to find it.
        answer = {"ok": False, "reason": str(error)[:500], "absent": True, "ends": True}
    except (pictures.Unfit, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        answer = {"ok": False, "reason": str(error)}
    except framing.Broken:
        raise
    except Exception as error:  # noqa: BLE001 - damaged files fail in every way there is
        answer = {"ok": False, "reason": f"damaged: {type(error).__name__}: {error}"[:500]}
    else:
        answer = {
            "ok": True,
            "width": made.width,
            "height": made.height,
            "images": [
                [one.content_type, one.width, one.height, len(one.content)] for one in made.encoded
            ],
        }
        return _measured(answer, started), [one.content for one in made.encoded]
    for _ in pieces:
        pass
    return _measured(answer, started), []


def _measured(answer: dict[str, Any], started: float) -> dict[str, Any]:
    """Add the seconds and the peak memory, to help with setting a worker's limits."""
    return {
        **answer,
        "seconds": round(time.monotonic() - started, 3),
        "peak": confinement.peak_memory(),
    }


def _made(job: dict[str, Any], pieces: Iterator[bytes]) -> pictures.Picture:
    if job["kind"] == "clip":
        return clips.frame(
            pieces,
            job["content_type"],
            job["side"],
            ffmpeg=job["ffmpeg"],
            max_pixels=job["max_pixels"],
            seconds=job["seconds"],
        )
    buffer = io.BytesIO()
    for piece in pieces:
        buffer.write(piece)
    if job["kind"] == "pdf":
        return documents.first_page(buffer.getvalue(), job["side"])
    if job["content_type"] in HEIF_TYPES and pictures.HEIF not in job["formats"]:
        raise pictures.Absent("pillow-heif cannot be imported")
    buffer.seek(0)
    return pictures.picture(buffer, job["side"], job["max_pixels"], job["formats"])
