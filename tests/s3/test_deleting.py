"""Deleting: what uploads left in parts, which nobody sees and somebody pays for."""

from __future__ import annotations

from typing import Any

import pytest

from datasette_files_s3.client import Connection
from datasette_files_s3.storage import S3Storage
from tests.support.moto_server import Store


def _leave_parts(storage: S3Storage, store: Store, path: str) -> None:
    key = storage.connection.config.prefix + path
    store.boto.create_multipart_upload(Bucket=store.bucket, Key=key)


def _left(storage: S3Storage, store: Store) -> list[str]:
    prefix = storage.connection.config.prefix
    answer = store.boto.list_multipart_uploads(Bucket=store.bucket, Prefix=prefix)
    return [one["Key"].removeprefix(prefix) for one in answer.get("Uploads", [])]


@pytest.mark.parametrize("count", [1, 3, 9])
async def test_parts_of_every_path_are_aborted_and_no_others(
    storage: S3Storage, store: Store, count: int
) -> None:
    paths = [f"01abc{number}/a.bin" for number in range(count)]
    for path in (*paths, f"{paths[0]}.other"):
        _leave_parts(storage, store, path)
    await storage.delete_files(paths)
    assert _left(storage, store) == [f"{paths[0]}.other"]


async def test_upload_that_another_process_ended_does_not_end_the_search(
    storage: S3Storage, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = Connection.call

    async def late(self: Connection, operation: str, **parameters: Any) -> Any:
        if operation == "abort_multipart_upload":
            await call(self, operation, **parameters)
        return await call(self, operation, **parameters)

    monkeypatch.setattr(Connection, "call", late)
    for path in ("01abc/a.bin", "01abd/b.bin"):
        _leave_parts(storage, store, path)
        await storage.delete_file(path)
        assert _left(storage, store) == []
    assert storage.connection.finds_unfinished
