"""The client of a server, on a Datasette in this process: what it asks, and what breaks."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from datasette_files.client import AsyncClient, Client, Unreachable
from datasette_files.client import sending as sending_module
from datasette_files.client import server as server_module
from datasette_files.client.memory import Memory
from datasette_files.errors import (
    ChecksumMismatch,
    Conflict,
    FilesError,
    Invalid,
    NotFound,
    PermissionDenied,
    StorageError,
)
from tests.conftest import OPEN, MakeDatasette, disk_source

CONTENT = b"0123456789" * 1000


class Breaking(httpx.AsyncBaseTransport):
    """Passes requests on to a Datasette; breaks off those that ``breaks`` chooses."""

    def __init__(self, app: Any) -> None:
        self._inner = httpx.ASGITransport(app=app)
        self.requests: list[httpx.Request] = []
        #: ``(method, end of the path)``: the bytes of the body that pass.
        self.breaks: dict[tuple[str, str], int] = {}

    def _broken(self, request: httpx.Request) -> int | None:
        for (method, end), passed in list(self.breaks.items()):
            if request.method == method and request.url.path.endswith(end):
                del self.breaks[method, end]
                return passed
        return None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        passed = self._broken(request)
        if passed is None:
            return await self._inner.handle_async_request(request)
        cut, headers = _cut(request, passed), request.headers
        await self._inner.handle_async_request(
            httpx.Request(request.method, request.url, headers=headers, content=cut)
        )
        raise httpx.ReadError("broken")


async def _cut(request: httpx.Request, size: int) -> AsyncIterator[bytes]:
    assert isinstance(request.stream, httpx.AsyncByteStream)
    async for chunk in request.stream:
        yield chunk[:size]
        return


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, and every file is a large one."""
    for module in (server_module, sending_module):
        monkeypatch.setattr(module, "PAUSES", (0.0,) * 5)
    monkeypatch.setattr("datasette_files.client.fetching.PAUSES", (0.0,) * 5)
    monkeypatch.setattr(sending_module, "ONE_REQUEST", 100)


async def connected(
    make_datasette: MakeDatasette, tmp_path: Path, **more: Any
) -> tuple[AsyncClient, Breaking]:
    sources = {"docs": disk_source(tmp_path / "docs", trash_days=3)}
    sources |= {"other": disk_source(tmp_path / "other")}
    datasette = await make_datasette(sources, **{"permissions": OPEN, **more})
    transport = Breaking(datasette.app())
    client = AsyncClient("http://localhost/", state=tmp_path / "state", transport=transport)
    return client, transport


