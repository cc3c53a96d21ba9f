"""Zips of selections, whose bytes are fixed when they are chosen; versions of files.

* ``datasette_files_zips``: one archive, for as long as its address lives, and who chose it; each
  actor's archives are bounded. Seconds since the epoch.
* ``datasette_files_zip_members``: its members at their places. What makes up its bytes is copied,
  so that a renamed file changes no byte of it. ``crc32`` is NULL until it is known.
* ``datasette_files.superseded_by``: the next version of a file; triggers keep it where a version
  comes or goes.
* ``datasette_files.shelf``: the source's id, and another number for superseded files of the source.
  Lists, totals and the search index go by it, so that a list of the newest versions never reads
  another, and one of all versions merges two shelves.
"""

from __future__ import annotations

import re

import sqlite_utils

from .registry import migrations, run

#: Added to a source's id for the shelf of its superseded files.
SUPERSEDED = 1 << 40
_COLUMNS = (
    "replaces TEXT",
    "series TEXT",
    "version INTEGER NOT NULL DEFAULT 1",
    "superseded_by TEXT",
)
#: What goes by the shelf from here on: triggers, indexes and the view of the search index.
_TRIGGERS = (
    *(f"datasette_files_{when}" for when in ("ai", "ad", "au")),
    *(
        f"datasette_files_{table}_{when}"
        for table in ("totals", "folders", "tags_file")
        for when in ("ai", "ad", "au")
    ),
    "datasette_files_terms_au",
)
_INDEXES = tuple(
    f"datasette_files_by{prefix}_{order}"
    for prefix in ("", "_type", "_uploader", "_folder")
    for order in ("created", "filename", "size")
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


@migrations(name="0017_zips")
def zips(db: sqlite_utils.Database) -> None:
    """Make the tables of zips."""
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
    )
    triggers = [_written(db, name) for name in _TRIGGERS]
    indexes = [_written(db, name) for name in _INDEXES]
    view = _written(db, "datasette_files_indexed")
    run(
        db,
        *(f"DROP TRIGGER {name}" for name in _TRIGGERS),
        *(f"DROP INDEX {name}" for name in _INDEXES),
        "DROP VIEW datasette_files_indexed",
        re.sub(r"\bf\.source_id\b", "f.shelf AS source_id", view),
        *(re.sub(r"\bsource_id\b", "shelf", sql) for sql in indexes),
        *map(_by_shelf, triggers),
        *_CHAIN,
    )


def _written(db: sqlite_utils.Database, name: str) -> str:
    sql: str = db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (name,)).fetchone()[0]
    return sql


def _by_shelf(trigger: str) -> str:
    """A trigger that notes a file by its shelf, and notes it anew when that changes."""
    trigger = re.sub(r"\b(new|old|f)\.source_id\b", r"\1.shelf", trigger)
    if "ON datasette_files_terms" in trigger:
        return trigger
    return trigger.replace("AFTER UPDATE OF ", "AFTER UPDATE OF superseded_by, ")
