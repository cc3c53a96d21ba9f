"""Uploads that go on, on disk: what is durable when a call returns, and who may write.

Leaves out the contract that every storage keeps (contract/test_storages.py).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from datasette_files.errors import Conflict
from datasette_files.filesystem import FilesystemStorage, appending
from datasette_files.filesystem.root import TEMPORARY
from datasette_files.filesystem.writing import temporary_name
from datasette_files.testing import chunked, content_of
from tests.filesystem.conftest import no_secrets


def _temporary(folder: Path, path: str = "a/b") -> Path:
    return folder / TEMPORARY / temporary_name(path)


async def test_bytes_of_any_number_are_written_where_they_belong(
    storage: FilesystemStorage, folder: Path
) -> None:
    content = content_of(3_000_000)
    await storage.append_upload("a/b", 0, chunked(content[:1_700_001]), {})
    assert _temporary(folder).read_bytes() == content[:1_700_001]
    await storage.append_upload("a/b", 1_000_000, chunked(content[1_000_000:]), {})
    assert _temporary(folder).read_bytes() == content
    with pytest.raises(FileNotFoundError):
        await storage.append_upload("a/b", 3_000_001, chunked(b"x"), {})
    assert _temporary(folder).read_bytes() == content
    assert not (folder / "a").exists()
    for _ in ("made visible", "as it is already"):
        assert (await storage.finish_upload("a/b", {})).size == len(content)
        assert (folder / "a/b").read_bytes() == content
    assert not _temporary(folder).exists()
    with pytest.raises(FileNotFoundError):
        await storage.finish_upload("a/c", {})


async def test_what_is_appended_is_durable_with_its_name_when_the_call_returns(
    storage: FilesystemStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []

    def place(descriptor: int) -> str:
        return os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(f"{folder}/")

    def flush_data(descriptor: int) -> None:
        flushed.append(f"{place(descriptor)}: {os.fstat(descriptor).st_size}")

    monkeypatch.setattr(appending, "flush_data", flush_data)
    monkeypatch.setattr(appending.os, "fsync", lambda one: flushed.append(place(one)))
    file = f"{TEMPORARY}/{temporary_name('a/b')}"
    await storage.append_upload("a/b", 0, chunked(b"abc"), {})
    assert flushed == [f"{file}: 3", TEMPORARY]
    await storage.append_upload("a/b", 3, chunked(b"def"), {})
    assert flushed[2:] == [f"{file}: 6"]
    await storage.finish_upload("a/b", {})
    assert flushed[3:] == [file, "a", str(folder)]
    await storage.finish_upload("a/b", {})
    assert flushed[6:] == ["a", str(folder)], "a crash may have come before these"


async def test_whoever_holds_the_lock_is_the_only_one_who_writes(
    storage: FilesystemStorage, folder: Path
) -> None:
    await storage.append_upload("a/b", 0, chunked(b"abc"), {})
    with _temporary(folder).open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(Conflict):
            await storage.append_upload("a/b", 0, chunked(b"x"), {})
        with pytest.raises(Conflict):
            await storage.finish_upload("a/b", {})
        assert _temporary(folder).read_bytes() == b"abc"
    await storage.append_upload("a/b", 3, chunked(b"d"), {})
    assert _temporary(folder).read_bytes() == b"abcd"
    await storage.append_upload("a/b", 1, chunked(b"z"), {})
    assert _temporary(folder).read_bytes() == b"az"
    await storage.discard_upload("a/b", {})
    await storage.discard_upload("a/b", {})
    assert not _temporary(folder).exists()


async def test_a_first_append_that_fails_leaves_no_file_and_a_later_one_what_was_there(
    storage: FilesystemStorage, folder: Path
) -> None:
    async def breaks() -> AsyncIterator[bytes]:
        yield b"xyz"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await storage.append_upload("a/b", 0, breaks(), {})
    assert not _temporary(folder).exists()
    await storage.append_upload("a/b", 0, chunked(b"abc"), {})
    with pytest.raises(RuntimeError):
        await storage.append_upload("a/b", 3, breaks(), {})
    assert _temporary(folder).read_bytes()[:3] == b"abc"


async def test_a_storage_that_is_closed_holds_nothing_open(folder: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    storage = FilesystemStorage()
    await storage.configure({"root": str(folder)}, no_secrets)
    await storage.append_upload("a/b", 0, chunked(b"abc"), {})
    assert sorted(os.listdir("/proc/self/fd")) != before
    await storage.close()
    assert sorted(os.listdir("/proc/self/fd")) == before


async def test_an_append_that_is_cancelled_twice_lets_go_of_the_upload(
    storage: FilesystemStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time while it waits for the thread that still writes."""
    writes, goes_on = asyncio.Event(), threading.Event()
    loop, write = asyncio.get_running_loop(), appending._write

    def slow(descriptor: int, chunks: list[bytes]) -> None:
        loop.call_soon_threadsafe(writes.set)
        goes_on.wait(10)
        write(descriptor, chunks)

    await storage.append_upload("a/b", 0, chunked(b"abc"), {})
    monkeypatch.setattr(appending, "_write", slow)
    task = asyncio.create_task(storage.append_upload("a/b", 3, chunked(b"def"), {}))
    await writes.wait()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    monkeypatch.setattr(appending, "_write", write)
    for left in range(99, -1, -1):
        try:
            await storage.append_upload("a/b", 3, chunked(b"def"), {})
            break
        except Conflict:
            assert left, "the lock is held for ever"
            await asyncio.sleep(0.05)
    assert _temporary(folder).read_bytes() == b"abcdef"
