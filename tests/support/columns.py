"""A table ``data.people`` with a ``file`` column ``photo`` and a ``files`` column ``papers``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlite_utils
from datasette.app import Datasette

from tests.conftest import OPEN, MakeDatasette, disk_source

#: The shape of an id, and no file's.
ABSENT = "df-01j5a3b4c5d6e7f8g9h0jkmnpq"

_TABLE_ACTIONS = ("insert-row", "update-row", "alter-table", "set-column-type")


def make_people(path: Path, rows: int = 1) -> None:
    """``rows`` people without files, their ids from 1 on."""
    database = sqlite_utils.Database(path)
    people = [{"id": number, "name": f"Ada {number}"} for number in range(1, rows + 1)]
    columns = {"photo": str, "papers": str}
    database["people"].insert_all(people, pk="id", columns=columns)
    database.close()


def column_types(photo: Any = None, papers: Any = None) -> dict[str, Any]:
    """Datasette's configuration of the two columns, with these options."""
    types = {
        "photo": {"type": "file", "config": photo},
        "papers": {"type": "files", "config": papers},
    }
    return {"databases": {"data": {"tables": {"people": {"column_types": types}}}}}


async def datasette_with_people(
    make_datasette: MakeDatasette,
    folder: Path,
    *,
    photo: Any = None,
    papers: Any = None,
    permissions: dict[str, Any] | None = None,
    **more: Any,
) -> Datasette:
    """Two sources, ``docs`` and ``photos``; open to everybody by default."""
    path = folder / "data.db"
    if not path.exists():
        make_people(path)
    return await make_datasette(
        sources={name: disk_source(folder / name) for name in ("docs", "photos")},
        config=column_types(photo, papers),
        permissions=permissions or {**OPEN, **dict.fromkeys(_TABLE_ACTIONS, True)},
        databases=[path],
        **more,
    )


async def write(datasette: Datasette, **values: Any) -> str:
    """Update the first person through Datasette's API; the error, or "" where it was written."""
    answer = await datasette.client.post("/data/people/1/-/update", json={"update": values})
    if answer.status_code == 200:
        return ""
    assert answer.status_code == 400, answer.text
    return " ".join(answer.json()["errors"])
