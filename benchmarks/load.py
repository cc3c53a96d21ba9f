"""Many small requests over several keep-alive connections, driven by one thread.

A `Script` is one unit of work (a file uploaded, a page fetched): a generator that yields request
bytes and is sent each answer. `throughput` runs it again and again on every connection and counts
how many ended per second. One thread with a selector, because the client shares the machine's
cores with the server it measures.
"""

from __future__ import annotations

import itertools
import os
import selectors
import socket
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol

from benchmarks.client import READ_SIZE, Address, Parser, Response, connect
from benchmarks.messages import Wire

Conversation = Generator[bytes, Response, None]


def _another(content: bytes) -> bytes:
    """As many bytes, which no file has: people seldom upload the same file again and again."""
    return os.urandom(8) + content[8:]


class Script(Protocol):
    """One unit of work; picklable, because the client runs in a process of its own."""

    def start(self, number: int) -> Conversation:
        """Begin unit `number`: yield requests, receive their answers (2xx already checked)."""
        ...


@dataclass(frozen=True)
class Fetch:
    """One GET a unit, taking `requests` in turn."""

    requests: tuple[bytes, ...]

    def start(self, number: int) -> Conversation:
        yield self.requests[number % len(self.requests)]


@dataclass(frozen=True)
class ThreeSteps:
    """One file a unit, by prepare, upload and complete; each has other bytes."""

    wire: Wire
    source: str
    content: bytes

    def start(self, number: int) -> Conversation:
        filename = f"note-{number:06d}.bin"
        base = f"/-/files/upload/{self.source}/-"
        prepared = yield self.wire.post_json(
            f"{base}/prepare",
            {
                "filename": filename,
                "content_type": "application/octet-stream",
                "size": len(self.content),
            },
        )
        token = prepared.json()["upload_token"]
        form = self.wire.multipart(
            f"{base}/upload", {"upload_token": token}, filename, len(self.content)
        )
        yield form.around(_another(self.content))
        yield self.wire.post_json(f"{base}/complete", {"upload_token": token})


@dataclass(frozen=True)
class OneShot:
    """One file a unit, by a single multipart POST."""

    wire: Wire
    source: str
    content: bytes

    def start(self, number: int) -> Conversation:
        form = self.wire.multipart(
            f"/-/files/upload/{self.source}", {}, f"note-{number:06d}.bin", len(self.content)
        )
        yield form.around(_another(self.content))


@dataclass(frozen=True)
class Post:
    """One POST a unit."""

    path: str
    content: bytes

    def start(self, number: int) -> Conversation:
        yield Wire().post(self.path, len(self.content)).around(_another(self.content))


@dataclass(frozen=True)
class Put:
    """One file a unit, by a PUT of its name at the root of a server that is not ours."""

    content: bytes

    def start(self, number: int) -> Conversation:
        yield (
            Wire().put(f"/note-{number:06d}.bin", len(self.content)).around(_another(self.content))
        )


class _Lane:
    """One connection and the unit of work now running on it."""

    def __init__(self, address: Address) -> None:
        self.sock: socket.socket = connect(address)
        self._parser = Parser()
        self._work: Conversation | None = None
        self._request = b""

    def begin(self, work: Conversation) -> None:
        self._work = work
        self._send(next(work))

    def _send(self, request: bytes) -> None:
        self._request = request
        self.sock.sendall(request)

    def advance(self) -> bool:
        """Read what has arrived; True when the unit has ended."""
        response = self._parser.feed(self.sock.recv(READ_SIZE))
        if response is None or self._work is None:
            return False
        try:
            self._send(self._work.send(response.expect(self._request)))
        except StopIteration:
            return True
        return False


def throughput(address: Address, script: Script, connections: int, seconds: float) -> float:
    """Units per second over `connections`; no unit begins after `seconds`, all are finished.

    Raises UnexpectedStatusError at the first answer that is not a 2xx.
    """
    numbers = itertools.count()
    lanes = [_Lane(address) for _ in range(connections)]
    done = 0
    try:
        with selectors.DefaultSelector() as selector:
            started = time.perf_counter()
            for lane in lanes:
                selector.register(lane.sock, selectors.EVENT_READ, lane)
                lane.begin(script.start(next(numbers)))
            busy = connections
            while busy:
                for key, _ in selector.select():
                    lane = key.data
                    if not lane.advance():
                        continue
                    done += 1
                    if time.perf_counter() - started < seconds:
                        lane.begin(script.start(next(numbers)))
                    else:
                        busy -= 1
            return done / (time.perf_counter() - started)
    finally:
        for lane in lanes:
            lane.sock.close()
