"""The filter ``unreferenced=1`` of a source's list: its argument, its JSON, and ages in words."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

from ..columns.unreferenced import Unreferenced
from ..errors import Invalid
from ..models import FileRecord
from .http import Call

#: Units of an age, and their seconds.
_UNITS = (("year", 31_557_600), ("month", 2_629_800), ("day", 86_400), ("hour", 3_600))


def wanted(call: Call) -> bool:
    """Tell whether the list is to hold unreferenced files alone. Raises Invalid."""
    value = call.argument("unreferenced")
    if value not in (None, "0", "1"):
        raise Invalid("unreferenced must be 1 or 0")
    return value == "1"


def refuse(call: Call) -> None:
    """Raise Invalid where a list does not have the filter, rather than show every file."""
    if wanted(call):
        raise Invalid("unreferenced works in the list of one source; open it, and filter there")


def described(found: Unreferenced) -> dict[str, Any]:
    """What the search says of itself, beside the files."""
    return {
        "complete": found.complete,
        "not_searched": [asdict(one) for one in found.not_searched],
        "not_searched_others": found.not_searched_others,
    }


def age_of(file: FileRecord) -> int | None:
    """Seconds since the file was added; None if the catalog does not tell."""
    if file.modified is None:
        return None
    return max(0, int((datetime.now(timezone.utc) - file.modified).total_seconds()))


def in_words(seconds: int | None) -> str:
    """An age for people, in its largest unit."""
    for name, size in _UNITS:
        if seconds is not None and seconds >= size:
            number = seconds // size
            return f"{number} {name}{'' if number == 1 else 's'} old"
    return "new"
