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

#: Pieces, each a header or a file, whose permission is asked at once, and their bytes.
_ASKED, _ASKED_BYTES = 128, 64 * 1024 * 1024

Files = Mapping[str, tuple[FileRecord, Source]]
#: Finds files by id. Raises PermissionDenied, NotFound or Expired unless all may be read.
Ask = Callable[[list[str]], Awaitable[Files]]


class Batch:
    """Runs of pieces, to be taken off ``left``, and their files."""

    def __init__(self, left: Iterable[Run], ask: Ask) -> None:
        self.left = deque(left)
        #: By their ids, those of what was left when they were asked for.
        self.files: Files = {}
        #: When that was (``time.monotonic``).
        self.asked_at = 0.0
        self._ask = ask

    async def ask(self) -> None:
        """Ask for the files of what is left. Raises as ``Ask``."""
        keys = [one.member.key for run in self.left for one in data_in(run)]
        self.files = await self._ask(keys) if keys else {}
        self.asked_at = time.monotonic()


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
    """The pieces in lists of at most ``_ASKED`` and ``_ASKED_BYTES``, or of one."""
    batch: list[bytes | Data] = []
    size = 0
    async for piece in pieces:
        more = length(piece)
        if batch and (len(batch) == _ASKED or size + more > _ASKED_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += more
    yield batch
