"""What the debug pages ask of the internal database: what is under way, and what a path is to it.

Counts go over all that is open at the moment; for an administrator's page, not for every request.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from ..models import SourceTotals


@dataclass(frozen=True, slots=True)
class Background:
    """How much waits to be done for a source in the background."""

    #: Paths whose bytes are to be deleted; of these, that are due, and that failed before.
    garbage: int = 0
    garbage_due: int = 0
    garbage_failed: int = 0
    #: Files whose sha256 is not known yet.
    unhashed: int = 0
    #: Files that a command copies or moves into it now.
    arriving: int = 0


@dataclass(frozen=True, slots=True)
class PathState:
    """What a path of a storage is to the catalog."""

    file_id: str | None = None
    #: Whether its bytes wait to be deleted.
    is_garbage: bool = False
    #: Whether its file was deleted, and can still be restored; then ``file_id`` is None.
    in_trash: bool = False
    #: Whether an upload that has not ended, or a file that is copied or moved, goes there.
    is_arriving: bool = False


def uploads(conn: sqlite3.Connection) -> dict[int, dict[str, int]]:
    """By source, how many uploads are in each state; those that have ended are left out."""
    rows = conn.execute(
        """SELECT source_id, state, count(*) FROM datasette_files_uploads
        WHERE state NOT IN ('completed', 'expired') GROUP BY 1, 2 ORDER BY 1, 2"""
    )
    found: dict[int, dict[str, int]] = {}
    for source_id, state, number in rows:
        found.setdefault(source_id, {})[state] = number
    return found


def background(conn: sqlite3.Connection, now: float) -> dict[int, Background]:
    """By source, what waits to be done in the background."""
    garbage = conn.execute(
        """SELECT source_id, count(*), sum(not_before <= ?), sum(attempts > 0)
        FROM datasette_files_garbage WHERE done_at IS NULL GROUP BY 1""",
        (now,),
    )
    found = {row[0]: Background(*row[1:]) for row in garbage}
    unhashed = dict(
        conn.execute("SELECT source_id, count(*) FROM datasette_files_unhashed GROUP BY 1")
    )
    moves = dict(
        conn.execute(
            """SELECT target_id, count(*) FROM datasette_files_moves
            WHERE claimed_until > ? GROUP BY 1""",
            (now,),
        )
    )
    for source_id in {*unhashed, *moves}:
        waiting = found.get(source_id, Background())
        found[source_id] = Background(
            waiting.garbage,
            waiting.garbage_due,
            waiting.garbage_failed,
            unhashed.get(source_id, 0),
            moves.get(source_id, 0),
        )
    return found


def trash(conn: sqlite3.Connection) -> dict[int, SourceTotals]:
    """By source, what can still be restored."""
    rows = conn.execute(
        """SELECT source_id, count(*), ifnull(sum(size), 0) FROM datasette_files_trash
        GROUP BY source_id"""
    )
    return {source_id: SourceTotals(files, size) for source_id, files, size in rows}


def leases(conn: sqlite3.Connection, now: float) -> dict[str, float]:
    """The pieces of background work that a process does now; the seconds its lease still runs."""
    rows = conn.execute(
        "SELECT name, expires_at - ? FROM datasette_files_leases WHERE expires_at > ? ORDER BY 1",
        (now, now),
    )
    return dict(rows.fetchall())


def paths(conn: sqlite3.Connection, source_id: int, wanted: Iterable[str]) -> dict[str, PathState]:
    """What each path is to the catalog: a file, trashed, arriving, to be deleted, or unknown."""
    rows = conn.execute(
        """SELECT w.value, f.id, EXISTS (SELECT 1 FROM datasette_files_garbage g
            WHERE g.source_id = ?1 AND g.path = w.value AND g.done_at IS NULL
                AND g.instructions IS NULL),
            EXISTS (SELECT 1 FROM datasette_files_trash t
                WHERE t.source_id = ?1 AND t.path = w.value),
            w.value IN (SELECT u.path FROM datasette_files_uploads u
                WHERE u.source_id = ?1 AND u.state NOT IN ('completed', 'expired'))
        FROM json_each(?2) AS w
        LEFT JOIN datasette_files f ON f.source_id = ?1 AND f.path = w.value""",
        (source_id, json.dumps(list(wanted))),
    )
    return {
        path: PathState(file_id, bool(garbage), bool(trashed), bool(arriving))
        for path, file_id, garbage, trashed, arriving in rows
    }
