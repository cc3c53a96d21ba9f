"""The different values of one column of a scratch database, in batches."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path


def distinct(path: Path, column: int, size: int) -> Generator[list[tuple[str, int]], None, None]:
    """Yield lists of up to ``size`` ``(value as text, number of its first row, from 1)``.

    The order is that of the rows; empty values are left out. Each list may be taken in another
    thread. The database must be complete.
    """
    uri = f"{path.as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True, check_same_thread=False)) as conn:
        # A blob need not be text.
        conn.text_factory = lambda value: value.decode(errors="replace")
        rows = conn.execute(
            f"""SELECT CAST(c{column} AS TEXT) AS value, min(rowid) FROM rows
            WHERE value <> '' GROUP BY 1 ORDER BY 2"""
        )
        while batch := rows.fetchmany(size):
            yield batch
