"""A server whose log tells what the kernel sent, its clients, and faults that happen on demand.

The plugin writes each file that went to the kernel into the server's log, and makes faults happen
while a file of their name is in the server's folder.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import socket
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import OPEN, disk_source
from tests.support.server import Server

MIB = 1024 * 1024
SIZE = 24 * MIB + 12_345
CONTENT = os.urandom(MIB) * 24 + os.urandom(12_345)
#: Seconds after which the server looks whether a client is slow.
PATIENCE = 3.0

_PLUGIN = f"""
import errno
from pathlib import Path

from datasette import hookimpl
from datasette_files.views import kernel, sendfile, stream

stream.STALL_SECONDS = {PATIENCE}
run_past_uvicorn, is_in_memory, send = (
    sendfile._run_past_uvicorn, kernel._is_in_memory, kernel._send
)


async def noted(cycle, ranges, pace, gone):
    seen = []

    def each():
        for local in ranges:
            seen.append((local.position, local))
            yield local

    try:
        await run_past_uvicorn(cycle, each(), pace, gone)
    finally:
        for start, local in seen:
            span = f"{{start}}-{{local.position}} of {{local.end}}"
            print("kernel", type(cycle).__module__, span, flush=True)


def failing(connection, file, position, count):
    if Path("unsupported").exists() and position >= {2 * MIB}:
        raise OSError(errno.EINVAL, "not here")
    return send(connection, file, position, count)


sendfile._run_past_uvicorn = noted
kernel._is_in_memory = lambda *piece: not Path("cold").exists() and is_in_memory(*piece)
kernel._send = failing


@hookimpl
def asgi_wrapper(datasette):
    def wrap(app):
        async def wrapped(scope, receive, send):
            async def upper(message):
                if body := message.get("body"):
                    message = {{**message, "body": body.upper()}}
                await send(message)

            through = scope["type"] == "http" and b"wrapped" in scope.get("query_string", b"")
            await app(scope, receive, upper if through else send)

        return wrapped

    return wrap
"""


def config(folder: Path) -> dict[str, Any]:
    (folder / "plugins").mkdir()
    (folder / "plugins" / "steered.py").write_text(_PLUGIN)
    sources = {"docs": disk_source(folder / "files")}
    plugin = {"sources": sources, "shutdown_grace": 1}
    return {"permissions": OPEN, "plugins": {"datasette-files": plugin}}


class Client:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        self._connection.request(method, path, body, {"Accept": "application/json", **headers})
        answer = self._connection.getresponse()
        content = answer.read()
        return answer.status, content, {k.lower(): v for k, v in answer.getheaders()}

    @property
    def local_port(self) -> int:
        port: int = self._connection.sock.getsockname()[1]
        return port

    def close(self) -> None:
        self._connection.close()


def stored(client: Client, content: bytes = CONTENT) -> str:
    """The download's URL of a new file."""
    status, body, _ = client.ask("PUT", "/-/files/upload/docs/big.bin", content)
    assert status == 201, body
    return str(json.loads(body)["file"]["download_url"])


def zipped(client: Client, *urls: str) -> str:
    """The URL of a zip of the files of these downloads, in their order."""
    body = json.dumps({"ids": [url.split("/")[3] for url in urls]}).encode()
    headers = {"Content-Type": "application/json"}
    status, answer, _ = client.ask("POST", "/-/files/-/selection", body, **headers)
    assert status == 200, answer
    return str(json.loads(answer)["zip_url"])


def unpacked(content: bytes) -> list[bytes]:
    """The contents of a zip's members in their order, of which the checksums are right."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [archive.read(name) for name in archive.namelist()]


def kernels(log: Path) -> list[tuple[int, int, int]]:
    """Start, position reached and end of every download that went to the kernel."""
    found = re.findall(r"^kernel \S+ (\d+)-(\d+) of (\d+)$", log.read_text(), re.MULTILINE)
    return [(int(start), int(reached), int(end)) for start, reached, end in found]


def eventually(holds: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def reader(server: Server, url: str) -> socket.socket:
    """A client that has asked for a file and read its first bytes."""
    client = socket.socket()
    client.settimeout(30)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    client.connect(("127.0.0.1", server.port))
    client.sendall(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert client.recv(1000).startswith(b"HTTP/1.1 200")
    return client


def rest_of(client: socket.socket) -> int:
    """The number of bytes until the connection ends."""
    received = 0
    while chunk := client.recv(MIB):
        received += len(chunk)
    return received


def path_of(server: Server, url: str) -> Path:
    return server.folder / "files" / url.split("/")[3].removeprefix("df-") / "big.bin"
