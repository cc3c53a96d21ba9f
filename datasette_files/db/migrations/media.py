"""Facts about pictures, videos and sound, the queue of files whose facts are due, and two indexes.

``datasette_files_media`` has a row for each file of these types. Triggers add it as ``pending``
with the file, also for files of other tools and for restored ones, make it anew where the file
moves to another source or gets another type, and remove it with the file.

The indexes give the rows of one source in the order of a database's tables (source_views.py).
"""

from __future__ import annotations

import sqlite_utils

from .registry import migrations, run

#: IN would fill a table of three texts for each row of a trigger, which takes longer than an index.
_IS_MEDIA = "({0} GLOB 'image/*' OR {0} GLOB 'video/*' OR {0} GLOB 'audio/*')".format(
    "ifnull({0}.content_type, '')"
)
_QUEUE = """INSERT OR REPLACE INTO datasette_files_media (seq, source_id, file_id)
    SELECT new.seq, new.source_id, new.id"""
_REMOVE = "DELETE FROM datasette_files_media WHERE seq = old.seq;"
#: The triggers, by name.
TRIGGERS = {
    "datasette_files_media_ai": f"""CREATE TRIGGER datasette_files_media_ai
        AFTER INSERT ON datasette_files WHEN {_IS_MEDIA.format("new")} BEGIN {_QUEUE}; END""",
    "datasette_files_media_ad": f"""CREATE TRIGGER datasette_files_media_ad
        AFTER DELETE ON datasette_files WHEN {_IS_MEDIA.format("old")} BEGIN {_REMOVE} END""",
    "datasette_files_media_au": f"""CREATE TRIGGER datasette_files_media_au
        AFTER UPDATE OF source_id, content_type ON datasette_files
        WHEN (old.source_id, old.content_type) IS NOT (new.source_id, new.content_type) BEGIN
        {_REMOVE} {_QUEUE} WHERE {_IS_MEDIA.format("new")}; END""",
}


@migrations(name="0025_media")
def media(db: sqlite_utils.Database) -> None:
    """Make the table and the indexes, and queue the files that are there."""
    run(
        db,
        """CREATE TABLE datasette_files_media (
            seq INTEGER PRIMARY KEY,
            source_id INTEGER NOT NULL,
            file_id TEXT NOT NULL,
            status TEXT NOT NULL DEFAULT 'pending',
            error TEXT,
            reader TEXT,
            attempts INTEGER NOT NULL DEFAULT 0,
            not_before REAL NOT NULL DEFAULT 0,
            taken_at TEXT,
            camera TEXT,
            lens TEXT,
            duration REAL,
            width INTEGER,
            height INTEGER,
            latitude REAL,
            longitude REAL,
            has_place INTEGER NOT NULL DEFAULT 0
        )""",
        f"""INSERT INTO datasette_files_media (seq, source_id, file_id)
        SELECT f.seq, f.source_id, f.id FROM datasette_files f WHERE {_IS_MEDIA.format("f")}""",
        """CREATE INDEX datasette_files_media_by_source
        ON datasette_files_media (source_id, status, file_id)""",
        """CREATE INDEX datasette_files_media_readers ON datasette_files_media (source_id, reader)
        WHERE reader IS NOT NULL""",
        *TRIGGERS.values(),
        "CREATE INDEX datasette_files_of_source ON datasette_files (source_id, id)",
        """CREATE INDEX datasette_files_pages_by_source
        ON datasette_files_pages (source_id, id, page)""",
    )
