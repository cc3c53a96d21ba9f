"""Content types are told in words."""

from __future__ import annotations

import pytest

from datasette_files.media.labels import in_words


@pytest.mark.parametrize(
    ("content_type", "words"),
    [
        ("image/png", "PNG image"),
        ("IMAGE/JPEG", "JPEG image"),
        ("video/webm", "WEBM video"),
        ("audio/x-flac", "FLAC audio"),
        ("application/pdf", "PDF document"),
        ("image/vnd.adobe.photoshop-and-more", "image/vnd.adobe.photoshop-and-more"),
        ("application/x-odd", "application/x-odd"),
        ("", "Unknown type"),
        (None, "Unknown type"),
    ],
)
def test_a_type_has_a_name(content_type: str | None, words: str) -> None:
    assert in_words(content_type) == words
