"""JSON: an array of objects, or one object to a line (NDJSON, JSON Lines).

Columns are the keys, in the order in which they first occur. Values keep their type: a string that
looks like a number stays a string; true and false are 1 and 0; objects and arrays are JSON text.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from .base import (
    MAX_COLUMNS,
    MAX_RECORD,
    ImportFormat,
    ImportProblem,
    ReadOptions,
    Table,
    check_name,
)
from .characters import BAD, Characters
from .delimited import HEAD
from .types import as_float

_PIECE = 64 * 1024
_SPACE = " \t\r\n"
#: Halves of characters, which JSON can write and no text has.
_HALVES = re.compile("[\ud800-\udfff]")
#: Characters of a number that surely has no digit too many, and a size that no float comes near.
_FEW, _PLAIN = 17, 1e-300


def _number(text: str) -> float | str:
    """What a float does not hold to its last digit stays a text."""
    if len(text) <= _FEW and _PLAIN < abs(number := float(text)) < 1 / _PLAIN:
        return number
    exact = as_float(text)
    return text if exact is None else exact


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        again = next(name for name in made if names.count(name) > 1)
        raise ImportProblem(f"has {again[:50]!r} twice in one object; rename or remove one")
    return made


#: NaN and Infinity are no JSON, but are written; as text they stay what they are.
_DECODER = json.JSONDecoder(parse_constant=str, parse_float=_number, object_pairs_hook=_object)


class _Json(ImportFormat):
    options = ("encoding", "errors")

    def read(self, stream: BinaryIO, options: ReadOptions) -> Table:
        buffered = io.BufferedReader(stream, HEAD)  # type: ignore[type-var]
        characters = Characters(buffered, options, buffered.peek(HEAD)[:HEAD])
        columns: dict[str, int] = {}
        names: list[str] = []
        rows = _rows(self.values(characters.text), columns, names, characters)
        first = next(rows, None)
        if first is None or not names:
            raise ImportProblem("There are no objects in the file; each has to be a row")
        return Table(names, _after(first, rows), found={"encoding": characters.encoding})

    def values(self, text: io.TextIOWrapper) -> Iterator[Any]:
        """Each value that is to be a row."""
        raise NotImplementedError


def _after(first: list[Any], rows: Iterator[list[Any]]) -> Iterator[list[Any]]:
    yield first
    yield from rows


def _rows(
    values: Iterator[Any], columns: dict[str, int], names: list[str], characters: Characters
) -> Iterator[list[Any]]:
    number = 0
    for number, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise ImportProblem("is no object; each has to be {name: value, …}", number)
        characters.guard.since = 0
        row: list[Any] = [None] * len(names)
        for key, cell in value.items():
            index = columns.get(key)
            if index is None:
                index = _add(key, columns, names, number)
                row += [None] * (len(names) - len(row))
            if row[index] is not None and cell is not None:
                raise ImportProblem(
                    "has two values for one column: names that differ by capitals or spaces alone"
                    " are one; rename one of them",
                    number,
                    names[index],
                )
            if cell is not None:
                row[index] = _scalar(cell)
        yield characters.check_row(row, number, names)


def _add(key: str, columns: dict[str, int], names: list[str], number: int) -> int:
    """The index of a key that is new: keys that SQLite does not tell apart share a column."""
    name = " ".join(key.split())
    if _HALVES.search(name) or "\x00" in name:
        raise ImportProblem(
            "has a name that is no text; mend the file, or choose another encoding", number
        )
    check_name(name, number)
    lower = name.lower() or "column"
    for index, other in enumerate(names):
        if other.lower() == lower:
            columns[key] = index
            return index
    if len(names) >= MAX_COLUMNS:
        raise ImportProblem(f"a table has at most {MAX_COLUMNS:,} columns", number)
    names.append(name or "column")
    columns[key] = len(names) - 1
    return columns[key]


def _scalar(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and not value.isprintable():
        # \ud83d on its own is JSON, and no character: as bytes that are none.
        return _HALVES.sub(BAD, value)
    return value


class JsonLines(_Json):
    """One object to a line."""

    name = "ndjson"
    label = "JSON lines"
    extensions = (".ndjson", ".jsonl")
    content_types = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")

    def values(self, text: io.TextIOWrapper) -> Iterator[Any]:
        row = 0
        for line in text:
            if not line.strip():
                continue
            row += 1
            yield _decoded(line, row)


def _decoded(line: str, row: int) -> Any:
    try:
        return _DECODER.decode(line)
    except ImportProblem as problem:
        problem.row = row
        raise
    except (ValueError, RecursionError) as error:
        raise ImportProblem(f"is no JSON ({_reason(error, 0)}); mend the file", row) from None


def _reason(error: Exception, start: int) -> str:
    """What is wrong with a value that begins at ``start``, and where in it."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg}, at character {error.pos - start + 1:,} of the row"
    return str(error)


class JsonArray(_Json):
    """An array of objects."""

    name = "json"
    label = "JSON"
    extensions = (".json",)
    content_types = ("application/json",)

    def values(self, text: io.TextIOWrapper) -> Iterator[Any]:
        buffer = text.read(_PIECE).lstrip(_SPACE)
        if not buffer.startswith("["):
            raise ImportProblem("The file is no array of objects: it has to begin with [")
        row = 0
        buffer, position = _skip_space(text, buffer, 1)
        while row or buffer[position] != "]":
            row += 1
            if buffer[position] in ",]":
                raise ImportProblem("is missing: there is a comma too many; mend the file", row)
            value, buffer, position = _next_value(text, buffer, position, row)
            yield value
            buffer, position = _skip_space(text, buffer, position)
            if buffer[position] == "]":
                break
            if buffer[position] != ",":
                raise ImportProblem("is not followed by a comma or ]; mend the file", row)
            buffer, position = _skip_space(text, buffer, position + 1)
        _check_end(text, buffer[position + 1 :], row)


def _check_end(text: io.TextIOWrapper, rest: str, row: int) -> None:
    """That nothing follows the array: rows of another would be lost."""
    while not rest.strip(_SPACE):
        rest = text.read(_PIECE)
        if not rest:
            return
    raise ImportProblem("The file goes on after its array; save it as one array", row + 1)


def _skip_space(text: io.TextIOWrapper, buffer: str, position: int) -> tuple[str, int]:
    """Move to the next character that is no space, reading on where the buffer ends."""
    while True:
        while position < len(buffer) and buffer[position] in _SPACE:
            position += 1
        if position < len(buffer):
            return buffer, position
        buffer, position = text.read(_PIECE), 0
        if not buffer:
            raise ImportProblem("The file ends within its array; it may be cut short")


def _next_value(
    text: io.TextIOWrapper, buffer: str, position: int, row: int
) -> tuple[Any, str, int]:
    piece = _PIECE
    while True:
        try:
            value, end = _DECODER.raw_decode(buffer, position)
            if end < len(buffer):  # else a number may go on
                return value, buffer, end
            problem = "it is cut short"
        except ImportProblem as error:
            error.row = row
            raise
        except (ValueError, RecursionError) as error:
            problem = _reason(error, position)
        if len(buffer) - position > MAX_RECORD:
            raise ImportProblem(f"is no JSON, or larger than {MAX_RECORD:,} characters", row)
        more = text.read(piece)
        if not more:
            raise ImportProblem(f"is no JSON ({problem}); mend the file", row)
        # Twice as much each time: a large value is tried a few times only.
        buffer, position, piece = buffer[position:] + more, 0, piece * 2
