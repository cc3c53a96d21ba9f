"""Content-Disposition: RFC 6266 and RFC 8187."""

from __future__ import annotations

import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.protocol.disposition import MAX_NAME_BYTES, content_disposition

VALUE = re.compile(
    r"attachment; filename=\"(?P<plain>[A-Za-z0-9_][A-Za-z0-9._-]*)\"; "
    r"filename\*=UTF-8''(?P<encoded>(?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2})+)"
)


def names(filename: str) -> tuple[str, str]:
    match = VALUE.fullmatch(content_disposition("attachment", filename))
    assert match is not None
    return match["plain"], unquote(match["encoded"], errors="strict")


@pytest.mark.parametrize(
    ("filename", "plain"),
    [
        ("report.pdf", "report.pdf"),
        ("my report (1).pdf", "my-report-1-.pdf"),
        ("résumé.pdf", "r-sum-.pdf"),
        ("日本語.png", "file.png"),
        ("日本語", "file"),
        ("...", "file"),
        ('a"b\\c/d;e.txt', "a-b-c-d-e.txt"),
        ("100%.txt", "100-.txt"),
        (".htaccess", "htaccess"),
        ("my_data.csv", "my_data.csv"),
        ("-rf.txt", "rf.txt"),
        ("--", "file"),
    ],
)
def test_both_names(filename: str, plain: str) -> None:
    assert names(filename) == (plain, filename)


def test_the_whole_value() -> None:
    assert (
        content_disposition("inline", "naïve 'file'.txt")
        == "inline; filename=\"na-ve-file-.txt\"; filename*=UTF-8''na%C3%AFve%20%27file%27.txt"
    )


@pytest.mark.parametrize(
    ("filename", "sent"),
    [
        ("", "file"),
        ("a\r\nSet-Cookie: x", "a--Set-Cookie: x"),
        ("a\x00b\x7fc\x85d", "a-b-c-d"),
        ("a\ud800b", "a\ufffdb"),
        ("\udcff", "\ufffd"),
    ],
)
def test_what_no_name_may_hold_is_replaced(filename: str, sent: str) -> None:
    assert names(filename)[1] == sent


@pytest.mark.parametrize("stem", ["x", "é", "日", "😀"])
def test_long_names_keep_their_extension(stem: str) -> None:
    _, sent = names(stem * 5000 + ".tar.gz")
    assert sent.endswith(stem + ".gz") or sent.endswith(".tar.gz")
    assert MAX_NAME_BYTES - 4 < len(sent.encode()) <= MAX_NAME_BYTES


@pytest.mark.parametrize("filename", ["x" * 5000, "." + "x" * 5000, "a." + "x" * 5000])
def test_long_names_without_an_extension_are_cut(filename: str) -> None:
    assert names(filename)[1] == filename[:MAX_NAME_BYTES]


@given(st.text(st.characters(), max_size=400))
def test_any_name_makes_one_line_of_ascii_that_reads_back(filename: str) -> None:
    value = content_disposition("attachment", filename)
    assert value.isascii() and value.isprintable()
    assert len(value) < 2 * 3 * MAX_NAME_BYTES
    _, sent = names(filename)
    storable = not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", filename)
    if filename and storable and len(filename.encode()) <= MAX_NAME_BYTES:
        assert sent == filename
