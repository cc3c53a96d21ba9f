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
    return [
        FileColumn(database, table, column, kind, json.loads(config) if config else None)
        for database, table, column, kind, config in rows
    ]
