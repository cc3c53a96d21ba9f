"""Rows of delimited text: cut to their header, in batches; and mistakes, each with its row."""

from __future__ import annotations

import io
from typing import Any

import pytest

from datasette_files.formats import delimited
from datasette_files.formats.base import ImportProblem, ReadOptions, Table
from datasette_files.formats.delimited import Delimited, TabSeparated


def read(text: str | bytes, **options: Any) -> Table:
    content = text if isinstance(text, bytes) else text.encode()
    return Delimited().read(io.BytesIO(content), ReadOptions(**options))


def rows(text: str | bytes, **options: Any) -> list[list[Any]]:
    return [list(row) for row in read(text, **options).rows]


def problem(text: str | bytes, **options: Any) -> tuple[str, int | None, list[list[Any]]]:
    """The problem's text and row, and the rows before it."""
    before: list[list[Any]] = []
    with pytest.raises(ImportProblem) as raised:
        for row in read(text, **options).rows:
            before.append(list(row))
    return str(raised.value), raised.value.row, before


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BATCH_ROWS", 3)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 7, 30])
def test_every_row_is_read_whatever_batch_it_is_in(number: int) -> None:
    expected = [[str(row), f"n{row}"] for row in range(number)]
    text = "id,name\n" + "".join(f"{row[0]},{row[1]}\n" for row in expected)
    table = read(text)
    assert table.columns == ["id", "name"]
    assert [list(row) for row in table.rows] == expected
    batches = list(read(text).batches or ())
    assert [len(batch) for batch in batches] == [
        *([3] * ((number - 1) // 3)),
        (number - 1) % 3 + 1,
    ]


def test_batches_end_at_their_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "BATCH_BYTES", 0)
    batches = list(read("a,b\n" + "x,y\n" * 3).batches or ())
    assert sum(len(batch) for batch in batches) == 3


def test_missing_values_are_none_and_empty_ones_beyond_the_header_are_dropped() -> None:
    assert rows("a,b\n1\n1,2,,\n\n1,2\n") == [["1"], ["1", "2"], ["1", "2"]]
    assert rows("a,b\n1,2,3\n", extra="drop") == [["1", "2"]]
    message, row, before = problem("a,b\n1,2\n3,4\n5,6\n7,8\n1,2,3\n9,9\n")
    assert "has 3 values, and the header names 2 columns" in message
    assert (row, before) == (5, [["1", "2"], ["3", "4"], ["5", "6"], ["7", "8"]])


def test_a_header_that_is_repeated_is_no_row() -> None:
    joined = "a,b\n1,2\na,b\n3,4\n\ufeffa,b\n5,6\n"
    assert rows(joined) == [["1", "2"], ["3", "4"], ["5", "6"]]
    assert rows("a,b\n1,2\na,b\na,b\na,b\na,b\n3,4\n") == [["1", "2"], ["3", "4"]]
    assert rows("a\n1\na\n") == [["1"], ["a"]], "a column of one may well hold its name"
    assert rows("1,2\n3,4\n1,2\n", header=False) == [["1", "2"], ["3", "4"], ["1", "2"]]


def test_the_mark_of_dos_ends_a_text() -> None:
    for end in ("\x1a", "\x1a\x00\x1a"):
        assert rows(f"a,b\n1,2\n3,4{end}") == [["1", "2"], ["3", "4"]]
        assert rows(f"a,b\n1,2\n{end}") == [["1", "2"]]
        assert rows("a,b\n" + "1,2\n" * 40 + f"3,4{end}")[-1] == ["3", "4"]
    assert rows("a,b\n1,2\x1ax\n") == [["1", "2\x1ax"]]
    assert rows("a,b\n1\x1a,2\n3,4\n") == [["1\x1a", "2"], ["3", "4"]]


@pytest.mark.parametrize(
    "text, words, row, before",
    [
        ('a,b\n1,2\n3,"4\n', "never closed", 2, [["1", "2"]]),
        ('a,b\n1,2\n3,"4"x\n', "goes on after its closing", 2, [["1", "2"]]),
        ('"a,b\n', "never closed", 1, []),
        ("", "The file is empty", None, []),
    ],
)
def test_the_row_of_a_mistake_is_named(
    text: str, words: str, row: int | None, before: list[list[str]]
) -> None:
    message, told, read_before = problem(text)
    assert words in message
    assert (told, read_before) == (row, before)


def test_a_mistake_far_below_is_counted_from_the_first_row() -> None:
    text = "a,b\n" + "1,2\n" * 40 + '3,"4\n'
    message, row, before = problem(text)
    assert "never closed" in message
    assert (row, len(before)) == (41, 40)


def test_a_byte_that_is_no_character_is_found_in_any_row_of_its_batch() -> None:
    text = b"a,b\n" + b"1,2\n" * 40 + b"3,4,\n5,\xff\n"
    message, row, before = problem(text, encoding="utf-8")
    assert "utf-8" in message.lower()
    assert (row, before[-1]) == (42, ["3", "4"])
    assert rows(text, encoding="utf-8", errors="replace")[-1] == ["5", "\ufffd"]
    assert problem(b"a,b\n1,2\n3,\xff\n", encoding="utf-8")[1:] == (2, [["1", "2"]])


def test_a_value_that_is_far_too_long_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delimited, "MAX_FIELD", 10)
    message, row, _ = problem("a,b\n1,2\n3," + "x" * 11 + "\n")
    assert "a value of more than 10 characters" in message
    assert row == 2
    assert rows("a,b\n1,2\n3," + "x" * 10 + "\n")[1] == ["3", "x" * 10]


@pytest.mark.parametrize(
    "options, words",
    [
        ({"delimiter": ",,"}, "delimiter must be one character"),
        ({"delimiter": "\n"}, "delimiter must be one character"),
        ({"delimiter": "\x00"}, "delimiter must be one character"),
        ({"quote": "''"}, "quotation mark must be one character"),
        ({"quote": ",", "delimiter": ","}, "quotation mark must be one character"),
        ({"skip": 2}, "no row after 2 rows"),
    ],
)
def test_choices_that_read_nothing_are_refused(options: dict[str, Any], words: str) -> None:
    assert words in problem("a,b\n1,2\n", **options)[0]


def test_choices_win_over_what_is_found() -> None:
    text = "sep=;\na;b\n1;2,5\n"
    assert rows(text) == [["1", "2,5"]]
    assert read(text).found["delimiter"] == ";"
    assert read(text, delimiter="|").columns == ["a;b"]
    assert rows("a,b\n1,'2,5'\n", quote="'") == [["1", "2,5"]]
    assert rows('a,b\n1,"2"\n', quote="") == [["1", '"2"']]
    assert read("1,2\n3,4\n").columns == ["column_1", "column_2"]
    assert read("1,2\n3,4,5\n", header=False).columns == ["column_1", "column_2", "column_3"]
    assert read("1,2\n3,4\n", header=True).columns == ["1", "2"]
    assert read("x\na,b\n1,2\n", skip=1).columns == ["a", "b"]
    tabs = TabSeparated().read(io.BytesIO(b"a,b\tc\n1\t2\n"), ReadOptions())
    assert tabs.columns == ["a,b", "c"]
