"""The rows in a JSON document: an array, an array within an object, or objects one after another.

Leaves out the parsing in pieces (json_stream.py), and how the objects become rows (jsons.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

from .base import MAX_COLUMNS, MAX_LISTED_NAME, ImportProblem
from .json_stream import Cursor, array, check_end

#: Most objects around an array of rows.
_MAX_DEPTH = 4
#: Names of the lists, in a document, of the columns and of the rows as arrays; and of those that
#: describe the rows, or the answer that holds them.
_COLUMNS, _ROWS = ("columns", "fields", "header", "headers", "cols"), ("rows", "data", "values")
_ABOUT = (*_COLUMNS, "links", "errors", "warnings", "messages", "facets", "aggregations")
#: Names, in the description of a column, of its name.
_NAME = ("name", "id", "key", "field", "title", "label")


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
        for value in array(cursor):
            row += 1
            if row == 1 and isinstance(value, list):
                names = _names(value, row)
            else:
                yield value if names is None else _named(names, value, row)
        check_end(cursor, row)
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


def _of_document(
    document: dict[str, Any], member: str | None, found: dict[str, Any], members: list[str]
) -> Iterator[Any]:
    """Yield the rows of a file that is one object: those of an array in it, else the object."""
    lists = _lists(document)
    if member is None and all(map(_describes, lists)) and (rows := _arrays(document)):
        if names := _columns(document, lists):
            yield from (_named(names, value, row) for row, value in enumerate(rows, 1))
            return
        if lists:
            raise ImportProblem(
                "The rows are arrays, and no list names their columns; add one named columns"
            )
    if member is not None and member not in lists:
        raise ImportProblem(f"The file holds no list {member[:100]!r}; choose one of its lists")
    if lists:
        likely = [path for path in lists if not _describes(path)] or lists
        longest = max(likely, key=lambda path: len(lists[path]))
        if len(lists) > 1:
            members += lists
            found["member"] = member or longest
        yield from lists[member or longest]
    elif [] not in document.values() and any(map(_is_scalar, document.values())):
        yield document
    elif any(document.values()):
        raise ImportProblem("The file is an object without an array of objects: there are no rows")


def _describes(path: str) -> bool:
    """Tell whether a list, by its name, describes the rows that are in another."""
    return path.rpartition(".")[2].lower() in _ABOUT


def _arrays(document: dict[str, Any]) -> list[Any] | None:
    """Return the list of rows as arrays, if the document has one."""
    for key in _ROWS:
        rows = document.get(key)
        if isinstance(rows, list) and rows and isinstance(rows[0], list):
            return rows
    return None


def _columns(document: dict[str, Any], lists: dict[str, list[Any]]) -> list[str]:
    """Return the columns that a list in the document names; none if there is no list."""
    described = [one for path, one in lists.items() if path.rpartition(".")[2] in _COLUMNS]
    for listed in (*(document.get(key) for key in _COLUMNS), *described):
        if isinstance(listed, list) and (names := _described(listed)):
            return _names(names, 0)
    return []


def _described(columns: list[Any]) -> list[Any]:
    """Return the names in a list of columns, each a text or an object with a name."""
    if not columns or not isinstance(columns[0], dict):
        return columns
    key = next((key for key in _NAME if isinstance(columns[0].get(key), str)), None)
    return [one.get(key) if isinstance(one, dict) else None for one in columns] if key else []


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
        #: The path of a list that describes the rows, and the columns that it names.
        self._about: str | None = None
        self._columns: list[Any] = []
        self._row = 0

    def rows(self) -> Iterator[Any]:
        yield from self._object("", 1)
        if self._taken is None and self._member is not None:
            raise ImportProblem(f"The file holds no list {self._member[:100]!r}")
        if self._taken is None and self._about is not None:
            raise ImportProblem(
                f"The file holds no list of rows after {self._about[:100]!r}, which describes"
                " them; if that is the list of rows, choose it by its name (member)"
            )
        check_end(self._cursor, self._row)

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
        values, last = array(self._cursor), path.rpartition(".")[2]
        if self._member is None and last in _COLUMNS:
            self._about = path
            self._columns = _described(list(islice(values, MAX_COLUMNS + 1)))
            deque(values, maxlen=0)
            return
        names: list[str] | None = None
        for number, value in enumerate(values):
            if number == 0 and self._are_rows(path, value):
                if self._taken is not None:
                    raise ImportProblem(
                        f"The file holds several lists, {self._taken[:100]!r} and {path[:100]!r};"
                        " choose one by its name (member)"
                    )
                self._taken = path
                names = _names(self._columns, 0) if isinstance(value, list) else None
            if self._taken == path:
                self._row += 1
                yield value if names is None else _named(names, value, self._row)

    def _are_rows(self, path: str, first: Any) -> bool:
        """Tell whether a list that begins so holds the rows."""
        if isinstance(first, list):
            return bool(self._columns) and path.rpartition(".")[2] in _ROWS
        return isinstance(first, dict) and self._member in (None, path)
