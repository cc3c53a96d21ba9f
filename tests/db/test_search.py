"""Which expression of the search index words become, and that it finds the same files."""

from __future__ import annotations

import sqlite3
import unicodedata
from contextlib import closing
from pathlib import Path

import pytest
import sqlite_utils
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.db import schema, search
from datasette_files.db.migrations import migrations
from tests.db.conftest import check_search_index, new_catalog


@pytest.fixture
def named(conn: sqlite3.Connection) -> sqlite3.Connection:
    """Files called by words: some are beginnings of others, and one has many that begin with it."""
    names = ["report", "reports", "Reporter", "repo", "ünder", "under", "10", "100", "re-port"]
    names += [f"many{n}" for n in range(search._MAX_WORDS + 1)]
    with conn:
        conn.executemany(
            """INSERT INTO datasette_files (id, source_id, path, filename, created_at)
            VALUES (?, 1, ?, ?, '2026-01-01 00:00:00')""",
            [(f"df-{n}", f"p/{n}", name) for n, name in enumerate(names)],
        )
    return conn


def found(conn: sqlite3.Connection, q: str, source_ids: list[int] | None = None) -> list[str]:
    expression = search.match_expression(conn, q, source_ids)
    assert expression is not None
    files, _ = search.page(conn, search.Matching(expression), None, 100)
    return sorted(file.filename for file in files)


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("report", ["Reporter", "report", "reports"]),
        ("REPORTE", ["Reporter"]),
        ("rep", ["Reporter", "repo", "report", "reports"]),
        ("re", ["Reporter", "re-port", "repo", "report", "reports"]),
        ("re-p", ["re-port"]),
        ("und", ["under", "ünder"]),
        ("Ünd", ["under", "ünder"]),
        ("10", ["10", "100"]),
        ("many3", ["many3", "many30"]),
        ("nothing", []),
        ("report ", ["Reporter", "report", "reports"]),
        ("report!", ["report"]),
        ("repo ort", []),
    ],
)
def test_the_last_word_is_a_beginning(named: sqlite3.Connection, q: str, names: list[str]) -> None:
    assert found(named, q) == names
    assert found(named, q, [1]) == names
    assert found(named, q, [2]) == []


def test_a_beginning_of_few_words_becomes_those_words(named: sqlite3.Connection) -> None:
    assert search._beginning(named, "repo") == '("repo" OR "report" OR "reporter" OR "reports")'
    assert search._beginning(named, "none") == '("none")'


def test_a_beginning_of_many_words_stays_one(named: sqlite3.Connection) -> None:
    assert search._beginning(named, "many") == '"many" *'
    assert len(found(named, "many")) == search._MAX_WORDS + 1


def _name(conn: sqlite3.Connection, *names: str) -> None:
    with conn:
        conn.executemany(
            """INSERT INTO datasette_files (id, source_id, path, filename, created_at)
            VALUES (?1, 1, ?1, ?1, '2026-01-01 00:00:00')""",
            [(name,) for name in names],
        )
        while search.index_due(conn):
            pass


