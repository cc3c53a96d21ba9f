"""Zips of selections: their members at their places, read by page from any place on.

Leaves out the bytes of members that are no files (zip_texts.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ..errors import Expired
from ..models import parse_time
from ..protocol.zipfile64 import Entry, Member, Totals

#: Seconds that an expired zip is remembered, so that its address answers 410 and not 404; members
#: of such zips that are forgotten in one transaction.
_REMEMBERED_SECONDS = 24 * 3600
_FORGOTTEN = 5_000
#: Seconds after which a zip that is still being chosen was given up, as by the end of its process.
_CHOOSING_SECONDS = 600
#: How the key of a member begins that is no file (``datasette_files_zip_texts``), and the bytes of
#: its chunks; chunks that are forgotten in one transaction.
TEXT, TEXT_CHUNK = "text:", 64 * 1024
_FORGOTTEN_CHUNKS = 100
_IS_FILE = f"file_id NOT GLOB '{TEXT}*'"
_UNREAD = "datasette_files_zip_members m INDEXED BY datasette_files_zip_members_unread"


@dataclass(frozen=True, slots=True)
class Zip:
    """One archive of a selection."""

    number: int
    #: A part of its address.
    id: str
    #: The name of the archive, for who saves it.
    name: str
    #: Seconds since the epoch.
    expires_at: float
    totals: Totals
    #: The id of the actor who chose it.
    actor_id: str | None = None
    #: What its page shows (transfer/zips.py); empty for one of an earlier version.
    described: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A member at its place, with what of it may not be known yet."""

    entry: Entry
    crc32: int | None
    created_at: str


def begin(
    conn: sqlite3.Connection,
    actor_id: str | None,
    zip_id: str,
    name: str,
    now: float,
    expires_at: float,
) -> int:
    """Make a zip without members; return its number. It is absent until ``finish``."""
    cursor = conn.execute(
        """INSERT INTO datasette_files_zips (actor_id, id, name, created_at, expires_at)
        VALUES (?, ?, ?, ?, ?)""",
        (actor_id, zip_id, name, now, expires_at),
    )
    return int(cursor.lastrowid or 0)


def add(conn: sqlite3.Connection, number: int, chosen: Iterable[Chosen]) -> None:
    """Add members."""
    conn.executemany(
        """INSERT INTO datasette_files_zip_members
            (zip, start, central, file_id, name, size, crc32, created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)""",
        (
            (
                *(number, one.entry.start, one.entry.central, one.entry.member.key),
                *(one.entry.member.name, one.entry.member.size, one.crc32, one.created_at),
            )
            for one in chosen
        ),
    )


def finish(
    conn: sqlite3.Connection, number: int, totals: Totals, described: dict[str, Any] | None = None
) -> None:
    """Record that all members are there."""
    conn.execute(
        """UPDATE datasette_files_zips SET files = ?, members = ?, central = ?, described = ?
        WHERE number = ?""",
        (totals.files, totals.members, totals.central, json.dumps(described or {}), number),
    )


def seal(
    conn: sqlite3.Connection,
    number: int,
    chosen: Iterable[Chosen],
    totals: Totals,
    described: dict[str, Any],
) -> bool:
    """Add the last members of a bag. False if that was done meanwhile, or the zip is gone."""
    row = conn.execute(
        """SELECT 1 FROM datasette_files_zips WHERE number = ? AND files IS NOT NULL
        AND NOT json_extract(described, '$.bag.sealed')""",
        (number,),
    ).fetchone()
    if row is None:
        return False
    add(conn, number, chosen)
    finish(conn, number, totals, described)
    return True


def get(conn: sqlite3.Connection, zip_id: str) -> Zip | None:
    row = conn.execute(
        """SELECT number, id, name, expires_at, files, members, central, actor_id, described
        FROM datasette_files_zips WHERE id = ? AND files IS NOT NULL""",
        (zip_id,),
    ).fetchone()
    if row is None:
        return None
    number, _, name, expires_at, *totals, actor_id, described = row
    made = Totals(*totals)
    return Zip(number, zip_id, name, expires_at, made, actor_id, json.loads(described))


def holding(conn: sqlite3.Connection, number: int, place: int, *, central: bool) -> int:
    """The start of the member whose bytes, or whose record of the directory, a place is in.

    ``place`` counts from the beginning of the archive, or of the central directory. Raises Expired
    if the zip is gone.
    """
    column = "central" if central else "start"
    row = conn.execute(
        f"""SELECT start FROM datasette_files_zip_members WHERE zip = ? AND {column} <= ?
        ORDER BY start DESC LIMIT 1""",
        (number, place),
    ).fetchone()
    if row is None:
        raise forgotten()
    return int(row[0])


