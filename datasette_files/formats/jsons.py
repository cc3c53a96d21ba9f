"""JSON: an array of objects, alone or within an object; or one object after the other (NDJSON).

Columns are the keys, in the order in which they first occur. Values keep their type: a string that
looks like a number stays a string; true and false are 1 and 0; objects and arrays are JSON text.
Leaves out where the rows are (json_document.py), and the parsing in pieces (json_stream.py).
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any, BinaryIO

from .base import MAX_COLUMNS, ImportFormat, ImportProblem, ReadOptions, Table, check_name, composed
from .characters import BAD, Characters
from .delimited import HEAD
from .json_document import rows_of
from .json_stream import SPACE, Cursor, decoded

#: An object with a name, or an array of objects or arrays, after a mark or white space.
_BEGINS = re.compile(rb'(?:\xef\xbb\xbf)?[\s\x1e]*(?:\{\s*"|\{\s*\}|\[\s*[\[{])')
#: Lone surrogates: JSON can write them, but they are not characters.
_HALVES = re.compile("[\ud800-\udfff]")


class _Names:
    """The columns found until now. Keys that are equal for SQLite share a column."""

    def __init__(self) -> None:
        self.names: list[str] = []
        #: Columns by exact spelling of the key; limited, as a file may spell keys in many ways.
        self._known: dict[str, int] = {}
        self._by_lower: dict[str, int] = {}

    def index(self, key: str, number: int) -> int:
        """Return the column of a key, and add it if it is new. Raises ImportProblem."""
        index = self._known.get(key)
        return self._add(key, number) if index is None else index

    def _add(self, key: str, number: int) -> int:
        name = composed(" ".join(key.split()))
        if _HALVES.search(name) or "\x00" in name:
            raise ImportProblem(
                "has a name that is no text; mend the file, or choose another encoding", number
            )
        check_name(name, number)
        index = self._by_lower.setdefault(name.lower() or "column", len(self.names))
        if index == len(self.names):
            if index >= MAX_COLUMNS:
                raise ImportProblem(f"a table has at most {MAX_COLUMNS:,} columns", number)
            self.names.append(name or "column")
        if len(self._known) < 4 * MAX_COLUMNS:
            self._known[key] = index
        return index


class _Json(ImportFormat):
    options = ("encoding", "errors")

    def read(self, stream: BinaryIO, options: ReadOptions) -> Table:
        buffered = io.BufferedReader(stream, HEAD)  # type: ignore[type-var]
        head = buffered.peek(HEAD)[:HEAD]
        characters = Characters(buffered, options, head, whole=len(head) < HEAD)
        members: list[str] = []
        found = dict(characters.found)
        names = _Names()
        rows = _rows(self.values(characters.text, options, found, members), names, characters)
        # Empty objects may come first: they are rows of NULLs.
        try:
            empty, first = 0, next(rows, None)
            while first is not None and not names.names:
                empty, first = empty + 1, next(rows, None)
            if first is None:
                raise ImportProblem("There are no objects in the file; each has to be a row")
        except ImportProblem as problem:
            problem.members = members
            raise
        return Table(
            names.names, chain(repeat([], empty), [first], rows), found=found, members=members
        )

    def values(
        self,
        text: io.TextIOWrapper,
        options: ReadOptions,
        found: dict[str, Any],
        members: list[str],
    ) -> Iterator[Any]:
        """Yield the values that become rows; add a choice of lists to ``found`` and ``members``."""
        raise NotImplementedError


def _rows(values: Iterator[Any], names: _Names, characters: Characters) -> Iterator[list[Any]]:
    for number, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise ImportProblem("is no object; each has to be {name: value, …}", number)
        characters.guard.since = 0
        row: list[Any] = [None] * len(names.names)
        odd = False
        for key, cell in value.items():
            index = names.index(key, number)
            if index == len(row):
                row.append(None)
            if row[index] is not None and cell is not None:
                raise ImportProblem(
                    "has two values for one column: names that differ by capitals or spaces alone"
                    " are one; rename one of them",
                    number,
                    names.names[index],
                )
            if cell is not None:
                row[index] = made = _scalar(cell)
                odd = odd or (isinstance(made, str) and (BAD in made or "\x00" in made))
        # Most rows have nothing to check; a wide, mostly empty row would take time.
        yield characters.check_row(row, number, names.names) if odd else row


def _scalar(value: Any) -> Any:
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and not value.isprintable():
        # A lone \ud83d is valid JSON but not a character; it is handled as an undecodable byte.
        return _HALVES.sub(BAD, value)
    return value


class JsonLines(_Json):
    """One object per line. A file that begins with an array is read as an array."""

    name = "ndjson"
    label = "JSON lines"
    extensions = (".ndjson", ".jsonl")
    content_types = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")

    def values(
        self,
        text: io.TextIOWrapper,
        options: ReadOptions,
        found: dict[str, Any],
        members: list[str],
    ) -> Iterator[Any]:
        row = 0
        for line in text:
            if not line.strip(SPACE):
                continue
            row += 1
            if row == 1 and line.lstrip(SPACE).startswith("["):
                yield from rows_of(Cursor(text, line), None, found, members)
                return
            yield decoded(line.strip(SPACE), row)


def begins_json(head: bytes) -> bool:
    """Tell whether a file that begins so is JSON with rows, whatever its name."""
    return _BEGINS.match(head) is not None


class JsonArray(_Json):
    """An array of objects; or an object that holds one; or objects one after the other."""

    name = "json"
    label = "JSON"
    extensions = (".json",)
    content_types = ("application/json",)

    def values(
        self,
        text: io.TextIOWrapper,
        options: ReadOptions,
        found: dict[str, Any],
        members: list[str],
    ) -> Iterator[Any]:
        return rows_of(Cursor(text), options.member, found, members)
