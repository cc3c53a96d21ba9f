"""Rows of a file for an existing table: added, merged, compared; and what an import leaves."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from datasette_files.errors import Conflict, Invalid
from datasette_files.tables import changes, leftovers, merging, target
from datasette_files.tables import closing as shut
from datasette_files.tables.content import STAGING_PREFIX, Content
from datasette_files.tables.distinct import distinct
from datasette_files.tables.merging import Differences
from datasette_files.tables.scratch import Scratch

STAGING = STAGING_PREFIX + "x"
TABLE = "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE, score)"
#: Two rows stay, one is new, one differs by its capitals alone, one by its score.
FILE = [["1", "ann", 1.5], ["2", "Bob", ""], ["3", "", None], ["9", "eve", 2.0]]
ROWS = [(1, "ann", 1.5), (2, "bob", None), (3, None, 7), (4, "dora", 4)]
MERGED = [(1, "ann", 1.5), (2, "Bob", None), (3, "", None), (9, "eve", 2.0)]

Made = Callable[..., Content]


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    uri = (tmp_path / "data.db").as_uri()
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as connection:
        connection.execute(TABLE)
        connection.executemany("INSERT INTO people VALUES (?, ?, ?)", ROWS)
        yield connection


@pytest.fixture
def content(tmp_path: Path, conn: sqlite3.Connection) -> Made:
    def make(rows: list[list[Any]] = FILE, columns: str = "id name score") -> Content:
        path = tmp_path / "scratch.db"
        path.unlink(missing_ok=True)
        names = columns.split()
        scratch = Scratch(path, len(names), lambda: None)
        scratch.add(rows)
        scratch.close()
        kinds = ["integer", "text", "float"][: len(names)]
        conn.execute(f"DROP TABLE IF EXISTS {STAGING}")
        target.create_marker(conn, STAGING)
        found = target.existing(conn, "people")
        assert found is not None
        return Content(
            *(path, names, kinds, len(rows), "people", STAGING), key="id", fits=found.columns
        )

    return make


def people(conn: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return conn.execute("SELECT * FROM people ORDER BY id").fetchall()


def tables(conn: sqlite3.Connection) -> set[str]:
    return {row[0] for row in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.mark.parametrize("removes", [False, True])
def test_a_merge_makes_the_table_equal_and_keeps_other_rows_unless_told(conn, content, removes):
    differences = merging.merge(conn, content(), removes)
    assert differences == Differences(1, 2, 1 if removes else 0)
    kept = [] if removes else [(4, "dora", 4)]
    assert people(conn) == sorted([*MERGED, *kept])
    assert tables(conn) == {"people"}
    assert merging.merge(conn, content(), removes) == Differences(0, 0, 0)


def test_a_file_of_keys_alone_adds_and_changes_nothing_else(conn, content):
    assert merging.merge(conn, content([["1"], ["8"]], "id"), False) == Differences(1, 0, 0)
    assert people(conn)[-1] == (8, None, None)
    assert merging.compare(conn, content([["1"], ["7"]], "id"), 0, 2) == (1, 0, 5)
    assert changes.changed(conn, content([["1"]], "id"), 0, 1, 9) == []


def test_rows_are_appended_in_their_order_with_the_kinds_of_their_columns(conn, content):
    rows = [["11", "x", 1.5], ["10", "", ""]]
    merging.append(conn, content(rows))
    assert conn.execute("SELECT * FROM people WHERE id > 9 ORDER BY id").fetchall() == [
        *((10, "", None), (11, "x", 1.5)),
    ]
    assert tables(conn) == {"people"}
    with pytest.raises(sqlite3.IntegrityError):
        merging.append(conn, content(rows))
    assert len(people(conn)) == 6


@pytest.mark.parametrize("way", ["append", "merge"])
def test_a_table_that_was_changed_meanwhile_or_a_refusal_at_last_changes_nothing(
    conn, content, way
):
    made = content([["20", "x", 1.0]])

    def bring(confirm: Callable[[], None] | None = None) -> None:
        if way == "append":
            merging.append(conn, made, confirm)
        else:
            merging.merge(conn, made, True, confirm)

    def refuse() -> None:
        assert len(people(conn)) in (1, 5), "it is asked at the very end"
        raise PermissionError

    with pytest.raises(PermissionError):
        bring(refuse)
    conn.execute("ALTER TABLE people ADD COLUMN more")
    with pytest.raises(Conflict, match="changed meanwhile"):
        bring()
    assert [row[:3] for row in people(conn)] == ROWS
    assert STAGING in tables(conn)
    conn.execute("DROP TABLE people")
    with pytest.raises(Conflict, match="changed meanwhile"):
        bring()


def test_a_comparison_counts_and_shows_what_a_merge_would_change(conn, content):
    made = content()
    assert merging.compare(conn, made, 0, 4) == (3, 2, 4)
    assert merging.compare(conn, made, 1, 2) == (1, 1, 4)
    assert changes.changed(conn, made, 0, 4, 9) == [
        [2, [["name", "bob", "Bob"]]],
        [3, [["score", 7, None]]],
    ]
    assert changes.changed(conn, made, 0, 4, 1) == [[2, [["name", "bob", "Bob"]]]]
    assert changes.changed(conn, made, 2, 4, 9) == [[3, [["score", 7, None]]]]
    assert changes.added(conn, made, 0, 4, 9) == [[9, "eve", 2.0]]
    assert changes.added(conn, made, 0, 3, 9) == []
    assert changes.removed(conn, made, 9) == [[4, "dora", 4]]


def test_examples_show_the_first_columns_and_the_beginning_of_long_values():
    assert changes.shown("x" * 200) == "x" * 200
    assert changes.shown("x" * 201) == "x" * 200 + "…"
    assert changes.shown(b"1234") == "4 bytes"
    assert [changes.shown(value) for value in (float("inf"), 1.5, 7, None)] == ["inf", 1.5, 7, None]


def test_examples_of_wide_rows_have_as_many_cells_as_a_person_reads(tmp_path, conn, content):
    width = changes.MAX_COLUMNS + 3
    names = [f"c{number}" for number in range(width)]
    conn.execute(f"CREATE TABLE wide (id INTEGER PRIMARY KEY, {', '.join(names)})")
    conn.execute(f"INSERT INTO wide VALUES (1{', 0' * width}), (2{', 0' * width})")
    scratch = Scratch(tmp_path / "wide.db", width + 1, lambda: None)
    scratch.add([["1", *["x"] * width], ["3", *["y"] * width]])
    scratch.close()
    made = Content(
        *(tmp_path / "wide.db", ["id", *names], ["integer", *["text"] * width], 2),
        *("wide", STAGING, "id"),
    )
    ((key, cells),) = changes.changed(conn, made, 0, 2, 9)
    assert (key, cells) == (1, [[name, 0, "x"] for name in names[: changes.MAX_COLUMNS]])
    assert [len(row) for row in changes.added(conn, made, 0, 2, 9)] == [changes.MAX_COLUMNS]
    assert [len(row) for row in changes.removed(conn, made, 9)] == [changes.MAX_COLUMNS]


def test_different_values_come_in_batches_with_their_first_rows(tmp_path):
    path = tmp_path / "scratch.db"
    scratch = Scratch(path, 1, lambda: None)
    scratch.add([["b"], [""], ["a"], [None], ["b"], [b"\xff"], [1.5]])
    scratch.close()
    assert list(distinct(path, 0, 3)) == [[("b", 1), ("a", 3), ("\ufffd", 6)], [("1.5", 7)]]


def test_what_an_import_left_is_removed_in_steps(conn, monkeypatch):
    monkeypatch.setattr(leftovers, "_MAX_ROWS", 2)
    assert not leftovers.begin(conn, STAGING)
    conn.execute(f"CREATE TABLE {STAGING} (n)")
    conn.execute(f"CREATE TABLE {STAGING}_fts (n)")
    conn.execute(f"INSERT INTO {STAGING} VALUES (1), (2), (3), (4)")
    assert leftovers.begin(conn, STAGING)
    assert tables(conn) == {"people", STAGING + "_left"}
    assert leftovers.begin(conn, STAGING), "it was begun before"
    assert [leftovers.drop_some(conn, STAGING) for _ in range(3)] == [True, True, False]
    assert tables(conn) == {"people"}
    assert not leftovers.begin(conn, STAGING)
    for step in (leftovers.begin, leftovers.drop_some):
        with pytest.raises(Invalid, match="not a staging table"):
            step(conn, "people")


def test_staging_tables_are_closed_to_all_but_an_imports_own_step(conn):
    conn.execute(f"CREATE TABLE {STAGING} (n)")
    shut.close(conn)
    for statement in (
        f"SELECT * FROM {STAGING}",
        f"SELECT count(*) FROM {STAGING.upper()}",
        f"INSERT INTO {STAGING} VALUES (1)",
        f"DROP TABLE {STAGING}",
        f"ALTER TABLE {STAGING} RENAME TO mine",
        f"CREATE INDEX mine ON {STAGING} (n)",
        f"CREATE TRIGGER mine AFTER INSERT ON {STAGING} BEGIN SELECT 1; END",
        f"CREATE TABLE {STAGING}2 (n)",
    ):
        with pytest.raises(sqlite3.DatabaseError, match=r"not authorized|prohibited"):
            conn.execute(statement)
    assert conn.execute("SELECT count(*) FROM people").fetchone() == (4,)
    conn.execute("ANALYZE")
    conn.execute("VACUUM")
    with shut.opened(conn):
        conn.execute(f"INSERT INTO {STAGING} VALUES (1)")
    with pytest.raises(sqlite3.DatabaseError):
        conn.execute(f"SELECT * FROM {STAGING}")
