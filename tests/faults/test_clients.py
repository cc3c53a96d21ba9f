"""R3: clients that vanish, stall, crawl or lie. A clear 4xx where one can be sent; nothing stored.

Over raw sockets against a real server, whose patience a plugin file makes short.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conftest import OPEN
from tests.support.client import Client, expect, multipart
from tests.support.faults.rawhttp import RawAnswer, RawRequest
from tests.support.faults.scene import (
    SLACK,
    SWEPT_WITHIN,
    Place,
    catalogued,
    held,
    leftovers,
    place,
    settle,
    source_at,
)
from tests.support.server import Server

PATIENCE = 1.0
EXPIRY = 5
#: More than the sockets between a client and the server hold.
LIMIT = 16_000_000
#: One is written in one piece, the other streamed.
SIZES = (20_000, 2_000_000)
#: As many at once that do not read what they asked for, and connections to a store that may be
#: waiting for their next use.
CLIENTS, MAY_IDLE = 6, 4
PUT = "/-/files/upload/docs/file.bin"
ONE_SHOT = "/-/files/upload/docs"

_IMPATIENT = f"""
from datasette_files.views import body, stream

body.IDLE_SECONDS = {PATIENCE}
body.DRAIN_SECONDS = {PATIENCE}
stream.STALL_SECONDS = {PATIENCE}
"""


@pytest.fixture(
    scope="module", params=["disk", pytest.param("s3-proxy", marks=pytest.mark.full)], ids=str
)
def places(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> dict[str, Place]:
    """Where the sources' bytes are; in the store they come through Datasette too."""
    folder = tmp_path_factory.mktemp("bytes")
    return {name: place(request.param, folder / name) for name in ("docs", "images")}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, places: dict[str, Place]) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("clients")
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "impatient.py").write_text(_IMPATIENT)
    sources = {
        "docs": source_at(places["docs"], max_file_size=LIMIT),
        "images": source_at(places["images"], allowed_content_types=["image/*"]),
    }
    plugin = {"sources": sources, "upload_expiry_seconds": EXPIRY}
    config = {"plugins": {"datasette-files": plugin}, "permissions": OPEN}
    with Server(folder, config, plugins=plugins) as started:
        yield started
        # Uploads that were only prepared wait for their expiry: one wait for those of every test.
        for root in places.values():
            settle(lambda root=root: leftovers(started, root), EXPIRY + SWEPT_WITHIN + SLACK)
        log = started.log.read_text()
        assert "Traceback" not in log, log


@pytest.fixture(autouse=True)
def nothing_stored(server: Server, places: dict[str, Place]) -> Iterator[None]:
    """After each test: no file, no row, no byte, and an uploader without faults is served."""
    yield
    for root in places.values():
        settle(lambda root=root: held(root), SLACK)
    assert not catalogued(server.internal)
    client = Client(server.url)
    expect(client.delete(client.put("docs", "good.bin", b"good")["id"]), 204)


def _ways(content: bytes) -> dict[str, tuple[str, str, dict[str, str], bytes]]:
    """``(method, path, headers, body)`` of each way in that is one request."""
    kind, form = multipart({}, content)
    return {
        "put": ("PUT", PUT, {"Content-Length": str(len(content))}, content),
        "chunked": ("PUT", PUT, {"Transfer-Encoding": "chunked"}, _chunked(content)),
        "form": ("POST", ONE_SHOT, {"Content-Type": kind, "Content-Length": str(len(form))}, form),
    }


def _chunked(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(content), content)


def _second_step(server: Server, content: bytes, **declared: Any) -> tuple[str, str, Any, bytes]:
    """A prepared upload's second step as one request."""
    prepared = expect(Client(server.url).prepare("docs", "file.bin", **declared), 200).json()
    kind, form = multipart(prepared["upload_fields"], content)
    headers = {"Content-Type": kind, "Content-Length": str(len(form))}
    return "POST", prepared["upload_url"], headers, form


