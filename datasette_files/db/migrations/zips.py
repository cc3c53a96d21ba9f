"""Zips of selections, whose bytes are fixed when they are chosen.

* ``datasette_files_zips``: one archive, for as long as its address lives, and who chose it; each
  actor's archives are bounded. Seconds since the epoch.
* ``datasette_files_zip_members``: its members at their places. What makes up its bytes is copied,
  so that a renamed file changes no byte of it. ``crc32`` is NULL until it is known.
* ``datasette_files_departures``: how many files have left a source. While the number is the one
  that ``datasette_files_zips.sources`` has noted, no file of the zip is gone.
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


@migrations(name="0023_departures")
def departures(db: sqlite_utils.Database) -> None:
    """Count the files that leave their source: deleted, put into the trash or moved."""
    count = """INSERT INTO datasette_files_departures (source_id, files) VALUES (old.source_id, 1)
        ON CONFLICT DO UPDATE SET files = files + 1;"""
    run(
        db,
        """CREATE TABLE datasette_files_departures (
            source_id INTEGER PRIMARY KEY,
            files INTEGER NOT NULL
        )""",
        f"""CREATE TRIGGER datasette_files_departures_ad AFTER DELETE ON datasette_files BEGIN
        {count} END""",
        f"""CREATE TRIGGER datasette_files_departures_au AFTER UPDATE OF source_id
        ON datasette_files WHEN old.source_id != new.source_id BEGIN {count} END""",
        "ALTER TABLE datasette_files_zips ADD COLUMN sources TEXT",
    )
