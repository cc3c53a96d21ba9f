"""Uploads that a client sends straight to a storage in parts."""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run


@migrations(name="0012_parts")
def parts(db: sqlite_utils.Database) -> None:
    """The parts of an upload, the storage's state for them, and when URLs were last signed."""
    run(
        db,
        "ALTER TABLE datasette_files_uploads ADD COLUMN part_size INTEGER",
        "ALTER TABLE datasette_files_uploads ADD COLUMN part_count INTEGER",
        "ALTER TABLE datasette_files_uploads ADD COLUMN parts_state TEXT",
        "ALTER TABLE datasette_files_uploads ADD COLUMN signed_at REAL",
    )
