"""Verification in the catalog: files in the order of their paths, passes, and findings."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Literal

from ..base import TIME_FORMAT
from ..models import FileRecord
from .files import COLUMNS, record

Kind = Literal["missing", "size", "sha256", "unknown"]
#: Old passes kept for each source and each kind of pass.
_PASSES = 100


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference between catalog and storage. Times are seconds since the epoch."""

    #: None for an object that the catalog does not know.
    file_id: str | None
    path: str
    kind: Kind
    #: The start of the pass that found it first.
    since: float = 0
    #: The start of the last pass that saw the file sound; None if none did.
    last_sound: float | None = None

    def as_json(self) -> dict[str, str | None]:
        """The finding for commands and HTTP, its times in UTC as in the catalog."""
        return {
            "id": self.file_id,
            "path": self.path,
            "kind": self.kind,
            "since": utc(self.since),
            "last_sound": None if self.last_sound is None else utc(self.last_sound),
        }


@dataclass(frozen=True, slots=True)
class Share:
    """One of ``of`` parts of a source's paths; ``number`` counts from 1."""

    number: int = 1
    of: int = 1

    def has(self, path: str) -> bool:
        """Tell whether the path belongs to the share."""
        if self.of == 1:
            return True
        spread = zlib.crc32(path.encode("utf-8", "surrogatepass"))
        return spread % self.of == self.number - 1


#: All paths.
WHOLE = Share()


@dataclass(frozen=True, slots=True)
class Pass:
    """One look at a source. Times are seconds since the epoch."""

    id: int
    #: Whether the bytes were read.
    is_data: bool
    share: Share
    started_at: float
    #: None while it runs, and if its process died.
    ended_at: float | None
    is_complete: bool
    files: int
    bytes: int
    #: The last path up to which all bytes were read; also of a pass whose process died.
    reached: str | None
    #: Why it could not tell; None if it could.
    problem: str | None


def utc(moment: float) -> str:
    """A time in seconds since the epoch, as the catalog writes times."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime(TIME_FORMAT)


def page(conn: sqlite3.Connection, source_id: int, after: str, limit: int) -> list[FileRecord]:
    """The first files of a source whose path comes after ``after``, in the order of paths."""
    rows = conn.execute(
        f"""SELECT {COLUMNS} FROM datasette_files f
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE f.source_id = ? AND f.path > ? ORDER BY f.path LIMIT ?""",
        (source_id, after, limit),
    )
    return [record(row) for row in rows]


def without_sha256(conn: sqlite3.Connection, source_id: int) -> int:
    """The number of a source's files whose sha256 is not known."""
    # The index of digests holds the others alone, and so is read instead of all rows.
    row = conn.execute(
        """SELECT (SELECT count(*) FROM datasette_files WHERE source_id = ?1)
            - (SELECT count(*) FROM datasette_files INDEXED BY datasette_files_digest
                WHERE source_id = ?1 AND content_hash >= 'sha256:' AND content_hash < 'sha256;')""",
        (source_id,),
    ).fetchone()
    return int(row[0])


def compared(
    conn: sqlite3.Connection, source_id: int, sizes: Mapping[str, int | None]
) -> tuple[list[int], list[Finding]]:
    """Compare objects, ``{path: size}``, with the catalog.

    Returns the numbers (``seq``) of the files at these paths, and a finding for each path that has
    no file, or one of another size. A size that is not known is no other.
    """
    rows = conn.execute(
        """SELECT f.seq, f.id, CASE WHEN f.seq IS NULL OR f.size != w.value THEN w.key END
        FROM json_each(?2) AS w LEFT JOIN datasette_files f
            ON f.source_id = ?1 AND f.path = w.key""",
        (source_id, json.dumps(sizes)),
    )
    numbers: list[int] = []
    found: list[Finding] = []
    for seq, file_id, path in rows:
        if seq is not None:
            numbers.append(seq)
        if path is not None:
            found.append(Finding(file_id, path, "unknown" if seq is None else "size"))
    return numbers, found


def numbered(
    conn: sqlite3.Connection, source_id: int, after: str, limit: int
) -> list[tuple[str, int]]:
    """``(path, seq)`` of the first files whose path comes after ``after``, in order of paths.

    The index of paths holds both, so that no row is read.
    """
    return conn.execute(
        """SELECT path, seq FROM datasette_files WHERE source_id = ? AND path > ?
        ORDER BY path LIMIT ?""",
        (source_id, after, limit),
    ).fetchall()


def missing(conn: sqlite3.Connection, numbers: Iterable[int]) -> list[Finding]:
    """A finding for each of the files with these numbers (``seq``), as the storage lacks it."""
    rows = conn.execute(
        """SELECT id, path FROM datasette_files
        WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY path""",
        (json.dumps(list(numbers)),),
    )
    return [Finding(file_id, path, "missing") for file_id, path in rows]


