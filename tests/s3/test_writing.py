"""Uploads through Datasette: parts, memory, and what stays of those that fail. Nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from datasette_files.errors import Invalid, StorageUnavailable
from datasette_files.testing import chunked, content_of, sha256_of
from datasette_files_s3 import writing
from datasette_files_s3.client import Connection
from datasette_files_s3.storage import S3Storage
from tests.support.moto_server import Store

_MIB = 1024 * 1024
_PATH = "01abc/large.bin"
#: As it is outside of these tests.
_PART = writing.PART


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As small as S3 takes them."""
    monkeypatch.setattr(writing, "PART", 5 * _MIB)
    monkeypatch.setattr(writing, "_MAX_IN_FLIGHT", 10 * _MIB)


def _unfinished(storage: S3Storage, store: Store) -> list[str]:
    answer = store.boto.list_multipart_uploads(
        Bucket=store.bucket, Prefix=storage.connection.config.prefix + _PATH
    )
    return [upload["Key"] for upload in answer.get("Uploads", [])]


@pytest.mark.parametrize("size", [5 * _MIB - 1, 5 * _MIB, 5 * _MIB + 1, 23 * _MIB])
async def test_around_the_size_of_a_part(storage: S3Storage, store: Store, size: int) -> None:
    content = content_of(size)
    stored = await storage.receive_upload(
        _PATH, chunked(content, (1_000_003, 7, 3 * _MIB)), "video/mp4"
    )
    assert (stored.size, stored.content_hash) == (size, sha256_of(content))
    assert await storage.read_file(_PATH) == content
    key = storage.connection.config.prefix + _PATH
    assert store.boto.head_object(Bucket=store.bucket, Key=key)["ContentType"] == "video/mp4"
    assert _unfinished(storage, store) == []


async def test_no_more_is_held_than_is_on_the_way(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = most = 0
    call = Connection.call

    async def counting(self: Connection, operation: str, **parameters: Any) -> Any:
        nonlocal held, most
        held += operation == "upload_part"
        most = max(most, held)
        try:
            return await call(self, operation, **parameters)
        finally:
            held -= operation == "upload_part"

    monkeypatch.setattr(Connection, "call", counting)
    await storage.receive_upload(_PATH, chunked(content_of(40 * _MIB), (_MIB,)), "a/b")
    assert most == 2


def test_parts_grow_so_that_10_000_of_them_hold_5_tib() -> None:
    sizes = [writing.part_size(n) // writing.PART * _PART for n in range(writing._MAX_PARTS)]
    assert sum(sizes) >= 5 * 1024**4
    assert max(sizes) <= 5 * 1024**3


def test_parts_of_100_gib_are_no_larger_than_what_is_on_the_way_anyway() -> None:
    sizes = (writing.part_size(n) // writing.PART * _PART for n in range(writing._MAX_PARTS))
    sent = list(
        itertools.takewhile(lambda total: total <= 100 * 1024**3, itertools.accumulate(sizes))
    )
    assert writing.part_size(len(sent)) // writing.PART * _PART <= 32 * _MIB


async def _broken(size: int, error: BaseException | None) -> AsyncIterator[bytes]:
    async for chunk in chunked(content_of(size), (_MIB,)):
        yield chunk
    if error is not None:
        raise error
    await asyncio.Event().wait()


async def test_failed_stream_is_aborted(storage: S3Storage, store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        await storage.receive_upload(_PATH, _broken(17 * _MIB, ZeroDivisionError()), "a/b")
    assert _unfinished(storage, store) == []
    assert await storage.get_file_metadata(_PATH) is None


async def test_cancelled_upload_is_aborted(
    storage: S3Storage, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sending = asyncio.Event()
    call = Connection.call

    async def telling(self: Connection, operation: str, **parameters: Any) -> Any:
        if operation == "upload_part":
            sending.set()
        return await call(self, operation, **parameters)

    monkeypatch.setattr(Connection, "call", telling)
    upload = asyncio.create_task(storage.receive_upload(_PATH, _broken(17 * _MIB, None), "a/b"))
    await asyncio.wait_for(sending.wait(), 60)
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert _unfinished(storage, store) == []


async def test_part_that_fails_ends_the_upload(
    storage: S3Storage, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Connection.call

    async def failing(self: Connection, operation: str, **parameters: Any) -> Any:
        if operation == "upload_part" and parameters["PartNumber"] == 2:
            raise StorageUnavailable("The store is busy")
        return await call(self, operation, **parameters)

    monkeypatch.setattr(Connection, "call", failing)
    with pytest.raises(StorageUnavailable):
        await storage.receive_upload(_PATH, chunked(content_of(60 * _MIB), (_MIB,)), "a/b")
    assert _unfinished(storage, store) == []
    assert await storage.get_file_metadata(_PATH) is None


async def test_last_step_whose_answer_was_lost(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Connection.call

    async def losing(self: Connection, operation: str, **parameters: Any) -> Any:
        answer = await call(self, operation, **parameters)
        if operation == "complete_multipart_upload":
            return await call(self, operation, **parameters)  # as the SDK's retry does
        return answer

    monkeypatch.setattr(Connection, "call", losing)
    content = content_of(6 * _MIB)
    await storage.receive_upload(_PATH, chunked(content, (_MIB,)), "a/b")
    assert await storage.read_file(_PATH) == content


async def test_deleting_aborts_what_a_killed_process_left(storage: S3Storage, store: Store) -> None:
    key = storage.connection.config.prefix + _PATH
    for name in (key, f"{key}-another"):
        store.boto.create_multipart_upload(Bucket=store.bucket, Key=name)
    await storage.delete_file(_PATH)
    assert _unfinished(storage, store) == [f"{key}-another"]
    await storage.delete_files([f"{_PATH}-{n}" for n in range(20)] + [f"{_PATH}-another"])
    assert _unfinished(storage, store) == []


@pytest.mark.parametrize("path", ["", "..", "a/../b", "./a", ".datasette-files/x"])
async def test_paths_that_the_core_never_gives_out(storage: S3Storage, path: str) -> None:
    with pytest.raises(Invalid):
        await storage.receive_upload(path, chunked(b"x"), "a/b")
    with pytest.raises(FileNotFoundError):
        await storage.read_file(path)
    assert await storage.get_file_metadata(path) is None
    await storage.delete_file(path)
