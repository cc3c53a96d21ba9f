"""HTTP by hand over a socket: requests that break off, stall, crawl, or lie about their length."""

from __future__ import annotations

import json
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.support.server import Server


@dataclass(frozen=True)
class RawAnswer:
    """The answer before the connection ended; ``status`` 0 for nothing."""

    status: int
    body: bytes

    @property
    def code(self) -> str:
        """The code in our error body."""
        value: Any = json.loads(self.body)
        return str(value["code"])


class RawRequest:
    """One request, to a server or a port, on a connection of its own. Use as a context manager."""

    def __init__(self, server: Server | int, timeout: float = 30.0) -> None:
        port = server if isinstance(server, int) else server.port
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)

    def __enter__(self) -> RawRequest:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def head(self, method: str, path: str, headers: dict[str, str]) -> RawRequest:
        lines = [f"{method} {path} HTTP/1.1", "Host: test", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode())
        return self

    def send(self, raw: bytes) -> bool:
        """Whether the server still took it."""
        try:
            self._socket.sendall(raw)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def end_sending(self) -> None:
        """No more will come, but an answer is still read."""
        with suppress(OSError):  # the server may have ended it already
            self._socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish, as a machine that lost its power or its network."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def answer(self) -> RawAnswer:
        """Read to the end of the connection."""
        received = b""
        try:
            while part := self._socket.recv(65536):
                received += part
        except ConnectionResetError:
            pass  # what came before it counts
        head, _, body = received.partition(b"\r\n\r\n")
        if not head:
            return RawAnswer(0, b"")
        if b"transfer-encoding: chunked" in head.lower():
            body = _dechunked(body)
        return RawAnswer(int(head.split()[1]), body)


def _dechunked(raw: bytes) -> bytes:
    body = b""
    while raw:
        length, _, raw = raw.partition(b"\r\n")
        size = int(length, 16)
        body, raw = body + raw[:size], raw[size + 2 :]
        if size == 0:
            return body
    return body
