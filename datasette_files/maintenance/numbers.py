"""A set of integers in little memory: a bit each where they lie close together, as keys do."""

from __future__ import annotations

#: Numbers of one part of the set, and its bytes.
_PART = 1 << 16
_BYTES = _PART // 8


class Numbers:
    """A set of integers. A million keys in a row take 125 KB."""

    def __init__(self) -> None:
        self._parts: dict[int, bytearray] = {}

    def add(self, number: int) -> None:
        part, place = divmod(number, _PART)
        bits = self._parts.get(part)
        if bits is None:
            bits = self._parts[part] = bytearray(_BYTES)
        bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, number: int) -> bool:
        part, place = divmod(number, _PART)
        bits = self._parts.get(part)
        return bits is not None and bool(bits[place >> 3] & 1 << (place & 7))
