"""What the import's process and the server say to each other, seen from the process.

Standard input is a JSON line that says what to do, then the file in frames: four bytes of length,
and so many bytes; a frame of none ends the file. The file may be asked for again. Standard output
is one JSON object to a line.
"""

from __future__ import annotations

import io
import json
import time
from typing import Any, BinaryIO

#: Seconds between two reports.
_REPORT = 0.2


class ServerGone(Exception):
    """Standard input ended in the middle: nobody waits for this any more."""


class Frames(io.RawIOBase):
    """The file, out of its frames; ``passed`` counts the bytes of this pass."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._left = 0
        self._ended = False
        self.passed = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill it: the beginning tells what a file is, however small a storage's pieces are."""
        view, count = memoryview(buffer), 0
        while count < len(view) and (got := self._some(view[count:])):
            count += got
        return count

    def _some(self, buffer: memoryview) -> int:
        if self._ended:
            return 0
        if not self._left:
            self._left = int.from_bytes(self._exactly(4), "big")
            if not self._left:
                self._ended = True
                return 0
        view = buffer[: self._left]
        count = self._pipe.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise ServerGone
        self._left -= count
        self.passed += count
        return int(count)

    def _exactly(self, size: int) -> bytes:
        content = self._pipe.read(size)
        if len(content) < size:
            raise ServerGone
        return content

    def drain(self) -> None:
        """Read to the end of this pass."""
        buffer = bytearray(256 * 1024)
        while self.readinto(buffer):
            pass

    def close(self) -> None:
        """Nothing: what read the first pass closes it, and there may be a second."""

    def begin_again(self) -> None:
        self._ended = False
        self.passed = 0


class Reports:
    """What the server is told."""

    def __init__(self, pipe: BinaryIO, frames: Frames) -> None:
        self._pipe = pipe
        self._frames = frames
        self._due = 0.0

    def send(self, **message: Any) -> None:
        # A problem may quote what is no text.
        line = json.dumps(message, ensure_ascii=False).encode("utf-8", "replace")
        self._pipe.write(line + b"\n")
        self._pipe.flush()

    def progress(self, rows: int) -> None:
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _REPORT
            self.send(bytes=self._frames.passed, rows=rows)
