"""Places that clients share: none takes them all, and those who wait are served in turn."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from datasette_files.jobs.places import NoPlace, Places


async def take(stack: AsyncExitStack, places: Places, *clients: str) -> int:
    """Take a place for each that has one at once; how many had."""
    taken = 0
    for client in clients:
        try:
            await stack.enter_async_context(places.held(client, 0.01))
        except NoPlace:
            continue
        taken += 1
    return taken


async def test_a_client_leaves_as_many_as_it_holds() -> None:
    places = Places(192)
    async with AsyncExitStack() as stack:
        shares = [await take(stack, places, *[client] * 100) for client in "abcd"]
        assert shares == [96, 48, 24, 12]
        assert await take(stack, places, "e", "f", "g") == 3
    async with AsyncExitStack() as stack:
        assert await take(stack, places, *["a"] * 100) == 96, "all were given back"


@pytest.mark.parametrize("total, shares", [(1, (1, 0)), (2, (1, 1)), (3, (2, 1))])
async def test_few_places(total: int, shares: tuple[int, int]) -> None:
    async with AsyncExitStack() as stack:
        places = Places(total)
        assert await take(stack, places, *["a"] * 5) == shares[0]
        assert await take(stack, places, *["b"] * 5) == shares[1]


async def test_those_who_wait_are_served_in_turn_by_client() -> None:
    places, served = Places(1), []

    async def work(client: str) -> None:
        async with places.held(client, 5):
            served.append(client)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(client) for client in "aaaabbc"))
    assert "".join(served) == "aabcaba"


async def test_a_caller_that_gives_up_takes_no_place() -> None:
    places = Places(1)
    async with places.held("a", 1):
        waiting = [asyncio.ensure_future(take_one(places, "b")) for _ in range(3)]
        await asyncio.sleep(0.01)
        for one in waiting:
            one.cancel()
    # One of them was given the place in the same moment.
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in ended} == {asyncio.CancelledError}
    async with places.held("c", 0.01):
        pass


async def take_one(places: Places, client: str) -> None:
    async with places.held(client, 5):
        await asyncio.sleep(0)
