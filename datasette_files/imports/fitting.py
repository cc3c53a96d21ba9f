"""Checks that a file fits its table: the database, the columns, their types, the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .. import naming
from ..db.imports import ImportRequest
from ..errors import Conflict, Invalid
from ..formats.base import composed, name_key
from ..tables import target
from ..tables.content import STAGING_PREFIX, Content

#: SQLite's built-in collations. The import's process has no others.
_COLLATIONS = ("BINARY", "NOCASE", "RTRIM")


def writable_database(datasette: Any, name: str) -> Any:
    """Return a database that can be written to. Raises Invalid."""
    database = datasette.databases.get(name)
    if database is None:
        raise Invalid(f"There is no database {name!r}; choose another", field="database_name")
    if not database.is_mutable or (database.is_memory and database.memory_name is None):
        raise Invalid(
            f"The database {name!r} cannot be written to; choose another", field="database_name"
        )
    return database


def check_table(request: ImportRequest, table: target.Existing | None) -> None:
    """Raise Conflict or Invalid if the table does not fit the mode."""
    mode, name = request.mode, request.table
    if table is not None and table.name != name:
        raise Conflict(
            f"There is a table {table.name!r} by now; start the import again", field="table_name"
        )
    if mode == "create" and table is not None:
        raise Conflict(
            f"There is a table {name!r} already; choose another name, add the rows to it, compare"
            " it with the file, or replace it",
            field="table_name",
        )
    if mode in ("append", "merge", "compare") and table is None:
        raise Invalid(
            f"There is no table {name!r} to import into; create it by the import",
            field="table_name",
        )
    if mode == "replace" and table is not None:
        target.check_replaceable(table)
    if mode in ("merge", "compare") and table is not None:
        if len(table.keys) != 1:
            raise Invalid(
                f"{name!r} has no primary key of one column to match rows by; add the rows to it"
                " instead",
                field="mode",
            )
        if request.key is not None and name_key(request.key) != name_key(table.keys[0]):
            raise Invalid(
                f"The primary key of {name!r} is {table.keys[0]!r}, not {request.key!r}",
                field="primary_key",
            )
        if table.collation not in _COLLATIONS:
            raise Invalid(
                f"The primary key of {name!r} has the collation {table.collation}, which cannot"
                " match rows of a file; append to the table, or replace it",
                field="mode",
            )


def hints(request: ImportRequest, table: target.Existing | None) -> dict[str, str]:
    """The text columns of an existing table; the file's columns of these names are read as text."""
    if table is None or request.mode in ("create", "replace"):
        return {}
    return {name_key(name): "text" for name, kind in table.columns.items() if kind == "text"}


def numbers(request: ImportRequest, table: target.Existing | None) -> dict[str, str]:
    """The columns of an existing table that turn texts into numbers, each with its affinity."""
    if table is None or request.mode in ("create", "replace"):
        return {}
    kinds = ("integer", "float", "numeric")
    return {name_key(name): kind for name, kind in table.columns.items() if kind in kinds}


def key_of(request: ImportRequest, table: target.Existing | None) -> str | None:
    """The column that identifies a row, or None."""
    if request.mode in ("create", "replace"):
        return request.key
    return table.keys[0] if table is not None and request.mode != "append" else None


def fit(
    request: ImportRequest,
    outcome: dict[str, Any],
    path: Path,
    table: target.Existing | None,
) -> Content:
    """Describe the rows that were read. Raises Invalid if they do not fit their table."""
    columns, kinds = outcome["columns"], [kind or "text" for kind in outcome["types"]]
    key = key_of(request, table)
    if request.mode in ("append", "merge", "compare") and table is not None:
        columns, kinds = _fitted(columns, outcome["types"], table, request.table)
        if key is not None and key not in columns:
            raise Invalid(f"The file has no column {key!r}, the table's primary key")
    elif key is not None:
        key = next((name for name in columns if name_key(name) == name_key(key)), key)
    indexes = tuple(dict.fromkeys(map(composed, request.indexes)))
    search = tuple(dict.fromkeys(map(composed, request.search)))
    for name in (*indexes, *search):
        if name not in columns:
            raise Invalid(f"The file has no column {name!r} to index; choose another")
    if search and any(name.lower() == "rowid" for name in columns):
        raise Invalid("A table with a column named rowid cannot have full-text search")
    if any(name.lower() == "rank" for name in search):
        raise Invalid("A column named rank cannot be in a full-text search (FTS5)")
    return Content(
        path=path,
        columns=columns,
        kinds=kinds,
        rows=outcome["rows"],
        table=request.table,
        staging=STAGING_PREFIX + naming.new_ulid(),
        key=key,
        indexes=indexes,
        search=search,
        fits=None if table is None or request.mode == "replace" else table.columns,
        found=outcome["found"],
    )


def _fitted(
    columns: list[str], kinds: list[str | None], table: target.Existing, name: str
) -> tuple[list[str], list[str]]:
    """Return the file's columns by the table's names, and their kinds. Raises Invalid."""
    known = {name_key(column): column for column in table.columns}
    made = []
    for column, kind in zip(columns, kinds, strict=True):
        own = known.get(name_key(column))
        if own is None:
            raise Invalid(
                f"The table {name!r} has no column {column!r}; add it to the table, or take it out"
                " of the file"
            )
        wanted = table.columns[own]
        if wanted in ("integer", "float") and kind in ("text", "blob"):
            raise Invalid(
                f"The column {own!r} of {name!r} holds numbers, and the file has other values in"
                " it; correct the file, or change the column's type"
            )
        # Only whole floats fit an integer column; the child reports the row of any other.
        whole = wanted == "integer" and kind == "float"
        made.append(
            "integer"
            if whole
            else kind or ("integer" if wanted in ("integer", "float") else "text")
        )
    return [known[name_key(column)] for column in columns], made
