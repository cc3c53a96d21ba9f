"""The exported suite on the S3 storage: on moto, or on the endpoint that the environment names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from datasette_files.base import Storage
from datasette_files.testing import StorageContract
from datasette_files_s3.storage import S3Storage
from tests.moto_server import new_prefix, shared_store


async def no_secrets(name: str) -> None:
    return None


class TestDirect(StorageContract):
    """Bytes go past Datasette, both ways."""

    options: ClassVar[dict[str, Any]] = {}

    async def make_storage(self, tmp_path: Path) -> Storage:
        storage = S3Storage()
        await storage.configure(shared_store().config(new_prefix(), **self.options), no_secrets)
        return storage


class TestProxy(TestDirect):
    """Bytes go through Datasette, both ways."""

    options: ClassVar[dict[str, Any]] = {"upload": "proxy", "download": "proxy"}
