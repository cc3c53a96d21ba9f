"""The memory of one connection for a large write."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cache_of(conn: sqlite3.Connection, kib: int) -> Iterator[None]:
    """Keep up to ``kib`` KiB of the main database's pages in memory; afterwards as before."""
    before = conn.execute("PRAGMA main.cache_size").fetchone()[0]
    conn.execute(f"PRAGMA main.cache_size = -{kib}")
    try:
        yield
    finally:
        conn.execute(f"PRAGMA main.cache_size = {int(before)}")
