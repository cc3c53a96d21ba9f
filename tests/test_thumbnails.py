"""Thumbnails: made once by plugins' generators, cached; an icon where none succeeds in time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.base import ThumbnailGenerator, ThumbnailResult
from datasette_files.errors import StorageUnavailable
from tests.conftest import MakeDatasette, upload
from tests.storages import installed, registered, storage_class

PIXEL = b"\x89PNG\r\n\x1a\n pixel"


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
    assert generator.ended.is_set()


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
