"""Bytes over HTTP: ranges, conditions, dispositions, and storages that do not have them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files import get_file
from datasette_files.base import StorageCapabilities
from tests.conftest import MakeDatasette, upload
from tests.support.storages import installed, storage_class

CONTENT = bytes(range(256)) * 4
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
async def url(datasette: Datasette) -> str:
    """The download URL of ``CONTENT``."""
    record = await upload(datasette, CONTENT, "blob.bin")
    return str(record["download_url"])


async def test_a_whole_download(datasette: Datasette, url: str) -> None:
    answer = await datasette.client.get(url)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    headers = answer.headers
    assert headers["content-length"] == str(len(CONTENT))
    assert headers["etag"] == f'"{SHA256}"'
    assert headers["accept-ranges"] == "bytes"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"] == (
        "attachment; filename=\"blob.bin\"; filename*=UTF-8''blob.bin"
    )
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", headers["last-modified"])


async def test_head_has_the_headers_of_get(datasette: Datasette, url: str) -> None:
    head, get = await datasette.client.head(url), await datasette.client.get(url)
    assert (head.status_code, head.content) == (200, b"")
    assert dict(head.headers) == dict(get.headers)


@pytest.mark.parametrize(
    "header, start, end",
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=1000-", 1000, 1024),
        ("bytes=-24", 1000, 1024),
        ("bytes=-5000", 0, 1024),
        ("bytes=1023-99999999999999999999", 1023, 1024),
        ("Bytes=5-9", 5, 10),
        ("bytes=5-9,10-19", 5, 20),
    ],
)
async def test_one_range(datasette: Datasette, url: str, header: str, start: int, end: int) -> None:
    answer = await datasette.client.get(url, headers={"Range": header})
    assert (answer.status_code, answer.content) == (206, CONTENT[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/1024"
    assert answer.headers["content-length"] == str(end - start)


async def test_several_ranges_come_as_parts(datasette: Datasette, url: str) -> None:
    answer = await datasette.client.get(url, headers={"Range": "bytes=0-3, 500-509, -2"})
    assert answer.status_code == 206
    header = Message()
    header["Content-Type"] = answer.headers["content-type"]
    assert header.get_content_type() == "multipart/byteranges"
    boundary = str(header.get_param("boundary")).encode()
    parts = answer.content.split(b"--" + boundary)[1:-1]
    bodies = [part.partition(b"\r\n\r\n") for part in parts]
    assert [body.removesuffix(b"\r\n") for _, _, body in bodies] == [
        CONTENT[0:4],
        CONTENT[500:510],
        CONTENT[-2:],
    ]
    ranges = [re.search(rb"content-range: ([^\r]+)", head, re.I) for head, _, _ in bodies]
    assert [found[1] for found in ranges if found] == [
        b"bytes 0-3/1024",
        b"bytes 500-509/1024",
        b"bytes 1022-1023/1024",
    ]
    assert answer.headers["content-length"] == str(len(answer.content))


@pytest.mark.parametrize("header", ["bytes=1024-", "bytes=5000-6000", "bytes=-0"])
async def test_a_range_outside_is_416(datasette: Datasette, url: str, header: str) -> None:
    answer = await datasette.client.get(url, headers={"Range": header})
    assert (answer.status_code, answer.json()["code"]) == (416, "range")
    assert answer.headers["content-range"] == "bytes */1024"


@pytest.mark.parametrize(
    "header", ["bytes=", "bytes=a-b", "bytes=9-5", "items=0-1", "bytes 0-1", "bytes=0-1,x"]
)
async def test_a_malformed_range_is_ignored(datasette: Datasette, url: str, header: str) -> None:
    answer = await datasette.client.get(url, headers={"Range": header})
    assert (answer.status_code, answer.content) == (200, CONTENT)


async def test_an_empty_file_downloads(datasette: Datasette) -> None:
    url = (await upload(datasette, b"", "empty.txt"))["download_url"]
    answer = await datasette.client.get(url)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == "0"
    outside = await datasette.client.get(url, headers={"Range": "bytes=0-0"})
    assert outside.status_code == 416


async def test_conditions(datasette: Datasette, url: str) -> None:
    client = datasette.client
    whole = await client.get(url)
    etag, modified = whole.headers["etag"], whole.headers["last-modified"]
    past, future = "Mon, 02 Jan 2006 15:04:05 GMT", "Fri, 02 Jan 2099 15:04:05 GMT"
    for headers, status in [
        ({"If-None-Match": etag}, 304),
        ({"If-None-Match": f'W/{etag}, "other"'}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": future}, 200),
        ({"If-Modified-Since": modified}, 304),
        ({"If-Modified-Since": future}, 304),
        ({"If-Modified-Since": past}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": etag}, 200),
        ({"If-Unmodified-Since": past}, 412),
        ({"If-None-Match": etag, "Range": "bytes=0-1"}, 304),
        ({"If-Range": etag, "Range": "bytes=0-1"}, 206),
        ({"If-Range": f"W/{etag}", "Range": "bytes=0-1"}, 200),
        ({"If-Range": '"other"', "Range": "bytes=0-1"}, 200),
        ({"If-Range": modified, "Range": "bytes=0-1"}, 206),
        ({"If-Range": past, "Range": "bytes=0-1"}, 200),
        ({"If-Range": '"other"', "Range": "bytes=9999-"}, 200),
    ]:
        answer = await client.get(url, headers=headers)
        assert answer.status_code == status, headers
        assert answer.content == {200: CONTENT, 206: CONTENT[:2]}.get(status, b"")
        if status == 304:
            assert answer.headers["etag"] == etag


@pytest.mark.parametrize(
    "content_hash, tag",
    [
        (f"sha256:{SHA256}", SHA256),
        ("md5:9e107d9d372bb6826bd81d3542a419d6", "md5:9e107d9d372bb6826bd81d3542a419d6"),
        ("etag-of-a-bucket-7", "etag-of-a-bucket-7"),
        (None, None),
        ("", None),
        ('md5:"quoted"', None),
        ("md5: spaced", None),
        ("md5:\r\nSet-Cookie: a=b", None),
        ("md5:é", None),
        ("x" * 201, None),
    ],
)
async def test_the_entity_tag_is_what_the_storage_knows_if_it_is_fit_to_be_sent(
    datasette: Datasette, url: str, content_hash: str | None, tag: str | None
) -> None:
    sql = "UPDATE datasette_files SET content_hash = ?"
    await datasette.get_internal_database().execute_write(sql, [content_hash])
    for answer in (await datasette.client.get(url), await datasette.client.head(url)):
        assert answer.status_code == 200
        assert answer.headers.get("etag") == (tag and f'"{tag}"')
        assert "set-cookie" not in answer.headers
    for asked, status in [(f'"{tag}"', 304 if tag else 200), (f'"{SHA256[:-1]}"', 200)]:
        answer = await datasette.client.get(url, headers={"If-None-Match": asked})
        assert answer.status_code == status
    part = await datasette.client.get(url, headers={"If-Range": f'"{tag}"', "Range": "bytes=0-1"})
    assert part.status_code == (206 if tag else 200)


@pytest.mark.parametrize(
    "name, content, inline",
    [
        ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(64), True),
        ("a.txt", b"plain words", True),
        ("a.pdf", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", True),
        ("a.html", b"<!doctype html><script>1</script>", False),
        ("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", False),
        ("a.xml", b"<?xml version='1.0'?><a/>", False),
        ("a.xhtml", b"<html xmlns='http://www.w3.org/1999/xhtml'></html>", False),
        ("a.js", b"alert(1)", False),
        ("a.zip", b"PK\x03\x04" + bytes(64), False),
    ],
)
async def test_inline_shows_safe_types_alone_and_sandboxed(
    datasette: Datasette, name: str, content: bytes, inline: bool
) -> None:
    record = await upload(datasette, content, name)
    answer = await datasette.client.get(record["url"] + "/inline")
    assert (answer.status_code, answer.content) == (200, content)
    kind = answer.headers["content-disposition"].partition(";")[0]
    assert kind == ("inline" if inline else "attachment")
    assert answer.headers["content-security-policy"].startswith("sandbox;")
    assert answer.headers["x-content-type-options"] == "nosniff"
    page = (await datasette.client.get(record["url"])).text
    assert (f'src="{record["url"]}/inline' in page) is (name in ("a.png", "a.pdf"))


async def test_an_object_that_is_gone_or_cut_is_an_error_before_any_header(
    datasette: Datasette, tmp_path: Path
) -> None:
    for size in (1000, 300_000):
        record = await upload(datasette, b"x" * size, "x.txt")
        path = tmp_path / "docs" / record["id"].removeprefix("df-") / "x.txt"
        path.write_bytes(b"")
        for change in ("cut", "gone"):
            for headers in ({}, {"Range": "bytes=0-9"}, {"Range": "bytes=0-9,20-29"}):
                answer = await datasette.client.get(record["download_url"], headers=headers)
                assert answer.status_code == 502, (size, change, headers)
                assert answer.json()["code"] == "storage_error"
                assert str(tmp_path) not in answer.text
            path.unlink(missing_ok=True)


class Broken(Exception):
    """An error that an SDK raises."""


def breaking(after: int) -> Any:
    """A ``stream_file`` that fails once it has yielded ``after`` of four chunks."""

    async def stream_file(self: Any, path: str) -> AsyncIterator[bytes]:
        for number in range(4):
            if number >= after:
                raise Broken("secret endpoint")
            quarter = len(self.objects[path]) // 4
            yield self.objects[path][number * quarter :][:quarter]

    return stream_file


async def unreadable(self: Any, path: str) -> bytes:
    raise Broken("secret endpoint")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        pytest.param(CONTENT, {"read_file": unreadable}, id="small"),
        pytest.param(CONTENT * 1024, {"stream_file": breaking(0)}, id="large, at once"),
        pytest.param(CONTENT * 1024, {"stream_file": breaking(1)}, id="large, after a chunk"),
    ],
)
async def test_a_storage_that_breaks_while_reading_is_502(
    make_datasette: MakeDatasette, content: bytes, fault: dict[str, Any]
) -> None:
    with installed(storage_class(**fault)):
        datasette = await make_datasette({"docs": {"storage": "memory"}})
    url = (await upload(datasette, content, "a.bin"))["download_url"]
    answer = await datasette.client.get(url)
    assert (answer.status_code, answer.json()["code"]) == (502, "storage_error")
    assert "secret" not in answer.text


async def test_a_storage_written_from_the_documents_serves_ranges(
    make_datasette: MakeDatasette,
) -> None:
    with installed(storage_class()):
        datasette = await make_datasette({"docs": {"storage": "memory"}})
    url = (await upload(datasette, CONTENT, "a.bin"))["download_url"]
    for header, wanted in [("bytes=-5", CONTENT[-5:]), ("bytes=100-299", CONTENT[100:300])]:
        answer = await datasette.client.get(url, headers={"Range": header})
        assert (answer.status_code, answer.content) == (206, wanted)


def signing(url: str | Exception) -> dict[str, Any]:
    async def signed_download_url(self: Any, path: str, **facts: Any) -> str:
        if isinstance(url, Exception):
            raise url
        self.signed.append(facts)
        return url

    return {
        "capabilities": StorageCapabilities(
            can_upload=True, can_delete=True, can_generate_signed_urls=True
        ),
        "signed_download_url": signed_download_url,
        "signed": [],
    }


async def test_a_signing_storage_redirects(make_datasette: MakeDatasette) -> None:
    cls = storage_class(**signing("https://bucket.test/x?sig=1"))
    with installed(cls):
        datasette = await make_datasette({"docs": {"storage": "memory"}})
    text, html = await upload(datasette), await upload(datasette, b"<html>", "é.html")
    answer = await datasette.client.get(html["download_url"])
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://bucket.test/x?sig=1"
    assert answer.headers["cache-control"] == "no-store"
    facts = cls.signed[-1]  # type: ignore[attr-defined]
    assert facts["content_type"] == "text/html"
    assert (
        facts["disposition"] == "attachment; filename=\"file.html\"; filename*=UTF-8''%C3%A9.html"
    )
    head = await datasette.client.head(html["download_url"])
    assert (head.status_code, head.headers["content-length"]) == (200, "6")
    assert (await datasette.client.get(text["url"] + "/inline")).status_code == 302
    proxied = await datasette.client.get(html["url"] + "/inline")
    assert proxied.status_code == 200
    assert proxied.headers["content-disposition"].startswith("attachment;")


@pytest.mark.parametrize("error", [Broken("secret"), FileNotFoundError("secret")])
async def test_a_url_that_cannot_be_signed_is_502(
    make_datasette: MakeDatasette, error: Exception
) -> None:
    with installed(storage_class(**signing(error))):
        datasette = await make_datasette({"docs": {"storage": "memory"}})
    answer = await datasette.client.get((await upload(datasette))["download_url"])
    assert (answer.status_code, answer.json()["code"]) == (502, "storage_error")
    assert "secret" not in answer.text


async def test_the_python_api_reads_whole_and_in_part(datasette: Datasette, url: str) -> None:
    file = await get_file(datasette, url.split("/")[3])
    assert file is not None
    assert await file.read() == CONTENT
    assert await file.read(max_bytes=10) == CONTENT[:10]
    for start, end in [(None, None), (5, None), (None, 5), (5, 9), (0, 0), (1020, 9999), (9, 5)]:
        async with file.open(start, end) as stream:
            found = b"".join([chunk async for chunk in stream])
        assert found == CONTENT[slice(start, end)], (start, end)
    assert (file.filename, file.size, file.source_slug) == ("blob.bin", 1024, "docs")
    assert file.created_at.utcoffset() is not None
    assert file.metadata == {}
    assert await get_file(datasette, "df-absent") is None
