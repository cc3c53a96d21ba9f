"""Choosing files of one source for a command: by filters, or all.

Walks in the order of paths: each page seeks into their index, so that a walk goes on where files
leave the source meanwhile. A filter on names or types reads each row of the source: for a command,
not for a request. Lists for people are in listing.py.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from ..models import FileRecord, SourceTotals
from . import search
from .files import COLUMNS, record
from .migrations.versions import SUPERSEDED
from .streams import is_wanted


@dataclass(frozen=True)
class Selection:
    """A choice of files of a source: those that match every filter given."""

    source_id: int
    #: A pattern of SQLite's GLOB (``*``, ``?``, ``[…]``) for the whole name; case-sensitive.
    name: str | None = None
    #: Any of these: types, patterns such as ``image/*``, families of media/families.py.
    content_types: tuple[str, ...] = ()
    #: The beginning of the path in the storage.
    prefix: str = ""
    #: A query for the search.
    search: str | None = None


def page(
    conn: sqlite3.Connection, selection: Selection, after: str, limit: int
) -> list[FileRecord]:
    """The first files whose path comes after ``after``; "" begins. Raises Invalid."""
    where, values = _where(conn, selection)
    rows = conn.execute(
        f"""SELECT {COLUMNS} FROM datasette_files f
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id
        WHERE {where} AND f.path > ? ORDER BY f.path LIMIT ?""",
        (*values, after, limit),
    )
    return [record(row) for row in rows]


def totals(conn: sqlite3.Connection, selection: Selection) -> SourceTotals:
    """The number of the files, and their bytes. Raises Invalid."""
    where, values = _where(conn, selection)
    row = conn.execute(
        f"SELECT count(*), ifnull(sum(f.size), 0) FROM datasette_files f WHERE {where}", values
    ).fetchone()
    return SourceTotals(row[0], row[1])


def _where(conn: sqlite3.Connection, selection: Selection) -> tuple[str, tuple[Any, ...]]:
    where = "f.source_id = ?"
    values: list[Any] = [selection.source_id]
    if selection.prefix:
        # SQLite orders text by code point, so all paths with the prefix lie in this range.
        where += " AND f.path BETWEEN ? AND ?"
        values += [selection.prefix, selection.prefix + "\U0010ffff"]
    if selection.name is not None:
        where += " AND f.filename GLOB ?"
        values.append(selection.name)
    if selection.content_types:
        where += " AND ifnull(f.content_type, '') IN (SELECT value FROM json_each(?))"
        values.append(json.dumps(_types(conn, selection)))
    if selection.search is not None:
        expression = search.match_expression(conn, selection.search, _shelves(selection))
        if expression is None:  # no word that could match
            return "0", ()
        hits = "SELECT rowid FROM datasette_files_fts WHERE datasette_files_fts MATCH ?"
        where += f" AND f.seq IN ({hits})"
        values.append(expression)
    return where, tuple(values)


def _types(conn: sqlite3.Connection, selection: Selection) -> list[str]:
    """The source's types that the selection matches."""
    rows = conn.execute(
        "SELECT DISTINCT content_type FROM datasette_files_totals WHERE source_id IN (?, ?)",
        _shelves(selection),
    )
    wanted = tuple(value.lower() for value in selection.content_types)
    return [row[0] for row in rows if is_wanted(row[0], wanted)]


def _shelves(selection: Selection) -> list[int]:
    """Commands choose superseded versions too."""
    return [selection.source_id, selection.source_id + SUPERSEDED]
