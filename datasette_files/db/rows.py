"""Rows by the names of their columns, so that a record's fields are written down once."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def names_of(record: Any) -> tuple[str, ...]:
    """The field names of a dataclass, which are its table's column names."""
    return tuple(field.name for field in fields(record))


def insert_row(
    conn: sqlite3.Connection,
    table: str,
    row: Mapping[str, object],
    *,
    verb: str = "INSERT",
    condition: str = "",
) -> None:
    """Insert ``{column: value}``. ``condition`` is a WHERE clause that may use ``:column``."""
    values = ", ".join(f":{name}" for name in row)
    conn.execute(f"{verb} INTO {table} ({', '.join(row)}) SELECT {values} {condition}", dict(row))
