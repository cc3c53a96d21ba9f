"""A request that is cancelled while its upload is committed: the file is whole, or is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from datasette_files.base import FileMetadata
from tests.conftest import MakeDatasette
from tests.support.flow.flow import Flow, Kind
from tests.support.storages import MemoryStorage


class _Cancelling(MemoryStorage):
    """Has its caller cancelled at the first wait after the bytes are stored: for the commit."""

    storage_type = "cancelling"
    cancels = True

    async def receive_upload(self, path: str, stream: Any, content_type: str) -> FileMetadata:
        stored = await super().receive_upload(path, stream, content_type)
        task = asyncio.current_task()
        if self.cancels and task is not None:
            asyncio.get_running_loop().call_soon(task.cancel)
        return stored


@pytest.fixture
async def flow(make_datasette: MakeDatasette, register_storages: Callable[..., None]) -> Flow:
    register_storages(_Cancelling)
    datasette = await make_datasette(sources={"docs": {"storage": "cancelling"}})
    return Flow(datasette, Kind(source=lambda _: {}))


async def _assert_rows_have_their_bytes(flow: Flow) -> None:
    await flow.change("UPDATE datasette_files_garbage SET not_before = 0")
    await flow.sweep()
    rows = await flow.rows("SELECT path FROM datasette_files")
    assert {path for (path,) in rows} == await flow.stored()


async def test_commit_whose_caller_is_cancelled_keeps_the_bytes(flow: Flow) -> None:
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(flow.put(b"hello"))
    (row,) = await flow.rows("SELECT id FROM datasette_files")
    answer = await flow.request("GET", f"/-/files/{row[0]}/download")
    assert (answer.status, answer.content) == (200, b"hello")
    await _assert_rows_have_their_bytes(flow)


async def test_bytes_whose_receiver_is_cancelled_can_be_completed(flow: Flow) -> None:
    prepared = (await flow.prepare()).json
    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(flow.send(prepared, b"hello"))
    completed = await flow.complete(prepared["upload_token"])
    assert completed.status == 201
    assert (await flow.download(completed.json["file"])).content == b"hello"
    await _assert_rows_have_their_bytes(flow)
