"""The text of files by page, and the queue of files whose text is due.

A file's row says what became of its text: ``pending``, ``done``, ``none`` (no extractor reads the
file, or it holds no text) or ``failed``. Pages are written in several transactions, so that others
never wait for a long text. The writer has claimed the row. A trigger drops the claim when the file
is deleted, moved or restored, and each step ends where the claim is gone. Leaves out the search
(text_search.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from ..models import FileRecord
from .files import COLUMNS, record
from .leases import RETRY_AT
from .page_words import indexed

#: A page row's id is its file's ``seq`` shifted by this, plus its number.
SHIFT = 20
#: Rows of one file.
MAX_ROWS = 1 << SHIFT
#: Rows that one transaction removes, of at most 16,000 characters each.
_REMOVED = 32
#: Rows that one transaction queues again.
_REQUEUED = 2_000

Status = Literal["done", "none", "failed"]


@dataclass(frozen=True)
class Due:
    """A file whose text is due."""

    seq: int
    file: FileRecord


@dataclass(frozen=True)
class Outcome:
    """The outcome for one file's text. ``extractor``: its name and version."""

    status: Status
    error: str | None = None
    extractor: str | None = None
    #: Pages of the file, those without text too.
    pages: int = 0


def span(seq: int) -> tuple[int, int]:
    """The first and the last id that a page of the file may have."""
    return seq << SHIFT, ((seq + 1) << SHIFT) - 1


def due(conn: sqlite3.Connection, source_id: int, now: float, limit: int) -> list[Due]:
    """The files of a source whose text is due, the newest first."""
    rows = conn.execute(
        f"""SELECT f.seq, {COLUMNS}
        FROM datasette_files_texts t INDEXED BY datasette_files_texts_by_status
        CROSS JOIN datasette_files f ON f.seq = t.seq
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE t.source_id = ? AND t.status = 'pending' AND t.not_before <= ?
        ORDER BY t.seq DESC LIMIT ?""",
        (source_id, now, limit),
    )
    return [Due(row[0], record(tuple(row)[1:])) for row in rows]


def place(conn: sqlite3.Connection, file_id: str) -> tuple[int, int]:
    """The file's ``seq`` and its number of pages; ``(-1, 0)`` for a file without."""
    row = conn.execute(
        """SELECT t.seq, t.pages FROM datasette_files f
        JOIN datasette_files_texts t ON t.seq = f.seq WHERE f.id = ?""",
        (file_id,),
    ).fetchone()
    return (row[0], row[1]) if row else (-1, 0)


def settle_none(conn: sqlite3.Connection, seqs: Iterable[int]) -> None:
    """Note that no extractor reads these files."""
    conn.execute(
        """UPDATE datasette_files_texts SET status = 'none', error = NULL, extractor = NULL
        WHERE seq IN (SELECT value FROM json_each(?)) AND status = 'pending'""",
        (json.dumps(list(seqs)),),
    )


def claim(conn: sqlite3.Connection, one: Due, claimed: str) -> bool:
    """Claim the file's text. False where the file is gone or no longer due."""
    cursor = conn.execute(
        """UPDATE datasette_files_texts SET claim = ? WHERE seq = ? AND status = 'pending'
        AND EXISTS (SELECT 1 FROM datasette_files f WHERE f.seq = ? AND f.id = ?)""",
        (claimed, one.seq, one.seq, one.file.id),
    )
    return cursor.rowcount > 0


def _holds(conn: sqlite3.Connection, seq: int, claimed: str) -> bool:
    row = conn.execute(
        "SELECT 1 FROM datasette_files_texts WHERE seq = ? AND claim = ?", (seq, claimed)
    ).fetchone()
    return row is not None


def remove_some(conn: sqlite3.Connection, seq: int, claimed: str) -> bool:
    """Remove some pages of an older extraction. Tells whether more are left."""
    if not _holds(conn, seq, claimed):
        return False
    cursor = conn.execute(
        """DELETE FROM datasette_files_pages WHERE id IN
        (SELECT id FROM datasette_files_pages WHERE id BETWEEN ? AND ? LIMIT ?)""",
        (*span(seq), _REMOVED),
    )
    return cursor.rowcount == _REMOVED


def add(
    conn: sqlite3.Connection, one: Due, claimed: str, first: int, pages: list[tuple[int, str]]
) -> bool:
    """Add ``(page, text)``, numbered from ``first`` on. False where the claim is gone."""
    if not _holds(conn, one.seq, claimed):
        return False
    start = (one.seq << SHIFT) + first
    conn.executemany(
        """INSERT INTO datasette_files_pages (id, source_id, page, text, words)
        VALUES (?1, ?2, ?3, ?4, nullif(?5, ?4))""",
        (
            (start + number, one.file.source_id, page, text, indexed(text))
            for number, (page, text) in enumerate(pages)
        ),
    )
    return True


