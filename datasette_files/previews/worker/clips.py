"""A frame of a video, or the cover of a sound, by the ffmpeg program. Runs only in a worker.

ffmpeg inherits the worker's limits. It gets a fixed container format, so that it reads no file as
a playlist, which could name other files; and it may open only the file that it is given.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import tempfile
from collections.abc import Iterable

from ...sandbox.confinement import end_child_with_parent
from ..media_types import DEMUXERS
from .pictures import Absent, Picture, Unfit, picture

#: Seconds of wall-clock time for ffmpeg, per second of CPU.
_PATIENCE = 2
#: Exit statuses of a program that cannot be loaded, as libraries are missing (ld.so(8), sh(1)).
_NOT_LOADED = (126, 127)
#: Frames from which ffmpeg chooses the most typical one; the first may be black.
_FRAMES = 24


class Killed(Exception):
    """A signal ended ffmpeg. The file may be the cause, or not."""


def frame(
    pieces: Iterable[bytes],
    content_type: str,
    side: int,
    *,
    ffmpeg: str,
    max_pixels: int,
    seconds: float,
) -> Picture:
    """Return one picture of the file.

    Raises Unfit if it has none, Absent if ffmpeg cannot be run, Killed if a signal ended it (a
    limit, or the system has no memory left), and subprocess.TimeoutExpired.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile())
            for piece in pieces:
                file.write(piece)
            file.flush()
        except OSError as error:
            raise Absent(f"there is no room for a temporary file: {error}") from error
        fit = f"scale='min({side},iw)':'min({side},ih)':force_original_aspect_ratio=decrease"
        if content_type.startswith("video/"):
            fit += f",thumbnail={_FRAMES}"
        command = [
            *(ffmpeg, "-v", "error", "-nostdin", "-protocol_whitelist", "file,pipe"),
            *("-threads", "1", "-max_pixels", str(max_pixels), "-f", DEMUXERS[content_type]),
            *("-i", f"/dev/fd/{file.fileno()}", "-map", "0:v:0", "-an", "-sn", "-dn"),
            *("-vf", fit, "-frames:v", "1", "-threads", "1"),
            *("-f", "image2pipe", "-c:v", "png", "pipe:1"),
        ]
        try:
            # No shell, and our own file name. Safe with preexec_fn: the other thread is in poll().
            done = subprocess.run(  # noqa: S603
                command,
                pass_fds=[file.fileno()],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds * _PATIENCE,
                check=False,
                preexec_fn=end_child_with_parent(),
            )
        except OSError as error:
            raise Absent(f"ffmpeg cannot be run: {error}") from error
    if done.returncode in _NOT_LOADED:
        raise Absent(f"ffmpeg cannot be run (exit status {done.returncode})")
    if done.returncode < 0:
        raise Killed(f"ffmpeg was ended by signal {-done.returncode}")
    if done.returncode or not done.stdout:
        raise Unfit(f"ffmpeg finds no picture in it (exit status {done.returncode})")
    # ffmpeg's picture is small; Pillow encodes it like every other.
    return Picture(picture(io.BytesIO(done.stdout), side, side * side, ["PNG"]).encoded)