def begin(
    conn: sqlite3.Connection, source_id: int, share: Share, now: float, *, is_data: bool
) -> int:
    """Record that a pass starts; return its id. Forgets the oldest passes."""
    conn.execute(
        """DELETE FROM datasette_files_passes WHERE source_id = ?1 AND is_data = ?2 AND id < (
            SELECT min(id) FROM (SELECT id FROM datasette_files_passes
                WHERE source_id = ?1 AND is_data = ?2 ORDER BY id DESC LIMIT ?3))""",
        (source_id, is_data, _PASSES),
    )
    cursor = conn.execute(
        """INSERT INTO datasette_files_passes (source_id, is_data, share, shares, started_at)
        VALUES (?, ?, ?, ?, ?)""",
        (source_id, is_data, share.number, share.of, now),
    )
    return int(cursor.lastrowid or 0)


def reach(conn: sqlite3.Connection, pass_id: int, reached: str, files: int, size: int) -> None:
    """Record how far a pass has read, in files and bytes, for the next one if it is killed."""
    conn.execute(
        "UPDATE datasette_files_passes SET reached = ?, files = ?, bytes = ? WHERE id = ?",
        (reached, files, size, pass_id),
    )


def end(conn: sqlite3.Connection, ended: Pass) -> None:
    """Record how a pass ended."""
    conn.execute(
        """UPDATE datasette_files_passes SET ended_at = ?, is_complete = ?, files = ?, bytes = ?,
            reached = ?, problem = ? WHERE id = ?""",
        (
            *(ended.ended_at, ended.is_complete, ended.files, ended.bytes),
            *(ended.reached, ended.problem, ended.id),
        ),
    )


def passes(
    conn: sqlite3.Connection, source_id: int, *, is_data: bool, limit: int = _PASSES
) -> list[Pass]:
    """The latest passes over a source, the newest first."""
    rows = conn.execute(
        """SELECT id, is_data, share, shares, started_at, ended_at, is_complete, files, bytes,
            reached, problem
        FROM datasette_files_passes WHERE source_id = ? AND is_data = ? ORDER BY id DESC LIMIT ?""",
        (source_id, is_data, limit),
    )
    return [
        Pass(pass_id, bool(of_data), Share(share, of), started, ended, bool(whole), *rest)
        for pass_id, of_data, share, of, started, ended, whole, *rest in rows
    ]


def note(
    conn: sqlite3.Connection, source_id: int, found: Sequence[Finding], now: float
) -> list[Finding]:
    """Store findings that are not known yet; return all of them, each with its first time."""
    conn.executemany(
        """INSERT INTO datasette_files_findings (source_id, path, kind, file_id, since, last_sound)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET file_id = excluded.file_id, since = CASE
            WHEN file_id IS excluded.file_id THEN since ELSE excluded.since END""",
        [(source_id, one.path, one.kind, one.file_id, now, one.last_sound) for one in found],
    )
    noted = {
        (path, kind): (since, last_sound)
        for path, kind, since, last_sound in conn.execute(
            """SELECT path, kind, since, last_sound FROM datasette_files_findings
            WHERE source_id = ? AND path IN (SELECT value FROM json_each(?))""",
            (source_id, json.dumps([one.path for one in found])),
        )
    }
    return [
        replace(one, since=since, last_sound=last_sound)
        for one in found
        for since, last_sound in [noted[one.path, one.kind]]
    ]


def settle(conn: sqlite3.Connection, source_id: int, sound: Iterable[tuple[str, Kind]]) -> None:
    """Delete findings, each ``(path, kind)``, that a pass no longer made."""
    conn.executemany(
        "DELETE FROM datasette_files_findings WHERE source_id = ? AND path = ? AND kind = ?",
        [(source_id, path, kind) for path, kind in sound],
    )


def findings(
    conn: sqlite3.Connection, source_id: int, after: tuple[str, str] = ("", ""), limit: int = 1000
) -> list[Finding]:
    """The first open findings after ``(path, kind)``, in that order."""
    rows = conn.execute(
        """SELECT file_id, path, kind, since, last_sound FROM datasette_files_findings
        WHERE source_id = ? AND (path, kind) > (?, ?) ORDER BY path, kind LIMIT ?""",
        (source_id, *after, limit),
    )
    return [Finding(*row) for row in rows]


def counts(conn: sqlite3.Connection) -> dict[int, dict[str, int]]:
    """``{source id: {kind: open findings}}``."""
    found: dict[int, dict[str, int]] = {}
    for source_id, kind, number in conn.execute(
        "SELECT source_id, kind, count(*) FROM datasette_files_findings GROUP BY 1, 2"
    ):
        found.setdefault(source_id, {})[kind] = number
    return found
