"""Copying and moving files between sources: what stays, what goes, and what comes in between."""

from __future__ import annotations

import asyncio
import hashlib
import time
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.base import FileMetadata
from datasette_files.db import moves as claims
from datasette_files.errors import (
    BadType,
    ChecksumMismatch,
    Conflict,
    FilesError,
    FileTooLarge,
    Invalid,
    NotFound,
    NotSupported,
    StorageError,
    StorageUnavailable,
)
from datasette_files.models import FileRecord
from datasette_files.sources import reading
from datasette_files.transfer import copying, downloads
from datasette_files.transfer.copying import Carried, Order
from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.faults.scene import held
from tests.support.moto_server import new_prefix, shared_store
from tests.support.storages import MemoryStorage

CONTENT = b"0123456789abcdef" * 20_000


class Odd(MemoryStorage):
    """Waits or misbehaves where a test says so."""

    storage_type = "odd"

    def __init__(self) -> None:
        super().__init__()
        self.goes = asyncio.Event()
        self.goes.set()
        self.arrived = asyncio.Event()
        self.alters: Callable[[bytes], bytes] = bytes
        self.fails: list[Exception] = []
        self.reads = 0

    async def receive_upload(
        self, path: str, stream: AsyncIterator[bytes], content_type: str
    ) -> FileMetadata:
        stored = await super().receive_upload(path, stream, content_type)
        self.objects[path] = self.alters(self.objects[path])
        self.arrived.set()
        await self.goes.wait()
        if self.fails:
            del self.objects[path]
            raise self.fails.pop()
        return stored

    async def stream_range(self, path: str, start: int, end: int) -> AsyncIterator[bytes]:
        self.reads += 1
        async for chunk in super().stream_range(path, start, end):
            yield chunk
            if self.fails:
                raise self.fails.pop()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(reading, "PAUSE", 0)


@pytest.fixture
async def site(
    make_datasette: MakeDatasette, register_storages: Callable[..., None], tmp_path: Path
) -> Datasette:
    """``docs`` on disk, ``odd``, and ``small``, which takes little."""
    register_storages(Odd)
    small = disk_source(tmp_path / "small", max_file_size=100, allowed_content_types=["image/*"])
    sources = {"docs": disk_source(tmp_path / "docs"), "odd": {"storage": "odd"}, "small": small}
    return await make_datasette(sources)


def order(site: Datasette, source: str, target: str, *, moves: bool = True, **more: Any) -> Order:
    sources = Files.of(site).sources
    return Order(sources.get(source), sources.get(target), moves, **more)


def odd(site: Datasette) -> Odd:
    storage = Files.of(site).sources.get("odd").storage
    assert isinstance(storage, Odd)
    return storage


async def found(site: Datasette, file_id: str) -> FileRecord:
    return (await Files.of(site).lookup.existing(file_id))[0]


async def carry(site: Datasette, what: Order, file_id: str) -> Carried:
    files, before = Files.of(site), await found(site, file_id)
    carried = await files.carry(what, before, lambda size: None)
    if carried.state == "moved" and what.grace == 0:
        await files.copier.clear(what.source, [before.path])
    return carried


async def count(site: Datasette, table: str) -> int:
    sql = f"SELECT count(*) FROM datasette_files_{table}"
    return await Files.of(site).catalog.read(lambda conn: conn.execute(sql).fetchone()[0])


async def content(site: Datasette, file_id: str) -> bytes:
    answer = await site.client.get(f"/-/files/{file_id}/download")
    assert answer.status_code == 200
    return answer.content


