"""The guarded reader hashes files where they are read, with the checks of a stream."""

from __future__ import annotations

import asyncio
import hashlib
import os
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.errors import ChecksumMismatch, StorageError
from datasette_files.models import FileRecord
from datasette_files.sources import reading
from datasette_files.sources.sources import Source
from tests.conftest import MakeDatasette, upload

CONTENT = bytes(range(256)) * 5000


@pytest.fixture
async def stored(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> tuple[Source, FileRecord]:
    """A file on disk that takes several steps, the last one a short one."""
    monkeypatch.setattr(reading, "_STEP", 500_000)
    monkeypatch.setattr(reading, "_BUFFER", 150_000)
    datasette = await make_datasette()
    file = await upload(datasette, CONTENT)
    found, source = await Files.of(datasette).lookup.existing(file["id"])
    return source, found


def _path(tmp_path: Path, file: FileRecord) -> Path:
    return tmp_path / "docs" / file.path


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_a_local_file_is_hashed_in_steps(stored: tuple[Source, FileRecord]) -> None:
    steps: list[int] = []

    async def tell(size: int) -> None:
        steps.append(size)

    before = _open_files()
    digest = await reading.digest(*stored, reading.Digest(crc32=True), tell)
    assert steps == [500_000, 500_000, 280_000]
    assert digest.size == len(CONTENT)
    assert digest.content_hash == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
    assert digest.crc32 == f"{zlib.crc32(CONTENT):08x}"
    assert await reading.content_hash(*stored) == digest.content_hash
    assert _open_files() == before


@pytest.mark.parametrize("size", [0, 1, len(CONTENT) - 1, len(CONTENT) + 1])
async def test_a_local_file_of_another_size_is_missing(
    stored: tuple[Source, FileRecord], tmp_path: Path, size: int
) -> None:
    path = _path(tmp_path, stored[1])
    with path.open("r+b") as file:
        file.truncate(size)
    with pytest.raises(reading.Missing):
        await reading.digest(*stored, reading.Digest())
    path.unlink()
    with pytest.raises(reading.Missing):
        await reading.digest(*stored, reading.Digest())


async def test_other_bytes_of_the_same_size_do_not_have_the_sha256(
    stored: tuple[Source, FileRecord], tmp_path: Path
) -> None:
    _path(tmp_path, stored[1]).write_bytes(CONTENT[::-1])
    digest = await reading.digest(*stored, reading.Digest())
    with pytest.raises(ChecksumMismatch):
        digest.check(stored[1])


async def test_a_file_whose_size_is_not_known_is_hashed_to_its_end(
    stored: tuple[Source, FileRecord],
) -> None:
    source, file = stored
    digest = await reading.digest(source, replace(file, size=None), reading.Digest())
    digest.check(file)


async def test_a_disk_that_fails_is_a_storage_error(
    stored: tuple[Source, FileRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> int:
        raise OSError(5, "Input/output error")

    before = _open_files()
    monkeypatch.setattr(os, "readv", fail)
    with pytest.raises(StorageError, match="OSError"):
        await reading.digest(*stored, reading.Digest())
    assert _open_files() == before


async def test_an_error_of_who_is_told_is_its_own(stored: tuple[Source, FileRecord]) -> None:
    async def tell(size: int) -> None:
        raise LookupError

    before = _open_files()
    with pytest.raises(LookupError):
        await reading.digest(*stored, reading.Digest(), tell)
    assert _open_files() == before


async def test_a_cancelled_reading_closes_the_file(stored: tuple[Source, FileRecord]) -> None:
    begun = asyncio.Event()

    async def tell(size: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    before = _open_files()
    task = asyncio.create_task(reading.digest(*stored, reading.Digest(), tell))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert _open_files() == before
