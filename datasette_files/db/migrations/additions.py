"""Tables and columns that were added one by one after the first: one migration for each feature.

* files yet to be hashed; other sizes of thumbnails, and the failures to make one.
* ``datasette_files_trash``: deleted files that can be restored. They have left the catalog's own
  table, so no query, index, total or other tool finds them.
* settings of sources that administrators changed, and the record of those changes.
* files that are being copied or moved between sources, and the copies made.
* ``datasette_files_jobs``: long work of any kind; a trigger keeps an import's public row in step.
"""

from __future__ import annotations

import sqlite_utils

from .registry import FIRST_COLUMNS, migrations, run

#: Types of the trash's columns; the others are TEXT.
_TRASHED_TYPES = {
    **dict.fromkeys(("id", "path", "filename", "created_at"), "TEXT NOT NULL"),
    "source_id": "INTEGER NOT NULL",
    **dict.fromkeys(("size", "width", "height"), "INTEGER"),
}


@migrations(name="0003_direct_uploads")
def direct_uploads(db: sqlite_utils.Database) -> None:
    """Notes of direct uploads whose client may still send bytes; files without a sha256 yet."""
    run(
        db,
        "ALTER TABLE datasette_files_garbage ADD COLUMN instructions TEXT",
        """CREATE TABLE datasette_files_unhashed (
            file_id TEXT PRIMARY KEY,
            source_id INTEGER NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            not_before REAL NOT NULL
        ) WITHOUT ROWID""",
        """CREATE INDEX datasette_files_unhashed_due
        ON datasette_files_unhashed (source_id, not_before)""",
    )


@migrations(name="0004_thumbnails")
def thumbnails(db: sqlite_utils.Database) -> None:
    """Thumbnails in other sizes and as WebP, and the failures to make one."""
    run(
        db,
        """CREATE TABLE datasette_files_thumbnail_sizes (
            file_id TEXT NOT NULL,
            side INTEGER NOT NULL,
            variant TEXT NOT NULL,
            thumbnail BLOB NOT NULL,
            content_type TEXT NOT NULL,
            width INTEGER,
            height INTEGER,
            generator TEXT,
            created_at TEXT NOT NULL,
            PRIMARY KEY (file_id, side, variant)
        )""",
        """CREATE TABLE datasette_files_thumbnail_failures (
            file_id TEXT PRIMARY KEY,
            fingerprint TEXT NOT NULL,
            reason TEXT NOT NULL,
            attempts INTEGER NOT NULL,
            retry_at REAL
        ) WITHOUT ROWID""",
    )


@migrations(name="0005_imports")
def imports(db: sqlite_utils.Database) -> None:
    """Columns of import jobs beyond the public release's, and indexes to find jobs."""
    run(
        db,
        """CREATE TABLE datasette_files_import_jobs (
            job_id INTEGER PRIMARY KEY,
            options TEXT NOT NULL,
            content_hash TEXT,
            source_id INTEGER,
            holder TEXT,
            lease_until REAL,
            cancel INTEGER NOT NULL DEFAULT 0,
            phase TEXT,
            written INTEGER NOT NULL DEFAULT 0,
            begun_at REAL,
            updated_at REAL,
            folder TEXT,
            staging TEXT,
            committing INTEGER NOT NULL DEFAULT 0,
            result TEXT
        )""",
        """CREATE INDEX datasette_files_import_jobs_left ON datasette_files_import_jobs (job_id)
        WHERE staging IS NOT NULL OR folder IS NOT NULL""",
        """CREATE INDEX datasette_files_imports_active ON _datasette_files_imports (status)
        WHERE status IN ('pending', 'running')""",
        "CREATE INDEX datasette_files_imports_file ON _datasette_files_imports (file_id)",
        """CREATE INDEX datasette_files_imports_table
        ON _datasette_files_imports (database_name, table_name)""",
    )


@migrations(name="0006_trash")
def trash(db: sqlite_utils.Database) -> None:
    """Deleted files that can be restored, the newest deletion with the highest ``number``.

    Times are seconds since the epoch. A path in the trash is taken, so that a tool which indexes
    the storage does not bring its file back.
    """
    columns = ", ".join(f"{name} {_TRASHED_TYPES.get(name, 'TEXT')}" for name in FIRST_COLUMNS)
    db.execute(
        f"""CREATE TABLE datasette_files_trash (
            number INTEGER PRIMARY KEY,
            seq INTEGER NOT NULL,
            {columns},
            trashed_at REAL NOT NULL,
            trashed_by TEXT,
            purge_at REAL NOT NULL,
            UNIQUE (id),
            UNIQUE (source_id, path)
        )"""
    )
    for name, more in {"list": "", "own": ", trashed_by", "due": ", purge_at"}.items():
        db.execute(
            f"""CREATE INDEX datasette_files_trash_{name}
            ON datasette_files_trash (source_id{more})"""
        )
    for name, event in {"new": "INSERT", "moved": "UPDATE OF id, source_id, path"}.items():
        db.execute(
            f"""CREATE TRIGGER datasette_files_trash_{name} BEFORE {event} ON datasette_files
            WHEN EXISTS (SELECT 1 FROM datasette_files_trash WHERE id = new.id)
                OR EXISTS (SELECT 1 FROM datasette_files_trash
                    WHERE source_id = new.source_id AND path = new.path)
            BEGIN SELECT RAISE(ABORT, 'a file of this id or path is in the trash'); END"""
        )


