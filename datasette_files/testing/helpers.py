"""Helpers of the suite's checks; useful in other tests too.

Holds making contents, streaming them in, reading them back. Leaves out the checks (writing.py,
reading.py, listing.py, remote.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import AsyncIterator, Iterable
from itertools import cycle
from typing import Any

import pytest

from ..base import FileMetadata, Storage

#: Seconds after which a storage counts as hanging.
PATIENCE = 30.0
#: Pages after which a walk counts as endless.
_MAX_PAGES = 1000


class Part:
    """Base of each group of checks."""

    async def place(self, storage: Storage, path: str, content: bytes) -> None:
        """Put an object at ``path``; by default, by an upload."""
        needs(storage, "can_upload")
        await store(storage, path, content)


def content_of(size: int, seed: str = "") -> bytes:
    """``size`` bytes that look random and are the same each time, for one ``seed``."""
    return hashlib.shake_256(f"{seed}/{size}".encode()).digest(size)


def sha256_of(content: bytes) -> str:
    """The digest as ``FileMetadata.content_hash`` writes it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


async def chunked(content: bytes, sizes: Iterable[int] = (65536,)) -> AsyncIterator[bytes]:
    """An upload's stream: ``content`` in chunks of these sizes, over and over (0: an empty chunk).

    Lets other tasks run before each chunk, as a socket does.
    """
    sizes = list(sizes)
    if not any(sizes):
        raise ValueError("sizes must hold one that is not 0")
    position = 0
    for size in cycle(sizes):
        if position >= len(content):
            return
        await asyncio.sleep(0)
        yield content[position : position + size]
        position += size


def takes_bytes(storage: Storage) -> bool:
    """Tell whether ``receive_upload`` has the older signature ``(path, content: bytes, …)``."""
    return "content" in inspect.signature(storage.receive_upload).parameters


async def store(
    storage: Storage,
    path: str,
    content: bytes | AsyncIterator[bytes],
    content_type: str = "application/octet-stream",
) -> FileMetadata:
    """Upload as the core does, whichever signature the storage has."""
    if takes_bytes(storage):
        whole: Any = content if isinstance(content, bytes) else await collect(content)
        return await storage.receive_upload(path, whole, content_type)
    stream = chunked(content) if isinstance(content, bytes) else content
    return await storage.receive_upload(path, stream, content_type)


async def collect(chunks: AsyncIterator[bytes]) -> bytes:
    """Everything a stream yields."""
    return b"".join([chunk async for chunk in chunks])


async def list_all(storage: Storage, prefix: str = "", limit: int = 100) -> list[FileMetadata]:
    """A whole walk. Fails for a page over ``limit`` and for a walk without end."""
    files: list[FileMetadata] = []
    cursor: str | None = None
    for _ in range(_MAX_PAGES):
        page, cursor = await storage.list_files(prefix, cursor, limit)
        assert len(page) <= limit, f"a page of {len(page)} files, though the limit is {limit}"
        files.extend(page)
        if cursor is None:
            return files
        assert isinstance(cursor, str), "a cursor is a string"
    raise AssertionError(f"the walk has not ended after {_MAX_PAGES} pages")


async def assert_absent(storage: Storage, path: str) -> None:
    """Fail if any method of the storage finds an object at ``path``."""
    assert await storage.get_file_metadata(path) is None
    with pytest.raises(FileNotFoundError):
        await storage.read_file(path)
    if storage.capabilities.can_list:
        assert [file.path for file in await list_all(storage, path)] == []


def needs(storage: Storage, capability: str) -> None:
    """Skip the check where the storage does not declare that power."""
    if not getattr(storage.capabilities, capability):
        pytest.skip(f"the storage does not declare {capability}")
