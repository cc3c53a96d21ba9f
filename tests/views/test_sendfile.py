"""Downloads that the kernel sends, from a real server; the ways of other servers, without one.

The plugin below writes each such download into the server's log, and makes faults happen while a
file of their name is in the server's folder.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from datasette_files.views import sendfile
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.server import Server, free_port

pytestmark = pytest.mark.full

MIB = 1024 * 1024
SIZE = 24 * MIB + 12_345
CONTENT = os.urandom(MIB) * 24 + os.urandom(12_345)
#: Seconds after which the server looks whether a client is slow.
PATIENCE = 3.0

_PLUGIN = f"""
import errno
from pathlib import Path

from datasette import hookimpl
from datasette_files.views import sendfile, stream

stream.STALL_SECONDS = {PATIENCE}
past_uvicorn, is_in_memory, send = sendfile._past_uvicorn, sendfile._is_in_memory, sendfile._send


async def noted(cycle, local, pace, gone):
    start = local.position
    done = await past_uvicorn(cycle, local, pace, gone)
    span = f"{{start}}-{{local.position}} of {{local.end}}"
    print("kernel", type(cycle).__module__, span, flush=True)
    return done


def failing(socket, file, position, count):
    if Path("unsupported").exists() and position >= {2 * MIB}:
        raise OSError(errno.EINVAL, "not here")
    return send(socket, file, position, count)


sendfile._past_uvicorn = noted
sendfile._is_in_memory = lambda *piece: not Path("cold").exists() and is_in_memory(*piece)
sendfile._send = failing


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


def _config(folder: Path) -> dict[str, Any]:
    (folder / "plugins").mkdir()
    (folder / "plugins" / "steered.py").write_text(_PLUGIN)
    sources = {"docs": disk_source(folder / "files")}
    plugin = {"sources": sources, "shutdown_grace": 1}
    return {"permissions": OPEN, "plugins": {"datasette-files": plugin}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("sendfile")
    with Server(folder, _config(folder), plugins=folder / "plugins") as running:
        yield running


@pytest.fixture
def fault(server: Server) -> Iterator[Callable[[str], None]]:
    """Make a fault of the plugin happen until the test ends."""
    made = []

    def make(name: str) -> None:
        made.append(server.folder / name)
        made[-1].touch()

    yield make
    for path in made:
        path.unlink()


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


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with closing(Client(server.port)) as made:
        yield made


def stored(client: Client, content: bytes = CONTENT) -> str:
    """The download's URL of a new file."""
    status, body, _ = client.ask("PUT", "/-/files/upload/docs/big.bin", content)
    assert status == 201, body
    return str(json.loads(body)["file"]["download_url"])


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


def path_of(server: Server, url: str) -> Path:
    return server.folder / "files" / url.split("/")[3].removeprefix("df-") / "big.bin"


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
    with Server(tmp_path, _config(tmp_path), plugins=tmp_path / "plugins") as ending:
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
    (tmp_path / "site_app.py").write_text(_SITE.format(config=_config(tmp_path)))
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
            assert client.local_port == client_port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    whole, part = (0, SIZE, SIZE), (7, MIB + 1, MIB + 1)
    assert kernels(log) == [whole, whole, part]
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