async def test_small_files_go_up_in_one_request_and_come_down_whole(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    client, transport = await connected(make_datasette, tmp_path)
    (tmp_path / "größe 1.txt").write_bytes(CONTENT)
    seen: list[int] = []
    async with client:
        record = await client.put(
            "docs", tmp_path / "größe 1.txt", folder="a/b", tags=["x", "y"], progress=seen.append
        )
        assert [request.method for request in transport.requests] == ["PUT"]
        assert (record["filename"], sum(seen)) == ("größe 1.txt", len(CONTENT))
        assert [one["slug"] for one in await client.sources()] == ["docs", "other"]
        listed = [file async for file in client.files("docs", tag=["x", "y"], recursive=True)]
        assert [(file["id"], file["folder"]) for file in listed] == [(record["id"], "a/b")]
        down = tmp_path / "down"
        down.mkdir()
        path = await client.get(record["id"], down)
        assert path.read_bytes() == CONTENT
        with pytest.raises(Conflict, match="exists already"):
            await client.get(record["id"], path)
        assert await client.get(record["id"], path, replace=True) == path
        assert [one.name for one in down.iterdir()] == [path.name]
        out = io.BytesIO()
        await client.read_into(record["id"], out)
        assert out.getvalue() == CONTENT
        changed = await client.update(record["id"], filename="new.txt", tags=["z"])
        assert changed is not None
        assert (changed["filename"], changed["tags"]) == ("new.txt", ["z"])
        moved = await client.bulk("move", [record["id"], "df-missing"], to="other")
        assert (moved["done"], moved["refused"]) == (
            1,
            [{"id": "df-missing", "code": "not_found"}],
        )
        assert (await client.file(record["id"]))["source_slug"] == "other"
        await client.bulk("delete", filters={"source": "other"})
        with pytest.raises(NotFound):
            await client.file(record["id"])


async def test_a_broken_upload_goes_on_and_one_that_was_killed_too(
    make_datasette: MakeDatasette, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_module, "_CHUNK", 1000)
    client, transport = await connected(make_datasette, tmp_path)
    file = tmp_path / "large.bin"
    file.write_bytes(CONTENT)
    seen: list[int] = []
    async with client:
        transport.breaks = {("PATCH", ""): 700, ("POST", "/complete"): 10_000}
        record = await client.put("docs", file, progress=seen.append)
        assert record["content_hash"] == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
        patches = [one for one in transport.requests if one.method == "PATCH"]
        assert [int(one.headers["Upload-Offset"]) for one in patches] == [0, 700]
        assert sum(seen) == len(CONTENT)
        assert list((tmp_path / "state").iterdir()) == []

        # A client that is killed after its first bytes: nothing of it runs any more.
        transport.requests.clear()
        file.write_bytes(CONTENT + b"more")

        def killed(number: int) -> None:
            raise KeyboardInterrupt

        version: dict[str, Any] = {"replaces": record["id"], "folder": "a/b", "tags": ["x"]}
        with pytest.raises(KeyboardInterrupt):
            await client.put("docs", file, progress=killed, **version)
        (kept,) = (tmp_path / "state").iterdir()
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        again = await client.put("docs", file, **version)
        prepared = [one for one in transport.requests if one.url.path.endswith("/prepare")]
        assert len(prepared) == 1
        assert again["size"] == len(CONTENT) + 4
        shown = await client.file(again["id"])
        assert {name: shown[name] for name in version} == version
        # A file that has changed since is another upload.
        assert list((tmp_path / "state").iterdir()) == []


async def test_a_broken_download_goes_on_by_range_and_a_changed_one_begins_anew(
    make_datasette: MakeDatasette, tmp_path: Path, quick: None
) -> None:
    client, transport = await connected(make_datasette, tmp_path)
    (tmp_path / "a.bin").write_bytes(CONTENT)
    target = tmp_path / "down.bin"
    async with client:
        record = await client.put("docs", tmp_path / "a.bin")
        transport.requests.clear()
        seen: list[int] = []

        def stopped(number: int) -> None:
            seen.append(number)
            if sum(seen) >= 4000:
                raise KeyboardInterrupt

        class Slow(httpx.AsyncByteStream):
            async def __aiter__(self) -> AsyncIterator[bytes]:
                for start in range(0, len(CONTENT), 4000):
                    yield CONTENT[start : start + 4000]

        plain = transport.handle_async_request

        async def slow(request: httpx.Request) -> httpx.Response:
            response = await plain(request)
            if request.url.path.endswith("/download") and not request.url.query:
                if "Range" not in request.headers:
                    return httpx.Response(200, headers=response.headers, stream=Slow())
                ranges.append(request.headers["Range"])
            return response

        ranges: list[str] = []
        transport.handle_async_request = slow  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            await client.get(record["id"], target, progress=stopped)
        assert not target.exists()
        await client.get(record["id"], target)
        assert target.read_bytes() == CONTENT
        assert ranges == ["bytes=4000-"]
        assert sorted(one.name for one in tmp_path.iterdir() if one.name.endswith(".part")) == []
        assert list((tmp_path / "state").iterdir()) == []


async def test_errors_are_the_servers_and_the_token_goes_to_the_server_alone(
    make_datasette: MakeDatasette, tmp_path: Path, quick: None
) -> None:
    client, _ = await connected(make_datasette, tmp_path, permissions={"files-upload": True})
    async with client:
        with pytest.raises(PermissionDenied):
            _ = [file async for file in client.files("docs")]
        with pytest.raises(Invalid, match="no id"):
            await client.file("../../etc")
        with pytest.raises(Invalid, match="no source"):
            await client.put("../x", tmp_path)
        with pytest.raises(NotFound, match="cannot be read"):
            await client.put("docs", tmp_path / "missing")

    sent: list[httpx.Request] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        if request.url.host == "store.example":
            return httpx.Response(200, content=b"abc", headers={"ETag": '"x"'})
        if request.url.params.get("redirect") == "0":
            return httpx.Response(200, json={"ok": True, "url": "https://store.example/a?sig=1"})
        if request.url.path.endswith("html.json"):
            return httpx.Response(200, text="<html>")
        if request.url.path.endswith("proxy.json"):
            return httpx.Response(502, text="<html>")
        if request.url.path.endswith("down.json"):
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"id": "df-a", "filename": "a", "size": 3})

    transport = httpx.MockTransport(answer)
    async with AsyncClient(
        "https://data.example/base/", "secret", state=tmp_path / "state", transport=transport
    ) as client:
        await client.get("df-a", tmp_path / "a")
        tokens = {request.url.host: request.headers.get("Authorization") for request in sent}
        assert tokens == {"data.example": "Bearer secret", "store.example": None}
        assert sent[0].url.path == "/base/-/files/df-a.json"
        with pytest.raises(NotFound, match="no JSON"):
            await client.file("df-html")
        with pytest.raises(FilesError, match="502"):
            await client.file("df-proxy")
        with pytest.raises(Unreachable, match="cannot be reached"):
            await client.file("df-down")
    for url in ("ftp://a", "nonsense", "https://u:p@host/", "https://host/?q=1"):
        with pytest.raises(Invalid):
            AsyncClient(url)
    with pytest.raises(Invalid, match="token"):
        AsyncClient("https://host", "a b")


