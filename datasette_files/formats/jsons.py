"""JSON: an array of objects, or one object to a line (NDJSON, JSON Lines).

Columns are the keys, in the order in which they first occur. Values keep their type: a string that
looks like a number stays a string; true and false are 1 and 0; objects and arrays are JSON text.
"""

from __future__ import annotations

import io
import json
import math
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

_PIECE = 64 * 1024
_SPACE = " \t\r\n"
#: Halves of characters, which JSON can write and no text has.
_HALVES = re.compile("[\ud800-\udfff]")


def _number(text: str) -> float | str:
    """What a float cannot hold stays a text."""
    number = float(text)
    return number if math.isfinite(number) else text


#: NaN and Infinity are no JSON, but are written; as text they stay what they are.
_DECODER = json.JSONDecoder(parse_constant=str, parse_float=_number)


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
    except (ValueError, RecursionError) as error:
        raise ImportProblem(f"is no JSON ({error}); mend the file", row) from None


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
        position, row = 1, 0
        while True:
            buffer, position = _skip(text, buffer, position, _SPACE + "," * bool(row))
            if buffer[position : position + 1] == "]":
                _check_end(text, buffer[position + 1 :], row)
                return
            row += 1
            value, buffer, position = _next_value(text, buffer, position, row)
            yield value


def _check_end(text: io.TextIOWrapper, rest: str, row: int) -> None:
    """That nothing follows the array: rows of another would be lost."""
    while not rest.strip(_SPACE):
        rest = text.read(_PIECE)
        if not rest:
            return
    raise ImportProblem("The file goes on after its array; save it as one array", row + 1)


def _skip(text: io.TextIOWrapper, buffer: str, position: int, what: str) -> tuple[str, int]:
    """Move to the next character that is none of ``what``, reading on where the buffer ends."""
    while True:
        while position < len(buffer) and buffer[position] in what:
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
        except (ValueError, RecursionError) as error:
            problem = str(error)
        if len(buffer) - position > MAX_RECORD:
            raise ImportProblem(f"is no JSON, or larger than {MAX_RECORD:,} characters", row)
        more = text.read(piece)
        if not more:
            raise ImportProblem(f"is no JSON ({problem}); mend the file", row)
        # Twice as much each time: a large value is tried a few times only.
        buffer, position, piece = buffer[position:] + more, 0, piece * 2
