"""The list of migrations, and what several of them share."""

from __future__ import annotations

import sqlite_utils
from sqlite_utils import Migrations

migrations = Migrations("datasette_files")

#: The catalog's columns of 0.1a3. Released migrations read this, so it never changes.
CORE_COLUMNS = (
    *("id", "source_id", "path", "filename", "content_type", "content_hash", "size"),
    *("width", "height", "uploaded_by", "created_at", "metadata", "search_text"),
)
#: The catalog's columns now, which the trash has too. A migration adds each further one to both.
FILE_COLUMNS = (
    *(*CORE_COLUMNS, "upload_link", "folder", "tags", "crc32"),
    *("replaces", "series", "version", "superseded_by", "missing_since"),
)


def run(db: sqlite_utils.Database, *statements: str) -> None:
    """Execute the statements in order."""
    for statement in statements:
        db.execute(statement)