async def test_a_small_file_whose_answer_was_lost_is_sent_again_and_stored_once(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "PAUSES", (0.0,))
    client, transport = await connected(make_datasette, tmp_path)
    (tmp_path / "a.txt").write_bytes(CONTENT[:1000])
    told: list[int] = []
    transport.breaks["PUT", "a.txt"] = 1000
    async with client:
        record = await client.put("docs", tmp_path / "a.txt", progress=told.append)
        assert record["size"] == sum(told) == 1000
        assert [file["id"] async for file in client.files("docs")] == [record["id"]]
    assert [request.method for request in transport.requests[:2]] == ["PUT", "PUT"]


@pytest.mark.parametrize(
    ("answers", "asked"),
    [
        pytest.param([504, 409, 409, 201], 4, id="a proxy gave up"),
        pytest.param([httpx.ReadError, httpx.ConnectError, 409, 503, 201], 5, id="it starts anew"),
        pytest.param([429, 409], 2, id="nothing had arrived"),
        pytest.param([504, 409, 409, 409, 409, 409], 6, id="it stays so"),
        pytest.param([httpx.ReadError, *[httpx.ConnectError] * 5], 6, id="it stays away"),
    ],
)
async def test_a_small_file_that_may_have_arrived_is_sent_again_or_said_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[Any], asked: int
) -> None:
    monkeypatch.setattr(server_module, "PAUSES", (0.0,) * 5)
    codes = {409: "conflict", 503: "storage_unavailable"}
    keys: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        told = answers[len(keys) - 1]
        if not isinstance(told, int):
            raise told("broken")
        if told == 201:
            return httpx.Response(201, json={"ok": True, "file": {"id": "df-a"}})
        body = {"ok": False, "error": "why", "code": codes[told]} if told in codes else None
        return httpx.Response(told, json=body)

    (tmp_path / "a.txt").write_bytes(b"small")
    transport = httpx.MockTransport(answer)
    async with AsyncClient("https://host", state=tmp_path / "state", transport=transport) as client:
        if answers[-1] == 201:
            assert (await client.put("docs", tmp_path / "a.txt"))["id"] == "df-a"
        elif 429 in answers:
            with pytest.raises(Conflict, match="why"):
                await client.put("docs", tmp_path / "a.txt")
        else:
            with pytest.raises(Unreachable, match=r"may have stored a\.txt"):
                await client.put("docs", tmp_path / "a.txt")
    assert (len(keys), len(set(keys))) == (asked, 1)


