"""Bytes become durable whole or not at all: leftovers, full disks, and work side by side."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from datasette_files.base import FileMetadata
from datasette_files.errors import NoSpace, StorageError, StorageUnavailable
from datasette_files.filesystem import FilesystemStorage, writing
from datasette_files.filesystem.root import TEMPORARY, Root
from datasette_files.filesystem.writing import temporary_name
from datasette_files.testing import chunked, content_of, list_all, sha256_of, store
from tests.conftest import missing
from tests.filesystem.conftest import no_secrets

SMALL, LARGE = 10_000, 3_000_000
BOTH = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])


def _leftovers(folder: Path) -> list[str]:
    return [entry.name for entry in (folder / TEMPORARY).iterdir()]


@BOTH
async def test_file_is_invisible_until_it_is_whole(
    storage: FilesystemStorage, folder: Path, size: int
) -> None:
    content = content_of(size)

    async def stream() -> AsyncIterator[bytes]:
        async for chunk in chunked(content):
            yield chunk
        assert not (folder / "a").exists()

    await store(storage, "a/b.bin", stream())
    assert (folder / "a/b.bin").read_bytes() == content
    assert _leftovers(folder) == []


@BOTH
async def test_leftover_of_a_crash_does_not_stand_in_the_way(
    storage: FilesystemStorage, folder: Path, size: int
) -> None:
    (folder / TEMPORARY / temporary_name("a/b")).write_bytes(b"left by a crash")
    content = content_of(size)
    assert (await store(storage, "a/b", content)).content_hash == sha256_of(content)
    assert await storage.read_file("a/b") == content
    assert _leftovers(folder) == []


async def test_leftover_of_a_crash_goes_with_the_path_it_was_meant_for(
    storage: FilesystemStorage, folder: Path
) -> None:
    for path in ("a/b", "a/c"):
        (folder / TEMPORARY / temporary_name(path)).write_bytes(b"left by a crash")
    await storage.delete_file("a/b")
    assert _leftovers(folder) == [temporary_name("a/c")]
    await storage.delete_files(["a/c", "a/b"])
    assert _leftovers(folder) == []


async def test_temporary_directory_is_made_again(storage: FilesystemStorage, folder: Path) -> None:
    await store(storage, "keep", b"x")
    (folder / TEMPORARY).rmdir()
    await store(storage, "a", b"x" * LARGE)
    assert await storage.read_file("a") == b"x" * LARGE


async def test_many_small_files_at_once(storage: FilesystemStorage, folder: Path) -> None:
    contents = {f"{n % 7}/{n}.bin": content_of(n * 40, str(n)) for n in range(200)}
    stored = await asyncio.gather(*(store(storage, p, c) for p, c in contents.items()))
    assert [one.content_hash for one in stored] == [sha256_of(c) for c in contents.values()]
    assert {file.path for file in await list_all(storage)} == set(contents)
    for path, content in contents.items():
        assert (folder / path).read_bytes() == content
    assert _leftovers(folder) == []


async def test_failing_small_file_fails_alone(storage: FilesystemStorage, folder: Path) -> None:
    (folder / "file").write_bytes(b"a file where others want a directory")
    paths = [f"ok/{n}" for n in range(10)] + ["file/below"] + [f"ok/{n}" for n in range(10, 20)]
    outcomes = await asyncio.gather(
        *(store(storage, path, b"x") for path in paths), return_exceptions=True
    )
    failed = [path for path, one in zip(paths, outcomes, strict=True) if isinstance(one, Exception)]
    assert failed == ["file/below"]
    assert len(await list_all(storage, "ok/")) == 20
    assert _leftovers(folder) == []


async def test_cancelled_small_files_leave_nothing(
    storage: FilesystemStorage, folder: Path
) -> None:
    tasks = [asyncio.create_task(store(storage, f"a/{n}", b"x" * SMALL)) for n in range(30)]
    for _ in range(4):
        await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    kept = {f"a/{n}" for n, one in enumerate(outcomes) if not isinstance(one, BaseException)}
    assert {f"a/{n}" for n in range(1, 30, 2)} <= kept
    assert {file.path for file in await list_all(storage)} == kept
    assert _leftovers(folder) == []


async def test_shared_directory_deleted_beside_uploads(storage: FilesystemStorage) -> None:
    """Each deletion removes the directory that it leaves empty, and uploads want it there."""

    async def churn(n: int) -> None:
        for turn in range(15):
            size = LARGE // 8 if n == 0 else SMALL
            await store(storage, f"shared/deep/{n}-{turn}", b"x" * size)
            if turn != 14:
                await storage.delete_file(f"shared/deep/{n}-{turn}")

    await asyncio.gather(*(churn(n) for n in range(6)))
    assert len(await list_all(storage, "shared/")) == 6


async def test_shared_directory_deleted_again_and_again_before_the_rename(
    storage: FilesystemStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename, deletions = os.rename, iter(range(10))

    def too_late(*args: str, **directories: int) -> None:
        if next(deletions, None) is not None:
            (folder / "shared").rmdir()
        rename(*args, **directories)

    monkeypatch.setattr(writing.os, "rename", too_late)
    await store(storage, "shared/a", b"x")
    assert await storage.read_file("shared/a") == b"x"


def _full(code: int) -> object:
    def writev(fd: int, vectors: object) -> int:
        raise OSError(code, os.strerror(code))

    return writev


@BOTH
@pytest.mark.parametrize(
    ("code", "error"),
    [
        (errno.ENOSPC, NoSpace),
        (errno.EDQUOT, NoSpace),
        (errno.EFBIG, NoSpace),
        (errno.EROFS, StorageUnavailable),
        (errno.EIO, StorageError),
    ],
)
async def test_error_of_the_disk_is_told_and_leaves_nothing(
    storage: FilesystemStorage,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    code: int,
    error: type[Exception],
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(writing.os, "writev", _full(code))
        with pytest.raises(error):
            await store(storage, "a/b", content_of(size))
    assert await storage.get_file_metadata("a/b") is None
    assert _leftovers(folder) == []
    await store(storage, "a/b", content_of(size))
    assert await storage.read_file("a/b") == content_of(size)


async def test_partial_writes_are_carried_on(
    storage: FilesystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.writev

    def writev(fd: int, vectors: list) -> int:
        return real(fd, [memoryview(vectors[0])[:777]])

    monkeypatch.setattr(writing.os, "writev", writev)
    content = content_of(600_001)
    stored = await store(storage, "a", chunked(content, (1, 100_000, 33)))
    assert stored.content_hash == sha256_of(content)
    assert await storage.read_file("a") == content


async def _small(storage: FilesystemStorage, *paths: str) -> list[object]:
    """The outcome of each of these small files, stored in one group."""
    return await asyncio.gather(
        *(store(storage, path, b"x") for path in paths), return_exceptions=True
    )


async def test_every_writer_of_a_group_that_cannot_be_published_hears_of_it(
    storage: FilesystemStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The root vanishes between the group's writing and its renaming."""
    publish = writing._publish_group

    def vanish(root: Root, files: list[writing.SmallFile]) -> None:
        folder.rename(folder.with_name("elsewhere"))
        publish(root, files)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "_publish_group", vanish)
        outcomes = await _small(storage, "a", "b", "c")
    assert [type(one) for one in outcomes] == [StorageUnavailable] * 3
    folder.with_name("elsewhere").rename(folder)
    assert await list_all(storage) == []
    assert [type(one) for one in await _small(storage, "a", "b")] == [FileMetadata] * 2


