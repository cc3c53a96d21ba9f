"""Share links and upload links, and the link by which a file or an upload came.

A link's token is a key, so only its digest is kept. Times are seconds since the epoch.
"""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run


@migrations(name="0010_shares")
def shares(db: sqlite_utils.Database) -> None:
    """Make the tables of links. ``files`` and ``bytes`` count what came by an upload link."""
    run(
        db,
        """CREATE TABLE datasette_files_shares (
            number INTEGER PRIMARY KEY,
            id TEXT NOT NULL UNIQUE,
            digest TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,
            source_id INTEGER,
            label TEXT,
            maker TEXT NOT NULL,
            maker_id TEXT NOT NULL,
            created_at REAL NOT NULL,
            expires_at REAL NOT NULL,
            revoked_at REAL,
            revoked_by TEXT,
            max_downloads INTEGER,
            downloads INTEGER NOT NULL DEFAULT 0,
            max_files INTEGER,
            max_bytes INTEGER,
            files INTEGER NOT NULL DEFAULT 0,
            bytes INTEGER NOT NULL DEFAULT 0
        )""",
        """CREATE TABLE datasette_files_share_files (
            share INTEGER NOT NULL,
            place INTEGER NOT NULL,
            file_id TEXT NOT NULL,
            PRIMARY KEY (share, place)
        ) WITHOUT ROWID""",
        "CREATE INDEX datasette_files_shares_maker ON datasette_files_shares (maker_id)",
        """CREATE INDEX datasette_files_shares_source ON datasette_files_shares (source_id)
        WHERE source_id IS NOT NULL""",
        "CREATE INDEX datasette_files_share_files_file ON datasette_files_share_files (file_id)",
        "ALTER TABLE datasette_files ADD COLUMN upload_link TEXT",
        "ALTER TABLE datasette_files_trash ADD COLUMN upload_link TEXT",
        "ALTER TABLE datasette_files_uploads ADD COLUMN link TEXT",
        "ALTER TABLE datasette_files_uploads ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0",
        """CREATE INDEX datasette_files_uploads_link ON datasette_files_uploads (link)
        WHERE link IS NOT NULL""",
    )
