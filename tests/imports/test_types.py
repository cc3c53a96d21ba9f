"""A column is one of numbers only where every value comes back as it was written."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from datasette.app import Datasette

from datasette_files.formats.types import Column
from tests.support.imports import site


def kind_of(*values: str) -> str | None:
    column = Column()
    column.take(list(values))
    return column.kind


@pytest.mark.parametrize(
    "value",
    [
        *("5E1", "1e3", "1.10", "2.50", "1.0.3", "10.20", "0.10", "100.00", "007", "+491511234567"),
        *(
            "+49 151 123",
            "0151 1234",
            "00",
            "0x1F",
            ".5",
            "5.",
            "-.5",
            "1E5",
            "12E3",
            "3D",
            "1_0",
            "١٢",
        ),
        *("0.1234567890123456789", "12345678901234567890", "1e400", "1,5", "1 000", "2024-01-02"),
        # At most 17 digits, of which a float keeps fewer.
        *("9007199254740993.5", "957433973675.8371", "0.12345678901234567", "9007199254740993.0"),
    ],
)
def test_what_a_number_would_change_is_text(value: str) -> None:
    assert kind_of(value) == "text"
    assert kind_of(value, "1", "2.5") == "text"
    assert kind_of("1", "", value) == "text"


@pytest.mark.parametrize(
    "values, kind",
    [
        (("1", "2", "-3", "0"), "integer"),
        (("1.5", "2.25", "-0.5"), "float"),
        (("1", "2.5", ""), "float"),
        (("5.0", "6.0"), "float"),
        (("0.00001", "123456.789"), "float"),
        (("0.30000000000000004", "1e-07", "1e+16"), "float"),
        (("123456789012345.67", "0.8444218515250481"), "float"),
    ],
)
def test_what_comes_back_is_a_number(values: tuple[str, ...], kind: str) -> None:
    column = Column()
    made = column.take(list(values))
    assert column.kind == kind
    if made is not None:
        assert [value and float(value) for value in values if value] == [v for v in made if v]


async def made_then(
    datasette: Datasette, first: bytes, mode: str, second: bytes
) -> dict[str, object]:
    await site.imported(datasette, first, primary_key="id")
    return await site.imported(datasette, second, mode=mode)


@pytest.mark.parametrize(
    "first, second, back",
    [
        ("1.5", "2.50", 2.5),
        ("1.5", "5E1", 50.0),
        ("1.5", "7", 7.0),
        ("7", "5.0", 5),
        ("7", "5.00", 5),
        ("7", "5", 5),
        ("1.10", "1.9", "1.9"),
        ("1.10", "7", "7"),
        ("007", "12", "12"),
        ("+49151", "49151", "49151"),
    ],
)
async def test_next_months_file_fits_the_same_column(
    datasette: Datasette, data: Path, first: str, second: str, back: object
) -> None:
    job = await made_then(
        datasette, f"id,v\n1,{first}\n".encode(), "append", f"id,v\n2,{second}\n".encode()
    )
    assert job["status"] == "finished", job["error"]
    found = site.rows(data)[1][1]
    assert (type(found), found) == (type(back), back)


async def test_a_fraction_does_not_fit_a_column_of_integers(
    datasette: Datasette, data: Path
) -> None:
    job = await made_then(datasette, b"id,v\n1,7\n", "append", b"id,v\n2,5.0\n3,5.5\n")
    assert str(job["error"]).startswith("Row 2, column v: '5.5' would not stay as it is")
    assert site.rows(data) == [(1, 7)]


async def test_a_code_like_an_exponent_does_not_fit_a_column_of_integers(
    datasette: Datasette, data: Path
) -> None:
    job = await made_then(datasette, b"id,v\n1,7\n", "append", b"id,v\n2,5E1\n")
    assert str(job["error"]).startswith("Row 1, column v: '5E1' would not stay as it is")
    assert site.rows(data) == [(1, 7)]


@pytest.mark.parametrize("old", ["NULL", "''"])
@pytest.mark.parametrize(
    "new", [b'id,v\n1,""\n2,x\n', b'[{"id": 1, "v": null}, {"id": 2, "v": "x"}]']
)
async def test_null_and_empty_text_are_no_change_of_a_merge(
    datasette: Datasette, data: Path, old: str, new: bytes
) -> None:
    conn = sqlite3.connect(data)
    conn.executescript(
        f"""CREATE TABLE made (id INTEGER PRIMARY KEY, v TEXT COLLATE NOCASE);
        INSERT INTO made VALUES (1, {old}), (2, 'x');"""
    )
    conn.close()
    name = "x.json" if new.startswith(b"[") else "x.csv"
    for mode in ("compare", "merge"):
        job = await site.imported(datasette, new, filename=name, mode=mode)
        assert (job["status"], job["added"], job["changed"]) == ("finished", 0, 0), job["error"]
    job = await site.imported(datasette, b"id,v\n2,X\n", mode="compare")
    assert job["changed"] == 1
