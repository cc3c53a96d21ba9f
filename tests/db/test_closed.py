"""SQL of people on a source's database reaches the source's views and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from datasette.utils import escape_sqlite

from datasette_files.db import closed, source_views
from datasette_files.db.page_words import indexed
from datasette_files.db.texts import SHIFT
from tests.support.catalog import fill

#: Stands in everything that nobody may see.
SECRET = "quagmire"


@pytest.fixture(scope="module")
def internal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sources with two files each, with pages, tags and media."""
    path = tmp_path_factory.mktemp("internal") / "inter nal?#.db"
    with closing(sqlite3.connect(path)) as conn:
        fill(conn)
        conn.execute("PRAGMA journal_mode=WAL")
        conn.execute(f"CREATE TABLE other_plugin (id, word DEFAULT '{SECRET}')")
        conn.execute("INSERT INTO other_plugin (id) VALUES (1)")
        for source, slug in ((1, "docs"), (2, "cellar")):
            conn.execute(
                "INSERT INTO datasette_files_sources (id, slug, storage_type) VALUES (?, ?, 'x')",
                (source, slug),
            )
            for number in (1, 2):
                _file(conn, source, number, "plain" if slug == "docs" else SECRET)
        conn.commit()
    return path


def _file(conn: sqlite3.Connection, source: int, number: int, word: str) -> None:
    file_id = f"df-{source}{number:025d}"
    conn.execute(
        """INSERT INTO datasette_files (id, source_id, path, filename, content_type, size,
        created_at, tags) VALUES (?, ?, ?, ?, 'image/jpeg', 5, '2026-01-02 03:04:05', ?)""",
        (file_id, source, f"{word}/{file_id}", f"{word}.jpg", f'["{word}"]'),
    )
    (seq,) = conn.execute("SELECT seq FROM datasette_files WHERE id = ?", (file_id,)).fetchone()
    pieces = ((1, f"{word} one, "), (1, "which goes on"), (2, f"{word} two Straße 中文"))
    for at, (page, text) in enumerate(pieces):
        conn.execute(
            """INSERT INTO datasette_files_pages (id, source_id, page, text, words)
            VALUES (?1, ?2, ?3, ?4, nullif(?5, ?4))""",
            ((seq << SHIFT) + at, source, page, text, indexed(text)),
        )
    conn.execute(
        """UPDATE datasette_files_media SET status = 'done', camera = ?, latitude = 1.5,
        longitude = 2.5 WHERE seq = ?""",
        (word, seq),
    )


@pytest.fixture(scope="module")
def conn(internal: Path) -> Iterator[sqlite3.Connection]:
    with closing(closed.connect(internal, 1, "docs", places=True)) as conn:
        yield conn


def _all(conn: sqlite3.Connection, sql: str, params: Any = ()) -> list[Any]:
    return conn.execute(sql, params).fetchall()


def test_the_views_hold_one_source(conn: sqlite3.Connection) -> None:
    one = f"df-1{1:025d}"
    assert _all(conn, "SELECT id, source_slug, filename FROM files ORDER BY id LIMIT 1") == [
        (one, "docs", "plain.jpg")
    ]
    for table, rows in (("files", 2), ("pages", 4), ("tags", 2), ("media", 2)):
        assert _all(conn, f"SELECT count(*) FROM {table}") == [(rows,)]
        assert SECRET not in repr(_all(conn, f"SELECT * FROM {table}"))
        columns = [row[1] for row in _all(conn, f"PRAGMA table_xinfo({escape_sqlite(table)})")]
        shown = conn.execute(f"SELECT * FROM {table}").description
        assert columns == [name for name, *_ in shown if name != "rowid"]
    assert _all(conn, "SELECT page, text FROM pages WHERE file_id = ? ORDER BY page", (one,)) == [
        (1, "plain one, which goes on"),
        (2, "plain two Straße 中文"),
    ]
    assert _all(conn, "SELECT * FROM tags WHERE file_id = ?", (one,)) == [(one, "plain")]
    assert _all(conn, "SELECT camera, latitude FROM media WHERE file_id = ?", (one,)) == [
        ("plain", 1.5)
    ]


