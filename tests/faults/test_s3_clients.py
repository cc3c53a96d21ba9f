"""R3 on S3: clients that send past Datasette, and vanish, stall or lie. Nothing is stored.

What the store refuses by itself differs between stores; what it lets through is refused by the
completion. Either way the client is told, and nothing is left after the upload's expiry.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.client import Answer, Client, expect, multipart
from tests.support.faults.rawhttp import RawRequest
from tests.support.faults.scene import (
    SLACK,
    SWEPT_WITHIN,
    Bucket,
    catalogued,
    config,
    place,
    settle,
)
from tests.support.faults.scene import leftovers as left_of
from tests.support.server import Server

pytestmark = pytest.mark.full

EXPIRY = 5
CONTENT = b"past Datasette" * 5_000
HTML = b"<!doctype html><script>alert(1)</script>".ljust(len(CONTENT))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    where = place("s3-direct", tmp_path_factory.mktemp("unused"))
    assert isinstance(where, Bucket)
    return where


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, bucket: Bucket) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("clients")
    source = bucket.source(allowed_content_types=["text/plain", "image/*"], max_file_size=100_000)
    plugin = {"sources": {"docs": source}, "upload_expiry_seconds": EXPIRY}
    with Server(folder, config(folder, **plugin)) as started:
        yield started
        # One wait for what every test has left to expire.
        settle(lambda: left_of(started, bucket), EXPIRY + SWEPT_WITHIN + SLACK)
        assert bucket.held() == set()
        assert catalogued(started.internal) == {}
        assert "Traceback" not in started.log.read_text()


def _prepared(client: Client, **declared: Any) -> dict[str, Any]:
    declared = {"content_type": "text/plain", "size": len(CONTENT), **declared}
    prepared: dict[str, Any] = expect(client.prepare("docs", "a.txt", **declared), 200).json()
    return prepared


def _refused(server: Server, sent: Answer, prepared: dict[str, Any], *answers: Any) -> None:
    """By the store, and then nothing has come; or else by the completion, with such an answer."""
    answer = Client(server.url).complete("docs", prepared["upload_token"])
    by_store = sent.status >= 400
    allowed = [(409, "conflict")] if by_store else answers
    assert (answer.status, answer.json()["code"]) in allowed, (sent, answer)


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b""])
def test_a_size_that_is_a_lie_is_refused(server, content):
    client = Client(server.url)
    prepared = _prepared(client)
    _refused(server, client.send(prepared, content, ""), prepared, (400, "invalid"))


def test_more_than_is_allowed_is_refused(server):
    client = Client(server.url)
    prepared = _prepared(client, size=None)
    _refused(server, client.send(prepared, bytes(100_001), ""), prepared, (413, "too_large"))


def test_a_sha256_that_is_a_lie_is_refused(server):
    client = Client(server.url)
    prepared = _prepared(client, sha256=hashlib.sha256(b"something else").hexdigest())
    _refused(server, client.send(prepared, CONTENT, ""), prepared, (422, "checksum_mismatch"))


def test_a_type_other_than_was_signed_is_refused(server):
    client = Client(server.url)
    prepared = _prepared(client)
    fields = {**prepared["upload_fields"], "Content-Type": "text/html"}
    sent = client.send({**prepared, "upload_fields": fields}, CONTENT, "")
    _refused(server, sent, prepared, (415, "bad_type"))


def test_a_page_that_is_declared_as_an_image_is_refused(server):
    client = Client(server.url)
    prepared = _prepared(client, content_type="image/png")
    _refused(server, client.send(prepared, HTML, ""), prepared, (415, "bad_type"))


@pytest.mark.parametrize("part", [0, 0.5, 0.999])
@pytest.mark.parametrize("leave", ["reset", "close"])
def test_a_client_that_vanishes_while_it_sends_leaves_nothing(server, bucket, part, leave):
    client = Client(server.url)
    prepared = _prepared(client)
    kind, body = multipart(prepared["upload_fields"], CONTENT)
    url = urlsplit(prepared["upload_url"])
    with RawRequest(url.port) as request:
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        request.head("POST", url.path, headers).send(body[: int(len(body) * part)])
        if leave == "reset":
            request.reset()
    # A form that was cut is stored by no store, or it is not of the size that was signed.
    answer = client.complete("docs", prepared["upload_token"])
    assert (answer.status, answer.json()["code"]) in [(409, "conflict"), (400, "invalid")]


def test_a_client_that_never_sends_or_never_completes_leaves_nothing(server, bucket):
    client = Client(server.url)
    _prepared(client)
    expect(client.send(_prepared(client), CONTENT, ""), 200, 204)
    assert len(bucket.held()) >= 1
