"""Checks of an import's request that need neither the file nor the table."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

from ..db.imports import IMPORT_MODES, ImportRequest
from ..errors import Invalid
from ..formats.base import composed
from ..formats.characters import ENCODINGS
from ..formats.types import TYPES
from ..naming import storable
from ..tables.content import STAGING_PREFIX

#: Characters of a table's name.
_MAX_NAME = 200
#: Rows in which the header must be (formats/dialect.py).
_MAX_SKIPPED = 20


def checked(request: ImportRequest) -> ImportRequest:
    """Return the request if its values are valid. Raises Invalid."""
    name = request.table
    if request.mode not in IMPORT_MODES:
        raise Invalid(
            f"There is no mode {request.mode!r}; there are: {', '.join(IMPORT_MODES)}", field="mode"
        )
    if not name.strip() or len(name) > _MAX_NAME or not _is_text(name):
        raise Invalid(
            f"table_name must be a name of 1 to {_MAX_NAME} characters", field="table_name"
        )
    if re.match("(?i)sqlite_", name):
        raise Invalid(
            "Names that begin with sqlite_ are SQLite's own; choose another", field="table_name"
        )
    if name.startswith(STAGING_PREFIX):
        raise Invalid(
            f"Names that begin with {STAGING_PREFIX} are reserved; choose another",
            field="table_name",
        )
    check_reading(request.read)
    for column, kind in request.types.items():
        if kind not in TYPES:
            raise Invalid(
                f"There is no type {kind!r} for {column!r}; there are: {', '.join(TYPES)}"
            )
    if request.removes and request.mode not in ("merge", "compare"):
        raise Invalid("Only a merge removes rows; choose the mode merge, or leave removes out")
    return request


def check_reading(read: dict[str, Any]) -> None:
    """Raise Invalid for a reading option that has an unknown value."""
    if (encoding := read.get("encoding")) is not None and encoding not in ENCODINGS:
        raise Invalid(
            f"There is no encoding {encoding!r}; there are: {', '.join(ENCODINGS)}",
            field="encoding",
        )
    if read.get("errors", "strict") not in ("strict", "replace"):
        raise Invalid("errors must be strict or replace", field="errors")
    if read.get("extra", "error") not in ("error", "drop"):
        raise Invalid("extra must be error or drop", field="extra")
    if (skip := read.get("skip")) is not None and not 0 <= skip < _MAX_SKIPPED:
        raise Invalid(f"skip must be a number from 0 to {_MAX_SKIPPED - 1}", field="skip")
    for name in ("delimiter", "quote"):
        value = read.get(name)
        if value and (len(value) > 1 or value in "\r\n\x00" or not _is_text(value)):
            raise Invalid(f"{name} must be one character, and no line break", field=name)
    if read.get("delimiter") and read.get("delimiter") == read.get("quote", '"'):
        raise Invalid("delimiter and quote must be different characters", field="delimiter")


def _is_text(text: str) -> bool:
    return storable(text) and "\x00" not in text


def stem(filename: str) -> str:
    """Return a file's name without extensions; composed, as some systems write accents apart."""
    name = Path(filename).name
    for _ in range(2):
        end = Path(name).suffix
        if end and end[1:].isalnum():
            name = name.removesuffix(end)
    return composed(name)


def table_name(filename: str) -> str:
    """Make a table's name of a file's: without extensions, in lower case, without spaces."""
    # A vowel sign is part of its word.
    kept = "".join(c if _is_in_word(c) else " " for c in stem(filename))
    return "_".join(kept.split()).strip("_").lower()[:_MAX_NAME] or "imported"


def _is_in_word(character: str) -> bool:
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
