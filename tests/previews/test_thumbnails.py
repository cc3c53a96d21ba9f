"""Thumbnails: made once, by plugins' generators or by workers, and cached; else an icon."""

from __future__ import annotations

import asyncio
import io
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from PIL import Image

from datasette_files.app import Files
from datasette_files.base import ThumbnailGenerator, ThumbnailResult
from datasette_files.errors import StorageUnavailable
from datasette_files.previews.thumbnails import ATTEMPTS, SIDES
from tests.conftest import MakeDatasette, disk_source, missing, upload
from tests.support.fixtures import fixture
from tests.support.storages import installed, registered, storage_class

PIXEL = b"\x89PNG\r\n\x1a\n pixel"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait for their thumbnails here however busy the machine is."""
    monkeypatch.setattr("datasette_files.previews.thumbnails.WAIT_SECONDS", 120)


class Generator(ThumbnailGenerator):
    """Makes the same thumbnail of every ``.dat`` file, or fails as it is told."""

    name = "test"

    def __init__(self, outcome: Any) -> None:
        self.outcome = outcome
        self.calls: list[tuple[Any, ...]] = []

    async def can_generate(self, content_type: str, filename: str) -> bool:
        return filename.endswith(".dat")

    async def generate(
        self,
        file_bytes: bytes,
        content_type: str,
        filename: str,
        max_width: int = 200,
        max_height: int = 200,
    ) -> ThumbnailResult | None:
        self.calls.append((file_bytes, content_type, filename, max_width, max_height))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if self.outcome == "hang":
            await asyncio.sleep(60)
        result: ThumbnailResult | None = self.outcome
        return result


async def with_generator(
    make_datasette: MakeDatasette, generator: Generator, **plugin: Any
) -> Datasette:
    with registered(register_thumbnail_generators=lambda datasette: [generator]):
        return await make_datasette(**plugin)


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


async def due(datasette: Datasette) -> None:
    """Let the pause be over after which what failed is tried again."""
    sql = "UPDATE datasette_files_thumbnail_failures SET retry_at = 1 WHERE retry_at IS NOT NULL"
    await datasette.get_internal_database().execute_write(sql)


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


# By workers


async def rows(datasette: Datasette, sql: str) -> list[tuple[Any, ...]]:
    result = await datasette.get_internal_database().execute(sql)
    return [tuple(row) for row in result.rows]


async def sample(datasette: Datasette, name: str, **more: Any) -> dict[str, Any]:
    file = fixture(name)
    return await upload(
        datasette, file.path.read_bytes(), file.path.name, content_type=file.content_type, **more
    )


async def until_idle(datasette: Datasette) -> None:
    for _ in range(6000):
        if not Files.of(datasette).thumbnails.waiting:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("thumbnails are still being made")


async def test_a_photo_has_a_thumbnail_soon_after_its_upload(datasette: Datasette) -> None:
    assert Files.of(datasette).thumbnails.workers.pids == []
    await upload(datasette, b"no image", "a.txt")
    assert Files.of(datasette).thumbnails.workers.pids == []
    record = await sample(datasette, "photos/phone.jpg")
    await until_idle(datasette)
    sql = "SELECT content_type, width, height, generator FROM datasette_files_thumbnails"
    assert await rows(datasette, sql) == [("image/jpeg", 150, 200, "pillow")]
    listed = (await datasette.client.get(record["url"] + ".json")).json()
    assert (listed["width"], listed["height"]) == (3024, 4032)


async def test_the_client_has_the_smaller_of_the_formats_that_it_takes(
    make_datasette: MakeDatasette,
) -> None:
    datasette = await make_datasette(thumbnail_eager=False)
    url = (await sample(datasette, "photos/phone.jpg"))["thumbnail_url"]
    seen = {}
    for accept, wanted in {
        "*/*": "image/jpeg",
        "image/avif,image/webp,*/*;q=0.8": "image/webp",
        "image/webp;q=0, image/*": "image/jpeg",
    }.items():
        for _ in ("made", "cached"):
            answer = await datasette.client.get(url, headers={"Accept": accept})
            assert answer.headers["content-type"] == wanted
            assert "Accept" in answer.headers["vary"].split(", ")
            seen[wanted] = (len(answer.content), answer.headers["etag"])
    assert seen["image/webp"][0] < seen["image/jpeg"][0]
    assert seen["image/webp"][1] != seen["image/jpeg"][1]


async def test_a_few_sizes_are_made_and_no_others(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(thumbnail_eager=False)
    url = (await sample(datasette, "photos/phone.jpg"))["thumbnail_url"]
    for side in SIDES:
        image = Image.open(io.BytesIO((await datasette.client.get(f"{url}?w={side}")).content))
        assert image.size == (side * 3 // 4, side)
    for wrong in ("0", "201", "-200", "4000", "x", "200.0"):
        answer = await datasette.client.get(f"{url}?w={wrong}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    kept = await rows(datasette, "SELECT side, variant FROM datasette_files_thumbnail_sizes")
    assert set(kept) == {(200, "webp"), *((side, v) for side in SIDES[1:] for v in ("", "webp"))}
    assert await rows(datasette, "SELECT width FROM datasette_files_thumbnails") == [(150,)]


async def test_a_deleted_file_leaves_no_picture(datasette: Datasette) -> None:
    record = await sample(datasette, "photos/phone.jpg")
    damaged = await sample(datasette, "odd/claims-50000x50000.png")
    await until_idle(datasette)
    tables = [f"datasette_files_thumbnail{end}" for end in ("s", "_sizes", "_failures")]
    for table in tables:
        assert await rows(datasette, f"SELECT count(*) FROM {table}") == [(1,)]
    for file in (record, damaged):
        await datasette.client.delete(file["url"])
    for table in tables:
        assert await rows(datasette, f"SELECT count(*) FROM {table}") == [(0,)]


async def test_what_cannot_be_pictured_is_remembered_until_the_settings_change(
    make_datasette: MakeDatasette,
) -> None:
    datasette = await make_datasette()
    url = (await sample(datasette, "odd/true-8000x8000.png"))["thumbnail_url"]
    await until_idle(datasette)
    sql = "SELECT reason, attempts, retry_at FROM datasette_files_thumbnail_failures"
    ((reason, attempts, retry_at),) = await rows(datasette, sql)
    assert ("64000000 pixels" in reason, attempts, retry_at) == (True, 1, None)
    await datasette.invoke_shutdown()
    again = await make_datasette()
    answer = await again.client.get(url)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cache-control"] != "no-store"  # it is what there is
    assert Files.of(again).thumbnails.workers.pids == []
    await again.invoke_shutdown()
    larger = await make_datasette(thumbnail_max_pixels=70_000_000)
    answer = await larger.client.get(url)
    assert answer.headers["content-type"] == "image/jpeg"
    assert await rows(larger, sql) == []


async def test_a_file_that_costs_three_workers_is_not_tried_again(
    make_datasette: MakeDatasette,
) -> None:
    datasette = await make_datasette(thumbnail_eager=False, thumbnail_timeout_seconds=0.001)
    url = (await sample(datasette, "photos/phone.jpg"))["thumbnail_url"]
    sql = "SELECT attempts, retry_at > 0 FROM datasette_files_thumbnail_failures"
    for attempts, again in ((1, 1), (2, 1), (3, None)):
        for _ in ("tried", "not tried"):
            answer = await datasette.client.get(url)
            assert answer.headers["content-type"] == "image/svg+xml"
        assert await rows(datasette, sql) == [(attempts, again)]
        await due(datasette)


async def test_a_storage_that_has_less_than_it_should_does_not_damn_the_file(
    make_datasette: MakeDatasette, caplog: pytest.LogCaptureFixture
) -> None:
    cut = [True]

    async def stream_range(self: Any, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        yield self.objects[path][: 50_000 if cut[0] else end]

    with installed(storage_class(stream_range=stream_range)):
        datasette = await make_datasette({"docs": {"storage": "memory"}}, thumbnail_eager=False)
    url = (await sample(datasette, "photos/phone.jpg"))["thumbnail_url"]
    assert (await datasette.client.get(url)).headers["content-type"] == "image/svg+xml"
    assert "has 50,000 bytes of 110,758" in caplog.text
    cut[0] = False
    await due(datasette)
    assert (await datasette.client.get(url)).headers["content-type"] == "image/jpeg"


async def test_a_source_that_hangs_leaves_the_workers_to_the_others(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    reached, on = asyncio.Event(), asyncio.Event()

    async def stream_range(self: Any, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        reached.set()
        await on.wait()
        yield self.objects[path][start:end]

    with installed(storage_class(stream_range=stream_range)):
        sources = {"docs": {"storage": "memory"}, "well": disk_source(tmp_path / "well")}
        datasette = await make_datasette(sources, thumbnail_eager=False, thumbnail_concurrency=1)
    hung = [(await sample(datasette, "photos/phone.jpg"))["thumbnail_url"] for _ in range(3)]
    asked = [asyncio.create_task(datasette.client.get(url)) for url in hung]
    await reached.wait()
    url = (await sample(datasette, "photos/phone.jpg", source="well"))["thumbnail_url"]
    assert (await datasette.client.get(url)).headers["content-type"] == "image/jpeg"
    assert not any(one.done() for one in asked)
    on.set()
    answers = await asyncio.gather(*asked)
    assert {answer.headers["content-type"] for answer in answers} == {"image/jpeg"}


async def test_what_is_installed_or_removed_meanwhile_is_noticed(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = shutil.which("ffmpeg")
    if found is None:
        missing("ffmpeg")
        return
    monkeypatch.setattr("datasette_files.previews.thumbnails.LOOK_SECONDS", 0)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    program = folder / "ffmpeg"
    datasette = await make_datasette(thumbnail_eager=False)
    url = (await sample(datasette, "media/clip.mp4"))["thumbnail_url"]
    sql = "SELECT count(*) FROM datasette_files_thumbnail_failures"

    async def shown() -> str:
        content_type: str = (await datasette.client.get(url)).headers["content-type"]
        return content_type

    assert await shown() == "image/svg+xml"
    program.write_text("#!/bin/sh\nexit 1")  # one that reads no such file
    program.chmod(0o755)
    assert await shown() == "image/svg+xml"
    assert await rows(datasette, f"{sql} WHERE retry_at IS NULL") == [(1,)]
    program.unlink()
    assert await shown() == "image/svg+xml"
    program.symlink_to(found)
    assert await shown() == "image/jpeg"
    assert await rows(datasette, sql) == [(0,)]


@pytest.mark.full
async def test_a_part_that_is_removed_unnoticed_is_not_held_against_the_file(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\nexit 1")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    datasette = await make_datasette(thumbnail_eager=False)
    program.unlink()
    url = (await sample(datasette, "media/clip.mp4"))["thumbnail_url"]
    sql = "SELECT retry_at > 0, reason FROM datasette_files_thumbnail_failures"
    for _ in range(ATTEMPTS + 1):
        await datasette.client.get(url)
        ((again, reason),) = await rows(datasette, sql)
        assert again
        assert "ffmpeg cannot be run" in reason
        await due(datasette)


async def test_plugins_are_asked_before_the_workers(make_datasette: MakeDatasette) -> None:
    class Mine(Generator):
        async def can_generate(self, content_type: str, filename: str) -> bool:
            return content_type == "image/jpeg"

    generator = Mine(ThumbnailResult(PIXEL, "image/png", 1, 1))
    datasette = await with_generator(make_datasette, generator, thumbnail_eager=False)
    url = (await sample(datasette, "photos/phone.jpg"))["thumbnail_url"]
    assert (await datasette.client.get(url)).content == PIXEL
    assert (await datasette.client.get(f"{url}?w=400")).content == PIXEL
    assert [call[3:] for call in generator.calls] == [(200, 200), (400, 400)]
    assert Files.of(datasette).thumbnails.workers.pids == []


async def test_a_page_of_photos_has_all_of_its_thumbnails(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(thumbnail_eager=False)
    urls = [
        (await sample(datasette, f"photos/orientation-{1 + n % 8}.jpg"))["thumbnail_url"]
        for n in range(24)
    ]
    answers = await asyncio.gather(*(datasette.client.get(url) for url in urls))
    assert {answer.headers["content-type"] for answer in answers} == {"image/jpeg"}
    assert len(Files.of(datasette).thumbnails.workers.pids) <= 2


async def test_who_has_waited_long_enough_is_given_an_icon_for_now(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasette_files.previews.thumbnails.WAIT_SECONDS", 0)
    datasette = await make_datasette(thumbnail_eager=False)
    url = (await sample(datasette, "photos/phone.jpg"))["thumbnail_url"]
    answer = await datasette.client.get(url)
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.headers["cache-control"] == "no-store"
    await until_idle(datasette)
    assert (await datasette.client.get(url)).headers["content-type"] == "image/jpeg"
