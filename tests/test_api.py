"""The Python API of other plugins, where a caller or another tool's row is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files import get_file
from tests.conftest import upload


async def change(datasette: Datasette, column: str, value: Any) -> None:
    """Write a column of every file as another tool would."""
    sql = f"UPDATE datasette_files SET {column} = ?"
    await datasette.get_internal_database().execute_write(sql, [value])


async def test_negative_positions_are_refused_before_anything_is_read(
    datasette: Datasette,
) -> None:
    file = await get_file(datasette, (await upload(datasette))["id"])
    assert file is not None
    for start, end in [(-1, None), (None, -1), (-3, -1), (0, -1), (-1, 3)]:
        with pytest.raises(ValueError, match="beginning"):
            async with file.open(start, end):
                raise AssertionError((start, end))
    with pytest.raises(ValueError, match="negative"):
        await file.read(max_bytes=-1)
    assert await file.read(max_bytes=0) == b""
    assert await file.read() == b"hello"


async def test_bytes_that_are_missing_are_a_file_not_found(
    datasette: Datasette, tmp_path: Path
) -> None:
    record = await upload(datasette)
    file = await get_file(datasette, record["id"])
    assert file is not None
    (tmp_path / "docs" / record["id"].removeprefix("df-") / "hello.txt").unlink()
    for max_bytes in (None, 0, 3):
        with pytest.raises(FileNotFoundError):
            await file.read(max_bytes)
    for start, end in ((None, None), (1, None), (0, 3)):
        async with file.open(start, end) as stream:
            with pytest.raises(FileNotFoundError):
                await anext(stream)


@pytest.mark.parametrize(
    ("written", "metadata"),
    [
        ('{"page": 3}', {"page": 3}),
        (None, {}),
        ("", {}),
        ("{", {}),
        ("[1]", {}),
        ('"text"', {}),
        ("null", {}),
        ("5", {}),
        ("[" * 100_000, {}),
        (b"\xff{", {}),
    ],
    ids=lambda value: repr(value)[:12],
)
async def test_metadata_that_is_no_object_is_an_empty_one(
    datasette: Datasette, written: Any, metadata: dict[str, Any]
) -> None:
    record = await upload(datasette)
    await change(datasette, "metadata", written)
    file = await get_file(datasette, record["id"])
    assert file is not None
    assert file.metadata == metadata
    assert await file.read() == b"hello"


@pytest.mark.parametrize("written", ["", "yesterday", "2026-02-30 00:00:00"])
async def test_a_moment_that_is_none_is_none(datasette: Datasette, written: str) -> None:
    record = await upload(datasette)
    await change(datasette, "created_at", written)
    file = await get_file(datasette, record["id"])
    assert file is not None
    assert file.created_at is None
    assert (await datasette.client.get(record["download_url"])).content == b"hello"


@pytest.mark.parametrize(
    "file_id", ["", "df-", "DF-1", "x" * 100_000, "df-\x00", "'; --", "\ud800"]
)
async def test_an_id_of_no_file_finds_none(datasette: Datasette, file_id: str) -> None:
    await upload(datasette)
    assert await get_file(datasette, file_id) is None
