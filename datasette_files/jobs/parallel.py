"""Some pieces of work at the same time, out of as many as there are: for commands on many files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


async def several(
    items: AsyncIterator[_Item], work: Callable[[_Item], Awaitable[_Result]], jobs: int
) -> AsyncGenerator[_Result, None]:
    """What ``work`` returns for each item, as it is done; at most ``jobs`` are worked on at once.

    Items are taken as there is room for them. What ``work`` raises ends it all; what is then at
    work is cancelled, and waited for, as it is when the generator is closed.
    """

    async def run(item: _Item) -> _Result:
        return await work(item)

    running: set[asyncio.Task[_Result]] = set()
    try:
        async for item in items:
            running.add(asyncio.create_task(run(item)))
            if len(running) < jobs:
                continue
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                yield task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
