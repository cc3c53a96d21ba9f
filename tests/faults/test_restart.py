"""R2: an upload goes on over a restart and through another process; expiry within ten seconds."""

from __future__ import annotations

import hashlib
import time

import pytest

from tests.support.client import Client, expect
from tests.support.faults.scene import (
    SLACK,
    SWEPT_WITHIN,
    catalogued,
    everywhere,
    held,
    leftovers,
    rows,
    settle,
)

pytestmark = pytest.mark.full

CONTENT = b"over a restart" * 50_000


@pytest.mark.parametrize("end", ["kill", "stop"])
@everywhere()
def test_an_upload_goes_on_over_a_restart_at_every_step(serve, root, end):
    server = serve()

    def restart() -> Client:
        getattr(server, end)()
        return Client(server.start().url)

    prepared = expect(Client(server.url).prepare("docs", "a.txt", size=len(CONTENT)), 200).json()
    expect(restart().send(prepared, CONTENT, "text/plain"), 200, 204)
    client = restart()
    answer = expect(client.complete("docs", prepared["upload_token"]), 201).json()
    client = restart()
    assert expect(client.complete("docs", prepared["upload_token"]), 200).json() == answer
    assert client.download(answer["file"]["id"]).body == CONTENT


@everywhere()
def test_two_processes_complete_each_others_uploads(serve, root):
    one, other = Client(serve().url), Client(serve().url)
    for first, second, third in ((one, other, one), (other, one, one), (one, one, other)):
        prepared = expect(first.prepare("docs", "a.txt", size=len(CONTENT)), 200).json()
        expect(second.send(prepared, CONTENT, "text/plain"), 200, 204)
        token = prepared["upload_token"]
        answer = expect(third.complete("docs", token), 201).json()
        for client in (one, other):
            assert expect(client.complete("docs", token), 200).json() == answer
            assert client.download(answer["file"]["id"]).body == CONTENT


@everywhere()
def test_an_upload_killed_in_one_process_is_swept_by_the_other(serve, root):
    one, other = serve(upload_expiry_seconds=2), serve(upload_expiry_seconds=2)
    client = Client(one.url)
    prepared = expect(client.prepare("docs", "a.txt"), 200).json()
    expect(client.send(prepared, CONTENT, "text/plain"), 200, 204)
    assert held(root)
    one.kill()
    seconds = settle(lambda: leftovers(other, root), 2 + SWEPT_WITHIN + SLACK)
    print(f"swept {seconds:.1f} s after the kill, of which 2 s until its expiry")
    assert not held(root)
    late = Client(other.url).complete("docs", prepared["upload_token"])
    assert (late.status, late.json()["code"]) == (410, "expired")


@everywhere()
@pytest.mark.full
def test_two_sweepers_undo_nothing_of_each_others(serve, root):
    """Half of the uploads are completed just in time, by turns; the other half expire."""
    servers = [serve(upload_expiry_seconds=3), serve(upload_expiry_seconds=3)]
    clients = [Client(server.url) for server in servers]
    kept: dict[str, bytes] = {}
    late: list[str] = []
    deadline = time.monotonic() + 6
    number = 0
    while time.monotonic() < deadline:
        number += 1
        content = b"%d" % number * 100
        first, second = clients[number % 2], clients[(number + 1) % 2]
        prepared = expect(first.prepare("docs", f"{number}.txt"), 200).json()
        expect(second.send(prepared, content, "text/plain"), 200, 204)
        if number % 2:
            late.append(prepared["upload_token"])
            continue
        done = expect(second.complete("docs", prepared["upload_token"]), 201).json()
        kept[done["file"]["id"]] = content
    settle(lambda: leftovers(servers[0], root), 3 + SWEPT_WITHIN + SLACK)
    assert held(root) == set(catalogued(servers[0].internal))
    assert len(catalogued(servers[0].internal)) == len(kept)
    for file_id, content in kept.items():
        for client in clients:
            assert client.download(file_id).body == content
    for token in late:
        assert clients[0].complete("docs", token).json()["code"] == "expired"
    print(f"{len(kept)} uploads kept and {len(late)} swept by two processes")


@everywhere()
def test_what_expired_is_gone_within_ten_seconds(serve, root):
    """In all three states: prepared, received, and half received by a process that died."""
    server = serve(upload_expiry_seconds=2)
    client = Client(server.url)
    prepared = expect(client.prepare("docs", "prepared.txt"), 200).json()
    received = expect(client.prepare("docs", "received.txt"), 200).json()
    expect(client.send(received, CONTENT, "text/plain"), 200, 204)
    kept = client.put("docs", "kept.txt", CONTENT)
    expires = rows(server.internal, "SELECT max(expires_at) FROM datasette_files_uploads")[0][0]
    settle(lambda: leftovers(server, root), 2 + SWEPT_WITHIN + SLACK)
    print(f"gone {time.time() - expires:.1f} s after their expiry")
    assert held(root) == set(catalogued(server.internal))
    assert len(held(root)) == 1
    for upload in (prepared, received):
        late = client.complete("docs", upload["upload_token"])
        assert (late.status, late.json()["code"]) == (410, "expired")
        if upload["upload_url"].startswith("/"):  # else it is the store that refuses
            late = client.send(upload, CONTENT, "text/plain")
            assert (late.status, late.json()["code"]) == (410, "expired")
    digest = hashlib.sha256(client.download(kept["id"]).body).hexdigest()
    assert kept["content_hash"] == f"sha256:{digest}"
