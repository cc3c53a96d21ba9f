"""The rows of uploads that go on: the one attempt that moves the offset, and how each ends."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from datasette_files.db import resuming, uploads
from datasette_files.db.resuming import Lease, Resumable
from datasette_files.models import Upload

ONE, TWO, THREE = (Lease("u", name, f"{name}-process") for name in ("one", "two", "three"))
_UPLOAD = Upload(
    **{"id": "u", "source_id": 1, "source_slug": "s1", "file_id": "df-u", "path": "p/1"},
    **{"filename": "a.txt", "content_type": "text/plain", "size": 7, "sha256": None},
    **{"content_hash": None, "actor_id": "alice", "state": "prepared", "expires_at": 200.0},
    **{"claim": None, "instructions": None, "reserved": 7},
)


@pytest.fixture
def upload(conn: sqlite3.Connection) -> Upload:
    resuming.insert(conn, _UPLOAD, 100.0, metadata="filename YQ==", concat=None)
    return _UPLOAD


def _take(
    conn: sqlite3.Connection, lease: Lease, now: float, *, waited: bool = False, gone: str = ""
) -> bool | None:
    return resuming.take(
        *(conn, lease, now, now + 10), waited=waited, is_gone=lambda holder: holder == gone
    )


def _noted(conn: sqlite3.Connection) -> list[tuple[str, str | None, float]]:
    return conn.execute(
        "SELECT path, instructions, not_before FROM datasette_files_garbage ORDER BY id"
    ).fetchall()


def test_it_comes_back_as_it_was_inserted(conn, upload):
    assert resuming.get(conn, "u") == Resumable(upload, 0, {}, "filename YQ==", None)
    assert resuming.get(conn, "v") is None
    uploads.insert(conn, replace(upload, id="v", path="p/2", file_id="df-v"), 100.0)
    assert resuming.get(conn, "v") is None, "an ordinary one"
    part = replace(upload, id="w", path="p/3", file_id="df-w")
    resuming.insert(conn, part, 100.0, metadata="", concat="partial", offset=7)
    found = resuming.get(conn, "w")
    assert found == Resumable(part, 7, {}, "", "partial")
    assert (found.is_partial, found.is_whole) == (True, True)


def test_an_attempt_waits_until_the_one_before_has_stopped(conn, upload):
    assert _take(conn, ONE, 100) is True
    assert (resuming.is_held(conn, ONE), resuming.is_held(conn, TWO)) == (True, False)
    assert _take(conn, TWO, 105) is False
    assert resuming.is_held(conn, ONE)
    assert not resuming.is_held(conn, ONE, undisputed=True)
    assert _take(conn, THREE, 106) is False
    assert _take(conn, TWO, 107, waited=True) is None, "a newer one wants it"
    assert _take(conn, THREE, 107, waited=True) is False
    resuming.release(conn, TWO)
    assert _take(conn, THREE, 107, waited=True) is False
    resuming.release(conn, ONE)
    assert _take(conn, THREE, 107, waited=True) is True
    assert resuming.is_held(conn, THREE, undisputed=True)
    assert not resuming.is_held(conn, ONE)


def test_an_attempt_is_taken_from_a_dead_process_and_after_its_lease(conn, upload):
    assert _take(conn, ONE, 100)
    assert _take(conn, TWO, 109.9, gone="two-process") is False
    assert _take(conn, TWO, 109.9, gone="one-process") is True
    assert _take(conn, THREE, 119.8) is False
    assert _take(conn, THREE, 119.9) is True


def test_only_the_attempt_that_holds_it_moves_it(conn, upload):
    _take(conn, ONE, 100)
    assert resuming.renew(conn, ONE, 150.0, 300.0)
    assert _take(conn, TWO, 149) is False
    assert resuming.advance(conn, ONE, 3, {"a": 1}, 400.0)
    moved = Resumable(replace(upload, expires_at=400.0), 3, {"a": 1}, "filename YQ==", None)
    assert resuming.get(conn, "u") == moved
    assert not moved.is_whole
    assert not resuming.renew(conn, TWO, 500.0, 600.0)
    assert not resuming.advance(conn, TWO, 7, {}, 600.0)
    assert resuming.get(conn, "u") == moved
    resuming.end(conn, upload, 900.0)
    assert not resuming.renew(conn, ONE, 500.0, 600.0)
    assert not resuming.advance(conn, ONE, 7, {}, 600.0)
    assert not resuming.is_held(conn, ONE)
    ended = resuming.get(conn, "u")
    assert ended is not None
    assert (ended.upload.state, ended.upload.expires_at) == ("expired", 900.0)


def test_the_size_is_told_once(conn, upload):
    resuming.set_length(conn, "u", 9)
    assert uploads.get(conn, "u") == upload
    unknown = replace(upload, id="v", path="p/2", file_id="df-v", size=None)
    resuming.insert(conn, unknown, 100.0, metadata="", concat=None)
    resuming.set_length(conn, "v", 9)
    assert uploads.get(conn, "v") == replace(unknown, size=9)


@pytest.mark.parametrize("state", ["completed", "received"])
def test_the_facts_of_the_stored_object_are_recorded_once(conn, upload, state):
    stored = replace(
        upload,
        **{"stored_type": "text/csv", "stored_size": 7, "content_hash": "sha256:1"},
        **{"width": 3, "height": 4},
    )
    assert resuming.finish(conn, stored, state, 700.0)
    assert uploads.get(conn, "u") == replace(stored, state=state, expires_at=700.0)
    assert not resuming.finish(conn, stored, state, 800.0)


@pytest.mark.parametrize("state", ["prepared", "received", "completed", "expired"])
@pytest.mark.parametrize("ends", [True, False])
def test_what_ends_without_a_file_becomes_garbage_with_what_was_appended(conn, upload, state, ends):
    now = replace(upload, state=state)
    conn.execute("UPDATE datasette_files_uploads SET state = ?", (state,))
    conn.execute("UPDATE datasette_files_resuming SET state = '{\"a\": 1}'")
    if ends:
        resuming.end(conn, now, 900.0)
        changed = state in ("prepared", "received")
        assert uploads.get(conn, "u") == (
            replace(now, state="expired", expires_at=900.0) if changed else now
        )
    else:
        resuming.forget(conn, now)
        assert uploads.get(conn, "u") is None
    garbage = [("p/1", '{"a": 1}', 0), ("p/1", None, 0)]
    assert _noted(conn) == (garbage if state in ("prepared", "received") else [])


def test_uploads_of_a_mark_may_go_on_the_longest_first(conn, upload, monkeypatch):
    monkeypatch.setattr(resuming.time, "time", lambda: 150.0)
    for name, offset, changes in (
        ("a", 3, {}),
        ("b", 5, {}),
        ("late", 6, {"expires_at": 150.0}),
        ("done", 6, {"state": "received"}),
        ("far", 6, {"source_id": 2}),
    ):
        one = replace(upload, id=name, path=name, file_id=name, **changes)
        resuming.insert(conn, one, 100.0, metadata="mark,x", concat=None, offset=offset)
    assert resuming.marked(conn, 1, "mark,") == [("b", "mark,x", 200.0), ("a", "mark,x", 200.0)]
    assert resuming.marked(conn, 1, "mark,y") == []


def test_an_upload_that_is_taken_over_has_another_id_and_no_attempt(conn, upload):
    _take(conn, ONE, 100)
    _take(conn, TWO, 101)
    resuming.take_over(conn, "u", "v", "other")
    assert resuming.get(conn, "u") is None
    taken = replace(upload, id="v")
    assert resuming.get(conn, "v") == Resumable(taken, 0, {}, "other", None)
    assert not resuming.is_held(conn, ONE)
    other = replace(TWO, upload_id="v")
    assert _take(conn, other, 102) is True
    assert resuming.is_held(conn, other, undisputed=True)
