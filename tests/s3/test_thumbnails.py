"""Thumbnails and previews of files that are on S3, by ranges of them where a part will do."""

from __future__ import annotations

import asyncio
import html
import io
from pathlib import Path

import pytest
from PIL import Image

from datasette_files.app import Files
from datasette_files.previews import kinds
from tests.conftest import MakeDatasette, upload
from tests.support.fixtures import fixture
from tests.support.flow.flow import Kind
from tests.support.flow.s3 import S3_DIRECT, S3_PROXY


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(S3_DIRECT, id="direct"),
        pytest.param(S3_PROXY, id="proxy", marks=pytest.mark.full),
    ],
)
async def test_what_is_on_s3_is_pictured_and_previewed(
    make_datasette: MakeDatasette, tmp_path: Path, kind: Kind
) -> None:
    datasette = await make_datasette({"docs": kind.source(tmp_path)})
    records = {}
    for name in (
        *(
            "photos/phone.jpg",
            "media/clip.mp4",
            "documents/one-page.pdf",
            "odd/claims-50000x50000.png",
        ),
        *("documents/towers.csv", "archives/two-files.zip", "documents/towers.json"),
    ):
        file = fixture(name)
        records[file.path.name] = await upload(
            datasette, file.path.read_bytes(), file.path.name, content_type=file.content_type
        )
    files = Files.of(datasette)
    for _ in range(6000):
        if not files.thumbnails.waiting:
            break
        await asyncio.sleep(0.01)
    for name, size in (
        ("phone.jpg", (150, 200)),
        ("clip.mp4", (160, 120)),
        ("one-page.pdf", (142, 200)),
    ):
        record = records[name]
        if kinds.installed().of(record["content_type"]) is None:
            continue
        made = await datasette.client.get(record["thumbnail_url"])
        assert Image.open(io.BytesIO(made.content)).size == size, name
    damaged = await datasette.client.get(records["claims-50000x50000.png"]["thumbnail_url"])
    assert damaged.headers["content-type"] == "image/svg+xml"
    assert damaged.headers["cache-control"] != "no-store"  # it is known to be damaged
    listed = (await datasette.client.get(f"{records['phone.jpg']['url']}.json")).json()
    assert (listed["width"], listed["height"]) == (3024, 4032)
    for name, shown in (
        ("towers.csv", "<td>Köln</td>"),
        ("two-files.zip", "readme.txt"),
        ("towers.json", '"city": "Köln"'),
    ):
        page = await datasette.client.get(records[name]["url"])
        assert shown in html.unescape(page.text), name
