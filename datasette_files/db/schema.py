"""The schema: tables, indexes, triggers, and the migrations that make or adopt them.

Tables that the public 0.1a3 made keep their names and columns. What we add:

* ``datasette_files.seq``: an explicit integer key. The search index refers to it; an implicit rowid
  may be renumbered by VACUUM, which silently breaks an external-content index.
* ``datasette_files_fts.source_id``: a token for the source inside the index, so that a search
  within a source never visits another's rows; prefix indexes for search as you type.
* ``datasette_files_totals``: files and bytes by source, type and uploader, kept by triggers.
* other sizes of thumbnails, and the failures to make one.
* one index for each order and filter that a list offers (listing.py names them).
* uploads, garbage (bytes to delete), files yet to be hashed, leases, a small key-value table.
* ``datasette_files_trash``: deleted files that can be restored. They have left the catalog's own
  table, so no query, index, total or other tool finds them.
* settings of sources that administrators changed, and the record of those changes.
* files that are being copied or moved between sources, and the copies made.
* ``datasette_files_jobs``: long work of any kind; a trigger keeps an import's public row in step.

Also here: write-ahead logging, and the scrubbing of secrets that 0.1a3 left behind.
"""

from __future__ import annotations

import logging
import sqlite3

import sqlite_utils
from sqlite_utils import Migrations

logger = logging.getLogger("datasette_files")

migrations = Migrations("datasette_files")

FILE_COLUMNS = (
    *("id", "source_id", "path", "filename", "content_type", "content_hash", "size"),
    *("width", "height", "uploaded_by", "created_at", "metadata", "search_text"),
)

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

#: Types of the trash's columns; the others are TEXT.
_TRASHED_TYPES = {
    **dict.fromkeys(("id", "path", "filename", "created_at"), "TEXT NOT NULL"),
    "source_id": "INTEGER NOT NULL",
    **dict.fromkeys(("size", "width", "height"), "INTEGER"),
}

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


def _run(db: sqlite_utils.Database, *statements: str) -> None:
    for statement in statements:
        db.execute(statement)


@migrations(name="0001_core")
def core(db: sqlite_utils.Database) -> None:
    """Make every table, or adopt those of the public 0.1a3 with all their rows."""
    adopted = db["datasette_files"].exists()
    if adopted:
        for name in ("ai", "ad", "au"):
            db.execute(f"DROP TRIGGER IF EXISTS datasette_files_{name}")
        db.execute("DROP TABLE IF EXISTS datasette_files_fts")
        db.execute("ALTER TABLE datasette_files RENAME TO datasette_files_0_1")
    _run(db, *_TABLES)
    if adopted:
        _adopt(db)
    _run(db, *_INDEXES, *_SEARCH_INDEX, *_TOTALS_TRIGGERS)
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


@migrations(name="0003_direct_uploads")
def direct_uploads(db: sqlite_utils.Database) -> None:
    """Notes of direct uploads whose client may still send bytes; files without a sha256 yet."""
    _run(
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
    _run(
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
    _run(
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
    columns = ", ".join(f"{name} {_TRASHED_TYPES.get(name, 'TEXT')}" for name in FILE_COLUMNS)
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
    _run(
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
    _run(
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


def _adopt(db: sqlite_utils.Database) -> None:
    old = {column.name for column in db["datasette_files_0_1"].columns}
    shared = ", ".join(column for column in FILE_COLUMNS if column in old)
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


def prepare(conn: sqlite3.Connection) -> None:
    """Bring the internal database to today's schema. Run outside of a transaction."""
    _migrate(conn)
    _scrub(conn)
    _write_ahead(conn)


def _migrate(conn: sqlite3.Connection) -> None:
    """Apply pending migrations. If processes start together, one applies them, the others wait."""
    db = sqlite_utils.Database(conn, execute_plugins=False)
    if not migrations.pending(db):
        return
    conn.execute("BEGIN IMMEDIATE")
    try:
        migrations.apply(db)
    except BaseException:
        conn.rollback()
        raise
    conn.commit()


def _scrub(conn: sqlite3.Connection) -> None:
    """Rewrite the file once, so that no freed page or journal holds a secret of 0.1a3.

    Fails while another process reads the file; the next start tries again.
    """
    if not conn.execute("SELECT 1 FROM datasette_files_state WHERE key = 'scrub'").fetchone():
        return
    try:
        conn.execute("VACUUM")
        busy = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    except sqlite3.OperationalError as error:
        logger.warning("Old secrets are not scrubbed from the internal database yet: %s", error)
        return
    if busy:
        logger.warning("Old secrets may stay in the internal database's log until it is idle")
        return
    with conn:
        conn.execute("DELETE FROM datasette_files_state WHERE key = 'scrub'")


def _write_ahead(conn: sqlite3.Connection) -> None:
    """Switch to write-ahead logging: readers never wait for a writer, and a commit is one flush.

    ``synchronous=FULL`` keeps every commit durable. While another process holds the file in
    another mode, the mode stays.
    """
    try:
        mode = conn.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            logger.warning("The internal database stays in journal mode %s", mode)
    except sqlite3.OperationalError as error:
        logger.warning("The internal database stays without write-ahead logging: %s", error)


def keep_durable(conn: sqlite3.Connection) -> None:
    """Let every commit of this connection reach the disk before it returns (SQLite: WAL)."""
    conn.execute("PRAGMA synchronous=FULL")


def sync_sources(
    conn: sqlite3.Connection, sources: list[tuple[str, str, str | None, str]]
) -> dict[str, tuple[int, str | None]]:
    """Keep one row for each configured source; return ``{slug: (id, provisioned)}``.

    Takes ``(slug, storage type, label, redacted config as JSON)``. Rows of sources that are no
    longer configured stay, with their files. Writes changed rows only.
    """
    for slug, storage_type, label, config in sources:
        conn.execute(
            """INSERT INTO datasette_files_sources (slug, storage_type, label, config)
            VALUES (?, ?, ?, ?)
            ON CONFLICT (slug) DO UPDATE SET storage_type = excluded.storage_type,
                label = excluded.label, config = excluded.config
            WHERE (storage_type, ifnull(label, ''), config)
                IS NOT (excluded.storage_type, ifnull(excluded.label, ''), excluded.config)""",
            (slug, storage_type, label, config),
        )
    rows = conn.execute("SELECT id, slug, provisioned FROM datasette_files_sources")
    return {row[1]: (row[0], row[2]) for row in rows}


def set_provisioned(conn: sqlite3.Connection, source_id: int, place: str) -> None:
    """Remember that the source has been up in this place."""
    conn.execute(
        "UPDATE datasette_files_sources SET provisioned = ? WHERE id = ? AND provisioned IS NOT ?",
        (place, source_id, place),
    )
