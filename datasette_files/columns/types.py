"""The column types ``file`` and ``files``: they read, check and show a stored value.

A ``file`` column holds one file's id as text, a ``files`` column a JSON array of ids. Datasette
calls a column type to render a cell, and to validate a value before it is written. Validation gets
neither the actor nor the table, so it checks facts of the file alone. That is safe: an id in a row
grants nothing, as the file's bytes, name and thumbnail need ``files-browse``.
Leaves out the bounds and options (values.py) and the look-up of the files (columns.py).
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Protocol

from datasette.column_types import ColumnType, SQLiteType

from .values import FILE_ID, MAX_IDS, MAX_TEXT


class FileLookup(Protocol):
    """The look-up of files that the column types ask; ``Columns`` is one."""

    async def first_refused(
        self, config: object, values: list[list[str] | str]
    ) -> tuple[int, str] | None:
        """``(index, message)`` of the first value that the column does not take.

        A value is the ids in it, or the message of a value without ids.
        """

    async def cell(self, ids: list[str], request: Any) -> Any:
        """A cell's HTML."""


class FileColumnType(ColumnType):  # type: ignore[misc]
    """A column that holds one file's id; the base class of ``FilesColumnType``."""

    name = "file"
    description = "File"
    sqlite_types = (SQLiteType.TEXT,)
    #: Bound in the subclasses that ``Columns.types`` makes, one set for each Datasette.
    lookup: ClassVar[FileLookup]

    @classmethod
    def ids(cls, value: object) -> list[str] | None:
        """The ids in a stored value; None for a value of another shape."""
        return [value] if isinstance(value, str) and FILE_ID.fullmatch(value) else None

    #: The error for a value of another shape.
    shape = "must be a file's id, such as df-01j5a3b4c5d6e7f8g9h0jkmnpq, or null"

    async def validate(self, value: object, datasette: Any) -> str | None:
        """None for a valid value, else the error message."""
        if value is None or value == "":
            return None
        refused = await self.first_refused([value])
        return None if refused is None else refused[1]

    async def first_refused(self, values: list[Any]) -> tuple[int, str] | None:
        """``(index, message)`` of the first invalid value, by one look-up of all their files."""
        return await self.lookup.first_refused(self.config, [self.read(one) for one in values])

    @classmethod
    def read(cls, value: object) -> list[str] | str:
        """The ids in a value that is to be written, or the error message."""
        ids = cls.ids(value)
        if ids is None:
            return f"{cls.shape}; upload the file first, then write the id from the response"
        return ids

    async def render_cell(
        self, value: object, column: str, table: str, database: str, datasette: Any, request: Any
    ) -> Any:
        """The cell's HTML; None if the value holds no files, so that Datasette shows its text."""
        ids = self.ids(value)
        return await self.lookup.cell(ids, request) if ids else None


class FilesColumnType(FileColumnType):
    """A column that holds a JSON array of files' ids."""

    name = "files"
    description = "Files"
    shape = (
        'must be a JSON array of different files\' ids, such as ["df-01j5a3b4c5d6e7f8g9h0jkmnpq"],'
        f" of at most {MAX_IDS}, or null"
    )

    @classmethod
    def ids(cls, value: object) -> list[str] | None:
        # A client of the write API may send the array itself; Datasette stores it as JSON.
        found = value
        if isinstance(value, str):
            if len(value) > MAX_TEXT or not value.lstrip().startswith("["):
                return None
            try:
                found = json.loads(value)
            except (ValueError, RecursionError):
                return None
        if not isinstance(found, list) or len(found) > MAX_IDS:
            return None
        if not all(isinstance(one, str) and FILE_ID.fullmatch(one) for one in found):
            return None
        # The search for uses looks for the id in the text, so no letter of it may be escaped.
        if isinstance(value, str) and not all(f'"{one}"' in value for one in found):
            return None
        return found

    @classmethod
    def read(cls, value: object) -> list[str] | str:
        ids = super().read(value)
        if isinstance(ids, list) and len(set(ids)) < len(ids):
            return f"{cls.shape}; leave out repeated ids"
        return ids


def ids_of_any(value: object) -> list[str] | None:
    """The ids in a value of an unknown column, as one id or as a JSON array of ids."""
    return FileColumnType.ids(value) or FilesColumnType.ids(value)
