"""Thumbnails by workers: made soon after the upload, in few sizes, and again once that helps."""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from PIL import Image

from datasette_files.app import Files
from datasette_files.base import ThumbnailResult
from datasette_files.previews.thumbnails import ATTEMPTS, SIDES
from tests.conftest import MakeDatasette, disk_source, missing, upload
from tests.support.fixtures import fixture
from tests.support.storages import installed, storage_class
from tests.support.thumbnails import PIXEL, Generator, due, with_generator


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests wait for their thumbnails here however busy the machine is."""
    monkeypatch.setattr("datasette_files.previews.thumbnails.WAIT_SECONDS", 120)


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
