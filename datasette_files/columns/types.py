"""The column types ``file`` and ``files``: the values that they take, and a column's options.

A ``file`` column holds one file's id as text, a ``files`` column a JSON array of ids. Datasette
asks a column type for a cell's HTML, and for its verdict on a value before it writes; it tells the
latter neither the actor nor the table. So what is checked here are facts of the file alone: an id
in a row opens nothing, as every byte, name and thumbnail behind it needs ``files-browse``.
Leaves out the look-up of the files (columns.py).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from datasette.column_types import ColumnType, SQLiteType
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..errors import FilesError, Invalid
from ..media.types import is_pattern
from ..sources.limits import Limits

if TYPE_CHECKING:
    from .columns import Columns

#: Ids in one cell; as many as one request for their records takes.
MAX_IDS = 200
#: An id as we give them: a ULID's letters leave out i, l, o and u.
FILE_ID = re.compile(r"df-[0-9a-hjkmnp-tv-z]{26}")
#: Characters of a cell's text that is read as JSON: room for the ids, quotes and spaces.
MAX_TEXT = MAX_IDS * 64
_EXTENSION = re.compile(r"\.[^\s,/]+", re.ASCII)


def _check_accept(accept: str) -> str:
    tokens = [token.strip() for token in accept.split(",")]
    for token in tokens:
        if not (_EXTENSION.fullmatch(token) or is_pattern(token)):
            raise ValueError(
                f"{token!r} is neither an extension such as .pdf, nor a content type or a pattern"
                " such as image/*; separate several by commas"
            )
    return ",".join(tokens).lower()


class ColumnOptions(BaseModel):
    """The ``config`` of a file column."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: The slug of the one source whose files it takes.
    source: str | None = None
    #: As HTML's ``accept``: extensions, content types and patterns, separated by commas.
    accept: Annotated[str, AfterValidator(_check_accept)] | None = None
    #: Bytes.
    max_size: Annotated[int, Field(gt=0, strict=True)] | None = None

    def check(self, source: str, filename: str, content_type: str, size: int | None) -> None:
        """Raises Invalid, BadType or FileTooLarge for a file that the column does not take.

        The messages tell the rule and nothing of the file, which its reader may not be shown.
        """
        if self.source not in (None, source):
            raise Invalid(f"This column takes files of the source {self.source!r}; upload it there")
        accept = None if self.accept is None else tuple(self.accept.split(","))
        limits = Limits("This column", self.max_size, accept, tells_type=False)
        limits.check(filename, content_type, size)


class FileColumnType(ColumnType):  # type: ignore[misc]
    """A column that holds one file's id; the base of the one that holds several."""

    name = "file"
    description = "File"
    sqlite_types = (SQLiteType.TEXT,)
    #: Bound in the subclasses that ``Columns.types`` makes, one set for each Datasette.
    columns: ClassVar[Columns]

    @classmethod
    def ids(cls, value: object) -> list[str] | None:
        """The ids that a stored value holds; None for a value of another shape."""
        return [value] if isinstance(value, str) and FILE_ID.fullmatch(value) else None

    #: What a value of another shape is answered.
    shape = "must be a file's id, such as df-01j5a3b4c5d6e7f8g9h0jkmnpq, or null"

    async def validate(self, value: object, datasette: Any) -> str | None:
        """None for a value that may be written, else what to do about it."""
        if value is None or value == "":
            return None
        ids = self.ids(value)
        if ids is None:
            return f"{self.shape}; upload the file first, then write the id that was answered"
        try:
            await self.columns.check(self.config, ids)
        except FilesError as error:
            return str(error)
        return None

    async def render_cell(
        self, value: object, column: str, table: str, database: str, datasette: Any, request: Any
    ) -> Any:
        """The cell's HTML; None, so that Datasette shows the text, where it holds no files."""
        ids = self.ids(value)
        return await self.columns.cell(ids, request) if ids else None


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
        # A client of the write API may send the array itself, which is stored as its JSON.
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
        # Escaped, an id would not be found again in the text.
        if isinstance(value, str) and not all(f'"{one}"' in value for one in found):
            return None
        return found

    async def validate(self, value: object, datasette: Any) -> str | None:
        ids = self.ids(value) or []
        if len(set(ids)) < len(ids):
            return f"{self.shape}; leave out the repeated ones"
        return await super().validate(value, datasette)


def ids_of_any(value: object) -> list[str] | None:
    """The ids in a value of which nothing is known."""
    return FileColumnType.ids(value) or FilesColumnType.ids(value)
