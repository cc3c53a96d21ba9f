"""A catalog of its own on a plain connection, and rows to put into it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from datasette_files.db import schema
from tests.support.catalog import fill


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """An empty catalog with the sources 1 to 3, in a file."""
    with closing(new_catalog(str(tmp_path / "internal.db"))) as connection:
        yield connection


def new_catalog(path: str = ":memory:") -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=0.2)
    fill(connection)
    schema.prepare(connection)
    with connection:
        schema.sync_sources(connection, [(f"s{n}", "filesystem", None, "{}") for n in (1, 2, 3)])
    return connection


def insert_file(conn: sqlite3.Connection, number: int, row: dict[str, Any]) -> str:
    """Insert a row of the file ``number``, as another tool may; return its id."""
    values = {"id": f"df-{number:026}", "path": f"p/{number}", **row}
    marks = ", ".join("?" * len(values))
    conn.execute(
        f"INSERT INTO datasette_files ({', '.join(values)}) VALUES ({marks})", list(values.values())
    )
    return str(values["id"])


def check_search_index(conn: sqlite3.Connection) -> None:
    """FTS5's own comparison of the index with the rows. Raises sqlite3.DatabaseError."""
    conn.execute(
        "INSERT INTO datasette_files_fts (datasette_files_fts, rank) VALUES ('integrity-check', 1)"
    )
