"""The exported suite on the S3 storage: on moto, or on the endpoint that the environment names."""

from __future__ import annotations

from pathlib import Path

from datasette_files.base import Storage
from datasette_files.testing import StorageContract
from datasette_files_s3.storage import S3Storage
from tests.moto_server import new_prefix, shared_store


async def no_secrets(name: str) -> None:
    return None


class TestS3Storage(StorageContract):
    async def make_storage(self, tmp_path: Path) -> Storage:
        storage = S3Storage()
        await storage.configure(shared_store().config(new_prefix()), no_secrets)
        return storage
