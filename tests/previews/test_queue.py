"""The queue: once for each key, in turn between those who ask, and nothing that nobody wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from datasette_files.previews import queue as queue_module
from datasette_files.previews.queue import NotYet, Queue


class Bench:
    """Work that waits until it is let go, and says in which order it began."""

    def __init__(self, slots: int = 1) -> None:
        self.queue: Queue[str] = Queue(slots)
        self.began: list[str] = []
        self.gate = asyncio.Event()

    def work(self, name: str) -> Callable[[], Awaitable[str]]:
        async def run() -> str:
            self.began.append(name)
            await self.gate.wait()
            return name.upper()

        return run

    def ask(self, name: str, asker: str = "one", seconds: float = 60) -> asyncio.Task[str]:
        return asyncio.create_task(self.queue.ask(name, self.work(name), asker, seconds))

    def add(self, name: str) -> None:
        self.queue.add(name, self.work(name))

    async def drain(self) -> None:
        self.gate.set()
        for _ in range(50):
            await asyncio.sleep(0)


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_same_is_done_once_for_all() -> None:
    bench = Bench()
    bench.add("a")
    asked = [bench.ask("a", f"asker {n}") for n in range(5)]
    await turns()
    await bench.drain()
    assert await asyncio.gather(*asked) == ["A"] * 5
    assert bench.began == ["a"]


async def test_what_is_waited_for_comes_first_and_those_who_ask_take_turns() -> None:
    bench = Bench()
    for name in ("first", "later 1", "later 2"):
        bench.add(name)
    await turns()
    asked = [bench.ask(f"a{n}", "page a") for n in range(3)]
    await turns()
    asked += [bench.ask(f"b{n}", "page b") for n in range(2)]
    asked += [bench.ask("later 2", "page c")]
    await turns()
    await bench.drain()
    await asyncio.gather(*asked)
    assert bench.began == ["first", "a0", "b0", "later 2", "a1", "b1", "a2", "later 1"]


async def test_no_more_run_than_there_are_slots() -> None:
    bench = Bench(slots=3)
    asked = [bench.ask(f"{n}") for n in range(10)]
    await turns()
    assert len(bench.began) == 3
    await bench.drain()
    assert len(await asyncio.gather(*asked)) == 10


async def test_a_group_that_hangs_leaves_room_for_the_others() -> None:
    queue: Queue[str] = Queue(3, share=2)
    hung, began = asyncio.Event(), []

    async def hang() -> str:
        await hung.wait()
        return "late"

    def quick(name: str) -> Callable[[], Awaitable[str]]:
        async def run() -> str:
            began.append(name)
            return name

        return run

    stuck = [asyncio.create_task(queue.ask(n, hang, "page", 60, "bad")) for n in range(9)]
    await turns()
    queue.add("later", quick("later"), "bad")
    await turns()
    assert await queue.ask("a", quick("a"), "page", 60, "good") == "a"
    queue.add("b", quick("b"), "good")
    await turns()
    assert began == ["a", "b"]
    hung.set()
    assert await asyncio.gather(*stuck) == ["late"] * 9
    await turns()
    assert began == ["a", "b", "later"]
    assert queue.waiting == 0


async def test_groups_take_turns() -> None:
    bench = Bench()
    blocker = bench.ask("blocker")
    await turns()
    asked = [
        asyncio.create_task(
            bench.queue.ask(f"{group}{n}", bench.work(f"{group}{n}"), "p", 60, group)
        )
        for group in "ab"
        for n in range(2)
    ]
    await turns()
    await bench.drain()
    await asyncio.gather(blocker, *asked)
    assert bench.began == ["blocker", "a0", "b0", "a1", "b1"]


async def test_what_nobody_wants_any_more_is_not_begun() -> None:
    bench = Bench()
    running, left, stays = bench.ask("running"), bench.ask("left"), bench.ask("stays")
    await turns()
    left.cancel()
    running.cancel()  # it has begun: it is finished for the next who asks
    await turns()
    await bench.drain()
    assert await stays == "STAYS"
    assert bench.began == ["running", "stays"]


async def test_one_that_leaves_takes_nothing_from_the_others() -> None:
    bench = Bench()
    blocker, leaves, stays = bench.ask("blocker"), bench.ask("same"), bench.ask("same", "two")
    await turns()
    leaves.cancel()
    await turns()
    await bench.drain()
    assert await asyncio.gather(blocker, stays) == ["BLOCKER", "SAME"]


async def test_who_waits_too_long_is_told_and_the_work_is_done_all_the_same() -> None:
    bench = Bench()
    blocker = bench.ask("blocker")
    await turns()
    with pytest.raises(NotYet):
        await bench.queue.ask("slow", bench.work("slow"), "one", 0)
    await bench.drain()
    assert await blocker == "BLOCKER"
    assert bench.began == ["blocker", "slow"]


async def test_an_error_reaches_who_waits_or_the_log(caplog: pytest.LogCaptureFixture) -> None:
    queue: Queue[str] = Queue(1)

    async def fail() -> str:
        raise RuntimeError("broken work")

    with pytest.raises(RuntimeError, match="broken work"):
        await queue.ask("a", fail, "one", 60)
    assert caplog.text == ""
    queue.add("b", fail)
    await turns()
    assert "broken work" in caplog.text

    async def works() -> str:
        return "ok"

    assert await queue.ask("a", works, "one", 60) == "ok"


async def test_too_much_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "MAX_ENTRIES", 2)
    bench = Bench()
    for name in ("a", "b", "c"):
        bench.add(name)
    with pytest.raises(NotYet):
        await bench.queue.ask("d", bench.work("d"), "one", 60)
    await bench.drain()
    assert bench.began == ["a", "b"]


async def test_what_nobody_waits_for_leaves_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "MAX_ENTRIES_FOR_UNAWAITED", 2)
    bench = Bench()
    for name in ("a", "b", "c"):
        bench.add(name)
    asked = bench.ask("d")
    await turns()
    bench.gate.set()
    assert await asked == "D"
    assert "c" not in bench.began


async def test_work_that_cancels_itself_keeps_nobody_waiting() -> None:
    async def cancelled() -> str:
        raise asyncio.CancelledError

    queue: Queue[str] = Queue(1)
    asked = asyncio.create_task(queue.ask("a", cancelled, "one", 3600))
    await turns()
    assert asked.done()
    with pytest.raises(NotYet):
        await asked


async def test_the_end_ends_what_runs_and_who_waits() -> None:
    bench = Bench()
    asked = [bench.ask("running"), bench.ask("waiting")]
    await turns()
    await bench.queue.close()
    for one in asked:
        with pytest.raises(NotYet):
            await one
    with pytest.raises(NotYet):
        await bench.queue.ask("more", bench.work("more"), "one", 60)
    assert bench.began == ["running"]


async def test_a_client_with_many_pages_waits_as_one_with_one() -> None:
    bench = Bench()
    blocker = bench.ask("blocker")
    await asyncio.sleep(0)
    greedy = [
        asyncio.create_task(
            bench.queue.ask(f"g{n}", bench.work(f"g{n}"), "greedy", 60, page=f"page {n % 3}")
        )
        for n in range(6)
    ]
    modest = [bench.ask(f"m{n}", "modest") for n in range(2)]
    await turns()
    await bench.drain()
    await asyncio.gather(blocker, *greedy, *modest)
    assert bench.began[1:] == ["g0", "m0", "g1", "m1", "g2", "g3", "g4", "g5"]