def forgotten() -> Expired:
    """The error for a zip that was there at the beginning of the request."""
    return Expired("The zip was forgotten meanwhile; choose the files again")


def noted_sources(conn: sqlite3.Connection, number: int) -> list[str]:
    """The slugs of the members' sources, in order, as ``note_whole`` noted them."""
    rows = conn.execute(
        """SELECT s.slug FROM datasette_files_zips z, json_each(z.sources) noted
        JOIN datasette_files_sources s ON s.id = noted.key WHERE z.number = ? ORDER BY s.slug""",
        (number,),
    )
    return [row[0] for row in rows]


def page(conn: sqlite3.Connection, number: int, start: int, limit: int) -> list[Entry]:
    """The first members that begin at a place or after it."""
    rows = conn.execute(
        """SELECT file_id, name, size, crc32, created_at, start, central
        FROM datasette_files_zip_members WHERE zip = ? AND start >= ? ORDER BY start LIMIT ?""",
        (number, start, limit),
    )
    return [
        Entry(Member(key, name, size, crc32 or 0, moment(created_at)), start, central)
        for key, name, size, crc32, created_at, start, central in rows
    ]


def moment(created_at: str) -> datetime | None:
    """The time of a member."""
    try:
        return parse_time(created_at)
    except ValueError:
        return None


def learn(conn: sqlite3.Connection, number: int) -> None:
    """Take over each crc32 that has become known."""
    rows = conn.execute(
        f"""SELECT m.start, f.crc32 FROM {_UNREAD} JOIN datasette_files f ON f.id = m.file_id
        WHERE m.zip = ? AND m.crc32 IS NULL AND f.crc32 IS NOT NULL""",
        (number,),
    ).fetchall()
    conn.executemany(
        "UPDATE datasette_files_zip_members SET crc32 = ? WHERE zip = ? AND start = ?",
        [(int(crc32, 16), number, start) for start, crc32 in rows],
    )


def unhashed(conn: sqlite3.Connection, number: int) -> list[str]:
    """The ids of the members whose crc32 or sha256 is not known."""
    rows = conn.execute(
        """SELECT f.id FROM datasette_files_zip_members m
        CROSS JOIN datasette_files f ON f.id = m.file_id
        WHERE m.zip = ? AND (f.crc32 IS NULL OR f.content_hash IS NULL
            OR NOT (f.content_hash > 'sha256:' AND f.content_hash < 'sha256;'))""",
        (number,),
    )
    return [row[0] for row in rows]


def unread(conn: sqlite3.Connection, number: int) -> list[str]:
    """The ids of the members whose crc32 is not known."""
    rows = conn.execute(
        f"SELECT m.file_id FROM {_UNREAD} WHERE m.zip = ? AND m.crc32 IS NULL", (number,)
    )
    return [row[0] for row in rows]


def whole(conn: sqlite3.Connection, number: int) -> set[str] | None:
    """The slugs of the members' sources, if it was noted that no member was gone, and none of the
    sources has lost a file since; else None."""
    rows = conn.execute(
        """SELECT s.slug, ifnull(d.files, 0) = noted.value
        FROM datasette_files_zips z, json_each(z.sources) noted
        LEFT JOIN datasette_files_sources s ON s.id = noted.key
        LEFT JOIN datasette_files_departures d ON d.source_id = noted.key
        WHERE z.number = ?""",
        (number,),
    ).fetchall()
    return {slug for slug, _ in rows} if rows and all(same for _, same in rows) else None


def departures(conn: sqlite3.Connection) -> dict[int, int]:
    """The number of files that have left each source."""
    return dict(
        conn.execute(
            """SELECT s.id, ifnull(d.files, 0) FROM datasette_files_sources s
            LEFT JOIN datasette_files_departures d ON d.source_id = s.id"""
        ).fetchall()
    )


def note_whole(conn: sqlite3.Connection, number: int, sources: dict[int, int]) -> None:
    """Note that no member was gone when so many files had left the members' sources."""
    conn.execute(
        "UPDATE datasette_files_zips SET sources = ? WHERE number = ?",
        (json.dumps(sources), number),
    )


