"""The scratch database of an import: rows of growing width, in their order."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from datasette_files.tables import scratch
from datasette_files.tables.scratch import Scratch


@contextmanager
def made(tmp_path: Path, columns: int) -> Iterator[tuple[Scratch, list[list[Any]]]]:
    """A scratch database, and a list that has its rows once it is closed."""
    path, rows = tmp_path / "scratch.db", []
    one = Scratch(path, columns, lambda: None)
    yield one, rows
    one.close()
    with closing(sqlite3.connect(path)) as conn:
        rows += map(list, conn.execute("SELECT * FROM rows ORDER BY rowid"))


@pytest.mark.parametrize("number", [0, 1, 49, 50, 51, 101])
def test_every_row_is_kept_in_its_order(tmp_path: Path, number: int) -> None:
    expected = [[str(row), None, row + 0.5] for row in range(number)]
    with made(tmp_path, 3) as (one, rows):
        one.add(expected)
    assert rows == expected


def test_rows_of_as_many_columns_as_a_statement_has_variables(tmp_path: Path) -> None:
    with made(tmp_path, scratch._MAX_VARIABLES) as (one, rows):
        one.add([["x"] * scratch._MAX_VARIABLES] * 2)
    assert rows == [["x"] * scratch._MAX_VARIABLES] * 2


def test_rows_before_a_wider_one_have_no_value_in_its_columns(tmp_path: Path) -> None:
    """An empty table has exactly the columns; one with rows twice as many, for what may follow."""
    with made(tmp_path, 1) as (one, rows):
        one.widen(3)
        assert one._room == 3
        one.add([["a", "b", "c"]])
        one.widen(2)
        one.add([["d", "e", "f"]])
        one.widen(4)
        assert one._room == 6
        one.add([["g", "h", "i", "j"]])
        one.widen(5)
        assert one._room == 6
        one.add([["k", "l", "m", "n", "o"]])
        one.widen(20)
        assert one._room == 20
    assert [row[:6] for row in rows] == [
        ["a", "b", "c", None, None, None],
        ["d", "e", "f", None, None, None],
        ["g", "h", "i", "j", None, None],
        ["k", "l", "m", "n", "o", None],
    ]


def test_a_file_that_is_read_again_begins_anew(tmp_path: Path) -> None:
    with made(tmp_path, 1) as (one, rows):
        one.add([["a"]])
        one.widen(2)
        one.add([["b", "c"]])
        one.begin_again()
        one.add([["d", "e"]])
    assert rows == [["d", "e"]]


def test_a_key_is_unique_or_its_first_repetition_is_told(tmp_path: Path) -> None:
    with made(tmp_path, 2) as (one, _):
        one.add([["a", "1"], ["A", ""], ["b", "1.0"], ["c", None]])
        assert one.make_key(0, "text", "BINARY") is None
        assert (one.first_without(0), one.first_without(1)) == (None, 2)
        assert one.size() > 0
    (tmp_path / "scratch.db").unlink()
    with made(tmp_path, 1) as (one, _):
        one.add([["a"], ["A"], ["b"]])
        assert one.make_key(0, "text", "NOCASE") == ("A", 2)


def test_a_key_of_floats_takes_a_whole_number_for_the_same_float(tmp_path: Path) -> None:
    with made(tmp_path, 1) as (one, _):
        one.add([["1"], [2.5], [1.0]])
        assert one.make_key(0, "float", "BINARY") == ("1.0", 3)


@pytest.mark.parametrize(
    "kind, affinity, values, changed",
    [
        ("text", "integer", ["1", "007"], ("007", 2)),
        ("text", "integer", ["", "1"], None),
        ("text", "integer", ["x"], ("x", 1)),
        ("text", "numeric", ["x"], None),
        ("text", "numeric", ["x", "1.10"], ("1.10", 2)),
        ("text", "float", [str(2**53 + 1)], (str(2**53 + 1), 1)),
        ("text", "float", [str(2**53)], None),
        ("text", "integer", [str(2**53 + 1)], None),
        ("integer", "float", [str(2**53), str(2**53 + 1)], (str(2**53 + 1), 2)),
        ("integer", "float", [str(-(2**53)), str(-(2**53) - 1)], (str(-(2**53) - 1), 2)),
        ("integer", "float", [str(2**54), str(2**63 - 1)], (str(2**63 - 1), 2)),
        ("integer", "integer", [str(2**53 + 1)], None),
        ("float", "integer", [2.0, 2.5], ("2.5", 2)),
        ("float", "float", [2.5], None),
    ],
)
def test_the_first_value_that_a_column_of_numbers_would_change(
    tmp_path: Path, kind: str, affinity: str, values: list[Any], changed: Any
) -> None:
    with made(tmp_path, 1) as (one, _):
        one.add([[value] for value in values])
        assert one.first_changed(0, kind, affinity) == changed


def test_whoever_waits_hears_of_long_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "_STEPS", 100)
    told: list[int] = []
    one = Scratch(tmp_path / "scratch.db", 1, lambda: told.append(1))
    one.add([["x"]] * 1000)
    assert one.make_key(0, "text", "BINARY") == ("x", 1000)
    one.close()
    assert len(told) > 10
