"""Versions of files.

* ``datasette_files.superseded_by``: the next version of a file; triggers keep it where a version
  comes or goes.
* ``datasette_files.shelf``: the source's id, and another number for superseded files of the source.
  Lists, totals and the search index go by it (shelves.py): a list of the newest versions never
  reads another, and one of all versions merges two shelves.
"""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run
from .search import indexed
from .shelves import INDEXES, TRIGGERS

#: Added to a source's id for the shelf of its superseded files.
SUPERSEDED = 1 << 40
_COLUMNS = (
    "replaces TEXT",
    "series TEXT",
    "version INTEGER NOT NULL DEFAULT 1",
    "superseded_by TEXT",
)
_CHAIN = (
    """CREATE UNIQUE INDEX datasette_files_series ON datasette_files (series, version)
    WHERE series IS NOT NULL""",
    """CREATE INDEX datasette_files_trash_series ON datasette_files_trash (series, version)
    WHERE series IS NOT NULL""",
    """CREATE TRIGGER datasette_files_versions_ai AFTER INSERT ON datasette_files
    WHEN new.series IS NOT NULL BEGIN
        UPDATE datasette_files SET superseded_by = new.id
        WHERE series = new.series AND version = (SELECT max(version) FROM datasette_files
            WHERE series = new.series AND version < new.version); END""",
    """CREATE TRIGGER datasette_files_versions_ad AFTER DELETE ON datasette_files
    WHEN old.series IS NOT NULL BEGIN
        UPDATE datasette_files SET superseded_by = old.superseded_by
        WHERE series = old.series AND superseded_by = old.id; END""",
)


@migrations(name="0017_versions")
def versions(db: sqlite_utils.Database) -> None:
    """Add the columns; let lists, totals and the search index go by the shelf."""
    for table in ("datasette_files", "datasette_files_trash"):
        run(db, *(f"ALTER TABLE {table} ADD COLUMN {column}" for column in _COLUMNS))
    run(
        db,
        "ALTER TABLE datasette_files_uploads ADD COLUMN replaces TEXT",
        f"""ALTER TABLE datasette_files ADD COLUMN shelf INTEGER GENERATED ALWAYS AS
        (source_id + (superseded_by IS NOT NULL) * {SUPERSEDED}) VIRTUAL""",
        *(f"DROP TRIGGER IF EXISTS {name}" for name in TRIGGERS),
        *(f"DROP INDEX IF EXISTS {name}" for name in INDEXES),
        "DROP VIEW datasette_files_indexed",
        indexed("f.shelf AS source_id"),
        *INDEXES.values(),
        *TRIGGERS.values(),
        *_CHAIN,
    )
