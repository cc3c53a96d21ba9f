"""Rows as a bundle has them: values with their types, and the schema by which they come back.

They come from Datasette's JSON, row by row, and wait as lines of JSON: the kind of a column is
known only after its last value. Leaves out who reads them (rows.py), and bundles beside the
database, whose schema comes from SQL (tables/bundled.py).
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..formats import bag_csv
from ..formats.csv_line import line
from ..formats.table_schema import Field, TableSchema
from ..tables.bundled import TYPES, kind_of
from ..tables.target import Existing

#: The declared type of a column of a query, by the kind of its cells; BLOB converts no value.
_DECLARED = {"integer": "INTEGER", "number": "REAL", "text": "TEXT"}
_TYPES = {int: "integer", float: "real", str: "text", bytes: "blob"}


class TypedRows:
    """The rows of one table or query so far."""

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns
        self._lines = io.StringIO()
        self._types: list[set[str]] = [set() for _ in columns]
        self._with_nul: set[int] = set()
        self._with_null: set[int] = set()
        #: Texts that could be taken for NULL.
        self._nulls: set[str] = set()

    @property
    def length(self) -> int:
        """The characters of the rows."""
        return self._lines.tell()

    def write(self, row: Mapping[str, Any]) -> None:
        values = [_value(row.get(name)) for name in self._columns]
        for number, value in enumerate(values):
            if value is None:
                self._with_null.add(number)
                continue
            self._types[number].add(_TYPES[type(value)])
            if isinstance(value, str):
                if "\x00" in value:
                    self._with_nul.add(number)
                if value.startswith(bag_csv.NULL):
                    self._nulls.add(value)
        self._lines.write(json.dumps(values, default=_written) + "\n")

    def finish(
        self, database: str, name: str, table: Existing | None, files: Mapping[str, Any]
    ) -> tuple[TableSchema, bytes]:
        """The schema and the CSV. ``table``: the table that has the rows; None: a query.

        ``files``: type and config of each column that holds files. Columns that the table does
        not have, such as a rowid, are left out. Raises Invalid for a value that is too long.
        """
        chosen = [
            number
            for number, column in enumerate(self._columns)
            if table is None or column in table.columns
        ]
        names = _own_names([self._columns[number] for number in chosen])
        fields = tuple(
            self._field(number, own, table, files)
            for number, own in zip(chosen, names, strict=True)
        )
        null, number = bag_csv.NULL, 1
        while null in self._nulls:
            null, number = f"{bag_csv.NULL}{number}", number + 1
        key: tuple[str, ...] = ()
        if table is not None and table.keys:
            complete = {self._columns[one] for one in chosen if one not in self._with_null}
            key = tuple(table.keys) if complete.issuperset(table.keys) else ()
        schema = TableSchema(database, name, fields, key, null)
        return schema, b"".join(self._csv(schema, chosen))

    def _field(
        self, number: int, own: str, table: Existing | None, files: Mapping[str, Any]
    ) -> Field:
        column = self._columns[number]
        kind = kind_of(self._types[number], has_nul=number in self._with_nul)
        declared = _DECLARED.get(kind, "BLOB") if table is None else TYPES[table.columns[column]]
        return Field(own, kind, declared, *files.get(column, (None, None)))

    def _csv(self, schema: TableSchema, chosen: list[int]) -> Iterator[bytes]:
        buffer = io.StringIO(newline="")
        buffer.write(line(field.name for field in schema.fields))
        self._lines.seek(0)
        for written in self._lines:
            values = json.loads(written)
            cells = schema.cells([_value(values[number]) for number in chosen])
            buffer.write(line(cells))
            if buffer.tell() > 64 * 1024:
                yield buffer.getvalue().encode("utf-8", "replace")
                buffer.seek(0)
                buffer.truncate()
        yield buffer.getvalue().encode("utf-8", "replace")


def _value(value: Any) -> bag_csv.Value:
    """A value of a row, or of Datasette's JSON, in which a BLOB is an object."""
    if isinstance(value, dict) and value.get("$base64") is True:
        return base64.b64decode(value["encoded"])
    if value is None or type(value) in _TYPES:
        return value  # type: ignore[no-any-return]
    return json.dumps(value)


def _written(value: bytes) -> dict[str, Any]:
    """A BLOB as Datasette's JSON has it."""
    return {"$base64": True, "encoded": base64.b64encode(value).decode()}


def _own_names(columns: list[str]) -> list[str]:
    """Names that a table can have: none empty, SQLite's own, or equal but for the case."""
    taken: set[str] = set()
    names = []
    for number, column in enumerate(columns, 1):
        base = column or f"column_{number}"
        base = f"_{base}" if base.lower().startswith("sqlite_") else base
        name, again = base, 2
        while name.lower() in taken:
            name, again = f"{base}_{again}", again + 1
        taken.add(name.lower())
        names.append(name)
    return names
