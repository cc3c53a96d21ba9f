"""The form of an import: its fields as a request and back, and how the file is read in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from ..db.imports import ImportRequest
from ..errors import FilesError, Invalid
from ..formats.base import ImportFormat
from ..formats.delimited import DELIMITERS
from ..imports.first_rows import Preview
from ..naming import plain

#: Columns that the form offers choices for.
MAX_COLUMNS = 200
#: Fields of the form: four for each column, and the rest.
MAX_FIELDS = 5 * MAX_COLUMNS
_DELIMITER_NAMES = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_QUOTES = {"double": '"', "single": "'", "none": ""}
#: Fields that say how the file is read.
_READING = frozenset(
    ("format", "member", "encoding", "errors", "delimiter", "quote", "header", "skip", "extra")
)
_PLAIN = ("encoding", "errors", "extra", "member")


def reading(values: Mapping[str, str]) -> dict[str, Any]:
    """The reading options in the fields of a form or a query. Raises Invalid."""
    read: dict[str, Any] = {name: values[name] for name in _PLAIN if values.get(name)}
    if delimiter := values.get("delimiter_own") or values.get("delimiter"):
        read["delimiter"] = _DELIMITER_NAMES.get(delimiter, delimiter)
    if quote := values.get("quote"):
        read["quote"] = _QUOTES.get(quote, quote)
    if header := values.get("header"):
        if header not in ("0", "1"):
            raise Invalid("header must be 1 or 0", field="header")
        read["header"] = header == "1"
    if skip := values.get("skip"):
        if not re.fullmatch("[0-9]{1,4}", skip):
            raise Invalid("skip must be a number", field="skip")
        read["skip"] = int(skip)
    if first := values.get("first_row"):
        if not re.fullmatch("[1-9][0-9]{0,3}", first):
            raise Invalid("first_row must be a number from 1", field="skip")
        read["skip"] = int(first) - 1
    return read


def request_of(values: Mapping[str, str]) -> ImportRequest:
    """The import that a form describes. ``column_3`` names the column of ``type_3``, ``index_3``.

    Raises Invalid.
    """
    for name in ("table_name", "database_name"):
        if not values.get(name):
            raise Invalid(f"{name} is missing; send it as a field of the form", field=name)
    columns = {
        name.removeprefix("column_"): column
        for name, column in values.items()
        if name.startswith("column_")
    }

    def chosen(prefix: str) -> list[str]:
        return [column for number, column in columns.items() if values.get(f"{prefix}_{number}")]

    return ImportRequest(
        database=values["database_name"],
        table=values["table_name"],
        mode=values.get("mode") or "create",
        format=values.get("format") or None,
        read=reading(values),
        types={
            column: values[f"type_{number}"]
            for number, column in columns.items()
            if values.get(f"type_{number}")
        },
        key=values.get("primary_key") or None,
        indexes=chosen("index"),
        search=chosen("search"),
        removes=values.get("removes") == "1",
    )


def is_unfolded(values: Mapping[str, str], made: Preview, error: FilesError | None) -> bool:
    """Tell whether the choices of how the file is read are open: somebody looks at them now."""
    if error is not None:
        return error.field in _READING
    return bool(made.problem or made.found.get("guessed") or _READING & values.keys())


def reading_line(
    formats: Iterable[ImportFormat], made: Preview, read: Mapping[str, Any], options: Iterable[str]
) -> str:
    """How the file is read, such as ``CSV, UTF-8, comma, first row names the columns``."""
    parts = [next((one.label for one in formats if one.name == made.format), made.format)]
    if read.get("member"):
        parts.append(plain(str(read["member"])))
    if "encoding" in options and (encoding := read.get("encoding")):
        parts.append(encoding.upper() if encoding.startswith("utf") else encoding.capitalize())
    if "delimiter" in options and (delimiter := read.get("delimiter")):
        parts.append(DELIMITERS.get(delimiter, f"delimiter {delimiter}"))
    if "header" in options and "header" in read:
        row = f"row {read['skip'] + 1}" if read.get("skip") else "first row"
        parts.append(f"{row} names the columns" if read["header"] else f"{row} holds values")
    return ", ".join(parts)


def query_of(request: ImportRequest) -> str:
    """The query that opens the preview with this request, except for its choices by column."""
    names = {mark: name for name, mark in _QUOTES.items()}
    read = {**request.read}
    if "quote" in read:
        read["quote"] = names.get(read["quote"], read["quote"])
    if "header" in read:
        read["header"] = str(int(read["header"]))
    values = {
        **{"table_name": request.table, "database_name": request.database, "mode": request.mode},
        **{"format": request.format, "primary_key": request.key, **read},
    }
    return urlencode({name: value for name, value in values.items() if value not in (None, "")})
