"""The server's side of the preview workers: a few long-lived processes that decode files.

A worker is started when there is work and ended after a time without work. A worker that takes too
long, dies or violates the framing is killed, and the next job gets a new one. While a file is being
read, it occupies a process but no turn to decode. While its storage has not begun to answer, it
occupies neither. Leaves out which file is next, and where its bytes come from (thumbnails.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, NonNegativeInt, ValidationError

from ..sandbox import framing, process

#: Seconds after which a worker without work is ended.
IDLE_SECONDS = 60.0
#: Seconds within which a storage must hand over a whole file.
TRANSFER_SECONDS = 60.0
#: Seconds within which it must hand over the next bytes.
STALL_SECONDS = 10.0
#: Bytes that are read before a worker is taken. Most storages that hang do so before that.
_HEAD_START = 1024 * 1024
#: A worker is replaced after this many jobs, which bounds leaks.
_JOBS = 1000


class Refused(Exception):
    """The file cannot be drawn, and another attempt under the same rules would fail too."""


class Lost(Exception):
    """The worker took too long or died. Another attempt may succeed."""


class Blameless(Lost):
    """No answer, and the file is not the reason.

    No worker starts, a part of the installation is missing, or the storage is too slow.
    """


@dataclass(frozen=True)
class Limits(process.Limits):
    """The resources of a worker. ``max_pixels``: the most pixels of one image."""

    tasks: int = _JOBS
    max_pixels: int = 60_000_000


@dataclass(frozen=True)
class Job:
    """One picture to make: at most ``side`` by ``side`` pixels."""

    kind: str
    content_type: str
    side: int


@dataclass(frozen=True)
class Made:
    """One encoded image. Width and height in pixels."""

    content_type: str
    width: int
    height: int
    content: bytes


@dataclass(frozen=True)
class Answer:
    """The same picture in one or several formats. The first is one that every client accepts."""

    images: tuple[Made, ...]
    #: The file's own size in pixels, upright; None if it has no size.
    width: int | None
    height: int | None
    #: Seconds that the worker took, and its peak memory in bytes.
    seconds: float
    peak: int


_Count = Annotated[int, Field(ge=0, le=framing.MAX_MESSAGE)]
_Encoded = tuple[Literal["image/jpeg", "image/png", "image/webp"], _Count, _Count, _Count]


class _Expected(BaseModel):
    """The header of an answer. A hostile file may control the worker, so it is validated."""

    #: Content type, width and height in pixels, bytes.
    images: Annotated[list[_Encoded], Field(min_length=1, max_length=2)]
    width: NonNegativeInt | None
    height: NonNegativeInt | None
    seconds: float
    peak: int


async def _prompt(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces. Raises Blameless if the storage is too slow."""
    left = TRANSFER_SECONDS
    while True:
        asked = time.monotonic()
        try:
            piece = await asyncio.wait_for(anext(pieces), min(left, STALL_SECONDS))
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise Blameless("the storage takes too long to hand it over") from None
        left -= time.monotonic() - asked
        yield piece


