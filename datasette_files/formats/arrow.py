"""The values of an Arrow array as those of an import: the rules that parquet.py tells.

Imported in the import's process alone, as it needs pyarrow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pyarrow
from pyarrow import types

#: Most digits of a decimal number that a float, and an integer of 64 bits, hold exactly.
_FLOAT_DIGITS, _INTEGER_DIGITS = 15, 18
#: Digits of the fraction of a second, by the unit.
_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
_UNIX_EPOCH = date(1970, 1, 1).toordinal()
_DAY_SECONDS = 24 * 3600
_DAY_MILLISECONDS = _DAY_SECONDS * 1000

_Values = list[Any]


def values(array: Any) -> _Values:
    """The values of a column as Python's. Raises ArrowException, UnicodeDecodeError."""
    array = _plain(array)
    if types.is_nested(array.type):
        return [
            None if value is None else json.dumps(_for_json(value), ensure_ascii=False)
            for value in _nested(array)
        ]
    return _flat(array)


def is_text(array: Any) -> bool:
    """Tell whether the values are text or bytes of any length: JSON is text too."""
    kind = _plain(array).type
    plain = types.is_primitive(kind) or types.is_null(kind) or types.is_decimal(kind)
    return not (plain or types.is_boolean(kind))


def _plain(array: Any) -> Any:
    """Without dictionaries and extensions, of which UUIDs become text."""
    if types.is_dictionary(array.type):
        return _plain(array.dictionary_decode())
    if isinstance(array.type, pyarrow.BaseExtensionType):
        if array.type.extension_name == "arrow.uuid":
            ids = array.storage.to_pylist()
            return pyarrow.array([one if one is None else str(UUID(bytes=one)) for one in ids])
        return _plain(array.storage)
    return array


def _flat(array: Any) -> _Values:
    """The values of a type without parts."""
    kind = array.type
    if types.is_temporal(kind) and not types.is_interval(kind):
        return _each(_moment(kind), _numbers(array))
    if types.is_decimal(kind):
        return _each(_decimal(kind), array.to_pylist())
    if types.is_float16(kind):
        array = array.cast(pyarrow.float32())
    values: _Values = array.to_pylist()
    if types.is_floating(kind):
        return [value if value is None or not math.isnan(value) else None for value in values]
    return values


def _each(function: Callable[[Any], Any], values: _Values) -> _Values:
    return [None if value is None else function(value) for value in values]


def _numbers(array: Any) -> _Values:
    """Times as the integers that the file holds."""
    numbers: _Values = array.cast(
        pyarrow.int32() if array.type.bit_width == 32 else pyarrow.int64()
    ).to_pylist()
    return numbers


def _decimal(kind: Any) -> Callable[[Any], Any]:
    if kind.scale <= 0 and kind.precision - kind.scale <= _INTEGER_DIGITS:
        return int
    if kind.precision <= _FLOAT_DIGITS and kind.scale > 0:
        return float
    return "{:f}".format


def _moment(kind: Any) -> Callable[[int], Any]:
    """How a number of a temporal type is written."""
    if types.is_date32(kind):
        return _date
    if types.is_date64(kind):
        return lambda number: _date(number // _DAY_MILLISECONDS)
    digits = _DIGITS[kind.unit]
    if types.is_time(kind):
        return lambda number: _time(number, digits)
    if types.is_duration(kind):
        return lambda number: _duration(number, digits)
    zone = "+00:00" if kind.tz else ""
    return lambda number: _timestamp(number, digits, zone)


def _date(days: int) -> str | int:
    try:
        return date.fromordinal(_UNIX_EPOCH + days).isoformat()
    except (ValueError, OverflowError):
        return days


def _time(number: int, digits: int) -> str:
    seconds, rest = divmod(number, 10**digits)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{_rest(rest, digits)}"


def _rest(rest: int, digits: int) -> str:
    """The fraction of a second: none, or six digits, or nine."""
    nanoseconds = rest * 10 ** (9 - digits)
    if not nanoseconds:
        return ""
    return f".{nanoseconds:09}" if nanoseconds % 1000 else f".{nanoseconds // 1000:06}"


def _timestamp(number: int, digits: int, zone: str) -> str | int:
    days, rest = divmod(number, _DAY_SECONDS * 10**digits)
    day = _date(days)
    return number if isinstance(day, int) else f"{day} {_time(rest, digits)}{zone}"


def _duration(number: int, digits: int) -> str:
    sign, number = ("-", -number) if number < 0 else ("", number)
    seconds, rest = divmod(number, 10**digits)
    span = timedelta(seconds=seconds % 3600)
    return f"{sign}{seconds // 3600}:{str(span)[2:]}{_rest(rest, digits)}"


def _nested(array: Any) -> _Values:
    """Lists, structs and maps as Python's; their innermost values as ``_flat`` makes them."""
    array = _plain(array)
    kind = array.type
    if not types.is_nested(kind):
        return _flat(array)
    there = array.is_valid().to_pylist()
    if types.is_struct(kind):
        names = [field.name for field in kind]
        # ``flatten`` keeps the array's own bounds, unlike ``field``.
        parts = [_nested(part) for part in array.flatten()]
        rows = zip(*parts, strict=True) if parts else [()] * len(array)
        return [
            dict(zip(names, row, strict=True)) if valid else None
            for row, valid in zip(rows, there, strict=True)
        ]
    starts = _starts(array)
    first, last = starts[0], starts[-1]
    if types.is_map(kind):
        keys, items = (
            _nested(part.slice(first, last - first)) for part in (array.keys, array.items)
        )
        inner: _Values = list(zip(keys, items, strict=True))
        shape: Callable[[_Values], Any] = dict if types.is_string(kind.key_type) else _pairs
    else:
        inner, shape = _nested(array.values.slice(first, last - first)), list
    cut = [shape(inner[begin - first : end - first]) for begin, end in pairwise(starts)]
    return [one if valid else None for one, valid in zip(cut, there, strict=True)]


def _starts(array: Any) -> list[int]:
    """Where each list begins among the values of all, and where the last one ends."""
    if types.is_fixed_size_list(array.type):
        size = array.type.list_size
        return [(array.offset + number) * size for number in range(len(array) + 1)]
    starts: list[int] = array.offsets.to_pylist()
    return starts


def _pairs(items: _Values) -> _Values:
    """A map whose keys are no text, which JSON does not have."""
    return [list(pair) for pair in items]


def _for_json(value: Any) -> Any:
    """The value, with bytes and infinities in a spelling that JSON has."""
    if isinstance(value, dict):
        return {name: _for_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_for_json(one) for one in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return value
