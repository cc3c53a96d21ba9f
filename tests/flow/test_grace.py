"""A server that is told to end lets slow clients go after its grace period."""

from __future__ import annotations

import socket
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import OPEN, disk_source
from tests.support.server import Server

GRACE = 2.0


def connected(server: Server, request: str) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.sendall(request.replace("\n", "\r\n").encode())
    return client


@pytest.mark.parametrize("held", ["upload", "download"])
def test_a_slow_client_does_not_hold_the_end(tmp_path: Path, held: str) -> None:
    config = {
        "plugins": {
            "datasette-files": {
                "sources": {"docs": disk_source(tmp_path / "docs")},
                "shutdown_grace": GRACE,
            }
        },
        "permissions": OPEN,
    }
    server = Server(tmp_path, config).start()
    head = f"HTTP/1.1\nHost: 127.0.0.1:{server.port}\n"
    path = "/-/files/upload/docs/a.bin"
    if held == "upload":
        client = connected(server, f"PUT {path} {head}Content-Length: 90000000\n\nslow")
    else:
        request = urllib.request.Request(server.url + path, data=bytes(50_000_000), method="PUT")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 201
        (file,) = server.get_json("/-/files/source/docs.json")["files"]
        client = connected(server, f"GET /-/files/{file['id']}/download {head}\n")
        assert client.recv(12) == b"HTTP/1.1 200"
    with closing(client):
        time.sleep(0.5)
        begun = time.monotonic()
        server.stop()
        took = time.monotonic() - begun
    assert GRACE <= took < GRACE + 10, server.log.read_text()
    assert "Application shutdown complete" in server.log.read_text()
