"""A small pool of threads for disk work, cheaper for each job than the standard executor.

Reading a small file takes ten microseconds; passing the job to a ``ThreadPoolExecutor`` through
asyncio takes several times as long. Here a job costs one queue entry, and its result one wake-up of
the loop. The threads end when the pool is closed, and do not keep the process alive.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import StorageUnavailable

_T = TypeVar("_T")
_Job = tuple[Callable[[], Any], Callable[[Any, "Exception | None"], None]]


class DiskThreads:
    """Threads that start when there is work, up to ``limit``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = 0
        self._busy = 0
        self._closed = False

    def submit(
        self, job: Callable[[], _T], undo: Callable[[_T], object] | None = None
    ) -> asyncio.Future[_T]:
        """Run the job in a thread. The future gets its result or error. Call it from a coroutine.

        If the future was cancelled, ``undo`` gets the result, for example to close a descriptor.
        Raises StorageUnavailable once the pool is closed.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = loop.create_future()

        def deliver(result: Any, error: Exception | None) -> None:
            loop.call_soon_threadsafe(settle, future, result, error, undo)

        with self._lock:
            if self._closed:
                raise StorageUnavailable("Datasette is stopping; try again in a minute")
            self._busy += 1
            more = self._busy > self._started and self._started < self._limit
            self._started += more
            self._jobs.put((job, deliver))
        if more:
            threading.Thread(target=self._work, name="datasette-files-disk", daemon=True).start()
        return future

    def _work(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, deliver = entry
            result, error = None, None
            try:
                result = job()
            except Exception as caught:  # noqa: BLE001 - set on the job's future
                error = caught
            with self._lock:
                self._busy -= 1
            try:
                deliver(result, error)
            except RuntimeError:
                return  # the loop is closed, so nothing waits for a result
            del job, deliver, entry, result, error

    def close(self) -> None:
        """Refuse new jobs, and end the threads after the waiting jobs."""
        with self._lock:
            self._closed = True
            for _ in range(self._started):
                self._jobs.put(None)


def settle(
    future: asyncio.Future[Any],
    result: Any,
    error: Exception | None,
    undo: Callable[[Any], object] | None = None,
) -> None:
    """Set a future's result or error. Runs on its loop."""
    if future.done():  # cancelled
        if undo is not None and error is None:
            undo(result)
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def close_after(fd: int, job: asyncio.Future[Any]) -> None:
    """Close the descriptor that a job used, whoever waits for it. A callback of its future."""
    os.close(fd)
    if not job.cancelled():
        job.exception()  # marks it as retrieved
