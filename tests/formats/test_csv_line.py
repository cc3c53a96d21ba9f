"""One line of CSV: every reader reads what was written."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.formats.csv_line import line

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.lists(TEXT, min_size=1, max_size=4))
def test_a_line_is_that_of_python(cells: list[str]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerow(cells)
    assert line(cells) == written.getvalue()


@pytest.mark.parametrize(
    ("values", "written"),
    [
        (["a\0b", 1.5, None, 2], "a\0b,1.5,,2\r\n"),
        ([""], '""\r\n'),
        (["", ""], ",\r\n"),
        (['say "x"', "a,b", "a\rb"], '"say ""x""","a,b","a\rb"\r\n'),
    ],
)
def test_what_stands_in_it(values: list[object], written: str) -> None:
    assert line(values) == written
