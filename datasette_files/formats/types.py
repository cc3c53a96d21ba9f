"""Detection of each column's type from all of its values.

The rules. An integer is an optional minus and digits without leading zeros, within 64 bits. A
float is the same with a fraction, of which a float keeps every digit; the fraction does not end in
a zero, except ``.0``. A column of both is float if no integer has more than 15 digits, as a float
would change it. Empty cells are NULL in a column of numbers. Any other value (dates, nan, 007, +1,
1_000, 5E1, the 1.10 of a version or a price, numbers with spaces) makes the column text, and every
value keeps its spelling. If the target column already holds numbers, every spelling is accepted;
if these are integers, no exponent.

For speed, a batch is checked as one string: a join, a translate and a few counts. Only if these
cannot decide, each value is checked alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

INTEGER, FLOAT, TEXT, BLOB = "integer", "float", "text", "blob"
TYPES = (INTEGER, FLOAT, TEXT)

_DIGITS = b"0123456789"
_FLOAT = re.compile(
    r"-?(?P<number>(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?P<exponent>[eE][-+]?[0-9]+)?"
)
#: Zeros at the end of a fraction, which a float would lose.
_LAST_ZEROS = re.compile(rb"\.[0-9]+0,")
_MIN, _MAX = -(2**63), 2**63 - 1
#: Most digits of an integer that always is exact as a float, and that always fits 64 bits.
_EXACT_DIGITS, _SAFE_DIGITS = 15, 18
_SIGNIFICANT = 17
#: Characters of the longest integer; int() refuses thousands of digits.
_LONGEST = len(str(_MIN))


class Column:
    """The type of one column, after the batches read until now; None until it has a value."""

    def __init__(self, chosen: str | None = None, target: str | None = None) -> None:
        self.kind = chosen
        #: The kind of numbers that the target column holds, if any. Then 1.50 counts as a number,
        #: and 5E1 too unless these are integers.
        self.target = target
        #: True if the user chose the type; then a value of another type ends the import.
        self.chosen = chosen is not None
        #: True if some integer may be too long for an exact float.
        self.wide = False
        #: True if some values were stored as floats, so that their spelling is lost.
        self.floats = False
        #: True if the column became text after that; the file must be read again.
        self.surprised = False

    def take(self, values: Sequence[str | None]) -> Sequence[Any] | None:
        """Check a batch of texts; return the values to store, or None to store the texts."""
        if self.kind == TEXT:
            return None
        joined = ",".join([value or "" for value in values] if None in values else values)  # type: ignore[arg-type]
        size = len(values)
        if self.kind != FLOAT:
            verdict = _are_integers(joined, values, size)
            if verdict is not None:
                self.wide = self.wide or (verdict > _EXACT_DIGITS and _any_wide(values))
                if verdict:
                    self.kind = INTEGER
                return None
        floats = None if self.wide else _as_floats(joined, values, size, self.target)
        if floats is None:
            self.surprised = self.floats
            self.kind = TEXT
            return None
        self.kind, self.floats = FLOAT, True
        return floats


def _are_integers(joined: str, values: Sequence[str | None], size: int) -> int | None:
    """Return the length of the longest integer, 0 if all are empty; None if any is no integer."""
    try:
        text = b",%b," % joined.encode("ascii")
    except UnicodeEncodeError:
        return None
    rest = text.translate(None, _DIGITS)
    if len(rest) != size + 1 + rest.count(b"-") or rest.count(b",") != size + 1:
        return None
    signs = len(rest) - size - 1
    if signs and (text.count(b",-") != signs or b"-," in text or b"-0" in text):
        return None
    zeros = text.count(b",0")
    longest = max(map(len, filter(None, values)), default=0)
    if (zeros and zeros != _zeros_alone(text)) or longest > _LONGEST:
        return None
    if longest > _SAFE_DIGITS and not all(_MIN <= int(value) <= _MAX for value in values if value):
        return None
    return longest


def _zeros_alone(text: bytes) -> int:
    """Count the values ``0``. Commas are doubled because matches of ``count`` cannot overlap."""
    return text.replace(b",", b",,").count(b",0,")


def _any_wide(values: Sequence[str | None]) -> bool:
    return any(len(value.lstrip("-")) > _EXACT_DIGITS for value in values if value)


def _as_floats(
    joined: str, values: Sequence[str | None], size: int, target: str | None
) -> list[float | None] | None:
    """Return the floats; None if any value is neither empty nor an exact float."""
    if not joined.strip(","):
        return [None] * size
    if _is_plain(joined, values, size):
        try:
            if "" in values or None in values:
                return [float(value) if value else None for value in values]
            return list(map(float, values))  # type: ignore[arg-type]
        except ValueError:
            return None
    made: list[float | None] = []
    for value in values:
        number = as_float(value) if value else None
        if value and (number is None or not _is_taken(value, number, target)):
            return None
        made.append(number)
    return made


def _is_plain(joined: str, values: Sequence[str | None], size: int) -> bool:
    """Tell whether all values consist of digits, points and leading minuses in valid places."""
    try:
        text = b",%b," % joined.encode("ascii")
    except UnicodeEncodeError:
        return False
    rest = text.translate(None, _DIGITS + b".")
    signs = rest.count(b"-")
    if rest.count(b",") != size + 1 or len(rest) != size + 1 + signs:
        return False
    if signs and (text.count(b",-") != signs or text.count(b"-0") != text.count(b"-0.")):
        return False
    zeros = text.count(b",0")
    if zeros and zeros != text.count(b",0.") + _zeros_alone(text):
        return False
    # These are rare, so each value is checked alone.
    if b".," in text or b",." in text or b"-." in text or _LAST_ZEROS.search(text):
        return False
    # A value of at most 15 characters has at most 15 digits.
    return max(map(len, filter(None, values)), default=0) <= _EXACT_DIGITS


def _is_taken(text: str, number: float, target: str | None) -> bool:
    """Tell whether a text counts as a number in this target column."""
    if target is None or (target == INTEGER and "e" in text.lower()):
        return _is_kept(text, number)
    return True


def _is_kept(text: str, number: float) -> bool:
    """Tell whether a float keeps the spelling of a number; an added ``.0`` does not count."""
    whole, point, fraction = text.partition(".")
    if not text.lstrip("-").replace(".", "", 1).isdigit():
        return text == repr(number)  # an exponent
    spelled = (
        not point or fraction == "0" or bool(whole.strip("-") and fraction.rstrip("0") == fraction)
    )
    return spelled and _is_exact(text, number)


def _is_exact(text: str, number: float) -> bool:
    """Tell whether the float made of a number's text is written with the same value.

    A float keeps 15 digits of every number, and 16 or 17 of some (IEEE 754, binary64).
    """
    if len(text) <= _EXACT_DIGITS or (written := repr(number)) == text:
        return True
    return Decimal(written) == Decimal(text)


def as_float(text: str) -> float | None:
    """Return the number in a text by the rules above, or None."""
    match = _FLOAT.fullmatch(text)
    if match is None:
        return None
    whole = "." not in match["number"] and match["exponent"] is None
    digits = len(match["number"].replace(".", "").lstrip("0"))
    if digits > (_EXACT_DIGITS if whole else _SIGNIFICANT):
        return None
    number = float(text)
    # A number too small for a float would become 0.
    vanishes = digits and not number and match["number"].strip("0.")
    return number if math.isfinite(number) and not vanishes else None


def convert(value: str | None, kind: str) -> Any:
    """Convert a value to the type that the user chose. Raises ValueError.

    Accepts more than the detection does: leading zeros, a plus, spaces around.
    """
    if value is None or kind == TEXT:
        return value
    stripped = value.strip()
    if not stripped:
        return None
    if "_" in stripped or not stripped.isascii():
        raise ValueError(value)
    if kind == INTEGER:
        whole = int(stripped)
        if not _MIN <= whole <= _MAX:
            raise ValueError(value)
        return whole
    number = float(stripped)
    if not math.isfinite(number):
        raise ValueError(value)
    return number


class TypedColumn(Column):
    """A ``Column`` for values that already have types, as in JSON."""

    def take(self, values: Sequence[Any]) -> Sequence[Any] | None:
        made = None
        kinds = set(map(type, values))
        if bool in kinds:
            values = made = [int(value) if isinstance(value, bool) else value for value in values]
            kinds = set(map(type, values))
        if int in kinds and not all(
            _MIN <= value <= _MAX for value in values if isinstance(value, int)
        ):
            # An integer too big for SQLite becomes text, and so does the column.
            values = made = [
                str(v) if isinstance(v, int) and not _MIN <= v <= _MAX else v for v in values
            ]
            kinds.add(str)
        self._judge(kinds, values)
        if self.kind == TEXT and float in kinds:
            return [repr(value) if isinstance(value, float) else value for value in values]
        return made

    def _judge(self, kinds: set[type], values: Sequence[Any]) -> None:
        if self.kind == TEXT:
            return
        wide = int in kinds and any(abs(v) > 2**53 for v in values if isinstance(v, int))
        self.wide = self.wide or wide
        if bytes in kinds:
            self.kind = BLOB
        elif str in kinds or (self.wide and (float in kinds or self.floats)):
            self.surprised, self.kind = self.floats, TEXT
        elif float in kinds or self.floats:
            self.kind, self.floats = FLOAT, True
        elif int in kinds:
            self.kind = INTEGER
