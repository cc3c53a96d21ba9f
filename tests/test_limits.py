"""Whether a place takes a file: one answer for sources and columns, and for the browser."""

from __future__ import annotations

import pytest

from datasette_files.errors import BadType, FileTooLarge, Invalid
from datasette_files.sources.limits import Limits, check_declared_size

SOURCE = Limits("The source 'docs'", 2000, ("image/*", "application/pdf"))
COLUMN = Limits("This column", 2000, (".csv", "image/png"), tells_type=False)


@pytest.mark.parametrize(
    ("limits", "filename", "content_type", "size"),
    [
        (SOURCE, "a", "image/png", 2000),
        (SOURCE, "a", "application/pdf; a=b", 0),
        (SOURCE, "a", "image/png", None),
        (COLUMN, "A.CSV", "text/plain", 1),
        (COLUMN, "a", "image/png", 1),
        (Limits("It"), "a", "text/plain", 2**62),
    ],
)
def test_a_file_that_fits_passes(
    limits: Limits, filename: str, content_type: str, size: int | None
) -> None:
    limits.check(filename, content_type, size)


def test_a_refusal_tells_the_rule_and_a_source_the_type_it_found() -> None:
    with pytest.raises(FileTooLarge, match="The source 'docs' takes files of at most 2,000 bytes"):
        SOURCE.check("a", "image/png", 2001)
    with pytest.raises(BadType, match=r"takes image/.*,application/pdf, and not text/html;"):
        SOURCE.check("a.png", "text/html", 1)
    with pytest.raises(BadType, match=r"^This column takes .csv,image/png; choose another file$"):
        COLUMN.check("a.html", "text/html", 1)
    with pytest.raises(BadType):
        Limits("It", accept=()).check("a", "text/plain", 1)


def test_the_browser_is_given_the_rules_that_there_are() -> None:
    assert SOURCE.as_json() == {"max_size": 2000, "accept": "image/*,application/pdf"}
    assert Limits("It").as_json() == {}


def test_what_was_declared_has_to_come() -> None:
    check_declared_size(None, 5)
    check_declared_size(5, 5)
    with pytest.raises(Invalid, match="but only 4 arrived"):
        check_declared_size(5, 4)
    with pytest.raises(Invalid, match="but 6 or more arrived"):
        check_declared_size(5, 6)
