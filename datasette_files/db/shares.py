"""Share links and upload links: rows, their files, and what was counted against their bounds.

Each count is one conditional change, so that requests which come together cannot pass a bound.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..models import written
from . import audit
from .rows import insert_row, names_of

Kind = Literal["files", "upload"]


@dataclass(frozen=True, slots=True)
class Share:
    """One link. Times are seconds since the epoch. None as a bound: there is none."""

    number: int | None
    id: str
    #: The digest of its token.
    digest: str
    #: ``files``: it shows files; ``upload``: it takes files into one source.
    kind: Kind
    #: Of an upload link.
    source_id: int | None
    label: str | None
    #: The actor who made it, with the token's restrictions (``_r``), and the actor's id.
    maker: dict[str, Any]
    maker_id: str
    created_at: float
    expires_at: float
    revoked_at: float | None = None
    max_downloads: int | None = None
    downloads: int = 0
    max_files: int | None = None
    max_bytes: int | None = None
    #: Files and bytes that came by an upload link and were completed.
    files: int = 0
    bytes: int = 0

    def has_ended(self, now: float) -> bool:
        """Tell whether it was revoked or has expired."""
        return self.revoked_at is not None or self.expires_at <= now

    @property
    def is_used_up(self) -> bool:
        """Whether a share link has no download left."""
        return self.max_downloads is not None and self.downloads >= self.max_downloads


_COLUMNS = names_of(Share)
_SELECT = f"SELECT {', '.join(f'h.{name}' for name in _COLUMNS)} FROM datasette_files_shares h"


def _share(row: Sequence[object]) -> Share:
    values: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
    return Share(**{**values, "maker": json.loads(values["maker"])})


def insert(conn: sqlite3.Connection, share: Share, file_ids: Sequence[str]) -> None:
    """Add a link, and the files of a share link in their order."""
    row = {name: getattr(share, name) for name in _COLUMNS}
    insert_row(conn, "datasette_files_shares", {**row, "maker": json.dumps(share.maker)})
    conn.execute(
        """INSERT INTO datasette_files_share_files (share, place, file_id)
        SELECT (SELECT number FROM datasette_files_shares WHERE id = ?), key, value
        FROM json_each(?)""",
        (share.id, json.dumps(list(file_ids))),
    )
    terms: dict[str, Any] = {"maker": share.maker_id, "expires_at": written(share.expires_at)}
    if share.kind == "files":
        terms |= {"max_downloads": share.max_downloads}
        audit.of_ids(conn, "share", file_ids, terms, share.id)
    else:
        terms |= {"max_files": share.max_files, "max_bytes": share.max_bytes}
        made = audit.note("upload-link", share.source_id, terms, link=share.id)
        audit.add(conn, made)


def get(conn: sqlite3.Connection, share_id: str) -> Share | None:
    row = conn.execute(f"{_SELECT} WHERE h.id = ?", (share_id,)).fetchone()
    return _share(row) if row else None


def by_digest(conn: sqlite3.Connection, digest: str) -> Share | None:
    row = conn.execute(f"{_SELECT} WHERE h.digest = ?", (digest,)).fetchone()
    return _share(row) if row else None


def file_ids(
    conn: sqlite3.Connection, share: Share, slugs: Collection[str] | None = None
) -> list[str]:
    """The ids of a share link's files in their order; with ``slugs``, of these sources' files.

    Without ``slugs`` also of files that are gone.
    """
    rows = conn.execute(
        """SELECT l.file_id FROM datasette_files_share_files l WHERE l.share = :share
        AND (:slugs IS NULL OR l.file_id IN (SELECT f.id FROM datasette_files f
            JOIN datasette_files_sources s ON s.id = f.source_id
            WHERE s.slug IN (SELECT value FROM json_each(:slugs)))) ORDER BY l.place""",
        {"share": share.number, "slugs": None if slugs is None else json.dumps(sorted(slugs))},
    )
    return [row[0] for row in rows]


def source_slugs(conn: sqlite3.Connection, share: Share) -> frozenset[str]:
    """The slugs of the sources that the link concerns: its files', or its own."""
    rows = conn.execute(
        """SELECT s.slug FROM datasette_files_share_files l
        JOIN datasette_files f ON f.id = l.file_id
        JOIN datasette_files_sources s ON s.id = f.source_id WHERE l.share = ?
        UNION SELECT slug FROM datasette_files_sources WHERE id = ?""",
        (share.number, share.source_id),
    )
    return frozenset(row[0] for row in rows)


