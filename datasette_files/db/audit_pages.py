"""Pages of the audit, the newest entry first. Leaves out writing entries (audit.py).

A page reads a bounded number of entries: those of one file by an index; those of every source in
the order of ids; else those of each source by an index, merged. So a page of a filter that few
entries pass may hold fewer than asked for, even none, and still have a next page.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from ..models import written
from .audit import Action, Via

#: Entries that a page looks at.
_LOOKED = 20_000
#: Seconds by which the clock may have been set back between two entries that a time is sought by.
_CLOCK = 24 * 3600.0
_COLUMNS = "a.id, a.at, a.actor, a.via, a.link, a.action, a.file_id, s.slug, a.detail"
#: A limit that no id passes.
_END = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """The entries that are wanted. Times are seconds since the epoch; None: any."""

    actor: str | None = None
    action: str | None = None
    file_id: str | None = None
    #: From this moment on, and before this one.
    after: float | None = None
    before: float | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry."""

    id: int
    #: Seconds since the epoch.
    at: float
    actor: str | None
    via: Via
    link: str | None
    action: Action
    file_id: str | None
    #: The slug of the source.
    source: str
    detail: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The entry for programs, its time in UTC as in the catalog."""
        return {
            **{"id": self.id, "at": written(self.at), "actor": self.actor, "via": self.via},
            **{"link": self.link, "action": self.action, "file_id": self.file_id},
            **{"source": self.source, "detail": self.detail},
        }


def page(
    conn: sqlite3.Connection,
    wanted: Wanted,
    source_ids: Collection[int],
    end: int | None,
    limit: int,
) -> tuple[list[Entry], int | None]:
    """At most ``limit`` entries of these sources with an id below ``end``.

    And the ``end`` of the next page, None at the end.
    """
    start, end = _between(conn, wanted, end)
    streams: list[int | None] = list(source_ids)
    if wanted.file_id is not None or _are_all(conn, source_ids):
        streams = [None]
    looked = max(limit + 1, _LOOKED // max(1, len(streams)))
    found: list[Entry] = []
    reached = start
    for source_id in streams:
        stream = _Stream(conn, wanted, source_id, source_ids, (start, end, looked))
        entries, last = stream.read(limit + 1)
        found += entries
        reached = max(reached, last)
    found = sorted((one for one in found if one.id >= reached), key=lambda one: -one.id)
    if len(found) > limit:
        return found[:limit], found[limit - 1].id
    return found, reached if reached > start else None


def _are_all(conn: sqlite3.Connection, source_ids: Collection[int]) -> bool:
    (others,) = conn.execute(
        """SELECT count(*) FROM datasette_files_sources
        WHERE id NOT IN (SELECT value FROM json_each(?))""",
        (json.dumps(list(source_ids)),),
    ).fetchone()
    return not others


@dataclass(frozen=True)
class _Stream:
    """The entries of one source, of one file, or all, from the newest on."""

    conn: sqlite3.Connection
    wanted: Wanted
    #: None: all, of which those of other sources than ``source_ids`` are left out.
    source_id: int | None
    source_ids: Collection[int]
    #: The first id, the id after the last, and the number of entries that are looked at.
    bounds: tuple[int, int, int]

    def read(self, most: int) -> tuple[list[Entry], int]:
        """The first entries, and the id down to which no other is wanted."""
        start, end, looked = self.bounds
        index, where, values = self._scan()
        scan = f"datasette_files_audit a {index}"
        beyond = self.conn.execute(
            f"""SELECT a.id FROM {scan} WHERE {where} a.id >= ? AND a.id < ?
            ORDER BY a.id DESC LIMIT 1 OFFSET ?""",
            (*values, start, end, looked),
        ).fetchone()
        reached = start if beyond is None else int(beyond[0]) + 1
        sought, more = self._sought()
        rows = self.conn.execute(
            f"""SELECT {_COLUMNS} FROM {scan}
            CROSS JOIN datasette_files_sources s ON s.id = a.source_id
            WHERE {where} a.id >= ? AND a.id < ? AND {sought} ORDER BY a.id DESC LIMIT ?""",
            (*values, reached, end, *more, most),
        ).fetchall()
        entries = [_entry(row) for row in rows]
        return entries, entries[-1].id if len(entries) == most else reached

    def _scan(self) -> tuple[str, str, tuple[object, ...]]:
        """The index by which entries are read, its condition, and its values."""
        if self.wanted.file_id is not None:
            condition = "a.file_id = ? AND"
            return "INDEXED BY datasette_files_audit_file", condition, (self.wanted.file_id,)
        if self.source_id is not None:
            condition = "a.source_id = ? AND"
            return "INDEXED BY datasette_files_audit_source", condition, (self.source_id,)
        return "NOT INDEXED", "", ()

    def _sought(self) -> tuple[str, tuple[object, ...]]:
        """The condition on an entry ``a`` that was looked at."""
        conditions = ["a.source_id IN (SELECT value FROM json_each(?))"]
        values: list[object] = [json.dumps(list(self.source_ids))]
        for condition, value in (
            ("a.actor = ?", self.wanted.actor),
            ("a.action = ?", self.wanted.action),
            ("a.at >= ?", self.wanted.after),
            ("a.at < ?", self.wanted.before),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        return " AND ".join(conditions), tuple(values)


def _entry(row: Sequence[Any]) -> Entry:
    return Entry(*(*row[:-1], json.loads(row[-1])))


def _between(conn: sqlite3.Connection, wanted: Wanted, end: int | None) -> tuple[int, int]:
    """The first id, and the id after the last, between which the wanted times are."""
    start, end = 0, _END if end is None else end
    if wanted.after is not None:
        start = _first_at(conn, wanted.after - _CLOCK)
    if wanted.before is not None:
        end = min(end, _first_at(conn, wanted.before + _CLOCK))
    return start, end


def _first_at(conn: sqlite3.Connection, moment: float) -> int:
    """The first id at or after a moment, found by halving: ids grow with time."""
    low, high = conn.execute(
        "SELECT ifnull(min(id), 0), ifnull(max(id), 0) + 1 FROM datasette_files_audit"
    ).fetchone()
    while low < high:
        middle = (low + high) // 2
        found, at = conn.execute(
            "SELECT id, at FROM datasette_files_audit WHERE id >= ? ORDER BY id LIMIT 1", (middle,)
        ).fetchone()
        if at >= moment:
            high = middle
        else:
            low = found + 1
    return int(low)
