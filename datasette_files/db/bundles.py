"""Ids that files bring along: free in the catalog, or taken, also by a file in the trash."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from ..models import FileRecord
from . import files


def taken(conn: sqlite3.Connection, ids: Iterable[str]) -> dict[str, FileRecord | None]:
    """The ids that are taken, with their file; None for one in the trash."""
    wanted = list(ids)
    rows = conn.execute(
        """SELECT t.id FROM json_each(?) AS wanted
        CROSS JOIN datasette_files_trash t ON t.id = wanted.value""",
        (json.dumps(wanted),),
    )
    return {**{row[0]: None for row in rows}, **files.by_ids(conn, wanted)}
