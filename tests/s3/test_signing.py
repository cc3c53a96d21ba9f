"""Signed URLs are the same within half of their life, and valid; redirects honour validators."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from datasette_files.base import signing_window
from datasette_files_s3 import client, signing
from tests.conftest import MakeDatasette
from tests.s3.conftest import MakeStorage
from tests.support.flow import s3
from tests.support.flow.flow import Answer, Flow
from tests.support.moto_server import Store

_SHOWN = {
    "filename": "ä b.txt",
    "content_type": "text/plain",
    "disposition": "inline; filename=\"a-b.txt\"; filename*=UTF-8''%C3%A4%20b.txt",
}


def _values(url: str) -> dict[str, str]:
    return {name: one[0] for name, one in parse_qs(urlsplit(url).query).items()}


def _at(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.time, "time", lambda: seconds)


@pytest.mark.parametrize("session_token", [None, "token/with+signs=="])
@pytest.mark.parametrize(
    "endpoint_url",
    ["https://s3.example.org", "http://[::1]:9000", "https://s3.example.org:443", None],
)
@pytest.mark.parametrize("path", ["a/note.txt", "a/ä b+c~'(1)*&?.txt"])
async def test_signature_is_the_sdks_own(
    make_storage: MakeStorage,
    store: Store,
    session_token: str | None,
    endpoint_url: str | None,
    path: str,
) -> None:
    storage = await make_storage(endpoint_url=endpoint_url, session_token=session_token)
    folder = await storage.connection.folder()
    made = await storage.connection.presign(
        "generate_presigned_url",
        "get_object",
        Params={
            "Bucket": folder.bucket,
            "Key": folder.prefix + path,
            "ResponseContentDisposition": _SHOWN["disposition"],
        },
        seconds=300,
    )
    stamp = datetime.strptime(_values(made)["X-Amz-Date"], "%Y%m%dT%H%M%SZ")
    moment = stamp.replace(tzinfo=timezone.utc).timestamp()
    assert signing.signed_at(made, moment, store.secret) == made
    earlier = signing.signed_at(made, moment - 86_400, store.secret)
    assert _values(earlier)["X-Amz-Signature"] != _values(made)["X-Amz-Signature"]


def test_other_signatures_stay_as_they_are() -> None:
    for url in (
        "https://b.example.org/k?AWSAccessKeyId=a&Signature=b&Expires=1",
        "https://b.example.org/k?X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-SignedHeaders=host",
        "https://b.example.org/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-SignedHeaders=host%3Brange",
    ):
        assert signing.signed_at(url, 0, "secret") == url


async def test_urls_are_the_same_within_half_of_their_life(
    make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await make_storage()
    begin, end = signing_window(300, time.time())
    assert end - begin == 150
    urls = []
    for moment in (begin, begin + 149, begin + 150):
        _at(moment, monkeypatch)
        urls.append(await storage.signed_download_url("a/b.txt", expires_in=300, **_SHOWN))
        assert _values(urls[-1])["X-Amz-Expires"] == "300"
    assert urls[0] == urls[1] != urls[2]
    assert _values(urls[0])["response-cache-control"] == "private, max-age=150"
    attached = {**_SHOWN, "disposition": "attachment"}
    url = await storage.signed_download_url("a/b.txt", expires_in=300, **attached)
    assert "response-cache-control" not in url


async def _flow(make_datasette: MakeDatasette, tmp_path: Path, **options: Any) -> Flow:
    source = s3.source(tmp_path, **options)
    return Flow(await make_datasette(sources={"docs": source}), s3.S3_DIRECT)


async def _get(flow: Flow, url: str, **headers: str) -> Answer:
    return await flow.request(
        "GET", url, headers={n.replace("_", "-"): v for n, v in headers.items()}
    )


async def test_store_serves_what_a_redirect_names(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    flow = await _flow(make_datasette, tmp_path)
    record = await flow.upload(b"hello")
    shown = await _get(flow, f"{record['url']}/inline")
    assert shown.status == 302
    name, _, seconds = shown.headers["cache-control"].rpartition("=")
    assert name == "private, max-age"
    assert 0 <= int(seconds) <= 150
    headers, body = s3.fetch(flow.storage, shown.headers["location"])
    assert body == b"hello"
    assert headers["cache-control"] == "private, max-age=150"
    saved = await _get(flow, record["download_url"])
    assert saved.headers["cache-control"].endswith("no-store")
    assert s3.fetch(flow.storage, saved.headers["location"])[1] == b"hello"


async def test_validators_hold_before_the_redirect(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    flow = await _flow(make_datasette, tmp_path)
    record = await flow.upload(b"hello")
    head = await flow.request("HEAD", record["download_url"])
    tag, modified = head.headers["etag"], head.headers["last-modified"]
    for route in (record["download_url"], f"{record['url']}/inline"):
        known = await _get(flow, route, If_None_Match=tag)
        assert (known.status, known.headers["etag"]) == (304, tag)
        assert (await _get(flow, route, If_Modified_Since=modified)).status == 304
        assert (await _get(flow, route, If_None_Match='"other"')).status == 302
        assert (await _get(flow, route, If_Match='"other"')).status == 412
        assert (await _get(flow, route, If_Match="*")).status == 302
        # The store would compare these with validators of its own, so Datasette answers itself.
        for condition in ({"If_Match": tag}, {"If_Unmodified_Since": modified}):
            same = await _get(flow, route, **condition)
            assert (same.status, same.content) == (200, b"hello")
        rest = await _get(flow, route, If_Range=tag, Range="bytes=1-")
        assert (rest.status, rest.content) == (206, b"ello")
        assert (await _get(flow, route, If_Range='"other"', Range="bytes=1-")).status == 302
        assert (await _get(flow, route, Range="bytes=1-")).status == 302


async def test_empty_file_has_no_range_that_a_store_could_refuse(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    flow = await _flow(make_datasette, tmp_path)
    record = await flow.upload(b"")
    for headers in ({}, {"Range": "bytes=0-"}):
        answer = await _get(flow, record["download_url"], **headers)
        assert (answer.status, answer.content) == (200, b"")


async def test_address_is_told_instead_of_a_redirect(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    flow = await _flow(make_datasette, tmp_path)
    record = await flow.upload(b"hello")
    for route in (record["download_url"], f"{record['url']}/inline"):
        told = await _get(flow, f"{route}?redirect=0")
        assert (told.status, told.json["ok"]) == (200, True)
        assert told.headers["cache-control"].endswith("no-store")
        assert s3.fetch(flow.storage, told.json["url"])[1] == b"hello"
    page = await flow.upload(b"<html>", filename="a.html", content_type="text/html")
    told = await _get(flow, f"{page['url']}/inline?redirect=0")
    assert told.json["url"] == f"{page['url']}/inline", "it is not redirected"
    assert (await _get(flow, told.json["url"])).content == b"<html>"


async def test_thumbnail_is_kept_as_long_as_a_redirect(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    for download, kept in (("redirect", True), ("proxy", False)):
        flow = await _flow(make_datasette, tmp_path, download=download)
        record = await flow.upload(b"no picture", filename="a.bin", content_type="a/b")
        shown = await _get(flow, record["thumbnail_url"])
        assert shown.status == 200
        assert shown.headers["cache-control"].startswith("private, max-age=") is kept
        assert "Cookie" in shown.headers["vary"]
