"""JSON in pieces: reads one value of a text at a time, of at most ``MAX_RECORD`` characters.

Leaves out which values are rows (json_document.py).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

from .base import MAX_RECORD, ImportProblem
from .types import as_float

_PIECE = 64 * 1024
#: A file that begins with an object is parsed as a whole if it has at most this many characters.
_MAX_WHOLE = 4 * 1024 * 1024
#: White space; files that were joined may have a byte order mark in the middle, those of DOS a
#: Ctrl-Z at the end, and JSON text sequences a record separator before each value (RFC 7464).
SPACE = " \t\r\n\ufeff\x1a\x1e"
#: A float of at most 17 characters, between 1e-300 and 1e300, needs no exact check.
_SAFE_LENGTH, _SAFE_SIZE = 17, 1e-300


def _number(text: str) -> float | str:
    """Return the float, or the text if a float cannot hold all of its digits."""
    if len(text) <= _SAFE_LENGTH and _SAFE_SIZE < abs(number := float(text)) < 1 / _SAFE_SIZE:
        return number
    exact = as_float(text)
    return text if exact is None else exact


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ImportProblem(f"has {_again(pairs)[:50]!r} twice in one object; rename or remove one")
    return made


def _again(pairs: list[tuple[str, Any]]) -> str:
    """Return the first name that is repeated."""
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return name
        seen.add(name)
    raise AssertionError("no name is there twice")


#: NaN and Infinity are not JSON, but files have them; they become text.
_DECODER = json.JSONDecoder(parse_constant=str, parse_float=_number, object_pairs_hook=_object)


def decoded(line: str, row: int) -> Any:
    """Return the value of a line. Raises ImportProblem."""
    try:
        return _DECODER.decode(line)
    except ImportProblem as problem:
        problem.row = row
        raise
    except (ValueError, RecursionError) as error:
        raise ImportProblem(f"is no JSON ({_reason(error, 0)}); mend the file", row) from None


def _reason(error: Exception, start: int) -> str:
    """Describe an error in a value that begins at ``start``, with its position in the value."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, at character {error.pos - start + 1:,} of the row"
    return str(error)


class Cursor:
    """A position in a text, from which values are read."""

    def __init__(self, text: io.TextIOWrapper, begun: str = "") -> None:
        self._text = text
        self._buffer = begun
        self._position = 0

    def peek(self) -> str:
        """Move to the next character that is not white space and return it; empty at the end."""
        while True:
            while self._position < len(self._buffer):
                if self._buffer[self._position] not in SPACE:
                    return self._buffer[self._position]
                self._position += 1
            self._buffer, self._position = self._text.read(_PIECE), 0
            if not self._buffer:
                return ""

    def inside(self) -> str:
        """Do the same within an array or object. Raises ImportProblem if the file ends."""
        found = self.peek()
        if not found:
            raise ImportProblem("The file is cut short: its array does not end; upload it again")
        return found

    def step(self) -> None:
        """Move past the current character."""
        self._position += 1

    def value(self, row: int | None) -> Any:
        """Read the value that begins here, and move past it. Raises ImportProblem."""
        try:
            return self._value(MAX_RECORD)
        except ImportProblem as problem:
            problem.row = row
            raise

    def whole(self) -> Any:
        """Read the value that begins here; return None, and do not move, if it is long or wrong."""
        try:
            return self._value(_MAX_WHOLE)
        except ImportProblem:
            return None

    def _value(self, most: int) -> Any:
        piece = _PIECE
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._position)
                # At the end of the buffer a number may be incomplete.
                if end < len(self._buffer) or self._buffer[end - 1] in '}]"':
                    self._position = end
                    return value
                problem = "it is cut short"
            except (ValueError, RecursionError) as error:
                problem = _reason(error, self._position)
            if len(self._buffer) - self._position > most:
                raise ImportProblem(f"is no JSON, or larger than {most:,} characters")
            more = self._text.read(piece)
            if not more:
                raise ImportProblem(f"is no JSON ({problem}); mend the file")
            # Doubling the piece keeps the number of attempts at a large value small.
            self._buffer = self._buffer[self._position :] + more
            self._position, piece = 0, piece * 2


def array(cursor: Cursor) -> Iterator[Any]:
    """Yield the values of the array that begins here."""
    cursor.step()
    row = 0
    while row or cursor.inside() != "]":
        row += 1
        if cursor.inside() in ",]":
            raise ImportProblem("is missing: there is a comma too many; mend the file", row)
        yield cursor.value(row)
        if cursor.inside() == "]":
            break
        if cursor.inside() != ",":
            raise ImportProblem("is not followed by a comma or ]; mend the file", row)
        cursor.step()
    cursor.step()


def check_end(cursor: Cursor, row: int) -> None:
    """Raise ImportProblem if anything follows: the rows of a second array would be lost."""
    if cursor.peek():
        raise ImportProblem("The file goes on after its array; save it as one array", row + 1)
