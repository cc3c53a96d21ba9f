"""The start of the internal database: migrations, write-ahead logging, one row for each source.

Also here: the scrubbing of secrets that the public 0.1a3 left behind.
"""

from __future__ import annotations

import logging
import sqlite3

import sqlite_utils

from .migrations import migrations

logger = logging.getLogger("datasette_files")

#: Pages in the log, 16 MiB, that a commit copies into the database. With SQLite's own 1,000 every
#: page of a walk would do so, and copy the same pages of the indexes each time.
_CHECKPOINT_PAGES = 4000


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


def prepare_writing(conn: sqlite3.Connection) -> None:
    """Let every commit of this connection reach the disk before it returns (SQLite: WAL).

    Its log may grow to 16 MiB before a commit copies it into the database.
    """
    conn.execute("PRAGMA synchronous=FULL")
    conn.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")


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
