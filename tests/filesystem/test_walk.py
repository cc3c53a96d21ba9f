"""Listing: trees larger than a window, odd names, and what is passed over."""

from __future__ import annotations

import base64
import ctypes
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datasette_files.errors import Invalid
from datasette_files.filesystem import FilesystemStorage, walk
from datasette_files.filesystem.root import Root
from datasette_files.testing import list_all, store
from tests.filesystem.conftest import no_secrets


def _fill(folder: Path, paths: list[str]) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(path.encode())


#: Wide at the top, wide in one directory, and deep between the two.
_PATHS = sorted(
    [f"top{n:03}" for n in range(25)]
    + [f"m/wide/{n:03}" for n in range(40)]
    + [f"m/{n}/deep/er/{n}" for n in range(12)]
    + ["m-before", "m0after", "z/last"]
)


@pytest.mark.parametrize("window", [1, 2, 7, 1000])
@pytest.mark.parametrize("limit", [1, 10, 1000])
async def test_directories_larger_than_a_window(
    storage: FilesystemStorage,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    window: int,
    limit: int,
) -> None:
    monkeypatch.setattr(walk, "WINDOW", window)
    _fill(folder, _PATHS)
    listed = [file.path for file in await list_all(storage, limit=limit)]
    assert sorted(listed) == _PATHS
    below = [file.path for file in await list_all(storage, "m/wide/00", limit)]
    assert below == [f"m/wide/{n:03}" for n in range(10)]


async def test_walks_at_once_do_not_disturb_each_other(
    storage: FilesystemStorage, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "WINDOW", 5)
    _fill(folder, _PATHS)
    cursors: list[str | None] = [None, None]
    listed: list[list[str]] = [[], []]
    pages = 0
    while pages == 0 or any(cursors):
        for n in (0, 1):
            if pages == 0 or cursors[n] is not None:
                page, cursors[n] = await storage.list_files("", cursors[n], 3 + n)
                listed[n] += [file.path for file in page]
        pages += 1
    assert [sorted(paths) for paths in listed] == [_PATHS, _PATHS]


async def test_walk_goes_on_after_a_restart(storage: FilesystemStorage, folder: Path) -> None:
    _fill(folder, _PATHS)
    first, cursor = await storage.list_files("", None, 30)
    again = FilesystemStorage()
    await again.resume({"root": str(folder)}, no_secrets)
    listed = [file.path for file in first]
    while cursor is not None:
        page, cursor = await again.list_files("", cursor, 30)
        listed += [file.path for file in page]
    await again.close()
    assert sorted(listed) == _PATHS
    assert len(listed) == len(_PATHS)


async def test_names_that_are_not_utf_8_are_passed_over(
    storage: FilesystemStorage, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _fill(folder, ["a", "z"])
    (folder / os.fsdecode(b"latin-\xe9.txt")).write_bytes(b"x")
    (folder / os.fsdecode(b"dir-\xe9")).mkdir()
    assert [file.path for file in await list_all(storage, limit=1)] == ["a", "z"]
    assert "not UTF-8" in caplog.text


async def test_links_pipes_and_our_own_directory_are_passed_over(
    storage: FilesystemStorage, folder: Path, tmp_path: Path
) -> None:
    await store(storage, "real/file", b"x")
    (folder / "link").symlink_to("real")
    (folder / "link-to-file").symlink_to("real/file")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "around").symlink_to(".")
    os.mkfifo(folder / "pipe")
    (folder / ".datasette-files/leftover").write_bytes(b"x")
    assert [file.path for file in await list_all(storage)] == ["real/file"]
    # Only at the top is the name ours.
    _fill(folder, ["real/.datasette-files/theirs"])
    paths = [file.path for file in await list_all(storage)]
    assert paths == ["real/.datasette-files/theirs", "real/file"]


async def test_what_is_told_of_a_file(storage: FilesystemStorage, folder: Path) -> None:
    await store(storage, "a/photo.jpg", b"12345")
    os.utime(folder / "a/photo.jpg", (86400, 86400))
    [file] = await list_all(storage)
    assert file == await storage.get_file_metadata("a/photo.jpg")
    assert (file.filename, file.content_type, file.size) == ("photo.jpg", "image/jpeg", 5)
    assert file.created_at == "1970-01-02 00:00:00"


def _cursor(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "====",
        _cursor([]),
        _cursor({"a": 1}),
        _cursor(["walk"]),
        _cursor(["walk", 5]),
        _cursor(5),
    ],
)
async def test_cursor_that_is_not_ours(storage: FilesystemStorage, cursor: str) -> None:
    with pytest.raises(Invalid):
        await storage.list_files("", cursor)


@pytest.mark.parametrize("path", ["../../etc", "/etc/passwd", "..", "a\x00b", "x" * 5000])
async def test_cursor_cannot_lead_outside(
    storage: FilesystemStorage, folder: Path, path: str
) -> None:
    _fill(folder, _PATHS)
    files, _ = await storage.list_files("", _cursor(["walk", path]), 1000)
    assert {file.path for file in files} <= set(_PATHS)


@pytest.mark.parametrize("prefix", ["../", "/etc/", "..", "m/../"])
async def test_prefix_cannot_lead_outside(
    storage: FilesystemStorage, folder: Path, prefix: str
) -> None:
    _fill(folder, _PATHS)
    assert await storage.list_files(prefix) == ([], None)


def _obey_permissions() -> None:
    """Have this thread, for good, read no more than its user may, also where that is root."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # capget(2): version 3, this thread
    held = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, held) == 0
    held[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, held) == 0


def test_a_directory_that_may_not_be_read_spares_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As the lost+found of a disk that is mounted there."""
    _fill(tmp_path, ["a/1", "lost+found/2", "z/3"])
    root = Root(str(tmp_path))
    root.hold()
    (tmp_path / "lost+found").chmod(0)
    try:
        with ThreadPoolExecutor(1, initializer=_obey_permissions) as thread:
            found, cursor = thread.submit(walk.Walks(root).page, "", None, 10).result()
    finally:
        (tmp_path / "lost+found").chmod(0o700)
        root.close()
    assert ([file.path for file in found], cursor) == (["a/1", "z/3"], None)
    assert "Not listed: Permission denied in lost+found" in caplog.text
