"""The situations in which tusd's own tests of whole uploads put a server, on ours over sockets.

Each ends with the same proof: the client goes on at the offset that it is told, and the file has
its bytes and sha256.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.client import Client, expect
from tests.support.faults.rawhttp import RawRequest
from tests.support.faults.scene import everywhere, leftovers, settle
from tests.support.faults.uploader import BODY, MIB, TUS, Uploader, finish
from tests.support.server import Server

pytestmark = [pytest.mark.full, pytest.mark.timeout(180), pytest.mark.usefixtures("swept")]

PATIENCE = 2.0
GRACE = 1
CONTENT = random.Random(9).randbytes(8 * MIB)
#: Sent before a request ends in some way; not a whole checkpoint.
PART = MIB + 17

_IMPATIENT = f"""
from datasette_files.views import body

body.IDLE_SECONDS = {PATIENCE}
"""


@pytest.fixture
def server(serve: Callable[..., Server], tmp_path: Path) -> Server:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "impatient.py").write_text(_IMPATIENT)
    return serve(plugins=plugins, shutdown_grace=GRACE)


@pytest.fixture
def swept(server: Server, root: Path) -> Iterator[None]:
    yield
    settle(lambda: leftovers(server, root))


def _begun(server: Server, uploader: Uploader, size: int = PART) -> RawRequest:
    """A PATCH for all bytes that has sent ``size`` of them."""
    length = {"Upload-Offset": "0", "Content-Length": str(len(CONTENT))}
    request = RawRequest(server).head("PATCH", uploader.path, {**BODY, **length})
    request.send(CONTENT[:size])
    return request


def _offset_is(uploader: Uploader, server: Server, offset: int) -> None:
    settle(lambda: uploader.offset(server) != offset, 10)


@everywhere(direct=False)
def test_success(server: Server) -> None:
    uploader = Uploader(server, CONTENT)
    answer = expect(uploader.patch(server, 0, CONTENT), 204)
    assert answer.headers["upload-offset"] == str(len(CONTENT))
    uploader.judge(server, answer)


@everywhere(direct=False)
def test_read_timeout(server: Server) -> None:
    """A client that keeps silent is told so, and what it sent stays."""
    uploader = Uploader(server, CONTENT)
    with _begun(server, uploader) as request:
        answer = request.answer()
    assert (answer.status, answer.code) == (408, "timeout")
    _offset_is(uploader, server, PART)
    finish(uploader, server)


@everywhere(direct=False)
def test_unexpected_close(server: Server) -> None:
    uploader = Uploader(server, CONTENT)
    with _begun(server, uploader):
        pass
    _offset_is(uploader, server, PART)
    finish(uploader, server)


def test_unexpected_end_of_sending(server: Server) -> None:
    """Half-closed: the client would still read an answer."""
    uploader = Uploader(server, CONTENT)
    with _begun(server, uploader) as request:
        request.end_sending()
        request.answer()
    _offset_is(uploader, server, PART)
    finish(uploader, server)


@everywhere(direct=False)
def test_unexpected_reset(server: Server) -> None:
    """A reset may destroy what the kernel has not handed over; nothing else is lost."""
    uploader = Uploader(server, CONTENT)
    request = _begun(server, uploader)
    time.sleep(0.5)
    request.reset()
    _offset_is(uploader, server, PART)
    finish(uploader, server)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_lock_release(server: Server, method: str) -> None:
    """A request that hangs gives the upload to the next one."""
    uploader = Uploader(server, CONTENT)
    with _begun(server, uploader) as request:
        time.sleep(0.5)
        begun = time.monotonic()
        if method == "PATCH":
            told = uploader.patch(server, 0, b"x", length=1)
            assert (told.status, told.headers["upload-offset"]) == (409, str(PART))
        else:
            expect(Client(server.url).request("DELETE", uploader.path, headers=TUS), 204)
        assert time.monotonic() - begun < PATIENCE * 0.8
        assert request.answer().status == 409
    if method == "PATCH":
        finish(uploader, server)


@pytest.mark.parametrize("declares", [True, False])
def test_length_exceeded(server: Server, declares: bool) -> None:
    """More bytes than the upload has are refused, also where the request tells no length."""
    uploader = Uploader(server, CONTENT)
    expect(uploader.patch(server, 0, CONTENT[:PART], length=PART), 204)
    rest = CONTENT[PART:] + b"too much"
    headers = {**BODY, "Upload-Offset": str(PART)}
    if declares:
        headers["Content-Length"] = str(len(rest))
    body = rest if declares else iter([rest[:MIB], rest[MIB:]])
    answer = Client(server.url).request("PATCH", uploader.path, body, headers)
    assert (answer.status, answer.json()["code"]) == (413, "too_large")
    assert list(Client(server.url).all_files("docs")) == []
    assert PART <= uploader.offset(server) <= len(CONTENT)
    finish(uploader, server)


def test_stop_while_bytes_arrive(server: Server) -> None:
    """Who ends an upload ends the request that sends it, and nothing of it stays."""
    uploader = Uploader(server, CONTENT)
    sent = [0]
    answers = []

    def send() -> None:
        answers.append(uploader.patch(server, 0, uploader.slowly(0, sent, 0.1)).status)

    sending = threading.Thread(target=send)
    sending.start()
    settle(lambda: sent[0] < MIB, 10)
    expect(Client(server.url).request("DELETE", uploader.path, headers=TUS), 204)
    sending.join(30)
    assert answers == [409]
    gone = Client(server.url).request("HEAD", uploader.path, headers=TUS)
    assert gone.status == 404


@everywhere(direct=False)
def test_shutdown(server: Server) -> None:
    """The server ends in its grace; what had arrived is durable, and the next one goes on."""
    uploader = Uploader(server, CONTENT)
    with _begun(server, uploader, 6 * MIB):
        time.sleep(1)
        begun = time.monotonic()
        server.stop()
        assert time.monotonic() - begun < GRACE + 10
    server.start()
    assert uploader.offset(server) >= 5 * MIB  # a checkpoint of either storage
    finish(uploader, server)


def test_shutdown_lets_a_request_end(server: Server) -> None:
    uploader = Uploader(server, CONTENT[: 2 * MIB])
    stopping = threading.Thread(target=server.stop)
    length = {"Upload-Offset": "0", "Content-Length": str(2 * MIB)}
    with RawRequest(server).head("PATCH", uploader.path, {**BODY, **length}) as request:
        request.send(CONTENT[:MIB])
        stopping.start()
        time.sleep(GRACE / 4)
        request.send(CONTENT[MIB : 2 * MIB])
        assert request.answer().status == 204
    stopping.join(20)
    server.start()
    uploader.judge(server, uploader.head(server))
