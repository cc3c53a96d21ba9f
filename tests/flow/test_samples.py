"""Every sample file goes up, is found, comes down byte for byte, and goes: on every storage."""

from __future__ import annotations

import mimetypes
from itertools import groupby
from urllib.parse import quote

import pytest

from tests.flow.conftest import KINDS
from tests.support.fixtures import Fixture, all_fixtures
from tests.support.flow.flow import Flow, sha256

_FOLDERS = {
    folder: list(samples)
    for folder, samples in groupby(all_fixtures(), key=lambda sample: sample.path.parent.name)
}

# The others differ in no more than what the other tests here ask of each.
_ALWAYS = ("filesystem",)
_KINDS = [
    pytest.param(kind, id=name, marks=[] if name in _ALWAYS else pytest.mark.full)
    for name, kind in KINDS.items()
]


async def _check_record(flow: Flow, record: dict, sample: Fixture) -> None:
    assert record["filename"] == sample.path.name
    assert record["size"] == sample.size
    assert record["content_hash"] == f"sha256:{sample.sha256}"
    assert record["content_type"] == sample.content_type
    assert record["uploaded_by"] == "alice"
    flat = (await flow.request("GET", f"{record['url']}.json")).json
    # A picture may be measured between the two answers.
    measured = {key: flat[key] for key in ("width", "height") if record[key] is None}
    assert {key: flat[key] for key in record} == {**record, **measured}
    assert flat["path"] in await flow.stored()


async def _check_lists(flow: Flow, record: dict, sample: Fixture) -> None:
    listed = (await flow.request("GET", f"/-/files/source/{flow.source}.json?_size=200")).json
    assert record["id"] in [file["id"] for file in listed["files"]]
    for query in (record["id"], sample.path.name):
        found = (await flow.request("GET", f"/-/files/search.json?q={quote(query)}")).json
        assert record["id"] in [file["id"] for file in found["files"]], query
    batch = (await flow.request("GET", f"/-/files/batch.json?id={record['id']}")).json
    assert batch["files"][record["id"]]["size"] == sample.size


async def _check_bytes(flow: Flow, record: dict, sample: Fixture) -> None:
    content = sample.path.read_bytes()
    down = await flow.download(record)
    assert down.status == 200
    assert down.content == content
    assert sha256(down.content) == sample.sha256
    assert down.headers["content-type"] == sample.content_type
    assert down.headers["content-disposition"].startswith("attachment; filename=")
    head = await flow.request("HEAD", record["download_url"])
    assert (head.status, head.content) == (200, b"")
    assert head.headers["content-length"] == str(sample.size)
    assert head.headers["etag"] == f'"{sample.sha256}"'
    if flow.kind.fetch is None and sample.size:
        part = await flow.download(record, Range="bytes=-100")
        assert part.status == 206
        assert part.content == content[-100:]


@pytest.mark.parametrize("kind", _KINDS, indirect=True)
@pytest.mark.parametrize(
    "folder",
    [pytest.param(one, marks=pytest.mark.full if one == "photos" else []) for one in _FOLDERS],
)
async def test_samples_go_up_and_come_down(flow: Flow, folder: str) -> None:
    for sample in _FOLDERS[folder]:
        # Odd ones are declared as what their names say, which for some is not the truth.
        by_name = mimetypes.guess_type(sample.path.name)[0]
        declared = by_name if folder == "odd" else sample.content_type
        record = await flow.upload(
            sample.path.read_bytes(),
            sample.path.name,
            content_type=declared,
            size=sample.size,
            sha256=sample.sha256,
        )
        await _check_record(flow, record, sample)
        await _check_lists(flow, record, sample)
        await _check_bytes(flow, record, sample)
        deleted = await flow.request("POST", f"{record['url']}/-/delete", json={})
        assert (deleted.status, deleted.json) == (200, {"ok": True})
        assert (await flow.request("GET", record["download_url"])).status == 404
    assert await flow.stored() == set()
    assert await flow.rows("SELECT id FROM datasette_files") == []