@pytest.mark.parametrize("way", ["put", "chunked", "form", "step"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "part", [0.5, *(pytest.param(part, marks=pytest.mark.full) for part in (0, 0.01, 0.999))]
)
def test_a_client_that_vanishes_leaves_nothing(server, way, size, part):
    content = bytes(size)
    ways = _ways(content)
    method, path, headers, body = ways[way] if way in ways else _second_step(server, content)
    for leave in (RawRequest.reset, lambda request: request.__exit__()):
        with RawRequest(server) as request:
            request.head(method, path, headers)
            request.send(body[: int(len(body) * part)])
            leave(request)


@pytest.mark.parametrize("way", ["put", pytest.param("form", marks=pytest.mark.full), "step"])
@pytest.mark.parametrize("size", [pytest.param(SIZES[0], marks=pytest.mark.full), SIZES[1]])
def test_a_client_that_stalls_is_told_so(server, way, size):
    ways = _ways(bytes(size))
    method, path, headers, body = ways[way] if way in ways else _second_step(server, bytes(size))
    with RawRequest(server) as request:
        request.head(method, path, headers).send(body[: len(body) // 2])
        answer = request.answer()
    assert (answer.status, answer.code) == (408, "timeout")


def test_a_client_that_crawls_is_told_so(server):
    with RawRequest(server) as request:
        request.head("PUT", PUT, {"Content-Length": "100000"})
        sent = 0
        deadline = time.monotonic() + 20 * PATIENCE
        while request.send(b"x") and time.monotonic() < deadline:
            sent += 1
            time.sleep(0.1)
            if sent > 30 * PATIENCE:
                break
        answer = request.answer()
    assert (answer.status, answer.code) == (408, "timeout")


def test_a_slow_client_within_the_limit_is_served(server):
    """Eight times the slowest rate that is taken, for three times the patience."""
    content = b"y" * 6000
    with RawRequest(server) as request:
        request.head("PUT", PUT, {"Content-Length": str(len(content))})
        for start in range(0, len(content), 200):
            request.send(content[start : start + 200])
            time.sleep(0.1)
        answer = request.answer()
    assert answer.status == 201, answer
    record = Client(server.url)
    found = list(record.all_files("docs"))
    assert [file["size"] for file in found] == [len(content)]
    expect(record.delete(found[0]["id"]), 204)


def _ask(server: Server, way: tuple[str, str, dict[str, str], bytes]) -> RawAnswer:
    method, path, headers, body = way
    with RawRequest(server) as request:
        request.head(method, path, headers).send(body)
        return request.answer()


@pytest.mark.parametrize("size", SIZES)
def test_a_body_shorter_than_its_length_is_not_stored(server, size):
    with RawRequest(server) as request:
        request.head("PUT", PUT, {"Content-Length": str(size + 1)}).send(bytes(size))
        request.end_sending()
        answer = request.answer()
    assert answer.status in (0, 400, 408)


@pytest.mark.parametrize("size", SIZES)
def test_a_form_cut_short_of_its_closing_boundary_is_refused(server, size):
    kind, form = multipart({}, bytes(size))
    for cut in (form[:-10], form[: len(form) // 2], form[:60]):
        headers = {"Content-Type": kind, "Content-Length": str(len(cut))}
        answer = _ask(server, ("POST", ONE_SHOT, headers, cut))
        assert (answer.status, answer.code) == (400, "invalid"), answer


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("declared", [-1, 1])
def test_a_prepared_size_that_is_a_lie_is_refused(server, size, declared):
    answer = _ask(server, _second_step(server, bytes(size), size=size + declared))
    assert (answer.status, answer.code) == (400, "invalid")
    assert b"bytes were declared" in answer.body


@pytest.mark.parametrize("size", SIZES)
def test_a_sha256_that_is_a_lie_is_refused(server, size):
    wrong = hashlib.sha256(b"something else").digest()
    answer = _ask(server, _second_step(server, bytes(size), sha256=wrong.hex()))
    assert (answer.status, answer.code) == (422, "checksum_mismatch")
    digest = {"Repr-Digest": f"sha-256=:{base64.b64encode(wrong).decode()}:"}
    method, path, headers, body = _ways(bytes(size))["put"]
    answer = _ask(server, (method, path, headers | digest, body))
    assert (answer.status, answer.code) == (422, "checksum_mismatch")


@pytest.mark.parametrize("way", ["put", "chunked", "form"])
def test_more_bytes_than_allowed_are_refused(server, way):
    answer = _ask(server, _ways(bytes(LIMIT + 1))[way])
    assert (answer.status, answer.code) == (413, "too_large")


def test_a_length_over_the_limit_is_refused_before_a_byte_is_sent(server):
    with RawRequest(server) as request:
        request.head("PUT", PUT, {"Content-Length": str(10**15), "Expect": "100-continue"})
        answer = request.answer()
    assert (answer.status, answer.code) == (413, "too_large")
    prepared = Client(server.url).prepare("docs", "file.bin", size=LIMIT + 1)
    assert (prepared.status, prepared.json()["code"]) == (413, "too_large")


@pytest.mark.parametrize("size", SIZES)
def test_a_page_that_is_declared_as_an_image_is_refused_where_only_images_are_taken(server, size):
    content = b"<!doctype html><script>alert(1)</script>".ljust(size)
    headers = {"Content-Length": str(size), "Content-Type": "image/png"}
    answer = _ask(server, ("PUT", "/-/files/upload/images/a.png", headers, content))
    assert (answer.status, answer.code) == (415, "bad_type")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "abc"},
        {"Content-Length": "-5"},
        {"Content-Length": "5", "Transfer-Encoding": "chunked"},
        {"Content-Length": "1" * 400},
    ],
)
def test_a_length_that_makes_no_sense_is_a_client_error(server, headers):
    with RawRequest(server, timeout=10) as request:
        request.head("PUT", PUT, headers)
        request.send(b"x" * 10)
        request.end_sending()
        answer = request.answer()
    assert answer.status == 0 or 400 <= answer.status < 500, answer


def test_a_body_that_is_no_chunk_is_a_client_error(server):
    with RawRequest(server, timeout=10) as request:
        request.head("PUT", PUT, {"Transfer-Encoding": "chunked"}).send(b"not a chunk\r\n" * 10)
        answer = request.answer()
    assert answer.status in (0, 400)


def test_a_downloader_that_stalls_or_vanishes_is_let_go(server):
    """With what it held open: its connection, and the file or the one to the store."""
    client = Client(server.url)
    record = client.put("docs", "big.bin", bytes(LIMIT))
    assert client.download(record["id"]).body == bytes(LIMIT)
    before = server.open_files
    for leave in (RawRequest.reset, None):
        with ExitStack() as stack:
            requests = [stack.enter_context(RawRequest(server)) for _ in range(CLIENTS)]
            for request in requests:
                request.head("GET", record["download_url"], {})
            settle(lambda: server.open_files <= before + CLIENTS, SLACK)
            if leave is not None:
                for request in requests:
                    leave(request)
            # The others read nothing and stay connected: their sockets alone wait for them.
            stays = before + MAY_IDLE + (CLIENTS if leave is None else 0)
            settle(lambda stays=stays: server.open_files > stays, PATIENCE + SLACK)
    assert client.download(record["id"]).body == bytes(LIMIT)
    expect(client.delete(record["id"]), 204)


def _misbehave(server: Server, size: int) -> None:
    for method, path, headers, body in [
        *_ways(bytes(size)).values(),
        _second_step(server, bytes(size)),
    ]:
        with RawRequest(server) as request:
            request.head(method, path, headers).send(body[: len(body) // 2])
            request.reset()
    answer = _ask(server, _second_step(server, gzip.compress(bytes(size)), sha256="0" * 64))
    assert answer.status == 422


def _many_faults(server: Server, root: Place, rounds: int) -> None:
    """The process holds no more files, and no more memory, than after the first of them."""
    for size in SIZES * 5:
        _misbehave(server, size)
    settle(lambda: leftovers(server, root), EXPIRY + SWEPT_WITHIN + SLACK)
    open_files, resident = server.open_files, server.resident
    for _ in range(rounds):
        for size in SIZES:
            _misbehave(server, size)
    settle(lambda: leftovers(server, root), EXPIRY + SWEPT_WITHIN + SLACK)
    settle(lambda: server.open_files > open_files, SLACK)
    grown = server.resident - resident
    print(
        f"{rounds * 10} broken requests: {grown / 1024:+,.0f} KiB, {server.open_files} open files"
    )
    assert grown < 24 * 1024 * 1024


@pytest.mark.full
def test_broken_requests_leak_neither_files_nor_memory(server, places):
    _many_faults(server, places["docs"], rounds=10)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_thousands_of_broken_requests_leak_neither_files_nor_memory(server, places):
    _many_faults(server, places["docs"], rounds=300)
