"""Behind the requests: late bytes are swept, hashes filled in, no slow store holds up another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.base import FileMetadata
from datasette_files.errors import StorageUnavailable
from datasette_files.maintenance import sweeping
from tests.conftest import MakeDatasette
from tests.storages import BUCKET, DirectStorage, MemoryStorage

from .flow import Flow, Kind, sha256


class Stuck(MemoryStorage):
    """Deletes nothing until it is let go."""

    storage_type = "stuck"

    def __init__(self) -> None:
        super().__init__()
        self.goes = asyncio.Event()

    async def delete_files(self, paths: Iterable[str]) -> None:
        await self.goes.wait()
        await super().delete_files(paths)


class Unhashed(DirectStorage):
    """Knows no sha256 of what went straight to it, and keeps what is sent late."""

    storage_type = "unhashed"
    fails: Exception | None = None

    async def finish_upload(self, path: str, instructions_state: dict[str, Any]) -> FileMetadata:
        incoming = self.incoming[instructions_state["incoming"]]
        stored = await super().finish_upload(path, instructions_state)
        self.incoming[instructions_state["incoming"]] = incoming
        stored.content_hash = "etag:from-the-bucket"
        return stored

    async def stream_file(self, path: str) -> AsyncIterator[bytes]:
        if self.fails is not None:
            raise self.fails
        async for chunk in super().stream_file(path):
            yield chunk

    async def discard_upload(self, path: str, instructions_state: dict[str, Any]) -> None:
        self.incoming.pop(instructions_state["incoming"], None)


@pytest.fixture
async def unhashed(make_datasette: MakeDatasette, register_storages: Callable[..., None]) -> Flow:
    register_storages(Unhashed)
    kind = Kind(
        source=lambda _: {},
        send=lambda storage, prepared, content: storage.put(prepared["upload_url"], content),
        bucket=lambda: BUCKET,
        fetch=lambda storage, url: storage.serve(url),
    )
    return Flow(await make_datasette(sources={"docs": {"storage": "unhashed"}}), kind)


async def _hash(flow: Flow) -> None:
    files = Files.of(flow.datasette)
    await files.hasher.hash_source(files.sources.get("docs"))


async def test_storage_that_is_stuck_keeps_no_other_source_from_being_swept(
    make_datasette: MakeDatasette,
    register_storages: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register_storages(Stuck, MemoryStorage)
    monkeypatch.setattr(sweeping, "INTERVAL", 0.01)
    sources = {name: {"storage": name} for name in ("stuck", "memory")}
    datasette = await make_datasette(sources=sources)
    stuck, memory = (Flow(datasette, Kind(source=lambda _: {}), source=name) for name in sources)
    for flow in (stuck, memory):
        for _ in range(2):
            await flow.send((await flow.prepare()).json, b"hello")
            await flow.change("UPDATE datasette_files_uploads SET expires_at = 1")
            await flow.sweep()
    assert await memory.stored() == set()
    assert len(await stuck.stored()) == 2
    stuck.storage.goes.set()
    await asyncio.gather(*Files.of(datasette).sweeper._deleting.values())
    await stuck.sweep()
    assert await stuck.stored() == set()


async def test_hash_is_filled_in(unhashed: Flow) -> None:
    records = [await unhashed.upload(f"content {n}".encode()) for n in range(3)]
    assert {record["content_hash"] for record in records} == {"etag:from-the-bucket"}
    await _hash(unhashed)
    for n, record in enumerate(records):
        flat = (await unhashed.request("GET", f"{record['url']}.json")).json
        assert flat["content_hash"] == f"sha256:{sha256(f'content {n}'.encode())}"
    assert await unhashed.rows("SELECT * FROM datasette_files_unhashed") == []
    assert await unhashed.rows("SELECT * FROM datasette_files_leases WHERE name != 'sweep'") == []


async def test_hash_waits_for_a_storage_that_is_down(unhashed: Flow) -> None:
    record = await unhashed.upload()
    unhashed.storage.fails = StorageUnavailable("The bucket is away")
    await _hash(unhashed)
    assert await unhashed.rows("SELECT attempts FROM datasette_files_unhashed") == [(1,)]
    unhashed.storage.fails = None
    await unhashed.change("UPDATE datasette_files_unhashed SET not_before = 0")
    await _hash(unhashed)
    flat = (await unhashed.request("GET", f"{record['url']}.json")).json
    assert flat["content_hash"] == f"sha256:{sha256(b'hello')}"


async def test_hash_of_what_is_not_there_any_more_is_given_up(
    unhashed: Flow, caplog: pytest.LogCaptureFixture
) -> None:
    deleted, lost = [await unhashed.upload() for _ in range(2)]
    await unhashed.request("DELETE", deleted["url"])
    unhashed.storage.objects.clear()
    await _hash(unhashed)
    assert await unhashed.rows("SELECT * FROM datasette_files_unhashed") == []
    assert lost["id"] in caplog.text
    assert deleted["id"] not in caplog.text


async def test_another_process_that_hashes_is_left_alone(unhashed: Flow) -> None:
    await unhashed.upload()
    await unhashed.change(
        "INSERT INTO datasette_files_leases VALUES ('hash docs', 'another', 1e12)"
    )
    await _hash(unhashed)
    assert len(await unhashed.rows("SELECT * FROM datasette_files_unhashed")) == 1


async def test_what_is_sent_late_is_discarded_once_its_url_has_expired(unhashed: Flow) -> None:
    record = await unhashed.upload()
    await unhashed.sweep()
    assert len(unhashed.storage.incoming) == 1, "its URL still takes bytes"
    await unhashed.change("UPDATE datasette_files_garbage SET not_before = 0")
    await unhashed.sweep()
    assert unhashed.storage.incoming == {}
    assert (await unhashed.download(record)).content == b"hello", "the file itself stays"
