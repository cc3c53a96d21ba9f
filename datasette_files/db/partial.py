"""Files of sources of which an actor sees only a part: in a list, and their count.

A part is a set of ids that the rules on permissions give, and no index has it. Few ids are looked
up by their key. For many, rows are read in the list's order until a page is full, unless that is
likely to take longer than looking up the ids. Leaves out searches (partial_hits.py).
"""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..models import FileRecord
from .files import COLUMNS, record

#: Ids that are looked up at once. It takes as long as reading a page's rows.
_FEW = 1_000
#: Rows that are read in the order of an index in the time that it takes to look up one id. Files
#: of one time mostly lie side by side in the table; those of one name or size do not.
_ROWS_AN_ID = {"created": 4, "filename": 1, "size": 1}
#: Of the rows that hold a page of an evenly spread part, those read before the part is looked up.
_MARGIN = 2.0
#: Of more than ``_FEW`` ids, those that are looked up to count.
_MAX_COUNTED = 100
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True)
class Part:
    """The files of a source that an actor sees: only those of ``ids``, or all but those."""

    ids: frozenset[str]
    only: bool = True

    def __contains__(self, file_id: str) -> bool:
        return (file_id in self.ids) is self.only

    @property
    def has(self) -> Callable[[str], bool]:
        """The same test, for loops over thousands of files."""
        return self.ids.__contains__ if self.only else lambda file_id: file_id not in self.ids


#: By the source's id.
Parts = Mapping[int, Part]


@dataclass(frozen=True)
class Order:
    """An order of a list, and where in it a page begins, as SQL on ``f``."""

    #: The suffix of the index that has this order, and its key.
    index: str
    key: str
    descending: bool
    #: Ranges that follow one another, as ``(condition, its values, order)``: an index seeks each.
    ranges: list[tuple[str, tuple[object, ...], str]]


def folded(key: Any) -> Any:
    """A sort key as an index compares it: NOCASE folds ASCII letters only."""
    if not isinstance(key, str):
        return key
    return key.lower() if key.isascii() else key.translate(_LOWER)


def page(
    conn: sqlite3.Connection, parts: Parts, order: Order, limit: int
) -> list[tuple[object, int, FileRecord | None]]:
    """The first files in an order, at most ``limit``: ``(key, seq, record)``.

    The record is None for a file that was deleted meanwhile.
    """
    only, rest = divided(parts)
    rows = _walked(conn, rest, order, limit, None) or []
    most = likely_rows(conn, only, limit, _ROWS_AN_ID[order.index]) if size(only) > _FEW else 0
    read = _walked(conn, only, order, limit, most) if most else None
    rows += _looked_up(conn, only, order, limit) if read is None else read
    rows.sort(key=lambda row: (folded(row[0]), row[1]), reverse=order.descending)
    found = records(conn, [seq for _, seq in rows[:limit]])
    return [(key, seq, found.get(seq)) for key, seq in rows[:limit]]


def count(conn: sqlite3.Connection, parts: Parts) -> tuple[int, bool]:
    """The number of files, and whether counting stopped before their end."""
    only, rest = divided(parts)
    total = 0
    for source_id, part in rest.items():
        total += _files(conn, [source_id]) - _existing(conn, source_id, list(part.ids))
    counted, enough = 0, _MAX_COUNTED if size(only) > _FEW else _FEW
    for source_id, part in only.items():
        ids = list(part.ids)
        for start in range(0, len(ids), enough):
            if counted >= enough:
                return total + counted, True
            counted += _existing(conn, source_id, ids[start : start + enough])
    return total + counted, False


def records(conn: sqlite3.Connection, seqs: list[int]) -> dict[int, FileRecord]:
    """The files of these ``seq``, by it."""
    rows = conn.execute(
        f"""SELECT f.seq, {COLUMNS} FROM json_each(?) AS wanted
        CROSS JOIN datasette_files f ON f.seq = wanted.value
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id""",
        (json.dumps(seqs),),
    )
    return {row[0]: record(tuple(row)[1:]) for row in rows}


def divided(parts: Parts) -> tuple[Parts, Parts]:
    """The parts that are some files of a source, and those that are all but some."""
    only = {source_id: part for source_id, part in parts.items() if part.only}
    return only, {source_id: part for source_id, part in parts.items() if not part.only}


