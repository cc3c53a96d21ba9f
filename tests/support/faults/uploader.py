"""A client of tus for tests of faults: one upload, whose address is all that it knows."""

from __future__ import annotations

import base64
import hashlib
import socket
import time
from collections.abc import Iterator
from typing import Any, Protocol

from datasette_files.base import Storage
from tests.support.client import Answer, Client, expect

MIB = 1024 * 1024
#: Bytes after which what arrived is durable.
CHECKPOINT = Storage.append_bytes
TUS = {"Tus-Resumable": "1.0.0"}
BODY = {**TUS, "Content-Type": "application/offset+octet-stream"}


class Reached(Protocol):
    """A server, or a proxy before it."""

    port: int

    @property
    def url(self) -> str: ...


def collection(source: str) -> str:
    """The path at which uploads of a source begin."""
    return f"/-/files/upload/{source}/-/tus"


class Uploader:
    """One upload of one client, who knows only its address."""

    def __init__(self, server: Reached, content: bytes, source: str = "docs") -> None:
        self.content = content
        name = base64.b64encode(b"large.bin").decode()
        headers = {"Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name}"}
        created = Client(server.url).request("POST", collection(source), b"", {**TUS, **headers})
        self.path = expect(created, 201).headers["location"]

    def head(self, server: Reached) -> Answer:
        return expect(Client(server.url).request("HEAD", self.path, headers=TUS), 200)

    def offset(self, server: Reached) -> int:
        return int(self.head(server).headers["upload-offset"])

    def patch(self, server: Reached, offset: int, body: Any, length: int | None = None) -> Answer:
        """Send a body from an offset. Raises Unanswered."""
        headers = {**BODY, "Upload-Offset": str(offset)}
        headers["Content-Length"] = str(len(self.content) - offset if length is None else length)
        return Client(server.url).request("PATCH", self.path, body, headers)

    def slowly(self, offset: int, sent: list[int], pause: float = 0.005) -> Iterator[bytes]:
        """The rest from the offset. ``sent`` counts the bytes that were handed to the socket."""
        for start in range(offset, len(self.content), 128 * 1024):
            piece = self.content[start : start + 128 * 1024]
            yield piece
            sent[0] += len(piece)
            time.sleep(pause)

    def stalled(
        self, server: Reached, offset: int, size: int, *, port: int | None = None
    ) -> socket.socket:
        """A connection that has sent ``size`` bytes of a request for all, and keeps silent.

        ``port`` is that of a proxy.
        """
        connection = socket.create_connection(("127.0.0.1", port or server.port))
        head = (
            f"PATCH {self.path} HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\n"
            f"Content-Type: application/offset+octet-stream\r\nUpload-Offset: {offset}\r\n"
            f"Content-Length: {len(self.content) - offset}\r\n\r\n"
        )
        connection.sendall(head.encode() + self.content[offset : offset + size])
        return connection

    def judge(self, server: Reached, answer: Answer) -> None:
        """The file is there, whole, with its sha256."""
        file_id = answer.headers["content-location"].rpartition("/")[2]
        client = Client(server.url)
        download = client.download(file_id)
        assert hashlib.sha256(download.body).digest() == hashlib.sha256(self.content).digest()
        record = expect(client.request("GET", f"/-/files/{file_id}.json"), 200).json()
        assert record["content_hash"] == f"sha256:{hashlib.sha256(self.content).hexdigest()}"


def finish(uploader: Uploader, server: Reached) -> None:
    """Send what is missing, and judge."""
    offset = uploader.offset(server)
    uploader.patch(server, offset, uploader.content[offset:])
    uploader.judge(server, uploader.head(server))
