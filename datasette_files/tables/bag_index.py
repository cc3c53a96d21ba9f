"""The scratch database of one bag: its members and files, on disk, so that memory stays bounded."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

#: Rows read in one query.
PAGE = 500
#: The columns of ``files``: those of data/files.csv, and the id in the target.
FILE_COLUMNS = (
    *("id", "path", "source", "filename", "content_type", "size", "sha256", "width", "height"),
    *("uploaded_by", "created_at", "metadata", "search_text", "folder", "tags"),
)


class BagIndex:
    """A new scratch database. It need not survive a crash, so nothing is flushed.

    Its methods are called from one thread at a time.
    """

    def __init__(self, path: Path) -> None:
        self._conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for statement in (
            "PRAGMA journal_mode = OFF",
            "PRAGMA synchronous = OFF",
            "PRAGMA cache_size = -8192",
            "CREATE TABLE names (name TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID",
            "CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID",
            """CREATE TABLE members (path TEXT PRIMARY KEY, size INTEGER NOT NULL, sha256 TEXT,
                listed INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID""",
            f"""CREATE TABLE files ({FILE_COLUMNS[0]} PRIMARY KEY,
                {", ".join(FILE_COLUMNS[1:])}, target_id TEXT, stored INTEGER) WITHOUT ROWID""",
            "BEGIN",
        ):
            self._conn.execute(statement)

    def close(self) -> None:
        self._conn.close()

    # A bag to be written

    def take_name(self, name: str) -> int:
        """Count a name, and return how often it was asked for before."""
        row = self._conn.execute("SELECT last FROM names WHERE name = ?", (name,)).fetchone()
        last = 0 if row is None else row[0] + 1
        self._conn.execute("REPLACE INTO names VALUES (?, ?)", (name, last))
        return last

    def add_ids(self, ids: Iterable[str]) -> None:
        self._conn.executemany("INSERT OR IGNORE INTO ids VALUES (?)", ((one,) for one in ids))

    def ids(self) -> Iterator[list[str]]:
        """All ids, in pages."""
        after = ""
        while page := self._page("SELECT id FROM ids WHERE id > ? ORDER BY id LIMIT ?", after):
            yield [row[0] for row in page]
            after = page[-1][0]

    # A bag to be read

    def add_member(self, path: str, size: int) -> bool:
        """Add a file of the bag. False if there is one of this path."""
        return bool(
            self._conn.execute(
                "INSERT OR IGNORE INTO members (path, size) VALUES (?, ?)", (path, size)
            ).rowcount
        )

    def set_sha256(self, path: str, sha256: str) -> bool:
        """Record the sha256 from a manifest. False without such a file, or if it has one."""
        return bool(
            self._conn.execute(
                "UPDATE members SET sha256 = ? WHERE path = ? AND sha256 IS NULL", (sha256, path)
            ).rowcount
        )

    def member(self, path: str) -> tuple[int, str | None] | None:
        """The size and sha256 of a file of the bag."""
        row: tuple[int, str | None] | None = self._conn.execute(
            "SELECT size, sha256 FROM members WHERE path = ?", (path,)
        ).fetchone()
        return row

    def without_sha256(self, besides: str) -> str | None:
        """A file of the bag that no manifest names, ``besides`` one."""
        row = self._conn.execute(
            "SELECT path FROM members WHERE sha256 IS NULL AND path != ? LIMIT 1", (besides,)
        ).fetchone()
        return row[0] if row else None

    def totals(self, folder: str) -> tuple[int, int]:
        """The bytes and the number of the files below a folder, named with its slash."""
        row = self._conn.execute(
            "SELECT ifnull(sum(size), 0), count(*) FROM members WHERE substr(path, 1, ?) = ?",
            (len(folder), folder),
        ).fetchone()
        return row[0], row[1]

    def members(self) -> Iterator[list[tuple[str, int, str]]]:
        """Path, size and sha256 of every file that a manifest names, in pages."""
        after = ""
        sql = """SELECT path, size, sha256 FROM members
            WHERE path > ? AND sha256 IS NOT NULL ORDER BY path LIMIT ?"""
        while page := self._page(sql, after):
            yield page
            after = page[-1][0]

    def add_file(self, row: dict[str, Any]) -> bool:
        """Add a row of data/files.csv. False if its id, or its path, is there already."""
        listed = self._conn.execute(
            "UPDATE members SET listed = 1 WHERE path = ? AND listed = 0", (row["path"],)
        ).rowcount
        places = ", ".join("?" * len(FILE_COLUMNS))
        added = self._conn.execute(
            f"INSERT OR IGNORE INTO files ({', '.join(FILE_COLUMNS)}) VALUES ({places})",
            [row[name] for name in FILE_COLUMNS],
        ).rowcount
        return bool(listed and added)

    def unlisted(self, folder: str) -> str | None:
        """A file below the folder that data/files.csv does not name."""
        row = self._conn.execute(
            "SELECT path FROM members WHERE substr(path, 1, ?) = ? AND NOT listed LIMIT 1",
            (len(folder), folder),
        ).fetchone()
        return row[0] if row else None

    def files(self, *, to_store: bool = False) -> Iterator[list[dict[str, Any]]]:
        """The rows of data/files.csv, in pages. ``to_store``: those that the target lacks."""
        after = ""
        names = (*FILE_COLUMNS, "target_id")
        where = "id > ? AND stored = 0" if to_store else "id > ?"
        sql = f"SELECT {', '.join(names)} FROM files WHERE {where} ORDER BY id LIMIT ?"
        while page := self._page(sql, after):
            yield [dict(zip(names, row, strict=True)) for row in page]
            after = page[-1][0]

    def resolve(self, file_id: str, target_id: str, stored: bool) -> None:
        """Record a file's id in the target, and whether it is there already."""
        self._conn.execute(
            "UPDATE files SET target_id = ?, stored = ? WHERE id = ?", (target_id, stored, file_id)
        )

    def target_id(self, file_id: str) -> str:
        """The id in the target of a file of the bag; the same id for any other."""
        row = self._conn.execute("SELECT target_id FROM files WHERE id = ?", (file_id,)).fetchone()
        return row[0] if row else file_id

    def sources(self) -> list[str]:
        """The slugs of the files' sources."""
        return [row[0] for row in self._conn.execute("SELECT DISTINCT source FROM files")]

    @property
    def renames(self) -> bool:
        """Whether a file has another id in the target."""
        row = self._conn.execute("SELECT 1 FROM files WHERE target_id != id LIMIT 1").fetchone()
        return row is not None

    def _page(self, sql: str, after: str) -> list[Any]:
        return self._conn.execute(sql, (after, PAGE)).fetchall()
