"""Notes of bytes to delete: which are due, when, and for how long a deletion is remembered."""

from __future__ import annotations

import sqlite3

from datasette_files.db import garbage, trash
from tests.db.conftest import insert_file


def _due(conn: sqlite3.Connection, now: float, *slugs: str, limit: int = 9) -> list[str]:
    return [one.path for one in garbage.due(conn, now, slugs, limit)]


def test_notes_are_due_at_their_moment_the_oldest_first_source_by_source(conn):
    for source_id, path, moment in ((1, "a", 30), (1, "b", 10), (2, "c", 20), (3, "d", 0)):
        garbage.add(conn, source_id, path, not_before=moment)
    assert _due(conn, 9.9, "s1", "s2") == []
    assert _due(conn, 10, "s1", "s2") == ["b"]
    assert _due(conn, 30, "s2", "s1") == ["c", "b", "a"]
    assert _due(conn, 30, "s2", "s1", limit=2) == ["c", "b"]
    assert _due(conn, 30, "s2", "s1", limit=1) == ["c"]
    assert _due(conn, 30) == []
    (note,) = garbage.due(conn, 0, ["s3"], 9)
    assert (note.source_slug, note.path, note.instructions) == ("s3", "d", None)


def test_the_bytes_of_a_file_are_no_garbage_wherever_the_file_is(conn):
    kept = insert_file(conn, 1, {"source_id": 1, "path": "kept", "filename": "a"})
    insert_file(conn, 2, {"source_id": 2, "path": "other", "filename": "a"})
    for where in ("catalog", "trash"):
        assert garbage.ensure(conn, 1, "kept") == []
        garbage.add(conn, 1, "kept")
        assert _due(conn, 5, "s1") == []
        if where == "catalog":
            trash.add(conn, kept, None, 0, 1)
    assert len(garbage.ensure(conn, 1, "other")) == 1, "a file of another source"
    conn.execute("UPDATE datasette_files_garbage SET instructions = '{}' WHERE path = 'kept'")
    assert sorted(_due(conn, 5, "s1")) == ["kept", "kept", "other"], "what was sent to its place"
    trash.purge(conn, kept, None)
    assert sorted(_due(conn, 5, "s1")) == ["kept", "kept", "kept", "other"]


def test_a_path_is_noted_until_its_bytes_are_deleted(conn):
    assert not garbage.is_noted(conn, 1, "a")
    note = garbage.add(conn, 1, "a")
    assert garbage.is_noted(conn, 1, "a")
    assert not garbage.is_noted(conn, 2, "a")
    assert not garbage.is_noted(conn, 1, "b")
    assert garbage.ensure(conn, 1, "a") == [note]
    conn.execute("UPDATE datasette_files_garbage SET instructions = '{}'")
    assert not garbage.is_noted(conn, 1, "a"), "not the file at the path"
    remembered = garbage.add(conn, 1, "a", "df-1", "alice")
    waiting = garbage.add(conn, 2, "b", "df-4", "alice")
    garbage.done(conn, [note, remembered], 50)
    assert not garbage.is_noted(conn, 1, "a")
    rows = conn.execute("SELECT id, done_at FROM datasette_files_garbage ORDER BY id").fetchall()
    assert rows == [(remembered, 50), (waiting, None)], "that of an upload is dropped"
    assert _due(conn, 99, "s1") == []
    assert garbage.deleted_by(conn, "df-1") == ("s1", "alice")
    garbage.add(conn, 2, "b", "df-2")
    assert garbage.deleted_by(conn, "df-2") == ("s2", None)
    assert garbage.deleted_by(conn, "df-3") is None


def test_a_failed_deletion_waits_longer_each_time_up_to_an_hour(conn):
    note, other = garbage.add(conn, 1, "a"), garbage.add(conn, 1, "b")
    waits = []
    for _ in range(13):
        garbage.postpone(conn, [note], 1000)
        (moment,) = conn.execute(
            "SELECT not_before FROM datasette_files_garbage WHERE id = ?", (note,)
        ).fetchone()
        waits.append(moment - 1000)
    assert waits == [5 * 2**number for number in range(10)] + [3600] * 3
    assert _due(conn, 0, "s1") == ["b"]
    garbage.done(conn, [other], 1)
    assert _due(conn, 4600, "s1") == ["a"]
