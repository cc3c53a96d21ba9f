"""A few places for work, shared between clients: no client takes them all.

A client may take a place while it holds fewer than are free. So each of them leaves as many as it
has, and the last place is for a client without any. Leaves out the work, and who a client is.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NoPlace(Exception):
    """No place became free in time."""


class Places:
    """``total`` places. Clients that wait for one are served in turn."""

    def __init__(self, total: int) -> None:
        self._free = total
        self._held: Counter[str] = Counter()
        #: The calls that wait, by client. The client that was served last is the last one.
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def held(self, client: str, seconds: float) -> AsyncIterator[None]:
        """Hold a place within the context. Raises NoPlace after ``seconds`` without one."""
        await self._take(client, seconds)
        try:
            yield
        finally:
            self._give_back(client)

    def _has_one(self, client: str) -> bool:
        return self._held[client] < self._free

    def _grant(self, client: str) -> None:
        self._free -= 1
        self._held[client] += 1

    async def _take(self, client: str, seconds: float) -> None:
        if client not in self._waiting and self._has_one(client):
            self._grant(client)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(client, deque()).append(future)
        try:
            await asyncio.wait([future], timeout=seconds)
        except asyncio.CancelledError:
            if future.done():
                self._give_back(client)
            raise
        finally:
            if not future.done():
                self._leave(client, future)
        if not future.done():
            raise NoPlace

    def _leave(self, client: str, future: asyncio.Future[None]) -> None:
        lane = self._waiting[client]
        lane.remove(future)
        if not lane:
            del self._waiting[client]

    def _give_back(self, client: str) -> None:
        self._free += 1
        self._held[client] -= 1
        if not self._held[client]:
            del self._held[client]
        while (following := next(filter(self._has_one, self._waiting), None)) is not None:
            future = self._waiting[following][0]
            self._leave(following, future)
            if following in self._waiting:
                self._waiting.move_to_end(following)
            self._grant(following)
            future.set_result(None)
