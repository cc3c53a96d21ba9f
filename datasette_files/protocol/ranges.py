"""Byte ranges: `Range`, `Content-Range` and `multipart/byteranges` (RFC 9110 section 14).

Positions are bytes and half-open (`start` inclusive, `end` exclusive), as Python slices; the
inclusive numbers of the protocol exist only inside the strings made and read here. Left out:
whether a range may be applied at all, which `If-Range` decides (`conditional.py`), and reading the
bytes.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

MAX_HEADER_LENGTH = 4096
"""Longest `Range` field looked at, in characters; a longer one is ignored."""

MAX_SPECS = 50
"""Most range-specs answered in one request; a `Range` field with more is ignored."""

_RANGES_SPECIFIER = re.compile(r"[ \t]*bytes=(?P<specs>.*)", re.IGNORECASE | re.DOTALL)
_RANGE_SPEC = re.compile(r"(?P<first>[0-9]*)-(?P<last>[0-9]*)")
_SAFE_CONTENT_TYPE = re.compile(r"[\x20-\x7e]+")

# No file has this many bytes. Longer digit strings stand for it, so that their cost stays that of
# reading them and the interpreter's limit on int() is never met.
_BEYOND_ANY_FILE = 10**20


class RangeNotSatisfiable(Exception):
    """A valid `Range` of which no part lies within the representation: 416 (RFC 9110 15.5.17).

    `size` is the length of the representation in bytes, for `unsatisfied_range`.
    """

    def __init__(self, size: int) -> None:
        super().__init__(f"no requested range lies within the {size} bytes of the representation")
        self.size = size


@dataclass(frozen=True)
class ByteRange:
    """The bytes from `start` up to, not including, `end`; `parse_range` makes no empty ones."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """The number of bytes in the range."""
        return self.end - self.start


def parse_range(header: str | None, size: int) -> list[ByteRange] | None:
    """Return the ranges that a `Range` field asks of a representation of `size` bytes.

    The ranges are clamped to the representation, none is empty, and no two overlap or touch: those
    that did are coalesced into one, in the place of the first requested (RFC 9110 section
    15.3.7.1). Otherwise the requested order is kept, and unsatisfiable specs among satisfiable ones
    are dropped.

    None means that the field is to be ignored and the whole representation sent (section 14.2): it
    is absent, malformed, in another unit than bytes, over `MAX_HEADER_LENGTH` or `MAX_SPECS`, or
    asks for all or the last bytes of an empty representation, which `Content-Range` cannot
    describe: clients that always send `bytes=0-` get the empty file.

    Raises `RangeNotSatisfiable` when the field is valid and no spec in it is satisfiable.
    """
    if header is None or len(header) > MAX_HEADER_LENGTH:
        return None
    specifier = _RANGES_SPECIFIER.fullmatch(header)
    if specifier is None:
        return None
    # Empty list elements are legal and meaningless (section 5.6.1.2).
    members = [text for item in specifier["specs"].split(",") if (text := item.strip(" \t"))]
    if not members or len(members) > MAX_SPECS:
        return None
    ranges: list[ByteRange] = []
    for member in members:
        bounds = _spec_bounds(member, size)
        if bounds is None:
            return None
        ranges.append(bounds)
    satisfiable = [item for item in ranges if item.length > 0]
    if satisfiable:
        return _coalesce(satisfiable)
    if size == 0 and any(_asks_for_everything(member) for member in members):
        return None
    raise RangeNotSatisfiable(size)


def content_range(byte_range: ByteRange, size: int) -> str:
    """Return the `Content-Range` of a 206 for one range of `size` bytes (RFC 9110 section 14.4)."""
    return f"bytes {byte_range.start}-{byte_range.end - 1}/{size}"


def unsatisfied_range(size: int) -> str:
    """Return the `Content-Range` of a 416 for a representation of `size` bytes (section 14.4)."""
    return f"bytes */{size}"


class ByteRanges:
    """The framing of a `multipart/byteranges` body (RFC 9110 section 14.6).

    The body is, for each `(header, byte_range)` of `parts`, the header and then the bytes of the
    range; after the last comes `closing`. Its length, known before a byte is read, is
    `content_length`, and `content_type` is the type of the answer as a whole. A boundary that is
    not given is made of 128 random bits, so that no stored file can contain it by design; its
    length does not vary, so HEAD and GET state the same `Content-Length`.

    A `content_type` that cannot stand in a header field (line breaks, other than ASCII) is sent as
    `application/octet-stream`.
    """

    def __init__(
        self,
        ranges: Sequence[ByteRange],
        content_type: str,
        size: int,
        *,
        boundary: str | None = None,
    ) -> None:
        if not _SAFE_CONTENT_TYPE.fullmatch(content_type):
            content_type = "application/octet-stream"
        self.boundary = secrets.token_hex(16) if boundary is None else boundary
        self.content_type = f"multipart/byteranges; boundary={self.boundary}"
        self.parts: list[tuple[bytes, ByteRange]] = []
        line_break = ""  # the delimiter of the first part opens the body
        for item in ranges:
            header = (
                f"{line_break}--{self.boundary}\r\n"
                f"Content-Type: {content_type}\r\n"
                f"Content-Range: {content_range(item, size)}\r\n\r\n"
            )
            self.parts.append((header.encode("ascii"), item))
            line_break = "\r\n"
        self.closing = f"\r\n--{self.boundary}--\r\n".encode("ascii")
        self.content_length = len(self.closing) + sum(
            len(header) + item.length for header, item in self.parts
        )


def _spec_bounds(spec: str, size: int) -> ByteRange | None:
    """Return the bytes of one range-spec, empty when unsatisfiable, or None when it is invalid."""
    match = _RANGE_SPEC.fullmatch(spec)
    if match is None or spec == "-":
        return None
    if not match["first"]:
        return ByteRange(max(0, size - _position(match["last"])), size)
    first = _position(match["first"])
    last = _position(match["last"]) if match["last"] else _BEYOND_ANY_FILE
    if last < first:
        return None  # an invalid int-range spoils the whole field (RFC 9110 section 14.1.1)
    start = min(first, size)
    return ByteRange(start, max(start, min(last + 1, size)))


def _position(digits: str) -> int:
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= 20 else _BEYOND_ANY_FILE


def _asks_for_everything(spec: str) -> bool:
    """Say if a spec selects every byte of an empty representation: `0-`, or a suffix."""
    first, _, last = spec.partition("-")
    return last.strip("0") != "" if not first else first.strip("0") == "" and not last


def _coalesce(ranges: Sequence[ByteRange]) -> list[ByteRange]:
    """Merge ranges that overlap or touch, each merged one at the place of its first member."""
    merged: list[tuple[int, ByteRange]] = []
    for place, item in sorted(enumerate(ranges), key=lambda pair: (pair[1].start, pair[0])):
        if merged and item.start <= merged[-1][1].end:
            first_place, previous = merged[-1]
            joined = ByteRange(previous.start, max(previous.end, item.end))
            merged[-1] = (min(first_place, place), joined)
        else:
            merged.append((place, item))
    return [item for _, item in sorted(merged, key=lambda pair: pair[0])]
