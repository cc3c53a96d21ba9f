"""The steps of an upload's row: which may follow, and what each leaves behind as garbage."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from datasette_files.db import garbage, uploads
from datasette_files.models import Upload

_PREPARED = Upload(
    **{"id": "u", "source_id": 1, "source_slug": "s1", "file_id": "df-u", "path": "p/1"},
    **{"filename": "a.txt", "content_type": "text/plain", "size": 7, "sha256": "ab"},
    **{"content_hash": None, "actor_id": "alice", "state": "prepared", "expires_at": 200.0},
    **{"claim": None, "instructions": None, "reserved": 7, "tags": ("x", "y")},
)


def _insert(conn: sqlite3.Connection, **changes: Any) -> Upload:
    upload = replace(_PREPARED, **changes)
    uploads.insert(conn, upload, 100.0)
    return upload


def _receiving(conn: sqlite3.Connection, **changes: Any) -> Upload:
    return _insert(conn, state="receiving", claim="one", claimed_until=150.0, **changes)


def _noted(conn: sqlite3.Connection) -> list[tuple[str, str | None, float]]:
    return conn.execute(
        "SELECT path, instructions, not_before FROM datasette_files_garbage ORDER BY id"
    ).fetchall()


def test_a_row_comes_back_as_it_was_inserted(conn):
    upload = _insert(conn, instructions={"key": [1]}, parts_state={"id": "m"}, claimed_until=5.0)
    assert uploads.get(conn, "u") == upload
    assert uploads.get(conn, "v") is None
    plain = _insert(conn, id="plain", path="p/2", file_id="df-v")
    assert uploads.get(conn, "plain") == plain


@pytest.mark.parametrize(
    "changes, now, claimed",
    [
        ({}, 100, True),
        ({"state": "received"}, 100, True),
        ({"state": "receiving", "claimed_until": 150.0}, 149.9, False),
        ({"state": "receiving", "claimed_until": 150.0}, 150, True),
        ({"state": "completed"}, 100, False),
        ({"state": "completed", "instructions": {}}, 100, False),
        ({"state": "expired"}, 100, False),
        ({"state": "expired", "instructions": {}}, 100, True),
        ({"state": "expired", "parts_state": {}}, 100, True),
    ],
)
def test_an_attempt_claims_what_nobody_holds_and_a_client_may_still_send(
    conn, changes, now, claimed
):
    found = _insert(conn, **changes)
    new = replace(found, path="p/2", claim="two", claimed_until=900.0, expires_at=950.0, reserved=9)
    assert uploads.claim(conn, new, now) is claimed
    kept = replace(new, state="receiving") if claimed else found
    assert uploads.get(conn, "u") == kept
    assert _noted(conn) == ([("p/1", None, 0)] if claimed else [])


def test_an_attempt_at_the_same_path_leaves_no_garbage(conn):
    found = _insert(conn)
    assert uploads.claim(conn, replace(found, claim="one", claimed_until=150.0), 100)
    assert _noted(conn) == []


def test_a_path_that_waits_to_be_deleted_is_not_claimed(conn):
    found = _insert(conn)
    note = garbage.add(conn, 1, "p/1")
    assert not uploads.claim(conn, replace(found, claim="one"), 100)
    garbage.done(conn, [note], 101)
    garbage.add(conn, 2, "p/1")
    assert uploads.claim(conn, replace(found, claim="one"), 100)


def test_only_the_attempt_that_holds_the_claim_moves_the_upload(conn):
    """A stranger and a row in another state change nothing, and are told so."""
    mine = _receiving(conn)
    lost = replace(mine, claim="two", stored_size=5)
    assert not uploads.extend(conn, "u", "two", 500.0, 600.0)
    assert not uploads.received(conn, lost, 600.0)
    assert not uploads.reject(conn, lost, 600.0, 50.0)
    assert not uploads.finish(conn, "u", "two")
    uploads.release(conn, mine, "two", "p/2", 600.0)
    uploads.hand_back(conn, "u", "two", 600.0)
    assert not uploads.complete(conn, "u", 600.0, 50.0)
    assert uploads.get(conn, "u") == mine
    conn.execute("UPDATE datasette_files_uploads SET state = 'received'")
    assert not uploads.extend(conn, "u", "one", 500.0, 600.0)
    assert not uploads.received(conn, mine, 600.0)
    assert not uploads.reject(conn, mine, 600.0, 50.0)
    assert not uploads.finish(conn, "u", "one")
    uploads.release(conn, mine, "one", "p/2", 600.0)
    uploads.hand_back(conn, "u", "one", 600.0)
    assert uploads.get(conn, "u") == replace(mine, state="received")
    assert _noted(conn) == []


def test_bytes_that_arrive_move_the_claim_and_the_expiry(conn):
    mine = _receiving(conn)
    assert uploads.extend(conn, "u", "one", 500.0, 600.0)
    assert uploads.get(conn, "u") == replace(mine, claimed_until=500.0, expires_at=600.0)


@pytest.mark.parametrize("size, reserved", [(5, 5), (0, 0), (None, 7)])
def test_a_received_upload_reserves_what_is_stored(conn, size, reserved):
    stored = replace(
        _receiving(conn),
        **{"stored_type": "text/csv", "stored_size": size, "content_hash": "sha256:1"},
        **{"crc32": "0000abcd", "width": 3, "height": 4},
    )
    assert uploads.received(conn, stored, 700.0)
    assert uploads.get(conn, "u") == replace(
        stored, state="received", expires_at=700.0, reserved=reserved
    )


@pytest.mark.parametrize("size, reserved", [(7, 7), (None, 0)])
def test_a_failed_attempt_leaves_its_path_as_garbage_and_the_upload_prepared(conn, size, reserved):
    mine = _receiving(conn, size=size, reserved=99)
    uploads.release(conn, mine, "one", "p/2", 700.0)
    assert uploads.get(conn, "u") == replace(
        mine, state="prepared", claim=None, path="p/2", expires_at=700.0, reserved=reserved
    )
    assert _noted(conn) == [("p/1", None, 0)]


@pytest.mark.parametrize("state", [None, "expired"])
def test_a_direct_upload_that_is_handed_back_keeps_its_bytes(conn, state):
    mine = _receiving(conn, instructions={"a": 1})
    uploads.hand_back(conn, "u", "one", 700.0, *([state] if state else []))
    assert uploads.get(conn, "u") == replace(
        mine, state=state or "prepared", claim=None, expires_at=700.0
    )
    assert _noted(conn) == []


def test_a_rejected_direct_upload_is_over_with_all_that_was_sent(conn):
    mine = _receiving(conn, instructions={"a": 1}, parts_state={"b": 2})
    assert uploads.reject(conn, mine, 700.0, 50.0)
    assert uploads.get(conn, "u") == replace(
        mine, state="expired", claim=None, instructions=None, parts_state=None, expires_at=700.0
    )
    assert _noted(conn) == [
        ("p/1", '{"a": 1}', 150.0),
        ("p/1", '{"b": 2}', 150.0),
        ("p/1", None, 0),
    ]


def test_only_a_received_upload_is_completed_and_what_was_sent_is_discarded_later(conn):
    for state, done in (("prepared", False), ("receiving", False), ("received", True)):
        conn.execute("DELETE FROM datasette_files_uploads")
        found = _insert(conn, state=state, instructions={"a": 1}, signed_at=300.0)
        assert uploads.complete(conn, "u", 700.0, 50.0) is done
        changed = {"state": "completed", "expires_at": 700.0} if done else {}
        assert uploads.get(conn, "u") == replace(found, **changed)
    assert _noted(conn)[-1] == ("p/1", '{"a": 1}', 350.0)
    assert not uploads.complete(conn, "u", 800.0, 50.0)


@pytest.mark.parametrize("state", ["prepared", "received", "completed"])
def test_what_is_discarded_becomes_garbage_unless_it_is_a_file_already(conn, state):
    found = _insert(conn, state=state)
    uploads.discard(conn, found)
    if state == "completed":
        assert uploads.get(conn, "u") == found
        assert _noted(conn) == []
    else:
        assert uploads.get(conn, "u") is None
        assert _noted(conn) == [("p/1", None, 0)]


def test_a_one_shot_upload_is_gone_once_it_is_a_file(conn):
    mine = _receiving(conn)
    other = _receiving(conn, id="v", path="p/2", file_id="df-v")
    assert uploads.finish(conn, "u", "one")
    assert not uploads.finish(conn, "u", "one")
    assert uploads.get(conn, mine.id) is None
    assert uploads.get(conn, "v") == other
    assert _noted(conn) == []
    uploads.forget(conn, "u")
    assert uploads.get(conn, "v") == other
    uploads.forget(conn, "v")
    assert uploads.get(conn, "v") is None


def test_an_upload_is_due_at_its_very_moment_the_oldest_first(conn):
    for number, expires_at in enumerate((220.0, 200.0, 210.0)):
        _insert(conn, id=f"u{number}", path=f"p/{number}", file_id=f"f{number}", claim="old")
        conn.execute(
            "UPDATE datasette_files_uploads SET expires_at = ? WHERE id = ?",
            (expires_at, f"u{number}"),
        )
    assert not uploads.any_due(conn, 199.9)
    assert uploads.expire(conn, 199.9, 900.0, 9) == 0
    assert uploads.any_due(conn, 200)
    assert uploads.expire(conn, 215, 900.0, 1) == 1
    assert _noted(conn) == [("p/1", None, 0)]
    assert uploads.expire(conn, 215, 900.0, 9) == 1
    assert uploads.expire(conn, 215, 900.0, 9) == 0
    rows = conn.execute(
        "SELECT id, state, claim, expires_at FROM datasette_files_uploads ORDER BY id"
    ).fetchall()
    assert rows == [
        ("u0", "prepared", "old", 220.0),
        ("u1", "expired", None, 900.0),
        ("u2", "expired", None, 900.0),
    ]


def test_a_completed_upload_is_forgotten_without_a_trace(conn):
    _insert(conn, state="completed", instructions={"a": 1})
    assert uploads.expire(conn, 200, 900.0, 9) == 1
    assert uploads.get(conn, "u") is None
    assert _noted(conn) == []


def test_an_expired_direct_upload_keeps_its_instructions_for_a_request_on_its_way(conn):
    """Parts are discarded by their state at once, and once more with what came meanwhile."""
    found = _insert(conn, instructions={"a": 1}, parts_state={"b": 2}, signed_at=150.0)
    assert uploads.expire(conn, 200, 900.0, 9) == 1
    assert uploads.get(conn, "u") == replace(found, state="expired", expires_at=900.0)
    late = 200 + uploads.ON_THE_WAY_SECONDS
    assert _noted(conn) == [
        ("p/1", '{"b": 2}', 200.0),
        ("p/1", '{"a": 1}', late),
        ("p/1", '{"b": 2}', late),
        ("p/1", None, 0),
    ]
    conn.execute("DELETE FROM datasette_files_garbage")
    assert uploads.expire(conn, 900, 2000.0, 9) == 1
    assert _noted(conn) == [("p/1", '{"a": 1}', 900.0), ("p/1", '{"b": 2}', 900.0)]


def test_an_upload_that_cannot_expire_is_put_off_for_an_hour(conn):
    for number in (1, 2):
        _insert(conn, id=f"u{number}", path=f"p/{number}", file_id=f"f{number}")
    conn.execute(
        """CREATE TEMP TRIGGER broken BEFORE UPDATE ON main.datasette_files_uploads
        WHEN new.state = 'expired' AND new.id = 'u1' BEGIN SELECT raise(ABORT, 'broken'); END"""
    )
    assert uploads.expire(conn, 200, 900.0, 9) == 2
    rows = conn.execute(
        "SELECT id, state, expires_at FROM datasette_files_uploads ORDER BY id"
    ).fetchall()
    assert rows == [("u1", "prepared", 3800.0), ("u2", "expired", 900.0)]
    assert _noted(conn) == [("p/2", None, 0)]