async def test_a_moved_file_is_the_same_file_elsewhere(site: Datasette, tmp_path: Path) -> None:
    record = await upload(site, CONTENT, "words.txt", actor={"id": "alice"})
    update = {"update": {"search_text": "wisdom"}}
    await site.client.post(f"/-/files/{record['id']}/-/update", json=update)
    before = await found(site, record["id"])
    told: list[int] = []
    moved = await Files.of(site).carry(order(site, "docs", "odd"), before, told.append)
    after = await found(site, record["id"])

    assert (moved.state, moved.file, sum(told)) == ("moved", after, len(CONTENT))
    changed = {"source_id", "source_slug", "path"}
    fields = [name for name in before.__slots__ if getattr(before, name) != getattr(after, name)]
    assert set(fields) == changed
    assert odd(site).objects == {after.path: CONTENT}
    assert await content(site, record["id"]) == CONTENT
    for source, hits in (("odd", 1), ("docs", 0)):
        answer = await site.client.get(f"/-/files/search.json?q=wisdom&source={source}")
        assert answer.json()["total"] == hits
    listed = (await site.client.get("/-/files/source/odd.json")).json()
    assert [file["id"] for file in listed["files"]] == [record["id"]]
    assert await count(site, "uploads") == await count(site, "moves") == 0

    # The old bytes are there for whoever began before, until the grace is over.
    files = Files.of(site)
    await files.sweeper.sweep()
    plan = await downloads.plan(files.sources.get("docs"), before, "attachment", "GET", {})
    body = await downloads.open_body(files.sources.get("docs"), before, plan.pieces)
    assert b"".join([chunk async for chunk in body.chunks]) == CONTENT
    await body.close()
    due = "UPDATE datasette_files_garbage SET not_before = not_before - ?"
    await files.catalog.write(lambda conn: conn.execute(due, (copying.GRACE_SECONDS,)))
    await files.sweeper.sweep()
    assert held(tmp_path / "docs") == set()
    assert await content(site, record["id"]) == CONTENT


async def test_a_file_goes_to_and_fro_and_without_grace_leaves_nothing(
    site: Datasette, tmp_path: Path
) -> None:
    record = await upload(site, CONTENT)
    for source, target in (("docs", "odd"), ("odd", "docs")) * 2:
        await carry(site, order(site, source, target, grace=0, reads_back=True), record["id"])
        assert await content(site, record["id"]) == CONTENT
    assert held(tmp_path / "docs") == {(await found(site, record["id"])).path}
    assert odd(site).objects == {}
    assert await count(site, "garbage WHERE done_at IS NULL") == 0
    assert (await carry(site, order(site, "odd", "docs"), record["id"])).state == "present"


async def test_a_copy_is_a_file_of_its_own_made_once(site: Datasette) -> None:
    record = await upload(site, CONTENT, "words.txt", actor={"id": "alice"})
    copies = order(site, "docs", "odd", moves=False)
    first = await carry(site, copies, record["id"])
    again = await carry(site, copies, record["id"])
    assert (first.state, again.state, again.file) == ("copied", "present", first.file)
    assert first.file.id != record["id"]
    assert first.file.id.partition("-")[2] in first.file.path
    assert first.file.uploaded_by == "alice"
    assert first.file.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert len(odd(site).objects) == 1

    assert (await site.client.delete(f"/-/files/{first.file.id}")).status_code == 204
    third = await carry(site, copies, record["id"])
    assert third.state == "copied"
    assert await content(site, third.file.id) == await content(site, record["id"]) == CONTENT
    assert (await site.client.delete(f"/-/files/{record['id']}")).status_code == 204
    assert await count(site, "copies") == 0
    assert await content(site, third.file.id) == CONTENT


async def test_a_file_deleted_on_its_way_stays_deleted(site: Datasette, tmp_path: Path) -> None:
    for moves in (True, False):
        record = await upload(site, CONTENT)
        odd(site).goes.clear()
        odd(site).arrived.clear()
        what = order(site, "docs", "odd", moves=moves)
        carrying = asyncio.create_task(carry(site, what, record["id"]))
        await odd(site).arrived.wait()
        assert await content(site, record["id"]) == CONTENT
        assert (await site.client.delete(f"/-/files/{record['id']}")).status_code == 204
        odd(site).goes.set()
        with pytest.raises(NotFound):
            await carrying
        assert odd(site).objects == {}
        assert held(tmp_path / "docs") == set()
    assert await count(site, "uploads") == await count(site, "moves") == 0


async def test_a_delete_that_was_begun_before_the_move_deletes_nothing_else(
    site: Datasette,
) -> None:
    record = await upload(site, CONTENT)
    files = Files.of(site)
    stale, source = await files.lookup.existing(record["id"])
    await carry(site, order(site, "docs", "odd"), record["id"])
    with pytest.raises(Conflict, match="moved to another source"):
        await files.trash.delete(source, stale, None)
    assert await content(site, record["id"]) == CONTENT


async def test_what_is_changed_on_its_way_is_kept(site: Datasette) -> None:
    record = await upload(site, CONTENT)
    odd(site).goes.clear()
    carrying = asyncio.create_task(carry(site, order(site, "docs", "odd"), record["id"]))
    await odd(site).arrived.wait()
    update = {"update": {"search_text": "changed"}}
    await site.client.post(f"/-/files/{record['id']}/-/update", json=update)
    odd(site).goes.set()
    assert (await carrying).file.search_text == "changed"


