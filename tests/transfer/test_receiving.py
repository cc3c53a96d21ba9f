"""One attempt to bring bytes into a storage: what is checked, and whose error is told."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.base import FileMetadata
from datasette_files.errors import ChecksumMismatch, FileTooLarge, Invalid, StorageError
from datasette_files.media.sniffing import HEAD
from datasette_files.models import Upload
from datasette_files.transfer import receiving
from datasette_files.transfer.incoming import Incoming, new_upload
from tests.conftest import MakeDatasette
from tests.support.storages import MemoryStorage, described, installed


class Storage(MemoryStorage):
    """Takes bytes, and then answers or fails as a test sets it."""

    def __init__(self) -> None:
        super().__init__()
        self.answer: Any = None
        self.sizes: list[int] = []

    async def receive_upload(
        self, path: str, stream: AsyncIterator[bytes], content_type: str
    ) -> FileMetadata:
        try:
            chunks = [chunk async for chunk in stream]
        except Exception as error:
            raise RuntimeError("the storage lost its client") from error
        content = self.objects[path] = b"".join(chunks)
        self.sizes = [len(chunk) for chunk in chunks]
        if isinstance(self.answer, Exception):
            raise self.answer
        answer: FileMetadata = self.answer or described(path, content, content_type)
        return answer


class Receiving:
    def __init__(self, files: Files) -> None:
        self.source = files.sources.get("docs")
        self.extended = 0
        self.covered: list[int] = []

    @property
    def storage(self) -> Storage:
        assert isinstance(self.source.storage, Storage)
        return self.source.storage

    def upload(self, size: int | None = None, **changes: Any) -> Upload:
        incoming = Incoming("a.txt", "text/plain", size)
        return replace(new_upload(self.source, None, incoming, "token", 9e9), **changes)

    async def __call__(self, upload: Upload, *chunks: bytes) -> Upload:
        async def stream() -> AsyncIterator[bytes]:
            for chunk in chunks:
                yield chunk

        async def extend(_: Upload) -> float:
            self.extended += 1
            return 9e9

        async def cover(size: int) -> None:
            self.covered.append(size)

        return await receiving.receive_stream(self.source, upload, stream(), extend, cover)


@pytest.fixture
async def receive(make_datasette: MakeDatasette) -> Receiving:
    with installed(Storage):
        source = {"storage": "memory", "max_file_size": 100_000}
        return Receiving(Files.of(await make_datasette({"docs": source})))


async def test_the_facts_are_those_of_the_stored_object(receive):
    done = await receive(receive.upload(5), b"he", b"l", b"lo")
    assert receive.storage.objects == {done.path: b"hello"}
    assert (done.stored_size, done.stored_type, done.crc32) == (5, "text/plain", "3610a686")
    assert done.content_hash == described("", b"hello").content_hash
    assert (receive.covered, receive.extended) == ([2, 3, 5], 0)
    empty = await receive(receive.upload())
    assert (empty.stored_size, receive.storage.objects[empty.path]) == (0, b"")


async def test_the_storage_gets_large_batches(receive, monkeypatch):
    """And a client that fills none for long keeps its upload."""
    monkeypatch.setattr(receiving, "_BATCH", 80_000)
    content = bytes(range(250)) * 280
    chunks = [content[first : first + 20_000] for first in range(0, 70_000, 20_000)]
    done = await receive(receive.upload(claimed_until=1), *chunks)
    assert (receive.storage.sizes, receive.extended) == ([70_000], 1)
    assert done.crc32 == f"{zlib.crc32(content):08x}"
    monkeypatch.setattr(receiving, "_BATCH", 30_000)
    done = await receive(receive.upload(), *chunks)
    assert receive.storage.sizes == [40_000, 30_000]
    assert receive.storage.objects[done.path] == content
    assert done.crc32 == f"{zlib.crc32(content):08x}"


async def test_bytes_of_a_slow_client_are_handed_on(receive, monkeypatch):
    """A storage may send them on to somebody who would not wait for a whole batch."""
    monkeypatch.setattr(receiving, "_BATCH_SECONDS", 0.0)
    await receive(receive.upload(), *[b"x" * 10_000] * 3)
    assert receive.storage.sizes == [20_000, 10_000]


async def test_a_storage_that_stops_at_the_last_byte_gets_the_crc32_of_all(receive, monkeypatch):
    content = bytes(range(250)) * 400

    async def receive_upload(path: str, stream: AsyncIterator[bytes], content_type: str) -> Any:
        return described(path, await anext(aiter(stream)), content_type)

    monkeypatch.setattr(receiving, "_BATCH", len(content))
    receive.storage.receive_upload = receive_upload
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(
        loop,
        "run_in_executor",
        lambda _, update, chunk: asyncio.ensure_future(_late(update, chunk)),
    )
    done = await receive(receive.upload(len(content)), content)
    assert done.crc32 == f"{zlib.crc32(content):08x}"


async def _late(update: Any, chunk: bytes) -> None:
    await asyncio.sleep(0.05)
    update(chunk)


async def test_bytes_that_break_a_bound_end_the_stream_with_that_error(receive):
    """Whatever error the storage makes of it."""
    for upload, chunks, error in (
        (receive.upload(6), (b"hello",), Invalid),
        (receive.upload(4), (b"hello",), Invalid),
        (receive.upload(20_000), (b"x" * 10_000, b"x" * 10_001), Invalid),
        (receive.upload(), (b"x" * 50_000, b"x" * 50_001), FileTooLarge),
        (receive.upload(sha256="0" * 64), (b"hello",), ChecksumMismatch),
    ):
        with pytest.raises(error):
            await receive(upload, *chunks)
    receive.covered.clear()
    with pytest.raises(Invalid):
        await receive(receive.upload(4), b"hello")
    assert receive.covered == [], "no byte too many is made room for"
    await receive(receive.upload(), b"x" * 50_000, b"x" * 50_000)


async def test_what_was_sent_to_the_storage_is_checked_here_too(receive):
    """Whatever the storage has let pass."""

    async def verified(size: int | None, content: bytes) -> Upload:
        upload = receive.upload(size, instructions={})
        receive.storage.objects[upload.path] = content

        async def finish_upload(path: str, state: dict[str, Any]) -> FileMetadata:
            return described(path, content)

        receive.storage.finish_upload = finish_upload  # type: ignore[method-assign]
        return await receiving.verify_direct_upload(receive.source, upload)

    assert (await verified(5, b"hello")).stored_size == 5
    with pytest.raises(Invalid):
        await verified(4, b"hello")
    with pytest.raises(FileTooLarge):
        await verified(None, bytes(100_001))
    with pytest.raises(receiving.NothingSent):
        await receiving.verify_direct_upload(receive.source, receive.upload(5))


async def test_what_a_storage_answers_is_not_believed_blindly(receive):
    for answer, words in (
        (FileMetadata("p", "a.txt", size=4), "did not take every byte"),
        ("stored", "invalid answer"),
    ):
        receive.storage.answer = answer
        with pytest.raises(StorageError, match=words):
            await receive(receive.upload(5), b"hello")
    receive.storage.answer = FileMetadata("p", "a.txt", size=None)
    done = await receive(receive.upload(5), b"hello")
    assert done.content_hash == described("", b"hello").content_hash, "of the bytes that are there"
    receive.storage.answer = OSError("the disk is gone")
    with pytest.raises(StorageError):
        await receive(receive.upload(5), b"hello")


async def test_the_type_is_that_of_the_first_bytes_however_they_come(receive):
    picture = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(HEAD)
    for chunks in ([picture], [*(picture[n : n + 1] for n in range(30)), picture[30:]]):
        done = await receive(receive.upload(len(picture)), *chunks)
        assert done.stored_type == "image/png"
        assert receive.storage.objects[done.path] == picture


async def test_a_long_stream_postpones_its_expiry(receive):
    late = receive.upload(expires_at=1.0)
    await receive(late, b"x" * HEAD, b"y")
    assert receive.extended == 1
