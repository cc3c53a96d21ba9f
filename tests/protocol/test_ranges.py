"""Ranges: RFC 9110 section 14, by example and against a model that works byte by byte."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.protocol.ranges import (
    MAX_HEADER_LENGTH,
    MAX_SPECS,
    ByteRange,
    ByteRanges,
    RangeNotSatisfiable,
    content_range,
    parse_range,
    unsatisfied_range,
)


def pairs(header: str | None, size: int) -> list[tuple[int, int]] | None:
    ranges = parse_range(header, size)
    return None if ranges is None else [(item.start, item.end) for item in ranges]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-499", [(0, 500)]),
        ("bytes=9500-", [(9500, 10000)]),
        ("bytes=-500", [(9500, 10000)]),
        ("bytes=-20000", [(0, 10000)]),
        ("bytes=9999-20000", [(9999, 10000)]),
        ("BYTES=1-2", [(1, 3)]),
        ("bytes= 1-2 , , 5-6,", [(1, 3), (5, 7)]),
        ("bytes=-1,0-0", [(9999, 10000), (0, 1)]),
        ("bytes=000000000000000000000000001-2", [(1, 3)]),
        ("bytes=0-99999999999999999999999999999", [(0, 10000)]),
    ],
)
def test_satisfiable_ranges(header: str, expected: list[tuple[int, int]]) -> None:
    assert pairs(header, 10000) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-4,5-9", [(0, 10)]),
        ("bytes=50-59,0-4,2-9", [(50, 60), (0, 10)]),
        ("bytes=0-4,50-59,2-9", [(0, 10), (50, 60)]),
        ("bytes=50-59,90-94,40-49,80-91", [(40, 60), (80, 95)]),
        ("bytes=0-,0-,0-,0-", [(0, 100)]),
    ],
)
def test_ranges_that_overlap_or_touch_become_one(
    header: str, expected: list[tuple[int, int]]
) -> None:
    assert pairs(header, 100) == expected


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=5",
        "bytes=5-4",
        "bytes=0-1,5-4",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes=1 - 2",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=١-٢",
        "bytes 0-1",
        "items=0-1",
        "bytes=" + ",".join(f"{n * 2}-{n * 2}" for n in range(MAX_SPECS + 1)),
        "bytes=0-1" + " " * MAX_HEADER_LENGTH,
    ],
)
def test_fields_that_are_ignored(header: str | None) -> None:
    assert parse_range(header, 10000) is None


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ("bytes=100-", 100),
        ("bytes=100-200,-0", 100),
        ("bytes=-0", 100),
        ("bytes=0-0", 0),
        ("bytes=1-", 0),
    ],
)
def test_ranges_that_cannot_be_satisfied(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as raised:
        parse_range(header, size)
    assert raised.value.size == size
    assert str(size) in str(raised.value)


def test_the_last_bytes_of_an_empty_file_are_the_whole_file() -> None:
    assert parse_range("bytes=-5", 0) is None
    assert parse_range("bytes=0-", 0) is None
    with pytest.raises(RangeNotSatisfiable):
        parse_range("bytes=-00", 0)


def test_as_many_specs_as_allowed_are_answered() -> None:
    header = "bytes=" + ",".join(f"{n * 2}-{n * 2}" for n in range(MAX_SPECS))
    assert len(parse_range(header, 10000) or []) == MAX_SPECS


def test_absurd_numbers_are_read_without_being_converted() -> None:
    # int() refuses more digits than sys.get_int_max_str_digits(), which may be as low as 640.
    assert pairs("bytes=0-" + "9" * 4000, 10) == [(0, 10)]
    assert pairs("bytes=-" + "9" * 4000, 10) == [(0, 10)]
    with pytest.raises(RangeNotSatisfiable):
        parse_range("bytes=" + "9" * 4000 + "-", 10)
    assert parse_range("bytes=0-" + "9" * 1_000_000, 10) is None


def test_content_range() -> None:
    assert content_range(ByteRange(0, 500), 1234) == "bytes 0-499/1234"
    assert unsatisfied_range(1234) == "bytes */1234"
    assert ByteRange(3, 10).length == 7


specs = st.one_of(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    st.integers(0, 40).map(lambda first: f"{first}-"),
    st.integers(0, 40).map(lambda suffix: f"-{suffix}"),
)


def requested_bytes(spec: str, size: int) -> set[int]:
    first, last = spec.split("-")
    if not first:
        return set(range(size)[-int(last) :]) if int(last) else set()
    return set(range(size)[int(first) : int(last) + 1 if last else None])


@given(st.lists(specs, min_size=1, max_size=8), st.integers(0, 32))
def test_ranges_hold_exactly_the_bytes_asked_for(members: list[str], size: int) -> None:
    header = "bytes=" + ",".join(members)
    invalid = any(
        first and last and int(last) < int(first)
        for first, last in (spec.split("-") for spec in members)
    )
    wanted = set().union(*(requested_bytes(spec, size) for spec in members))
    try:
        ranges = parse_range(header, size)
    except RangeNotSatisfiable:
        assert not wanted and not invalid
        return
    if ranges is None:
        assert invalid or size == 0
        return
    given_bytes = [position for item in ranges for position in range(item.start, item.end)]
    assert len(given_bytes) == len(set(given_bytes))
    assert set(given_bytes) == wanted
    assert all(0 <= item.start < item.end <= size for item in ranges)
    edges = sorted((item.start, item.end) for item in ranges)
    assert all(left[1] < right[0] for left, right in pairwise(edges))


@given(
    st.one_of(st.text(), st.text("bytes=-,0123456789 \t"), st.text("0-,9").map("bytes=".__add__)),
    st.integers(0, 2**63),
)
def test_any_text_is_answered(header: str, size: int) -> None:
    try:
        ranges = parse_range(header, size)
    except RangeNotSatisfiable as error:
        assert error.size == size
    else:
        assert ranges is None or all(item.length > 0 for item in ranges)


def test_multipart_byteranges() -> None:
    body = ByteRanges([ByteRange(0, 2), ByteRange(5, 6)], "text/plain", 10, boundary="B")
    assert body.content_type == "multipart/byteranges; boundary=B"
    assert body.parts == [
        (
            b"--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n",
            ByteRange(0, 2),
        ),
        (
            b"\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-5/10\r\n\r\n",
            ByteRange(5, 6),
        ),
    ]
    assert body.closing == b"\r\n--B--\r\n"


@given(st.binary(min_size=1, max_size=200), st.lists(specs, min_size=1, max_size=5), st.text())
def test_multipart_byteranges_state_their_length(
    data: bytes, members: list[str], content_type: str
) -> None:
    try:
        ranges = parse_range("bytes=" + ",".join(members), len(data))
    except RangeNotSatisfiable:
        return
    framing = ByteRanges(ranges or [], content_type, len(data))
    body = b"".join(header + data[item.start : item.end] for header, item in framing.parts)
    body += framing.closing
    assert len(body) == framing.content_length
    for header, _ in framing.parts:
        assert header.strip().count(b"\r\n") == 2  # no content type adds a line


def test_boundaries_differ_in_all_but_length() -> None:
    first, second = (ByteRanges([ByteRange(0, 1)], "text/plain", 1) for _ in range(2))
    assert first.boundary != second.boundary
    assert first.content_length == second.content_length


@pytest.mark.parametrize("content_type", ["text/html\r\nX-Evil: 1", "text/plain\n", "", "é"])
def test_a_content_type_cannot_add_a_header(content_type: str) -> None:
    framing = ByteRanges([ByteRange(0, 1)], content_type, 1)
    assert b"Content-Type: application/octet-stream\r\n" in framing.parts[0][0]
