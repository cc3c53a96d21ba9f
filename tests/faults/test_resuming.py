"""Uploads that go on, through killed, stopped and second servers, and clients that vanish."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing
from tests.support import nginx
from tests.support.client import Client, Unanswered
from tests.support.faults.scene import everywhere, held, leftovers, settle, source_at
from tests.support.faults.uploader import CHECKPOINT, MIB, TUS, Uploader, finish
from tests.support.server import Server

pytestmark = pytest.mark.full


def _killed_again_and_again(server: Server, size: int, kills: int) -> None:
    chance = random.Random(7)
    # One number may have 2 ** 31 bits.
    pieces = [chance.randbytes(min(64 * MIB, size - at)) for at in range(0, size, 64 * MIB)]
    uploader = Uploader(server, b"".join(pieces))
    resent = []
    for _ in range(kills):
        offset, sent = uploader.offset(server), [0]
        if offset == size:
            break
        timer = threading.Timer(chance.uniform(0.1, 0.9), server.kill)
        timer.start()
        with suppress(Unanswered):
            uploader.patch(server, offset, uploader.slowly(offset, sent))
        timer.join()
        server.start()
        resent.append(offset + sent[0] - uploader.offset(server))
    finish(uploader, server)
    assert any(resent), "no kill came in the middle"
    assert max(resent) <= 8 * MIB, resent
    print(f"{len(resent)} kills; sent again, in MiB: {[round(one / MIB, 1) for one in resent]}")


@pytest.mark.full
@everywhere(direct=False)
@pytest.mark.timeout(300)
def test_killed_server_costs_at_most_eight_mib(serve, root):
    kills = 4 if isinstance(root, Path) else 2
    _killed_again_and_again(serve(), 40 * MIB, kills=kills)


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_fifty_kills_cost_at_most_eight_mib_each(serve, root):
    server = serve(sources={"docs": source_at(root, max_file_size=600 * MIB)})
    _killed_again_and_again(server, 600 * MIB, kills=50)


def test_vanished_client_lets_go_at_once_and_loses_nothing(serve):
    server = serve()
    uploader = Uploader(server, random.Random(1).randbytes(3 * MIB))
    uploader.stalled(server, 0, MIB).close()
    settle(lambda: uploader.offset(server) != MIB, seconds=5)
    begun = time.monotonic()
    answer = uploader.patch(server, MIB, uploader.content[MIB:])
    assert answer.status == 204
    assert time.monotonic() - begun < 2
    uploader.judge(server, answer)


def test_second_server_takes_a_live_upload_within_a_second(serve):
    first, second = serve(), serve()
    uploader = Uploader(first, random.Random(2).randbytes(4 * MIB))
    silent = uploader.stalled(first, 0, MIB)
    time.sleep(1)
    assert uploader.offset(second) == 0  # it is on its way into the first checkpoint
    begun = time.monotonic()
    told = uploader.patch(second, 0, uploader.content[:100], length=100)
    took = time.monotonic() - begun
    assert (told.status, told.headers["upload-offset"]) == (409, str(MIB))
    answer = uploader.patch(second, MIB, uploader.content[MIB:])
    uploader.judge(second, answer)
    silent.settimeout(20)
    assert b" 409 " in silent.recv(4096).splitlines()[0]
    silent.close()
    print(f"the second server was told the offset after {took:.2f} s")
    assert took < 3


def test_second_server_takes_a_dead_ones_upload_at_once(serve):
    first, second = serve(), serve()
    uploader = Uploader(first, random.Random(3).randbytes(9 * MIB))
    silent = uploader.stalled(first, 0, CHECKPOINT + MIB)
    settle(lambda: uploader.offset(second) != CHECKPOINT, seconds=10)
    first.kill()
    begun = time.monotonic()
    answer = uploader.patch(second, CHECKPOINT, uploader.content[CHECKPOINT:])
    print(f"the rest of a dead server's upload took {time.monotonic() - begun:.2f} s")
    uploader.judge(second, answer)
    silent.close()


@pytest.mark.full
def test_stopped_server_that_goes_on_later_never_writes_into_anothers_upload(serve):
    """Its lease lapses while it cannot know; the lock on the file holds."""
    first, second = serve(), serve()
    uploader = Uploader(first, random.Random(4).randbytes(16 * MIB))
    silent = uploader.stalled(first, 0, CHECKPOINT + MIB)
    settle(lambda: uploader.offset(second) != CHECKPOINT, seconds=10)
    os.kill(first.pid, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 30
        refused = uploader.patch(second, CHECKPOINT, b"x" * 100, length=100)
        while refused.status != 409 and time.monotonic() < deadline:
            refused = uploader.patch(second, CHECKPOINT, b"x" * 100, length=100)
        assert refused.status == 409
    finally:
        os.kill(first.pid, signal.SIGCONT)
    time.sleep(1)
    finish(uploader, second)
    silent.close()


def test_servers_that_share_an_upload_never_mix(serve):
    """Two clients send the same upload through two servers, each as fast as it can."""
    servers = [serve(), serve()]
    uploader = Uploader(servers[0], random.Random(5).randbytes(25 * MIB))
    wrong: list[Any] = []

    def send(server: Server) -> None:
        for _ in range(200):
            answer = Client(server.url).request("HEAD", uploader.path, headers=TUS)
            if answer.status == 200:
                offset = int(answer.headers["upload-offset"])
                if offset == len(uploader.content):
                    return
                piece = uploader.content[offset : offset + 2 * MIB]
                answer = uploader.patch(server, offset, piece, length=len(piece))
            if answer.status not in (200, 204, 409):
                wrong.append((answer.status, answer.body))

    threads = [threading.Thread(target=send, args=(server,)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert wrong == []
    uploader.judge(servers[1], uploader.head(servers[1]))


@everywhere(direct=False)
def test_nothing_is_left_of_what_expired(serve, root):
    server = serve(upload_expiry_seconds=2)
    uploader = Uploader(server, random.Random(6).randbytes(20 * MIB))
    uploader.patch(server, 0, uploader.content[: 9 * MIB + 5], length=9 * MIB + 5)
    assert held(root)
    settle(lambda: leftovers(server, root))
    gone = Client(server.url).request("HEAD", uploader.path, headers=TUS)
    assert gone.status == 410


def test_nginx_as_documented_passes_on_what_arrives(serve, tmp_path):
    """A break costs no more than without it, and a request may be larger than nginx allows."""
    if nginx.find() is None:
        missing("nginx (Debian's package nginx)")
    server = serve()
    uploader = Uploader(server, random.Random(8).randbytes(20 * MIB))
    with nginx.passing(server.port, tmp_path / "nginx") as port:
        connection = uploader.stalled(server, 0, CHECKPOINT + MIB, port=port)
        settle(lambda: uploader.offset(server) != CHECKPOINT, seconds=10)
        connection.close()
        settle(lambda: uploader.offset(server) < CHECKPOINT + MIB // 2, seconds=10)
        offset, direct = uploader.offset(server), server.port
        server.port = port
        try:
            answer = uploader.patch(server, offset, uploader.content[offset:])
        finally:
            server.port = direct
    uploader.judge(server, answer)
