"""JSON in pieces: the objects of an array, of an array within an object, or one after another.

Holds one value at a time, of at most ``MAX_RECORD`` characters. Leaves out how the objects become
rows (jsons.py).
"""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Iterator
from typing import Any

from .base import MAX_LISTED_NAME, MAX_RECORD, ImportProblem
from .types import as_float

_PIECE = 64 * 1024
#: A file that begins with an object is parsed as a whole if it has at most this many characters.
_MAX_WHOLE = 4 * 1024 * 1024
#: Most objects around an array of rows.
_MAX_DEPTH = 4
#: White space; files that were joined may have a byte order mark in the middle, those of DOS a
#: Ctrl-Z at the end, and JSON text sequences a record separator before each value (RFC 7464).
SPACE = " \t\r\n\ufeff\x1a\x1e"
#: Names of the lists, in a document, of the columns and of the rows as arrays.
_COLUMNS, _ROWS = ("columns", "fields", "header", "headers"), ("rows", "data", "values")
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


def rows_of(
    cursor: Cursor, member: str | None, found: dict[str, Any], members: list[str]
) -> Iterator[Any]:
    """Yield the values that become rows; the caller checks that they are objects.

    In an object, these are in the array that ``member`` names, for example ``response.results``,
    else in the longest. If there are several arrays, their paths are added to ``members``, and the
    chosen one to ``found``.
    """
    first = cursor.peek()
    if first == "[":
        row = 0
        names: list[Any] | None = None
        for value in _array(cursor):
            row += 1
            if row == 1 and isinstance(value, list):
                names = _names(value, row)
            else:
                yield value if names is None else _named(names, value, row)
        _check_end(cursor, row)
        return
    if first != "{":
        raise ImportProblem("The file is no array of objects: it has to begin with [ or {")
    whole = cursor.whole()
    if whole is None:
        yield from _Wrapped(cursor, member).rows()
    elif not cursor.peek():
        yield from _of_document(whole, member, found, members)
    else:
        yield whole
        row = 1
        while cursor.peek():
            row += 1
            yield cursor.value(row)


def _array(cursor: Cursor) -> Iterator[Any]:
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


def _check_end(cursor: Cursor, row: int) -> None:
    """Raise ImportProblem if anything follows: the rows of a second array would be lost."""
    if cursor.peek():
        raise ImportProblem("The file goes on after its array; save it as one array", row + 1)


def _of_document(
    document: dict[str, Any], member: str | None, found: dict[str, Any], members: list[str]
) -> Iterator[Any]:
    """Yield the rows of a file that is one object: those of an array in it, else the object."""
    lists = _lists(document)
    if member is None and not lists and (arrays := _rows_of_arrays(document)) is not None:
        yield from arrays
        return
    if member is not None and member not in lists:
        raise ImportProblem(f"The file holds no list {member[:100]!r}; choose one of its lists")
    if lists:
        longest = max(lists, key=lambda path: len(lists[path]))
        if len(lists) > 1:
            members += lists
            found["member"] = member or longest
        yield from lists[member or longest]
    elif [] not in document.values() and any(map(_is_scalar, document.values())):
        yield document
    elif any(document.values()):
        raise ImportProblem("The file is an object without an array of objects: there are no rows")


def _rows_of_arrays(document: dict[str, Any]) -> Iterator[Any] | None:
    """Return the rows of a document with a list of columns and one of arrays; None for others."""
    names = next((document[key] for key in _COLUMNS if isinstance(document.get(key), list)), None)
    rows = next((document[key] for key in _ROWS if isinstance(document.get(key), list)), None)
    if names is None or not rows or not isinstance(rows[0], list):
        return None
    checked = _names(names, 0)
    return (_named(checked, value, row) for row, value in enumerate(rows, 1))


def _names(values: list[Any], row: int) -> list[str]:
    """Return the columns that an array names. Raises ImportProblem."""
    if not values or not all(isinstance(value, str) for value in values):
        raise ImportProblem("is an array; the first array has to name the columns, as texts", row)
    if len(set(values)) < len(values):
        raise ImportProblem("names a column twice; rename one of them", row)
    return values


def _named(names: list[str], value: Any, row: int) -> Any:
    if not isinstance(value, list):
        return value
    if len(value) > len(names):
        message = f"has {len(value):,} values; there are only {len(names):,} columns"
        raise ImportProblem(message, row)
    return dict(zip(names, value, strict=False))


def _is_scalar(value: Any) -> bool:
    return not isinstance(value, dict | list)


def _lists(document: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the arrays of objects in an object, by their paths, the outer ones first."""
    lists: dict[str, list[Any]] = {}
    waiting = deque([("", document, 1)])
    while waiting:
        path, value, depth = waiting.popleft()
        for key, inner in value.items():
            if isinstance(inner, dict) and depth < _MAX_DEPTH:
                waiting.append((f"{path}{key}."[:MAX_LISTED_NAME], inner, depth + 1))
            elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
                lists.setdefault(f"{path}{key}"[:MAX_LISTED_NAME], inner)
    return lists


class _Wrapped:
    """The array of objects in an object that is too large for memory."""

    def __init__(self, cursor: Cursor, member: str | None) -> None:
        self._cursor = cursor
        self._member = member
        #: The path of the array whose objects are the rows.
        self._taken: str | None = None
        self._row = 0

    def rows(self) -> Iterator[Any]:
        yield from self._object("", 1)
        if self._taken is None and self._member is not None:
            raise ImportProblem(f"The file holds no list {self._member[:100]!r}")
        _check_end(self._cursor, self._row)

    def _object(self, path: str, depth: int) -> Iterator[Any]:
        """Walk through the object that begins here, and yield the rows in it."""
        cursor, any_yet = self._cursor, False
        cursor.step()
        while cursor.inside() != "}":
            if any_yet:
                self._step_over(",")
            if cursor.inside() != '"':
                raise ImportProblem("The file is no JSON: a name is missing; mend the file")
            key = f"{path}{cursor.value(None)}"[:MAX_LISTED_NAME]
            self._step_over(":")
            begins = cursor.inside()
            if begins == "{" and depth < _MAX_DEPTH:
                yield from self._object(f"{key}.", depth + 1)
            elif begins == "[":
                yield from self._list(key)
            else:
                cursor.value(None)
            any_yet = True
        cursor.step()

    def _step_over(self, wanted: str) -> None:
        if self._cursor.inside() != wanted:
            raise ImportProblem(f"The file is no JSON: {wanted!r} is missing; mend the file")
        self._cursor.step()

    def _list(self, path: str) -> Iterator[Any]:
        """Yield the values of the array that begins here if they are the rows; else skip them."""
        takes = False
        for number, value in enumerate(_array(self._cursor)):
            if number == 0 and isinstance(value, dict) and self._member in (None, path):
                if self._taken is not None:
                    raise ImportProblem(
                        f"The file holds several lists, {self._taken[:100]!r} and {path[:100]!r};"
                        " choose one by its name (member)"
                    )
                self._taken, takes = path, True
            if takes:
                self._row += 1
                yield value
