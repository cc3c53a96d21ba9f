"""Dates and times that calamine does not give: the day is never lost."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from datasette_files.formats.base import ImportProblem, ReadOptions
from datasette_files.formats.excel import Workbook
from tests.support import workbooks

FORMATS = ("yyyy-mm-dd", 'h:mm" days"', "0.00;[Red]-0.00", "[h]:mm", "d mmm")
MAKERS = [workbooks.xlsx, workbooks.xlsb, workbooks.xls]


def rows(content: bytes) -> list[list[Any]]:
    return [
        list(row) for row in Workbook().read(io.BytesIO(content), ReadOptions(header=False)).rows
    ]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_a_date_is_a_date_and_a_time_a_duration(make: Callable[..., bytes]) -> None:
    numbers = (-18229, -1, -0.5, -1.25, -2.75, 0.25, 45000.5, 45000, 59, 61, 0)
    made = rows(make(FORMATS, [[number] * len(FORMATS) for number in numbers]))
    noon = "2023-03-15 12:00:00"
    assert made == [
        ["1850-02-01", "-437496:00:00", -18229, "-437496:00:00", "1850-02-01"],
        ["1899-12-29", "-24:00:00", -1, "-24:00:00", "1899-12-29"],
        ["1899-12-29 12:00:00", "-12:00:00", -0.5, "-12:00:00", "1899-12-29 12:00:00"],
        ["1899-12-28 18:00:00", "-30:00:00", -1.25, "-30:00:00", "1899-12-28 18:00:00"],
        ["1899-12-27 06:00:00", "-66:00:00", -2.75, "-66:00:00", "1899-12-27 06:00:00"],
        ["06:00:00", "06:00:00", 0.25, "6:00:00", "06:00:00"],
        [noon, noon, 45000.5, "1080012:00:00", noon],
        ["2023-03-15", "2023-03-15", 45000, "1080000:00:00", "2023-03-15"],
        ["1900-02-28", "1900-02-28", 59, "1416:00:00", "1900-02-28"],
        ["1900-03-01", "1900-03-01", 61, "1464:00:00", "1900-03-01"],
        ["00:00:00", "00:00:00", 0, "0:00:00", "00:00:00"],
    ]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_days_may_count_from_1904_and_a_day_before_all_years_stays_a_number(
    make: Callable[..., bytes],
) -> None:
    numbers = [[0], [59], [-1], [-0.5], [-1_000_000]]
    assert rows(make(["d.m.yy"], numbers, is_1904=True)) == [
        ["00:00:00"],
        ["1904-02-29"],
        ["1903-12-31"],
        ["1903-12-31 12:00:00"],
        [-1_000_000],
    ]


def test_a_sheet_may_begin_anywhere_and_have_gaps() -> None:
    made = rows(workbooks.xlsx(["yyyy"] * 3, [[-1, None, 0.5], [], [None, -2.5, -3.0]], at=(4, 2)))
    assert made == [
        ["1899-12-29", None, "12:00:00"],
        [None, "1899-12-27 12:00:00", "1899-12-27"],
    ]


@pytest.mark.parametrize("number", [-1e300, 1e15])
def test_a_number_that_is_no_time_is_told_of_with_its_row(number: float) -> None:
    with pytest.raises(ImportProblem, match=r"Row 2: The workbook cannot be read"):
        rows(workbooks.xlsx(["[h]:mm"], [[0.5], [number]]))


def test_what_cannot_be_read_again_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than guessed: here no element has its name."""
    content = workbooks.xlsx(["yyyy"], [[-1]])
    monkeypatch.setattr("datasette_files.formats.serials._local", lambda name: "x" + name)
    with pytest.raises(ImportProblem, match="their numbers cannot be read"):
        rows(content)