async def test_two_do_not_carry_one_file_at_a_time(site: Datasette) -> None:
    record = await upload(site, CONTENT)
    odd(site).goes.clear()
    carrying = asyncio.create_task(carry(site, order(site, "docs", "odd"), record["id"]))
    await odd(site).arrived.wait()
    with pytest.raises(Conflict, match="Another process is copying"):
        await carry(site, order(site, "docs", "odd", moves=False), record["id"])
    odd(site).goes.set()
    assert (await carrying).state == "moved"
    assert len(odd(site).objects) == 1


async def test_one_who_lost_its_claim_leaves_nothing_and_tries_again(site: Datasette) -> None:
    """As a process that was suspended for long does."""
    record = await upload(site, CONTENT)
    files = Files.of(site)
    odd(site).goes.clear()
    carrying = asyncio.create_task(carry(site, order(site, "docs", "odd"), record["id"]))
    await odd(site).arrived.wait()
    for table, column in (("uploads", "expires_at"), ("moves", "claimed_until")):
        sql = f"UPDATE datasette_files_{table} SET {column} = 0"
        await files.catalog.write(lambda conn, sql=sql: conn.execute(sql))
    await files.sweeper.sweep()
    assert odd(site).objects == {}
    odd(site).goes.set()
    moved = await carrying
    assert moved.state == "moved"
    assert odd(site).objects == {moved.file.path: CONTENT}
    assert await content(site, record["id"]) == CONTENT


async def test_one_that_is_cancelled_leaves_nothing(site: Datasette, tmp_path: Path) -> None:
    record = await upload(site, CONTENT)
    odd(site).goes.clear()
    carrying = asyncio.create_task(carry(site, order(site, "docs", "odd"), record["id"]))
    await odd(site).arrived.wait()
    carrying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await carrying
    assert odd(site).objects == {}
    assert await count(site, "uploads") == await count(site, "moves") == 0
    assert await content(site, record["id"]) == CONTENT
    assert len(held(tmp_path / "docs")) == 1


