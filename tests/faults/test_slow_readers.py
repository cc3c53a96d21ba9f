"""Clients that read slowly, or not at all: the other clients of the same source are served.

Every address below 127.0.0.0/8 is an anonymous client of its own.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conftest import OPEN, disk_source
from tests.support.moto_server import new_prefix, shared_store
from tests.support.server import Server

pytestmark = pytest.mark.full

MIB = 1024 * 1024
SIZE = 8 * MIB
#: Seconds after which the server looks whether a client is slow.
PATIENCE = 15.0
#: More than the connections that a source has.
READERS = 300

_IMPATIENT = f"""
from datasette_files.views import files, stream

stream.STALL_SECONDS = {PATIENCE}
files._PLACE_SECONDS = 2.0
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("slow-readers")
    (folder / "plugins").mkdir()
    (folder / "plugins" / "impatient.py").write_text(_IMPATIENT)
    proxied = shared_store().config(new_prefix(), upload="proxy", download="proxy")
    sources = {
        "bucket": {"storage": "s3", "config": proxied},
        "disk": disk_source(folder / "files"),
    }
    config: dict[str, Any] = {
        "permissions": OPEN,
        "plugins": {"datasette-files": {"sources": sources}},
    }
    with Server(folder, config, plugins=folder / "plugins") as running:
        yield running


def ask(
    server: Server, method: str, path: str, body: bytes | None = None, peer: str = "127.0.0.1"
) -> tuple[int, bytes, dict[str, str], float]:
    """One request; status, body, headers in lower case, and the seconds that it took."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection(
        "127.0.0.1", server.port, timeout=60, source_address=(peer, 0)
    )
    try:
        connection.request(method, path, body, {"Accept": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, content, headers, time.monotonic() - begun
    finally:
        connection.close()


def stored(server: Server, source: str) -> str:
    status, body, _, _ = ask(server, "PUT", f"/-/files/upload/{source}/big.bin", bytes(SIZE))
    assert status == 201, body
    return str(json.loads(body)["file"]["id"])


def reader(stack: ExitStack, server: Server, file_id: str, peer: str) -> socket.socket:
    """A client that asks for a file and reads nothing of it."""
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.bind((peer, 0))
    client.connect(("127.0.0.1", server.port))
    client.sendall(f"GET /-/files/{file_id}/download HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return client


@pytest.mark.parametrize("source", ["bucket", "disk"])
def test_readers_of_one_client_leave_room_for_others(server: Server, source: str) -> None:
    file_id = stored(server, source)
    ask(server, "GET", f"/-/files/{file_id}/download")
    before = server.resident
    with ExitStack() as stack:
        for _ in range(READERS):
            reader(stack, server, file_id, "127.0.0.2")
        time.sleep(8)
        status, body, _, took = ask(server, "GET", f"/-/files/{file_id}/download", peer="127.0.0.3")
        assert (status, len(body)) == (200, SIZE)
        assert took < 30
        others_work(server, source, file_id)
        grown = server.resident - before
        print(f"{source}: {READERS} readers take {grown / MIB:.0f} MiB; a download {took:.1f} s")
        assert grown < 150 * MIB if source == "bucket" else grown < 350 * MIB


def others_work(server: Server, source: str, file_id: str) -> None:
    status, _, _, took = ask(server, "PUT", f"/-/files/upload/{source}/x.bin", b"x" * MIB)
    assert (status, took < 30) == (201, True)
    status, _, _, took = ask(server, "HEAD", f"/-/files/{file_id}/download")
    assert (status, took < 30) == (200, True)


def test_readers_of_many_clients_leave_connections_and_are_let_go(server: Server) -> None:
    file_id = stored(server, "bucket")
    with ExitStack() as stack:
        begun = time.monotonic()
        for number in range(READERS):
            reader(stack, server, file_id, f"127.0.1.{number % 250 + 1}")
        time.sleep(2)
        others_work(server, "bucket", file_id)
        status, _, headers, took = ask(
            server, "GET", f"/-/files/{file_id}/download", peer="127.0.0.3"
        )
        assert (status, headers["retry-after"]) == (503, "60")
        assert took < 30
        while status == 503 and time.monotonic() < begun + 5 * PATIENCE:
            status, body, _, _ = ask(
                server, "GET", f"/-/files/{file_id}/download", peer="127.0.0.3"
            )
        assert (status, len(body)) == (200, SIZE)
        others_work(server, "bucket", file_id)


def test_a_client_that_is_slow_but_not_too_slow_gets_its_file(server: Server) -> None:
    """400 KiB/s: the kernel takes up to a megabyte at once for it, and then nothing for seconds."""
    file_id, received = stored(server, "disk"), 0
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", f"/-/files/{file_id}/download")
    answer = connection.getresponse()
    while chunk := answer.read(40 * 1024):
        received += len(chunk)
        time.sleep(0.1)
    connection.close()
    assert received == SIZE
