"""The files and bytes that count towards a source's quotas, and reservations of uploads.

Triggers keep every total (migrations/quotas.py), so a decision costs a few seeks, and one
transaction both reserves and compares: uploads that come together cannot pass a quota.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from ..models import SourceTotals
from .migrations.versions import SUPERSEDED

_NOTHING = SourceTotals()
#: By type and by actor, the largest ones that are told.
_MAX_ROWS = 100


@dataclass(frozen=True, slots=True)
class Usage:
    """A source's contents. ``used`` counts towards its quotas."""

    used: SourceTotals
    files: SourceTotals
    trash: SourceTotals
    #: Reserved by uploads that have not ended.
    arriving: SourceTotals
    #: ``(key, totals)`` of the files in the catalog, the largest first. None: nobody's.
    by_actor: list[tuple[str | None, SourceTotals]]
    by_type: list[tuple[str, SourceTotals]]
    by_folder: list[tuple[str, SourceTotals]]


def used(conn: sqlite3.Connection, source_id: int) -> SourceTotals:
    """Files and bytes of a source that count: its files, its trash, and uploads on their way."""
    row = conn.execute(
        """SELECT ifnull(sum(files), 0), ifnull(sum(bytes), 0)
        FROM datasette_files_usage WHERE source_id = ?""",
        (source_id,),
    ).fetchone()
    return SourceTotals(*row)


def used_by(conn: sqlite3.Connection, source_id: int, actor_id: str | None) -> SourceTotals:
    """As ``used``, of one actor; None: of everybody without an id."""
    row = conn.execute(
        """SELECT ifnull(sum(files), 0), ifnull(sum(bytes), 0) FROM (
            SELECT files, bytes FROM datasette_files_totals
            WHERE source_id IN (?1, ?3) AND uploaded_by = ?2
            UNION ALL SELECT files, bytes FROM datasette_files_usage
            WHERE source_id = ?1 AND kind != 'files' AND actor = ?2)""",
        (source_id, actor_id or "", source_id + SUPERSEDED),
    ).fetchone()
    return SourceTotals(*row)


def reserve(conn: sqlite3.Connection, upload_id: str, size: int) -> None:
    """Let an upload reserve ``size`` bytes in all, instead of what it has reserved."""
    conn.execute("UPDATE datasette_files_uploads SET reserved = ? WHERE id = ?", (size, upload_id))


def usage(conn: sqlite3.Connection, source_id: int) -> Usage:
    """All of a source's totals."""
    kinds = {
        row[0]: SourceTotals(row[1], row[2])
        for row in conn.execute(
            """SELECT kind, sum(files), sum(bytes) FROM datasette_files_usage
            WHERE source_id = ? GROUP BY kind""",
            (source_id,),
        )
    }

    def grouped(
        column: str, table: str = "totals", where: str = ""
    ) -> list[tuple[str, SourceTotals]]:
        rows = conn.execute(
            f"""SELECT {column}, sum(files), sum(bytes) FROM datasette_files_{table}
            WHERE source_id IN (?, ?) {where} GROUP BY 1 ORDER BY 3 DESC, 2 DESC LIMIT ?""",
            (source_id, source_id + SUPERSEDED, _MAX_ROWS),
        )
        return [(row[0], SourceTotals(row[1], row[2])) for row in rows]

    return Usage(
        used=used(conn, source_id),
        files=kinds.get("files", _NOTHING),
        trash=kinds.get("trash", _NOTHING),
        arriving=kinds.get("arriving", _NOTHING),
        by_actor=[(actor or None, totals) for actor, totals in grouped("uploaded_by")],
        by_type=grouped("content_type"),
        by_folder=grouped("name", "folders", "AND parent = ''"),
    )
