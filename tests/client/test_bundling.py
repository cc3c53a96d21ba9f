"""Bundles of a server on this disk: whole and verified, or going on where they broke."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from datasette_files.client import AsyncClient
from datasette_files.client import bundling as bundling_module
from datasette_files.errors import ChecksumMismatch, Conflict, FilesError, Invalid, NotFound
from tests.conftest import MakeDatasette, upload
from tests.support.columns import ABSENT, datasette_with_people


class Cutting(httpx.AsyncBaseTransport):
    """Passes requests on to a Datasette; cuts the next bodies of zips after so many bytes."""

    def __init__(self, app: Any) -> None:
        self._inner = httpx.ASGITransport(app=app)
        self.requests: list[httpx.Request] = []
        self.cuts: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = await self._inner.handle_async_request(request)
        is_zip = request.method == "GET" and request.url.path.endswith(".zip")
        if not (is_zip and answer.status_code in (200, 206) and self.cuts):
            return answer
        whole, at = await answer.aread(), self.cuts.pop(0)

        async def body() -> Any:
            yield whole[:at]
            raise httpx.ReadError("broken")

        return httpx.Response(answer.status_code, headers=answer.headers, content=body())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasette_files.client.fetching.PAUSES", ())
    monkeypatch.setattr("datasette_files.client.server.PAUSES", ())
    monkeypatch.setattr(bundling_module, "_LOOK_SECONDS", 0.01)


async def test_a_bundle_is_verified_and_goes_on_after_a_break_and_a_kill(
    make_datasette: MakeDatasette, tmp_path: Path, quick: None
) -> None:
    site = await datasette_with_people(make_datasette, tmp_path)
    contents = {"a.txt": b"one", "large.bin": bytes(range(256)) * 4_000}
    ids = [(await upload(site, content, name))["id"] for name, content in contents.items()]
    transport = Cutting(site.app())
    seen: list[int] = []

    def client() -> AsyncClient:
        return AsyncClient("http://localhost/", state=tmp_path / "state", transport=transport)

    out = tmp_path / "bag"
    async with client() as one:
        transport.cuts = [300_000]
        with pytest.raises(FilesError):
            await one.bundle(out, source="docs", progress=seen.append)
    assert not out.exists()
    assert (tmp_path / ".bag.bundle.part").stat().st_size == 300_000
    async with client() as one:  # another process
        done = await one.bundle(out, source="docs", progress=seen.append)
        assert done == {"files": 2, "bytes": sum(map(len, contents.values())), "left_out": 0}
        ranges = [one.headers.get("Range") for one in transport.requests]
        assert [one for one in ranges if one] == ["bytes=300000-"]
        assert len([one for one in transport.requests if one.method == "POST"]) == 1
        assert (out / "data" / "files" / "large.bin").read_bytes() == contents["large.bin"]
        assert "manifest-sha256.txt" in (out / "tagmanifest-sha256.txt").read_text()
        with pytest.raises(Conflict, match="exists already"):
            await one.bundle(out, source="docs")
        done = await one.bundle(tmp_path / "x.zip", files=ids[:1], zipped=True)
        assert done["files"] == 1
        with zipfile.ZipFile(tmp_path / "x.zip") as archive:
            assert archive.read("files/data/files/a.txt") == b"one"
        await site.client.post("/data/people/1/-/update", json={"update": {"photo": ids[0]}})
        done = await one.bundle(tmp_path / "table", table="data/people")
        assert (done["files"], (tmp_path / "table" / "data" / "rows.csv").exists()) == (1, True)
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []


@pytest.mark.full
async def test_a_bundle_that_cannot_be_had_is_explained(
    make_datasette: MakeDatasette, tmp_path: Path, quick: None
) -> None:
    site = await datasette_with_people(make_datasette, tmp_path)
    file_id = (await upload(site, bytes(300_000)))["id"]
    transport = Cutting(site.app())
    client = AsyncClient("http://localhost/", state=tmp_path / "state", transport=transport)
    async with client:
        for what, error in (
            ({}, Invalid),
            ({"source": "docs", "files": [file_id]}, Invalid),
            ({"table": "people"}, Invalid),
            ({"table": "data/none"}, NotFound),
            ({"files": [ABSENT]}, NotFound),
        ):
            with pytest.raises(error):
                await client.bundle(tmp_path / "out", **what)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Invalid, match="choose fewer"):
            patch.setattr("datasette_files.transfer.zip_bags._MAX_LISTS", 10)
            await client.bundle(tmp_path / "out", source="docs")
        # The address of a bundle that was begun ends with its file; another one is made.
        other = (await upload(site, b"kept"))["id"]
        transport.cuts = [1000]
        with pytest.raises(FilesError):
            await client.bundle(tmp_path / "out", source="docs")
        await site.client.delete(f"/-/files/{file_id}")
        assert (await client.bundle(tmp_path / "out", source="docs"))["files"] == 1
        # Bytes that are not those of the catalog.
        path = next((tmp_path / "docs").rglob("hello.txt"))
        path.write_bytes(b"tpek")
        with pytest.raises((ChecksumMismatch, Invalid)):
            await client.bundle(tmp_path / "again", files=[other])
        assert not (tmp_path / "again").exists()
        assert not (tmp_path / ".again.bundle.part").exists()
        path.write_bytes(b"kept")
        assert (await client.bundle(tmp_path / "again", files=[other]))["files"] == 1
