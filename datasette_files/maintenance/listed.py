"""The paths that a listing named, in little memory, to find the files that it did not name."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable

from ..models import FileRecord


class ListedPaths:
    """Paths, eight bytes each, in a temporary database.

    The key makes it impossible to choose two paths that count as one.
    """

    def __init__(self) -> None:
        self._key = os.urandom(16)
        # "" is a database in a temporary file. One thread at a time uses it.
        self._conn = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        self._conn.execute("CREATE TABLE seen (path INTEGER PRIMARY KEY)")
        self._conn.execute("BEGIN")

    def _number(self, path: str) -> int:
        digest = hashlib.blake2b(
            path.encode("utf-8", "surrogatepass"), digest_size=8, key=self._key
        ).digest()
        return int.from_bytes(digest, "big", signed=True)

    def add(self, paths: Iterable[str]) -> None:
        rows = ((self._number(path),) for path in paths)
        self._conn.executemany("INSERT OR IGNORE INTO seen VALUES (?)", rows)

    def lacking(self, files: list[FileRecord]) -> list[FileRecord]:
        """The files whose path was not named."""
        look = "SELECT 1 FROM seen WHERE path = ?"
        return [
            file
            for file in files
            if self._conn.execute(look, (self._number(file.path),)).fetchone() is None
        ]

    def close(self) -> None:
        self._conn.close()