async def _begun(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, after the first _HEAD_START bytes have been read."""
    read: list[bytes] = []
    size = 0
    while size < _HEAD_START:
        try:
            read.append(await anext(pieces))
        except StopAsyncIteration:
            break
        size += len(read[-1])

    async def replayed() -> AsyncIterator[bytes]:
        for piece in read:
            yield piece
        async for piece in pieces:
            yield piece

    return replayed()


class Workers:
    """A pool: ``count`` workers decode at a time, and ``count`` more read their next files."""

    def __init__(self, count: int, limits: Limits, *, heif: bool, ffmpeg: str) -> None:
        self._limits = limits
        self._settings: dict[str, Any] = {}
        self._count = count
        self._turns = asyncio.Semaphore(count)
        self._room = asyncio.Semaphore(2 * count)
        self._idle: list[_Worker] = []
        self._busy: set[_Worker] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self.use(heif=heif, ffmpeg=ffmpeg)

    def use(self, *, heif: bool, ffmpeg: str) -> None:
        """Set the parts for new workers. Workers with other parts end after their file."""
        self._settings = {**asdict(self._limits), "heif": heif, "ffmpeg": ffmpeg}

    @property
    def pids(self) -> list[int]:
        """The ids of the running processes."""
        return [worker.pid for worker in (*self._idle, *self._busy)]

    async def run(self, job: Job, pieces: AsyncIterator[bytes]) -> Answer:
        """Draw a file. Raises Refused, Lost, and what ``pieces`` raises."""
        begun = await _begun(_prompt(pieces))
        async with self._room:
            worker = self._taken() or await _Worker.start(self._limits, self._settings)
            self._busy.add(worker)
            try:
                await worker.take(job, begun)
                async with self._turns:
                    answer = await worker.answer(self._limits.seconds * process.PATIENCE)
            except Refused:
                self._give_back(worker)
                raise
            except BaseException:
                # It is amid a message or beyond its limits, and of no further use.
                self._busy.discard(worker)
                await worker.kill()
                raise
            self._give_back(worker)
            return answer

    async def close(self) -> None:
        """End every process. Waiting callers get Lost."""
        workers = [*self._idle, *self._busy]
        self._idle.clear()
        await asyncio.gather(*(worker.kill() for worker in workers), *self._ending)

    def _end(self, worker: _Worker) -> None:
        """End a worker without waiting; ``close`` waits for it."""
        if (task := worker.end()) is not None:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _taken(self) -> _Worker | None:
        """An idle worker that still lives, or None."""
        while self._idle:
            worker = self._idle.pop()
            worker.rests(None)
            if worker.usable and worker.settings is self._settings:
                return worker
            self._end(worker)
        return None

    def _give_back(self, worker: _Worker) -> None:
        self._busy.discard(worker)
        if not worker.usable or len(self._idle) >= self._count:
            self._end(worker)
            return
        self._idle.append(worker)

        def idle() -> None:
            if worker in self._idle:
                self._idle.remove(worker)
                self._end(worker)

        worker.rests(asyncio.get_running_loop().call_later(IDLE_SECONDS, idle))


class _Worker:
    """One worker process."""

    def __init__(self, child: process.Child, settings: dict[str, Any]) -> None:
        self._child = child
        self.settings = settings
        self._loop = asyncio.get_running_loop()
        self._jobs = 0
        self._ends = False
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, limits: Limits, settings: dict[str, Any]) -> _Worker:
        """Start a process. Raises Blameless if that fails."""
        run = await asyncio.to_thread(programs, settings["ffmpeg"])
        starting = process.Child.start("previews.worker.main", limits, run=run)
        try:
            child = await asyncio.wait_for(starting, TRANSFER_SECONDS)
        except OSError as error:
            raise Blameless(f"no worker can be started: {error}") from error
        except (*process.NO_ANSWER, asyncio.TimeoutError) as error:
            raise Blameless(
                "its worker ended at its start: check that thumbnail_process_memory_limit_bytes "
                "is large enough and that Pillow can be imported"
            ) from error
        child.send(settings)
        return cls(child, settings)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def usable(self) -> bool:
        """Tell whether the worker can take another job."""
        return not self._ends and self._jobs < _JOBS and self._child.alive

    async def take(self, job: Job, pieces: AsyncIterator[bytes]) -> None:
        """Hand over a file without its end. Decoding starts when ``answer`` sends the end.

        After Lost, or an error of ``pieces``, the worker must be killed.
        """
        self._jobs += 1
        try:
            self._child.send(asdict(job))
            await asyncio.wait_for(self._child.feed(pieces), TRANSFER_SECONDS)
        except asyncio.TimeoutError:
            raise Blameless("the storage takes too long to hand it over") from None
        except process.NO_ANSWER as error:
            raise Lost(f"its worker died: {type(error).__name__}") from error

    async def answer(self, seconds: float) -> Answer:
        """The pictures of the file that was handed over. Raises Refused, or Lost.

        After Lost the worker must be killed. ``seconds`` are by the clock; the kernel limits those
        of CPU (``confinement``).
        """
        try:
            self._child.end_file()
            return await asyncio.wait_for(self._answer(), seconds)
        except asyncio.TimeoutError:
            raise Lost("it takes too long") from None
        except process.NO_ANSWER as error:
            raise Lost(f"its worker died: {type(error).__name__}") from error

    async def _answer(self) -> Answer:
        answer = await self._child.receive()
        self._ends = bool(answer.get("ends"))
        if answer.get("absent"):
            raise Blameless(str(answer.get("reason")))
        if answer.get("again"):
            raise Lost(str(answer.get("reason")))
        if not answer.get("ok"):
            raise Refused(str(answer.get("reason")))
        try:
            expected = _Expected.model_validate(answer)
        except ValidationError as error:
            raise framing.Broken("an answer has the wrong fields") from error
        if sum(size for *_, size in expected.images) > framing.MAX_MESSAGE:
            raise framing.Broken("an answer is too large")
        images = []
        for content_type, width, height, size in expected.images:
            content = await self._child.receive_bytes(size)
            images.append(Made(content_type, width, height, content))
        return Answer(
            tuple(images), expected.width, expected.height, expected.seconds, expected.peak
        )

    def rests(self, timer: asyncio.TimerHandle | None) -> None:
        """Set or clear the timer that ends the worker when it has been idle."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer

    def end(self) -> asyncio.Task[None] | None:
        """Kill the worker without waiting. Returns the task that waits, if its loop still runs."""
        if self._loop is asyncio.get_running_loop():
            return asyncio.create_task(self.kill())
        self._child.kill()
        return None

    async def kill(self) -> None:
        """Kill the worker and all that it started, and close the pipes."""
        self.rests(None)
        self._ends = True
        await self._child.close()


def programs(ffmpeg: str) -> list[str]:
    """Paths that a worker must execute for ffmpeg; a script needs the common programs too."""
    if not ffmpeg:
        return []
    program = Path(ffmpeg).resolve()
    try:
        with program.open("rb") as file:
            script = file.read(2) == b"#!"
    except OSError:
        return []  # missing: the worker reports it
    common = ["/bin", "/usr/bin", "/usr/local/bin"] if script else []
    return [str(program), str(program.parent.parent / "lib"), *common]
