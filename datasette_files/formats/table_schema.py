"""The Table Schema of a bundle's rows (Data Package, specs.frictionlessdata.io/table-schema).

Holds what a table needs to come back: names, types, primary key, and which columns hold files; no
SQL. Leaves out the cells (bag_csv.py) and the table (tables/).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import Invalid
from . import bag_csv
from .bag_csv import KINDS, MAX_CELLS

#: Bytes.
MAX_SCHEMA = 4 * 1024 * 1024
#: The types of a column in SQLite that a bundle may ask for (sqlite.org/datatype3.html, 3.1).
TYPES = ("INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC")
_MAX_NAME = 1000
#: Table Schema's type and format of each kind of cell.
_TYPES = {
    "integer": ("integer", "default"),
    "number": ("number", "default"),
    "text": ("string", "default"),
    "binary": ("string", "binary"),
    "json": ("any", "default"),
}


@dataclass(frozen=True)
class Field:
    """A column. ``kind`` as in bag_csv, ``type`` one of ``TYPES``."""

    name: str
    kind: str
    type: str
    #: ``file`` or ``files`` with its config, if the column holds files.
    column_type: str | None = None
    config: dict[str, Any] | None = None


@dataclass(frozen=True)
class TableSchema:
    """A table in a bundle."""

    database: str
    table: str
    fields: tuple[Field, ...]
    #: The columns of the primary key.
    key: tuple[str, ...]
    #: The cell that is NULL.
    null: str

    @property
    def file_columns(self) -> dict[int, str]:
        """The column type of each column that holds files, by its number."""
        return {
            number: field.column_type
            for number, field in enumerate(self.fields)
            if field.column_type is not None
        }

    def cells(self, values: Sequence[bag_csv.Value]) -> list[str]:
        """A row as the cells of data/rows.csv. Raises Invalid for a value that is too long."""
        pairs = zip(values, self.fields, strict=True)
        return [bag_csv.encode(value, field.kind, self.null) for value, field in pairs]

    def as_json(self) -> str:
        described: dict[str, Any] = {
            "fields": [_field_json(field) for field in self.fields],
            "missingValues": [self.null],
            "datasette": {"database": self.database, "table": self.table},
        }
        if self.key:
            described["primaryKey"] = list(self.key)
        return json.dumps(described, indent=2) + "\n"


def _field_json(field: Field) -> dict[str, Any]:
    type_, format_ = _TYPES[field.kind]
    own: dict[str, Any] = {"kind": field.kind, "sqlite_type": field.type}
    if field.column_type is not None:
        own |= {"column_type": field.column_type, "config": field.config}
    return {"name": field.name, "type": type_, "format": format_, "datasette": own}


def parse(content: bytes) -> TableSchema:
    """A schema of ``as_json``. Raises Invalid for any other JSON."""
    try:
        found = json.loads(content)
        own = found["datasette"]
        key = tuple(found.get("primaryKey", ()))
        (null,) = found["missingValues"]
        fields = tuple(_field(one) for one in found["fields"])
        schema = TableSchema(_name(own["database"]), _name(own["table"]), fields, key, null)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Invalid(f"The schema of the bundle's rows cannot be read ({error})") from None
    names = [field.name.lower() for field in fields]
    if not 0 < len(fields) <= MAX_CELLS or len(set(names)) < len(names):
        raise Invalid("The schema of the rows names no columns, or one twice; bundle again")
    if not isinstance(null, str):
        raise Invalid("The schema of the rows has no text for NULL; bundle again")
    if not all(one in [field.name for field in fields] and key.count(one) == 1 for one in key):
        raise Invalid("The schema of the rows has a key of other columns; bundle again")
    return schema


def _field(described: dict[str, Any]) -> Field:
    own = described["datasette"]
    kind, type_ = own["kind"], own["sqlite_type"]
    column_type, config = own.get("column_type"), own.get("config")
    if kind not in KINDS or type_ not in TYPES or column_type not in (None, "file", "files"):
        raise ValueError(f"{kind!r}, {type_!r} or {column_type!r} is not allowed")
    if config is not None and not isinstance(config, dict):
        raise ValueError("a column's config is no object")
    return Field(_name(described["name"]), kind, type_, column_type, config)


def _name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or "\x00" in name:
        raise ValueError(f"{str(name)[:40]!r} is no name")
    name.encode()
    if name.lower().startswith("sqlite_"):
        raise ValueError("names that begin with sqlite_ are SQLite's own")
    return name
