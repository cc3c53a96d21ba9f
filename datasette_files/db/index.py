"""Indexing in the catalog: walks over a source, the comparison of a page, and its changes.

Every page of a listing is compared by one query and applied by one transaction, which moves the
walk's place too, so that a walk goes on after a crash. Leaves out renames (renames.py) and the
storage (maintenance/).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

from ..models import FileRecord, written
from . import audit, files, health
from .files import COLUMNS, record
from .rows import insert_rows

#: Walks and failures that are kept.
_WALKS = 20
_MAX_FAILURES = 100

Phase = Literal["list", "renames", "missing"]


@dataclass(slots=True)
class Walk:
    """One walk over a source. Times are seconds since the epoch."""

    id: int
    source_id: int
    started_at: float
    ended_at: float | None = None
    #: Whether any number of files may be missing.
    accepts_missing: bool = False
    phase: Phase = "list"
    #: The place in the phase: the storage's cursor, or a path.
    cursor: str | None = None
    #: How many objects or files were listed, added, changed, renamed, …
    counts: dict[str, int] = field(default_factory=dict)
    #: ``(path, reason)`` of the first objects that failed.
    failures: list[tuple[str, str]] = field(default_factory=list)
    #: Why it stopped.
    problem: str | None = None

    def count(self, **more: int) -> None:
        for name, number in more.items():
            if number:
                self.counts[name] = self.counts.get(name, 0) + number

    def fail(self, path: str, reason: str) -> None:
        """Count an object that failed."""
        self.count(failed=1)
        if len(self.failures) < _MAX_FAILURES:
            self.failures.append((path, reason))

    def part(self) -> Walk:
        """A page of the walk, with counts and failures of its own."""
        return Walk(self.id, self.source_id, self.started_at)

    def take(self, part: Walk) -> None:
        """Add the counts and failures of a part."""
        self.count(**part.counts)
        self.failures += part.failures[: _MAX_FAILURES - len(self.failures)]


class Seen(NamedTuple):
    """An object of a listing. ``version`` is a mark that changes with its bytes (indexing.py)."""

    path: str
    version: str
    size: int | None
    created_at: str | None = None


class New(NamedTuple):
    """A file that a walk found: those fields of its record in which such files differ."""

    id: str
    path: str
    filename: str
    folder: str
    content_type: str
    size: int | None
    created_at: str
    content_hash: str | None = None
    crc32: str | None = None

    def record(self, source_id: int, slug: str) -> FileRecord:
        """The whole record, of a file of this source."""
        return FileRecord(
            source_id=source_id,
            source_slug=slug,
            width=None,
            height=None,
            uploaded_by=None,
            metadata="{}",
            search_text="",
            **self._asdict(),
        )


@dataclass(slots=True)
class Difference:
    """The objects of a page that are not as they were, by what the catalog has at their path."""

    #: Nothing.
    unknown: list[Seen] = field(default_factory=list)
    #: A file of the same size that no walk saw yet, or one that was missing and is back.
    known: list[tuple[Seen, bool]] = field(default_factory=list)
    #: A file whose bytes may be others.
    suspect: list[tuple[Seen, str]] = field(default_factory=list)


#: A file that a walk should have seen, and did not: one that it, or one before, may have listed.
NOT_SEEN = """ifnull(o.walk, 0) < ?2 AND (o.path IS NOT NULL OR f.created_at < ?3)"""
_UNSEEN = f"""datasette_files f LEFT JOIN datasette_files_objects o
        ON o.source_id = f.source_id AND o.path = f.path
    WHERE f.source_id = ?1 AND f.missing_since IS NULL AND {NOT_SEEN}"""
_FIELDS = """id, source_id, started_at, ended_at, accepts_missing, phase, cursor, counts, failures,
    problem"""


def numbers_of(walk: Walk) -> tuple[int, int, str]:
    """The values of ``NOT_SEEN``: ``?1`` is the source."""
    return walk.source_id, walk.id, written(walk.started_at)


def _walk(row: Sequence[Any]) -> Walk:
    walk = Walk(*row)
    walk.accepts_missing = bool(walk.accepts_missing)
    walk.counts, walk.failures = json.loads(row[7]), json.loads(row[8])
    return walk


def latest(conn: sqlite3.Connection, source_id: int, limit: int = 1) -> list[Walk]:
    """The latest walks over a source, the newest first."""
    rows = conn.execute(
        f"""SELECT {_FIELDS} FROM datasette_files_walks WHERE source_id = ?
        ORDER BY id DESC LIMIT ?""",
        (source_id, limit),
    )
    return [_walk(row) for row in rows]


def begin(
    conn: sqlite3.Connection, source_id: int, now: float, *, accepts_missing: bool = False
) -> Walk:
    """The walk that is to go on, or a new one. Forgets the oldest walks."""
    for walk in latest(conn, source_id):
        if walk.ended_at is None:
            if accepts_missing and not walk.accepts_missing:
                _record(conn, source_id, accepts_missing)
            walk.accepts_missing |= accepts_missing
            conn.execute(
                "UPDATE datasette_files_walks SET accepts_missing = ? WHERE id = ?",
                (walk.accepts_missing, walk.id),
            )
            return walk
    cursor = conn.execute(
        """INSERT INTO datasette_files_walks (source_id, started_at, accepts_missing)
        VALUES (?, ?, ?)""",
        (source_id, now, accepts_missing),
    )
    conn.execute(
        """DELETE FROM datasette_files_walks WHERE source_id = ?1 AND id <= (
            SELECT id FROM datasette_files_walks WHERE source_id = ?1
            ORDER BY id DESC LIMIT 1 OFFSET ?2)""",
        (source_id, _WALKS),
    )
    _record(conn, source_id, accepts_missing)
    return Walk(cursor.lastrowid or 0, source_id, now, accepts_missing=accepts_missing)


def _record(conn: sqlite3.Connection, source_id: int, accepts_missing: bool) -> None:
    """Record for the audit that somebody asked for a walk; those of the round nobody asked for."""
    asked = audit.note("sync", source_id, {"accept_missing": accepts_missing})
    if asked.by.via != "round":
        audit.add(conn, asked)


def keep(conn: sqlite3.Connection, walk: Walk, before: tuple[Phase, str | None]) -> bool:
    """Record where a walk stands. False if it is no longer where this process left it."""
    cursor = conn.execute(
        """UPDATE datasette_files_walks SET phase = ?, cursor = ?, counts = ?, failures = ?,
            problem = ?, ended_at = ?
        WHERE id = ? AND phase = ? AND cursor IS ? AND ended_at IS NULL""",
        (
            *(walk.phase, walk.cursor, json.dumps(walk.counts), json.dumps(walk.failures)),
            *(walk.problem, walk.ended_at, walk.id, *before),
        ),
    )
    return cursor.rowcount > 0


def compare(conn: sqlite3.Connection, source_id: int, seen: Sequence[Seen]) -> Difference:
    """The objects of a page that are not as the last walk saw them."""
    by_path = {one.path: one for one in seen}
    rows = conn.execute(
        """SELECT w.key, f.id, f.size, f.missing_since IS NOT NULL, o.version
        FROM json_each(?2) AS w
        LEFT JOIN datasette_files f ON f.source_id = ?1 AND f.path = w.key
        LEFT JOIN datasette_files_objects o ON o.source_id = ?1 AND o.path = w.key
        WHERE f.id IS NULL OR f.missing_since IS NOT NULL OR o.version IS NOT w.value""",
        (source_id, json.dumps({one.path: one.version for one in seen})),
    )
    found = Difference()
    for path, file_id, size, is_missing, version in rows:
        one = by_path[path]
        if file_id is None:
            found.unknown.append(one)
        elif version == one.version or (version is None and size in (None, one.size)):
            found.known.append((one, bool(is_missing)))
        else:
            found.suspect.append((one, file_id))
    return found


def see(
    conn: sqlite3.Connection, walk: Walk, seen: Iterable[Seen], *, is_pending: bool = False
) -> None:
    """Record these objects as they are now."""
    insert_rows(
        conn,
        "datasette_files_objects (source_id, walk, is_pending, path, version)",
        "?1, ?2, ?3, ?, ?",
        [(one.path, one.version) for one in seen],
        (walk.source_id, walk.id, is_pending),
        """ON CONFLICT DO UPDATE SET version = excluded.version, walk = excluded.walk,
            is_pending = excluded.is_pending""",
    )


def mark(conn: sqlite3.Connection, walk: Walk, paths: Sequence[str]) -> None:
    """Record that these objects were seen, unchanged."""
    conn.execute(
        """UPDATE datasette_files_objects SET walk = ?
        WHERE source_id = ? AND path IN (SELECT value FROM json_each(?))""",
        (walk.id, walk.source_id, json.dumps(paths)),
    )


def free(conn: sqlite3.Connection, walk: Walk, paths: Iterable[str]) -> set[str]:
    """Those of the paths at which no file, trashed file, upload or garbage is.

    Paths deleted since the walk began are left out too: they may have been there when it listed
    them. Whatever stands there again is found by the next walk.
    """
    wanted = list(paths)
    return set(wanted) - health.in_use(conn, walk.source_id, wanted, walk.started_at)


def add(conn: sqlite3.Connection, source_id: int, added: Sequence[New]) -> None:
    """Insert files."""
    insert_rows(
        conn,
        f"datasette_files (source_id, metadata, search_text, {', '.join(New._fields)})",
        ", ".join(["?1, '{}', ''", *["?"] * len(New._fields)]),
        added,
        (source_id,),
    )
    audit.of_new(conn, source_id, [(one.id, one.filename, one.size) for one in added])


def come_back(conn: sqlite3.Connection, source_id: int, paths: Sequence[str]) -> None:
    """Take the files at these paths for present."""
    condition = """missing_since IS NOT NULL AND source_id = :source
        AND path IN (SELECT value FROM json_each(:paths))"""
    values = {"source": source_id, "paths": json.dumps(paths)}
    audit.of_rows(conn, "found", condition, values)
    conn.execute(f"UPDATE datasette_files SET missing_since = NULL WHERE {condition}", values)


def supersede(conn: sqlite3.Connection, old_id: str, new: FileRecord, now: float) -> bool:
    """Let a new file take the path of one whose bytes were replaced in the storage.

    The old row keeps its id, sha256 and name, under a path that no storage has, and is missing. The
    new file is its next version, with its name, folder and tags; where a person has replaced the
    old one before, it is a file of its own, as that version stays the newest. False if the old file
    has left the path.
    """
    old = files.get(conn, old_id)
    if old is None or (old.source_id, old.path) != (new.source_id, new.path):
        return False
    conn.execute(
        """UPDATE datasette_files SET path = '.versions/' || id || '/' || filename,
            missing_since = ifnull(missing_since, ?) WHERE id = ?""",
        (written(now), old_id),
    )
    if old.superseded_by is None:
        new = replace(new, filename=old.filename, folder=old.folder, replaces=old_id)
        files.insert(conn, new)
    else:
        files.insert(conn, new)
        audit.of_rows(conn, "replace", "f.id = :id", {"id": old_id}, {"by": new.id})
    return True


def unseen(conn: sqlite3.Connection, walk: Walk) -> tuple[int, int]:
    """The number of files that the walk did not see, and of all that are not missing."""
    row = conn.execute(f"SELECT count(*) FROM {_UNSEEN}", numbers_of(walk)).fetchone()
    all_ = conn.execute(
        """SELECT ifnull(sum(files), 0) FROM datasette_files_usage
        WHERE source_id = ? AND kind IN ('files', 'missing')""",
        (walk.source_id,),
    ).fetchone()
    return row[0], all_[0]


def next_unseen(conn: sqlite3.Connection, walk: Walk, limit: int) -> list[tuple[str, str]]:
    """``(path, id)`` of the next files that the walk did not see, after its place."""
    rows = conn.execute(
        f"""SELECT f.path, f.id FROM {_UNSEEN} AND f.path > ?4 ORDER BY f.path LIMIT ?5""",
        (*numbers_of(walk), walk.cursor or "", limit),
    )
    return [(row[0], row[1]) for row in rows]


def miss(conn: sqlite3.Connection, absent: Iterable[tuple[str, str]], now: float) -> int:
    """Mark files, each ``(path, id)``, as missing; return how many."""
    condition = """id IN (SELECT value ->> 1 FROM json_each(:absent))
        AND (path, id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(:absent))
        AND missing_since IS NULL"""
    values = {"absent": json.dumps(list(absent)), "now": written(now)}
    audit.of_rows(conn, "missing", condition, values)
    cursor = conn.execute(
        f"UPDATE datasette_files SET missing_since = :now WHERE {condition}", values
    )
    return cursor.rowcount


def long_missing(
    conn: sqlite3.Connection, source_id: int, before: float, limit: int
) -> list[FileRecord]:
    """Files that are missing since before this moment."""
    rows = conn.execute(
        f"""SELECT {COLUMNS} FROM datasette_files f INDEXED BY datasette_files_missing
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE f.source_id = ? AND f.missing_since IS NOT NULL AND f.missing_since < ?
        LIMIT ?""",
        (source_id, written(before), limit),
    )
    return [record(row) for row in rows]
