"""Tables of verification: the passes over each source, and what they found."""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run


@migrations(name="0014_verify")
def verify(db: sqlite_utils.Database) -> None:
    """Passes and open findings. Times are seconds since the epoch.

    A finding stays until a pass sees the path sound again. ``share`` of ``shares`` is the part of
    the paths that a pass looked at; ``reached`` is the path at which reading the bytes stopped.
    """
    run(
        db,
        """CREATE TABLE datasette_files_passes (
            id INTEGER PRIMARY KEY,
            source_id INTEGER NOT NULL,
            is_data INTEGER NOT NULL,
            share INTEGER NOT NULL,
            shares INTEGER NOT NULL,
            started_at REAL NOT NULL,
            ended_at REAL,
            is_complete INTEGER NOT NULL DEFAULT 0,
            files INTEGER NOT NULL DEFAULT 0,
            bytes INTEGER NOT NULL DEFAULT 0,
            reached TEXT,
            problem TEXT
        )""",
        """CREATE INDEX datasette_files_passes_source
        ON datasette_files_passes (source_id, is_data, id)""",
        """CREATE TABLE datasette_files_findings (
            source_id INTEGER NOT NULL,
            path TEXT NOT NULL,
            kind TEXT NOT NULL,
            file_id TEXT,
            since REAL NOT NULL,
            last_sound REAL,
            PRIMARY KEY (source_id, path, kind)
        ) WITHOUT ROWID""",
    )
