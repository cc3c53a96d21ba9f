"""No path leaves the root, whatever is put there; and a root that goes away is an outage."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from datasette_files.errors import ConfigurationError, FilesError, Invalid, StorageUnavailable
from datasette_files.filesystem import FilesystemStorage
from datasette_files.filesystem.root import TEMPORARY, Root
from datasette_files.testing import collect, list_all, store
from tests.filesystem.conftest import no_secrets

_OUTSIDE = [
    "../secret",
    "a/../../secret",
    "/etc/passwd",
    "a//b",
    "a/./b",
    ".",
    "..",
    "",
    "a/",
    "/",
    "a\x00b",
    "a/b\x00/../../c",
    f"{TEMPORARY}/x",
    TEMPORARY,
]


@pytest.mark.parametrize("path", _OUTSIDE)
async def test_paths_that_could_leave_the_root_are_refused(
    storage: FilesystemStorage, folder: Path, path: str
) -> None:
    (folder.parent / "secret").write_text("secret")
    for call in (
        storage.read_file(path),
        storage.read_bytes(path, 10),
        storage.read_file_limited(path, 10),
        storage.get_file_metadata(path),
        storage.delete_file(path),
        collect(storage.stream_file(path)),
        collect(storage.stream_range(path, 0, 10)),
        store(storage, path, b"mine"),
        store(storage, path, b"mine" * 200_000),
    ):
        with pytest.raises(Invalid):
            await call
    assert (folder.parent / "secret").read_text() == "secret"
    assert list((folder / TEMPORARY).iterdir()) == []


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the root, with a file that nobody may reach."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "secret").write_text("secret")
    return directory


async def _assert_unreachable(storage: FilesystemStorage, path: str) -> None:
    assert await storage.get_file_metadata(path) is None
    for read in (storage.read_file(path), collect(storage.stream_file(path))):
        with pytest.raises(FileNotFoundError):
            await read
    assert path not in [file.path for file in await list_all(storage)]


async def test_link_to_a_file_is_not_followed(
    storage: FilesystemStorage, folder: Path, outside: Path
) -> None:
    (folder / "link").symlink_to(outside / "secret")
    await _assert_unreachable(storage, "link")
    await store(storage, "link", b"mine")
    assert (outside / "secret").read_text() == "secret"
    assert await storage.read_file("link") == b"mine"


async def test_link_to_a_directory_is_not_followed(
    storage: FilesystemStorage, folder: Path, outside: Path
) -> None:
    (folder / "link").symlink_to(outside)
    await _assert_unreachable(storage, "link/secret")
    with pytest.raises((FileNotFoundError, FilesError)):
        await store(storage, "link/new", b"mine")
    await storage.delete_file("link/secret")
    assert [entry.name for entry in outside.iterdir()] == ["secret"]
    assert list((folder / TEMPORARY).iterdir()) == []


async def test_link_inside_the_root_is_not_followed_either(
    storage: FilesystemStorage, folder: Path
) -> None:
    await store(storage, "real/file", b"x")
    (folder / "alias").symlink_to("real")
    await _assert_unreachable(storage, "alias/file")


async def test_directory_swapped_for_a_link_between_two_uses(
    storage: FilesystemStorage, folder: Path, outside: Path
) -> None:
    await store(storage, "dir/secret", b"mine")
    (folder / "dir").rename(folder / "moved")
    (folder / "dir").symlink_to(outside)
    await _assert_unreachable(storage, "dir/secret")
    await storage.delete_file("dir/secret")
    assert (outside / "secret").read_text() == "secret"


async def test_deleting_a_link_removes_the_link_alone(
    storage: FilesystemStorage, folder: Path, outside: Path
) -> None:
    (folder / "link").symlink_to(outside / "secret")
    await storage.delete_file("link")
    assert not (folder / "link").is_symlink()
    assert (outside / "secret").exists()


async def test_pipes_and_directories_are_no_files(storage: FilesystemStorage, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "directory").mkdir()
    await _assert_unreachable(storage, "pipe")
    await _assert_unreachable(storage, "directory")


async def test_root_that_is_a_link_is_resolved_at_start(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    storage = FilesystemStorage()
    await storage.configure({"root": str(tmp_path / "root")}, no_secrets)
    await store(storage, "a/b", b"x")
    assert (tmp_path / "real/a/b").read_bytes() == b"x"
    # Where the link points later does not matter.
    (tmp_path / "root").unlink()
    (tmp_path / "root").symlink_to(outside)
    assert await storage.read_file("a/b") == b"x"
    with pytest.raises(FileNotFoundError):
        await storage.read_file("secret")
    await storage.close()


async def test_vanished_root_is_an_outage_until_it_is_back(
    storage: FilesystemStorage, folder: Path
) -> None:
    await store(storage, "a/b", b"x")
    folder.rename(folder.with_name("elsewhere"))
    for call in (
        storage.read_file("a/b"),
        store(storage, "a/c", b"x"),
        storage.delete_file("a/b"),
        storage.list_files(),
    ):
        with pytest.raises(StorageUnavailable):
            await call
    assert not folder.exists(), "it is never made anew"
    folder.with_name("elsewhere").rename(folder)
    assert await storage.read_file("a/b") == b"x"


@pytest.mark.parametrize("replacement", ["directory", "link", "file"])
async def test_replaced_root_is_an_outage(
    storage: FilesystemStorage, folder: Path, outside: Path, replacement: str
) -> None:
    await store(storage, "a", b"x")
    folder.rename(folder.with_name("elsewhere"))
    if replacement == "directory":
        folder.mkdir()
    elif replacement == "link":
        folder.symlink_to(outside)
    else:
        folder.write_text("")
    with pytest.raises(StorageUnavailable):
        await storage.read_file("a")
    with pytest.raises(StorageUnavailable):
        await store(storage, "secret", b"mine")
    assert (outside / "secret").read_text() == "secret"


async def test_remounted_root_is_known_by_our_directory_in_it(
    storage: FilesystemStorage, folder: Path
) -> None:
    folder.rename(folder.with_name("elsewhere"))
    (folder / TEMPORARY).mkdir(parents=True)
    (folder / "a").write_bytes(b"restored")
    assert await storage.read_file("a") == b"restored"


async def _resume(folder: Path) -> None:
    storage = FilesystemStorage()
    try:
        await storage.resume({"root": str(folder)}, no_secrets)
    finally:
        await storage.close()


async def test_resume_takes_the_root_that_was_in_use(
    storage: FilesystemStorage, folder: Path
) -> None:
    await store(storage, "a", b"x")
    await _resume(folder)


async def test_resume_refuses_an_empty_or_missing_root(folder: Path) -> None:
    with pytest.raises(StorageUnavailable, match="it was in use before"):
        await _resume(folder)
    assert not folder.exists()
    folder.mkdir()
    with pytest.raises(StorageUnavailable, match="is empty though it was in use before"):
        await _resume(folder)
    assert list(folder.iterdir()) == []
    (folder / TEMPORARY).mkdir()
    await _resume(folder)


async def test_root_that_is_a_file_stops_the_start(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(ConfigurationError, match="is not a directory"):
        Root(str(folder)).make()


async def test_deleting_leaves_no_empty_directory_and_spares_the_root(
    storage: FilesystemStorage, folder: Path
) -> None:
    for path in ("a/b/c/1", "a/b/2"):
        await store(storage, path, b"x")
    await storage.delete_file("a/b/c/1")
    assert not (folder / "a/b/c").exists()
    assert (folder / "a/b/2").exists()
    await storage.delete_file("a/b/2")
    assert [entry.name for entry in folder.iterdir()] == [TEMPORARY]


async def test_deleting_a_directory_does_nothing(storage: FilesystemStorage, folder: Path) -> None:
    await store(storage, "a/b", b"x")
    await storage.delete_file("a")
    assert await storage.read_file("a/b") == b"x"


async def test_name_that_the_disk_does_not_take_is_invalid(storage: FilesystemStorage) -> None:
    with pytest.raises(Invalid):
        await store(storage, "x" * 256, b"x")


async def test_no_descriptor_is_left_open(storage: FilesystemStorage, folder: Path) -> None:
    (folder / "link").symlink_to("/")
    await store(storage, "a/b/c", b"x" * 2_000_000)

    async def use() -> None:
        await store(storage, "a/b/d", b"x" * 2_000_000)
        await storage.read_file("a/b/c")
        stream = storage.stream_file("a/b/c")
        await anext(stream)
        await stream.aclose()
        await list_all(storage, limit=1)
        for path in ("a/absent", "a/b", "link", "link/etc"):
            with pytest.raises(FileNotFoundError):
                await storage.read_file(path)
        await storage.delete_file("a/b/d")

    await use()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await use()
    assert len(os.listdir("/proc/self/fd")) == before
