"""The threads of a storage: results that nobody takes are undone, and descriptors outlive reads."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from datasette_files.errors import StorageUnavailable
from datasette_files.filesystem import FilesystemStorage, page_cache
from datasette_files.filesystem import storage as storage_module
from datasette_files.filesystem.root import Root
from datasette_files.filesystem.threads import DiskThreads
from datasette_files.testing import content_of, store
from tests.filesystem.conftest import no_secrets


@pytest.fixture
def threads() -> Iterator[DiskThreads]:
    pool = DiskThreads(2)
    yield pool
    pool.close()


class Gate:
    """Holds a job in its thread, from ``begun`` until ``open``."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.begun = asyncio.Event()
        self._opened = threading.Event()

    def wait(self) -> None:
        """In the thread."""
        self._loop.call_soon_threadsafe(self.begun.set)
        self._opened.wait()

    def open(self) -> None:
        self._opened.set()

    def before(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, held first."""

        def held(*args: Any) -> Any:
            self.wait()
            return call(*args)

        return held


async def test_job_after_the_close_is_refused(threads: DiskThreads) -> None:
    assert await threads.submit(lambda: 1) == 1
    threads.close()
    with pytest.raises(StorageUnavailable):
        threads.submit(lambda: 2)


async def test_jobs_before_the_close_are_done(threads: DiskThreads) -> None:
    jobs = [threads.submit(lambda n=n: n) for n in range(20)]
    threads.close()
    assert await asyncio.gather(*jobs) == list(range(20))


async def test_result_that_nobody_takes_is_undone(threads: DiskThreads) -> None:
    gate, undone = Gate(), asyncio.Queue[int]()
    taken = threads.submit(lambda: 6, undo=undone.put_nowait)
    assert await taken == 6
    future = threads.submit(gate.before(lambda: 7), undo=undone.put_nowait)
    await gate.begun.wait()
    future.cancel()
    gate.open()
    assert await undone.get() == 7
    assert undone.empty()


def _open_below(folder: Path) -> list[str]:
    """The files of the folder that this process has open."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("only Linux tells what a process has open")
    found = []
    for entry in descriptors.iterdir():
        with suppress(FileNotFoundError):  # the one that lists the directory
            found.append(os.readlink(entry))
    return [link for link in found if Path(link).is_relative_to(folder)]


async def _until_closed(folder: Path, allowed: list[str]) -> None:
    """The test's own time limit ends it."""
    while _open_below(folder) != allowed:
        await asyncio.sleep(0)


@pytest.fixture
async def large(storage: FilesystemStorage) -> str:
    """The path of a file that is read in several pieces."""
    await store(storage, "large.bin", content_of(storage_module._READ * 3))
    return "large.bin"


async def test_download_that_is_cancelled_while_it_opens_leaves_nothing_open(
    storage: FilesystemStorage, folder: Path, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, idle = Gate(), _open_below(folder)
    monkeypatch.setattr(storage_module, "_read_ahead", gate.before(storage_module._read_ahead))
    first = asyncio.ensure_future(anext(storage.stream_file(large)))
    await gate.begun.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert len(_open_below(folder)) > len(idle)
    gate.open()
    await _until_closed(folder, idle)


async def test_download_that_is_cancelled_while_it_reads_is_closed_after_the_read(
    storage: FilesystemStorage, folder: Path, large: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A descriptor that is closed beneath a thread may be another file's when the thread reads."""
    gate, idle = Gate(), _open_below(folder)
    stream = storage.stream_file(large)
    await anext(stream)
    monkeypatch.setattr(page_cache, "read", lambda *_: b"")
    monkeypatch.setattr(storage_module, "_read_ahead", gate.before(storage_module._read_ahead))
    second = asyncio.ensure_future(anext(stream))
    await gate.begun.wait()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert str(folder / large) in _open_below(folder)
    gate.open()
    await _until_closed(folder, idle)


async def test_start_that_is_cancelled_leaves_no_root_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, storage = Gate(), FilesystemStorage()
    monkeypatch.setattr(Root, "make", gate.before(Root.make))
    start = asyncio.ensure_future(storage.configure({"root": str(folder)}, no_secrets))
    await gate.begun.wait()
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    gate.open()
    while not folder.exists():
        await asyncio.sleep(0)
    await _until_closed(folder, [])
    await storage.close()
