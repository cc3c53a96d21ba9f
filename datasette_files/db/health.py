"""Look-ups for the debug pages: work that waits or runs, and the state of a path.

Each count reads all open rows: for an administrator's page, not for every request.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..models import SourceTotals


@dataclass(frozen=True, slots=True)
class Background:
    """Background work that waits for a source."""

    #: Paths whose bytes are to be deleted; those due now; those that failed before.
    garbage: int = 0
    garbage_due: int = 0
    garbage_failed: int = 0
    #: Files whose sha256 is not known yet.
    unhashed: int = 0
    #: Files that a command is copying or moving into the source.
    arriving: int = 0


@dataclass(frozen=True, slots=True)
class PathState:
    """The catalog's rows about one path of a storage."""

    file_id: str | None = None
    #: Whether its bytes wait to be deleted.
    is_garbage: bool = False
    #: Whether its file is in the trash; then ``file_id`` is None.
    in_trash: bool = False
    #: Whether an unfinished upload, copy or move writes there.
    is_arriving: bool = False


def uploads(conn: sqlite3.Connection) -> dict[int, dict[str, int]]:
    """``{source id: {state: unfinished uploads}}``."""
    rows = conn.execute(
        """SELECT source_id, state, count(*) FROM datasette_files_uploads
        WHERE state NOT IN ('completed', 'expired') GROUP BY 1, 2 ORDER BY 1, 2"""
    )
    found: dict[int, dict[str, int]] = {}
    for source_id, state, number in rows:
        found.setdefault(source_id, {})[state] = number
    return found


def background(conn: sqlite3.Connection, now: float) -> dict[int, Background]:
    """The background work of each source that has any, by source id."""
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
        found[source_id] = replace(
            found.get(source_id, Background()),
            unhashed=unhashed.get(source_id, 0),
            arriving=moves.get(source_id, 0),
        )
    return found


def trash(conn: sqlite3.Connection) -> dict[int, SourceTotals]:
    """Files and bytes in the trash, by source id."""
    rows = conn.execute(
        """SELECT source_id, count(*), ifnull(sum(size), 0) FROM datasette_files_trash
        GROUP BY source_id"""
    )
    return {source_id: SourceTotals(files, size) for source_id, files, size in rows}


def leases(conn: sqlite3.Connection, now: float) -> dict[str, float]:
    """``{background task: seconds until its lease ends}`` for each lease held now."""
    rows = conn.execute(
        "SELECT name, expires_at - ? FROM datasette_files_leases WHERE expires_at > ? ORDER BY 1",
        (now, now),
    )
    return dict(rows.fetchall())


#: The fields of PathState, by the path ``w.value`` of the source ``?1``.
_IS_GARBAGE = """EXISTS (SELECT 1 FROM datasette_files_garbage g
    WHERE g.source_id = ?1 AND g.path = w.value AND g.instructions IS NULL
        AND (g.done_at IS NULL OR g.done_at >= ?3))"""
_IN_TRASH = """EXISTS (SELECT 1 FROM datasette_files_trash t
    WHERE t.source_id = ?1 AND t.path = w.value)"""
_IS_ARRIVING = """w.value IN (SELECT u.path FROM datasette_files_uploads u
    WHERE u.source_id = ?1 AND u.state NOT IN ('completed', 'expired'))"""
_WANTED = """json_each(?2) AS w
    LEFT JOIN datasette_files f ON f.source_id = ?1 AND f.path = w.value"""


def in_use(
    conn: sqlite3.Connection,
    source_id: int,
    wanted: Iterable[str],
    deleted_since: float = float("inf"),
) -> set[str]:
    """Those of the paths at which the catalog expects something: a file, one in the trash, an
    upload, or garbage. Or expected it since a moment, of the last day, and has deleted it.
    """
    rows = conn.execute(
        f"""SELECT w.value FROM {_WANTED}
        WHERE f.id IS NOT NULL OR {_IS_GARBAGE} OR {_IN_TRASH} OR {_IS_ARRIVING}""",
        (source_id, json.dumps(list(wanted)), deleted_since),
    )
    return {row[0] for row in rows}


def paths(conn: sqlite3.Connection, source_id: int, wanted: Iterable[str]) -> dict[str, PathState]:
    """The state of each path of a source, by path."""
    rows = conn.execute(
        f"SELECT w.value, f.id, {_IS_GARBAGE}, {_IN_TRASH}, {_IS_ARRIVING} FROM {_WANTED}",
        (source_id, json.dumps(list(wanted)), float("inf")),
    )
    return {
        path: PathState(file_id, bool(garbage), bool(trashed), bool(arriving))
        for path, file_id, garbage, trashed, arriving in rows
    }
