"""Which expression of the search index words become, and that it finds the same files."""

from __future__ import annotations

import sqlite3

import pytest

from datasette_files.db import search


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
    ],
)
def test_the_last_word_is_a_beginning(named: sqlite3.Connection, q: str, names: list[str]) -> None:
    assert found(named, q) == names
    assert found(named, q, [1]) == names
    assert found(named, q, [2]) == []


def test_a_beginning_of_few_words_becomes_those_words(named: sqlite3.Connection) -> None:
    assert search._beginning(named, "Repo") == '("repo" OR "report" OR "reporter" OR "reports")'
    assert search._beginning(named, "none") == '("none")'


def test_a_beginning_of_many_words_stays_one(named: sqlite3.Connection) -> None:
    assert search._beginning(named, "many") == '"many" *'
    assert len(found(named, "many")) == search._MAX_WORDS + 1
