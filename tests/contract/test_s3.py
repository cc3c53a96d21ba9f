"""The exported suite on the S3 storage: on moto, or on the endpoint that the environment names."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasette_files.base import SignedPart, Storage, UploadInstructions
from datasette_files.testing import StorageContract
from datasette_files_s3.storage import S3Storage
from tests.support.flow import s3
from tests.support.moto_server import new_prefix, shared_store

pytestmark = pytest.mark.full


async def no_secrets(name: str) -> None:
    return None


class TestS3Storage(StorageContract):
    async def make_storage(self, tmp_path: Path) -> Storage:
        storage = S3Storage()
        await storage.configure(
            shared_store().config(new_prefix(), multipart_threshold_bytes=1), no_secrets
        )
        return storage

    # As the suite's own, and with the certificate of the store where it has its own authority.

    async def fetch(self, storage: Storage, url: str) -> tuple[dict[str, str], bytes]:
        return s3.fetch(storage, url)

    async def send_part(self, storage: Storage, signed: SignedPart, content: bytes) -> None:
        headers = {"Content-Type": "application/octet-stream", **signed.headers}
        s3.request(shared_store(), signed.url, data=content, headers=headers, method="PUT").close()

    async def send(
        self, storage: Storage, instructions: UploadInstructions, content: bytes
    ) -> None:
        prepared = {"upload_url": instructions.url, "upload_fields": instructions.fields}
        s3.send(storage, prepared, content)
