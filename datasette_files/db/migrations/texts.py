"""Text of files by page, its search index, and the queue of files whose text is due.

* ``datasette_files_texts``: a row for each file. Triggers add it as ``pending`` with the file, also
  for files of other tools and for restored ones, and remove it with the file.
* ``datasette_files_pages``: the pages. ``id`` is the file's ``seq`` times 2^20 plus the row's
  number, so that hits come out of the index newest file first, and a file is a range of rows. A
  long page has several rows.
* ``datasette_files_pages_fts``: their index, with external content, so that it can be dropped and
  made anew. The source's id is a token in it, as in ``datasette_files_fts``. Nothing is ranked, so
  no sizes are stored.

The triggers remove the text of a file in the transaction that deletes it, puts it into the trash,
or moves it to another source, where it is queued again.
"""

from __future__ import annotations

import sqlite_utils

from ..page_words import indexed
from .registry import migrations, run

_REMOVE = """DELETE FROM datasette_files_pages
    WHERE id BETWEEN old.seq << 20 AND ((old.seq + 1) << 20) - 1;"""
_QUEUE = """INSERT OR REPLACE INTO datasette_files_texts (seq, source_id)
    VALUES (new.seq, new.source_id);"""

_TABLES = (
    """CREATE TABLE datasette_files_texts (
        seq INTEGER PRIMARY KEY,
        source_id INTEGER NOT NULL,
        status TEXT NOT NULL DEFAULT 'pending',
        error TEXT,
        extractor TEXT,
        pages INTEGER NOT NULL DEFAULT 0,
        claim TEXT,
        attempts INTEGER NOT NULL DEFAULT 0,
        not_before REAL NOT NULL DEFAULT 0
    )""",
    """CREATE TABLE datasette_files_pages (
        id INTEGER PRIMARY KEY,
        source_id INTEGER NOT NULL,
        page INTEGER NOT NULL,
        text TEXT NOT NULL
    )""",
    """CREATE VIRTUAL TABLE datasette_files_pages_fts USING fts5(
        text, source_id, content='datasette_files_pages', content_rowid='id', columnsize=0,
        tokenize='unicode61 remove_diacritics 2'
    )""",
    """CREATE VIRTUAL TABLE datasette_files_page_words
        USING fts5vocab(datasette_files_pages_fts, instance)""",
    """CREATE TRIGGER datasette_files_pages_ai AFTER INSERT ON datasette_files_pages BEGIN
        INSERT INTO datasette_files_pages_fts (rowid, text, source_id)
        VALUES (new.id, new.text, new.source_id); END""",
    """CREATE TRIGGER datasette_files_pages_ad AFTER DELETE ON datasette_files_pages BEGIN
        INSERT INTO datasette_files_pages_fts
            (datasette_files_pages_fts, rowid, text, source_id)
        VALUES ('delete', old.id, old.text, old.source_id); END""",
    f"""CREATE TRIGGER datasette_files_texts_ai AFTER INSERT ON datasette_files BEGIN
        {_QUEUE} END""",
    f"""CREATE TRIGGER datasette_files_texts_ad AFTER DELETE ON datasette_files BEGIN
        {_REMOVE} DELETE FROM datasette_files_texts WHERE seq = old.seq; END""",
    f"""CREATE TRIGGER datasette_files_texts_moved AFTER UPDATE OF source_id ON datasette_files
        WHEN old.source_id != new.source_id BEGIN {_REMOVE} {_QUEUE} END""",
    """CREATE TRIGGER datasette_files_texts_renamed
        AFTER UPDATE OF filename, content_type ON datasette_files
        WHEN (old.filename, old.content_type) IS NOT (new.filename, new.content_type) BEGIN
        UPDATE datasette_files_texts SET status = 'pending', attempts = 0, not_before = 0
        WHERE seq = new.seq AND status IN ('none', 'failed'); END""",
)


@migrations(name="0020_texts")
def texts(db: sqlite_utils.Database) -> None:
    """Make the tables, and queue the files that are there."""
    run(
        db,
        *_TABLES,
        "INSERT INTO datasette_files_texts (seq, source_id) SELECT seq, source_id"
        " FROM datasette_files",
        """CREATE INDEX datasette_files_texts_by_status
        ON datasette_files_texts (source_id, status, seq)""",
    )


@migrations(name="0021_page_words")
def page_words(db: sqlite_utils.Database) -> None:
    """Index other spellings of letters, and every character of Chinese or Thai as a word.

    ``words`` is the text of a page as the index holds it; NULL where that is the text itself.
    """
    db.conn.create_function("datasette_files_page_words", 1, _words, deterministic=True)
    run(
        db,
        "ALTER TABLE datasette_files_pages ADD COLUMN words TEXT",
        "UPDATE datasette_files_pages SET words = datasette_files_page_words(text)"
        " WHERE datasette_files_page_words(text) IS NOT NULL",
        "DROP TABLE datasette_files_page_words",
        "DROP TABLE datasette_files_pages_fts",
        *(f"DROP TRIGGER datasette_files_pages_{name}" for name in ("ai", "ad")),
        """CREATE VIEW datasette_files_pages_indexed AS
        SELECT id, coalesce(words, text) AS text, source_id FROM datasette_files_pages""",
        """CREATE VIRTUAL TABLE datasette_files_pages_fts USING fts5(
        text, source_id, content='datasette_files_pages_indexed', content_rowid='id', columnsize=0,
        tokenize='unicode61 remove_diacritics 2'
        )""",
        """CREATE VIRTUAL TABLE datasette_files_page_words
        USING fts5vocab(datasette_files_pages_fts, instance)""",
        """CREATE TRIGGER datasette_files_pages_ai AFTER INSERT ON datasette_files_pages BEGIN
        INSERT INTO datasette_files_pages_fts (rowid, text, source_id)
        VALUES (new.id, coalesce(new.words, new.text), new.source_id); END""",
        """CREATE TRIGGER datasette_files_pages_ad AFTER DELETE ON datasette_files_pages BEGIN
        INSERT INTO datasette_files_pages_fts
            (datasette_files_pages_fts, rowid, text, source_id)
        VALUES ('delete', old.id, coalesce(old.words, old.text), old.source_id); END""",
        "INSERT INTO datasette_files_pages_fts (datasette_files_pages_fts) VALUES ('rebuild')",
    )


def _words(text: str) -> str | None:
    made = indexed(text)
    return None if made == text else made
