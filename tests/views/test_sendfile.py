"""Downloads that the kernel sends, from a real server; the ways of other servers, without one."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from datasette_files.views import sendfile
from tests.conftest import MakeDatasette, upload
from tests.support.kernel import (
    CONTENT,
    MIB,
    SIZE,
    Client,
    config,
    eventually,
    kernels,
    path_of,
    reader,
    rest_of,
    stored,
    unpacked,
    zipped,
)
from tests.support.server import Server, free_port

pytestmark = pytest.mark.full


def test_downloads_and_ranges_share_one_connection(server: Server, client: Client) -> None:
    url = stored(client)
    port, before = client.local_port, len(kernels(server.log))
    status, body, headers = client.ask("GET", url)
    assert (status, body == CONTENT, headers["content-length"]) == (200, True, str(SIZE))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["etag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert client.ask("HEAD", url)[2].keys() == headers.keys()
    last = f"bytes={SIZE - MIB}-"
    status, body, headers = client.ask("GET", url, Range=last)
    assert (status, body == CONTENT[-MIB:]) == (206, True)
    assert headers["content-range"] == f"bytes {SIZE - MIB}-{SIZE - 1}/{SIZE}"
    assert client.ask("GET", url.replace("/download", ".json"))[0] == 200
    assert client.local_port == port
    # A new uvicorn or Datasette may have changed what views/sendfile.py lists.
    sent = [(0, SIZE, SIZE), (SIZE - MIB, SIZE, SIZE)]
    eventually(lambda: kernels(server.log)[before:] == sent)


def test_small_ranges_and_several_ranges_pass_through_python(
    server: Server, client: Client
) -> None:
    url, before = stored(client), len(kernels(server.log))
    assert client.ask("GET", url, Range="bytes=5-99")[1] == CONTENT[5:100]
    assert client.ask("GET", url, Range="bytes=0-999999,2000000-2999999")[0] == 206
    assert len(kernels(server.log)) == before


def test_pipelined_downloads_arrive_in_order(server: Server, client: Client) -> None:
    url = stored(client)
    request = f"GET {url} HTTP/1.1\r\nHost: x\r\n"
    last = "Range: bytes=-1048576\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as pipelined:
        pipelined.sendall(f"{request}\r\n{request}{last}".encode())
        received = b"".join(iter(lambda: pipelined.recv(MIB), b""))
    first, rest = received.partition(b"\r\n\r\n")[2][:SIZE], received[-MIB:]
    assert (first == CONTENT, rest == CONTENT[-MIB:]) == (True, True)
    assert received.count(b"HTTP/1.1 20") == 2


def test_a_body_that_a_plugin_changes_passes_through_it(server: Server, client: Client) -> None:
    url, before = stored(client, b"a" * MIB), len(kernels(server.log))
    assert client.ask("GET", f"{url}?wrapped")[1] == b"A" * MIB
    assert client.ask("GET", url)[1] == b"a" * MIB
    # The server writes the line when the client may already have the last byte.
    eventually(lambda: len(kernels(server.log)) == before + 1)


@pytest.mark.parametrize(("name", "reached"), [("cold", SIZE), ("unsupported", 2 * MIB)])
def test_what_is_not_in_memory_or_cannot_be_sent_is_read(
    server: Server, client: Client, fault: Callable[[str], None], name: str, reached: int
) -> None:
    url, port, before = stored(client), client.local_port, len(kernels(server.log))
    fault(name)
    status, body, _ = client.ask("GET", url)
    assert (status, body == CONTENT, client.local_port) == (200, True, port)
    eventually(lambda: len(kernels(server.log)) == before + 1)
    assert reached <= kernels(server.log)[-1][1] <= reached + MIB


def test_a_file_that_is_cut_meanwhile_ends_the_connection(server: Server, client: Client) -> None:
    url = stored(client)
    with reader(server, url) as slow:
        os.truncate(path_of(server, url), SIZE - MIB)
        assert rest_of(slow) < SIZE - MIB // 2
    assert f"bytes of {SIZE:,}" in server.log.read_text()


def test_a_cut_file_is_an_error_before_any_header(server: Server, client: Client) -> None:
    url = stored(client)
    os.truncate(path_of(server, url), SIZE - 1)
    status, body, _ = client.ask("GET", url)
    assert (status, json.loads(body)["code"]) == (502, "storage_error")


def test_a_longer_file_is_read_as_far_as_the_catalog_says(server: Server, client: Client) -> None:
    url, before = stored(client), len(kernels(server.log))
    with path_of(server, url).open("ab") as file:
        file.write(b"more")
    assert client.ask("GET", url)[1] == CONTENT
    assert len(kernels(server.log)) == before


def test_a_link_in_the_place_of_a_file_is_not_followed(server: Server, client: Client) -> None:
    url = stored(client)
    path = path_of(server, url)
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))
    assert client.ask("GET", url)[0] == 502


def test_a_client_that_stalls_is_let_go(server: Server, client: Client) -> None:
    url, open_files = stored(client), server.open_files
    with reader(server, url) as stalled:
        assert server.open_files > open_files
        eventually(lambda: "A client took fewer than" in server.log.read_text())
        eventually(lambda: server.open_files <= open_files)
        assert rest_of(stalled) < SIZE


def test_a_client_that_is_slow_but_not_too_slow_gets_its_file(
    server: Server, client: Client
) -> None:
    url, received = stored(client, CONTENT[: 8 * MIB]), 0
    with reader(server, url) as slow:
        while received < 8 * MIB - 2000:
            received += len(slow.recv(64 * 1024))
            time.sleep(0.05)


def test_a_client_that_leaves_leaves_nothing_open(server: Server, client: Client) -> None:
    url, open_files = stored(client), server.open_files
    for _ in range(3):
        reader(server, url).close()
    eventually(lambda: server.open_files <= open_files)
    assert "Traceback" not in server.log.read_text()
    assert client.ask("GET", url)[1] == CONTENT


def test_a_stalled_client_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with Server(tmp_path, config(tmp_path), plugins=tmp_path / "plugins") as ending:
        with closing(Client(ending.port)) as client:
            url = stored(client)
        with reader(ending, url):
            begun = time.monotonic()
            ending.stop()
            assert time.monotonic() - begun < 10


_SITE = """
from datasette.app import Datasette

