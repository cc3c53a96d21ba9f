"""Storages for tests: small, in memory, and broken in the one way that a test is about."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from datasette import hookimpl
from datasette.plugins import pm

from datasette_files.base import FileMetadata, Storage, StorageCapabilities


class MemoryStorage(Storage):
    """Keeps bytes in a dict of its class; written from the documented contract alone."""

    storage_type = "memory"
    capabilities = StorageCapabilities(can_upload=True, can_delete=True)
    objects: ClassVar[dict[str, bytes]] = {}

    async def configure(self, config: dict[str, Any], get_secret: Any) -> None:
        self.config = config

    async def get_file_metadata(self, path: str) -> FileMetadata | None:
        if path not in self.objects:
            return None
        return FileMetadata(path=path, filename=path, size=len(self.objects[path]))

    async def read_file(self, path: str) -> bytes:
        try:
            return self.objects[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    async def receive_upload(
        self, path: str, stream: AsyncIterator[bytes], content_type: str
    ) -> FileMetadata:
        content = b"".join([chunk async for chunk in stream])
        self.objects[path] = content
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        return FileMetadata(path=path, filename=path, content_hash=digest, size=len(content))

    async def delete_file(self, path: str) -> None:
        self.objects.pop(path, None)


def storage_class(**attributes: Any) -> type[MemoryStorage]:
    """A ``MemoryStorage`` with objects of its own and these attributes replaced."""
    return type("TestStorage", (MemoryStorage,), {"objects": {}, **attributes})


@contextmanager
def registered(**hooks: Any) -> Iterator[None]:
    """A plugin with these hook implementations, while the context is open."""
    members = {name: staticmethod(hookimpl(fn)) for name, fn in hooks.items()}
    plugin = type("Plugin", (), members)
    name = pm.register(plugin, name=f"test-plugin-{id(plugin)}")
    try:
        yield
    finally:
        pm.unregister(name=name)


@contextmanager
def installed(*classes: type[Storage]) -> Iterator[None]:
    """These storage types are offered by a plugin, while the context is open."""

    def register_files_storage_types(datasette: Any) -> list[type[Storage]]:
        return list(classes)

    with registered(register_files_storage_types=register_files_storage_types):
        yield
