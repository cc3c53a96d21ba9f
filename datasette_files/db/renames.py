"""Renames in the catalog: which new objects of a walk may be known files, and which of them are.

A file that its walk has not seen may be at another path now. It is known there by its mark, or by
size and sha256. Leaves out the walk (index.py) and reading the storage (maintenance/renaming.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from . import audit
from .index import NOT_SEEN, Walk, numbers_of
from .migrations.versions import SUPERSEDED

#: As the index datasette_files_digest has it.
_HASHED = "f.content_hash >= 'sha256:' AND f.content_hash < 'sha256;'"
#: The files of the source ?1. An older version that a person has replaced is an object too.
_SHELVES = f"f.shelf IN (?1, ?1 + {SUPERSEDED})"
#: Leaves out an older version whose object was overwritten in the storage.
_STORED = "f.path != '.versions/' || f.id || '/' || f.filename"


def perhaps_moved(conn: sqlite3.Connection, walk: Walk, versions: Iterable[str]) -> set[str]:
    """Those of the marks that a file had at a path where this walk has not seen it yet."""
    rows = conn.execute(
        """SELECT DISTINCT w.value FROM json_each(?) AS w
        CROSS JOIN datasette_files_objects o INDEXED BY datasette_files_objects_version
            ON o.source_id = ? AND o.version = w.value
        WHERE o.walk < ? AND NOT o.is_pending""",
        (json.dumps(list(versions)), walk.source_id, walk.id),
    )
    return {row[0] for row in rows}


@dataclass(frozen=True, slots=True)
class Pending:
    """An object that may be a file's new place."""

    path: str
    version: str
    #: The one file that had this mark elsewhere, if no other object has it now.
    file_id: str | None
    #: Whether a file had this mark elsewhere.
    is_marked: bool


def pending(conn: sqlite3.Connection, walk: Walk, limit: int) -> list[Pending]:
    """The first objects that may be a file's new place, in the order of paths."""
    rows = conn.execute(
        """SELECT p.path, p.version, (
            SELECT CASE count(*) WHEN 1 THEN min(f.id) END
            FROM datasette_files_objects o INDEXED BY datasette_files_objects_version
            JOIN datasette_files f ON f.source_id = o.source_id AND f.path = o.path
            WHERE o.source_id = p.source_id AND o.version = p.version AND NOT o.is_pending
                AND o.walk < ?2
                AND 1 = (SELECT count(*)
                    FROM datasette_files_objects t INDEXED BY datasette_files_objects_version
                    WHERE t.source_id = p.source_id AND t.version = p.version AND t.walk = ?2)),
            EXISTS (SELECT 1 FROM datasette_files_objects m
                INDEXED BY datasette_files_objects_version
                WHERE m.source_id = p.source_id AND m.version = p.version AND NOT m.is_pending
                    AND m.walk < ?2)
        FROM datasette_files_objects p INDEXED BY datasette_files_objects_pending
        WHERE p.source_id = ?1 AND p.is_pending ORDER BY p.path LIMIT ?3""",
        (walk.source_id, walk.id, limit),
    )
    return [
        Pending(path, version, file_id, bool(marked)) for path, version, file_id, marked in rows
    ]


def is_first(conn: sqlite3.Connection, walk: Walk) -> bool:
    """Tell whether no walk over the source has ended before this one."""
    row = conn.execute(
        """SELECT 1 FROM datasette_files_walks
        WHERE source_id = ? AND id < ? AND ended_at IS NOT NULL LIMIT 1""",
        (walk.source_id, walk.id),
    ).fetchone()
    return row is None


def of_known_size(conn: sqlite3.Connection, source_id: int, sizes: Iterable[int]) -> set[int]:
    """Those of the sizes that a file of the source has."""
    rows = conn.execute(
        f"""SELECT DISTINCT w.value FROM json_each(?2) AS w WHERE EXISTS (
            SELECT 1 FROM datasette_files f INDEXED BY datasette_files_by_size
            WHERE {_SHELVES} AND ifnull(f.size, -1) = w.value)""",
        (source_id, json.dumps(list(sizes))),
    )
    return {row[0] for row in rows}


def of_lost_size(conn: sqlite3.Connection, walk: Walk, sizes: Iterable[int]) -> set[int]:
    """Those of the sizes that a file with a sha256 has which the walk did not see."""
    rows = conn.execute(
        f"""SELECT DISTINCT w.value FROM json_each(?4) AS w
        CROSS JOIN datasette_files f INDEXED BY datasette_files_by_size
            ON {_SHELVES} AND ifnull(f.size, -1) = w.value AND {_HASHED}
        LEFT JOIN datasette_files_objects o ON o.source_id = ?1 AND o.path = f.path
        WHERE {NOT_SEEN} AND {_STORED}""",
        (*numbers_of(walk), json.dumps(list(sizes))),
    )
    return {row[0] for row in rows}


def lost_with_hash(conn: sqlite3.Connection, walk: Walk, content_hash: str) -> str | None:
    """The id of the file with these bytes, if the walk did not see it and there is no other."""
    # The plus keeps SQLite from putting the value into the expression, which the index then lacks.
    row = conn.execute(
        f"""SELECT CASE count(*) WHEN 1 THEN min(CASE WHEN {NOT_SEEN} THEN f.id END) END
        FROM datasette_files f INDEXED BY datasette_files_digest
        LEFT JOIN datasette_files_objects o ON o.source_id = f.source_id AND o.path = f.path
        WHERE f.source_id = ?1 AND substr(f.content_hash, 8, 10) = substr(?4, 8, 10) AND {_HASHED}
            AND +f.content_hash = ?4 AND {_STORED}""",
        (*numbers_of(walk), content_hash),
    ).fetchone()
    return None if row[0] is None else str(row[0])


def rename(
    conn: sqlite3.Connection, source_id: int, file_id: str, path: str, name: str, folder: str
) -> None:
    """Move a file's row to another path of its source, where its bytes are now."""
    renamed = {"new": {"filename": name, "folder": folder}}
    audit.of_rows(
        conn,
        "update",
        "f.id = :id AND f.source_id = :source",
        {"id": file_id, "source": source_id},
        {"changed": ["filename", "folder"], **renamed},
    )
    conn.execute(
        """DELETE FROM datasette_files_objects WHERE source_id = ? AND path = (
            SELECT path FROM datasette_files WHERE id = ?)""",
        (source_id, file_id),
    )
    conn.execute(
        """UPDATE datasette_files SET path = ?, filename = ?, folder = ?, missing_since = NULL
        WHERE id = ? AND source_id = ?""",
        (path, name, folder, file_id, source_id),
    )
