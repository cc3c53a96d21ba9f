"""Small files read without waiting for a disk: exactly those that the page cache has."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from datasette_files.filesystem import FilesystemStorage, page_cache

pytestmark = pytest.mark.skipif(page_cache._LIBC is None, reason="needs Linux's openat2")


@pytest.fixture
async def warm(storage: FilesystemStorage, folder: Path) -> FilesystemStorage:
    """A storage that knows its file system to tell what is cached."""
    (folder / "known").write_bytes(b"known")
    assert storage.cached_bytes("known", 5) is None
    assert await storage.read_bytes("known") == b"known"
    return storage


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_file_just_written_is_at_hand(warm: FilesystemStorage, folder: Path) -> None:
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/c").write_bytes(b"0123456789" * 1000)
    (folder / "empty").touch()
    before = descriptors()
    assert warm.cached_bytes("a/b/c", 10_000) == b"0123456789" * 1000
    assert warm.cached_bytes("empty", 0) == b""
    assert descriptors() == before


async def test_a_file_is_opened_at_once_if_its_names_are_in_memory(
    storage: FilesystemStorage, folder: Path
) -> None:
    (folder / "a").mkdir()
    (folder / "a/b").write_bytes(b"0123456789" * 1000)
    assert storage.cached_locals(["a/b"]) == [None]  # not before the file system is known
    opened = await storage.open_local("a/b")
    assert opened is not None
    os.close(opened)
    before = descriptors()
    opened, absent = storage.cached_locals(["a/b", "a/c"])
    assert opened is not None
    assert absent is None
    assert os.pread(opened, 20_000, 0) == b"0123456789" * 1000
    assert not os.get_inheritable(opened)
    os.close(opened)
    assert descriptors() == before


async def test_what_is_no_whole_file_below_the_root_is_not(
    warm: FilesystemStorage, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "directory-link").symlink_to(tmp_path)
    (folder / "directory").mkdir()
    os.mkfifo(folder / "pipe")
    before = descriptors()
    for path in ("link", "directory-link/outside", "../outside", str(tmp_path / "outside")):
        assert warm.cached_bytes(path, 6) is None, path
    for path in ("directory", "pipe", "missing", "known/x", "", "\x00", ".datasette-files/x"):
        assert warm.cached_bytes(path, 0) is None, path
        assert warm.cached_locals([path]) == [None], path
    for path in ("link", "directory-link/outside", "../outside", str(tmp_path / "outside")):
        assert warm.cached_locals([path]) == [None], path
    assert warm.cached_bytes("known", 6) is None
    assert descriptors() == before


async def test_nothing_is_at_hand_once_the_root_is_replaced(
    warm: FilesystemStorage, folder: Path
) -> None:
    folder.rename(folder.with_name("elsewhere"))
    assert warm.cached_bytes("known", 5) is None
    assert warm.cached_locals(["known"]) == [None]
    shutil.copytree(folder.with_name("elsewhere"), folder)
    shutil.rmtree(folder / ".datasette-files")
    assert warm.cached_bytes("known", 5) is None


async def test_a_system_without_the_calls_reads_the_ordinary_way(
    warm: FilesystemStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_cache, "_LIBC", None)
    monkeypatch.setattr(page_cache, "_NOWAIT", 0)
    assert warm.cached_bytes("known", 5) is None
    assert warm.cached_locals(["known"]) == [None]
    assert await warm.read_bytes("known") == b"known"
    assert b"".join([chunk async for chunk in warm.stream_range("known", 1, 4)]) == b"now"
    with Path(__file__).open("rb") as file:
        assert not page_cache.is_available(file.fileno())