def listed(
    conn: sqlite3.Connection,
    maker_id: str | None,
    slugs: Collection[str] | None,
    now: float,
    *,
    file_id: str | None = None,
    source: str | None = None,
    before: int | None = None,
    limit: int = 200,
) -> list[Share]:
    """The links that have not ended: of one maker, and of these sources; the newest first.

    Without ``slugs`` all of them. ``file_id`` and ``source`` (a slug, for upload links) leave the
    others out. ``before`` is the number of the last link of the page before.
    """
    rows = conn.execute(
        f"""{_SELECT} WHERE h.revoked_at IS NULL AND h.expires_at > :now
        AND (:before IS NULL OR h.number < :before)
        AND (:file IS NULL OR h.number IN (
            SELECT share FROM datasette_files_share_files WHERE file_id = :file))
        AND (:source IS NULL OR h.source_id = (
            SELECT id FROM datasette_files_sources WHERE slug = :source))
        AND (:slugs IS NULL OR h.maker_id = :maker
            OR h.source_id IN (SELECT id FROM datasette_files_sources
                WHERE slug IN (SELECT value FROM json_each(:slugs)))
            OR h.number IN (SELECT l.share FROM datasette_files_share_files l
                JOIN datasette_files f ON f.id = l.file_id
                JOIN datasette_files_sources s ON s.id = f.source_id
                WHERE s.slug IN (SELECT value FROM json_each(:slugs))))
        ORDER BY h.number DESC LIMIT :limit""",
        {
            "now": now,
            "before": before,
            "file": file_id,
            "source": source,
            "maker": maker_id,
            "slugs": None if slugs is None else json.dumps(sorted(slugs)),
            "limit": limit,
        },
    )
    return [_share(row) for row in rows]


def revoke(conn: sqlite3.Connection, share_id: str, actor_id: str | None, now: float) -> bool:
    """End a link for good. False if it was revoked before."""
    cursor = conn.execute(
        """UPDATE datasette_files_shares SET revoked_at = ?, revoked_by = ?
        WHERE id = ? AND revoked_at IS NULL""",
        (now, actor_id, share_id),
    )
    if not cursor.rowcount:
        return False
    share = get(conn, share_id)
    if share is not None and share.kind == "files":
        audit.of_link(conn, "revoke", share.id)
    elif share is not None:
        audit.add(conn, audit.note("revoke", share.source_id, {}, link=share.id))
    return True


def count_download(
    conn: sqlite3.Connection,
    share: Share,
    now: float,
    action: audit.Action,
    file_ids: Collection[str],
) -> bool:
    """Count one download, and record it. False if the link has ended or has none left."""
    cursor = conn.execute(
        """UPDATE datasette_files_shares SET downloads = downloads + 1
        WHERE number = ? AND revoked_at IS NULL AND expires_at > ?
        AND (max_downloads IS NULL OR downloads < max_downloads)""",
        (share.number, now),
    )
    if cursor.rowcount:
        audit.of_ids(conn, action, file_ids, None, share.id)
    return cursor.rowcount > 0


def within_bounds(conn: sqlite3.Connection, share_id: str) -> bool:
    """Tell whether an upload link's files and bytes, with those on their way, keep its bounds.

    An upload counts from its start until it is completed, expired or given up.
    """
    row = conn.execute(
        """SELECT h.files + count(u.id) <= ifnull(h.max_files, 9e18)
            AND h.bytes + ifnull(sum(u.reserved), 0) <= ifnull(h.max_bytes, 9e18)
        FROM datasette_files_shares h LEFT JOIN datasette_files_uploads u
            ON u.link = h.id AND u.state IN ('prepared', 'receiving', 'received')
        WHERE h.id = ? GROUP BY h.number""",
        (share_id,),
    ).fetchone()
    return bool(row and row[0])


def count_upload(conn: sqlite3.Connection, share_id: str, size: int) -> None:
    """Count a completed upload of ``size`` bytes, in the transaction that ends its reservation."""
    conn.execute(
        "UPDATE datasette_files_shares SET files = files + 1, bytes = bytes + ? WHERE id = ?",
        (size, share_id),
    )
