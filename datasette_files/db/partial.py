"""Files of sources of which an actor sees only a part: in a list, in a search, and their counts.

A part is a set of ids that the rules on permissions give, and no index has it. Few ids are looked
up by their key. For many, the source's newest rows are read until a page is full, which is soon
unless the part lies far back; then its ids are looked up after all.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from ..models import FileRecord
from .files import COLUMNS, record

#: Ids that are looked up at once. It takes as long as reading a page's rows.
_FEW = 1_000
#: Files that are asked one by one whether they are hits of a search.
_MAX_PROBED = 200
#: Rows or hits that are read at once.
_BATCH = 100
#: Rows of a source, or hits, that are read before the ids are looked up: whole batches.
_MAX_READ = 100 * _BATCH
#: Of more than ``_FEW`` ids, those that are looked up to count.
_MAX_COUNTED = 100
#: Hits that are read to count.
_MAX_COUNTED_HITS = 5 * _BATCH

#: ``(created_at, seq)``, by which lists are ordered.
Key = tuple[str, int]


@dataclass(frozen=True)
class Part:
    """The files of a source that an actor sees: only those of ``ids``, or all but those."""

    ids: frozenset[str]
    only: bool = True

    def __contains__(self, file_id: object) -> bool:
        return (file_id in self.ids) is self.only


#: By the source's id.
Parts = Mapping[int, Part]


def page(
    conn: sqlite3.Connection, parts: Parts, after: Key | None, limit: int
) -> list[tuple[str, int, FileRecord]]:
    """The newest files after a key, at most ``limit``: ``(created_at, seq, record)``."""
    only, rest = _divided(parts)
    keys = _newest(conn, rest, after, limit, None) or []
    read = _newest(conn, only, after, limit, _MAX_READ) if _size(only) > _FEW else None
    keys += _looked_up(conn, only, after, limit) if read is None else read
    keys.sort(reverse=True)
    found = records(conn, [seq for _, seq in keys[:limit]])
    return [(created_at, seq, found[seq]) for created_at, seq in keys[:limit]]


def count(conn: sqlite3.Connection, parts: Parts) -> tuple[int, bool]:
    """The number of files, and whether counting stopped before their end."""
    only, rest = _divided(parts)
    total = 0
    for source_id, part in rest.items():
        row = conn.execute(
            "SELECT ifnull(sum(files), 0) FROM datasette_files_totals WHERE source_id = ?",
            (source_id,),
        ).fetchone()
        total += row[0] - _existing(conn, source_id, list(part.ids))
    counted, enough = 0, _MAX_COUNTED if _size(only) > _FEW else _FEW
    for source_id, part in only.items():
        ids = list(part.ids)
        for start in range(0, len(ids), enough):
            if counted >= enough:
                return total + counted, True
            counted += _existing(conn, source_id, ids[start : start + enough])
    return total + counted, False


def hits(
    conn: sqlite3.Connection, expression: str, parts: Parts, before: int | None, limit: int
) -> list[int]:
    """The newest hits of a search before a ``seq``, at most ``limit``, as ``seq``."""
    only, rest = _divided(parts)
    bound = 2**63 - 1 if before is None else before - 1
    if rest or _size(only) > _MAX_PROBED:
        most = None if rest else _MAX_READ
        found, ended = _read_hits(conn, expression, parts, bound, limit, most)
        if ended or len(found) == limit:
            return found
    seqs = sorted((seq for seq in _seqs(conn, only) if seq <= bound), reverse=True)
    return list(islice(hits_among(conn, expression, seqs), limit))


def count_hits(
    conn: sqlite3.Connection, expression: str, parts: Parts, most: int
) -> tuple[int, bool]:
    """The number of hits, at most ``most``, and whether counting stopped."""
    only, rest = _divided(parts)
    if rest or _size(only) > _MAX_PROBED:
        found, ended = _read_hits(conn, expression, parts, 2**63 - 1, most, _MAX_COUNTED_HITS)
        return len(found), not ended
    return sum(1 for _ in hits_among(conn, expression, _seqs(conn, only))), False


def records(conn: sqlite3.Connection, seqs: list[int]) -> dict[int, FileRecord]:
    """The files of these ``seq``, by it."""
    rows = conn.execute(
        f"""SELECT f.seq, {COLUMNS} FROM json_each(?) AS wanted
        CROSS JOIN datasette_files f ON f.seq = wanted.value
        CROSS JOIN datasette_files_sources s ON s.id = f.source_id""",
        (json.dumps(seqs),),
    )
    return {row[0]: record(tuple(row)[1:]) for row in rows}


def _divided(parts: Parts) -> tuple[Parts, Parts]:
    only = {source_id: part for source_id, part in parts.items() if part.only}
    return only, {source_id: part for source_id, part in parts.items() if not part.only}


def _size(parts: Parts) -> int:
    return sum(len(part.ids) for part in parts.values())


def _newest(
    conn: sqlite3.Connection, parts: Parts, after: Key | None, limit: int, most: int | None
) -> list[Key] | None:
    """The newest files after a key, read from the newest on.

    None where ``most`` rows of a source did not suffice.
    """
    found: list[Key] = []
    for source_id, part in parts.items():
        # Of further sources only what is newer than the files found counts.
        found = sorted(found, reverse=True)[:limit]
        least = found[-1] if len(found) == limit else None
        more = _newest_of(conn, source_id, part, after, limit, least, most)
        if more is None:
            return None
        found += more
    return found


def _newest_of(
    conn: sqlite3.Connection,
    source_id: int,
    part: Part,
    after: Key | None,
    limit: int,
    least: Key | None,
    most: int | None,
) -> list[Key] | None:
    found: list[Key] = []
    count = 0
    # Two ranges, since an index seeks both (listing.py).
    ranges: list[tuple[str, tuple[object, ...]]] = [("", ())]
    if after is not None:
        ranges = [
            ("AND f.created_at = ? AND f.seq < ?", after),
            ("AND f.created_at < ?", after[:1]),
        ]
    for where, values in ranges:
        rows = conn.execute(
            f"""SELECT f.created_at, f.seq, f.id
            FROM datasette_files f INDEXED BY datasette_files_by_created
            WHERE f.source_id = ? {where} ORDER BY f.created_at DESC, f.seq DESC""",
            (source_id, *values),
        )
        while batch := rows.fetchmany(_BATCH):
            found += [(row[0], row[1]) for row in batch if (row[2] in part.ids) is part.only]
            count += len(batch)
            if len(found) >= limit or (least is not None and tuple(batch[-1])[:2] < least):
                return found
            if count == most:
                return None
    return found


def _looked_up(conn: sqlite3.Connection, parts: Parts, after: Key | None, limit: int) -> list[Key]:
    """The newest of the ids after a key."""
    found: list[Key] = []
    for source_id, part in parts.items():
        rows = conn.execute(
            """SELECT f.created_at, f.seq FROM json_each(?) AS wanted
            CROSS JOIN datasette_files f ON f.id = wanted.value WHERE f.source_id = ?""",
            (json.dumps(list(part.ids)), source_id),
        )
        found += [(row[0], row[1]) for row in rows]
    return sorted((key for key in found if after is None or key < after), reverse=True)[:limit]


def _existing(conn: sqlite3.Connection, source_id: int, ids: list[str]) -> int:
    row = conn.execute(
        """SELECT count(*) FROM json_each(?) AS wanted
        CROSS JOIN datasette_files f ON f.id = wanted.value WHERE f.source_id = ?""",
        (json.dumps(ids), source_id),
    ).fetchone()
    return int(row[0])


def seqs_of(conn: sqlite3.Connection, only: Parts, most: int) -> list[int] | None:
    """The files of the ids, as ``seq``, newest first; None for more than ``most`` ids."""
    return None if _size(only) > most else sorted(_seqs(conn, only), reverse=True)


def _seqs(conn: sqlite3.Connection, only: Parts) -> list[int]:
    return [seq for _, seq in _looked_up(conn, only, None, _size(only))]


def _read_hits(
    conn: sqlite3.Connection,
    expression: str,
    parts: Parts,
    bound: int,
    limit: int,
    most: int | None,
) -> tuple[list[int], bool]:
    """The hits that are seen among the newest ``most``, and whether no hit was left unread."""
    rows = conn.execute(
        """SELECT f.seq, f.id, f.source_id FROM datasette_files_fts
        CROSS JOIN datasette_files f ON f.seq = datasette_files_fts.rowid
        WHERE datasette_files_fts MATCH ? AND datasette_files_fts.rowid <= ?
        ORDER BY datasette_files_fts.rowid DESC""",
        (expression, bound),
    )
    ids = {source_id: part.ids for source_id, part in parts.items()}
    only = {source_id: part.only for source_id, part in parts.items()}
    found: list[int] = []
    count = 0
    while batch := rows.fetchmany(_BATCH):
        found += [
            seq
            for seq, file_id, source in batch
            if source in ids and (file_id in ids[source]) is only[source]
        ]
        count += len(batch)
        if len(found) >= limit or count == most:
            return found[:limit], False
    return found, True


def hits_among(conn: sqlite3.Connection, expression: str, seqs: list[int]) -> Iterator[int]:
    """Those of the files that are hits, in their order if it is from the newest."""
    if len(seqs) <= _MAX_PROBED:
        ask = (
            "SELECT 1 FROM datasette_files_fts WHERE datasette_files_fts MATCH ?"
            " AND datasette_files_fts.rowid = ?"
        )
        yield from (seq for seq in seqs if conn.execute(ask, (expression, seq)).fetchone())
        return
    wanted = frozenset(seqs)
    rows = conn.execute(
        """SELECT datasette_files_fts.rowid FROM datasette_files_fts
        WHERE datasette_files_fts MATCH ? AND datasette_files_fts.rowid BETWEEN ? AND ?
        ORDER BY datasette_files_fts.rowid DESC""",
        (expression, min(wanted), max(wanted)),
    )
    yield from (row[0] for row in rows if row[0] in wanted)
