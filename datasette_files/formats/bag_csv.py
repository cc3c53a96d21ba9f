"""The CSV of bundles (RFC 4180, UTF-8): cells that keep the types of SQLite, and a strict reader.

Unlike an import, which guesses (delimited.py), this reads only the form that it writes. Each column
has one kind, under which every value comes back as it was:

* ``integer``, ``number`` and ``text``: as they are written
* ``binary``: base64
* ``json``: JSON, for values of several types; a BLOB is ``{"base64": "…"}``

NULL is a marker that occurs in no text of the table; so it differs from an empty text.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import json
import re
from collections.abc import Iterable, Iterator

from ..errors import Invalid

Value = int | float | str | bytes | None

KINDS = ("integer", "number", "text", "binary", "json")
#: The first choice for NULL; the marker of mysqldump and of PostgreSQL's COPY.
NULL = "\\N"
#: Characters of one cell. It bounds the memory of a reader.
MAX_CELL = 64 * 1024 * 1024
#: SQLite's own bound on columns.
MAX_CELLS = 2000

_CELL = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r?\n)')
_INTEGER = re.compile(r"-?[0-9]{1,19}", re.ASCII)
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?", re.ASCII)
#: Infinity by its name in Table Schema.
_INFINITIES = {"INF": float("inf"), "-INF": float("-inf")}
_INT64 = 2**63


def encode(value: Value, kind: str, null: str) -> str:
    """A value as the text of a cell. Raises Invalid for a cell over ``MAX_CELL``."""
    if value is None:
        return null
    text = _json(value) if kind == "json" else _plain(value)
    if len(text) > MAX_CELL:
        raise Invalid(f"A value needs more than {MAX_CELL:,} characters; store it as a file")
    return text


def _plain(value: int | float | str | bytes) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float):
        return repr(value).upper() if value in _INFINITIES.values() else repr(value)
    return str(value)


def _json(value: int | float | str | bytes) -> str:
    if isinstance(value, bytes):
        return json.dumps({"base64": _plain(value)})
    if isinstance(value, float) and abs(value) == float("inf"):
        return "1e999" if value > 0 else "-1e999"
    return json.dumps(value)


def decode(text: str, kind: str, null: str) -> Value:
    """The value of a cell. Raises Invalid for a text that its kind does not have."""
    if text == null:
        return None
    try:
        match kind:
            case "text":
                return text
            case "integer":
                return _integer(text)
            case "number":
                return _number(text)
            case "binary":
                return base64.b64decode(text, validate=True)
        return _from_json(text)
    except (ValueError, RecursionError, binascii.Error):
        raise Invalid(f"The bundle's cell {text[:40]!r} is not of the kind {kind}") from None


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text) or not -_INT64 <= int(text) < _INT64:
        raise ValueError
    return int(text)


def _number(text: str) -> int | float:
    if text in _INFINITIES:
        return _INFINITIES[text]
    found = _NUMBER.fullmatch(text)
    if not found:
        raise ValueError
    return float(text) if found[1] or found[2] else _integer(text)


def _from_json(text: str) -> Value:
    value = json.loads(text)
    if isinstance(value, dict) and list(value) == ["base64"] and isinstance(value["base64"], str):
        return base64.b64decode(value["base64"], validate=True)
    match value:
        case str():
            value.encode()  # UnicodeEncodeError, a ValueError, for a lone surrogate
            return value
        case float():
            return value
    return _integer(text)


def read(chunks: Iterable[bytes]) -> Iterator[list[str]]:
    """The rows of a CSV file, its header too. Raises Invalid for anything but the form above."""
    row: list[str] = []
    buffer, wanted = "", 0
    for text, last in _decoded(chunks):
        buffer, position = buffer + text, 0
        # A cell that is not complete is tried again only when twice the text is there.
        if len(buffer) < wanted and not last:
            continue
        while found := _CELL.match(buffer, position):
            position = found.end()
            quoted, plain, end = found.groups()
            row.append(plain if quoted is None else quoted.replace('""', '"'))
            if len(row) > MAX_CELLS:
                raise Invalid(f"A row of the bundle has more than {MAX_CELLS:,} cells")
            if end != ",":
                yield row
                row = []
        buffer = buffer[position:]
        if len(buffer) > 2 * MAX_CELL:  # each character may be a doubled quote
            raise Invalid(f"A cell of the bundle has more than {MAX_CELL:,} characters")
        wanted = 2 * len(buffer)
    if row or buffer:
        raise Invalid("A CSV file of the bundle has another form; take a sound copy")


def _decoded(chunks: Iterable[bytes]) -> Iterator[tuple[str, bool]]:
    """The text of the chunks, and whether it is the last."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in chunks:
            yield decoder.decode(chunk), False
        yield decoder.decode(b"", final=True), True
    except UnicodeDecodeError:
        raise Invalid("A CSV file of the bundle is not UTF-8") from None
