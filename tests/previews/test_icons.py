"""Icons are well-formed, hold no markup of a file's name, and are seen on light and dark pages."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from datasette_files.media.families import FAMILIES, family
from datasette_files.previews import icons
from tests.support.fixtures import hostile_names

_SVG = "{http://www.w3.org/2000/svg}"
_DARK_PAGE = "#14171c"

#: A type of each family.
TYPES = {
    "image": "image/png",
    "video": "video/mp4",
    "audio": "audio/mpeg",
    "document": "application/pdf",
    "table": "text/csv",
    "text": "text/plain",
    "code": "application/json",
    "archive": "application/zip",
    "other": "application/octet-stream",
}


def parsed(content_type: str, filename: str) -> ElementTree.Element:
    return ElementTree.fromstring(icons.icon(content_type, filename))


def label(svg: ElementTree.Element) -> str:
    return "".join(text.text or "" for text in svg.iter(f"{_SVG}text"))


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_has_a_sign_and_a_colour_of_its_own(name: str) -> None:
    assert family(TYPES[name]) == name
    svg = parsed(TYPES[name], "a")
    assert svg.find(f".//{_SVG}path").attrib["fill"] == icons._COLOURS[name]  # type: ignore[union-attr]
    others = [icons._SIGNS[other] for other in FAMILIES if other != name]
    assert icons._SIGNS[name] not in others


@pytest.mark.parametrize(
    ("content_type", "filename", "shown"),
    [
        ("image/jpeg", "photo.jpg", "JPG"),
        ("application/zip", "archive.tar.GZ", "GZ"),
        ("audio/mpeg", "no-extension", "MPEG"),
        ("application/x-tar", "x.", "TAR"),
        ("application/octet-stream", "x.toolong", "FILE"),
        ("application/x-ndjson", "x.ndjson", "NDJSON"),
        ("application/vnd.é", "x.é", "FILE"),
        ("text/plain", 'x."><script>', "PLAIN"),
    ],
)
def test_the_label_is_the_extension_or_else_the_type(
    content_type: str, filename: str, shown: str
) -> None:
    assert label(parsed(content_type, filename)) == shown


def test_no_hostile_name_adds_markup() -> None:
    expected = [element.tag for element in parsed("text/plain", "a.txt").iter()]
    for name, why in hostile_names():
        svg = parsed("text/plain", name)
        assert [element.tag for element in svg.iter()] == expected, why
        assert label(svg).isalnum()
        assert len(label(svg)) <= 6


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.2 defines it."""
    channels = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("name", FAMILIES)
def test_colours_are_readable_with_white_and_seen_on_a_dark_page(name: str) -> None:
    shade = luminance(icons._COLOURS[name]) + 0.05
    assert 1.05 / shade >= 4.5
    assert shade / (luminance(_DARK_PAGE) + 0.05) >= 3