@pytest.mark.parametrize(
    ("name", "queries"),
    [
        ("Straße 5.pdf", "strasse STRASSE straße stras"),
        ("Łódź.txt", "lodz łódź LODZ łod Łódź"),
        ("smørrebrød.txt", "smorrebrod smørre SMØRREBRØD"),
        ("Ærø Œuvre.txt", "aero œuv oeuvre ærø"),
        ("Đà Nẵng.jpg", "da nang đà NẴNG"),
        ("İstanbul ışık.txt", "istanbul isik ISTANBUL ışık İSTANBUL"),
        ("Αθήνα ΟΔΟΣ.pdf", "αθηνα ΑΘΗΝΑ Αθήνα αθή οδος οδός"),
        ("Йогурт ещё.txt", "йогурт ЙОГУРТ еще ещё йог"),
        ("연간보고서 2024.hwp", "연간보고서 보고서 연간 간보고 2024"),
        ("東京都報告書.pdf", "東京 報告書 報告 京都報 東京都報告書.pdf"),
        ("ガイドブック.pdf", "ガイド ブック ｶﾞｲﾄﾞ"),
        ("年度报告2024终版.docx", "报告 2024 终版 报告2024"),
        ("รายงานประจำปี.pdf", "รายงาน ประจำ ปี"),
        ("हिन्दी रिपोर्ट.pdf", "हिन्दी रिपोर्ट"),
        ("مُحَمَّد.txt", "محمد مُحَمَّد"),
        ("ＩＭＧ２０３４.jpg", "img2034 2034 img"),
        ("IMG2034.jpg", "2034 img img2034 IMG20 img-2034 IMG_2034 203"),
        ("IMG_2034.jpg", "2034 img img2034 IMG20"),
        (
            "AnnualReport.pdf",
            "report annual annualrep REPORT AnnualReport annual-report Report.pdf",
        ),
        ("An AnnualReport", "report annual AnnualReport"),
        ("HTMLParserV2.py", "html parser v2 parserv2"),
        ("quarterly_report-final.pdf", "report final quart report-fin"),
        ("2024Q3budget.xlsx", "2024 q3 budget"),
        ("ünderÜber.txt", "über uber under unde"),
        ("co\u00adoperation.txt", "cooperation coop"),
        ("clip東京.mp4", "東京 clip 東京.mp4 mp4 clip東京"),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_every_spelling_and_part_of_a_name_finds_it(
    conn: sqlite3.Connection, name: str, queries: str, form: str
) -> None:
    stored = unicodedata.normalize(form, name)
    _name(conn, stored, "other.bin")
    for q in queries.split():
        for asked in ("NFC", "NFD"):
            assert found(conn, unicodedata.normalize(asked, q)) == [stored], (q, asked)


@pytest.mark.parametrize(
    ("name", "q"),
    [
        ("東京都.pdf", "京東"),
        ("รายงาน.pdf", "รายงาง"),
        ("ที่.txt", "ทั้"),
        ("AnnualReport.pdf", "eport"),
        ("IMG2034.jpg", "034"),
        ("clip.mp4", "4"),
        ("連絡 報告.txt", "絡報"),
    ],
)
def test_other_words_do_not_find_a_name(conn: sqlite3.Connection, name: str, q: str) -> None:
    _name(conn, name)
    assert found(conn, q) == []


def test_rows_of_other_tools_are_found_at_once_by_their_words_and_then_by_parts(
    conn: sqlite3.Connection,
) -> None:
    add = """INSERT INTO datasette_files (id, source_id, path, filename, search_text, created_at)
        VALUES (?, 1, ?, ?, ?, '2026-01-01 00:00:00')"""
    with conn:
        conn.execute(add, ("df-1", "p/1", "AnnualReport.pdf", "Straße"))
        conn.execute(add, ("df-2", "p/2", "plain text.pdf", "nothing to add"))
        conn.execute(add, ("df-3", "p/3", "x", "a\ud7ff"))
        conn.execute("UPDATE datasette_files SET filename = CAST(x'ff41' AS TEXT) WHERE id='df-3'")
        conn.execute("DELETE FROM datasette_files WHERE id = 'df-3'")
    assert found(conn, "annualreport") == ["AnnualReport.pdf"]
    assert found(conn, "report") == []
    assert search.any_due(conn)
    with conn:
        assert not search.index_due(conn)
    assert not search.any_due(conn)
    assert found(conn, "report") == found(conn, "strasse") == ["AnnualReport.pdf"]
    with conn:
        conn.execute("UPDATE datasette_files SET filename = 'FinalDraft.pdf' WHERE id = 'df-1'")
    assert found(conn, "report") == []
    with conn:
        search.index_due(conn)
    assert found(conn, "draft") == found(conn, "strasse") == ["FinalDraft.pdf"]
    with conn:
        conn.execute("UPDATE datasette_files SET source_id = 2 WHERE id = 'df-1'")
    assert not search.any_due(conn)
    assert found(conn, "draft", [2]) == ["FinalDraft.pdf"]
    check_search_index(conn)


def test_long_texts_are_indexed_a_few_in_a_transaction(conn: sqlite3.Connection) -> None:
    add = """INSERT INTO datasette_files (id, source_id, path, filename, search_text, created_at)
        VALUES (?1, 1, ?1, 'a', ?2, '2026-01-01 00:00:00')"""
    with conn:
        for number in range(9):
            conn.execute(add, (f"df-{number}", f"Text{number} " * 12_500))
    waiting = [9]
    while True:
        with conn:
            more = search.index_due(conn)
        due = "SELECT count(*) FROM datasette_files_terms WHERE extra IS NULL"
        waiting.append(conn.execute(due).fetchone()[0])
        if not more:
            break
    assert waiting == [9, 5, 1, 0]
    assert len(found(conn, "text")) == 9
    check_search_index(conn)


def test_bytes_that_are_no_text_do_not_stop_the_index(conn: sqlite3.Connection) -> None:
    with conn:
        conn.execute(
            """INSERT INTO datasette_files (id, source_id, path, filename, created_at)
            VALUES ('df-1', 1, 'p', CAST(x'ff41' AS TEXT), '2026-01-01 00:00:00')"""
        )
        search.index_due(conn)
    assert not search.any_due(conn)
    check_search_index(conn)


def test_a_database_of_the_first_schema_gets_the_new_index(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as conn:
        migrations.apply(sqlite_utils.Database(conn), stop_before="0011_search")
        with conn:
            schema.sync_sources(conn, [("s1", "filesystem", None, "{}")])
        _insert_old(conn, "AnnualReport.pdf", unicodedata.normalize("NFD", "보고서"))
        schema.prepare(conn)
        assert not search.any_due(conn)
        assert found(conn, "report") == ["AnnualReport.pdf"]
        assert len(found(conn, "보고서")) == 1
        check_search_index(conn)


def _insert_old(conn: sqlite3.Connection, *names: str) -> None:
    with conn:
        conn.executemany(
            """INSERT INTO datasette_files (id, source_id, path, filename, created_at)
            VALUES (?1, 1, ?1, ?1, '2026-01-01 00:00:00')""",
            [(name,) for name in names],
        )


@given(st.text(max_size=60))
def test_any_text_is_indexed_and_any_query_is_answered(text: str) -> None:
    """Surrogates aside, which no stored name has."""
    text = text.replace("\x00", " ").encode("utf-8", "ignore").decode()
    with closing(new_catalog()) as conn:
        _name(conn, text or "x")
        expression = search.match_expression(conn, text, None)
        if expression is not None:
            found, _ = search.page(conn, search.Matching(expression), None, 9)
            assert [file.filename for file in found] == [text]
        check_search_index(conn)
