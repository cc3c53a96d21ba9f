"""An import writes into file columns only what Datasette's write API takes there."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from tests.conftest import MakeDatasette, upload
from tests.support.columns import ABSENT, datasette_with_people, write
from tests.support.imports import site


async def into_people(datasette: Datasette, text: str, **fields: str) -> dict[str, Any]:
    fields = {"table_name": "people", "mode": "append", **fields}
    return await site.imported(datasette, text.encode(), **fields)


def people(folder: Path) -> list[tuple[Any, ...]]:
    conn = sqlite3.connect(folder / "data.db")
    found = conn.execute("SELECT id, photo FROM people WHERE id > 1 ORDER BY 1").fetchall()
    conn.close()
    return found


@pytest.mark.parametrize("mode", [pytest.param("append", marks=pytest.mark.full), "merge"])
async def test_a_value_that_the_write_api_refuses_stops_the_import(
    make_datasette: MakeDatasette, tmp_path: Path, mode: str
) -> None:
    datasette = await datasette_with_people(make_datasette, tmp_path, photo={"source": "photos"})
    good = (await upload(datasette, source="photos"))["id"]
    elsewhere = (await upload(datasette, source="docs"))["id"]
    for bad in (ABSENT, elsewhere, "hello"):
        text = f"id,photo\n2,{good}\n3,\n4,{bad}\n5,{bad}\n"
        job = await into_people(datasette, text, mode=mode)
        assert job["status"] == "error"
        assert job["error"].startswith("Row 3 has a value that the file column 'photo' does not")
        refused = await write(datasette, photo=bad)
        assert job["error"].endswith(" take: " + refused.removeprefix("photo: "))
        assert people(tmp_path) == []
    job = await into_people(datasette, f"id,photo\n2,{good}\n3,\n", mode=mode)
    assert job["status"] == "finished", job
    assert people(tmp_path)[0] == (2, good)


async def test_every_value_is_checked_and_lists_of_files_too(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    datasette = await datasette_with_people(make_datasette, tmp_path)
    good = (await upload(datasette))["id"]
    lines = [f'{number},"[""{good}""{" " * number}]"' for number in range(2, 1202)]
    text = "\n".join(["id,papers", *lines, f'2000,"[""{good}"", ""{good}""]"', ""])
    job = await into_people(datasette, text)
    assert job["status"] == "error"
    assert job["error"].startswith("Row 1201 has a value that the file column 'papers'")
    assert "leave out repeated ids" in job["error"]
    assert people(tmp_path) == []


async def test_a_table_that_the_import_makes_is_checked_as_its_column_types_are_known(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sqlite3.connect(tmp_path / "data.db").execute("CREATE TABLE other (a)").connection.close()
    datasette = await datasette_with_people(make_datasette, tmp_path, permissions=site.PERMISSIONS)
    job = await into_people(datasette, f"id,photo\n2,{ABSENT}\n", mode="create")
    assert job["status"] == "error"
    assert f"There is no file {ABSENT}" in job["error"]
    assert site.tables(tmp_path / "data.db") == set()
