"""The members of zips that are no files, such as rows: their bytes, in chunks."""

from __future__ import annotations

import sqlite3

from .zips import TEXT_CHUNK, Chosen, add, forgotten


def add_text(conn: sqlite3.Connection, number: int, chosen: Chosen, content: bytes) -> None:
    """Add a member that is no file, with its bytes. Its key begins with ``TEXT``."""
    add(conn, number, [chosen])
    add_chunks(conn, number, chosen.entry.member.key, 0, content)


def add_chunks(conn: sqlite3.Connection, number: int, key: str, first: int, content: bytes) -> int:
    """Add bytes of a member that is no file, as chunks from the number ``first`` on.

    Returns the number of the next chunk. Raises Expired if the zip is gone.
    """
    cursor = conn.execute(
        """UPDATE datasette_files_zips SET text_bytes = text_bytes + ?
        WHERE number = ? AND expires_at > 0""",
        (len(content), number),
    )
    if not cursor.rowcount:
        raise forgotten()
    parts = range(0, len(content), TEXT_CHUNK)
    conn.executemany(
        """INSERT INTO datasette_files_zip_texts (zip, member, number, content)
        VALUES (?, ?, ?, ?)""",
        (
            (number, key, part, content[start : start + TEXT_CHUNK])
            for part, start in enumerate(parts, first)
        ),
    )
    return first + len(parts)


def text(conn: sqlite3.Connection, number: int, key: str, part: int) -> bytes:
    """A chunk of the member with this key. Raises Expired if the zip is gone."""
    row = conn.execute(
        """SELECT content FROM datasette_files_zip_texts
        WHERE zip = ? AND member = ? AND number = ?""",
        (number, key, part),
    ).fetchone()
    if row is None:
        raise forgotten()
    return bytes(row[0])
