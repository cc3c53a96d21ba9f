"""Live tables as a client opens them, and SQLite files to open."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

from datasette.app import Datasette

OVER = ("finished", "error", "cancelled", "interrupted")


async def ended(
    datasette: Datasette, url: str, actor: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The job at this URL once it is over."""
    while True:
        job: dict[str, Any] = (await datasette.client.get(f"{url}.json", actor=actor)).json()
        if job["status"] in OVER:
            return job
        await asyncio.sleep(0.05)


async def opened(
    datasette: Datasette, file: dict[str, Any], actor: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Open a file's tables; the job that made them, once it is over."""
    answer = await datasette.client.post(f"/-/files/{file['id']}/-/open", actor=actor)
    assert answer.status_code == 202, answer.text
    told = answer.json()["job"]
    assert answer.headers["location"] == told["url"]
    return await ended(datasette, told["url"], actor)


def database_of(file: dict[str, Any]) -> str:
    """The path of the database of a file's tables."""
    return f"/file_{file['id'].removeprefix('df-')}"


async def rows(
    datasette: Datasette, file: dict[str, Any], table: str, actor: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The rows of a table; ``table`` is encoded as Datasette does."""
    url = f"{database_of(file)}/{table}.json?_shape=array"
    answer = await datasette.client.get(url, actor=actor)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def sqlite_file(folder: Path, script: str, name: str = "made.db") -> Path:
    """An SQLite file that a script makes."""
    path = folder / name
    conn = sqlite3.connect(path)
    conn.executescript(script)
    conn.close()
    return path