def size(parts: Parts) -> int:
    """The number of all ids."""
    return sum(len(part.ids) for part in parts.values())


def likely_rows(conn: sqlite3.Connection, only: Parts, limit: int, rows_an_id: int) -> int:
    """The rows, or hits, in which ``limit`` files of the parts are likely to be.

    0 where looking up all ids takes less time, which is that of ``rows_an_id`` rows for each.
    """
    ids = size(only)
    rows = limit * _files(conn, only) // max(ids, 1)
    return int(_MARGIN * rows) if rows <= rows_an_id * ids else 0


def _files(conn: sqlite3.Connection, source_ids: Iterable[int]) -> int:
    row = conn.execute(
        """SELECT ifnull(sum(files), 0) FROM datasette_files_totals
        WHERE source_id IN (SELECT value FROM json_each(?))""",
        (json.dumps(list(source_ids)),),
    ).fetchone()
    return int(row[0])


def _walked(
    conn: sqlite3.Connection, parts: Parts, order: Order, limit: int, most: int | None
) -> list[tuple[Any, int]] | None:
    """The first files as ``(key, seq)``, by reading the sources side by side in the order.

    None where ``most`` rows did not suffice.
    """
    found: list[tuple[Any, int]] = []
    streams = [_stream(conn, source_id, part, order) for source_id, part in parts.items()]
    rows = heapq.merge(*streams, reverse=order.descending)
    for number, (_, seq, key, is_seen) in enumerate(rows):
        if most is not None and number >= most:
            return None
        if is_seen:
            found.append((key, seq))
            if len(found) == limit:
                break
    return found


def _stream(
    conn: sqlite3.Connection, source_id: int, part: Part, order: Order
) -> Iterator[tuple[Any, int, Any, bool]]:
    """A source's rows in the order: ``(folded key, seq, key, whether the part has it)``."""
    has = part.has
    for where, values, sorting in order.ranges:
        rows = conn.execute(
            f"""SELECT {order.key}, f.seq, f.id
            FROM datasette_files f INDEXED BY datasette_files_by_{order.index}
            WHERE f.shelf = ?{where} ORDER BY {sorting}""",
            (source_id, *values),
        )
        for key, seq, file_id in rows:
            yield folded(key), seq, key, has(file_id)


def _looked_up(
    conn: sqlite3.Connection, parts: Parts, order: Order, limit: int
) -> list[tuple[Any, int]]:
    """The first of the ids in the order, of each source, as ``(key, seq)``."""
    beyond = " OR ".join(f"(1{where})" for where, *_ in order.ranges)
    values = [value for _, some, _ in order.ranges for value in some]
    found: list[tuple[Any, int]] = []
    for source_id, part in parts.items():
        rows = conn.execute(
            f"""SELECT {order.key}, f.seq FROM json_each(?) AS wanted
            CROSS JOIN datasette_files f ON f.id = wanted.value
            WHERE f.shelf = ? AND ({beyond}) ORDER BY {order.ranges[-1][2]} LIMIT ?""",
            (_in_order(part), source_id, *values, limit),
        )
        found += [(row[0], row[1]) for row in rows]
    return found


def _in_order(part: Part) -> str:
    """The ids as JSON, in their order, which mostly is that of the table's rows."""
    return json.dumps(sorted(part.ids))


def _existing(conn: sqlite3.Connection, source_id: int, ids: list[str]) -> int:
    row = conn.execute(
        """SELECT count(*) FROM json_each(?) AS wanted
        CROSS JOIN datasette_files f ON f.id = wanted.value WHERE f.shelf = ?""",
        (json.dumps(ids), source_id),
    ).fetchone()
    return int(row[0])


def seqs_of(conn: sqlite3.Connection, only: Parts) -> list[int]:
    """The files of the ids, as ``seq``, newest first."""
    found: list[int] = []
    for source_id, part in only.items():
        rows = conn.execute(
            """SELECT f.seq FROM json_each(?) AS wanted
            CROSS JOIN datasette_files f ON f.id = wanted.value WHERE f.shelf = ?""",
            (_in_order(part), source_id),
        )
        found += [row[0] for row in rows]
    return sorted(found, reverse=True)
