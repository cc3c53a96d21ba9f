"""Bounded parallel work: how much runs at once, and what an error or a caller that leaves ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from datasette_files.jobs.parallel import ahead, each, several, to_its_end


class Work:
    """Doubles numbers, each once it is let go, and remembers what ran."""

    def __init__(self) -> None:
        self.gates: dict[int, asyncio.Event] = {}
        self.ended: list[int] = []
        self.most = 0

    async def __call__(self, number: int) -> int:
        gate = self.gates[number] = asyncio.Event()
        self.most = max(self.most, len(self.gates) - len(self.ended))
        try:
            await gate.wait()
        finally:
            self.ended.append(number)
        if number < 0:
            raise ValueError(number)
        return 2 * number

    async def begun(self, *numbers: int) -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        assert tuple(self.gates) == numbers


async def _all(work: Work, numbers: list[int], jobs: int) -> list[int]:
    async with aclosing(several(each(numbers), work, jobs)) as results:
        return [one async for one in results]


async def test_results_come_as_they_are_done_and_an_item_is_taken_when_it_can_be_worked_on():
    work = Work()
    running = asyncio.ensure_future(_all(work, [1, 2, 3, 4], 2))
    await work.begun(1, 2)
    work.gates[2].set()
    await work.begun(1, 2, 3)
    work.gates[3].set()
    await work.begun(1, 2, 3, 4)
    for number in (4, 1):
        work.gates[number].set()
        await asyncio.sleep(0.01)
    assert await running == [4, 6, 8, 2]
    assert work.most == 2
    assert await _all(work, [], 2) == []


async def test_an_error_ends_what_runs_and_is_raised():
    work = Work()
    running = asyncio.ensure_future(_all(work, [1, -2, 3], 3))
    await work.begun(1, -2, 3)
    work.gates[-2].set()
    with pytest.raises(ValueError, match="-2"):
        await running
    assert sorted(work.ended) == [-2, 1, 3]


async def test_whoever_takes_no_more_results_ends_what_runs():
    work = Work()
    results = several(each([1, 2, 3]), work, 2)
    first = asyncio.ensure_future(anext(results))
    await work.begun(1, 2)
    work.gates[1].set()
    assert await first == 2
    await results.aclose()
    assert sorted(work.ended) == [1, 2]
    assert 3 not in work.gates


async def test_work_that_must_not_stop_half_way_goes_on_when_its_caller_is_cancelled():
    work = Work()
    caller = asyncio.ensure_future(to_its_end(work(1)))
    await work.begun(1)
    caller.cancel()
    await asyncio.sleep(0.01)
    assert not caller.done()
    assert work.ended == []
    work.gates[1].set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert work.ended == [1]
    other = asyncio.ensure_future(to_its_end(work(5)))
    await work.begun(1, 5)
    work.gates[5].set()
    assert await other == 10


async def test_the_next_item_is_made_while_the_caller_works_on_one() -> None:
    made: list[int] = []
    closed = False

    async def numbers() -> AsyncGenerator[int, None]:
        nonlocal closed
        try:
            for number in range(4):
                if number == 3:
                    raise ValueError("3")
                made.append(number)
                yield number
        finally:
            closed = True

    taken = []
    with pytest.raises(ValueError, match="3"):
        async with aclosing(numbers()) as items, aclosing(ahead(items)) as found:
            async for one in found:
                await asyncio.sleep(0)
                taken.append((one, len(made)))
    assert taken == [(0, 2), (1, 3), (2, 3)], "an error comes after the items before it"

    async with aclosing(numbers()) as items, aclosing(ahead(items)) as found:
        assert await anext(found) == 0
    assert closed
