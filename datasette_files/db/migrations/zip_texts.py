"""Zips that hold more than files: the rows of a table, and a note of what was left out.

* ``datasette_files_zip_texts``: the bytes of members that are no files, in chunks numbered from 0;
  ``member`` is the member's key.
* ``datasette_files_zips``: ``text_bytes`` counts them; ``described`` is JSON that its page shows.
"""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run


@migrations(name="0027_zip_texts")
def zip_texts(db: sqlite_utils.Database) -> None:
    """Make the table and the columns."""
    run(
        db,
        """CREATE TABLE datasette_files_zip_texts (
            zip INTEGER NOT NULL,
            member TEXT NOT NULL,
            number INTEGER NOT NULL,
            content BLOB NOT NULL,
            PRIMARY KEY (zip, member, number)
        )""",
        "ALTER TABLE datasette_files_zips ADD COLUMN text_bytes INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE datasette_files_zips ADD COLUMN described TEXT NOT NULL DEFAULT '{}'",
    )
