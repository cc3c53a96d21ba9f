"""The search index: from ``0011_search`` on it finds words in any spelling, and parts of words.

* ``datasette_files_terms``: the extra text (words.py) of files that have one; NULL until
  ``search.index_due`` makes it. Triggers note the file, so that rows of other tools, which cannot
  call Python, are indexed too.
* ``datasette_files_indexed``: a view of the files with that text, the index's external content.
"""

from __future__ import annotations

import sqlite_utils

from ..words import extra_words
from .registry import migrations, run

_OWN = "id, filename, content_type, search_text, source_id"
_COLUMNS = f"{_OWN}, extra"
_EXTRA = "(SELECT extra FROM datasette_files_terms WHERE seq = {0}.seq)"
_VALUES = "{0}.id, {0}.filename, {0}.content_type, {0}.search_text, {0}.source_id"


def _has_extra(row: str) -> str:
    """A condition on a file: it may have words beyond the tokenizer's. GLOB knows cases."""
    text = f"({row}.filename || ' ' || ifnull({row}.search_text, ''))"
    borders = ("[a-z][A-Z]", "[A-Z][A-Z][a-z]", "[A-Za-z][0-9]", "[0-9][A-Za-z]")
    tests = [f"{text} GLOB '*{border}*'" for border in borders]
    return " OR ".join([*tests, f"{text} GLOB '*[^' || char(1) || '-~]*'"])


def _note(row: str, condition: str, tags: bool) -> str:
    extra = _has_extra(row) + (f" OR {row}.tags != '[]'" if tags else "")
    return f"""INSERT INTO datasette_files_terms (seq)
        SELECT {row}.seq WHERE {condition} AND ({extra})"""


def _delete(row: str, text: str) -> str:
    return f"""INSERT INTO datasette_files_fts
        (datasette_files_fts, rowid, {_COLUMNS})
        SELECT 'delete', {row}.seq, {_VALUES.format(row)}, {text}"""


def _add(row: str, text: str) -> str:
    return f"""INSERT INTO datasette_files_fts (rowid, {_COLUMNS})
        SELECT {row}.seq, {_VALUES.format(row)}, {text}"""


_NOW = _EXTRA.format("new")
_BEFORE = _EXTRA.format("old")
_FORGET = "DELETE FROM datasette_files_terms WHERE seq = old.seq"
_CHANGED = "(old.filename, old.search_text) IS NOT (new.filename, new.search_text)"


def file_triggers(*, tags: bool = False) -> tuple[str, ...]:
    """The triggers that keep the index; ``tags``: a file's tags are part of its extra text."""
    changed = f"({_CHANGED} OR old.tags IS NOT new.tags)" if tags else _CHANGED
    columns = "filename, content_type, search_text, source_id" + (", tags" if tags else "")
    return (
        f"""CREATE TRIGGER datasette_files_ai AFTER INSERT ON datasette_files BEGIN
        DELETE FROM datasette_files_terms WHERE seq = new.seq;
        {_note("new", "true", tags)}; {_add("new", "NULL")}; END""",
        f"""CREATE TRIGGER datasette_files_ad AFTER DELETE ON datasette_files BEGIN
        {_delete("old", _BEFORE)}; {_FORGET}; END""",
        f"""CREATE TRIGGER datasette_files_au
        AFTER UPDATE OF {columns} ON datasette_files BEGIN
        {_delete("old", _BEFORE)};
        {_FORGET} AND {changed};
        {_note("new", changed, tags)};
        {_add("new", _NOW)}; END""",
    )


_INDEX = (
    f"""CREATE VIEW datasette_files_indexed AS
        SELECT f.seq, {_VALUES.format("f")}, t.extra
        FROM datasette_files f LEFT JOIN datasette_files_terms t ON t.seq = f.seq""",
    f"""CREATE VIRTUAL TABLE datasette_files_fts USING fts5(
        {_COLUMNS.replace("id,", "id UNINDEXED,", 1)},
        content='datasette_files_indexed', content_rowid='seq',
        prefix='1 2 3', tokenize='unicode61 remove_diacritics 2'
    )""",
    *file_triggers(),
    f"""CREATE TRIGGER datasette_files_terms_au AFTER UPDATE OF extra ON datasette_files_terms BEGIN
        {_delete("f", "old.extra")} FROM datasette_files f WHERE f.seq = old.seq;
        {_add("f", "new.extra")} FROM datasette_files f WHERE f.seq = new.seq; END""",
)


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
        FROM datasette_files f WHERE {_has_extra("f")}""",
        """CREATE INDEX datasette_files_terms_due ON datasette_files_terms (seq)
        WHERE extra IS NULL""",
        *_INDEX,
        "INSERT INTO datasette_files_fts (datasette_files_fts) VALUES ('rebuild')",
    )


def _extra(filename: bytes | None, search_text: bytes | None) -> str:
    """``words.extra_words`` of bytes, as a tool may have stored some that are not UTF-8."""
    return extra_words(
        *((text or b"").decode("utf-8", "replace") for text in (filename, search_text))
    )
