"""Content types: hostile heads are read in linear time, and whatever another tool wrote into the
catalog is shown escaped and served as what it says, or as nothing in particular."""

from __future__ import annotations

from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.media import sniffing
from tests.conftest import upload

_LENGTH = 64 * 1024
_PIECES = [
    b"<!--",
    b"<!---->",
    b"<!-- --> ",
    b"<!-- <!-- -->",
    b"--><!--",
    b"<?xml ",
    b"<?xml?>",
    b"<!doctype svg",
    b"<!doctype svg>",
    b" \t\n",
    b"<",
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", _PIECES, ids=repr)
def test_no_pattern_tries_a_hostile_head_in_ever_more_ways(piece: bytes) -> None:
    head = (piece * _LENGTH)[:_LENGTH]
    for ending in (b"", b"<sv", b"<x>", b"-->"):
        for declared in ("text/html", "image/png", "application/pdf", sniffing.UNKNOWN):
            assert sniffing.stored_type(declared, head + ending)


@pytest.mark.parametrize(
    ("head", "found"),
    [
        (b"<!-- a --> <!-- b -- > --><script>", "text/html"),
        (b"\n<!---->\n<HTML>", "text/html"),
        (b"<?xml version='1.0'?><!-- a --><!DOCTYPE svg><svg xmlns=", "image/svg+xml"),
        (b"<!-- <html> -->", "text/plain"),
        (b"<!-- <svg > ", "text/plain"),
        (b"<?xml version='1.0'?><feed>", "application/xml"),
    ],
)
def test_comments_before_markup_are_passed_over(head: bytes, found: str) -> None:
    assert sniffing.sniff(head) == found


@pytest.mark.parametrize(
    ("declared", "head", "stored"),
    [
        ("image/tiff", b"II*\x00" + b"\xff" * 520 + b"\x04\x00\x00\x00", "image/tiff"),
        ("image/tiff", b"II+\x00\x08\x00\x00\x00", "image/tiff"),
        (sniffing.UNKNOWN, b"MM\x00+\x00\x08\x00\x00", "image/tiff"),
        ("image/x-canon-cr2", b"II*\x00\x10\x00\x00\x00CR\x02\x00" + b"\x00" * 9, None),
        ("image/tiff", b"II\x00\x00\x08\x00\x00\x00", sniffing.UNKNOWN),
        ("image/jpeg", b"\x89PNG\r\n\x1a\n" + b"\x00" * 9, "image/png"),
        ("image/png", b"RIFF\x24\x00\x00\x00WEBPVP8 ", "image/webp"),
        ("image/webp", b"RIFF\x24\x00\x00\x00WEBPVP8 ", None),
        ("image/jpeg", b"\x00\x00\x00\x18ftypheic" + b"\x00" * 9, "image/heic"),
        ("application/pdf", b"\x1b%-12345X@PJL\r\n%PDF-1.4\n%\x93\x00", None),
        ("application/pdf", b"<html>%PDF-1.4\n", "text/html"),
        ("application/pdf", b" " * 1024 + b"x%PDF-1.4\n", "text/plain"),
    ],
    ids=repr,
)
def test_a_declared_type_is_kept_where_the_bytes_may_be_of_it(
    declared: str, head: bytes, stored: str | None
) -> None:
    assert sniffing.stored_type(declared, head) == (stored or declared)


#: ``(what stands in the catalog, the Content-Type it is served with, whether inline shows it)``
_WRITTEN = [
    ("image/png; x=\r\nSet-Cookie: a=b", "image/png", True),
    ("image/png\r\nSet-Cookie: a=b", "application/octet-stream", False),
    ("IMAGE/PNG", "image/png", True),
    ("text/html", "text/html", False),
    ("text/html\x00image/png", "application/octet-stream", False),
    (" Text/HTML ; charset=utf-8", "text/html", False),
    ("text/plain; charset=\u2028", "text/plain", True),
    ("image/svg+xml", "image/svg+xml", False),
    ("image/x-unknown", "image/x-unknown", False),
    ("application/xhtml+xml", "application/xhtml+xml", False),
    ("bild/größe", "application/octet-stream", False),
    ("image/\ud7ff", "application/octet-stream", False),
    ("image", "application/octet-stream", False),
    ("<script>alert(1)</script>/x", "application/octet-stream", False),
    ("x/" + "y" * 5000, "application/octet-stream", False),
    (";", "application/octet-stream", False),
    ("", "application/octet-stream", False),
    (None, "application/octet-stream", False),
]


@pytest.fixture
async def record(datasette: Datasette) -> dict[str, Any]:
    return await upload(datasette, b"harmless", "plain.bin")


@pytest.mark.parametrize(
    ("written", "served", "shown"),
    [
        *_WRITTEN[::4],
        *(
            pytest.param(*one, marks=pytest.mark.full)
            for one in _WRITTEN
            if one not in _WRITTEN[::4]
        ),
    ],
    ids=lambda v: repr(v)[:40],
)
async def test_type_that_another_tool_wrote_does_no_harm(
    datasette: Datasette, record: dict[str, Any], written: str | None, served: str, shown: bool
) -> None:
    await datasette.get_internal_database().execute_write(
        "UPDATE datasette_files SET content_type = ?", [written]
    )
    get = datasette.client.get
    answered = (await get(f"{record['url']}.json")).json()
    assert answered["content_type"] == written
    for path in (
        record["url"],
        "/-/files/source/docs",
        "/-/files/source/docs.json",
        f"/-/files/batch.json?id={record['id']}",
        "/-/files/search?q=plain",
        "/-/files/search.json?q=plain",
        f"/-/files/import/{record['id']}",
        record["thumbnail_url"],
    ):
        answer = await get(path)
        assert answer.status_code == 200, path
        if answer.headers["content-type"].startswith("text/html"):
            assert "<script>alert" not in answer.text
    for suffix, kind in (("/download", "attachment"), ("/inline", "inline")):
        for method in ("GET", "HEAD"):
            answer = await datasette.client.request(method, record["url"] + suffix)
            assert answer.status_code == 200
            assert answer.headers["content-type"].partition(";")[0] == served
            assert "set-cookie" not in answer.headers
            assert all(value.isprintable() for value in answer.headers.values())
            expected = kind if shown else "attachment"
            assert answer.headers["content-disposition"].partition(";")[0] == expected
            assert answer.content == (b"harmless" if method == "GET" else b"")
    several = await get(record["download_url"], headers={"Range": "bytes=0-1,4-5"})
    assert several.status_code == 206
    assert f"\r\nContent-Type: {served}\r\n".lower() in several.text.lower()
    assert "\nset-cookie:" not in several.text.lower()


async def test_list_can_be_narrowed_to_an_odd_type(
    datasette: Datasette, record: dict[str, Any]
) -> None:
    for written, _, _ in _WRITTEN:
        await datasette.get_internal_database().execute_write(
            "UPDATE datasette_files SET content_type = ?", [written]
        )
        answer = await datasette.client.get(
            "/-/files/source/docs.json", params={"content_type": written or ""}
        )
        assert (answer.status_code, answer.json()["total"]) == (200, 1)
