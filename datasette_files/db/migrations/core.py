"""The first tables: made, or adopted from the public 0.1a3 with all their rows.

Tables that 0.1a3 made keep their names and columns. What we add:

* ``datasette_files.seq``: an explicit integer key. The search index refers to it; an implicit rowid
  may be renumbered by VACUUM, which silently breaks an external-content index.
* ``datasette_files_totals``: files and bytes by source, type and uploader.
* uploads, garbage (bytes to delete), leases, a small key-value table.

The search index follows in search.py, indexes and triggers of files in shelves.py.
"""

from __future__ import annotations

import sqlite_utils

from .registry import CORE_COLUMNS, migrations, run

_TABLES = (
    """CREATE TABLE IF NOT EXISTS datasette_files_sources (
        id INTEGER PRIMARY KEY,
        slug TEXT NOT NULL UNIQUE,
        storage_type TEXT NOT NULL,
        label TEXT,
        config TEXT DEFAULT '{}',
        last_sync_token TEXT,
        created_at TEXT NOT NULL DEFAULT (datetime('now'))
    )""",
    """CREATE TABLE datasette_files (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        source_id INTEGER NOT NULL REFERENCES datasette_files_sources(id),
        path TEXT NOT NULL,
        filename TEXT NOT NULL,
        content_type TEXT,
        content_hash TEXT,
        size INTEGER,
        width INTEGER,
        height INTEGER,
        uploaded_by TEXT,
        created_at TEXT NOT NULL DEFAULT (datetime('now')),
        metadata TEXT DEFAULT '{}',
        search_text TEXT DEFAULT '',
        UNIQUE (source_id, path)
    )""",
    """CREATE TABLE IF NOT EXISTS datasette_files_thumbnails (
        file_id TEXT PRIMARY KEY,
        thumbnail BLOB NOT NULL,
        content_type TEXT NOT NULL DEFAULT 'image/png',
        width INTEGER,
        height INTEGER,
        generator TEXT,
        created_at TEXT NOT NULL DEFAULT (datetime('now'))
    )""",
    """CREATE TABLE IF NOT EXISTS _datasette_files_imports (
        id INTEGER PRIMARY KEY,
        file_id TEXT NOT NULL,
        import_type TEXT NOT NULL DEFAULT 'csv',
        database_name TEXT NOT NULL,
        table_name TEXT NOT NULL,
        status TEXT NOT NULL DEFAULT 'pending',
        row_count INTEGER NOT NULL DEFAULT 0,
        total_size INTEGER NOT NULL DEFAULT 0,
        bytes_read INTEGER NOT NULL DEFAULT 0,
        error TEXT,
        started_at TEXT NOT NULL DEFAULT (datetime('now')),
        finished_at TEXT,
        actor_id TEXT
    )""",
    """CREATE TABLE datasette_files_totals (
        source_id INTEGER NOT NULL,
        uploaded_by TEXT NOT NULL,
        content_type TEXT NOT NULL,
        files INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (source_id, uploaded_by, content_type)
    ) WITHOUT ROWID""",
    # A token is a key to an upload, so only its digest is kept. Times are seconds since the epoch.
    """CREATE TABLE datasette_files_uploads (
        id TEXT PRIMARY KEY,
        source_id INTEGER NOT NULL,
        file_id TEXT NOT NULL,
        path TEXT NOT NULL,
        filename TEXT NOT NULL,
        content_type TEXT NOT NULL,
        size INTEGER,
        sha256 TEXT,
        content_hash TEXT,
        stored_type TEXT,
        stored_size INTEGER,
        width INTEGER,
        height INTEGER,
        actor_id TEXT,
        state TEXT NOT NULL,
        claim TEXT,
        claimed_until REAL,
        instructions TEXT,
        created_at REAL NOT NULL,
        expires_at REAL NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX datasette_files_uploads_expiry ON datasette_files_uploads (expires_at)",
    """CREATE TABLE datasette_files_garbage (
        id INTEGER PRIMARY KEY,
        source_id INTEGER NOT NULL,
        path TEXT NOT NULL,
        file_id TEXT,
        actor_id TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        not_before REAL NOT NULL,
        done_at REAL
    )""",
    """CREATE INDEX datasette_files_garbage_due ON datasette_files_garbage (source_id, not_before)
        WHERE done_at IS NULL""",
    """CREATE INDEX datasette_files_garbage_path ON datasette_files_garbage (source_id, path)
        WHERE done_at IS NULL""",
    """CREATE INDEX datasette_files_garbage_done ON datasette_files_garbage (done_at)
        WHERE done_at IS NOT NULL""",
    """CREATE INDEX datasette_files_garbage_file ON datasette_files_garbage (file_id)
        WHERE file_id IS NOT NULL""",
    """CREATE TABLE datasette_files_leases (
        name TEXT PRIMARY KEY,
        holder TEXT NOT NULL,
        expires_at REAL NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE datasette_files_state (
        key TEXT PRIMARY KEY,
        value TEXT
    ) WITHOUT ROWID""",
    "ALTER TABLE datasette_files_sources ADD COLUMN provisioned TEXT",
)


@migrations(name="0001_core")
def core(db: sqlite_utils.Database) -> None:
    """Make the tables, or adopt those of the public 0.1a3 with all their rows."""
    adopted = db["datasette_files"].exists()
    if adopted:
        for name in ("ai", "ad", "au"):
            db.execute(f"DROP TRIGGER IF EXISTS datasette_files_{name}")
        db.execute("DROP TABLE IF EXISTS datasette_files_fts")
        db.execute("ALTER TABLE datasette_files RENAME TO datasette_files_0_1")
    run(db, *_TABLES)
    if adopted:
        _adopt(db)
        db.execute(
            """INSERT INTO datasette_files_totals
            SELECT source_id, ifnull(uploaded_by, ''), ifnull(content_type, ''),
                count(*), sum(ifnull(size, 0))
            FROM datasette_files GROUP BY 1, 2, 3"""
        )


@migrations(name="0002_words")
def words(db: sqlite_utils.Database) -> None:
    """The vocabulary of the search index."""
    db.execute(
        "CREATE VIRTUAL TABLE datasette_files_words"
        " USING fts5vocab('datasette_files_fts', 'instance')"
    )


def _adopt(db: sqlite_utils.Database) -> None:
    old = {column.name for column in db["datasette_files_0_1"].columns}
    shared = ", ".join(column for column in CORE_COLUMNS if column in old)
    db.execute(
        f"INSERT INTO datasette_files ({shared})"
        f" SELECT {shared} FROM datasette_files_0_1 ORDER BY created_at, rowid"
    )
    db.execute("DROP TABLE datasette_files_0_1")
    # 0.1a3 stored each source's whole configuration, secrets included.
    db.execute("UPDATE datasette_files_sources SET config = '{}'")
    # A storage that holds files must not be created again if it is missing at our first start.
    db.execute(
        """UPDATE datasette_files_sources SET provisioned = 'adopted'
        WHERE id IN (SELECT source_id FROM datasette_files)"""
    )
    db.execute("INSERT INTO datasette_files_state VALUES ('scrub', 'pending')")
    # Jobs of 0.1a3 ended with its process, which could not record that.
    db.execute(
        """UPDATE _datasette_files_imports SET status = 'interrupted', finished_at = datetime('now')
        WHERE status IN ('pending', 'running')"""
    )