async def test_one_that_is_cancelled_as_it_is_claimed_leaves_no_claim(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that waits for its commit is made all the same."""
    record = await upload(site, CONTENT)
    carrying: list[asyncio.Task[Any]] = []
    claim, loop = claims.claim, asyncio.get_running_loop()

    def claim_and_cancel(*arguments: Any) -> bool:
        loop.call_soon_threadsafe(carrying[0].cancel)
        return claim(*arguments)

    monkeypatch.setattr(claims, "claim", claim_and_cancel)
    carrying.append(asyncio.create_task(carry(site, order(site, "docs", "odd"), record["id"])))
    with pytest.raises(asyncio.CancelledError):
        await carrying[0]
    assert await count(site, "uploads") == await count(site, "moves") == 0
    monkeypatch.undo()
    assert (await carry(site, order(site, "docs", "odd"), record["id"])).state == "moved"


async def test_bytes_that_are_not_the_catalogs_are_not_carried(
    site: Datasette, tmp_path: Path
) -> None:
    record = await upload(site, CONTENT)
    path = tmp_path / "docs" / (await found(site, record["id"])).path
    for damaged, error in ((CONTENT[::-1], ChecksumMismatch), (CONTENT[:-1], StorageError)):
        path.write_bytes(damaged)
        with pytest.raises(error):
            await carry(site, order(site, "docs", "odd"), record["id"])
    path.unlink()
    with pytest.raises(StorageError, match="missing"):
        await carry(site, order(site, "docs", "odd"), record["id"])
    assert odd(site).objects == {}
    assert (await found(site, record["id"])).source_slug == "docs"


async def test_a_target_that_stores_something_else_is_not_believed(site: Datasette) -> None:
    record = await upload(site, CONTENT)
    odd(site).alters = lambda stored: stored[:-1]
    with pytest.raises(StorageError, match="does not have every byte"):
        await carry(site, order(site, "docs", "odd"), record["id"])
    odd(site).alters = lambda stored: stored[::-1]
    with pytest.raises(StorageError, match="serves other bytes"):
        await carry(site, order(site, "docs", "odd", reads_back=True), record["id"])
    assert odd(site).objects == {}
    assert await content(site, record["id"]) == CONTENT


async def test_what_breaks_off_is_taken_up_again(site: Datasette) -> None:
    record = await upload(site, CONTENT, source="odd")
    odd(site).fails = [StorageUnavailable("away"), OSError("reset"), StorageError("broken")]
    odd(site).reads = 0
    assert (await carry(site, order(site, "odd", "docs"), record["id"])).state == "moved"
    assert odd(site).reads == 4
    odd(site).fails = [StorageUnavailable("away") for _ in range(2)]
    assert (await carry(site, order(site, "docs", "odd"), record["id"])).state == "moved"
    await carry(site, order(site, "odd", "docs"), record["id"])
    odd(site).fails = [StorageUnavailable("away") for _ in range(copying.MAX_ATTEMPTS)]
    with pytest.raises(StorageUnavailable):
        await carry(site, order(site, "docs", "odd"), record["id"])
    assert await content(site, record["id"]) == CONTENT


async def test_the_targets_limits_hold(site: Datasette) -> None:
    large = await upload(site, CONTENT)
    text = await upload(site, b"words")
    for record, error in ((large, FileTooLarge), (text, BadType)):
        with pytest.raises(error):
            await carry(site, order(site, "docs", "small"), record["id"])


def test_orders_that_make_no_sense_are_refused(site: Datasette) -> None:
    source = Files.of(site).sources.get("odd")
    with pytest.raises(Invalid):
        order(site, "docs", "docs").check()
    source.capabilities = type(source.capabilities)(can_list=True)
    for what in (order(site, "docs", "odd"), order(site, "odd", "docs")):
        with pytest.raises(NotSupported):
            what.check()
    order(site, "odd", "docs", moves=False).check()
    source._storage = None
    with pytest.raises(StorageUnavailable):
        order(site, "odd", "docs", moves=False).check()


async def test_a_file_without_a_hash_gets_one(site: Datasette) -> None:
    """As one whose bytes went past Datasette, and that is not hashed yet."""
    record = await upload(site, CONTENT)
    files = Files.of(site)

    def forget(conn: Any) -> None:
        conn.execute(
            """UPDATE datasette_files SET content_hash = 'etag:x', size = NULL, crc32 = NULL,
            folder = 'a/b', tags = '["red"]'"""
        )
        conn.execute("INSERT INTO datasette_files_unhashed VALUES (?, 1, 0, 0)", (record["id"],))

    await files.catalog.write(forget)
    moved = await carry(site, order(site, "docs", "odd"), record["id"])
    assert moved.file.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert moved.file.size == len(CONTENT)
    assert moved.file.crc32 == f"{zlib.crc32(CONTENT):08x}"
    assert await count(site, "unhashed") == 0
    copied = await carry(site, order(site, "odd", "docs", moves=False), record["id"])
    kept = (moved.file.crc32, "a/b", ("red",))
    assert (copied.file.crc32, copied.file.folder, copied.file.tags) == kept


async def test_claims_of_the_dead_lapse_and_are_forgotten(site: Datasette) -> None:
    record = await upload(site, CONTENT)
    files = Files.of(site)

    async def claimed(until: float) -> None:
        row = (record["id"], 2, "dead", until)
        insert = "INSERT OR REPLACE INTO datasette_files_moves VALUES (?, ?, ?, ?)"
        await files.catalog.write(lambda conn: conn.execute(insert, row))

    await claimed(time.time() + 100)
    await files.copier.drop_dead_claims()
    with pytest.raises(FilesError):
        await carry(site, order(site, "docs", "odd"), record["id"])
    await claimed(time.time() - 1)
    await files.copier.drop_dead_claims()
    assert await count(site, "moves") == 0
    await claimed(time.time() - 1)
    assert (await carry(site, order(site, "docs", "odd"), record["id"])).state == "moved"


async def test_disk_to_s3_and_back(make_datasette: MakeDatasette, tmp_path: Path) -> None:
    store, prefix = shared_store(), new_prefix()
    s3 = {"storage": "s3", "config": store.config(prefix, download="proxy")}
    site = await make_datasette({"docs": disk_source(tmp_path / "docs"), "s3": s3})
    large = bytes(range(256)) * 4096 * 9  # of two parts
    ids = {(await upload(site, body))["id"]: body for body in (b"", b"small", large)}
    for source, target in (("docs", "s3"), ("s3", "docs")):
        for file_id, body in ids.items():
            moved = await carry(site, order(site, source, target, grace=0), file_id)
            assert moved.file.sha256 == hashlib.sha256(body).hexdigest()
            assert await content(site, file_id) == body
        assert len(store.keys(prefix)) == (3 if target == "s3" else 0)
        assert len(held(tmp_path / "docs")) == (3 if target == "docs" else 0)
    assert store.unfinished(prefix) == []
