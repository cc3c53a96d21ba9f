"""Behind the requests: late bytes are swept, hashes filled in, no slow store holds up another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.base import FileMetadata
from datasette_files.errors import StorageUnavailable
from datasette_files.maintenance import sweeping
from tests.conftest import MakeDatasette
from tests.support.flow.flow import Flow, Kind, sha256
from tests.support.storages import BUCKET, DirectStorage, MemoryStorage

OWED = "FROM datasette_files_garbage WHERE done_at IS NULL"


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
        if not isinstance(path, str):
            raise TypeError(f"a path is text, and not {path!r}")
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
    await files.hashing["docs"].once()


@pytest.mark.full
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
    leases = "SELECT * FROM datasette_files_leases WHERE name LIKE 'hash %'"
    assert await unhashed.rows(leases) == []


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


async def test_of_a_storage_that_lost_all_its_bytes_a_pass_asks_for_few(unhashed: Flow) -> None:
    for _ in range(7):
        await unhashed.upload()
    unhashed.storage.objects.clear()
    for left in (2, 0):
        await _hash(unhashed)
        assert len(await unhashed.rows("SELECT * FROM datasette_files_unhashed")) == left


async def test_another_process_that_hashes_is_left_alone(unhashed: Flow) -> None:
    await unhashed.upload()
    await unhashed.change(
        "INSERT INTO datasette_files_leases VALUES ('hash docs', 'another', unixepoch() + 30)"
    )
    await _hash(unhashed)
    assert len(await unhashed.rows("SELECT * FROM datasette_files_unhashed")) == 1


async def test_one_file_that_cannot_be_hashed_keeps_no_other(
    unhashed: Flow, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = [await unhashed.upload() for _ in range(2)]
    await unhashed.change("UPDATE datasette_files SET path = x'00' WHERE id = ?", broken["id"])
    await unhashed.change(
        "UPDATE datasette_files_unhashed SET not_before = -1 WHERE file_id = ?", broken["id"]
    )
    await _hash(unhashed)
    flat = (await unhashed.request("GET", f"{sound['url']}.json")).json
    assert flat["content_hash"] == f"sha256:{sha256(b'hello')}"
    left = await unhashed.rows("SELECT file_id, attempts, not_before FROM datasette_files_unhashed")
    assert [row[:2] for row in left] == [(broken["id"], 1)]
    assert left[0][2] > time.time(), "it is put off"
    assert broken["id"] in caplog.text


@pytest.mark.parametrize("instructions", ["{broken", "", "[1]"])
async def test_one_broken_note_of_garbage_keeps_no_other(
    unhashed: Flow, caplog: pytest.LogCaptureFixture, instructions: str
) -> None:
    record = await unhashed.upload()
    (path,) = await unhashed.stored()
    await unhashed.change(
        """INSERT INTO datasette_files_garbage (source_id, path, instructions, not_before)
        SELECT id, ?, ?, 0 FROM datasette_files_sources""",
        *(path, instructions),
    )
    await unhashed.change("UPDATE datasette_files_garbage SET not_before = 1")
    await unhashed.sweep()
    assert unhashed.storage.incoming == {}, "the sound note, of what was sent, is dealt with"
    left = await unhashed.rows(f"SELECT instructions, attempts {OWED}")
    assert left == [(instructions, 1)]
    assert "cannot be deleted yet" in caplog.text
    assert (await unhashed.download(record)).content == b"hello", "the file at its path stays"


async def test_one_path_that_the_storage_refuses_keeps_no_other(
    make_datasette: MakeDatasette, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flow = Flow(await make_datasette(), Kind(source=lambda _: {}))
    record = await flow.upload()
    await flow.change(
        """INSERT INTO datasette_files_garbage (source_id, path, not_before)
        SELECT id, '../outside', 0 FROM datasette_files_sources"""
    )
    (tmp_path / "outside").write_bytes(b"kept")
    await flow.change(
        """INSERT INTO datasette_files_garbage (source_id, path, not_before)
        SELECT source_id, path, 1 FROM datasette_files"""
    )
    await flow.change("DELETE FROM datasette_files WHERE id = ?", record["id"])
    await flow.sweep()
    left = await flow.rows(f"SELECT path, attempts {OWED}")
    assert left == [("../outside", 1)]
    assert (tmp_path / "outside").read_bytes() == b"kept"
    assert [one for one in (tmp_path / "docs").rglob("*") if one.is_file()] == []
    assert "cannot be deleted yet" in caplog.text


async def test_one_broken_upload_keeps_no_other_from_expiring(
    unhashed: Flow, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        await unhashed.prepare()
    uploads = [row[0] for row in await unhashed.rows("SELECT id FROM datasette_files_uploads")]
    await unhashed.change("UPDATE datasette_files_uploads SET expires_at = 1")
    await unhashed.change(
        "UPDATE datasette_files_uploads SET created_at = 'never', expires_at = 0 WHERE id = ?",
        uploads[0],
    )
    await unhashed.sweep()
    states = dict(await unhashed.rows("SELECT id, state FROM datasette_files_uploads"))
    assert states == {uploads[0]: "prepared", uploads[1]: "expired"}
    assert "is put off" in caplog.text


async def test_what_is_sent_late_is_discarded_once_its_url_has_expired(unhashed: Flow) -> None:
    record = await unhashed.upload()
    await unhashed.sweep()
    assert len(unhashed.storage.incoming) == 1, "its URL still takes bytes"
    await unhashed.change("UPDATE datasette_files_garbage SET not_before = 0")
    await unhashed.sweep()
    assert unhashed.storage.incoming == {}
    assert (await unhashed.download(record)).content == b"hello", "the file itself stays"
