"""Families: what belongs to which, and which bytes are characters."""

import pytest

from datasette_files.media.families import FAMILIES, family, is_text

_OFFICE = "application/vnd.openxmlformats-officedocument"


@pytest.mark.parametrize(
    ("content_type", "name"),
    [
        ("image/svg+xml", "image"),
        ("IMAGE/PNG; charset=x", "image"),
        ("video/webm", "video"),
        ("audio/ogg", "audio"),
        ("application/pdf", "document"),
        (f"{_OFFICE}.wordprocessingml.document", "document"),
        (f"{_OFFICE}.presentationml.presentation", "document"),
        (f"{_OFFICE}.spreadsheetml.sheet", "table"),
        ("application/vnd.oasis.opendocument.text", "document"),
        ("application/vnd.oasis.opendocument.spreadsheet", "table"),
        ("text/csv", "table"),
        ("text/markdown", "text"),
        ("text/html", "code"),
        ("text/x-python", "code"),
        ("text/x-c++src; charset=utf-8", "code"),
        ("text/x-rst", "text"),
        ("application/x-sh", "code"),
        ("application/ld+json", "code"),
        ("application/atom+xml", "code"),
        ("application/x-7z-compressed", "archive"),
        ("application/octet-stream", "other"),
        ("", "other"),
        ("no type at all", "other"),
    ],
)
def test_family(content_type: str, name: str) -> None:
    assert family(content_type) == name
    assert name in FAMILIES


def test_no_family_could_be_taken_for_a_type_or_a_pattern() -> None:
    assert not [name for name in FAMILIES if "/" in name]


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("text/x-anything", True),
        ("application/json", True),
        ("application/x-sh", True),
        ("image/svg+xml", True),
        ("application/geo+json", True),
        ("application/pdf", False),
        ("application/octet-stream", False),
        (f"{_OFFICE}.wordprocessingml.document", False),
    ],
)
def test_is_text(content_type: str, text: bool) -> None:
    assert is_text(content_type) is text
