"""Checks of reading: metadata, whole objects, their heads, streams and ranges."""

from __future__ import annotations

import os

import pytest

from ..base import Storage
from ..errors import FileTooLarge
from .helpers import Part, collect, content_of, sha256_of

_SIZE = 300_000
_PATH = "read/some.bin"
_ABSENT = "read/absent.bin"


class ReadChecks(Part):
    """Each way to read gives the same bytes, and FileNotFoundError where there are none."""

    async def test_metadata(self, storage: Storage) -> None:
        content = content_of(_SIZE)
        await self.place(storage, _PATH, content)
        metadata = await storage.get_file_metadata(_PATH)
        assert metadata is not None
        assert metadata.path == _PATH
        assert metadata.filename
        assert metadata.size in (None, _SIZE)
        assert metadata.content_hash in (None, sha256_of(content))

    async def test_metadata_of_a_missing_path_is_none(self, storage: Storage) -> None:
        await self.place(storage, _PATH, b"x")
        for path in (_ABSENT, "read", "read/some", f"{_PATH}/below"):
            assert await storage.get_file_metadata(path) is None, path

    async def test_reading_a_missing_path_raises(self, storage: Storage) -> None:
        with pytest.raises(FileNotFoundError):
            await storage.read_file(_ABSENT)
        with pytest.raises(FileNotFoundError):
            await storage.read_bytes(_ABSENT, 10)
        with pytest.raises(FileNotFoundError):
            await storage.read_file_limited(_ABSENT, 10)

    async def test_streaming_a_missing_path_raises(self, storage: Storage) -> None:
        with pytest.raises(FileNotFoundError):
            await collect(storage.stream_file(_ABSENT))
        with pytest.raises(FileNotFoundError):
            await collect(storage.stream_range(_ABSENT, 0, 10))

    @pytest.mark.parametrize("count", [0, 1, 2048, _SIZE - 1, _SIZE, _SIZE + 1])
    async def test_read_bytes_gives_the_head(self, storage: Storage, count: int) -> None:
        content = content_of(_SIZE)
        await self.place(storage, _PATH, content)
        assert await storage.read_bytes(_PATH, count) == content[:count]

    async def test_read_bytes_gives_2048_when_not_told(self, storage: Storage) -> None:
        content = content_of(_SIZE)
        await self.place(storage, _PATH, content)
        assert await storage.read_bytes(_PATH) == content[:2048]

    async def test_read_file_limited(self, storage: Storage) -> None:
        content = content_of(_SIZE)
        await self.place(storage, _PATH, content)
        assert await storage.read_file_limited(_PATH, _SIZE) == content
        with pytest.raises(FileTooLarge):
            await storage.read_file_limited(_PATH, _SIZE - 1)

    @pytest.mark.parametrize("size", [0, 1, _SIZE, 3_000_001])
    async def test_stream_file(self, storage: Storage, size: int) -> None:
        content = content_of(size)
        await self.place(storage, _PATH, content)
        assert await collect(storage.stream_file(_PATH)) == content

    async def test_a_stream_may_be_left_early(self, storage: Storage) -> None:
        content = content_of(3_000_001)
        await self.place(storage, _PATH, content)
        stream = storage.stream_file(_PATH)
        first = await anext(stream)
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
        assert first
        assert content.startswith(first)
        assert await storage.read_file(_PATH) == content

    @pytest.mark.parametrize(
        ("start", "end"),
        [
            pytest.param(0, 1, id="first-byte"),
            pytest.param(0, _SIZE, id="whole"),
            pytest.param(1, _SIZE - 1, id="inner"),
            pytest.param(65_536, 131_072, id="aligned"),
            pytest.param(65_535, 131_073, id="unaligned"),
            pytest.param(_SIZE - 1, _SIZE, id="last-byte"),
            pytest.param(_SIZE - 10, _SIZE + 10, id="past-the-end"),
            pytest.param(5, 2**63 - 1, id="open-ended"),
            pytest.param(_SIZE, _SIZE + 10, id="at-the-end"),
            pytest.param(_SIZE + 5, _SIZE + 10, id="beyond-the-end"),
            pytest.param(100, 100, id="empty"),
        ],
    )
    async def test_stream_range_is_half_open(self, storage: Storage, start: int, end: int) -> None:
        content = content_of(_SIZE)
        await self.place(storage, _PATH, content)
        assert await collect(storage.stream_range(_PATH, start, end)) == content[start:end]

    async def test_stream_range_of_an_empty_object(self, storage: Storage) -> None:
        await self.place(storage, _PATH, b"")
        assert await collect(storage.stream_range(_PATH, 0, 10)) == b""

    async def test_open_local_gives_the_bytes(self, storage: Storage) -> None:
        content = content_of(_SIZE)
        await self.place(storage, _PATH, content)
        descriptor = await storage.open_local(_PATH)
        if descriptor is None:
            return
        with os.fdopen(descriptor, "rb") as file:
            assert file.read() == content
        with pytest.raises(FileNotFoundError):
            await storage.open_local(_ABSENT)

    async def test_cached_locals_give_the_bytes(self, storage: Storage) -> None:
        content = content_of(_SIZE)
        await self.place(storage, _PATH, content)
        opened = [await storage.open_local(_PATH), *storage.cached_locals([_ABSENT, _PATH])]
        assert opened[1] is None
        for descriptor in opened:
            if descriptor is not None:
                with os.fdopen(descriptor, "rb") as file:
                    assert file.read() == content