@migrations(name="0007_settings")
def settings(db: sqlite_utils.Database) -> None:
    """Values, as JSON, that override the yaml's, and every change of them."""
    run(
        db,
        """CREATE TABLE datasette_files_settings (
            source_id INTEGER NOT NULL,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (source_id, key)
        ) WITHOUT ROWID""",
        """CREATE TABLE datasette_files_settings_changes (
            id INTEGER PRIMARY KEY,
            source_id INTEGER NOT NULL,
            changed_at REAL NOT NULL,
            actor_id TEXT,
            key TEXT NOT NULL,
            old_value TEXT NOT NULL,
            new_value TEXT NOT NULL,
            is_reset INTEGER NOT NULL
        )""",
        """CREATE INDEX datasette_files_settings_changes_source
        ON datasette_files_settings_changes (source_id)""",
    )


@migrations(name="0008_moves")
def moves(db: sqlite_utils.Database) -> None:
    """Claims of copies and moves (until seconds since the epoch), and the copies made."""
    run(
        db,
        """CREATE TABLE datasette_files_moves (
            file_id TEXT PRIMARY KEY,
            target_id INTEGER NOT NULL,
            claim TEXT NOT NULL,
            claimed_until REAL NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE datasette_files_copies (
            file_id TEXT NOT NULL,
            target_id INTEGER NOT NULL,
            copy_id TEXT NOT NULL,
            PRIMARY KEY (file_id, target_id)
        ) WITHOUT ROWID""",
    )


@migrations(name="0009_jobs")
def jobs(db: sqlite_utils.Database) -> None:
    """Jobs of any kind. An import's job has the id of its row in ``_datasette_files_imports``."""
    db.execute(
        """CREATE TABLE datasette_files_jobs (
            id INTEGER PRIMARY KEY,
            kind TEXT NOT NULL,
            actor TEXT NOT NULL,
            actor_id TEXT,
            options TEXT NOT NULL,
            notes TEXT NOT NULL DEFAULT '{}',
            status TEXT NOT NULL DEFAULT 'pending',
            error TEXT,
            phase TEXT,
            progress TEXT NOT NULL DEFAULT '{}',
            result TEXT NOT NULL DEFAULT '{}',
            holder TEXT,
            lease_until REAL NOT NULL DEFAULT 0,
            cancel INTEGER NOT NULL DEFAULT 0,
            unclean INTEGER NOT NULL DEFAULT 0,
            begun_at REAL,
            updated_at REAL
        )"""
    )
    db.execute(
        """INSERT INTO datasette_files_jobs
        SELECT i.id, 'import',
            CASE WHEN i.actor_id IS NOT NULL AND i.status IN ('pending', 'running')
                THEN json_object('id', i.actor_id) ELSE 'null' END,
            i.actor_id, m.options,
            json_object('file_id', i.file_id, 'content_hash', m.content_hash,
                'source_id', m.source_id, 'size', i.total_size, 'folder', m.folder,
                'staging', m.staging, 'committing', m.committing),
            i.status, i.error, m.phase,
            json_object('rows', i.row_count, 'read', i.bytes_read, 'written', m.written),
            ifnull(m.result, '{}'), m.holder, ifnull(m.lease_until, 0), m.cancel,
            i.status = 'running' OR m.folder IS NOT NULL OR m.staging IS NOT NULL,
            m.begun_at, m.updated_at
        FROM datasette_files_import_jobs m JOIN _datasette_files_imports i ON i.id = m.job_id"""
    )
    db.execute("DROP TABLE datasette_files_import_jobs")
    db.execute("DROP INDEX datasette_files_imports_active")
    db.execute(
        """CREATE INDEX datasette_files_jobs_active ON datasette_files_jobs (status, kind)
        WHERE status IN ('pending', 'running')"""
    )
    db.execute(
        "CREATE INDEX datasette_files_jobs_unclean ON datasette_files_jobs (id) WHERE unclean"
    )
    db.execute(
        """CREATE TRIGGER datasette_files_jobs_import
        AFTER UPDATE OF status, error, progress ON datasette_files_jobs WHEN new.kind = 'import'
        BEGIN
            UPDATE _datasette_files_imports SET status = new.status, error = new.error,
                row_count = ifnull(json_extract(new.progress, '$.rows'), 0),
                bytes_read = CASE new.status WHEN 'finished' THEN total_size
                    ELSE min(total_size, ifnull(json_extract(new.progress, '$.read'), 0)) END,
                finished_at = CASE WHEN new.status IN ('pending', 'running') THEN NULL
                    ELSE ifnull(finished_at, datetime('now')) END
            WHERE id = new.id;
        END"""
    )
