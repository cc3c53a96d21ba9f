"""The exported suite on the built-in storage, and on the test storages that stand for plugins'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasette_files.base import Storage, UploadInstructions
from datasette_files.filesystem import FilesystemStorage
from datasette_files.testing import StorageContract
from tests.support.storages import (
    DirectStorage,
    DocumentedStorage,
    LegacyStorage,
    MemoryStorage,
    SignedStorage,
)


async def no_secrets(name: str) -> None:
    return None


async def configured(storage: Storage, **config: Any) -> Storage:
    await storage.configure(config, no_secrets)
    return storage


class TestFilesystemStorage(StorageContract):
    async def make_storage(self, tmp_path: Path) -> Storage:
        return await configured(FilesystemStorage(), root=str(tmp_path / "root"))


class TestMemoryStorage(StorageContract):
    async def make_storage(self, tmp_path: Path) -> Storage:
        return await configured(MemoryStorage())


class TestDocumentedStorage(StorageContract):
    async def make_storage(self, tmp_path: Path) -> Storage:
        return await configured(DocumentedStorage(), prefix="uploads/")


class TestLegacyStorage(StorageContract):
    async def make_storage(self, tmp_path: Path) -> Storage:
        return await configured(LegacyStorage())


class TestSignedStorage(StorageContract):
    async def make_storage(self, tmp_path: Path) -> Storage:
        return await configured(SignedStorage())

    async def fetch(self, storage: Storage, url: str) -> tuple[dict[str, str], bytes]:
        assert isinstance(storage, SignedStorage)
        return storage.serve(url)


class TestDirectStorage(TestSignedStorage):
    async def make_storage(self, tmp_path: Path) -> Storage:
        return await configured(DirectStorage())

    async def send(
        self, storage: Storage, instructions: UploadInstructions, content: bytes
    ) -> None:
        assert isinstance(storage, DirectStorage)
        storage.put(instructions.url, content)
