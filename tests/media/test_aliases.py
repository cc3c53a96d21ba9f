"""Declared types that mean another one, when declared, compared with the bytes, and allowed."""

from __future__ import annotations

import pytest
from datasette.app import Datasette

from datasette_files.media import aliases, sniffing
from datasette_files.media.types import is_pattern, type_allowed
from tests.conftest import upload

_PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
_MP3 = b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\xff\xfb\x90\x00" * 40
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x00" * 90
_AVI = b"RIFF\x00\x10\x00\x00AVI LIST" + b"\x00" * 60
_MKV = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01" + b"\x00" * 60


@pytest.mark.parametrize(
    ("declared", "filename", "head", "stored"),
    [
        ("application/x-zip-compressed", "a.zip", b"PK\x03\x04" + b"\x00" * 30, "application/zip"),
        ("application/vnd.ms-excel", "a.csv", b"a,b\n1,2\n", "text/csv"),
        ("application/vnd.ms-excel", "A.TSV", b"a\tb\n1\t2\n", "text/tab-separated-values"),
        ("application/msexcel", "a.csv", b"a;b\n", "text/csv"),
        (
            "application/vnd.ms-excel",
            "a.xls",
            _OLE,
            "application/vnd.ms-excel",
        ),
        ("binary/octet-stream", "a.png", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("binary/octet-stream", "a", _PDF, "application/pdf"),
        ("application/x-compressed", "a.zip", b"PK\x03\x04" + b"\x00" * 30, "application/zip"),
        ("application/x-zip-compressed", "a.docx", b"PK\x03\x04" + b"\x00" * 30, "application/zip"),
        ("application/vnd.ms-office", "a.xls", _OLE, "application/vnd.ms-excel"),
        ("image/*", "a.png", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("image/*", "a.png", b"<html><script>", "text/html"),
        ("*/*", "a", _PDF, "application/pdf"),
        ("video/3gp", "a.3gp", b"\x00\x00\x00\x18ftyp3gp4" + b"\x00" * 60, "video/3gpp"),
        ("video/avi", "a.avi", _AVI, "video/x-msvideo"),
        ("video/matroska", "a.mkv", _MKV, "video/x-matroska"),
        ("audio/mp3", "a.mp3", _MP3, "audio/mpeg"),
        ("Audio/X-MP3; x=y", "a.mp3", _MP3, "audio/mpeg"),
        ("image/x-png", "a.png", b"\x89PNG\r\n\x1a\n", "image/png"),
        ("image/jpg", "a.jpg", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("image/pjpeg", "a.jpg", b"\xff\xd8\xff\xe0", "image/jpeg"),
        ("image/tif", "a.tif", b"II*\x00\x08\x00\x00\x00", "image/tiff"),
        ("application/x-pdf", "a.pdf", _PDF, "application/pdf"),
        ("application/x-pdf", "a.pdf", b"\xef\xbb\xbf" + _PDF, "application/pdf"),
        ("application/pdf", "a.pdf", b"\r\n\n" + _PDF, "application/pdf"),
        ("application/pdf", "a.pdf", b"\n%PDF-1.4\n1 0 obj", "application/pdf"),
        ("", "a", b"\xef\xbb\xbf\n%PDF-1.4\n1 0 obj", "application/pdf"),
        ("image/png", "a.png", b"\n" + _PDF, "application/pdf"),
        ("application/x-gzip", "a.gz", b"\x1f\x8b\x08", "application/gzip"),
        ("image/x-png", "a.png", b"<html><script>", "text/html"),
        ("application/pdf", "a.pdf", b"<html>%PDF-", "text/html"),
        ("application/pdf", "a.pdf", b"words %PDF-", "text/plain"),
    ],
)
def test_a_declared_alias_is_stored_as_what_it_means(
    declared: str, filename: str, head: bytes, stored: str
) -> None:
    assert sniffing.stored_type(sniffing.declared_type(declared, filename), head) == stored


def test_every_alias_means_a_type_that_is_none() -> None:
    for alias, meant in aliases._ALIASES.items():
        assert is_pattern(alias), alias
        assert aliases.meant(meant) == meant, alias


@pytest.mark.parametrize(
    ("content_type", "pattern"),
    [
        ("image/jpeg", "image/jpg"),
        ("image/jpg", "image/jpeg"),
        ("application/zip", "application/x-zip-compressed"),
        ("application/x-tiff", "image/*"),
        ("audio/mp3", "audio/mpeg"),
    ],
)
def test_a_list_of_allowed_types_takes_an_alias_for_what_it_means(
    content_type: str, pattern: str
) -> None:
    assert type_allowed(content_type, [pattern])
    assert not type_allowed(content_type, ["text/csv"])


async def test_an_upload_is_stored_as_what_its_type_means(datasette: Datasette) -> None:
    file = await upload(
        datasette, b"a,b\n1,2\n", "people.csv", content_type="application/vnd.ms-excel"
    )
    assert file["content_type"] == "text/csv"
