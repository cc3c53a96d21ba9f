"""The table of uploads that go on (tus)."""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run


@migrations(name="0013_resuming")
def resuming(db: sqlite_utils.Database) -> None:
    """The durable offset of each upload that goes on, beside its row in datasette_files_uploads."""
    run(
        db,
        """CREATE TABLE datasette_files_resuming (
            upload_id TEXT PRIMARY KEY,
            offset INTEGER NOT NULL DEFAULT 0,
            state TEXT NOT NULL DEFAULT '{}',
            metadata TEXT NOT NULL DEFAULT '',
            concat TEXT,
            attempt TEXT,
            holder TEXT,
            lease_until REAL NOT NULL DEFAULT 0,
            wanted TEXT
        ) WITHOUT ROWID""",
        """CREATE TRIGGER datasette_files_resuming_forget
        AFTER DELETE ON datasette_files_uploads BEGIN
            DELETE FROM datasette_files_resuming WHERE upload_id = old.id;
        END""",
    )