app = Datasette(internal="internal.db", config={config!r}, plugins_dir="plugins").app()
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("protocol", ["h11", "httptools"])
def test_each_protocol_and_loop_of_uvicorn_keeps_the_connection(
    tmp_path: Path, protocol: str, loop: str
) -> None:
    for name in {protocol, loop} - {"asyncio", "h11"}:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    (tmp_path / "site_app.py").write_text(_SITE.format(config=config(tmp_path)))
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-m", "uvicorn", "site_app:app", "--port", str(port)]
    command += ["--http", protocol, "--loop", loop]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=out)
    try:
        eventually(lambda: "Uvicorn running" in log.read_text(), 60)
        with closing(Client(port)) as client:
            url, client_port = stored(client), client.local_port
            for _ in range(2):
                assert client.ask("GET", url)[1] == CONTENT
            assert client.ask("GET", url, Range=f"bytes=7-{MIB}")[1] == CONTENT[7 : MIB + 1]
            zip_url = zipped(client, stored(client, CONTENT[:MIB]), url)
            whole_zip = client.ask("GET", zip_url)[1]
            assert unpacked(whole_zip) == [CONTENT[:MIB], CONTENT]
            assert client.ask("GET", zip_url, Range="bytes=9-")[1] == whole_zip[9:]
            assert client.local_port == client_port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    whole, part = (0, SIZE, SIZE), (7, MIB + 1, MIB + 1)
    members = [(0, MIB, MIB), whole]
    assert kernels(log) == [whole, whole, part, *members, *members]
    assert f"kernel uvicorn.protocols.http.{protocol}_impl" in log.read_text()


async def answered(
    make_datasette: MakeDatasette, extension: str, **headers: str
) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The messages to a server with an ASGI extension, and the files it was handed."""
    datasette = await make_datasette()
    record = await upload(datasette, CONTENT[:MIB], "big.bin")
    scope = {"type": "http", "method": "GET", "path": record["download_url"], "query_string": b""}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope["extensions"] = {extension: {}}
    sent: list[dict[str, Any]] = []
    read: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if sent:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if "file" in message:
            read.append(os.pread(message["file"], message["count"], message["offset"]))
        if "path" in message:
            read.append(Path(message["path"]).read_bytes())

    await datasette.app()(scope, receive, send)
    return sent, read


async def test_a_server_that_sends_descriptors_gets_one(make_datasette: MakeDatasette) -> None:
    sent, read = await answered(make_datasette, "http.response.zerocopysend", range="bytes=9-")
    assert [message["type"] for message in sent] == [
        "http.response.start",
        "http.response.zerocopysend",
    ]
    assert (sent[0]["status"], sent[1]["more_body"]) == (206, False)
    assert all(name == name.lower() for name, _ in sent[0]["headers"])  # as ASGI demands
    assert read == [CONTENT[9:MIB]]


async def test_a_server_that_sends_paths_gets_whole_files(make_datasette: MakeDatasette) -> None:
    sent, read = await answered(make_datasette, "http.response.pathsend")
    assert [message["type"] for message in sent[1:]] == ["http.response.pathsend"]
    assert read == [CONTENT[:MIB]]
    sent, read = await answered(make_datasette, "http.response.pathsend", range="bytes=9-")
    assert b"".join(message.get("body", b"") for message in sent) == CONTENT[9:MIB]
    assert read == []


def test_tls_and_unknown_servers_have_no_way() -> None:
    async def unknown(message: dict[str, Any]) -> None:
        pass

    assert sendfile.way({}, unknown) is None
    assert sendfile.way({"extensions": None}, object()) is None
