"""A frame of a video, the cover of a sound, by the ffmpeg program. Runs in a worker alone.

ffmpeg inherits the worker's limits. It is told which container to read, so that no file is taken
for a playlist that names others, and may open nothing but the one file that it is handed.
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

#: So many times its seconds of CPU, which the kernel counts, ffmpeg has by the clock.
_PATIENCE = 2
#: What the system's loader answers for a program whose libraries are gone (ld.so(8), sh(1)).
_NOT_LOADED = (126, 127)
#: Of so many frames the one that is most like the others is shown, rather than a black first one.
_FRAMES = 24


class Killed(Exception):
    """ffmpeg was ended from outside: perhaps the file's doing, perhaps not."""


def frame(
    pieces: Iterable[bytes],
    content_type: str,
    side: int,
    *,
    ffmpeg: str,
    max_pixels: int,
    seconds: float,
) -> Picture:
    """One picture of the file.

    Raises Unfit where there is none, Absent where ffmpeg cannot be run, Killed where it was ended
    by a signal (a limit, or the system's want of memory), and subprocess.TimeoutExpired.
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
            # No shell; the name is of our own making. The one other thread here waits in poll().
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
    # What ffmpeg wrote is small; Pillow encodes it as all others.
    return Picture(picture(io.BytesIO(done.stdout), side, side * side, ["PNG"]).encoded)