def by_source(conn: sqlite3.Connection, number: int) -> dict[str | None, int]:
    """The number of members by the slug of their source; None: members that are gone."""
    rows = conn.execute(
        f"""SELECT s.slug, sum(counted.files) FROM (
            SELECT f.source_id, count(*) AS files FROM datasette_files_zip_members m
            LEFT JOIN datasette_files f ON f.id = m.file_id
            WHERE m.zip = ? AND m.{_IS_FILE} GROUP BY f.source_id
        ) counted LEFT JOIN datasette_files_sources s ON s.id = counted.source_id
        GROUP BY s.slug""",
        (number,),
    )
    return dict(rows.fetchall())


def file_ids(conn: sqlite3.Connection, number: int) -> list[str]:
    """The ids of all members that are files."""
    # One row for all: Python takes ten times as long to read a row for each.
    ids: list[str] = json.loads(
        conn.execute(
            f"""SELECT json_group_array(file_id) FROM datasette_files_zip_members
            WHERE zip = ? AND {_IS_FILE}""",
            (number,),
        ).fetchone()[0]
    )
    return ids


def ids_in(conn: sqlite3.Connection, number: int, slug: str) -> list[str]:
    """The ids of the members that are in a source."""
    rows = conn.execute(
        """SELECT m.file_id FROM datasette_files_zip_members m
        JOIN datasette_files f ON f.id = m.file_id
        JOIN datasette_files_sources s ON s.id = f.source_id WHERE m.zip = ? AND s.slug = ?""",
        (number, slug),
    )
    return [row[0] for row in rows]


def any_due(conn: sqlite3.Connection, now: float) -> bool:
    """Tell whether a zip ended so long ago that it is to be forgotten."""
    return _due(conn, now) is not None


def forget_due(conn: sqlite3.Connection, now: float) -> None:
    """Forget some members of a zip that ended long ago; with the last of them the zip."""
    number = _due(conn, now)
    if number is not None:
        forget(conn, number)


def forget(conn: sqlite3.Connection, number: int) -> bool:
    """Forget some members of a zip, or the zip with the last of them. Tell whether some are left.

    It is absent from the first step on, and the sweeper ends what is interrupted.
    """
    conn.execute(
        "UPDATE datasette_files_zips SET files = NULL, expires_at = 0 WHERE number = ?", (number,)
    )
    cursor = conn.execute(
        """DELETE FROM datasette_files_zip_texts WHERE rowid IN (
            SELECT rowid FROM datasette_files_zip_texts WHERE zip = ? LIMIT ?)""",
        (number, _FORGOTTEN_CHUNKS),
    )
    if cursor.rowcount == _FORGOTTEN_CHUNKS:
        return True
    cursor = conn.execute(
        """DELETE FROM datasette_files_zip_members WHERE (zip, start) IN (
            SELECT zip, start FROM datasette_files_zip_members WHERE zip = ? LIMIT ?)""",
        (number, _FORGOTTEN),
    )
    if cursor.rowcount == _FORGOTTEN:
        return True
    conn.execute("DELETE FROM datasette_files_zips WHERE number = ?", (number,))
    return False


def make_room(
    conn: sqlite3.Connection, actor_id: str | None, now: float, zips: int, members: int, texts: int
) -> bool:
    """Forget some members of an actor's oldest zip beyond these bounds; False if there is none.

    ``texts`` are the bytes of members that are no files.

    Zips that are being chosen stay.
    """
    rows = conn.execute(
        """SELECT number FROM (
            SELECT number, files, created_at, expires_at, count(*) OVER newest AS zips,
                sum(ifnull(files, 0)) OVER newest AS members,
                sum(text_bytes) OVER newest AS texts
            FROM datasette_files_zips WHERE actor_id IS ? WINDOW newest AS (ORDER BY number DESC)
        ) WHERE expires_at = 0
            OR ((zips > ? OR members > ? OR texts > ?) AND (files IS NOT NULL OR created_at < ?))
        ORDER BY number LIMIT 1""",
        (actor_id, zips, members, texts, now - _CHOOSING_SECONDS),
    )
    row = rows.fetchone()
    if row is None:
        return False
    forget(conn, row[0])
    return True


def _due(conn: sqlite3.Connection, now: float) -> int | None:
    row = conn.execute(
        "SELECT number FROM datasette_files_zips WHERE expires_at <= ? LIMIT 1",
        (now - _REMEMBERED_SECONDS,),
    ).fetchone()
    return None if row is None else int(row[0])
