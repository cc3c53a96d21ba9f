"""The first start of a site."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.conftest import MakeDatasette, upload
from tests.support.storages import registered


async def test_a_first_start_announces_nothing(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    """Write a database whose table of migrations an older library made; it is made anew."""
    with closing(sqlite3.connect(tmp_path / "internal.db")) as conn:
        conn.execute(
            """CREATE TABLE _sqlite_migrations (migration_set TEXT, name TEXT, applied_at TEXT,
                PRIMARY KEY (migration_set, name))"""
        )
        conn.commit()
    events: list[str] = []

    async def track_event(datasette: Any, event: Any) -> None:
        events.append(event.name)

    with registered(track_event=track_event):
        datasette = await make_datasette()
        assert events == []
        await upload(datasette)
    assert events == ["upload-file"]
