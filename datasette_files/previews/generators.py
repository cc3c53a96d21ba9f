"""Plugins' thumbnail generators: asked in order, each for a limited time, in a loop of its own.

A generator takes bytes and gives bytes back: the hook promises it no event loop in particular, and
the obvious way to write one draws right in its coroutine. So each runs in one thread, with an event
loop that it keeps, where it may block without holding up the server. One that says
``on_server_loop`` runs in the server's. Knows nothing of files, caches or workers.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Generic, TypeGuard, TypeVar

from ..base import ThumbnailGenerator, ThumbnailResult
from ..errors import FilesError
from ..sandbox.framing import MAX_MESSAGE

logger = logging.getLogger("datasette_files")

_T = TypeVar("_T")
#: A loop, and what ends it.
_Ready = tuple[asyncio.AbstractEventLoop, asyncio.Event]

#: What a generator may hand back. Served in a sandbox, where an SVG can run no script.
_TYPES = tuple(f"image/{name}" for name in ("png", "jpeg", "webp", "gif", "avif", "svg+xml"))
#: Seconds that one has to end once it is told to.
_GRACE_SECONDS = 1.0


class Busy(Exception):
    """The generator is still at another file: nothing is known of this one."""


class Generators:
    """All of them, in order. ``count`` calls run at a time, each for at most ``seconds``."""

    def __init__(self, generators: list[ThumbnailGenerator], count: int, seconds: float) -> None:
        self._asked = [_Generator(one, seconds) for one in generators]
        self._turns = asyncio.Semaphore(count)

    async def first(
        self,
        content_type: str,
        filename: str,
        side: int,
        content: Callable[[], Awaitable[bytes]],
    ) -> tuple[tuple[str, ThumbnailResult] | None, str]:
        """The name of the first that makes a thumbnail, and what it made; or None.

        And what is to be known of those before it: ``failed``; ``busy`` where one was not asked;
        or nothing. ``content`` is called once, if one of them wants the file's bytes. Raises
        FilesError, and what ``content`` raises.
        """
        trouble, raw = "", None
        for one in self._asked:
            try:
                if not await self._turn(one, lambda g: g.can_generate(content_type, filename)):
                    continue
                if raw is None:
                    raw = await content()
                arguments = raw, content_type, filename, side, side
                result = await self._turn(one, partial(_generate, arguments))
            except FilesError:
                raise
            except Busy as error:
                logger.warning("Thumbnail generator %r was not asked: %s", one.name, error)
                trouble = "busy"
                continue
            except Exception:
                logger.exception("Thumbnail generator %r failed", one.name)
                trouble = trouble or "failed"
                continue
            if _is_shown(result):
                return (one.name, result), trouble
            if result is not None:
                made = getattr(result, "content_type", type(result).__name__)
                logger.error("Thumbnail generator %r made %s: not shown", one.name, made)
        return None, trouble

    async def _turn(self, one: _Generator, step: Callable[[Any], Awaitable[_T]]) -> _T:
        async with self._turns:
            return await one.run(step)

    async def close(self) -> None:
        """End their loops. One that blocks is left behind, and ends with the process."""
        await asyncio.gather(*(one.close() for one in self._asked))


def _is_shown(result: object) -> TypeGuard[ThumbnailResult]:
    """Whether a generator handed back what it should."""
    return (
        isinstance(result, ThumbnailResult)
        and result.content_type in _TYPES
        and isinstance(result.thumb_bytes, bytes)
        and len(result.thumb_bytes) <= MAX_MESSAGE
        and all(isinstance(n, int | None) for n in (result.width, result.height))
    )


def _generate(arguments: tuple[Any, ...], generator: ThumbnailGenerator) -> Awaitable[object]:
    return generator.generate(*arguments)


class _Generator:
    """One of them, and the thread in which it runs once it is first asked."""

    def __init__(self, generator: ThumbnailGenerator, seconds: float) -> None:
        self._generator = generator
        self._seconds = seconds
        self.name = str(getattr(generator, "name", type(generator).__name__))
        self._thread: threading.Thread | None = None
        self._ready: concurrent.futures.Future[_Ready] = concurrent.futures.Future()
        #: Calls that have had their time, and have not ended all the same.
        self._overdue = 0

    async def run(self, step: Callable[[Any], Awaitable[_T]]) -> _T:
        """What the step returns or raises. Raises Busy, TimeoutError."""
        if getattr(self._generator, "on_server_loop", False):
            return await asyncio.wait_for(step(self._generator), self._seconds)
        if self._overdue:
            raise Busy("it blocks, and has not ended what it was asked before")
        loop, _ = await asyncio.shield(asyncio.wrap_future(self._started()))
        call = _Call(loop, lambda: step(self._generator))
        try:
            if not await call.begins(self._seconds):
                raise Busy("it is at another file for longer than its time")
            if not await call.ends(self._seconds):
                raise asyncio.TimeoutError(f"it takes longer than {self._seconds:g} s")
            return call.answer.result()
        finally:
            call.cancel()
            await self._see_off(call)

    async def _see_off(self, call: _Call[Any]) -> None:
        """One that does not end when it is told to is given nothing more to do until it does."""
        if call.begun.done() and not await call.ends(_GRACE_SECONDS):
            self._overdue += 1
            call.answer.add_done_callback(self._over)

    def _over(self, _: object) -> None:
        self._overdue -= 1

    def _started(self) -> concurrent.futures.Future[_Ready]:
        """Its loop, begun at the first call, and again should it have died."""
        if self._thread is None or not self._thread.is_alive():
            ready: concurrent.futures.Future[_Ready] = concurrent.futures.Future()
            self._ready = ready

            async def live() -> None:
                stop = asyncio.Event()
                ready.set_result((asyncio.get_running_loop(), stop))
                await stop.wait()

            self._thread = threading.Thread(
                target=lambda: asyncio.run(live()),
                name=f"thumbnails by {self.name}",
                daemon=True,  # one that blocks for ever does not keep the server from its end
            )
            self._thread.start()
        return self._ready

    async def close(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            return
        loop, stop = await asyncio.wrap_future(self._ready)
        loop.call_soon_threadsafe(stop.set)
        await asyncio.to_thread(self._thread.join, _GRACE_SECONDS)


class _Call(Generic[_T]):
    """One step of a generator, in a loop that is not this one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, step: Callable[[], Awaitable[_T]]) -> None:
        self._loop = loop
        self._step = step
        self._task: asyncio.Task[_T] | None = None
        self._given_up = False
        begun: concurrent.futures.Future[None] = concurrent.futures.Future()
        answer: concurrent.futures.Future[_T] = concurrent.futures.Future()
        self._told_begun, self._told_answer = begun, answer
        #: The same on this side.
        self.begun, self.answer = asyncio.wrap_future(begun), asyncio.wrap_future(answer)
        # Of a call whose time is over, nobody asks what came of it.
        self.answer.add_done_callback(lambda known: known.cancelled() or known.exception())
        loop.call_soon_threadsafe(self._begin)

    async def begins(self, seconds: float) -> bool:
        """Whether its loop has come to it by then."""
        return bool((await asyncio.wait([self.begun], timeout=seconds))[0])

    async def ends(self, seconds: float) -> bool:
        """Whether it is over by then."""
        return bool((await asyncio.wait([self.answer], timeout=seconds))[0])

    def cancel(self) -> None:
        """Have it end, if it has not: at once, or where it next awaits."""
        self._given_up = True
        if not self.answer.done():
            # Without a loop there is nothing to end.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end)

    # In the other thread:

    def _begin(self) -> None:
        if not self._given_up:
            self._told_begun.set_result(None)
            self._task = self._loop.create_task(self._whole())
            self._task.add_done_callback(self._tell)

    async def _whole(self) -> _T:
        try:
            return await self._step()
        except (SystemExit, KeyboardInterrupt) as error:
            # Not the end of its loop.
            raise RuntimeError(f"it raised {error!r}") from error

    def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _tell(self, task: asyncio.Task[_T]) -> None:
        if task.cancelled():
            self._told_answer.set_exception(RuntimeError("it was cancelled"))
        elif error := task.exception():
            self._told_answer.set_exception(error)
        else:
            self._told_answer.set_result(task.result())
