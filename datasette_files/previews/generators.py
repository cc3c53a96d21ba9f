"""Plugins' thumbnail generators: asked in order, each for a limited time, in a loop of its own.

The hook promises a generator no particular event loop, and most of them draw in their coroutine,
which blocks the loop. So each generator has a thread with its own event loop, where it may block.
A generator with ``on_server_loop`` runs in the server's loop. Leaves out files, caches and workers.
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
#: A generator's event loop, and the event that ends it.
_Ready = tuple[asyncio.AbstractEventLoop, asyncio.Event]

#: Content types that a generator may return. An SVG is served sandboxed, so it runs no script.
_TYPES = tuple(f"image/{name}" for name in ("png", "jpeg", "webp", "gif", "avif", "svg+xml"))
#: Seconds that a cancelled call, or a stopped loop, has to end.
_GRACE_SECONDS = 1.0


class Busy(Exception):
    """The generator is still working on another file, so it was not asked about this one."""


class Generators:
    """The generators in order. ``count`` calls run at a time, each for at most ``seconds``."""

    def __init__(self, generators: list[ThumbnailGenerator], count: int, seconds: float) -> None:
        self._asked = [_Generator(one, seconds) for one in generators]
        self._turns = asyncio.Semaphore(count)

    async def first(
        self, content_type: str, filename: str, side: int, content: Callable[[], Awaitable[bytes]]
    ) -> tuple[tuple[str, ThumbnailResult] | None, str]:
        """Return ``((name, thumbnail), trouble)`` of the first generator that makes a thumbnail.

        The first part is None if none does. ``trouble`` is about the generators before it:
        ``busy`` if one was not asked, ``failed`` if one failed, or empty. ``content`` is called at
        most once, when a generator wants the file's bytes. Raises FilesError, and any error of
        ``content``.
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
        """End the generators' loops. A generator that blocks ends with the process."""
        await asyncio.gather(*(one.close() for one in self._asked))


def _is_shown(result: object) -> TypeGuard[ThumbnailResult]:
    """Tell whether a generator's result is a thumbnail that can be shown."""
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
    """One generator, and its thread, which begins at the first call."""

    def __init__(self, generator: ThumbnailGenerator, seconds: float) -> None:
        self._generator = generator
        self._seconds = seconds
        self.name = str(getattr(generator, "name", type(generator).__name__))
        self._thread: threading.Thread | None = None
        self._ready: concurrent.futures.Future[_Ready] = concurrent.futures.Future()
        #: Calls that were cancelled and have not ended.
        self._overdue = 0

    async def run(self, step: Callable[[Any], Awaitable[_T]]) -> _T:
        """Run a step; return its result. Raises Busy, TimeoutError, and the step's errors."""
        if getattr(self._generator, "on_server_loop", False):
            return await asyncio.wait_for(step(self._generator), self._seconds)
        if self._overdue:
            raise Busy("it blocks, and has not ended an earlier call")
        loop, _ = await asyncio.shield(asyncio.wrap_future(self._started()))
        call = _Call(loop, lambda: step(self._generator))
        try:
            if not await call.begins(self._seconds):
                raise Busy("its call for another file takes longer than allowed")
            if not await call.ends(self._seconds):
                raise asyncio.TimeoutError(f"it takes longer than {self._seconds:g} s")
            return call.answer.result()
        finally:
            call.cancel()
            await self._wait_for_end(call)

    async def _wait_for_end(self, call: _Call[Any]) -> None:
        """Wait for a cancelled call. While one does not end, the generator is not asked again."""
        if call.begun.done() and not await call.ends(_GRACE_SECONDS):
            self._overdue += 1
            call.answer.add_done_callback(self._over)

    def _over(self, _: object) -> None:
        self._overdue -= 1

    def _started(self) -> concurrent.futures.Future[_Ready]:
        """Return the generator's loop; start its thread at the first call, or if it has died."""
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
                daemon=True,  # the server can stop while a generator blocks
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
    """One step of a generator, which runs in the generator's loop and is awaited in ours."""

    def __init__(self, loop: asyncio.AbstractEventLoop, step: Callable[[], Awaitable[_T]]) -> None:
        self._loop = loop
        self._step = step
        self._task: asyncio.Task[_T] | None = None
        self._given_up = False
        begun: concurrent.futures.Future[None] = concurrent.futures.Future()
        answer: concurrent.futures.Future[_T] = concurrent.futures.Future()
        self._told_begun, self._told_answer = begun, answer
        #: The same two as futures of our loop.
        self.begun, self.answer = asyncio.wrap_future(begun), asyncio.wrap_future(answer)
        # Marks the exception as retrieved: nobody awaits a call after its timeout.
        self.answer.add_done_callback(lambda known: known.cancelled() or known.exception())
        loop.call_soon_threadsafe(self._begin)

    async def begins(self, seconds: float) -> bool:
        """Tell whether the step begins within ``seconds``."""
        return bool((await asyncio.wait([self.begun], timeout=seconds))[0])

    async def ends(self, seconds: float) -> bool:
        """Tell whether the step ends within ``seconds``."""
        return bool((await asyncio.wait([self.answer], timeout=seconds))[0])

    def cancel(self) -> None:
        """Cancel the step. It ends at its next ``await``, or never begins."""
        self._given_up = True
        if not self.answer.done():
            # The loop is closed, so the step has ended.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end)

    # The methods below run in the generator's thread.

    def _begin(self) -> None:
        if not self._given_up:
            self._told_begun.set_result(None)
            self._task = self._loop.create_task(self._whole())
            self._task.add_done_callback(self._tell)

    async def _whole(self) -> _T:
        try:
            return await self._step()
        except (SystemExit, KeyboardInterrupt) as error:
            # These would end the generator's loop.
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
