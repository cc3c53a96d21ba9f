"""Conditional requests: RFC 9110 sections 8.8 and 13."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.protocol.conditional import (
    NOT_MODIFIED,
    PRECONDITION_FAILED,
    PROCEED,
    EntityTag,
    Outcome,
    evaluate,
    http_date,
    if_range_matches,
    parse_entity_tag,
    parse_entity_tags,
    parse_http_date,
)

ETAG = '"abc"'
MODIFIED = datetime(2024, 2, 29, 12, 30, 15, 500_000, tzinfo=timezone.utc)
SAME = "Thu, 29 Feb 2024 12:30:15 GMT"
EARLIER = "Thu, 29 Feb 2024 12:30:14 GMT"
LATER = "Thu, 29 Feb 2024 12:30:16 GMT"


@pytest.mark.parametrize(
    ("left", "right", "strong", "weak"),
    [
        # The table of RFC 9110 section 8.8.3.2.
        ('W/"1"', 'W/"1"', False, True),
        ('W/"1"', 'W/"2"', False, False),
        ('W/"1"', '"1"', False, True),
        ('"1"', '"1"', True, True),
    ],
)
def test_comparison_of_entity_tags(left: str, right: str, strong: bool, weak: bool) -> None:
    first, second = parse_entity_tag(left), parse_entity_tag(right)
    assert first is not None and second is not None
    assert first.matches_strongly(second) is second.matches_strongly(first) is strong
    assert first.matches_weakly(second) is second.matches_weakly(first) is weak


@pytest.mark.parametrize("text", [None, "", "abc", '"abc', 'w/"abc"', '"a"b"', '"a b"', '"\n"'])
def test_what_is_no_entity_tag(text: str | None) -> None:
    assert parse_entity_tag(text) is None


def test_lists_of_entity_tags() -> None:
    assert parse_entity_tags(' "a", W/"b,c" ,, "" ,') == [
        EntityTag("a"),
        EntityTag("b,c", weak=True),
        EntityTag(""),
    ]
    assert parse_entity_tags('"a", b, "c"') == [EntityTag("a")]
    assert parse_entity_tags('"a" "b"') == [EntityTag("a")]
    assert parse_entity_tags("nonsense") == []


@given(st.text(st.characters(min_codepoint=0x23, max_codepoint=0x7E)), st.booleans())
def test_an_entity_tag_reads_back(opaque: str, weak: bool) -> None:
    tag = EntityTag(opaque, weak)
    assert parse_entity_tag(str(tag)) == tag
    assert parse_entity_tags(f'"x", {tag}') == [EntityTag("x"), tag]


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", {}, PROCEED),
        ("GET", {"if-none-match": '"abc"'}, NOT_MODIFIED),
        ("HEAD", {"if-none-match": '"x", W/"abc"'}, NOT_MODIFIED),
        ("GET", {"if-none-match": "*"}, NOT_MODIFIED),
        ("GET", {"if-none-match": '"x"'}, PROCEED),
        ("GET", {"if-none-match": "abc"}, PROCEED),
        ("DELETE", {"if-none-match": '"abc"'}, PRECONDITION_FAILED),
        ("PUT", {"if-none-match": "*"}, PRECONDITION_FAILED),
        ("GET", {"if-modified-since": SAME}, NOT_MODIFIED),
        ("GET", {"if-modified-since": LATER}, NOT_MODIFIED),
        ("GET", {"if-modified-since": EARLIER}, PROCEED),
        ("GET", {"if-modified-since": "yesterday"}, PROCEED),
        ("POST", {"if-modified-since": SAME}, PROCEED),
        ("GET", {"if-match": '"abc"'}, PROCEED),
        ("GET", {"if-match": "*"}, PROCEED),
        ("GET", {"if-match": '"x"'}, PRECONDITION_FAILED),
        ("GET", {"if-match": 'W/"abc"'}, PRECONDITION_FAILED),
        ("GET", {"if-match": "abc"}, PRECONDITION_FAILED),
        ("GET", {"if-unmodified-since": SAME}, PROCEED),
        ("GET", {"if-unmodified-since": EARLIER}, PRECONDITION_FAILED),
        ("GET", {"if-unmodified-since": "yesterday"}, PROCEED),
        # Precedence: a tag hides the date beside it, and If-Match comes before If-None-Match.
        ("GET", {"if-match": '"abc"', "if-unmodified-since": EARLIER}, PROCEED),
        ("GET", {"if-none-match": '"x"', "if-modified-since": LATER}, PROCEED),
        ("GET", {"if-none-match": '"abc"', "if-modified-since": EARLIER}, NOT_MODIFIED),
        ("GET", {"if-match": '"x"', "if-none-match": '"abc"'}, PRECONDITION_FAILED),
        ("GET", {"if-match": '"abc"', "if-none-match": '"abc"'}, NOT_MODIFIED),
        ("GET", {"if-unmodified-since": EARLIER, "if-none-match": '"abc"'}, PRECONDITION_FAILED),
        ("GET", {"if-unmodified-since": SAME, "if-modified-since": SAME}, NOT_MODIFIED),
    ],
)
def test_evaluation(method: str, headers: dict[str, str], expected: Outcome) -> None:
    assert evaluate(method, headers, ETAG, MODIFIED) is expected


@pytest.mark.parametrize("etag", [None, "unquoted"])
def test_without_validators_only_the_star_matches(etag: str | None) -> None:
    assert evaluate("GET", {"if-none-match": '"unquoted"'}, etag, None) is PROCEED
    assert evaluate("GET", {"if-none-match": "*"}, etag, None) is NOT_MODIFIED
    assert evaluate("GET", {"if-match": '"unquoted"'}, etag, None) is PRECONDITION_FAILED
    dates = {"if-modified-since": SAME, "if-unmodified-since": SAME}
    assert evaluate("GET", dates, etag, None) is PROCEED


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, True),
        ('"abc"', True),
        ('"x"', False),
        ('W/"abc"', False),
        (SAME, True),
        (EARLIER, False),
        (LATER, False),
        ("", False),
        ("abc", False),
        ("*", False),
    ],
)
def test_if_range(header: str | None, expected: bool) -> None:
    assert if_range_matches(header, ETAG, MODIFIED) is expected


def test_if_range_without_strong_validators() -> None:
    assert not if_range_matches('W/"abc"', 'W/"abc"', None)
    assert not if_range_matches('"abc"', 'W/"abc"', None)
    assert not if_range_matches('"abc"', None, None)
    assert not if_range_matches(SAME, None, None)


@pytest.mark.parametrize(
    "text",
    [
        # The three forms of RFC 9110 section 5.6.7.
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ],
)
def test_forms_of_dates(text: str) -> None:
    assert parse_http_date(text) == datetime(1994, 11, 6, 8, 49, 37, tzinfo=timezone.utc)


def test_years_of_two_digits_are_at_most_fifty_years_ahead() -> None:
    now = datetime.now(timezone.utc)
    for ahead in range(-40, 45):
        year = now.year + ahead
        parsed = parse_http_date(f"Sunday, 06-Nov-{year % 100:02} 08:49:37 GMT")
        assert parsed is not None
        assert parsed.year == year


def test_a_leap_second_is_read() -> None:
    parsed = parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT")
    assert parsed == datetime(2016, 12, 31, 23, 59, 59, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "now",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 99999 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun Nov    08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
    ],
)
def test_what_is_no_date(text: str | None) -> None:
    assert parse_http_date(text) is None


@given(st.datetimes(timezones=st.one_of(st.none(), st.just(timezone.utc))))
def test_dates_read_back(moment: datetime) -> None:
    parsed = parse_http_date(http_date(moment))
    assert parsed == moment.replace(microsecond=0, tzinfo=timezone.utc)


def test_dates_are_written_in_utc() -> None:
    assert http_date(MODIFIED.astimezone(timezone(timedelta(hours=-7)))) == SAME


FIELDS = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


@given(
    st.sampled_from(["GET", "HEAD", "PUT", "DELETE"]),
    st.dictionaries(
        st.sampled_from(FIELDS),
        st.one_of(st.text(), st.text('W/"abc*, '), st.sampled_from([SAME, EARLIER, LATER, ETAG])),
    ),
    st.sampled_from([None, ETAG, 'W/"abc"', "x"]),
    st.sampled_from([None, MODIFIED, MODIFIED.replace(tzinfo=None)]),
)
def test_any_fields_are_answered(
    method: str, headers: dict[str, str], etag: str | None, modified: datetime | None
) -> None:
    outcome = evaluate(method, headers, etag, modified)
    if outcome is NOT_MODIFIED:
        assert method in {"GET", "HEAD"}
    for value in headers.values():
        if if_range_matches(value, etag, modified):
            assert value.strip(" \t") in {ETAG, SAME}
