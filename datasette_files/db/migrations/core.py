"""The first tables: made, or adopted from the public 0.1a3 with all their rows.

Tables that 0.1a3 made keep their names and columns. What we add:

* ``datasette_files.seq``: an explicit integer key. The search index refers to it; an implicit rowid
  may be renumbered by VACUUM, which silently breaks an external-content index.
* ``datasette_files_fts.source_id``: a token for the source inside the index, so that a search
  within a source never visits another's rows; prefix indexes for search as you type.
* ``datasette_files_totals``: files and bytes by source, type and uploader, kept by triggers.
* one index for each order and filter that a list offers (listing.py names them).
* uploads, garbage (bytes to delete), leases, a small key-value table.
"""

from __future__ import annotations

import sqlite_utils

from .registry import FIRST_COLUMNS, migrations, run

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

_ORDERS = {
    "created": "created_at",
    "filename": "filename COLLATE NOCASE",
    "size": "ifnull(size, -1)",
}
_FILTERS = {
    "": "source_id",
    "_type": "source_id, ifnull(content_type, '')",
    "_uploader": "source_id, ifnull(uploaded_by, ''), ifnull(content_type, '')",
}

_INDEXES = tuple(
    f"CREATE INDEX datasette_files_by{prefix}_{order} ON datasette_files ({columns}, {key})"
    for prefix, columns in _FILTERS.items()
    for order, key in _ORDERS.items()
)

_SEARCH_COLUMNS = "id, filename, content_type, search_text, source_id"
_DELETE_FROM_INDEX = f"""INSERT INTO datasette_files_fts
    (datasette_files_fts, rowid, {_SEARCH_COLUMNS}) VALUES
    ('delete', old.seq, old.id, old.filename, old.content_type, old.search_text, old.source_id);"""
_ADD_TO_INDEX = f"""INSERT INTO datasette_files_fts (rowid, {_SEARCH_COLUMNS}) VALUES
    (new.seq, new.id, new.filename, new.content_type, new.search_text, new.source_id);"""

_SUBTRACT = """UPDATE datasette_files_totals
    SET files = files - 1, bytes = bytes - ifnull(old.size, 0)
    WHERE source_id = old.source_id AND uploaded_by = ifnull(old.uploaded_by, '')
        AND content_type = ifnull(old.content_type, '');
    DELETE FROM datasette_files_totals
    WHERE source_id = old.source_id AND uploaded_by = ifnull(old.uploaded_by, '')
        AND content_type = ifnull(old.content_type, '') AND files <= 0;"""
_ADD = """INSERT INTO datasette_files_totals (source_id, uploaded_by, content_type, files, bytes)
    VALUES (new.source_id, ifnull(new.uploaded_by, ''), ifnull(new.content_type, ''),
        1, ifnull(new.size, 0))
    ON CONFLICT DO UPDATE SET files = files + 1, bytes = bytes + excluded.bytes;"""

_SEARCH_INDEX = (
    f"""CREATE VIRTUAL TABLE datasette_files_fts USING fts5(
        {_SEARCH_COLUMNS.replace("id,", "id UNINDEXED,", 1)},
        content='datasette_files', content_rowid='seq',
        prefix='1 2 3', tokenize='unicode61 remove_diacritics 2'
    )""",
    f"""CREATE TRIGGER datasette_files_ai AFTER INSERT ON datasette_files BEGIN
        {_ADD_TO_INDEX} END""",
    f"""CREATE TRIGGER datasette_files_ad AFTER DELETE ON datasette_files BEGIN
        {_DELETE_FROM_INDEX} END""",
    f"""CREATE TRIGGER datasette_files_au
        AFTER UPDATE OF filename, content_type, search_text, source_id ON datasette_files BEGIN
        {_DELETE_FROM_INDEX} {_ADD_TO_INDEX} END""",
)
_TOTALS_TRIGGERS = (
    f"""CREATE TRIGGER datasette_files_totals_ai AFTER INSERT ON datasette_files BEGIN
        {_ADD} END""",
    f"""CREATE TRIGGER datasette_files_totals_ad AFTER DELETE ON datasette_files BEGIN
        {_SUBTRACT} END""",
    f"""CREATE TRIGGER datasette_files_totals_au
        AFTER UPDATE OF source_id, content_type, uploaded_by, size ON datasette_files BEGIN
        {_SUBTRACT} {_ADD} END""",
)


@migrations(name="0001_core")
def core(db: sqlite_utils.Database) -> None:
    """Make every table, or adopt those of the public 0.1a3 with all their rows."""
    adopted = db["datasette_files"].exists()
    if adopted:
        for name in ("ai", "ad", "au"):
            db.execute(f"DROP TRIGGER IF EXISTS datasette_files_{name}")
        db.execute("DROP TABLE IF EXISTS datasette_files_fts")
        db.execute("ALTER TABLE datasette_files RENAME TO datasette_files_0_1")
    run(db, *_TABLES)
    if adopted:
        _adopt(db)
    run(db, *_INDEXES, *_SEARCH_INDEX, *_TOTALS_TRIGGERS)
    if adopted:
        db.execute("INSERT INTO datasette_files_fts (datasette_files_fts) VALUES ('rebuild')")
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
    shared = ", ".join(column for column in FIRST_COLUMNS if column in old)
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
