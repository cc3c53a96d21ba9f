"""A frame of a video, or the cover of a sound, by the ffmpeg program. Runs only in a worker.

ffmpeg inherits the worker's limits. It gets a fixed container format, so that it reads no file as
a playlist, which could name other files; and it may open only the file that it is given.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable

from PIL import Image

from ...sandbox.confinement import end_child_with_parent
from ..media_types import DEMUXERS
from .pictures import Absent, Picture, Unfit, picture

#: Seconds of wall-clock time for ffmpeg, per second of CPU.
_PATIENCE = 2
#: Exit statuses of a program that cannot be loaded, as libraries are missing (ld.so(8), sh(1)).
_NOT_LOADED = (126, 127)
#: Frames from which ffmpeg chooses the most typical one; the first may be black.
_FRAMES = 24
#: A picture is black if this share of it is darker than this, of 255. A video's black is 16.
_BLACK_SHARE, _DARK = 0.98, 32
#: Where a video begins black, a later frame is looked for: among its key frames, then among all
#: frames of its beginning. ``(options of the input, filters)``.
_LATER = ((("-skip_frame", "nokey"), ""), (("-t", "30"), f",thumbnail={_FRAMES}"))
_NOT_BLACK = (
    f",blackframe=amount=0:threshold={_DARK},metadata=mode=select"
    f":key=lavfi.blackframe.pblack:value={100 * _BLACK_SHARE:.0f}:function=less"
)


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
        # Pixels that are not square (sample aspect ratio) become so.
        factor = f"min(1,min({side}/(iw*sar),{side}/ih))"
        fit = f"scale=w='max(1,round(iw*sar*{factor}))':h='max(1,round(ih*{factor}))',setsar=1"
        run = _Ffmpeg(ffmpeg, file.fileno(), DEMUXERS[content_type], max_pixels, seconds)
        if not content_type.startswith("video/"):
            return _pictured(run(fit), side)
        first = _pictured(run(f"{fit},thumbnail={_FRAMES}"), side)
        if not _is_black(first):
            return first
        for options, choice in _LATER:
            # A video that is black throughout, or too long to search, keeps its first picture.
            with contextlib.suppress(Unfit, Killed, subprocess.TimeoutExpired):
                return _pictured(run(fit + _NOT_BLACK + choice, options), side)
        return first


class _Ffmpeg:
    """Runs of ffmpeg on one open file, in ``seconds`` of the clock together."""

    def __init__(
        self, program: str, file: int, demuxer: str, max_pixels: int, seconds: float
    ) -> None:
        self._program, self._file, self._demuxer = program, file, demuxer
        self._max_pixels = max_pixels
        self._until = time.monotonic() + seconds * _PATIENCE

    def __call__(self, filters: str, options: Iterable[str] = ()) -> bytes:
        """One frame as PNG. Raises as ``frame``."""
        os.lseek(self._file, 0, os.SEEK_SET)
        command = [
            *(self._program, "-v", "error", "-nostdin", "-protocol_whitelist", "file,pipe"),
            *("-threads", "1", "-max_pixels", str(self._max_pixels), "-f", self._demuxer),
            *options,
            *("-i", f"/dev/fd/{self._file}", "-map", "0:v:0", "-an", "-sn", "-dn"),
            *("-vf", filters, "-frames:v", "1", "-threads", "1"),
            *("-f", "image2pipe", "-c:v", "png", "pipe:1"),
        ]
        try:
            # No shell, and our own file name. Safe with preexec_fn: the other thread is in poll().
            done = subprocess.run(  # noqa: S603
                command,
                pass_fds=[self._file],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=max(0.1, self._until - time.monotonic()),
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
        return done.stdout


def _pictured(png: bytes, side: int) -> Picture:
    """Encode ffmpeg's picture like every other. The video's own size is not known."""
    return Picture(picture(io.BytesIO(png), side, side * side, ["PNG"]).encoded)


def _is_black(made: Picture) -> bool:
    with Image.open(io.BytesIO(made.encoded[0].content)) as image:
        shades = image.convert("L").histogram()
    return sum(shades[:_DARK]) >= _BLACK_SHARE * sum(shades)
