"""The trash: deleted files that can be restored, with who deleted them and until when.

A file goes in and comes back by one insert and one delete in one transaction. Its bytes and
thumbnails stay where they are; its path stays taken. Only this module writes the trash; garbage.py
and health.py read it too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..models import FileRecord
from . import audit, garbage, leases, moves, thumbnails, unhashed, versions
from .files import COLUMNS, record, row_of
from .listing import COUNT_LIMIT
from .migrations import FILE_COLUMNS
from .rows import insert_row
from .tokens import decode_token, encode_token

_FILE = ", ".join(FILE_COLUMNS)
_SELECT = f"""SELECT f.number, f.trashed_at, f.trashed_by, f.purge_at, {COLUMNS}
    FROM datasette_files_trash f"""
_JOIN = "CROSS JOIN datasette_files_sources s ON s.id = f.source_id"
#: The name of this list in its pages' tokens.
_LIST = "trash"


@dataclass(frozen=True, slots=True)
class TrashedFile:
    """A deleted file that can be restored. Times are seconds since the epoch."""

    file: FileRecord
    trashed_at: float
    trashed_by: str | None
    #: When it is deleted for good.
    purge_at: float


@dataclass(frozen=True, slots=True)
class TrashPage:
    """One page of the trash that an actor may see, the newest deletion first."""

    files: list[TrashedFile]
    #: The token of the next page, or None at the end.
    next: str | None
    total: int
    total_truncated: bool
    #: The slugs of the sources of which the actor sees all the trash, or their own deletions.
    sources: list[str]
    #: The slugs of the sources whose trash the actor may purge.
    purgeable: frozenset[str]


@dataclass(frozen=True)
class Scope:
    """A part of the trash: a source's, or one actor's deletions in it."""

    source_id: int
    trashed_by: str | None = None

    def scan(self) -> tuple[str, str, tuple[object, ...]]:
        """``(the index's name, a condition on f, its values)``."""
        if self.trashed_by is None:
            return "list", "f.source_id = ?", (self.source_id,)
        return "own", "f.source_id = ? AND f.trashed_by = ?", (self.source_id, self.trashed_by)


def add(
    conn: sqlite3.Connection, file_id: str, actor_id: str | None, now: float, purge_at: float
) -> TrashedFile | None:
    """Move a file out of the catalog; None if it is not in it."""
    cursor = conn.execute(
        f"""INSERT INTO datasette_files_trash (seq, {_FILE}, trashed_at, trashed_by, purge_at)
        SELECT seq, {_FILE}, ?, ?, ? FROM datasette_files WHERE id = ?""",
        (now, actor_id, purge_at, file_id),
    )
    if not cursor.rowcount:
        return None  # another request may have moved it to the trash meanwhile
    conn.execute("DELETE FROM datasette_files WHERE id = ?", (file_id,))
    trashed = get(conn, file_id)
    if trashed is not None:
        audit.of_file(conn, "delete", trashed.file, outcome="trashed")
    return trashed


def restore(conn: sqlite3.Connection, file_id: str) -> FileRecord | None:
    """Move a file back into the catalog; None if it is not in the trash.

    It gets its old ``seq``, unless a newer file has that meanwhile. Raises sqlite3.IntegrityError
    where another tool has put a file of its id or path into the catalog.
    """
    found = get(conn, file_id)
    if found is None:
        return None
    free = conn.execute(
        """SELECT seq FROM datasette_files_trash WHERE id = ?
        AND seq NOT IN (SELECT seq FROM datasette_files)""",
        (file_id,),
    ).fetchone()
    conn.execute("DELETE FROM datasette_files_trash WHERE id = ?", (file_id,))
    row = row_of(replace(found.file, superseded_by=versions.next_of(conn, found.file)))
    insert_row(conn, "datasette_files", {"seq": free[0] if free else None, **row})
    if found.file.sha256 is None or found.file.crc32 is None:
        # Hashing skips a file that is not in the catalog.
        unhashed.add(conn, file_id, found.file.source_id)
    audit.of_file(conn, "restore", found.file)
    return found.file


def purge(conn: sqlite3.Connection, file_id: str, actor_id: str | None) -> FileRecord | None:
    """Delete a file for good and note its bytes as garbage; None if it is not in the trash.

    ``actor_id``: the one to whom a repeated deletion answers success.
    """
    found = get(conn, file_id)
    if found is None:
        return None
    conn.execute("DELETE FROM datasette_files_trash WHERE id = ?", (file_id,))
    thumbnails.delete(conn, file_id)
    moves.forget(conn, file_id)
    garbage.add(conn, found.file.source_id, found.file.path, file_id, actor_id)
    audit.of_file(conn, "purge", found.file)
    return found.file


def purge_all(conn: sqlite3.Connection, due: Iterable[TrashedFile], now: float) -> list[FileRecord]:
    """Purge each of these files whose time has come. One that cannot be is due again in an hour."""

    def step(one: TrashedFile) -> FileRecord | None:
        return purge(conn, one.file.id, one.trashed_by)

    def put_off(one: TrashedFile) -> None:
        conn.execute(
            "UPDATE datasette_files_trash SET purge_at = ? WHERE id = ?", (now + 3600, one.file.id)
        )

    return [file for file in leases.each(conn, due, step, put_off) if file is not None]


def get(conn: sqlite3.Connection, file_id: str) -> TrashedFile | None:
    row = conn.execute(f"{_SELECT} {_JOIN} WHERE f.id = ?", (file_id,)).fetchone()
    return _trashed(row)[1] if row else None


def holds_any(conn: sqlite3.Connection, source_ids: Iterable[int]) -> bool:
    """Tell whether the trash holds a file of these sources."""
    row = conn.execute(
        """SELECT 1 FROM json_each(?) AS wanted
        CROSS JOIN datasette_files_trash f INDEXED BY datasette_files_trash_list
            ON f.source_id = wanted.value LIMIT 1""",
        (json.dumps(list(source_ids)),),
    ).fetchone()
    return row is not None


def due(conn: sqlite3.Connection, source_id: int, now: float, limit: int) -> list[TrashedFile]:
    """The source's files that are due to be deleted for good."""
    rows = conn.execute(
        f"""{_SELECT} INDEXED BY datasette_files_trash_due {_JOIN}
        WHERE f.source_id = ? AND f.purge_at <= ? ORDER BY f.purge_at LIMIT ?""",
        (source_id, now, limit),
    )
    return [_trashed(row)[1] for row in rows]


def page(
    conn: sqlite3.Connection, scopes: Iterable[Scope], after: str | None, limit: int
) -> tuple[list[TrashedFile], str | None]:
    """One page of these scopes, the newest deletion first, and the token of the next or None."""
    bound = "" if after is None else " AND f.number < ?"
    values = () if after is None else (decode_token(_LIST, after)[1],)
    found: list[tuple[int, TrashedFile]] = []
    for scope in scopes:
        index, where, owned = scope.scan()
        rows = conn.execute(
            f"""{_SELECT} INDEXED BY datasette_files_trash_{index} {_JOIN}
            WHERE {where}{bound} ORDER BY f.number DESC LIMIT ?""",
            (*owned, *values, limit + 1),
        )
        found.extend(_trashed(row) for row in rows)
    found.sort(key=lambda one: one[0], reverse=True)
    token = encode_token(_LIST, "", found[limit - 1][0]) if len(found) > limit else None
    return [trashed for _, trashed in found[:limit]], token


def count(conn: sqlite3.Connection, scopes: Iterable[Scope]) -> tuple[int, bool]:
    """The number of files, and whether counting stopped at ``COUNT_LIMIT``."""
    total = 0
    for scope in scopes:
        index, where, values = scope.scan()
        row = conn.execute(
            f"""SELECT count(*) FROM (SELECT 1 FROM datasette_files_trash f
                INDEXED BY datasette_files_trash_{index} WHERE {where} LIMIT ?)""",
            (*values, COUNT_LIMIT + 1 - total),
        ).fetchone()
        total += row[0]
    return min(total, COUNT_LIMIT), total > COUNT_LIMIT


def _trashed(row: Sequence[object]) -> tuple[int, TrashedFile]:
    number, trashed_at, trashed_by, purge_at, *file = row
    return number, TrashedFile(record(file), trashed_at, trashed_by, purge_at)  # type: ignore[return-value, arg-type]
