"""Thumbnails by plugins' generators: made once and cached; else an icon."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from datasette_files.base import ThumbnailResult
from datasette_files.errors import StorageUnavailable
from tests.conftest import MakeDatasette, upload
from tests.support.storages import installed, registered, storage_class
from tests.support.thumbnails import PIXEL, Generator, due, with_generator


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait for their thumbnails here however busy the machine is."""
    monkeypatch.setattr("datasette_files.previews.thumbnails.WAIT_SECONDS", 120)


async def test_a_plugins_thumbnail_is_made_once_cached_and_revalidated(
    make_datasette: MakeDatasette,
) -> None:
    generator = Generator(ThumbnailResult(PIXEL, "image/png", 1, 1))
    datasette = await with_generator(make_datasette, generator, thumbnail_eager=False)
    url = (await upload(datasette, b"\x00data", "a.dat"))["thumbnail_url"]
    answers = await asyncio.gather(*(datasette.client.get(url) for _ in range(5)))
    assert {(a.status_code, a.content, a.headers["content-type"]) for a in answers} == {
        (200, PIXEL, "image/png")
    }
    assert generator.calls == [(b"\x00data", "application/octet-stream", "a.dat", 200, 200)]
    etag = answers[0].headers["etag"]
    again = await datasette.client.get(url, headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert (await datasette.client.head(url)).headers["content-length"] == str(len(PIXEL))


async def test_an_upload_has_its_thumbnail_made_eagerly(make_datasette: MakeDatasette) -> None:
    generator = Generator(ThumbnailResult(PIXEL, "image/png", 1, 1))
    datasette = await with_generator(make_datasette, generator)
    url = (await upload(datasette, b"\x00data", "a.dat"))["thumbnail_url"]
    for _ in range(100):
        if generator.calls:
            break
        await asyncio.sleep(0.01)
    assert (await datasette.client.get(url)).content == PIXEL
    assert len(generator.calls) == 1


@pytest.mark.parametrize(
    "outcome",
    [
        None,
        RuntimeError("no decoder"),
        "hang",
        ThumbnailResult(b"<script>", "text/html", 1, 1),
        "not a result",
        ThumbnailResult(None, "image/png", 1, 1),  # type: ignore[arg-type]
        ThumbnailResult("text", "image/png", 1, 1),  # type: ignore[arg-type]
        ThumbnailResult(PIXEL, "image/png", [], 1),  # type: ignore[arg-type]
    ],
    ids=str,
)
async def test_an_icon_stands_in_where_no_generator_succeeds(
    make_datasette: MakeDatasette, outcome: Any
) -> None:
    generator = Generator(outcome)
    datasette = await with_generator(
        make_datasette, generator, thumbnail_eager=False, thumbnail_timeout_seconds=0.05
    )
    url = (await upload(datasette, b"\x00data", "a.dat"))["thumbnail_url"]
    answer = await datasette.client.get(url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert ">DAT<" in answer.text
    assert answer.headers["content-security-policy"] == "sandbox"


async def test_an_outage_does_not_spoil_the_thumbnail_for_good(
    make_datasette: MakeDatasette,
) -> None:
    generator = Generator(ThumbnailResult(PIXEL, "image/png", 1, 1))
    outage = [True]

    async def read_file(self: Any, path: str) -> bytes:
        if outage[0]:
            raise StorageUnavailable("for now")
        content: bytes = self.objects[path]
        return content

    with installed(storage_class(read_file=read_file)):
        sources = {"docs": {"storage": "memory"}}
        datasette = await with_generator(
            make_datasette, generator, sources=sources, thumbnail_eager=False
        )
    url = (await upload(datasette, b"\x00data", "a.dat"))["thumbnail_url"]
    for outage[0] in (True, False):  # not tried at each view, though
        answer = await datasette.client.get(url)
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.headers["cache-control"] == "no-store"
    assert generator.calls == []
    await due(datasette)
    assert (await datasette.client.get(url)).content == PIXEL


class Hanging(Generator):
    """Never answers whether it can."""

    def __init__(self) -> None:
        super().__init__(None)
        self.ended = asyncio.Event()

    async def can_generate(self, content_type: str, filename: str) -> bool:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()
        raise AssertionError


class Refusing(Generator):
    """Fails at the question whether it can."""

    async def can_generate(self, content_type: str, filename: str) -> bool:
        raise RuntimeError("no magic file")


@pytest.mark.parametrize(
    "broken", [Hanging(), Refusing(None), Generator(RuntimeError("no decoder")), Generator("hang")]
)
async def test_a_broken_generator_leaves_the_file_to_the_next(
    make_datasette: MakeDatasette, caplog: pytest.LogCaptureFixture, broken: Generator
) -> None:
    generators = [broken, Generator(ThumbnailResult(PIXEL, "image/png", 1, 1))]
    with registered(register_thumbnail_generators=lambda datasette: generators):
        datasette = await make_datasette(thumbnail_eager=False, thumbnail_timeout_seconds=0.05)
    url = (await upload(datasette, b"\x00data", "a.dat"))["thumbnail_url"]
    answer = await asyncio.wait_for(datasette.client.get(url), 30)
    assert answer.content == PIXEL
    assert "Thumbnail generator 'test' failed" in caplog.text


async def test_a_generator_that_never_answers_is_ended_and_an_icon_served(
    make_datasette: MakeDatasette,
) -> None:
    generator = Hanging()
    datasette = await with_generator(
        make_datasette, generator, thumbnail_eager=False, thumbnail_timeout_seconds=0.05
    )
    url = (await upload(datasette, b"\x00data", "a.dat"))["thumbnail_url"]
    answer = await asyncio.wait_for(datasette.client.get(url), 30)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert ">DAT<" in answer.text
    await until(generator.ended.is_set)


async def test_a_thumbnail_that_cannot_be_cached_is_served_and_the_fault_logged(
    make_datasette: MakeDatasette, caplog: pytest.LogCaptureFixture
) -> None:
    large = PIXEL + bytes(2_000_000)
    generator = Generator(ThumbnailResult(large, "image/png", 1, 1))
    datasette = await with_generator(make_datasette, generator, thumbnail_eager=False)
    url = (await upload(datasette, b"\x00data", "a.dat"))["thumbnail_url"]

    def fill(conn: Any) -> None:
        pages = conn.execute("PRAGMA page_count").fetchone()[0]
        conn.execute(f"PRAGMA max_page_count = {pages + 20}")

    await datasette.get_internal_database().execute_write_fn(fill)
    answer = await datasette.client.get(url)
    assert (answer.status_code, answer.content == large) == (200, True)
    assert "is not cached" in caplog.text


async def test_an_svg_thumbnail_is_shown_where_it_can_run_nothing(
    make_datasette: MakeDatasette,
) -> None:
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    generator = Generator(ThumbnailResult(svg, "image/svg+xml", 1, 1))
    datasette = await with_generator(make_datasette, generator, thumbnail_eager=False)
    url = (await upload(datasette, b"\x00data", "a.dat"))["thumbnail_url"]
    for _ in ("made", "cached"):
        answer = await datasette.client.get(url)
        assert (answer.status_code, answer.content) == (200, svg)
        assert answer.headers["content-type"] == "image/svg+xml"
        assert answer.headers["content-security-policy"] == "sandbox"
        assert answer.headers["x-content-type-options"] == "nosniff"


class Blocking(Generator):
    """Waits right in its coroutine until it is let go."""

    def __init__(self) -> None:
        super().__init__(ThumbnailResult(PIXEL, "image/png", 1, 1))
        self.began, self.gate = threading.Event(), threading.Event()

    async def generate(self, file_bytes: bytes, *arguments: Any) -> ThumbnailResult | None:
        self.began.set()
        if file_bytes == b"\x00slow":
            self.gate.wait(60)
        return await super().generate(file_bytes, *arguments)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come about")


async def test_a_generator_that_blocks_holds_up_itself_alone(
    make_datasette: MakeDatasette, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasette_files.previews.generators._GRACE_SECONDS", 0.05)
    generator = Blocking()
    datasette = await with_generator(
        make_datasette, generator, thumbnail_eager=False, thumbnail_timeout_seconds=0.3
    )
    slow, quick = [
        (await upload(datasette, content, "a.dat"))["thumbnail_url"]
        for content in (b"\x00slow", b"\x00quick")
    ]
    try:
        asked = asyncio.create_task(datasette.client.get(slow))
        await until(generator.began.is_set)
        assert (await datasette.client.get("/-/files/sources.json")).status_code == 200
        assert not asked.done()  # it was answered meanwhile
        assert (await asked).headers["content-type"] == "image/svg+xml"
        assert "it takes longer than 0.3 s" in caplog.text
        for _ in ("not asked", "not tried"):
            assert (await datasette.client.get(quick)).headers["content-type"] == "image/svg+xml"
        assert "it blocks, and has not ended" in caplog.text
    finally:
        generator.gate.set()
    await until(lambda: len(generator.calls) == 1)
    for url in (slow, quick):
        await due(datasette)
        assert (await datasette.client.get(url)).content == PIXEL


class Locked(Generator):
    """Keeps what belongs to the event loop that it first saw."""

    lock: asyncio.Lock | None = None

    async def generate(self, *arguments: Any) -> ThumbnailResult | None:
        self.lock = self.lock or asyncio.Lock()
        async with self.lock:
            await asyncio.sleep(0.01)
            self.loop = asyncio.get_running_loop()
            return await super().generate(*arguments)


@pytest.mark.parametrize("on_server_loop", [False, True])
async def test_a_generator_keeps_its_event_loop(
    make_datasette: MakeDatasette, on_server_loop: bool
) -> None:
    generator = Locked(ThumbnailResult(PIXEL, "image/png", 1, 1))
    generator.on_server_loop = on_server_loop  # type: ignore[misc]
    datasette = await with_generator(make_datasette, generator, thumbnail_eager=False)
    urls = [(await upload(datasette, b"\x00", f"{n}.dat"))["thumbnail_url"] for n in range(3)]
    answers = await asyncio.gather(*(datasette.client.get(url) for url in urls))
    assert {answer.content for answer in answers} == {PIXEL}
    assert (generator.loop is asyncio.get_running_loop()) is on_server_loop
    await datasette.invoke_shutdown()
    assert generator.loop.is_closed() is not on_server_loop


@pytest.mark.parametrize("error", [asyncio.CancelledError(), SystemExit(1)], ids=repr)
async def test_a_generator_that_ends_its_own_task_or_loop_is_asked_again(
    make_datasette: MakeDatasette, error: BaseException
) -> None:
    class Ending(Generator):
        async def generate(self, file_bytes: bytes, *arguments: Any) -> ThumbnailResult | None:
            if file_bytes == b"\x00end":
                raise error
            return await super().generate(file_bytes, *arguments)

    generator = Ending(ThumbnailResult(PIXEL, "image/png", 1, 1))
    datasette = await with_generator(make_datasette, generator, thumbnail_eager=False)
    ending, works = [
        (await upload(datasette, content, "a.dat"))["thumbnail_url"]
        for content in (b"\x00end", b"\x00works")
    ]
    answer = await asyncio.wait_for(datasette.client.get(ending), 30)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert (await datasette.client.get(works)).content == PIXEL
