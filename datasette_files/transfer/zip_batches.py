"""The pieces of a zip in batches, each once all files in it may be read.

The next batch can be prepared while the present one is sent. Leaves out the reading (zipping.py).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping

from ..models import FileRecord
from ..protocol.zipfile64 import Data
from ..sources.sources import Source
from .zip_runs import Run, data_in, length, runs

#: Pieces, each a header or a file, whose permission is asked at once, and their bytes. The first
#: batch is smaller, so that the first byte does not wait for the rows of many files.
_FIRST, _ASKED, _ASKED_BYTES = 128, 512, 256 * 1024 * 1024
#: Pieces that are made in one turn of the event loop, which sends files meanwhile: a millisecond.
_TURN = 64
#: Bytes of headers and texts in one batch, which are in memory.
_HELD_BYTES = 8 * 1024 * 1024
#: Files that are asked for again, where one answer did not last for a batch: a slow client takes
#: one file in that time.
_ASKED_AGAIN = 64

Files = Mapping[str, tuple[FileRecord, Source]]
#: Finds files by id. Raises PermissionDenied, NotFound or Expired unless all may be read.
Ask = Callable[[list[str]], Awaitable[Files]]


class Batch:
    """Runs of pieces, to be taken off ``left``, and their files."""

    def __init__(self, left: Iterable[Run], ask: Ask) -> None:
        self.left = deque(left)
        #: By their ids, those that the last answer allows; when it came (``time.monotonic``).
        self.files: Files = {}
        self.asked_at = 0.0
        self._ask = ask
        #: The number of runs, at the end of ``left``, that were not asked for.
        self._unasked = len(self.left)

    async def ask(self) -> None:
        """Ask for the files of what is left, or for the first of them. Raises as ``Ask``."""
        most = _ASKED_AGAIN if self.asked_at else _ASKED
        keys: list[str] = []
        self._unasked = len(self.left)
        for run in self.left:
            if len(keys) >= most:
                break
            keys += [one.member.key for one in data_in(run)]
            self._unasked -= 1
        self.files = await self._ask(keys) if keys else {}
        self.asked_at = time.monotonic()

    def is_allowed(self, seconds: float) -> bool:
        """Tell whether an answer that is not older allows to read the first run."""
        return len(self.left) > self._unasked and time.monotonic() - self.asked_at <= seconds


class Batches:
    """The batches of ``pieces``, of which the next one may be prepared ahead."""

    def __init__(self, pieces: AsyncIterator[bytes | Data], ask: Ask) -> None:
        self._lists = _lists(pieces)
        self._ask = ask
        self._ahead: asyncio.Task[Batch | None] | None = None

    async def next(self) -> Batch | None:
        """The next batch, whose files may be read; None at the end. Raises as ``Ask``."""
        ahead, self._ahead = self._ahead, None
        return await (ahead or self._prepare())

    def begin_next(self) -> None:
        """Begin to prepare the next batch. Its errors are those of ``next``."""
        if self._ahead is None:
            self._ahead = asyncio.create_task(self._prepare())

    async def close(self) -> None:
        """End what was begun."""
        if self._ahead is not None:
            self._ahead.cancel()
            await asyncio.gather(self._ahead, return_exceptions=True)
            self._ahead = None
        await self._lists.aclose()

    async def _prepare(self) -> Batch | None:
        pieces = await anext(self._lists, None)
        if pieces is None:
            return None
        batch = Batch(runs(pieces), self._ask)
        await batch.ask()
        return batch


async def _lists(pieces: AsyncIterator[bytes | Data]) -> AsyncGenerator[list[bytes | Data], None]:
    """The pieces in lists that are as large as the constants allow, or of one."""
    batch: list[bytes | Data] = []
    most, size, held = _FIRST, 0, 0
    async for piece in pieces:
        more = length(piece)
        is_full = len(batch) >= most or size + more > _ASKED_BYTES or held > _HELD_BYTES
        if batch and is_full:
            yield batch
            batch, most, size, held = [], _ASKED, 0, 0
        batch.append(piece)
        if len(batch) % _TURN == 0:
            await asyncio.sleep(0)
        size += more
        held += len(piece) if isinstance(piece, bytes) else 0
    yield batch
