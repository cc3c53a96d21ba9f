"""A store that never answers ``Expect: 100-continue``, as simple ones do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from datasette_files.testing import chunked
from datasette_files_s3.storage import S3Storage
from tests.s3.conftest import no_secrets

_OK = b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nETag: "e"\r\nConnection: close\r\n\r\n'


@pytest.fixture
async def simple_store() -> AsyncIterator[tuple[str, list[bytes]]]:
    """Its address, and the head of each request. It reads a body before it says a word."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heads.append(head.lower())
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                await reader.readexactly(int(line.partition(b":")[2]))
        writer.write(_OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", heads


async def test_a_body_is_sent_without_asking_for_leave(
    simple_store: tuple[str, list[bytes]],
) -> None:
    url, heads = simple_store
    storage = S3Storage()
    config = {
        "bucket": "bucket",
        "endpoint_url": url,
        "access_key_id": "key",
        "secret_access_key": "secret",
        "upload": "proxy",
    }
    await storage.configure(config, no_secrets)
    try:
        stored = await asyncio.wait_for(
            storage.receive_upload("a/b.txt", chunked(b"hello", (2,)), "text/plain"), 10
        )
    finally:
        await storage.close()
    assert stored.size == 5
    sent = [head for head in heads if head.startswith(b"put ")]
    assert sent and all(b"expect:" not in head for head in sent)
