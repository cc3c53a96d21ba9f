"""Batches of a zip's pieces: what is asked for at once, and again; what is in memory meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from datasette_files.protocol.zipfile64 import Data, Member
from datasette_files.transfer.zip_batches import Batch, Batches, Files
from datasette_files.transfer.zip_runs import SMALL, Large

MIB = 1024 * 1024


def pieces(count: int, size: int, header: int = 50) -> list[bytes | Data]:
    """Headers and files."""
    found: list[bytes | Data] = []
    for number in range(count):
        member = Member(str(number), f"{number}.bin", size, 0, None)
        found += [bytes(header), Data(member, 0, size)]
    return found


async def each(items: Iterable[bytes | Data]) -> AsyncIterator[bytes | Data]:
    for item in items:
        yield item


class Asked(list[list[str]]):
    """The ids of each question; each file may be read."""

    async def __call__(self, ids: list[str]) -> Files:
        self.append(ids)
        found: Any = dict.fromkeys(ids)
        return found  # type: ignore[no-any-return]


async def taken(batches: Batches) -> list[Batch]:
    found = []
    while batch := await batches.next():
        found.append(batch)
    await batches.close()
    return found


async def test_a_batch_is_asked_for_at_once_and_the_first_one_is_small() -> None:
    asked = Asked()
    found = await taken(Batches(each(pieces(1_000, MIB)), asked))
    assert [len(ids) for ids in asked] == [64, 255, 255, 255, 171]
    assert [int(one) for ids in asked for one in ids] == list(range(1_000))
    assert sum(isinstance(run, Large) for batch in found for run in batch.left) == 1_000


async def test_what_is_held_in_memory_is_bounded() -> None:
    asked = Asked()
    texts = Batches(each([bytes(64 * 1024)] * 1_000), asked)
    sizes = [sum(len(run) for run in batch.left) for batch in await taken(texts)]
    assert max(sizes) <= 8 * MIB // (64 * 1024) + 1
    assert sum(sizes) == 1_000
    assert asked == []


async def test_a_later_question_is_of_the_next_files_only() -> None:
    asked = Asked()
    batch = Batch(
        [Large(b"", one) for one in pieces(200, SMALL + 1) if isinstance(one, Data)], asked
    )
    assert not batch.is_allowed(60)
    await batch.ask()
    assert len(asked.pop()) == 200
    assert batch.is_allowed(60)
    assert not batch.is_allowed(-1)
    batch.left.popleft()
    await batch.ask()
    assert asked.pop() == [str(number) for number in range(1, 65)]
    for _ in range(64):
        assert batch.is_allowed(60)
        batch.left.popleft()
    # The answer is new, and not of these.
    assert not batch.is_allowed(60)
    await batch.ask()
    assert batch.is_allowed(60)


async def test_all_files_of_a_run_are_asked_for_together() -> None:
    asked = Asked()
    batch = Batch([pieces(100, 10), pieces(1, 10)], asked)
    await batch.ask()
    await batch.ask()
    assert [len(ids) for ids in asked] == [101, 100]


async def test_others_have_a_turn_while_many_pieces_are_made() -> None:
    turns = 0
    batches = Batches(each(pieces(1_000, 10)), Asked())

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    batch = await batches.next()
    assert batch is not None
    batch = await batches.next()
    beside.cancel()
    await batches.close()
    assert batch is not None
    assert turns > 512 // 64
