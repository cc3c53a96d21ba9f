"""The file columns of all databases, from Datasette's table of column types; without their rows."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FileColumn:
    """A column of type ``file`` or ``files``. ``config`` is parsed JSON, or None."""

    database: str
    table: str
    column: str
    type: str
    config: Any


def all_columns(conn: sqlite3.Connection, limit: int = 10_000) -> list[FileColumn]:
    """Every file column, even of a missing table, ordered by database, table and column."""
    rows = conn.execute(
        """SELECT database_name, resource_name, column_name, column_type, config
        FROM column_types WHERE column_type IN ('file', 'files') ORDER BY 1, 2, 3 LIMIT ?""",
        (limit,),
    )
    return [_column(*row) for row in rows]


def allowed_columns(
    conn: sqlite3.Connection, sql: str, params: dict[str, Any], limit: int
) -> list[tuple[FileColumn, bool]]:
    """The file columns of tables that ``sql`` gives, in the order of their names, with True.

    ``sql`` is that of Datasette's ``allowed_resources_sql``, which knows the tables of Datasette's
    last look at the schemas. A column of another table, such as one made since, comes with False.
    """
    rows = conn.execute(
        f"""SELECT * FROM (
            SELECT database_name, resource_name, column_name, column_type, config,
            (database_name, resource_name) IN (SELECT parent, child FROM ({sql})) AS allowed
            FROM column_types WHERE column_type IN ('file', 'files'))
        WHERE allowed OR (database_name, resource_name) NOT IN (
            SELECT database_name, table_name FROM catalog_tables
            UNION ALL SELECT database_name, view_name FROM catalog_views)
        ORDER BY 1, 2, 3 LIMIT :files_limit""",
        {**params, "files_limit": limit},
    )
    return [(_column(*row), bool(allowed)) for *row, allowed in rows]


def _column(database: str, table: str, column: str, kind: str, config: str | None) -> FileColumn:
    return FileColumn(database, table, column, kind, json.loads(config) if config else None)
