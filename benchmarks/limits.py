"""The limits beside the measurements: two ASGI apps that do as little as can be done.

`durable` is the limit of P1. It takes a body from the socket, makes its SHA-256 and stores it
durably, and does nothing else: no form, no limit, no row, no permission. The event loop only
gathers what arrives into batches of 1 MiB; one thread hashes the batches, a second writes them,
both at the same time (hashlib and write(2) release the interpreter lock), and a third starts
fdatasync(2) every 32 MiB, so that the closing fsync(2) has little left to do. At most eight batches
wait, so memory is bounded and a slow disk slows the sender down.

`nothing` is the scale of P2: it reads a request to its end and answers a fixed JSON object that
satisfies each of the three steps.

Run by `uvicorn benchmarks.limits:durable`; the folder to write to is in `BENCHMARKS_LIMIT_DIR`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BATCH = 1 << 20
SYNC_EVERY = 32 << 20
WAITING = 8

FIXED = json.dumps(
    {
        "ok": True,
        "upload_token": "tok_01j5a3b4c5d6e7f8g9h0jkmnpq",
        "upload_url": "/-/files/upload/bench/-/upload",
        "upload_fields": {"upload_token": "tok_01j5a3b4c5d6e7f8g9h0jkmnpq"},
    }
).encode()


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionError("the client left within the body")
        more = message.get("more_body", False)
        yield message.get("body", b"")


async def _batches(receive: Receive) -> AsyncIterator[bytes]:
    parts: list[bytes] = []
    size = 0
    async for part in _body(receive):
        parts.append(part)
        size += len(part)
        if size >= BATCH:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def _write_all(fd: int, batch: bytes) -> None:
    view = memoryview(batch)
    while view:
        view = view[os.write(fd, view) :]


async def _store(receive: Receive, path: Path) -> str:
    """Write the body to `path`, durably; return its SHA-256 in hex."""
    loop = asyncio.get_running_loop()
    digest = hashlib.sha256()
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    # One thread each: a pool of one runs its jobs in the order they were given.
    hasher, writer, syncer = (ThreadPoolExecutor(1) for _ in range(3))
    try:
        waiting: deque[asyncio.Future[Any]] = deque()
        syncs: list[asyncio.Future[None]] = []
        unsynced = 0
        async for batch in _batches(receive):
            hashed = loop.run_in_executor(hasher, digest.update, batch)
            written = loop.run_in_executor(writer, _write_all, fd, batch)
            waiting.append(asyncio.gather(hashed, written))
            while len(waiting) >= WAITING:
                await waiting.popleft()
            unsynced += len(batch)
            if unsynced >= SYNC_EVERY:
                syncs.append(loop.run_in_executor(syncer, os.fdatasync, fd))
                unsynced = 0
        await asyncio.gather(*waiting)
        await asyncio.gather(*syncs)
        await loop.run_in_executor(syncer, os.fsync, fd)
        return digest.hexdigest()
    finally:
        for pool in (hasher, writer, syncer):
            pool.shutdown()
        os.close(fd)


async def durable(scope: Message, receive: Receive, send: Send) -> None:
    """Store each request's body; answer 201 with its SHA-256."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["method"] == "GET":
        await _answer(send, 200, b"{}")
        return
    path = Path(os.environ["BENCHMARKS_LIMIT_DIR"]) / f"{os.urandom(8).hex()}.bin"
    sha256 = await _store(receive, path)
    await _answer(send, 201, json.dumps({"sha256": sha256}).encode())


async def nothing(scope: Message, receive: Receive, send: Send) -> None:
    """Read each request to its end; answer the same object to all."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    async for _ in _body(receive):
        pass
    await _answer(send, 200, FIXED)