@pytest.mark.parametrize(
    "term, pages",
    [("plain", [1, 2]), ("goes", [1]), ("strasse", [2]), ("中", [2]), ("中文", [2]), (SECRET, [])],
)
def test_pages_are_searched_as_datasette_does(
    conn: sqlite3.Connection, term: str, pages: list[int]
) -> None:
    found = _all(
        conn,
        """SELECT DISTINCT page FROM pages WHERE rowid IN (SELECT rowid FROM pages_fts
        WHERE pages_fts MATCH escape_fts(?)) ORDER BY page""",
        (term,),
    )
    assert [page for (page,) in found] == pages


def test_a_hit_costs_the_same_in_a_long_document(tmp_path: Path) -> None:
    path, steps = tmp_path / "internal.db", []
    with closing(sqlite3.connect(path)) as conn:
        fill(conn)
        conn.execute(
            "INSERT INTO datasette_files_sources (id, slug, storage_type) VALUES (1, 'docs', 'x')"
        )
        conn.executemany(
            """INSERT INTO datasette_files (seq, id, source_id, path, filename)
            VALUES (?, ?, 1, ?, 'a')""",
            [(seq, f"df-{seq:026d}", seq) for seq in (1, 2)],
        )
        conn.executemany(
            "INSERT INTO datasette_files_pages (id, source_id, page, text) VALUES (?, 1, ?, ?)",
            [
                ((seq << SHIFT) + at, at // 2, f"{word} words")
                for seq, word, pieces in ((1, "short", 400), (2, "long", 4_000))
                for at in range(pieces)
            ],
        )
        conn.commit()
    with closing(closed.connect(path, 1, "docs", places=True)) as conn:
        for word, pages in (("short", 200), ("long", 2_000)):
            ticks: list[None] = []
            conn.set_progress_handler(lambda ticks=ticks: ticks.append(None), 100)
            found = _all(
                conn,
                """SELECT count(*) FROM pages WHERE rowid IN (
                SELECT rowid FROM pages_fts WHERE pages_fts MATCH ?)""",
                (word,),
            )
            conn.set_progress_handler(None, 0)
            assert found == [(pages,)]
            steps.append(len(ticks) / pages)
    assert steps[1] < 1.5 * steps[0]


def test_places_are_hidden(internal: Path) -> None:
    with closing(closed.connect(internal, 1, "docs", places=False)) as conn:
        assert _all(conn, "SELECT DISTINCT latitude, longitude, camera FROM media") == [
            (None, None, "plain")
        ]


def test_an_open_connection_sees_later_changes(internal: Path, conn: sqlite3.Connection) -> None:
    with closing(sqlite3.connect(internal)) as other:
        other.execute("UPDATE datasette_files SET folder = 'new' WHERE source_id = 1")
        other.execute("UPDATE datasette_files_pages SET page = page WHERE source_id = 1")
        other.commit()
    assert _all(conn, "SELECT DISTINCT folder FROM files") == [("new",)]
    assert _all(conn, "SELECT count(*) FROM pages_fts WHERE pages_fts MATCH 'plain'") == [(4,)]


#: What ordinary analysis needs.
HONEST = (
    "WITH big AS (SELECT * FROM files WHERE size > 1) SELECT count(*) FROM big",
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 3) SELECT x FROM n",
    "SELECT j.value, count(*) FROM files, json_each(files.tags) j GROUP BY j.value",
    "SELECT f.filename, p.text FROM files f JOIN pages p ON p.file_id = f.id WHERE p.page = 2",
    "SELECT id, row_number() OVER (ORDER BY size) FROM files",
    "SELECT strftime('%Y', created_at), upper(filename), round(size / 2.0, 1) FROM files",
    "SELECT name, sql FROM sqlite_master",
    "SELECT name FROM pragma_table_info('files')",
    "EXPLAIN QUERY PLAN SELECT * FROM files",
    "SELECT filename AS value, count(*) FROM (SELECT * FROM files) GROUP BY value LIMIT 5",
    "PRAGMA schema_version",
    "PRAGMA foreign_key_list([pages])",
    "PRAGMA index_list([files])",
    "SELECT count(f.[table]) FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f",
    "SELECT m.name, i.name FROM sqlite_master m JOIN pragma_index_info(m.name) i",
)
#: The tables of SQLite, of the plugin and of others that are in the internal database.
_FORBIDDEN = (
    *("datasette_files", "datasette_files_sources", "datasette_files_shares", "other_plugin"),
    *("datasette_files_pages", "datasette_files_pages_indexed", "datasette_files_media"),
    *("datasette_files_pages_fts", "datasette_files_pages_fts_data", "datasette_files_fts"),
    *("datasette_files_pages_fts_idx", "datasette_files_pages_fts_config"),
    *("datasette_files_page_words", "datasette_files_jobs", "sqlite_master", "sqlite_schema"),
    *("datasette_files_tags", "datasette_files_trash", "_datasette_files_imports"),
)
HOSTILE = (
    *(
        form.format(name)
        for name in _FORBIDDEN
        for form in (
            "SELECT * FROM internal.{}",
            "SELECT count(*) FROM INTERNAL.{}",
            'SELECT 1 FROM "Internal"."{}"',
            "SELECT 1 WHERE EXISTS (SELECT 1 FROM [internal].{})",
            "WITH files AS (SELECT * FROM internal.{}) SELECT * FROM files",
            "SELECT * FROM files UNION ALL SELECT * FROM internal.{}",
            "SELECT (SELECT max(rowid) FROM internal.{}) FROM files",
        )
    ),
    *(
        form.format(name)
        for name in _FORBIDDEN
        if not name.startswith("sqlite_")
        for form in ("SELECT * FROM {}", "SELECT count(*) FROM {}", "TABLE {}")
    ),
    "SELECT * FROM sqlite_temp_master",
    "SELECT count(*) FROM SQLITE_TEMP_SCHEMA",
    "SELECT sql FROM temp.sqlite_master",
    "ATTACH '/etc/passwd' AS other",
    "DETACH internal",
    *(
        f"PRAGMA {pragma}"
        for pragma in (
            *("database_list", "table_list", "function_list", "module_list", "compile_options"),
            *("internal.table_info(datasette_files)", "page_count"),
            *("internal.schema_version", "query_only = OFF", "writable_schema = ON"),
            *("trusted_schema = ON", "internal.journal_mode = DELETE", "wal_checkpoint"),
        )
    ),
    *(
        f"SELECT * FROM pragma_{pragma}"
        for pragma in (
            *("database_list", "table_list", "function_list", "table_info('datasette_files')"),
            *("table_info('files', 'internal')", "table_xinfo('datasette_files', 'internal')"),
            *("index_list('datasette_files', 'internal')", "stats", "module_list"),
            "index_info('sqlite_autoindex_datasette_files_1')",
        )
    ),
    *("SELECT * FROM dbstat", "SELECT * FROM dbstat('internal')", "SELECT * FROM sqlite_dbpage"),
    *("SELECT * FROM sqlite_stmt", "SELECT * FROM bytecode('SELECT 1')"),
    "CREATE VIRTUAL TABLE temp.v USING fts5vocab('internal', 'datasette_files_pages_fts', 'row')",
    "CREATE TABLE x (a)",
    "CREATE TEMP TABLE x (a)",
    "CREATE TEMP VIEW x AS SELECT * FROM internal.datasette_files",
    "CREATE VIEW x AS SELECT * FROM files",
    "CREATE TEMP TRIGGER x INSTEAD OF INSERT ON files BEGIN SELECT 1; END",
    "DROP VIEW files",
    "DROP TABLE main.files",
    "INSERT INTO files (id) VALUES (1)",
    "INSERT INTO main.files (id) VALUES (1)",
    "UPDATE internal.datasette_files SET filename = 'x'",
    "UPDATE sqlite_master SET sql = 'x'",
    "DELETE FROM internal.datasette_files",
    *("VACUUM", "VACUUM INTO '/tmp/stolen.db'", "ANALYZE", "REINDEX", "BEGIN", "SAVEPOINT x"),
    "SELECT load_extension('x')",
    *("SELECT fts5(?1)", "SELECT fts3_tokenizer('simple')", "SELECT fts5_source_id()"),
    "SELECT bm25(pages_fts) FROM pages_fts WHERE pages_fts MATCH 'plain'",
    "SELECT highlight(pages_fts, 0, '', '') FROM pages_fts WHERE pages_fts MATCH 'plain'",
    "SELECT snippet(pages_fts, 0, '', '', '', 9) FROM pages_fts WHERE pages_fts MATCH 'plain'",
    "SELECT rank FROM pages_fts WHERE pages_fts MATCH 'plain'",
    "SELECT * FROM pages_fts",
    "SELECT * FROM files NATURAL JOIN internal.datasette_files_sources",
    "SELECT group_concat(sql) FROM internal.sqlite_master",
)