async def test_small_files_of_a_storage_that_closes_hear_of_it(folder: Path) -> None:
    storage = FilesystemStorage()
    await storage.configure({"root": str(folder)}, no_secrets)
    writers = asyncio.gather(
        *(store(storage, f"a/{n}", b"x") for n in range(9)), return_exceptions=True
    )
    await storage.close()
    for outcome in await writers:
        assert isinstance(outcome, FileMetadata | StorageUnavailable)
    with pytest.raises(StorageUnavailable):
        await store(storage, "late", b"x")
    with pytest.raises(StorageUnavailable):
        await store(storage, "late", b"x" * LARGE)


@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_end_of_the_loop_leaves_no_writer_waiting(
    storage: FilesystemStorage, steps: int
) -> None:
    """As asyncio.run ends: every task is cancelled, the one that writes the group too."""
    before = asyncio.all_tasks()
    writers = [asyncio.create_task(store(storage, f"a/{n}", b"x")) for n in range(9)]
    while len(tasks := asyncio.all_tasks() - before) == len(writers):
        await asyncio.sleep(0)
    for _ in range(steps):
        await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in outcomes)
    await store(storage, "again", b"x")


@BOTH
async def test_file_whose_name_cannot_be_made_durable_is_not_to_be_seen(
    storage: FilesystemStorage, folder: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    flush = Root.flush_directories

    def fail(root: Root, path: str) -> None:
        if path == "a/lost":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        flush(root, path)

    with monkeypatch.context() as patch:
        patch.setattr(Root, "flush_directories", fail)
        lost, kept = await asyncio.gather(
            store(storage, "a/lost", content_of(size)),
            store(storage, "a/kept", content_of(size)),
            return_exceptions=True,
        )
    assert isinstance(lost, StorageError)
    assert isinstance(kept, FileMetadata)
    assert [file.path for file in await list_all(storage)] == ["a/kept"]
    assert _leftovers(folder) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        missing("the right to mount a tmpfs")
    yield disk
    if disk.is_mount():
        subprocess.run(["umount", "--lazy", disk], check=True)


async def test_full_disk(tiny_disk: Path) -> None:
    storage = FilesystemStorage()
    await storage.configure({"root": str(tiny_disk)}, no_secrets)
    await store(storage, "kept", content_of(500_000))
    with pytest.raises(NoSpace):
        await store(storage, "large", content_of(LARGE))
    assert _leftovers(tiny_disk) == []
    outcomes = await asyncio.gather(
        *(store(storage, f"small/{n}", content_of(200_000)) for n in range(12)),
        return_exceptions=True,
    )
    failed = [one for one in outcomes if isinstance(one, BaseException)]
    assert failed
    assert all(isinstance(one, NoSpace) for one in failed)
    assert len(await list_all(storage, "small/")) == len(outcomes) - len(failed)
    assert await storage.read_file("kept") == content_of(500_000)
    await storage.delete_files([f"small/{n}" for n in range(12)])
    await store(storage, "again", content_of(1_000_000))
    await storage.close()


async def test_unmounted_disk_is_an_outage(tiny_disk: Path) -> None:
    storage = FilesystemStorage()
    await storage.configure({"root": str(tiny_disk)}, no_secrets)
    await store(storage, "a", b"x")
    subprocess.run(["umount", "--lazy", tiny_disk], check=True)
    with pytest.raises(StorageUnavailable):
        await store(storage, "b", b"x")
    with pytest.raises(StorageUnavailable):
        await storage.read_file("a")
    assert list(tiny_disk.iterdir()) == [], "nothing is written beneath the mount point"
    await storage.close()
