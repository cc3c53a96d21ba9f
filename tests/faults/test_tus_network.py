"""Uploads that go on over a network that cuts, delays, doubles and truncates requests.

The proxy stands between the client and Datasette, as proxies of others do. The client knows the
address of its upload, and asks for the offset after each break.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.support.client import Client, Unanswered
from tests.support.faults.proxy import FaultProxy
from tests.support.faults.scene import everywhere, leftovers, settle
from tests.support.faults.uploader import MIB, TUS, Uploader

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]

_ROUNDS = 3


def _harms(proxy: FaultProxy, chance: random.Random) -> list[Callable[[], None]]:
    """Each fault of the network, in a random order; each strikes the next PATCH."""
    patch = "PatchObject"
    harms: list[Callable[[], None]] = [
        lambda: proxy.resets(patch),
        lambda: proxy.loses_answers(patch),
        lambda: proxy.holds_answers(patch, seconds=0.5),
        lambda: proxy.doubles(patch),
        lambda: proxy.truncates(patch, after=chance.randrange(1, 2 * MIB)),
        lambda: proxy.answers(502, "BadGateway", patch),
    ] * _ROUNDS
    chance.shuffle(harms)
    return harms


@everywhere(direct=False)
def test_network_that_harms_requests_costs_time_alone(serve, root):
    server, chance = serve(), random.Random(12)
    proxy = FaultProxy(("127.0.0.1", server.port))
    content = chance.randbytes(40 * MIB)
    harms = _harms(proxy, chance)
    expected = len(harms)
    statuses: list[int] = []
    try:
        uploader = Uploader(proxy, content)
        while True:
            told = Client(proxy.url).request("HEAD", uploader.path, headers=TUS)
            if told.status == 409:  # the request before is still completing it
                continue
            offset = int(told.headers["upload-offset"])
            if offset == len(content):
                break
            if harms:
                harms.pop()()
            piece = content[offset : offset + chance.randrange(MIB, 3 * MIB)]
            with suppress(Unanswered):
                statuses.append(uploader.patch(proxy, offset, piece, length=len(piece)).status)
        assert proxy.harmed() == expected
    finally:
        proxy.refuse_connections()
    assert set(statuses) <= {204, 409, 502}, statuses
    uploader.judge(server, uploader.head(server))
    settle(lambda: leftovers(server, root))