@pytest.mark.parametrize("sql", HONEST)
def test_honest_sql_runs(conn: sqlite3.Connection, sql: str) -> None:
    assert _all(conn, sql)


def test_hostile_sql_is_refused(conn: sqlite3.Connection) -> None:
    ran = []
    for sql in HOSTILE:
        for statement in (sql, f"  /* x */ {sql} -- y"):
            try:
                ran.append((statement, _all(conn, statement)))
            except sqlite3.OperationalError as error:
                assert SECRET not in str(error)
    assert ran == []


def test_the_names_that_views_read_by_help_nobody(conn: sqlite3.Connection) -> None:
    """SQLite tells the name in EXPLAIN, and takes a common table expression for a view of it."""
    inner = conn.names[0]  # type: ignore[attr-defined]
    told = repr(_all(conn, "EXPLAIN QUERY PLAN SELECT * FROM files UNION SELECT * FROM files"))
    told += repr(_all(conn, "EXPLAIN QUERY PLAN SELECT * FROM files LIMIT 1 OFFSET 1"))
    for name in (inner, inner.upper(), f'"{inner}"', f"[{inner}]"):
        stolen = f"WITH {name} AS (SELECT word FROM internal.other_plugin) SELECT * FROM {name}"
        with pytest.raises(sqlite3.OperationalError, match="only files, media, pages, tags"):
            conn.execute(stolen)
        with pytest.raises(sqlite3.OperationalError, match="only files, media, pages, tags"):
            conn.cursor().executemany(stolen, [()])
    assert SECRET not in told


