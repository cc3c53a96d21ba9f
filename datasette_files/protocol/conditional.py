"""Conditional requests: entity tags, HTTP dates and preconditions (RFC 9110 sections 8.8 and 13).

Left out: choosing a file's entity tag, and answering; the caller turns an `Outcome` into 304 or
412. Preconditions are evaluated only for a representation that exists; a missing one is a 404
before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from enum import Enum

_ENTITY_TAG = re.compile(r'(?P<weak>W/)?"(?P<opaque>[\x21\x23-\x7e\x80-\xff]*)"')
_LIST_SEPARATOR = re.compile(r"[ \t]*(?:,[ \t]*)+")

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_SHORT_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
_DATE_FORMATS = (
    # IMF-fixdate, and the two obsolete forms a recipient must accept: RFC 850 and asctime.
    re.compile(rf"{_SHORT_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"),
    re.compile(rf"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"),
    re.compile(rf"{_SHORT_DAY} {_MONTH} (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
)


class Outcome(Enum):
    """The result of a request's preconditions."""

    PROCEED = "proceed"
    NOT_MODIFIED = "not modified"
    PRECONDITION_FAILED = "precondition failed"


PROCEED = Outcome.PROCEED
NOT_MODIFIED = Outcome.NOT_MODIFIED
PRECONDITION_FAILED = Outcome.PRECONDITION_FAILED


@dataclass(frozen=True)
class EntityTag:
    """An entity tag (RFC 9110 section 8.8.3): its opaque part without quotes, and whether weak."""

    opaque: str
    weak: bool = False

    def __str__(self) -> str:
        return f'{"W/" if self.weak else ""}"{self.opaque}"'

    def matches_strongly(self, other: EntityTag) -> bool:
        """Say whether both are strong and equal (RFC 9110 section 8.8.3.2)."""
        return not self.weak and not other.weak and self.opaque == other.opaque

    def matches_weakly(self, other: EntityTag) -> bool:
        """Say whether the opaque parts are equal, weak or not (RFC 9110 section 8.8.3.2)."""
        return self.opaque == other.opaque


def parse_entity_tag(text: str | None) -> EntityTag | None:
    """Return the entity tag that `text` is, quotes included, or None when it is not one."""
    match = _ENTITY_TAG.fullmatch(text.strip(" \t")) if text is not None else None
    return None if match is None else EntityTag(match["opaque"], match["weak"] is not None)


def parse_entity_tags(header: str) -> list[EntityTag]:
    """Return the members of an entity-tag list, as in `If-Match` and `If-None-Match`.

    Reading stops before the first text that is no entity tag.
    """
    tags: list[EntityTag] = []
    text = header.strip(" \t,")
    position = 0
    while match := _ENTITY_TAG.match(text, position):
        tags.append(EntityTag(match["opaque"], match["weak"] is not None))
        separator = _LIST_SEPARATOR.match(text, match.end())
        if separator is None:
            break
        position = separator.end()
    return tags


def evaluate(
    method: str, headers: Mapping[str, str], etag: str | None, last_modified: datetime | None
) -> Outcome:
    """Judge the preconditions of a request in the order of RFC 9110 section 13.2.2.

    `headers` has lower-case names. `etag` is the entity tag of the current representation with its
    quotes; None, or one that is malformed, matches nothing but `*`. `last_modified` is its date, to
    the second, read as UTC when naive; without one the conditions on dates are ignored, and so they
    are when the date they carry is malformed. `NOT_MODIFIED` is for GET and HEAD only.
    """
    is_read = method.upper() in {"GET", "HEAD"}
    current = parse_entity_tag(etag)
    modified = None if last_modified is None else _whole_seconds(last_modified)

    if (if_match := headers.get("if-match")) is not None:
        if not _any_match(if_match, current, strongly=True):
            return PRECONDITION_FAILED
    elif _is_after(modified, headers.get("if-unmodified-since")) is True:
        return PRECONDITION_FAILED

    if (if_none_match := headers.get("if-none-match")) is not None:
        if _any_match(if_none_match, current, strongly=False):
            return NOT_MODIFIED if is_read else PRECONDITION_FAILED
    elif is_read and _is_after(modified, headers.get("if-modified-since")) is False:
        return NOT_MODIFIED
    return PROCEED


def if_range_matches(header: str | None, etag: str | None, last_modified: datetime | None) -> bool:
    """Say whether `Range` may be applied, given `If-Range` (RFC 9110 section 13.1.5).

    True without the field. Entity tags are compared strongly, a date must equal `last_modified`
    exactly, to the second; anything else is False, and the whole representation is to be sent.
    """
    if header is None:
        return True
    wanted = parse_entity_tag(header)
    if wanted is not None:
        current = parse_entity_tag(etag)
        return current is not None and wanted.matches_strongly(current)
    date = parse_http_date(header)
    return date is not None and last_modified is not None and date == _whole_seconds(last_modified)


def http_date(moment: datetime) -> str:
    """Return an IMF-fixdate (RFC 9110 section 5.6.7); a naive `moment` is read as UTC.

    Raises `OverflowError` when the moment lies outside the years 1 to 9999 in UTC.
    """
    return format_datetime(_whole_seconds(moment).astimezone(timezone.utc), usegmt=True)


def parse_http_date(text: str | None) -> datetime | None:
    """Return the moment, in UTC, of an HTTP date in any of its forms (RFC 9110 section 5.6.7).

    None for anything else, and for dates no calendar has. The name of the day is not checked.
    """
    if text is None:
        return None
    for date_format in _DATE_FORMATS:
        match = date_format.fullmatch(text.strip(" \t"))
        if match is not None:
            break
    else:
        return None
    try:
        return datetime(
            _full_year(match["year"]),
            _MONTHS.index(match["month"]) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            # The protocol allows a leap second, which datetime does not know.
            59 if match["second"] == "60" else int(match["second"]),
            tzinfo=timezone.utc,
        )
    except ValueError:
        return None


def _full_year(digits: str) -> int:
    """Read a year; one of two digits is never more than 50 years ahead (RFC 9110 section 5.6.7)."""
    if len(digits) == 4:
        return int(digits)
    latest = (datetime.now(timezone.utc) + timedelta(days=50 * 365.25)).year
    return latest - (latest - int(digits)) % 100


def _whole_seconds(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.replace(microsecond=0)


def _is_after(modified: datetime | None, header: str | None) -> bool | None:
    """Say whether `modified` is later than a field's date; None when the two do not compare."""
    date = parse_http_date(header)
    return None if modified is None or date is None else modified > date


def _any_match(header: str, current: EntityTag | None, *, strongly: bool) -> bool:
    if header.strip(" \t") == "*":
        return True  # a representation exists, whatever its tag
    if current is None:
        return False
    compare = current.matches_strongly if strongly else current.matches_weakly
    return any(compare(tag) for tag in parse_entity_tags(header))
