"""The live tables of files: which file's tables are in which database of the cache."""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run


@migrations(name="0026_live")
def live(db: sqlite_utils.Database) -> None:
    """A row for each file whose tables were opened; it goes with the file.

    ``key`` names the database, which files of the same bytes and name share; ``tables`` is JSON, a
    list of ``{name, rows}``.
    """
    run(
        db,
        """CREATE TABLE datasette_files_live (
            file_id TEXT PRIMARY KEY,
            key TEXT NOT NULL,
            tables TEXT NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX datasette_files_live_by_key ON datasette_files_live (key)",
        """CREATE TRIGGER datasette_files_live_ad AFTER DELETE ON datasette_files BEGIN
        DELETE FROM datasette_files_live WHERE file_id = old.id; END""",
    )
