"""Extraction without a server: ``extract`` runs a source's pass once."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files

#: Extract what is due in a source.
Extract = Callable[..., Awaitable[None]]


@pytest.fixture
def extract() -> Extract:
    async def run(datasette: Datasette, source: str = "docs") -> None:
        files = Files.of(datasette)
        pending = f"""SELECT count(*) FROM datasette_files_texts WHERE status = 'pending'
            AND source_id = {files.sources.get(source).id}"""
        # Another pass, in the background of this Datasette, may have the lease.
        extraction = files.texts.of(files.sources.get(source), rests=False)
        await extraction.round.once()
        while await stored(datasette, pending):
            await asyncio.sleep(0.05)
            await extraction.round.once()

    return run


async def pages(datasette: Datasette, file_id: str) -> list[tuple[int, str]]:
    """The stored pages of a file."""

    def look(conn: sqlite3.Connection) -> list[Any]:
        return conn.execute(
            """SELECT p.page, p.text FROM datasette_files f JOIN datasette_files_pages p
            ON p.id >> 20 = f.seq WHERE f.id = ? ORDER BY p.id""",
            (file_id,),
        ).fetchall()

    return [tuple(row) for row in await Files.of(datasette).catalog.read(look)]


async def stored(datasette: Datasette, sql: str) -> int:
    """One number of the internal database."""
    return int(await Files.of(datasette).catalog.read(lambda conn: conn.execute(sql).fetchone()[0]))
