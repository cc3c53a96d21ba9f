"""A cheap HTTP/1.1 client: a raw socket kept alive, and just enough parsing of answers.

Reads the status, `Content-Length` or the chunked coding (RFC 9112 section 7.1) and the body, and
nothing else. No redirects, no TLS, no `100 Continue`. What to send is in `messages.py`; loops over
many connections are in `load.py`, large bodies in `transfers.py`.
"""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any

Address = tuple[str, int]

READ_SIZE = 1 << 18


class UnexpectedStatusError(Exception):
    """A server refused the work. Says what it was asked for and what it answered.

    Travels between processes, so every argument is passed to `Exception`.
    """

    def __init__(self, request: str, status: int, body: str) -> None:
        super().__init__(request, status, body)
        self.status = status

    def __str__(self) -> str:
        request, status, body = self.args
        return f"{request} answered {status}: {body}"


@dataclass(frozen=True)
class Response:
    """An answer read to its end."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def expect(self, request: bytes) -> Response:
        """Return this answer when it is a 2xx, else raise `UnexpectedStatusError`."""
        if 200 <= self.status < 300:
            return self
        line = request.split(b"\r\n", 1)[0].removesuffix(b" HTTP/1.1").decode("latin-1")
        excerpt = " ".join(self.body[:120].decode("utf-8", "replace").split())
        raise UnexpectedStatusError(line[:120], self.status, excerpt)


@dataclass(frozen=True)
class Head:
    """The part of a response head that the client needs; `length` is None for chunked bodies."""

    status: int
    length: int | None


def parse_head(raw: bytes) -> Head:
    """Parse a response head without its blank line."""
    status = int(raw[9:12])
    fields = raw.lower()
    at = fields.find(b"\r\ncontent-length:")
    if at >= 0:
        end = fields.find(b"\r\n", at + 2)
        return Head(status, int(fields[at + 17 : end if end >= 0 else None]))
    if b"\r\ntransfer-encoding: chunked" in fields:
        return Head(status, None)
    return Head(status, 0)


class Parser:
    """Collects received bytes until one whole answer is there. One answer at a time."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._head: Head | None = None

    def feed(self, data: bytes) -> Response | None:
        """Add received bytes; return the answer once it is whole.

        Raises ConnectionError when `data` is empty, which is how a socket says it was closed.
        """
        if not data:
            raise ConnectionError("the server closed the connection within an answer")
        self._data += data
        if self._head is None:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return None
            self._head = parse_head(bytes(self._data[:end]))
            del self._data[: end + 4]
        body = self._body(self._head)
        if body is None:
            return None
        response = Response(self._head.status, body)
        self._head = None
        self._data.clear()
        return response

    def _body(self, head: Head) -> bytes | None:
        if head.length is not None:
            return bytes(self._data) if len(self._data) >= head.length else None
        if not self._data.endswith(b"0\r\n\r\n"):
            return None
        return self._unchunk()

    def _unchunk(self) -> bytes | None:
        parts: list[bytes] = []
        at = 0
        while True:
            line_end = self._data.find(b"\r\n", at)
            if line_end < 0:
                return None
            size = int(self._data[at:line_end], 16)
            if size == 0:
                return b"".join(parts)
            start = line_end + 2
            if len(self._data) < start + size + 2:
                return None
            parts.append(bytes(self._data[start : start + size]))
            at = start + size + 2


def connect(address: Address) -> socket.socket:
    """A connected socket without Nagle's delay."""
    sock = socket.create_connection(address, timeout=600)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_response(sock: socket.socket) -> Response:
    """Read one whole answer from a blocking socket."""
    parser = Parser()
    while True:
        response = parser.feed(sock.recv(READ_SIZE))
        if response is not None:
            return response


def exchange(address: Address, requests: list[bytes]) -> list[Response]:
    """Send `requests` one after another over one connection; every answer must be a 2xx."""
    answers: list[Response] = []
    with connect(address) as sock:
        for request in requests:
            sock.sendall(request)
            answers.append(read_response(sock).expect(request))
    return answers


def latencies(address: Address, requests: list[bytes], repeats: int) -> list[list[float]]:
    """Seconds from request to whole answer: for each request, `repeats` times, one connection.

    Each request is sent once more beforehand, so that no figure contains a first parse of SQL or
    a first rendering of a template.
    """
    results: list[list[float]] = []
    with connect(address) as sock:
        for request in requests:
            sock.sendall(request)
            read_response(sock).expect(request)
            taken: list[float] = []
            for _ in range(repeats):
                started = time.perf_counter()
                sock.sendall(request)
                read_response(sock).expect(request)
                taken.append(time.perf_counter() - started)
            results.append(taken)
    return results
