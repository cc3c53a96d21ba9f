"""A Datasette with a database to import into, for tests of the whole way."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from datasette.app import Datasette
from datasette.database import Database

from tests.conftest import OPEN, upload

#: Datasette's permissions that an import of any mode needs.
WRITE = dict.fromkeys(
    ("create-table", "insert-row", "update-row", "delete-row", "drop-table"), True
)
OVER = ("finished", "error", "cancelled", "interrupted")


def database(folder: Path) -> Path:
    """``data.db``, with one table ``other``."""
    path = folder / "data.db"
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE other (a)")
    conn.commit()
    conn.close()
    return path


def attach(datasette: Datasette, folder: Path) -> None:
    """Give a Datasette ``data``, writable."""
    datasette.add_database(Database(datasette, path=str(database(folder))), name="data")


def tables(path: Path) -> set[str]:
    """Everything in the database but ``other``."""
    conn = sqlite3.connect(path)
    names = {row[0] for row in conn.execute("SELECT name FROM sqlite_master")}
    conn.close()
    return names - {"other"}


def rows(path: Path, table: str = "made") -> list[tuple[Any, ...]]:
    conn = sqlite3.connect(path)
    found = conn.execute(f'SELECT * FROM "{table}" ORDER BY 1').fetchall()
    conn.close()
    return found


async def start(
    datasette: Datasette,
    content: bytes,
    filename: str = "people.csv",
    actor: dict[str, Any] | None = None,
    source: str = "docs",
    **fields: str,
) -> Any:
    """Upload and import into ``data.made``; the answer."""
    file = await upload(datasette, content, filename, actor=actor, source=source)
    form = {"database_name": "data", "table_name": "made", **fields}
    return await datasette.client.post(
        f"/-/files/import/{file['id']}",
        data=form,
        actor=actor,
        headers={"Accept": "application/json"},
    )


async def ended(
    datasette: Datasette, url: str, actor: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The job once it is over."""
    while True:
        answer = await datasette.client.get(f"{url}.json", actor=actor)
        job: dict[str, Any] = answer.json()
        if job["status"] in OVER:
            return job
        await asyncio.sleep(0.1)


async def imported(datasette: Datasette, content: bytes, **fields: Any) -> dict[str, Any]:
    """The job of an import that is over."""
    response = await start(datasette, content, **fields)
    assert response.status_code == 302, response.text
    return await ended(datasette, response.headers["location"])


PERMISSIONS = {**OPEN, **WRITE}