def test_no_table_expression_slips_into_a_view(conn: sqlite3.Connection) -> None:
    for name in ("json_each", "datasette_files", "internal", "datasette_files_tags", "f", "x", "p"):
        for table in (*source_views.TABLES, "pages_fts"):
            sql = f"WITH {name} AS (SELECT word AS value, 1 AS id FROM internal.other_plugin)"
            try:
                found = _all(conn, f"{sql} SELECT * FROM {table}")
            except sqlite3.OperationalError:
                continue
            assert SECRET not in repr(found)


def test_every_view_has_its_index(conn: sqlite3.Connection) -> None:
    """The first page of each table, and the rows of one file, are read in the index's order."""
    for sql in (
        "SELECT * FROM files ORDER BY id LIMIT 101",
        "SELECT * FROM files WHERE id = 'df-1'",
        "SELECT * FROM pages ORDER BY rowid LIMIT 101",
        "SELECT * FROM pages WHERE file_id = 'df-1'",
        "SELECT * FROM pages WHERE rowid > 5 ORDER BY rowid LIMIT 101",
        "SELECT * FROM media ORDER BY file_id LIMIT 101",
        "SELECT * FROM media WHERE file_id = 'df-1'",
        "SELECT * FROM tags WHERE tag = 'x'",
        """SELECT * FROM pages WHERE rowid IN
            (SELECT rowid FROM pages_fts WHERE pages_fts MATCH 'x')""",
    ):
        plan = [row[3] for row in _all(conn, f"EXPLAIN QUERY PLAN {sql}")]
        # ``piece`` are the few rows of one long page.
        scans = [step for step in plan if step.startswith("SCAN") and step != "SCAN piece"]
        assert all("VIRTUAL TABLE INDEX" in step for step in scans), (sql, plan)
        assert not [step for step in plan if "ORDER BY" in step], (sql, plan)


def test_an_extension_is_not_loaded(conn: sqlite3.Connection) -> None:
    conn.enable_load_extension(True)
    conn.execute("SELECT load_extension(?, ?)", ["absent", "entry"])
    conn.enable_load_extension(False)
    with pytest.raises(sqlite3.OperationalError, match="load_extension"):
        conn.execute("SELECT load_extension(?, ?)", ["absent", "entry"])


def test_scripts_and_other_cursors_are_refused(conn: sqlite3.Connection) -> None:
    for script in (conn.executescript, conn.cursor().executescript):
        with pytest.raises(sqlite3.OperationalError, match="not authorized"):
            script("SELECT 1; SELECT 2")
    with pytest.raises(sqlite3.ProgrammingError):
        conn.cursor(sqlite3.Cursor)
