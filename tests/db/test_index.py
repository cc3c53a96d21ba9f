"""A page of new files in the catalog: the same rows as if each file had come by itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import Any

from ulid import ULID

from datasette_files import naming
from datasette_files.db import files, index, verify
from datasette_files.db.index import New, Seen, Walk
from tests.db.conftest import check_search_index, new_catalog

#: Tables that triggers and the audit keep, without the time of an entry.
KEPT = {
    "datasette_files_audit": """actor, via, link, action, file_id, source_id,
        detail ->> 'filename', detail ->> 'size'""",
    **dict.fromkeys(
        (
            *("datasette_files", "datasette_files_totals", "datasette_files_folders"),
            *("datasette_files_usage", "datasette_files_texts", "datasette_files_terms"),
            *("datasette_files_media", "datasette_files_fts_docsize"),
        ),
        "*",
    ),
}
NAMES = ("a.txt", "CamelCase.png", "scan0001.JPG", "Übung.mp4", "b c.mp3", "x.bin")
FOLDERS = ("", "a", "a/b", "a/b/c/d", "Ä/b", "a/b c")


def new_files(number: int) -> list[New]:
    ulids = naming.new_ulids(number)
    types = ("text/plain", "image/png", "image/jpeg", "video/mp4", "audio/mpeg", "x/y")
    made = []
    for at, ulid in enumerate(ulids):
        name, folder = f"{at}{NAMES[at % 6]}", FOLDERS[at // 6 % 6]
        path = f"{folder}/{name}".lstrip("/")
        size = None if at % 7 == 0 else at
        made.append(
            New(f"df-{ulid}", path, name, folder, types[at % 6], size, "2026-01-01 00:00:00")
        )
    made[3] = made[3]._replace(content_hash="sha256:" + "0" * 64, crc32="00000000")
    return made


def kept(conn: sqlite3.Connection) -> dict[str, list[Any]]:
    return {
        table: sorted(map(repr, conn.execute(f"SELECT {columns} FROM {table}")))
        for table, columns in KEPT.items()
    }


def test_many_new_files_are_as_each_by_itself(conn: sqlite3.Connection) -> None:
    added = new_files(2003)
    index.add(conn, 2, added)
    with closing(new_catalog()) as other:
        for one in added:
            files.insert(other, one.record(2, "s2"))
        assert kept(conn) == kept(other)
    check_search_index(conn)


def test_objects_are_seen_anew(conn: sqlite3.Connection) -> None:
    walk = Walk(1, 2, 0.0)
    seen = [Seen(f"{number}.txt", f"v{number}", number) for number in range(1003)]
    index.see(conn, walk, seen)
    walk.id = 2
    index.see(conn, walk, [seen[7]._replace(version='a"\\b')], is_pending=True)
    rows = conn.execute("SELECT path, version, walk, is_pending FROM datasette_files_objects")
    assert sorted(rows) == sorted(
        (path, version, 1, 0) if path != "7.txt" else (path, 'a"\\b', 2, 1)
        for path, version, *_ in seen
    )


def test_paths_in_use_are_not_free(conn: sqlite3.Connection) -> None:
    files.insert(conn, New("df-a", "a.txt", "a.txt", "", "x/y", 1, "2026").record(1, "s1"))
    conn.execute(
        """INSERT INTO datasette_files_garbage (source_id, path, not_before, done_at)
        VALUES (1, 'g.txt', 0, NULL), (2, 'b.txt', 0, NULL),
            (1, 'h.txt', 0, 99), (1, 'i.txt', 0, 101)"""
    )
    conn.execute(
        """INSERT INTO datasette_files_trash
            (seq, id, source_id, path, filename, created_at, trashed_at, purge_at)
        VALUES (9, 'df-t', 1, 't.txt', 't.txt', '2026', 0, 0)"""
    )
    wanted = ["a.txt", "b.txt", "g.txt", "h.txt", "i.txt", "t.txt", 'q".txt']
    assert index.free(conn, Walk(1, 1, 100.0), wanted) == {"b.txt", "h.txt", 'q".txt'}


def test_many_ulids_are_of_one_moment_in_order() -> None:
    before = naming.new_ulid()
    ulids = naming.new_ulids(3000)
    assert ulids == sorted(set(ulids))
    times = {ULID.from_str(ulid.upper()).timestamp for ulid in ulids}
    assert len(times) == 1
    assert ULID.from_str(before.upper()).timestamp <= times.pop()
    assert {digit for ulid in ulids for digit in ulid[10:]} == set(
        "0123456789abcdefghjkmnpqrstvwxyz"
    )


#: Paths that JSON escapes.
ODD = (
    'q"uote.txt',
    "back\\slash.txt",
    "new\nline",
    "ünï/日本.txt",
    "tab\t\x01",
    "\U0001f600.txt",
    "%",
)


def test_odd_paths_are_compared_as_they_are(conn: sqlite3.Connection) -> None:
    walk = Walk(1, 2, 0.0)
    seen = [Seen(path, f"v {number}", number) for number, path in enumerate(ODD)]
    assert index.compare(conn, 2, seen).unknown == seen
    added = [
        New(f"df-{one.size}", one.path, one.path, "", "x/y", one.size, "2026-01-01 00:00:00")
        for one in seen
    ]
    index.add(conn, 2, added)
    index.see(conn, walk, seen)
    assert index.compare(conn, 2, [*seen, seen[0]]) == index.Difference()
    assert index.free(conn, walk, [*ODD, "other"]) == {"other"}
    changed = [one._replace(version=f"{one.version}'") for one in seen]
    assert [one for one, _ in index.compare(conn, 2, changed).suspect] == changed

    numbers, found = verify.compared(conn, 2, {one.path: one.size for one in seen})
    assert (numbers, found) == ([1, 2, 3, 4, 5, 6, 7], [])
    sizes: dict[str, int | None] = {**dict.fromkeys(ODD), ODD[1]: 7, 'un"known': 1}
    numbers, found = verify.compared(conn, 2, sizes)
    assert len(numbers) == len(ODD)
    assert [(one.file_id, one.path, one.kind) for one in found] == [
        ("df-1", ODD[1], "size"),
        (None, 'un"known', "unknown"),
    ]
    listed = verify.numbered(conn, 2, "", 100)
    assert sorted(listed) == listed
    assert {path for path, _ in listed} == set(ODD)
    assert verify.numbered(conn, 2, listed[0][0], 1) == [listed[1]]
    lacking = verify.missing(conn, [listed[2][1], listed[1][1], 99])
    assert [(one.path, one.kind) for one in lacking] == [
        (listed[at][0], "missing") for at in (1, 2)
    ]