async def test_what_cannot_pass_is_not_asked_again_and_only_our_files_are_swept(
    tmp_path: Path, quick: None
) -> None:
    asked: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith("/download"):
            if request.url.query:
                return httpx.Response(200, json={"ok": True, "url": "/-/files/df-a/download"})
            body = {"ok": False, "error": "The bytes are missing", "code": "storage_error"}
            return httpx.Response(502, json=body)
        return httpx.Response(200, json={"id": "df-a", "filename": "a", "size": 3})

    state = tmp_path / "state"
    state.mkdir()
    theirs, ours = state / "holiday.json", state / f"{'0' * 64}.json"
    for old in (theirs, ours):
        old.write_text("{}")
        os.utime(old, (0, 0))
    Memory(state).of("x").keep(a=1)
    assert (theirs.exists(), ours.exists()) == (True, False)
    transport = httpx.MockTransport(answer)
    async with AsyncClient("https://data.example", state=state, transport=transport) as client:
        with pytest.raises(StorageError, match="bytes are missing"):
            await client.get("df-a", tmp_path / "a")
    assert asked.count("/-/files/df-a/download") == 2
    assert not (tmp_path / "a").exists()


@pytest.mark.usefixtures("quick")
async def test_a_copy_goes_on_after_a_break_on_either_side(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    client, transport = await connected(make_datasette, tmp_path)
    (tmp_path / "a.txt").write_bytes(CONTENT)
    told: list[int] = []
    async with client:
        record = await client.put("docs", tmp_path / "a.txt", folder="a", tags=["x"])
        transport.requests.clear()
        transport.breaks = {("PATCH", ""): 4000, ("GET", "/download"): 0}
        made = await client.copy(record["id"], "other", progress=told.append)
        copy = await client.file(made["id"])
        assert (copy["filename"], copy["folder"], copy["tags"]) == ("a.txt", "a", ["x"])
        assert copy["id"] != record["id"]
        assert (copy["source_slug"], copy["content_hash"]) == ("other", record["content_hash"])
        assert sum(told) == len(CONTENT)
        ranges = [one.headers.get("Range") for one in transport.requests]
        assert f"bytes=0-{len(CONTENT) - 1}" in ranges
        out = io.BytesIO()
        await client.read_into(copy["id"], out)
        assert out.getvalue() == CONTENT
        with pytest.raises(NotFound):
            await client.copy("df-01m8kaw6pqzzt5f3d47zcnkwrx", "other")


async def test_a_copy_of_damaged_bytes_is_refused(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    client, _ = await connected(make_datasette, tmp_path)
    (tmp_path / "a.txt").write_bytes(CONTENT)
    async with client:
        record = await client.put("docs", tmp_path / "a.txt")
        path = (await client.file(record["id"]))["path"]
        (tmp_path / "docs" / path).write_bytes(CONTENT[::-1])
        with pytest.raises(ChecksumMismatch):
            await client.copy(record["id"], "other")
        assert [file async for file in client.files("other")] == []


async def test_the_blocking_client_works_where_a_loop_runs(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            return httpx.Response(201, json={"ok": True, "file": {"id": "df-a"}})
        after = request.url.params.get("_next")
        files = [{"id": after or "first"}]
        return httpx.Response(200, json={"files": files, "next": None if after else "second"})

    with Client("http://localhost", transport=httpx.MockTransport(answer)) as client:
        assert [file["id"] for file in client.files("docs")] == ["first", "second"]
        assert client.put_bytes("docs", b"abc", "a.txt")["id"] == "df-a"
    client.close()
