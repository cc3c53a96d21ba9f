"""File columns: what they take under which options, and their cells without scripts."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from datasette.app import Datasette

from tests.conftest import OPEN, MakeDatasette, disk_source, upload

ABSENT = "df-01j5a3b4c5d6e7f8g9h0jkmnpq"


@pytest.fixture
async def with_columns(make_datasette: MakeDatasette, tmp_path: Path) -> Any:
    """``await with_columns(photo={…}, papers={…})``: a table ``people`` with these options."""

    async def make(**options: Any) -> Datasette:
        table = {
            "column_types": {
                "photo": {"type": "file", "config": options.get("photo")},
                "papers": {"type": "files", "config": options.get("papers")},
            }
        }
        path = tmp_path / "data.db"
        database = sqlite_utils.Database(path)
        database["people"].insert(
            {"id": 1, "name": "Ada", "photo": None, "papers": None},
            pk="id",
            columns={"photo": str, "papers": str},
        )
        database.close()
        return await make_datasette(
            sources={name: disk_source(tmp_path / name) for name in ("docs", "photos")},
            config={"databases": {"data": {"tables": {"people": table}}}},
            permissions={**OPEN, "insert-row": True, "update-row": True},
            databases=[path],
        )

    return make


async def write(datasette: Datasette, **values: Any) -> str:
    """Update the row through Datasette's API; the error, or "" where it was written."""
    answer = await datasette.client.post("/data/people/1/-/update", json={"update": values})
    return "" if answer.status_code == 200 else " ".join(answer.json()["errors"])


async def test_a_column_takes_the_ids_of_files_and_null(with_columns: Any) -> None:
    datasette = await with_columns()
    one, two = [(await upload(datasette))["id"] for _ in range(2)]
    assert await write(datasette, photo=one, papers=json.dumps([one, two])) == ""
    assert await write(datasette, papers=[two, one]) == ""
    row = (await datasette.client.get("/data/people/1.json?_shape=array")).json()[0]
    assert (row["photo"], json.loads(row["papers"])) == (one, [two, one])
    for empty in (None, "", "[]"):
        assert await write(datasette, papers=empty) == ""
    assert await write(datasette, photo=None) == ""
