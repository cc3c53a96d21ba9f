"""Folders, tags and crc32 of files.

* ``datasette_files.tags``: a JSON array of texts, so that copies and the trash keep it as a column;
  ``datasette_files_tags`` indexes it, and ``datasette_files_tag_totals`` counts files by tag.
* ``datasette_files_folders``: each folder that holds a file or a folder, by its parent, with the
  files and bytes in it and below it. Triggers add a file to every folder above it.
* one index for each order of a list of one folder.

Rows that other tools insert have the defaults: the top folder, no tags, no crc32.
"""

from __future__ import annotations

import unicodedata

import sqlite_utils

from .registry import migrations, run
from .search import file_triggers

_COLUMNS = (
    "folder TEXT NOT NULL DEFAULT ''",
    "tags TEXT NOT NULL DEFAULT '[]'",
    "crc32 TEXT",
)
_ORDERS = {
    "created": "created_at",
    "filename": "filename COLLATE NOCASE",
    "size": "ifnull(size, -1)",
}
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
)
_INDEXES = tuple(
    f"CREATE INDEX datasette_files_by_folder_{order} ON datasette_files (source_id, folder, {key})"
    for order, key in _ORDERS.items()
)


def _above(row: str) -> str:
    """A query of ``(parent, name)``: the folder of a file, and every folder above it."""
    text = f"{row}.folder || '/'"
    return f"""(WITH RECURSIVE step (parent, name, rest) AS (
            SELECT '', substr({text}, 1, instr({text}, '/') - 1),
                substr({text}, instr({text}, '/') + 1)
            UNION ALL
            SELECT parent || CASE parent WHEN '' THEN '' ELSE '/' END || name,
                substr(rest, 1, instr(rest, '/') - 1), substr(rest, instr(rest, '/') + 1)
            FROM step WHERE rest != ''
        ) SELECT parent, name FROM step)"""


_ADD = f"""INSERT INTO datasette_files_folders (source_id, parent, name, files, bytes)
    SELECT new.source_id, parent, name, 1, ifnull(new.size, 0) FROM {_above("new")}
    WHERE new.folder != ''
    ON CONFLICT DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;"""
_SUBTRACT = f"""UPDATE datasette_files_folders
    SET files = files - 1, bytes = bytes - ifnull(old.size, 0)
    WHERE source_id = old.source_id AND (parent, name) IN {_above("old")};
    DELETE FROM datasette_files_folders
    WHERE source_id = old.source_id AND (parent, name) IN {_above("old")} AND files <= 0;"""
_TAG = """INSERT OR IGNORE INTO datasette_files_tags (source_id, tag, seq)
    SELECT new.source_id, value, new.seq FROM json_each(new.tags);"""
_UNTAG = """DELETE FROM datasette_files_tags WHERE source_id = old.source_id AND seq = old.seq
    AND tag IN (SELECT value FROM json_each(old.tags));"""

_TRIGGERS = (
    f"""CREATE TRIGGER datasette_files_folders_ai AFTER INSERT ON datasette_files
    WHEN new.folder != '' BEGIN {_ADD} END""",
    f"""CREATE TRIGGER datasette_files_folders_ad AFTER DELETE ON datasette_files
    WHEN old.folder != '' BEGIN {_SUBTRACT} END""",
    f"""CREATE TRIGGER datasette_files_folders_au
    AFTER UPDATE OF source_id, folder, size ON datasette_files
    WHEN old.folder != '' OR new.folder != '' BEGIN {_ADD} {_SUBTRACT} END""",
    f"""CREATE TRIGGER datasette_files_tags_file_ai AFTER INSERT ON datasette_files
    WHEN new.tags != '[]' BEGIN {_TAG} END""",
    f"""CREATE TRIGGER datasette_files_tags_file_ad AFTER DELETE ON datasette_files
    WHEN old.tags != '[]' BEGIN {_UNTAG} END""",
    f"""CREATE TRIGGER datasette_files_tags_file_au
    AFTER UPDATE OF source_id, tags ON datasette_files
    WHEN old.tags != '[]' OR new.tags != '[]' BEGIN {_UNTAG} {_TAG} END""",
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
    """Add the columns to files, to the trash and to uploads; their indexes and totals."""
    for table in ("datasette_files", "datasette_files_trash", "datasette_files_uploads"):
        run(db, *(f"ALTER TABLE {table} ADD COLUMN {column}" for column in _COLUMNS))
    run(
        db,
        *(f"DROP TRIGGER datasette_files_{name}" for name in ("ai", "ad", "au")),
        *file_triggers(tags=True),
        *(*_TABLES, *_INDEXES, *_TRIGGERS),
    )


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
