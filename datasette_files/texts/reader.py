"""The server's side of the confined process that reads text out of files (worker/main.py).

One process reads several files of one source, one after the other. It is killed if it takes too
long or breaks the framing, and the next file gets a new one. What it sends is checked: a hostile
file may control it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..db.texts import MAX_ROWS, Outcome
from ..sandbox import framing, process
from .kinds import Kinds

logger = logging.getLogger("datasette_files")

#: Bytes of a file that is read, and of the address space of the process.
MAX_FILE = 256 * 1024 * 1024
_MEMORY = 1024 * 1024 * 1024
#: Seconds of CPU for a file; each page earns more (worker/pages.py). Without a message for PATIENCE
#: times as long, the process is killed.
SECONDS = 30.0
#: Seconds by the clock for a file with many pages.
_MAX_SECONDS = 3600.0
#: Seconds within which a storage must hand over the next bytes.
_STALL_SECONDS = 20.0
#: Files of one process, which bounds leaks.
_FILES = 500
#: Seconds that a process whose pipe is closed has to end.
_GRACE_SECONDS = 2.0
#: Characters of a row.
_MOST_CHARACTERS = 16_000
_UNSTORABLE = re.compile("[\x00\ud800-\udfff\x01\x02]")

#: Takes the next ``(page, text)``; False where nobody wants more.
Take = Callable[[list[tuple[int, str]]], Awaitable[bool]]


class Gone(Exception):
    """The file was deleted or moved meanwhile."""


class NotNow(Exception):
    """The file could not be read, and it is not to blame. Try again later."""


@dataclass
class _Got:
    """The rows of a file so far, and its last page."""

    rows: int = 0
    last: int = 0

    def until(self, reason: str) -> Outcome:
        """The outcome where no more comes: what is there stays."""
        return Outcome("done" if self.rows else "failed", reason, pages=self.last)


class Reader:
    """A confined process, started when there is a file to read."""

    def __init__(self, kinds: Kinds, max_bytes: int) -> None:
        self._kinds = kinds
        self._max_bytes = max_bytes
        self._child: process.Child | None = None
        self._files = 0

    @property
    def pid(self) -> int | None:
        """The id of the running process, if there is one."""
        return self._child.pid if self._child else None

    async def read(self, kind: str, content: AsyncIterator[bytes], take: Take) -> Outcome:
        """Read a file; hand its pages to ``take``. Raises Gone, NotNow, and errors of ``content``.

        The outcome lacks the extractor.
        """
        child = await self._ready()
        self._files += 1
        got = _Got()
        try:
            child.send({"kind": kind})
            await child.feed(_prompt(content))
            child.end_file()
            outcome = await self._received(child, take, got)
        except process.NO_ANSWER as error:
            outcome = got.until(await _reason(child, error))
            await self.close()
        except asyncio.TimeoutError:
            outcome = got.until("It takes too long to read")
            await self.close()
        except BaseException:
            await self.close()  # amid a message
            raise
        if self._files >= _FILES:
            await self.close()
        return outcome

    async def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is not None:
            await child.close()

    async def _ready(self) -> process.Child:
        if self._child is not None and self._child.alive:
            return self._child
        await self.close()
        limits = process.Limits(_MEMORY, MAX_FILE + 1, SECONDS, _FILES)
        run = await asyncio.to_thread(_programs, self._kinds.tesseract)
        try:
            child = await process.Child.start("texts.worker.main", limits, run=run, read=_DATA)
        except (OSError, *process.NO_ANSWER) as error:
            raise NotNow(f"no process can be started: {error}") from error
        child.send(
            {
                "seconds": SECONDS,
                "max_bytes": self._max_bytes,
                "tesseract": self._kinds.tesseract,
                "languages": list(self._kinds.languages),
            }
        )
        self._child, self._files = child, 0
        return child

    async def _received(self, child: process.Child, take: Take, got: _Got) -> Outcome:
        """Receive the pages of the file that was handed over, and what became of it."""
        until, left = time.monotonic() + _MAX_SECONDS, self._max_bytes
        while True:
            patience = min(SECONDS * process.PATIENCE, until - time.monotonic())
            message = await asyncio.wait_for(child.receive(), max(patience, 0))
            if "pages" not in message:
                break
            pages = _checked(message["pages"], got.last)
            left -= sum(len(text.encode()) for _, text in pages)
            got.rows += len(pages)
            got.last = pages[-1][0] if pages else got.last
            if left < 0 or got.rows > MAX_ROWS:
                raise framing.Broken("more text than is taken")
            if not await take(pages):
                raise Gone
        if message.get("ends"):
            await self.close()
        if message.get("again"):
            raise NotNow(str(message.get("problem")))
        if "problem" in message:
            return Outcome("failed", storable(str(message["problem"])))
        lacks = message.get("lacks")
        lacks = storable(lacks) if isinstance(lacks, str) else None
        count = message.get("done")
        count = count if isinstance(count, int) and 0 <= count < 1 << 31 else got.last
        if not got.rows:
            return Outcome("none", lacks or "It holds no text", pages=count)
        return Outcome("done", lacks, pages=count)


def _checked(pages: Any, last: int) -> list[tuple[int, str]]:
    """The pages of a message. Raises Broken for anything else."""
    found: list[tuple[int, str]] = []
    for one in pages if isinstance(pages, list) else [None]:
        match one:
            case [int() as page, str() as text] if (
                last <= page < 1 << 31 and len(text) <= _MOST_CHARACTERS
            ):
                found.append((page, _UNSTORABLE.sub("", text)))
                last = page
            case _:
                raise framing.Broken("a message holds no pages")
    return found


def storable(reason: str) -> str:
    """A reason as it is stored: one line without what SQLite cannot store."""
    return " ".join(_UNSTORABLE.sub("", reason).split())[:500]


async def _prompt(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces. Raises NotNow if the storage is too slow."""
    while True:
        try:
            yield await asyncio.wait_for(anext(content), _STALL_SECONDS)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise NotNow("the storage takes too long to hand it over") from None


async def _reason(child: process.Child, error: BaseException) -> str:
    if isinstance(error, framing.Broken):
        return "Its reader sent an invalid answer"
    try:
        code = await asyncio.wait_for(child.ended_by(), _GRACE_SECONDS)
    except asyncio.TimeoutError:
        return "Its reader does not answer"
    if code == -signal.SIGXCPU:
        return "It takes too long to read"
    return f"Its reader ended ({code}): it is damaged, or takes too much memory"


#: Where tesseract keeps its languages.
_DATA = ("/usr/share/tesseract-ocr", "/usr/share/tessdata", "/usr/local/share/tessdata")


def _programs(tesseract: str) -> list[str]:
    return [str(Path(tesseract).resolve())] if tesseract else []
