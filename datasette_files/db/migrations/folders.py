"""Folders, tags and crc32 of files.

* ``datasette_files.tags``: a JSON array of texts, so that copies and the trash keep it as a column;
  ``datasette_files_tags`` indexes it, and ``datasette_files_tag_totals`` counts files by tag.
* ``datasette_files_folders``: each folder that holds a file or a folder, by its parent, with the
  files and bytes in it and below it.

Triggers on files keep them (shelves.py). Rows that other tools insert have the defaults: the top
folder, no tags, no crc32.
"""

from __future__ import annotations

import unicodedata

import sqlite_utils

from .registry import migrations, run

_COLUMNS = ("folder TEXT NOT NULL DEFAULT ''", "tags TEXT NOT NULL DEFAULT '[]'", "crc32 TEXT")
_TABLES = (
    """CREATE TABLE datasette_files_folders (
        source_id INTEGER NOT NULL,
        parent TEXT NOT NULL,
        name TEXT NOT NULL,
        files INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (source_id, parent, name)
    ) WITHOUT ROWID""",
    """CREATE TABLE datasette_files_tags (
        source_id INTEGER NOT NULL,
        tag TEXT NOT NULL,
        seq INTEGER NOT NULL,
        PRIMARY KEY (source_id, tag, seq)
    ) WITHOUT ROWID""",
    """CREATE TABLE datasette_files_tag_totals (
        source_id INTEGER NOT NULL,
        tag TEXT NOT NULL,
        files INTEGER NOT NULL,
        PRIMARY KEY (source_id, tag)
    ) WITHOUT ROWID""",
    # Hashing walks these files, in the order of seq.
    """CREATE INDEX datasette_files_without_crc32 ON datasette_files (source_id)
        WHERE crc32 IS NULL""",
    """CREATE TRIGGER datasette_files_tags_ai AFTER INSERT ON datasette_files_tags BEGIN
        INSERT INTO datasette_files_tag_totals (source_id, tag, files)
        VALUES (new.source_id, new.tag, 1)
        ON CONFLICT DO UPDATE SET files = files + 1; END""",
    """CREATE TRIGGER datasette_files_tags_ad AFTER DELETE ON datasette_files_tags BEGIN
        UPDATE datasette_files_tag_totals SET files = files - 1
        WHERE source_id = old.source_id AND tag = old.tag;
        DELETE FROM datasette_files_tag_totals
        WHERE source_id = old.source_id AND tag = old.tag AND files <= 0; END""",
)


@migrations(name="0015_folders")
def folders(db: sqlite_utils.Database) -> None:
    """Add the columns to files, to the trash and to uploads; make the tables."""
    for table in ("datasette_files", "datasette_files_trash", "datasette_files_uploads"):
        run(db, *(f"ALTER TABLE {table} ADD COLUMN {column}" for column in _COLUMNS))
    run(db, *_TABLES)


def _composed(folder: str) -> str:
    return unicodedata.normalize("NFC", folder)


@migrations(name="0022_composed_folders")
def compose_folders(db: sqlite_utils.Database) -> None:
    """Write the names of folders in Unicode's form NFC, as they are compared."""
    db.conn.create_function("datasette_files_composed", 1, _composed, deterministic=True)
    for table in ("datasette_files", "datasette_files_trash", "datasette_files_uploads"):
        run(
            db,
            f"""UPDATE {table} SET folder = datasette_files_composed(folder)
            WHERE folder GLOB '*[^' || char(1) || '-~]*'
            AND folder != datasette_files_composed(folder)""",
        )
