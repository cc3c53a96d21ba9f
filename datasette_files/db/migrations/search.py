"""The search index: from ``0011_search`` on it finds words in any spelling, and parts of words.

* ``datasette_files_terms``: the extra text (words.py) of files that have one; NULL until
  ``search.index_due`` makes it. Triggers (shelves.py) note the file.
* ``datasette_files_fts.source_id``: a token for the source inside the index, so that a search
  within a source never visits another's rows; prefix indexes for search as you type.
* ``datasette_files_indexed``: a view of the files with that text, the index's external content.
"""

from __future__ import annotations

import sqlite_utils

from ..words import extra_words
from .registry import migrations, run

#: The columns of the index; by source, or by shelf since there are versions.
COLUMNS = "id, filename, content_type, search_text, source_id, extra"


def has_extra(row: str) -> str:
    """A condition on a file: it may have words beyond the tokenizer's. GLOB knows cases.

    GLOB takes as long as an index, so a text in lower case is not searched for capitals.
    """
    text = f"({row}.filename || ' ' || ifnull({row}.search_text, ''))"
    cases = f"{text} GLOB '*[a-z][A-Z]*' OR {text} GLOB '*[A-Z][A-Z][a-z]*'"
    borders = ("[A-Za-z][0-9]", "[0-9][A-Za-z]", "[^' || char(1) || '-~]")
    tests = [f"{text} GLOB '*{border}*'" for border in borders]
    return " OR ".join([f"({text} != lower({text}) AND ({cases}))", *tests])


def indexed(source: str) -> str:
    """The view of the index's content, with this column of the file as its ``source_id``."""
    return f"""CREATE VIEW datasette_files_indexed AS
        SELECT f.seq, f.id, f.filename, f.content_type, f.search_text, {source}, t.extra
        FROM datasette_files f LEFT JOIN datasette_files_terms t ON t.seq = f.seq"""


@migrations(name="0011_search")
def search(db: sqlite_utils.Database) -> None:
    """Make the index anew, with the extra text of the files that are there."""
    db.conn.create_function("datasette_files_extra", 2, _extra, deterministic=True)
    run(
        db,
        *(f"DROP TRIGGER IF EXISTS datasette_files_{name}" for name in ("ai", "ad", "au")),
        "DROP TABLE IF EXISTS datasette_files_fts",
        "CREATE TABLE datasette_files_terms (seq INTEGER PRIMARY KEY, extra TEXT)",
        f"""INSERT INTO datasette_files_terms
        SELECT seq, datasette_files_extra(CAST(filename AS BLOB), CAST(search_text AS BLOB))
        FROM datasette_files f WHERE {has_extra("f")}""",
        """CREATE INDEX datasette_files_terms_due ON datasette_files_terms (seq)
        WHERE extra IS NULL""",
        indexed("f.source_id"),
        f"""CREATE VIRTUAL TABLE datasette_files_fts USING fts5(
            {COLUMNS.replace("id,", "id UNINDEXED,", 1)},
            content='datasette_files_indexed', content_rowid='seq',
            prefix='1 2 3', tokenize='unicode61 remove_diacritics 2'
        )""",
        "INSERT INTO datasette_files_fts (datasette_files_fts) VALUES ('rebuild')",
    )


def _extra(filename: bytes | None, search_text: bytes | None) -> str:
    """``words.extra_words`` of bytes, as a tool may have stored some that are not UTF-8."""
    return extra_words(
        *((text or b"").decode("utf-8", "replace") for text in (filename, search_text))
    )
