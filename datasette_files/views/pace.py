"""The least rate at which a client must take a download; a slower one is let go."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from .. import telemetry


class Pace:
    """Measures the bytes that a client takes while it is waited for, and cancels a task.

    Call ``waits`` when a wait for the client begins and ``took`` when it ends. Time that passes
    outside of a wait, for example in the storage, does not count.
    """

    def __init__(self, seconds: float, min_bytes_per_second: int) -> None:
        #: Between two looks at the measure.
        self._seconds = seconds
        self._min_bytes_per_second = min_bytes_per_second
        #: Since when the client is waited for; seconds of waiting and bytes since the last look.
        self._waiting_since: float | None = None
        self._waited = 0.0
        self._taken = 0
        self._timer: asyncio.TimerHandle | None = None
        #: Whether it was this that cancelled the task.
        self.stalled = False

    def watch(self, task: asyncio.Task[Any] | None) -> None:
        """Look from now on, until ``stop``; cancel ``task`` if the client takes too little."""
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._look, task)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def waits(self) -> None:
        self._waiting_since = time.monotonic()

    def took(self, size: int) -> None:
        """Count ``size`` bytes; the wait is over."""
        if self._waiting_since is not None:
            self._waited += time.monotonic() - self._waiting_since
        self._waiting_since = None
        self._taken += size
        telemetry.count_bytes("sent", size)

    def _look(self, task: asyncio.Task[Any] | None) -> None:
        since = self._waiting_since
        waited = self._waited + (time.monotonic() - since if since is not None else 0.0)
        too_slow = self._taken < self._min_bytes_per_second * waited
        # Less than half of the time is no measure: the storage was slow, or it has just begun.
        if task is not None and since is not None and too_slow and waited >= self._seconds / 2:
            self.stalled = True
            task.cancel()
            return
        self._waited, self._taken = 0.0, 0
        self.watch(task)
