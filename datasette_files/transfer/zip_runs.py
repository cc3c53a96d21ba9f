"""The pieces of a zip in the lists in which they are read, and large local files for the kernel.

Leaves out permissions and the reading itself (zipping.py).
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..protocol.zipfile64 import Data
from .downloads import LocalRange

#: Bytes of a file up to which it is read in one piece, beside others.
SMALL = 256 * 1024
#: Bytes of small files that are read at once.
_RUN_BYTES = 1024 * 1024
#: Runs that are left when a ``LocalRun`` tells that it comes to its end.
_NEAR_END = 64


@dataclass(frozen=True, slots=True)
class Large:
    """A piece of a large file, and the bytes of the archive before it, which are its header."""

    before: bytes
    data: Data


#: Pieces that are read at once, or a large one.
Run = list[bytes | Data] | Large


def length(piece: bytes | Data) -> int:
    """Bytes of a piece."""
    return piece.end - piece.start if isinstance(piece, Data) else len(piece)


def data_in(run: Run) -> list[Data]:
    """The pieces of a run that are bytes of files."""
    return [run.data] if isinstance(run, Large) else [one for one in run if isinstance(one, Data)]


def runs(batch: Iterable[bytes | Data]) -> Iterator[Run]:
    """The pieces in runs, in their order."""
    run: list[bytes | Data] = []
    size = 0
    for piece in batch:
        more = length(piece)
        if isinstance(piece, Data) and more > SMALL:
            before = b"".join(_last_bytes(run))
            if run:
                yield run
            yield Large(before, piece)
            run, size = [], 0
            continue
        if run and size + more > _RUN_BYTES:
            yield run
            run, size = [], 0
        run.append(piece)
        size += more
    if run:
        yield run


def _last_bytes(run: list[bytes | Data]) -> list[bytes]:
    """Take the bytes away that are at the end of a run."""
    taken: list[bytes] = []
    while run and isinstance(run[-1], bytes):
        taken.insert(0, run[-1])
        run.pop()
    return taken


class LocalRun(Iterator[LocalRange]):
    """The large files at the head of ``left`` that can be opened without waiting.

    ``opened`` is a descriptor of the first one. Each is opened, by ``open_cached``, once the one
    before it is sent, and taken off ``left`` then. ``until`` is the moment (``time.monotonic``)
    after which no further one is begun. ``tell_end`` is called when few are left.
    """

    def __init__(
        self,
        left: deque[Run],
        opened: int,
        until: float,
        open_cached: Callable[[Large], int | None],
        tell_end: Callable[[], None],
    ) -> None:
        self._left = left
        self._opened: int | None = opened
        self._until = until
        self._open_cached = open_cached
        self._tell_end = tell_end
        #: The piece that was begun last, and where it is.
        self._begun: tuple[Data, LocalRange] | None = None

    def __next__(self) -> LocalRange:
        first = self._left[0] if self._left else None
        if not isinstance(first, Large):
            raise StopIteration
        descriptor, self._opened = self._opened, None
        if descriptor is None:
            if time.monotonic() > self._until:
                raise StopIteration
            descriptor = self._open_cached(first)
        if descriptor is None:
            raise StopIteration
        self.close()
        if len(self._left) <= _NEAR_END:
            self._tell_end()
        start, end = first.data.start, first.data.end
        begun = LocalRange(descriptor, start, end, is_whole=False, before=first.before)
        self._begun = first.data, begun
        self._left.popleft()
        return begun

    def rest(self) -> Large | None:
        """What is not sent of the file that was begun last; None if that is nothing.

        All of the first file if none was begun, so that somebody else sends it.
        """
        if self._begun is None:
            first = self._left.popleft()
            return first if isinstance(first, Large) else None
        data, begun = self._begun
        if not begun.before and begun.position == begun.end:
            return None
        return Large(begun.before, Data(data.member, begun.position, begun.end))

    def close(self) -> None:
        """Close what is open."""
        if self._begun is not None:
            self._begun[1].close()
            self._begun = None
        if self._opened is not None:
            os.close(self._opened)
            self._opened = None
