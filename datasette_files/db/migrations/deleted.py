"""The notes of deleted bytes (garbage.py) by their path, those that are done too."""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run


@migrations(name="0029_deleted")
def deleted(db: sqlite_utils.Database) -> None:
    """A walk asks whether a path that it has listed was deleted meanwhile."""
    run(
        db,
        "DROP INDEX datasette_files_garbage_path",
        "CREATE INDEX datasette_files_garbage_path ON datasette_files_garbage (source_id, path)",
    )
