"""Messages between the import's child and the server, on the child's side.

After the task the server sends the file, and sends it again if the child asks; the child sends
messages. All are framed as in sandbox/framing.py.
"""

from __future__ import annotations

import io
import time
from typing import IO, Any, BinaryIO, cast

from ...formats.packed import Limited
from ...sandbox import confinement, framing

#: Seconds between two reports.
_REPORT = 0.2
_PIECE = 256 * 1024


class Frames(io.RawIOBase):
    """The file as a stream, without its frames; ``passed`` counts the bytes of this pass."""

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._left = 0
        self._ended = False
        self.passed = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the whole buffer, as detection needs a long head even if the frames are small."""
        view, count = memoryview(buffer), 0
        while count < len(view) and (got := self._some(view[count:])):
            count += got
        return count

    def _some(self, buffer: memoryview) -> int:
        if self._ended:
            return 0
        if not self._left:
            self._left = framing.length_of(self._pipe.read(framing.LENGTH.size))
            if not self._left:
                self._ended = True
                return 0
        view = buffer[: self._left]
        count = self._pipe.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise framing.Broken("the stream ended within a file")
        self._left -= count
        self.passed += count
        return int(count)

    def drain(self) -> None:
        """Read to the end of this pass."""
        buffer = bytearray(256 * 1024)
        while self.readinto(buffer):
            pass

    def close(self) -> None:
        """Do nothing: the reader of the first pass closes the stream, but a second may follow."""

    def begin_again(self) -> bool:
        """Expect the file once more; return whether the server must send it again."""
        self._ended = False
        self.passed = 0
        return True


class Kept(Frames):
    """The file as a stream from a copy in the child's folder, so that it is sent only once."""

    def __init__(self, frames: Frames, copy: BinaryIO, limit: int) -> None:
        """Copy the file. Raises ImportProblem for more than ``limit`` bytes."""
        super().__init__(copy)
        limited = Limited(cast("IO[bytes]", frames), limit)
        while piece := limited.read(_PIECE):
            copy.write(piece)
        copy.flush()
        copy.seek(0)

    def _some(self, buffer: memoryview) -> int:
        count = self._pipe.readinto(buffer)  # type: ignore[attr-defined]
        self.passed += count
        return int(count)

    def begin_again(self) -> bool:
        self._pipe.seek(0)
        self.passed = 0
        return False


class Reports:
    """Messages to the server. Also raises the CPU limit, as more of the file is read.

    The limit is ``seconds``, plus one second for each ``rate`` bytes of content.
    """

    def __init__(self, pipe: BinaryIO, frames: Frames, seconds: float, rate: float) -> None:
        self._pipe = pipe
        self._frames = frames
        self._seconds, self._rate = seconds, rate
        self._due = 0.0
        self._rows = self._content = 0
        #: Rows of earlier tables; and the most bytes of content that earn CPU.
        self.earlier, self.earning = 0, float("inf")

    def send(self, **message: Any) -> None:
        self._pipe.write(framing.packed(message))
        self._pipe.flush()

    def progress(self, rows: int, content: int) -> None:
        """Report the number of rows; ``content`` counts the bytes read in all passes."""
        self._rows, self._content = rows, max(self._content, content)
        self.tell()

    def tell(self) -> None:
        """Report again, so that the server knows that the child works."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + _REPORT
            confinement.allow_cpu(self._seconds + min(self._content, self.earning) / self._rate)
            self.send(bytes=self._frames.passed, rows=self.earlier + self._rows)
