"""The file columns of one Datasette: the check of written values, and the HTML of cells.

Leaves out the shapes of values (types.py), the options (values.py), the look of a cell (templates,
static/file-cells.js) and the rows that refer to a file (uses.py).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from datasette.resources import TableResource
from markupsafe import Markup

from ..config import PluginConfig, validate
from ..db import columns as column_rows
from ..db import files as file_rows
from ..db.batching import Catalog
from ..errors import ConfigurationError, FilesError, Invalid, PermissionDenied
from ..imports.checking import Refusal
from ..models import FileRecord
from ..permissions.actions import Actor
from ..transfer.incoming import Incoming
from .types import FileColumnType, FilesColumnType, ids_of_any
from .values import ColumnOptions

logger = logging.getLogger("datasette_files")

#: Files that a table shows in one cell; a row's own page shows all.
MAX_CELL_FILES = 4
#: The key that marks the scope of a request whose page has a cell with files.
_MARK = "datasette_files_cells"
#: Actions on a table that make its column names known to the actor.
_TABLE_ACTIONS = ("view-table", "insert-row", "update-row")


@dataclass(frozen=True)
class ColumnPlace:
    """The column that a file is uploaded for."""

    database: str
    table: str
    column: str


class Columns:
    """The file columns of one Datasette."""

    def __init__(self, datasette: Any, database: Catalog, config: PluginConfig) -> None:
        self._datasette = datasette
        self._catalog = database
        self._config = config

    def types(self) -> list[type[FileColumnType]]:
        """The column types that Datasette registers."""
        return [
            type(cls.__name__, (cls,), {"lookup": self})
            for cls in (FileColumnType, FilesColumnType)
        ]

    def options(self, config: object, path: str = "the column's config") -> ColumnOptions:
        """A column's ``config`` as options. Raises ConfigurationError with a one-line message."""
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

    def _usable(self, config: object) -> ColumnOptions:
        try:
            return self.options(config)
        except ConfigurationError as error:
            raise Invalid(
                f"This column's configuration is invalid; ask an administrator: {error}"
            ) from None

    def check_config(self, config: object, column: str) -> None:
        """Raises Invalid for options that a column cannot have; ``column`` is its name."""
        try:
            self.options(config, f"The column {column!r}")
        except ConfigurationError as error:
            raise Invalid(str(error)) from None

    async def check_all(self) -> None:
        """Check every column at start. Raises ConfigurationError for invalid options in the yaml.

        Invalid options that were set while Datasette ran are logged, since they can be corrected
        in the same way.
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
                    "%s; the column accepts no values until its options are corrected", error
                )

    async def first_refused(
        self, config: object, values: list[list[str] | str]
    ) -> tuple[int, str] | None:
        """``(index, message)`` of the first value that the column does not take.

        A value is the ids in it, or the message of a value without ids.
        """
        wanted = {file_id for ids in values if not isinstance(ids, str) for file_id in ids}
        found = await self._catalog.read(lambda conn: file_rows.by_ids(conn, wanted))
        for index, ids in enumerate(values):
            if isinstance(ids, str):
                return index, ids
            try:
                options = self._usable(config)
                for file_id in ids:
                    self._check(options, file_id, found.get(file_id))
            except FilesError as error:
                return index, str(error)
        return None

    def _check(self, options: ColumnOptions, file_id: str, file: FileRecord | None) -> None:
        """Raise Invalid, BadType or FileTooLarge for a file that the column does not take."""
        if file is None or file.source_slug not in self._config.sources:
            raise Invalid(f"There is no file {file_id}; upload it, then write its new id")
        try:
            options.check(file.source_slug, file.filename, file.type, file.size)
        except FilesError as error:
            raise type(error)(f"{file_id} does not fit. {error}") from None

    async def refusals(self, database: str, table: str) -> dict[str, Refusal]:
        """The checks of the table's file columns by name, even before the table is made."""
        kinds = {kind.name: kind for kind in self.types()}
        return {
            one.column: kinds[one.type](config=one.config).first_refused
            for one in await self._catalog.read(column_rows.all_columns)
            if (one.database, one.table) == (database, table)
        }

    async def check_upload(
        self, actor: Actor, place: ColumnPlace, source: str, incoming: Incoming
    ) -> None:
        """Check a declared file before its upload for a column.

        The column is named only to actors who may view the table or write to it. Raises
        PermissionDenied, Invalid, BadType, FileTooLarge.
        """
        resource = TableResource(database=place.database, table=place.table)
        allowed = await self._datasette.allowed_many(
            actions=_TABLE_ACTIONS, resource=resource, actor=actor
        )
        if not any(allowed.values()):
            raise PermissionDenied(
                f"You may not see the table {place.table!r}; sign in, or prepare without a column"
            )
        kind = await self._datasette.get_column_type(place.database, place.table, place.column)
        if not isinstance(kind, FileColumnType):
            raise Invalid(
                f"{place.table}.{place.column} is not a file column; give it the column type file"
                " or files, or prepare without a column"
            )
        options = self._usable(kind.config)
        options.check(source, incoming.filename, incoming.content_type, incoming.size)

    async def cell(self, ids: list[str], request: Any) -> Any:
        """A cell's HTML: a link for each file, to which the page's script adds picture and name.

        Names are not looked up here, because Datasette renders cell by cell. A row's own page shows
        every file of a cell, other pages the first ``MAX_CELL_FILES``.
        """
        whole = request is not None and "pks" in request.url_vars
        shown = ids if whole else ids[:MAX_CELL_FILES]
        if request is not None:
            request.scope[_MARK] = True
        environment = self._datasette.get_jinja_environment(request)
        html = await environment.get_template("datasette_files/_cell.html").render_async(
            ids=shown,
            more=len(ids) - len(shown),
            whole=whole,
            prefix=f"{self._datasette.setting('base_url')}-/files/",
        )
        return Markup(html)  # noqa: S704 - the template escapes

    def query_cell(self, value: object, request: Any) -> Any:
        """The HTML of a cell of a query's result, as ``cell``; None for a value without file ids.

        A query's columns have no types, so the value alone decides. Most values hold no id, and
        they are rejected fast.
        """
        ids = ids_of_any(value)
        return self.cell(ids, request) if ids else None

    async def ids_of(self, rows: Any, database: str, table: str | None) -> list[str]:
        """The ids in the file columns of these rows, each once. ``table`` None: in any column."""
        by_row = await self.ids_by_row(rows, database, table)
        return list(dict.fromkeys(one for ids in by_row for one in ids))

    async def ids_by_row(self, rows: Any, database: str, table: str | None) -> list[list[str]]:
        """The ids in each of the rows, in the order of its columns; else as ``ids_of``."""
        kinds: dict[str, Any] | None = None
        if table is not None:
            types = await self._datasette.get_column_types(database, table)
            kinds = {name: one for name, one in types.items() if isinstance(one, FileColumnType)}
        by_row = []
        for row in rows:
            ids: dict[str, None] = {}
            for name in row.keys():  # noqa: SIM118 - sqlite3.Row iterates over its values
                if kinds is not None and name not in kinds:
                    continue
                value = row[name]
                found = ids_of_any(value) if kinds is None else kinds[name].ids(value)
                ids.update(dict.fromkeys(found or ()))
            by_row.append(list(ids))
        return by_row

    async def kinds(self, database: str, table: str) -> dict[str, tuple[str, Any]]:
        """The type and the config of each file column of a table, by the column's name."""
        types = await self._datasette.get_column_types(database, table)
        return {
            name: (one.name, one.config)
            for name, one in types.items()
            if isinstance(one, FileColumnType)
        }

    async def on_page(self, request: Any, database: str | None, table: str | None) -> bool:
        """Tell whether one of Datasette's pages shows files, or a form that chooses files."""
        scope = {} if request is None else request.scope
        if _MARK not in scope and database is not None and table is not None:
            types = await self._datasette.get_column_types(database, table)
            scope[_MARK] = any(isinstance(one, FileColumnType) for one in types.values())
        return bool(scope.get(_MARK))
