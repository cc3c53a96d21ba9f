"""The audit: a table to which rows are added, and which refuses every other change."""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run

_REFUSAL = "SELECT RAISE(ABORT, 'The audit is append-only: its entries are never changed')"


@migrations(name="0024_audit")
def audit(db: sqlite_utils.Database) -> None:
    """Make the table. ``at``: seconds since the epoch; ``detail``: a JSON object.

    An entry may be deleted once it is older than the state ``audit_until``, which the round of
    retention sets for as long as its transaction takes.
    """
    run(
        db,
        """CREATE TABLE datasette_files_audit (
            id INTEGER PRIMARY KEY,
            at REAL NOT NULL,
            actor TEXT,
            via TEXT NOT NULL,
            link TEXT,
            action TEXT NOT NULL,
            file_id TEXT,
            source_id INTEGER,
            detail TEXT NOT NULL DEFAULT '{}'
        )""",
        "CREATE INDEX datasette_files_audit_source ON datasette_files_audit (source_id)",
        """CREATE INDEX datasette_files_audit_file ON datasette_files_audit (file_id)
        WHERE file_id IS NOT NULL""",
        f"""CREATE TRIGGER datasette_files_audit_unchanged BEFORE UPDATE ON datasette_files_audit
        BEGIN {_REFUSAL}; END""",
        f"""CREATE TRIGGER datasette_files_audit_kept BEFORE DELETE ON datasette_files_audit
        WHEN OLD.at >= ifnull((SELECT CAST(value AS REAL) FROM datasette_files_state
            WHERE key = 'audit_until'), 0)
        BEGIN {_REFUSAL}; END""",
    )
