"""Bounded parallel work on any number of items, and the end of a task's own interruption."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
)
from typing import Any, TypeVar, cast

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


async def several(
    items: AsyncIterator[_Item], work: Callable[[_Item], Awaitable[_Result]], jobs: int
) -> AsyncGenerator[_Result, None]:
    """Yield the result of ``work`` for each item as it is done, ``jobs`` items at a time.

    Takes an item only when it can be worked on. If ``work`` raises an error or the generator is
    closed, the running work is cancelled and awaited; the error is raised.
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


async def ahead(items: AsyncGenerator[_Item, None]) -> AsyncGenerator[_Item, None]:
    """The items, each made while the caller works on the one before it.

    An error comes in its turn, after the items before it. The caller closes both generators.
    """
    last = object()

    async def take() -> _Item | object:
        return await anext(items, last)

    following = asyncio.create_task(take())
    try:
        while (item := await following) is not last:
            following = asyncio.create_task(take())
            yield cast(_Item, item)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def each(items: Iterable[_Item]) -> AsyncIterator[_Item]:
    """The items, as ``several`` takes them."""
    for item in items:
        yield item


async def to_its_end(work: Coroutine[Any, Any, _Result]) -> _Result:
    """Await work that must not stop half-way. A cancellation of the caller waits for its end."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.gather(task, return_exceptions=True)
        raise


def uncancel(task: asyncio.Task[Any] | None) -> None:
    """Take back our own cancellation of the task (Python 3.11 counts them)."""
    count_down = getattr(task, "uncancel", None)
    if count_down is not None:
        count_down()
