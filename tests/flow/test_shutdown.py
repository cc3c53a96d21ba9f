"""The end of a Datasette: work that nobody waits for is ended, every storage let go of once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from datasette.utils import StartupError

from datasette_files.app import Files
from datasette_files.base import ThumbnailGenerator
from datasette_files.errors import ConfigurationError, StorageUnavailable
from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.storages import BasicStorage, registered


class Watched(BasicStorage):
    """Counts how often each instance is closed; its config says how it behaves."""

    storage_type = "watched"
    closes: dict[Watched, int]
    busy: asyncio.Event
    release: asyncio.Event

    async def configure(self, config: dict[str, Any], get_secret: Any) -> None:
        self.config = config
        self.closes[self] = 0
        match config.get("configure"):
            case "wrong":
                raise ConfigurationError("no such bucket")
            case "down":
                raise StorageUnavailable("for now")
            case "slow":
                self.busy.set()
                await self.release.wait()

    async def close(self) -> None:
        self.closes[self] += 1
        if self.config.get("close") == "fails":
            raise RuntimeError("the socket is gone")
        if self.config.get("close") == "releases":
            self.release.set()
            for _ in range(10):  # the other one's turns
                await asyncio.sleep(0)


@pytest.fixture
def watched(register_storages: Callable[..., None]) -> type[Watched]:
    """A storage type of this test alone, with its counts."""
    cls = type(
        "Watched", (Watched,), {"closes": {}, "busy": asyncio.Event(), "release": asyncio.Event()}
    )
    register_storages(cls)
    return cls


def source(**config: str) -> dict[str, Any]:
    return {"storage": "watched", "config": config}


async def test_each_storage_is_closed_once(
    make_datasette: MakeDatasette, watched: type[Watched]
) -> None:
    datasette = await make_datasette({"one": source(), "two": source()})
    await upload(datasette, source="one")
    assert list(watched.closes.values()) == [0, 0]
    for stop in (Files.of(datasette).stop, datasette.invoke_shutdown):
        await stop()
        assert list(watched.closes.values()) == [1, 1]


@pytest.mark.parametrize("good", [{}, {"close": "fails"}, {"configure": "down"}], ids=str)
async def test_a_start_that_fails_half_way_lets_go_of_every_storage_once(
    make_datasette: MakeDatasette, watched: type[Watched], good: dict[str, str]
) -> None:
    sources = {"first": source(**good), "bad": source(configure="wrong"), "last": source(**good)}
    with pytest.raises(StartupError, match=r"sources\.bad\.config: no such bucket"):
        await make_datasette(sources)
    assert list(watched.closes.values()) == [1, 1, 1]


async def test_a_storage_that_fails_to_close_keeps_no_other_from_it(
    make_datasette: MakeDatasette, watched: type[Watched], caplog: pytest.LogCaptureFixture
) -> None:
    datasette = await make_datasette({"one": source(close="fails"), "two": source()})
    await datasette.invoke_shutdown()
    assert list(watched.closes.values()) == [1, 1]
    assert "the socket is gone" in caplog.text
    assert "shutdown hook failed" not in caplog.text


@pytest.mark.parametrize("close", ["cancels it", "releases"])
async def test_a_storage_that_is_coming_up_is_let_go_of(
    make_datasette: MakeDatasette,
    watched: type[Watched],
    monkeypatch: pytest.MonkeyPatch,
    close: str,
) -> None:
    monkeypatch.setattr("datasette_files.sources.sources.RETRY_SECONDS", (0.01, 0.01))
    datasette = await make_datasette(
        {"docs": source(configure="down"), "other": source(close=close)}
    )
    Files.of(datasette).sources.get("docs").config.config["configure"] = "slow"
    await datasette.client.get("/-/files")  # background work begins with the first request
    await asyncio.wait_for(watched.busy.wait(), 60)
    await datasette.invoke_shutdown()
    assert set(watched.closes.values()) == {1}


async def test_a_generator_that_still_runs_is_ended(
    make_datasette: MakeDatasette, caplog: pytest.LogCaptureFixture
) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    class Endless(ThumbnailGenerator):
        name = "endless"

        async def can_generate(self, content_type: str, filename: str) -> bool:
            return True

        async def generate(self, *args: Any, **more: Any) -> None:
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

    with registered(register_thumbnail_generators=lambda datasette: [Endless()]):
        datasette = await make_datasette()
    await upload(datasette)
    await asyncio.wait_for(began.wait(), 60)
    await datasette.invoke_shutdown()
    assert ended.is_set()
    assert caplog.records == []


async def test_an_upload_in_flight_leaves_nothing_and_does_not_hold_up_the_end(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    root = tmp_path / "docs"
    datasette = await make_datasette({"docs": disk_source(root)})
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield bytes(100_000)
        waiting.set()
        await go_on.wait()
        yield b"the end"

    request = asyncio.create_task(
        datasette.client.put("/-/files/upload/docs/a.bin", content=body())
    )
    await asyncio.wait_for(waiting.wait(), 60)
    await datasette.invoke_shutdown()
    go_on.set()
    answer = await request
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    again = await make_datasette({"docs": disk_source(root)})
    sql = "UPDATE datasette_files_uploads SET expires_at = 1"
    await again.get_internal_database().execute_write(sql)
    await Files.of(again).sweeper.sweep()
    assert [path for path in root.rglob("*") if path.is_file()] == []
    assert (await again.client.get("/-/files/source/docs.json")).json()["total"] == 0
    assert (await upload(again))["size"] == 5
