"""A set of integers in little memory: a bit each where they lie close together, as keys do."""

from __future__ import annotations

from collections.abc import Iterable

#: One part of the set holds 2 ** 16 numbers; the bits of a number that tell its place there, and
#: the part's bytes.
_SHIFT = 16
_PLACES = (1 << _SHIFT) - 1
_BYTES = (_PLACES + 1) // 8


class Numbers:
    """A set of integers. A million keys in a row take 125 KB."""

    def __init__(self) -> None:
        self._parts: dict[int, bytearray] = {}

    def update(self, numbers: Iterable[int]) -> None:
        """Add numbers."""
        parts = self._parts
        for number in numbers:
            bits = parts.get(number >> _SHIFT)
            if bits is None:
                bits = parts[number >> _SHIFT] = bytearray(_BYTES)
            bits[(number & _PLACES) >> 3] |= 1 << (number & 7)

    def without(self, numbers: Iterable[int]) -> list[int]:
        """Those of the numbers that are not in the set."""
        parts, none = self._parts, bytes(_BYTES)
        return [
            number
            for number in numbers
            if not parts.get(number >> _SHIFT, none)[(number & _PLACES) >> 3] & 1 << (number & 7)
        ]
