"""A loop of background work: its lease, its pauses, its log."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable

import pytest

from datasette_files.app import Files
from datasette_files.db import leases
from datasette_files.errors import StorageUnavailable
from datasette_files.jobs import rounds
from datasette_files.jobs.rounds import Round, backoff


def make(files: Files, work: Callable[[], Awaitable[None]], lease_seconds: float = 30) -> Round:
    return Round(files.catalog, "test", work, interval=0.01, lease_seconds=lease_seconds)


async def held(files: Files) -> list[tuple[str, float]]:
    return await files.catalog.read(
        lambda conn: conn.execute(
            "SELECT holder, expires_at FROM datasette_files_leases WHERE name = 'test'"
        ).fetchall()
    )


async def _until(reached: Callable[[], bool], loop: Awaitable[None]) -> None:
    running = asyncio.ensure_future(loop)
    while not reached():
        await asyncio.sleep(0.005)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_pass_gives_its_lease_up(files: Files) -> None:
    seen = []

    async def work() -> None:
        assert await files.catalog.write(one.hold)
        assert not await files.catalog.write(other.hold)
        seen.extend(await held(files))

    one, other = make(files, work), make(files, work)
    await one.once()
    assert len(seen) == 1
    assert await held(files) == []
    assert await files.catalog.write(other.hold)


@pytest.mark.parametrize("ends", ["fails", "is cancelled"])
async def test_a_pass_that_does_not_end_well_gives_its_lease_up(files: Files, ends: str) -> None:
    begun = asyncio.Event()

    async def work() -> None:
        await files.catalog.write(one.hold)
        if ends == "fails":
            raise RuntimeError("not today")
        begun.set()
        await asyncio.sleep(60)

    one = make(files, work)
    if ends == "fails":
        with pytest.raises(RuntimeError):
            await one.once()
    else:
        await _until(begun.is_set, one.once())
    assert await held(files) == []


async def test_a_pass_without_work_writes_nothing(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []

    async def work() -> None:
        passes.append(1)

    monkeypatch.setattr(leases, "give_up", lambda *_: pytest.fail("nothing was held"))
    await _until(lambda: len(passes) > 2, make(files, work).run())


async def test_a_long_step_keeps_its_lease(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        await files.catalog.write(one.hold)
        (before,) = await held(files)
        await one.keep()
        assert await held(files) == [before], "not yet"
        await asyncio.sleep(0.12)
        await one.keep()
        (after,) = await held(files)
        assert after[1] > before[1]

    one = make(files, work, lease_seconds=0.3)
    await one.once()


async def test_a_pass_that_fails_is_logged_once_and_tried_again(
    files: Files, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[int] = []
    monkeypatch.setattr(rounds, "backoff", lambda failures, *_: pauses.append(failures) or 0.0)
    outcomes = iter([RuntimeError("a"), RuntimeError("b"), None, RuntimeError("c"), None, None])
    passes = []

    async def work() -> None:
        passes.append(1)
        if (error := next(outcomes, None)) is not None:
            raise error

    with caplog.at_level(logging.WARNING):
        await _until(lambda: len(passes) > 5, make(files, work).run())
    logged = [record for record in caplog.records if "'test' failed" in record.getMessage()]
    assert [record.getMessage()[-1] for record in logged] == ["a", "b", "c"]
    assert [bool(record.exc_info) for record in logged] == [True, False, True]
    assert pauses == [1, 2, 1], "a pass that succeeds forgets the failures before"


def test_pauses_grow_to_the_longest_and_vary() -> None:
    for failures, most in ((1, 4), (2, 8), (3, 16), (5, 60), (5000, 60)):
        drawn = {backoff(failures, 4, 60) for _ in range(50)}
        assert most / 2 <= min(drawn) < max(drawn) <= most


async def test_a_lease_is_kept_during_a_step_until_it_is_lost(
    files: Files, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        raise AssertionError

    one, other = make(files, work, 1), make(files, work, 1.9)

    async def ends_at() -> float:
        [(_, expires_at)] = await held(files)
        return expires_at

    async def is_renewed() -> None:
        first = await ends_at()
        while await ends_at() == first:
            await asyncio.sleep(0.01)

    write, failures = files.catalog.write, 1

    async def busy_once(fn: Callable[..., object], size: int = 0) -> object:
        nonlocal failures
        failures -= 1
        if failures == 0:
            raise StorageUnavailable("busy")
        return await write(fn, size)

    def lose(conn: sqlite3.Connection) -> None:
        leases.give_up(conn, "test", one._holder)
        other.hold(conn)

    assert await write(one.hold)
    async with one.kept():
        await is_renewed()
        with monkeypatch.context() as patched:
            patched.setattr(files.catalog, "write", busy_once)
            await is_renewed()
            assert "is not renewed yet: busy" in caplog.text
        await write(lose)
        while one._is_holding:
            await asyncio.sleep(0.01)
            await write(other.hold)
    assert [holder for holder, _ in await held(files)] == [other._holder]
