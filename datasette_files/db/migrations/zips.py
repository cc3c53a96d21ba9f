"""Zips of selections, whose bytes are fixed when they are chosen.

* ``datasette_files_zips``: one archive, for as long as its address lives, and who chose it; each
  actor's archives are bounded. Seconds since the epoch.
* ``datasette_files_zip_members``: its members at their places. What makes up its bytes is copied,
  so that a renamed file changes no byte of it. ``crc32`` is NULL until it is known.
"""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run


@migrations(name="0017_zips")
def zips(db: sqlite_utils.Database) -> None:
    """Make the tables."""
    run(
        db,
        """CREATE TABLE datasette_files_zips (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            actor_id TEXT,
            name TEXT NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            files INTEGER,
            members INTEGER,
            central INTEGER
        )""",
        "CREATE INDEX datasette_files_zips_expiry ON datasette_files_zips (expires_at)",
        "CREATE INDEX datasette_files_zips_actor ON datasette_files_zips (actor_id, number)",
        """CREATE TABLE datasette_files_zip_members (
            zip INTEGER NOT NULL,
            start INTEGER NOT NULL,
            central INTEGER NOT NULL,
            file_id TEXT NOT NULL,
            name TEXT NOT NULL,
            size INTEGER NOT NULL,
            crc32 INTEGER,
            created_at TEXT NOT NULL,
            PRIMARY KEY (zip, start)
        ) WITHOUT ROWID""",
        """CREATE INDEX datasette_files_zip_members_unread ON datasette_files_zip_members (zip)
        WHERE crc32 IS NULL""",
    )
