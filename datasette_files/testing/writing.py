"""Checks of uploads, complete and failed, and of deletion."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from ..base import Storage
from .helpers import (
    PATIENCE,
    Part,
    assert_absent,
    chunked,
    collect,
    content_of,
    needs,
    sha256_of,
    store,
    takes_bytes,
)

_MIB = 1024 * 1024
#: Bytes of an upload that fails half-way: within any buffer, and beyond most.
_HALF_WAY = (1000, 3 * _MIB)


class StreamBroke(Exception):
    """Raised by an upload's stream in these checks."""


def _needs_stream(storage: Storage) -> None:
    needs(storage, "can_upload")
    if takes_bytes(storage):
        pytest.skip("receive_upload takes bytes, so the stream ends before it is called")


class UploadChecks(Part):
    """``receive_upload``: all bytes or none."""

    @pytest.mark.parametrize(
        ("size", "chunk_sizes"),
        [
            pytest.param(0, (1,), id="0"),
            pytest.param(1, (1,), id="1"),
            pytest.param(65536, (65536,), id="64KiB"),
            pytest.param(_MIB + 1, (65536,), id="1MiB+1"),
            pytest.param(5 * _MIB, (1, 99_991, 0, 65_537, 1_048_573), id="5MiB-odd-chunks"),
        ],
    )
    async def test_upload_round_trip(
        self, storage: Storage, size: int, chunk_sizes: tuple[int, ...]
    ) -> None:
        needs(storage, "can_upload")
        content = content_of(size)
        stored = await store(storage, "round/trip.bin", chunked(content, chunk_sizes))
        assert stored.size == size
        assert stored.content_hash == sha256_of(content)
        assert stored.path == "round/trip.bin"
        assert await storage.read_file("round/trip.bin") == content

    @pytest.mark.parametrize(
        "path",
        [
            pytest.param("plain.txt", id="no-directory"),
            pytest.param("a/b/c/d/e/f/g/h/i/j/deep.txt", id="deep"),
            pytest.param("unicode/ünï_日本語_Ελληνικά_עברית.txt", id="unicode"),
            pytest.param("long/" + "é" * 98 + ".txt", id="200-bytes-of-UTF-8"),
            pytest.param("dots/..name...txt", id="dots"),
            pytest.param("percent/100%25+plus&amp=#hash?query", id="URL-syntax"),
        ],
    )
    async def test_upload_to_unusual_paths(self, storage: Storage, path: str) -> None:
        needs(storage, "can_upload")
        await store(storage, path, b"found again")
        assert await storage.read_file(path) == b"found again"
        metadata = await storage.get_file_metadata(path)
        assert metadata is not None
        assert metadata.path == path

    @pytest.mark.parametrize("before", _HALF_WAY)
    async def test_stream_that_raises_leaves_nothing(self, storage: Storage, before: int) -> None:
        _needs_stream(storage)
        broke = StreamBroke("half-way")

        async def stream() -> AsyncIterator[bytes]:
            async for chunk in chunked(content_of(before)):
                yield chunk
            raise broke

        with pytest.raises(StreamBroke) as caught:
            await storage.receive_upload("broken/upload.bin", stream(), "text/plain")
        assert caught.value is broke, "the stream's own exception has to come out"
        await assert_absent(storage, "broken/upload.bin")
        await store(storage, "broken/upload.bin", b"the second attempt")
        assert await storage.read_file("broken/upload.bin") == b"the second attempt"

    @pytest.mark.parametrize("before", _HALF_WAY)
    async def test_cancelled_upload_leaves_nothing(self, storage: Storage, before: int) -> None:
        _needs_stream(storage)
        waiting = asyncio.Event()

        async def stream() -> AsyncIterator[bytes]:
            async for chunk in chunked(content_of(before)):
                yield chunk
            waiting.set()
            await asyncio.Event().wait()

        upload = asyncio.create_task(
            storage.receive_upload("cancelled/upload.bin", stream(), "text/plain")
        )
        await asyncio.wait_for(waiting.wait(), PATIENCE)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(upload, PATIENCE)
        await assert_absent(storage, "cancelled/upload.bin")

    async def test_uploads_at_once_do_not_mix(self, storage: Storage) -> None:
        needs(storage, "can_upload")
        sizes = (10, 10, 300_000, 1_300_000)
        contents = {f"at-once/{n}.bin": content_of(size, str(n)) for n, size in enumerate(sizes)}
        stored = await asyncio.gather(
            *(
                store(storage, path, chunked(content, (7, 40_000)))
                for path, content in contents.items()
            )
        )
        assert [one.content_hash for one in stored] == [sha256_of(c) for c in contents.values()]
        for path, content in contents.items():
            assert await storage.read_file(path) == content


class DeleteChecks(Part):
    """``delete_file`` and ``delete_files``: gone, nothing else gone, and no error a second time."""

    async def test_deleted_file_is_absent(self, storage: Storage) -> None:
        needs(storage, "can_delete")
        for path in ("delete/a", "delete/ab", "delete/b/a"):
            await self.place(storage, path, path.encode())
        await storage.delete_file("delete/a")
        assert await storage.get_file_metadata("delete/a") is None
        with pytest.raises(FileNotFoundError):
            await storage.read_file("delete/a")
        assert await storage.read_file("delete/ab") == b"delete/ab"
        assert await collect(storage.stream_file("delete/b/a")) == b"delete/b/a"

    async def test_delete_may_be_repeated(self, storage: Storage) -> None:
        needs(storage, "can_delete")
        await self.place(storage, "delete/twice", b"x")
        await storage.delete_file("delete/twice")
        await storage.delete_file("delete/twice")
        await storage.delete_file("delete/never/was/there")

    async def test_delete_files_takes_any_iterable(self, storage: Storage) -> None:
        needs(storage, "can_delete")
        paths = [f"delete/many/{n}" for n in range(5)]
        for path in paths:
            await self.place(storage, path, b"x")
        await storage.delete_files(iter([*paths[:4], "delete/many/absent"]))
        for path in paths[:4]:
            await assert_absent(storage, path)
        assert await storage.read_file(paths[4]) == b"x"
        await storage.delete_files(paths)
        await storage.delete_files([])
        await assert_absent(storage, paths[4])