def finish(conn: sqlite3.Connection, seq: int, claimed: str, outcome: Outcome) -> bool:
    """Note what became of the text. False where the claim is gone."""
    cursor = conn.execute(
        """UPDATE datasette_files_texts SET status = ?, error = ?, extractor = ?, pages = ?,
            claim = NULL, attempts = 0, not_before = 0 WHERE seq = ? AND claim = ?""",
        (*(outcome.status, outcome.error, outcome.extractor, outcome.pages), *(seq, claimed)),
    )
    return cursor.rowcount > 0


def postpone(conn: sqlite3.Connection, seq: int, claimed: str, now: float, error: str) -> None:
    """Try again later: each time later, up to an hour apart."""
    conn.execute(
        f"""UPDATE datasette_files_texts SET error = ?, claim = NULL, attempts = attempts + 1,
            not_before = {RETRY_AT} WHERE seq = ? AND claim = ?""",
        (error, now, seq, claimed),
    )


def requeue(
    conn: sqlite3.Connection,
    source_id: int,
    status: Status,
    after: int,
    extractors: Collection[str] | None = None,
) -> int | None:
    """Queue some files of this status again, in the order of ``seq``; return the last, or None.

    ``extractors``: only those whose text these made. Their old text stays until the new one comes.
    """
    rows = conn.execute(
        """SELECT seq, extractor FROM datasette_files_texts
            INDEXED BY datasette_files_texts_by_status
        WHERE source_id = ? AND status = ? AND seq > ? ORDER BY seq LIMIT ?""",
        (source_id, status, after, _REQUEUED),
    ).fetchall()
    wanted = [seq for seq, made_by in rows if extractors is None or made_by in extractors]
    conn.execute(
        """UPDATE datasette_files_texts SET status = 'pending', attempts = 0, not_before = 0
        WHERE seq IN (SELECT value FROM json_each(?))""",
        (json.dumps(wanted),),
    )
    return rows[-1][0] if rows else None


def summary(
    conn: sqlite3.Connection, source_id: int
) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """``(id, reason)`` of the files that cannot be read, and the number of files by status."""
    rows = conn.execute(
        """SELECT f.id, ifnull(t.error, '') FROM datasette_files_texts t
        CROSS JOIN datasette_files f ON f.seq = t.seq
        WHERE t.source_id = ? AND t.status = 'failed' ORDER BY t.seq""",
        (source_id,),
    )
    counts = conn.execute(
        "SELECT status, count(*) FROM datasette_files_texts WHERE source_id = ? GROUP BY status",
        (source_id,),
    )
    return [(row[0], row[1]) for row in rows], dict(counts.fetchall())


def rules(conn: sqlite3.Connection, source_id: int) -> dict[str, str]:
    """The extractors' versions by name, by which the source's files were last read."""
    row = conn.execute(
        "SELECT value FROM datasette_files_state WHERE key = ?", (f"text {source_id}",)
    ).fetchone()
    return dict(json.loads(row[0])) if row else {}


def set_rules(conn: sqlite3.Connection, source_id: int, versions: dict[str, str]) -> None:
    conn.execute(
        "INSERT OR REPLACE INTO datasette_files_state (key, value) VALUES (?, ?)",
        (f"text {source_id}", json.dumps(versions)),
    )


def made_by(conn: sqlite3.Connection, source_id: int) -> list[str]:
    """The extractors, each with its version, of the source's texts."""
    rows = conn.execute(
        """SELECT DISTINCT extractor FROM datasette_files_texts
        WHERE source_id = ? AND status = 'done' AND extractor IS NOT NULL""",
        (source_id,),
    )
    return [row[0] for row in rows]


def page_text(conn: sqlite3.Connection, seq: int, page: int, most: int) -> str | None:
    """The text of one page, at most about ``most`` characters; None for a page without text."""
    found: list[str] = []
    size = 0
    rows = conn.execute(
        "SELECT text FROM datasette_files_pages WHERE id BETWEEN ? AND ? AND page = ? ORDER BY id",
        (*span(seq), page),
    )
    for (text,) in rows:
        found.append(text)
        size += len(text)
        if size >= most:
            break
    return "".join(found) if found else None


def remake_index(conn: sqlite3.Connection) -> None:
    """Make the search index of all pages anew. Blocks other writers meanwhile."""
    conn.execute(
        "INSERT INTO datasette_files_pages_fts (datasette_files_pages_fts) VALUES ('rebuild')"
    )
    conn.commit()
