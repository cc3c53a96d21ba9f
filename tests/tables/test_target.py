"""A table of a user's database as an import sees it, and the new one that it makes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from datasette_files.errors import Conflict
from datasette_files.tables import target
from datasette_files.tables.content import STAGING_PREFIX, Content
from datasette_files.tables.scratch import Scratch
from datasette_files.tables.target import Existing


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    path = f"{(tmp_path / 'data.db').as_uri()}"
    with closing(sqlite3.connect(path, uri=True, isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def content(tmp_path: Path) -> Content:
    """Three rows of two columns, to become the table People with an index and a search."""
    path = tmp_path / "scratch.db"
    scratch = Scratch(path, 2, lambda: None)
    scratch.add([["1", "ann"], ["", "bob"], ["3", ""]])
    scratch.close()
    return Content(
        *(path, ["n", "name"], ["integer", "text"], 3, "People", STAGING_PREFIX + "x"),
        indexes=("name",),
        search=("name",),
    )


def _names(conn: sqlite3.Connection, kind: str = "table") -> set[str]:
    rows = conn.execute("SELECT name FROM sqlite_master WHERE type = ? AND sql > ''", (kind,))
    return {row[0] for row in rows}


def test_a_table_is_told_with_affinities_key_and_collation(conn):
    conn.executescript(
        """CREATE TABLE A (a INT, b REAL, c VARCHAR(9), d BLOB, e, f DECIMAL, g BIGINT PRIMARY KEY,
            h ANY, i CLOB, j TEXT, k FLOAT, l DOUBLE);
        CREATE TABLE b (y, x TEXT COLLATE NOCASE, PRIMARY KEY (x));
        CREATE TABLE c (y, x, z, PRIMARY KEY (z, y));
        CREATE VIEW v AS SELECT 1;"""
    )
    found = target.existing(conn, "a")
    assert found == Existing(
        "A",
        {
            **{"a": "integer", "b": "float", "c": "text", "d": "blob", "e": "blob"},
            **{"f": "numeric", "g": "integer", "h": "numeric", "i": "text", "j": "text"},
            **{"k": "float", "l": "float"},
        },
        ["g"],
    )
    second = target.existing(conn, "b")
    assert second is not None
    assert (second.keys, second.collation) == (["x"], "NOCASE")
    third = target.existing(conn, "c")
    assert third is not None
    assert third.keys == ["z", "y"]
    assert target.existing(conn, "d") is None
    with pytest.raises(Conflict, match="'v' is a view"):
        target.existing(conn, "v")
    assert [target.own_name(conn, name) for name in ("a", "V", "d")] == ["A", "v", "d"]


@pytest.mark.skipif(sqlite3.sqlite_version_info < (3, 37, 0), reason="no STRICT tables")
def test_a_strict_column_of_any_converts_nothing(conn):
    conn.execute("CREATE TABLE a (x ANY, y INT) STRICT")
    found = target.existing(conn, "a")
    assert found is not None
    assert found.columns == {"x": "blob", "y": "integer"}


def test_a_table_whose_rows_others_refer_to_is_not_replaced(conn):
    conn.executescript(
        """CREATE TABLE people (id INTEGER PRIMARY KEY, boss REFERENCES people);
        CREATE TABLE pets (owner REFERENCES People, again REFERENCES people);
        CREATE TABLE cars (n);"""
    )
    for enforced, referring in (("OFF", ()), ("ON", ("pets",))):
        conn.execute(f"PRAGMA foreign_keys = {enforced}")
        found = target.existing(conn, "people")
        assert found is not None
        assert found.referred_by == referring
    with pytest.raises(Conflict, match="rows of pets refer"):
        target.check_replaceable(found)
    cars = target.existing(conn, "cars")
    assert cars is not None
    target.check_replaceable(cars)


def test_a_new_table_appears_with_its_rows_index_and_search(conn, content):
    target.create_staging(conn, content)
    assert _names(conn, "index") == {"idx_People_name"}
    for after, upto in ((0, 2), (2, 3)):
        assert target.copy_rows(conn, content, after, upto) >= 0
    target.appear(conn, content, replaces=False)
    assert conn.execute("SELECT * FROM People ORDER BY rowid").fetchall() == [
        *((1, "ann"), (None, "bob"), (3, "")),
    ]
    assert {"People", "People_fts"} <= _names(conn)
    assert not {name for name in _names(conn) if name.startswith(STAGING_PREFIX)}
    conn.execute("INSERT INTO People VALUES (4, 'dora')")
    found = conn.execute("SELECT rowid FROM People_fts WHERE People_fts MATCH 'dora'")
    assert found.fetchall() == [(4,)]


def test_the_old_table_stays_unless_this_very_one_is_to_be_replaced(conn, content):
    conn.execute("CREATE TABLE people (old)")
    plain = replace(content, search=(), indexes=())
    target.create_staging(conn, plain)
    for replaces in (False, True):
        with pytest.raises(Conflict, match="a table 'people' by now"):
            target.appear(conn, plain, replaces)
    conn.execute("ALTER TABLE people RENAME TO other")
    conn.execute("ALTER TABLE other RENAME TO People")
    with pytest.raises(Conflict, match="by now"):
        target.appear(conn, plain, replaces=False)

    def refuse() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        target.appear(conn, plain, True, refuse)
    assert conn.execute("SELECT old FROM People").fetchall() == []
    assert plain.staging in _names(conn)
    target.appear(conn, plain, True)
    assert conn.execute("SELECT n, name FROM People").fetchall() == []
    assert _names(conn) == {"People"}


def test_a_key_is_the_tables_primary_key(conn, content):
    target.create_staging(conn, replace(content, key="n", search=()))
    found = target.existing(conn, content.staging)
    assert found is not None
    assert (found.keys, found.columns) == (["n"], {"n": "integer", "name": "text"})
    target.create_marker(conn, "marker")
    assert conn.execute("SELECT waiting FROM marker").fetchall() == []
