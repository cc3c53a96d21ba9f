"""The files of bulk actions that run as jobs."""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run


@migrations(name="0016_bulk")
def bulk(db: sqlite_utils.Database) -> None:
    """The files of each job, in order.

    ``state``: NULL for a file that waits, ``done``, ``trashed``, or the code of the refusal.
    """
    run(
        db,
        """CREATE TABLE datasette_files_bulk (
            job_id INTEGER NOT NULL,
            number INTEGER NOT NULL,
            file_id TEXT NOT NULL,
            state TEXT,
            PRIMARY KEY (job_id, number)
        ) WITHOUT ROWID""",
        """CREATE INDEX datasette_files_bulk_refused ON datasette_files_bulk (job_id, number)
        WHERE state NOT IN ('done', 'trashed')""",
    )
