"""File columns: the column types ``file`` and ``files``, their options, what they take.

A ``file`` column holds one file's id as text, a ``files`` column a JSON array of ids. Datasette
asks a column type for a cell's HTML, and for its verdict on a value before it writes; it tells the
latter neither the actor nor the table. So what is checked here are facts of the file alone: an id
in a row opens nothing, as every byte, name and thumbnail behind it needs ``files-browse``.
Leaves out how a cell looks (templates, static/file-cells.js) and the rows that refer to a file
(uses.py).
"""

from __future__ import annotations

import json
import logging
import re
from sqlite3 import Connection
from typing import Annotated, Any, ClassVar

from datasette.column_types import ColumnType, SQLiteType
from markupsafe import Markup
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from .config import PluginConfig, type_allowed, validate
from .db import columns as column_rows
from .db import files as file_rows
from .db.catalog import Catalog
from .errors import BadType, ConfigurationError, FilesError, FileTooLarge, Invalid
from .models import FileRecord

logger = logging.getLogger("datasette_files")

#: Ids in one cell; as many as one request for their records takes.
MAX_IDS = 200
#: An id as we give them: a ULID's letters leave out i, l, o and u.
FILE_ID = re.compile(r"df-[0-9a-hjkmnp-tv-z]{26}")
#: So many files of a cell are shown in a table; a row's own page shows all.
CELL_FILES = 4
#: In the scope of a request whose page has a cell with files.
_MARK = "datasette_files_cells"
#: Characters of a cell's text that is read as JSON: room for the ids, quotes and spaces.
_MAX_TEXT = MAX_IDS * 64
_ACCEPT = re.compile(r"\.[^\s,/]+|[\w.+-]+/(\*|[\w.+-]+)|\*/\*", re.ASCII)


def _check_accept(accept: str) -> str:
    tokens = [token.strip() for token in accept.split(",")]
    for token in tokens:
        if not _ACCEPT.fullmatch(token):
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
            raise Invalid(f"this column takes files of the source {self.source!r}; upload it there")
        if not self._accepts(filename, content_type):
            raise BadType(f"this column takes {self.accept}; choose a file of such a type")
        if self.max_size is not None and size is not None and size > self.max_size:
            raise FileTooLarge(
                f"this column takes files of at most {self.max_size:,} bytes; choose a smaller one"
            )

    def _accepts(self, filename: str, content_type: str) -> bool:
        if self.accept is None:
            return True
        tokens = self.accept.split(",")
        extensions = tuple(token for token in tokens if token.startswith("."))
        return filename.lower().endswith(extensions) or type_allowed(
            content_type, [token for token in tokens if "/" in token]
        )


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
            if len(value) > _MAX_TEXT or not value.lstrip().startswith("["):
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


class Columns:
    """The file columns of one Datasette."""

    def __init__(self, datasette: Any, database: Catalog, config: PluginConfig) -> None:
        self._datasette = datasette
        self._catalog = database
        self._config = config

    def types(self) -> list[type[ColumnType]]:
        """What Datasette registers."""
        return [
            type(cls.__name__, (cls,), {"columns": self})
            for cls in (FileColumnType, FilesColumnType)
        ]

    def options(self, config: object, path: str = "the column's config") -> ColumnOptions:
        """A column's ``config`` as options. Raises ConfigurationError, in one line."""
        if config is None:
            return ColumnOptions()
        if not isinstance(config, dict):
            raise ConfigurationError(f"{path}: must be a mapping")
        options = validate(ColumnOptions, config, path)
        if options.source is not None and options.source not in self._config.sources:
            raise ConfigurationError(
                f"{path}.source: {options.source!r} is not among the configured sources"
            )
        return options

    async def check_all(self) -> None:
        """At start. Raises ConfigurationError for options in the yaml that make no sense.

        Those that were set while Datasette ran are logged: whoever set them may mend them there.
        """
        written = ((self._datasette.config or {}).get("databases")) or {}
        for found in await self._catalog.read(column_rows.all_columns):
            place = f"databases.{found.database}.tables.{found.table}.column_types.{found.column}"
            tables = (written.get(found.database) or {}).get("tables") or {}
            in_yaml = found.column in ((tables.get(found.table) or {}).get("column_types") or {})
            try:
                self.options(found.config, f"{place}.config")
            except ConfigurationError as error:
                if in_yaml:
                    raise
                logger.warning(
                    "%s; nothing can be written to the column until it is set anew", error
                )

    async def check(self, config: object, ids: list[str]) -> None:
        """Raises a FilesError, such as Invalid, unless the column takes each of the files."""
        try:
            options = self.options(config)
        except ConfigurationError as error:
            raise Invalid(
                f"the column is set up wrongly; tell its administrator: {error}"
            ) from None

        def look(conn: Connection) -> dict[str, FileRecord]:
            return file_rows.by_ids(conn, ids)

        found = await self._catalog.read(look)
        for file_id in ids:
            file = found.get(file_id)
            if file is None or file.source_slug not in self._config.sources:
                raise Invalid(f"there is no file {file_id}; upload it, then write its new id")
            try:
                options.check(file.source_slug, file.filename, file.type, file.size)
            except FilesError as error:
                raise type(error)(f"{file_id} cannot be here: {error}") from None

    async def cell(self, ids: list[str], request: Any) -> Any:
        """A cell's HTML: a link for each file, which the page's script makes more of.

        The names are not looked up here, as Datasette asks cell by cell; a row's own page shows
        every file of a cell, others as many as fit.
        """
        whole = request is not None and "pks" in request.url_vars
        shown = ids if whole else ids[:CELL_FILES]
        if request is not None:
            request.scope[_MARK] = True
        environment = self._datasette.get_jinja_environment(request)
        html = await environment.get_template("datasette_files/_cell.html").render_async(
            ids=shown,
            more=len(ids) - len(shown),
            whole=whole,
            prefix=f"{self._datasette.setting('base_url')}-/files/",
        )
        return Markup(html)  # noqa: S704 - of a template, which escapes

    def query_cell(self, value: object, request: Any) -> Any:
        """As ``cell``, of a query's result: its columns have no types, so the value tells.

        None, at little cost, for a value that is no id of ours nor an array of them.
        """
        ids = FileColumnType.ids(value) or FilesColumnType.ids(value)
        return self.cell(ids, request) if ids else None

    async def on_page(self, request: Any, database: str | None, table: str | None) -> bool:
        """Whether a page of Datasette's shows files, or has a form in which they are chosen."""
        scope = {} if request is None else request.scope
        if _MARK not in scope and database is not None and table is not None:
            types = await self._datasette.get_column_types(database, table)
            scope[_MARK] = any(isinstance(one, FileColumnType) for one in types.values())
        return bool(scope.get(_MARK))
