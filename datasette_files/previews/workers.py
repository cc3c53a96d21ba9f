"""The server's side of the workers: a few long-lived processes that decode what nobody trusts.

A worker is started when there is work, kept while there is more, and ended when it has been idle
for a while. One that takes too long, dies or stops making sense is killed, and the next job gets
another. A file that is on its way holds a process, but nobody's turn to decode; one whose storage
has not begun to hand it over holds neither. Leaves out which file is next, and where its bytes come
from (thumbnails.py).
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
#: Seconds for which a storage may take to hand over a file, in all.
TRANSFER_SECONDS = 60.0
#: Seconds for which it may hand over nothing meanwhile.
STALL_SECONDS = 10.0
#: Bytes, read before a worker is taken: most of what hangs has said nothing until then.
_HEAD_START = 1024 * 1024
#: A worker that has done so many jobs makes room for a fresh one: what leaks, leaks no further.
_JOBS = 1000


class Refused(Exception):
    """The worker looked at the file, and it cannot be pictured: nor tomorrow, by the same rules."""


class Lost(Exception):
    """No answer: the worker took too long or died. Another attempt may do better."""


class Blameless(Lost):
    """No answer, and the file is not the reason.

    No worker starts, a part of the installation is gone, or the storage is too slow.
    """


@dataclass(frozen=True)
class Limits(process.Limits):
    """What a worker may use; ``max_pixels`` of one image."""

    tasks: int = _JOBS
    max_pixels: int = 60_000_000


@dataclass(frozen=True)
class Job:
    """What to make of a file: a picture of at most ``side`` by ``side`` pixels."""

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
    """The same picture in one or several formats, the one that every client takes first."""

    images: tuple[Made, ...]
    #: The file's own size in pixels, upright; None where it has none.
    width: int | None
    height: int | None
    #: How long the worker took, and the most memory that it ever had, in bytes.
    seconds: float
    peak: int


_Count = Annotated[int, Field(ge=0, le=framing.MAX_MESSAGE)]
_Encoded = tuple[Literal["image/jpeg", "image/png", "image/webp"], _Count, _Count, _Count]


class _Expected(BaseModel):
    """The header of an answer: what decodes hostile bytes may be under their command."""

    #: Content type, width and height in pixels, bytes.
    images: Annotated[list[_Encoded], Field(min_length=1, max_length=2)]
    width: NonNegativeInt | None
    height: NonNegativeInt | None
    seconds: float
    peak: int


async def _prompt(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, for as long as they keep coming. Raises Blameless."""
    left = TRANSFER_SECONDS
    while True:
        asked = time.monotonic()
        try:
            piece = await asyncio.wait_for(anext(pieces), min(left, STALL_SECONDS))
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise Blameless("to read it takes too long") from None
        left -= time.monotonic() - asked
        yield piece


async def _begun(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same, once the first of them have been read, or all."""
    read: list[bytes] = []
    size = 0
    while size < _HEAD_START:
        try:
            read.append(await anext(pieces))
        except StopAsyncIteration:
            break
        size += len(read[-1])

    async def all_of_them() -> AsyncIterator[bytes]:
        for piece in read:
            yield piece
        async for piece in pieces:
            yield piece

    return all_of_them()


class Workers:
    """At most ``count`` decode at a time, and as many more receive what is next."""

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
        """From now on these parts: whoever was started with others ends after its file."""
        self._settings = {**asdict(self._limits), "heif": heif, "ffmpeg": ffmpeg}

    @property
    def pids(self) -> list[int]:
        """The processes that there are now."""
        return [worker.pid for worker in (*self._idle, *self._busy)]

    async def run(self, job: Job, pieces: AsyncIterator[bytes]) -> Answer:
        """Have a file pictured. Raises Refused, Lost, and what ``pieces`` raises."""
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
                # Amid a message, or beyond its limits: it understands nothing more.
                self._busy.discard(worker)
                await worker.kill()
                raise
            self._give_back(worker)
            return answer

    async def close(self) -> None:
        """End every process. Who waits for an answer gets Lost."""
        workers = [*self._idle, *self._busy]
        self._idle.clear()
        await asyncio.gather(*(worker.kill() for worker in workers), *self._ending)

    def _end(self, worker: _Worker) -> None:
        """For who cannot wait; ``close`` does."""
        if (task := worker.end()) is not None:
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _taken(self) -> _Worker | None:
        """An idle worker that still lives: any may have died since."""
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
    """One process."""

    def __init__(self, child: process.Child, settings: dict[str, Any]) -> None:
        self._child = child
        self.settings = settings
        self._loop = asyncio.get_running_loop()
        self._jobs = 0
        self._ends = False
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls, limits: Limits, settings: dict[str, Any]) -> _Worker:
        """A new process. Raises Blameless where the system has none to give, or it fails."""
        run = await asyncio.to_thread(_programs, settings["ffmpeg"])
        starting = process.Child.start("previews.worker.main", limits, run=run)
        try:
            child = await asyncio.wait_for(starting, TRANSFER_SECONDS)
        except OSError as error:
            raise Blameless(f"no worker can be started: {error}") from error
        except (*process.NO_ANSWER, asyncio.TimeoutError) as error:
            raise Blameless(
                "its worker ended as it started: see whether thumbnail_process_memory_limit_bytes "
                "is enough, and whether Pillow can be imported"
            ) from error
        child.send(settings)
        return cls(child, settings)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def usable(self) -> bool:
        """Whether it may be given another job."""
        return not self._ends and self._jobs < _JOBS and self._child.alive

    async def take(self, job: Job, pieces: AsyncIterator[bytes]) -> None:
        """Hand over all of a file but its end, without which nothing is decoded.

        Raises Lost and what ``pieces`` raises, after which it must be killed.
        """
        self._jobs += 1
        try:
            self._child.send(asdict(job))
            await asyncio.wait_for(self._child.feed(pieces), TRANSFER_SECONDS)
        except asyncio.TimeoutError:
            raise Blameless("to read it takes too long") from None
        except process.NO_ANSWER as error:
            raise Lost(f"its worker died: {type(error).__name__}") from error

    async def answer(self, seconds: float) -> Answer:
        """What comes of the file that it has. Raises Refused; or Lost: it must be killed.

        ``seconds`` are by the clock; those of CPU are counted by the kernel (``confinement``).
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
            raise framing.Broken("an answer is not what it should be") from error
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
        """Take note of, or forget, what will end it when it has had no work for a while."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = timer

    def end(self) -> asyncio.Task[None] | None:
        """As ``kill``, for who cannot wait; the task that does, where there is a loop for it."""
        if self._loop is asyncio.get_running_loop():
            return asyncio.create_task(self.kill())
        self._child.kill()
        return None

    async def kill(self) -> None:
        """End it and what it started, whatever they are doing, and let go of the pipes."""
        self.rests(None)
        self._ends = True
        await self._child.close()


def _programs(ffmpeg: str) -> list[str]:
    """What a worker executes for ffmpeg, with its libraries; for a script all common programs."""
    if not ffmpeg:
        return []
    program = Path(ffmpeg).resolve()
    try:
        with program.open("rb") as file:
            script = file.read(2) == b"#!"
    except OSError:
        return []  # gone: the worker tells
    common = ["/bin", "/usr/bin", "/usr/local/bin"] if script else []
    return [str(program), str(program.parent.parent / "lib"), *common]
