"""The list of migrations, and what several of them share."""

from __future__ import annotations

import sqlite_utils
from sqlite_utils import Migrations

migrations = Migrations("datasette_files")

#: The columns that the public 0.1a3 has too.
FIRST_COLUMNS = (
    *("id", "source_id", "path", "filename", "content_type", "content_hash", "size"),
    *("width", "height", "uploaded_by", "created_at", "metadata", "search_text"),
)
FILE_COLUMNS = (*FIRST_COLUMNS, "folder", "tags", "crc32")


def run(db: sqlite_utils.Database, *statements: str) -> None:
    """Execute the statements in order."""
    for statement in statements:
        db.execute(statement)
