"""Indexing: files that are missing from their storage, walks, and what they saw.

* ``missing_since``: UTC, as ``created_at``; NULL while the storage has the file. What is missing
  counts towards no quota: the usage of the kind ``missing`` is negative.
* ``datasette_files_walks``: one row for each walk over a source, with the place where it stands.
* ``datasette_files_objects``: what the walks saw: each path, and the storage's mark of its bytes.
"""

from __future__ import annotations

from functools import partial

import sqlite_utils

from .quotas import triggers
from .registry import migrations, run

_missing = partial(
    triggers,
    columns="source_id, uploaded_by, size, missing_since",
    files="-1",
    size="-ifnull({row}.size, 0)",
    when="{row}.missing_since IS NOT NULL",
)
#: The triggers, by name.
TRIGGERS = {
    **_missing("missing", "datasette_files"),
    **_missing("missing_trash", "datasette_files_trash"),
}


@migrations(name="0019_index")
def index(db: sqlite_utils.Database) -> None:
    """Times are seconds since the epoch. ``walk`` is the last walk that saw an object.

    ``is_pending``: an object that may be a file's new place, which its walk decides at its end.
    """
    run(
        db,
        "ALTER TABLE datasette_files ADD COLUMN missing_since TEXT",
        "ALTER TABLE datasette_files_trash ADD COLUMN missing_since TEXT",
        """CREATE INDEX datasette_files_missing ON datasette_files (source_id, missing_since)
        WHERE missing_since IS NOT NULL""",
        """CREATE TABLE datasette_files_walks (
            id INTEGER PRIMARY KEY,
            source_id INTEGER NOT NULL,
            started_at REAL NOT NULL,
            ended_at REAL,
            accepts_missing INTEGER NOT NULL DEFAULT 0,
            phase TEXT NOT NULL DEFAULT 'list',
            cursor TEXT,
            counts TEXT NOT NULL DEFAULT '{}',
            failures TEXT NOT NULL DEFAULT '[]',
            problem TEXT
        )""",
        "CREATE INDEX datasette_files_walks_source ON datasette_files_walks (source_id, id)",
        """CREATE TABLE datasette_files_objects (
            source_id INTEGER NOT NULL,
            path TEXT NOT NULL,
            version TEXT NOT NULL,
            walk INTEGER NOT NULL,
            is_pending INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (source_id, path)
        ) WITHOUT ROWID""",
        """CREATE INDEX datasette_files_objects_version
        ON datasette_files_objects (source_id, version)""",
        """CREATE INDEX datasette_files_objects_pending ON datasette_files_objects (source_id)
        WHERE is_pending""",
        *TRIGGERS.values(),
    )
