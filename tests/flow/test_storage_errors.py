"""A plugin's storage that fails, at each method and in each way: a clear answer, never a 500."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import aclosing
from typing import Any

import pytest

from datasette_files.base import FileMetadata
from datasette_files.errors import FilesError, NoSpace, StorageError, StorageUnavailable
from datasette_files.sources import sources as sources_module
from tests.conftest import MakeDatasette
from tests.support.flow.flow import Answer, Flow, Kind, sha256
from tests.support.storages import DirectStorage, MemoryStorage, SignedStorage


def _faulty(base: type[MemoryStorage]) -> type[MemoryStorage]:
    """That storage, whose methods raise what a test puts into ``faults``."""

    class Faulty(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.faults: dict[str, BaseException] = {}

        def __getattribute__(self, name: str) -> Any:
            if not name.startswith("_") and name != "faults" and name in self.faults:
                return _raising(name, self.faults[name])
            return super().__getattribute__(name)

    return Faulty


def _raising(name: str, error: BaseException) -> Callable[..., Any]:
    if name.startswith("stream"):

        async def generator(*args: Any, **kwargs: Any) -> AsyncIterator[bytes]:
            raise error
            yield b""

        return generator

    # The parameters' names tell the core that this is no storage of the oldest kind.
    async def method(*args: Any, **kwargs: Any) -> Any:
        raise error

    return method


MEMORY, SIGNED, DIRECT = map(_faulty, (MemoryStorage, SignedStorage, DirectStorage))

_ERRORS = [
    pytest.param(RuntimeError("secret detail"), 502, "storage_error", id="RuntimeError"),
    pytest.param(OSError(5, "secret detail"), 502, "storage_error", id="OSError"),
    pytest.param(KeyError("secret detail"), 502, "storage_error", id="KeyError"),
    pytest.param(asyncio.TimeoutError("secret detail"), 502, "storage_error", id="TimeoutError"),
    pytest.param(StorageError("It failed"), 502, "storage_error", id="StorageError"),
    pytest.param(
        StorageUnavailable("It is away"), 503, "storage_unavailable", id="StorageUnavailable"
    ),
    pytest.param(NoSpace("It is full"), 507, "no_space", id="NoSpace"),
]


@pytest.fixture
async def make(
    make_datasette: MakeDatasette, register_storages: Callable[..., None]
) -> Callable[..., Any]:
    async def make_flow(storage_type: type[MemoryStorage]) -> Flow:
        register_storages(storage_type)
        datasette = await make_datasette(sources={"docs": {"storage": storage_type.storage_type}})
        send = None
        if issubclass(storage_type, DirectStorage):
            send = lambda storage, prepared, content: storage.put(prepared["upload_url"], content)  # noqa: E731
        return Flow(datasette, Kind(source=lambda _: {}, send=send))

    return make_flow


def _assert_error(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"]) == (status, code)
    assert answer.json["ok"] is False
    assert b"secret detail" not in answer.content


@pytest.mark.parametrize(("error", "status", "code"), _ERRORS)
async def test_upload_through_a_failing_storage(
    make: Any, error: Exception, status: int, code: str
) -> None:
    flow = await make(MEMORY)
    flow.storage.faults["receive_upload"] = error
    prepared = (await flow.prepare()).json
    _assert_error(await flow.send(prepared, b"hello"), status, code)
    _assert_error(await flow.put(b"hello"), status, code)
    await flow.assert_nothing_left()
    flow.storage.faults.clear()
    assert (await flow.send(prepared, b"hello")).status == 200
    assert (await flow.complete(prepared["upload_token"])).status == 201


@pytest.mark.parametrize(("error", "status", "code"), _ERRORS)
async def test_direct_upload_to_a_failing_storage(
    make: Any, error: Exception, status: int, code: str
) -> None:
    flow = await make(DIRECT)
    flow.storage.faults["prepare_upload"] = error
    _assert_error(await flow.prepare(), status, code)
    assert await flow.rows("SELECT * FROM datasette_files_uploads") == []
    flow.storage.faults.clear()
    prepared = (await flow.prepare()).json
    await flow.send(prepared, b"hello")
    flow.storage.faults["finish_upload"] = error
    _assert_error(await flow.complete(prepared["upload_token"]), status, code)
    flow.storage.faults.clear()
    completed = await flow.complete(prepared["upload_token"])
    assert completed.status == 201, "what was sent is not lost by a storage's bad moment"
    assert completed.json["file"]["size"] == 5


@pytest.mark.parametrize(("error", "status", "code"), _ERRORS)
async def test_download_from_a_failing_storage(
    make: Any, error: Exception, status: int, code: str
) -> None:
    flow = await make(MEMORY)
    record = await flow.upload(b"x" * 600_000)
    flow.storage.faults |= {"stream_range": error, "stream_file": error}
    for headers in ({}, {"Range": "bytes=5-9"}, {"Range": "bytes=0-4,10-14"}):
        answer = await flow.request("GET", record["download_url"], headers=headers)
        _assert_error(answer, status, code)
    assert (await flow.request("HEAD", record["download_url"])).status == 200
    assert (await flow.request("GET", f"{record['url']}.json")).status == 200


@pytest.mark.parametrize(("error", "status", "code"), _ERRORS)
async def test_redirect_by_a_failing_storage(
    make: Any, error: Exception, status: int, code: str
) -> None:
    flow = await make(SIGNED)
    record = await flow.upload()
    flow.storage.faults["signed_download_url"] = error
    _assert_error(await flow.request("GET", record["download_url"]), status, code)


@pytest.mark.parametrize(("error", "status", "code"), _ERRORS)
async def test_delete_from_a_failing_storage_is_made_good_later(
    make: Any, error: Exception, status: int, code: str
) -> None:
    flow = await make(MEMORY)
    record = await flow.upload()
    flow.storage.faults |= {"delete_file": error, "delete_files": error}
    assert (await flow.request("DELETE", record["url"])).status == 204
    assert (await flow.request("GET", f"{record['url']}.json")).status == 404
    assert len(await flow.stored()) == 1
    flow.storage.faults.clear()
    await flow.change("UPDATE datasette_files_garbage SET not_before = 0")
    await flow.sweep()
    await flow.assert_nothing_left()


@pytest.mark.parametrize(("error", "status", "code"), _ERRORS)
async def test_pages_stand_while_the_storage_fails(
    make: Any, error: Exception, status: int, code: str
) -> None:
    flow = await make(MEMORY)
    record = await flow.upload()
    methods = "read_file read_bytes read_file_limited stream_file get_file_metadata list_files"
    flow.storage.faults |= dict.fromkeys(methods.split(), error)
    for path in (record["url"], "/-/files/source/docs", "/-/files", record["thumbnail_url"]):
        assert (await flow.request("GET", path)).status == 200, path


@pytest.mark.parametrize("kept", [None, 0, 4], ids=["gone", "empty", "cut"])
@pytest.mark.parametrize("size", [1000, 600_000])
async def test_object_that_is_missing_has_one_answer_everywhere(
    make: Any, caplog: pytest.LogCaptureFixture, size: int, kept: int | None
) -> None:
    flow = await make(MEMORY)
    record = await flow.upload(b"a,b\n" * (size // 4), "table.csv")
    path, content = flow.storage.objects.popitem()
    if kept is not None:
        flow.storage.objects[path] = content[:kept]

    async def get(url: str, **headers: str) -> Answer:
        caplog.clear()
        answer: Answer = await flow.request("GET", url, headers=headers)
        (line,) = caplog.records
        assert record["id"] in line.getMessage()
        assert line.exc_info is None
        for word in (b"missing", b"administrator"):
            assert word in answer.content
        assert b"try again" not in answer.content.lower()
        return answer

    download, url = record["download_url"], record["url"]
    preview = url.replace("/-/files/", "/-/files/import/")
    html = {"Accept": "text/html"}
    for answer in (
        await get(download),
        await get(f"{url}/inline"),
        await get(download, Range="bytes=5-9"),
        await get(download, Range="bytes=0-4,10-14"),
    ):
        _assert_error(answer, 502, "storage_error")
    assert (await get(download, **html)).status == 502
    page = await get(url, **html)
    assert (page.status, b"No preview: The file" in page.content) == (200, True)
    assert (await get(preview, **html)).status == 502
    caplog.clear()
    assert (await flow.request("GET", record["thumbnail_url"])).status == 200
    assert caplog.records == []


async def test_object_that_goes_on_is_not_served_as_the_file(make: Any) -> None:
    flow = await make(MEMORY)
    record = await flow.upload(b"0123456789")
    path = next(iter(await flow.stored()))
    flow.storage.objects[path] = b"0123456789more"
    assert (await flow.request("GET", record["download_url"])).content == b"0123456789"
    assert (await flow.request("GET", record["url"])).status == 200


class _Rubbish(DirectStorage):
    """Answers what a test tells it to."""

    storage_type = "rubbish"
    answer: Any = None
    direct = False

    async def receive_upload(self, path: str, stream: Any, content_type: str) -> Any:
        await super().receive_upload(path, stream, content_type)
        return self.answer

    async def prepare_upload(self, path: str, *args: Any, **kwargs: Any) -> Any:
        return await super().prepare_upload(path, *args, **kwargs) if self.direct else None

    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> Any:
        await super().finish_upload(path, instructions_state)
        return self.answer


_RUBBISH = [
    None,
    "stored",
    {"size": 5},
    FileMetadata("x", "x", size=4),
    FileMetadata("x", "x", size=-1),
]


async def test_answers_that_make_no_sense_to_an_upload(make: Any) -> None:
    flow = await make(_Rubbish)
    for flow.storage.answer in _RUBBISH:
        _assert_error(await flow.put(b"hello"), 502, "storage_error")
    await flow.assert_nothing_left()


async def test_answers_that_make_no_sense_to_a_direct_upload(make: Any) -> None:
    flow = await make(_Rubbish)
    flow.storage.direct = True
    for flow.storage.answer in (*_RUBBISH[:3], FileMetadata("x", "x", size=None)):
        _assert_error(await flow.three_steps(b"hello"), 502, "storage_error")
    flow.storage.answer = FileMetadata("x", "x", size=4)
    _assert_error(await flow.three_steps(b"hello", size=5), 400, "invalid")


async def test_hash_that_the_storage_does_not_tell_is_read_back(make: Any) -> None:
    flow = await make(_Rubbish)
    flow.storage.answer = FileMetadata("x", "x", size=5)
    answer = await flow.put(b"hello")
    assert answer.json["file"]["content_hash"] == f"sha256:{sha256(b'hello')}"
    flow.storage.direct = True
    declared = await flow.three_steps(b"hello", sha256=sha256(b"other"))
    _assert_error(declared, 422, "checksum_mismatch")
    declared = await flow.three_steps(b"hello", sha256=sha256(b"hello"))
    assert declared.json["file"]["content_hash"] == f"sha256:{sha256(b'hello')}"


async def test_source_that_is_down_is_shown_from_the_catalog_until_it_is_back(
    make_datasette: MakeDatasette,
    register_storages: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sources_module, "RETRY_SECONDS", (0.02, 0.05))
    objects: dict[str, bytes] = {}
    up = asyncio.Event()
    up.set()

    class Away(MemoryStorage):
        async def configure(self, config: dict[str, Any], get_secret: Any) -> None:
            if not up.is_set():
                raise StorageUnavailable("for now")
            back.set()
            self.objects = objects

    back = asyncio.Event()
    register_storages(Away)
    sources = {"docs": {"storage": "memory"}}
    before = Flow(await make_datasette(sources), Kind(source=lambda _: {}))
    record = await before.upload(b"hello", "note.txt")
    await before.datasette.invoke_shutdown()
    up.clear()
    back.clear()
    flow = Flow(await make_datasette(sources), before.kind)
    url, download = record["url"], record["download_url"]
    for path in ("source/docs.json", "search.json?q=note", "search.json?source=docs"):
        listed = await flow.request("GET", f"/-/files/{path}")
        assert [file["id"] for file in listed.json["files"]] == [record["id"]], path
    batch = await flow.request("GET", f"/-/files/batch.json?id={record['id']}")
    assert list(batch.json["files"]) == [record["id"]]
    assert (await flow.request("GET", f"{url}.json")).json["size"] == 5
    assert (await flow.request("GET", "/-/files/sources.json")).json["sources"][0]["slug"] == "docs"
    html = {"Accept": "text/html"}
    for page in (url, "/-/files", "/-/files/source/docs", "/-/files/search?q=note"):
        assert (await flow.request("GET", page, headers=html)).status == 200, page
    for path in (download, f"{url}/inline"):
        head = await flow.request("HEAD", path)
        assert (head.status, head.headers["content-length"], head.content) == (200, "5", b"")
    assert (await flow.request("GET", f"{url}/thumbnail")).status == 200
    update = {"update": {"search_text": "words"}}
    assert (await flow.request("POST", f"{url}/-/update", json=update)).status == 200
    for answer in (
        await flow.request("GET", download),
        await flow.request("GET", download, headers={"Range": "bytes=0-1"}),
        await flow.prepare(),
        await flow.put(b"new"),
        await flow.request("DELETE", url),
    ):
        _assert_error(answer, 503, "storage_unavailable")
    up.set()
    await asyncio.wait_for(back.wait(), 30)
    assert (await flow.download(record)).content == b"hello"
    await flow.upload(b"new")
    assert (await flow.request("DELETE", url)).status == 204


class _Closing(MemoryStorage):
    """Closes the stream itself, as careful plugins do, and finds its disk full on the way."""

    storage_type = "closing"
    full = True

    async def receive_upload(self, path: str, stream: Any, content_type: str) -> FileMetadata:
        async with aclosing(stream) as chunks:
            if self.full:
                await anext(chunks)
                raise NoSpace("It is full")
            return await super().receive_upload(path, chunks, content_type)


async def test_storage_that_closes_the_stream_fails_with_its_own_error(make: Any) -> None:
    flow = await make(_Closing)
    prepared = (await flow.prepare()).json
    _assert_error(await flow.send(prepared, b"hello"), 507, "no_space")
    _assert_error(await flow.put(b"hello" * 100_000), 507, "no_space")
    await flow.assert_nothing_left()
    flow.storage.full = False
    assert (await flow.send(prepared, b"hello")).status == 200
    assert (await flow.complete(prepared["upload_token"])).status == 201


class _Sticky(MemoryStorage):
    """Cannot delete one path, neither by itself nor together with others."""

    storage_type = "sticky"
    stuck = ""

    async def delete_file(self, path: str) -> None:
        if path == self.stuck:
            raise OSError(5, "secret detail")
        await super().delete_file(path)

    async def delete_files(self, paths: Iterable[str]) -> None:
        paths = list(paths)
        if self.stuck in paths:
            raise OSError(5, "secret detail")
        await super().delete_files(paths)


async def test_path_that_cannot_be_deleted_keeps_no_others(make: Any) -> None:
    flow = await make(_Sticky)
    for _ in range(5):
        prepared = (await flow.prepare()).json
        assert (await flow.send(prepared, b"hello")).status == 200
    flow.storage.stuck = sorted(await flow.stored())[2]
    await flow.change("UPDATE datasette_files_uploads SET expires_at = 1")
    await flow.sweep()
    assert await flow.stored() == {flow.storage.stuck}
    left = "SELECT path FROM datasette_files_garbage WHERE done_at IS NULL"
    assert await flow.rows(left) == [(flow.storage.stuck,)]
    flow.storage.stuck = ""
    await flow.change("UPDATE datasette_files_garbage SET not_before = 0")
    await flow.sweep()
    await flow.assert_nothing_left()


def test_every_error_of_the_suite_is_of_the_closed_list() -> None:
    codes = {cls.code for cls in FilesError.__subclasses__()}
    assert {parameter.values[2] for parameter in _ERRORS} <= codes
