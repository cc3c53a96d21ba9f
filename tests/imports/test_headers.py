"""Names of columns are found in either form of Unicode: composed (NFC) or apart (NFD)."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from datasette.app import Datasette

from datasette_files.imports.requests import table_name
from tests.support.imports import engine, site


def form(which: str, text: str) -> str:
    return unicodedata.normalize(which, text)


@pytest.mark.parametrize("name", ["größe", "высота й", "ύψος", "높이"])
@pytest.mark.parametrize(("first", "second"), [("NFC", "NFD"), ("NFD", "NFC")])
async def test_a_file_fits_the_table_of_the_other_form(
    datasette: Datasette, data: Path, name: str, first: str, second: str
) -> None:
    database = datasette.get_database("data")
    table = f'CREATE TABLE made (id INTEGER PRIMARY KEY, "{form(first, name)}" TEXT)'
    await database.execute_write(table)
    content = f"id,{form(second, name)}\n1,007\n".encode()
    for mode in ("append", "merge"):
        job = await site.imported(datasette, content, mode=mode)
        assert job["status"] == "finished", job["error"]
    assert site.rows(data) == [(1, "007")]


async def test_a_key_and_an_index_are_named_in_the_other_form(
    datasette: Datasette, data: Path
) -> None:
    content = form("NFD", "schlüssel,größe\na,1\n").encode()
    fields = {"primary_key": "schlüssel", "column_0": "größe", "index_0": "1", "type_0": "text"}
    job = await site.imported(datasette, content, **fields)
    assert job["status"] == "finished", job["error"]
    assert site.rows(data) == [("a", "1")]
    names = await datasette.get_database("data").table_columns("made")
    assert names == ["schlüssel", "größe"]


def test_columns_of_a_new_table_are_composed_and_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"{form('NFD', 'é')},{form('NFC', 'é')}\n1,2\n", "utf-8")
    assert engine.preview(path, tmp_path)["columns"] == ["é", "é_2"]
    path = tmp_path / "x.json"
    keys = form("NFD", '[{"é": 1},') + form("NFC", '{"é": 2}]')
    path.write_text(keys, "utf-8")
    made = engine.preview(path, tmp_path)
    assert (made["columns"], made["rows"]) == (["é"], [["1"], ["2"]])


@pytest.mark.parametrize("which", ["NFC", "NFD"])
def test_a_table_s_proposed_name_keeps_the_letters_of_the_file_s(which: str) -> None:
    for filename, name in {
        "Übersicht 2024.csv": "übersicht_2024",
        "보고서.xlsx": "보고서",
        "รายงานประจำปี.csv.gz": "รายงานประจำปี",
        "हिन्दी - रिपोर्ट.csv": "हिन्दी_रिपोर्ट",
        "_a__b .csv": "a__b",
        "???.csv": "imported",
    }.items():
        assert table_name(form(which, filename)) == form("NFC", name)
