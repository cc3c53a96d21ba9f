"""Rows of links: which are listed, what they give, and what counts against their bounds."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from datasette_files.db import shares, trash, uploads
from datasette_files.db.shares import Share
from datasette_files.models import Upload
from tests.db.conftest import insert_file

_LINK = Share(
    **{"number": None, "id": "one", "digest": "d1", "kind": "files", "source_id": None},
    **{"label": "for you", "maker": {"id": "alice", "_r": {"a": ["x"]}}, "maker_id": "alice"},
    **{"created_at": 100.0, "expires_at": 200.0},
)
_UPLOAD = Upload(
    **{"id": "u", "source_id": 1, "source_slug": "s1", "file_id": "df-u", "path": "p/1"},
    **{"filename": "a.txt", "content_type": "text/plain", "size": 7, "sha256": None},
    **{"content_hash": None, "actor_id": None, "state": "prepared", "expires_at": 200.0},
    **{"claim": None, "instructions": None, "reserved": 7, "link": "one"},
)


def _add(conn: sqlite3.Connection, *file_ids: str, **changes: Any) -> Share:
    shares.insert(conn, replace(_LINK, **changes), file_ids)
    found = shares.get(conn, changes.get("id", "one"))
    assert found is not None
    return found


def _audit(conn: sqlite3.Connection) -> list[tuple[Any, ...]]:
    rows = conn.execute(
        """SELECT action, file_id, source_id, link, detail FROM datasette_files_audit
        WHERE link IS NOT NULL ORDER BY id"""
    )
    return [(*row[:4], json.loads(row[4])) for row in rows]


def test_a_link_comes_back_as_it_was_inserted_by_id_and_digest(conn):
    found = _add(conn, max_downloads=3)
    assert found == replace(_LINK, number=found.number, max_downloads=3)
    assert shares.by_digest(conn, "d1") == found
    assert (shares.by_digest(conn, "d2"), shares.get(conn, "two")) == (None, None)


def test_a_links_files_have_their_order_and_those_that_are_gone_stay_listed(conn):
    a, b, c = [
        insert_file(conn, number, {"source_id": number, "filename": name})
        for number, name in ((1, "a"), (2, "b"), (3, "c"))
    ]
    link = _add(conn, c, a, b)
    _add(conn, a, id="two", digest="d2")
    assert shares.file_ids(conn, link) == [c, a, b]
    assert shares.file_ids(conn, link, ["s1", "s3"]) == [c, a]
    assert shares.file_ids(conn, link, []) == []
    assert shares.source_slugs(conn, link) == {"s1", "s2", "s3"}
    trash.add(conn, a, None, 0, 1)
    assert shares.file_ids(conn, link) == [c, a, b]
    assert shares.file_ids(conn, link, ["s1", "s3"]) == [c]
    assert shares.source_slugs(conn, link) == {"s2", "s3"}
    sender = _add(conn, id="three", digest="d3", kind="upload", source_id=2)
    assert shares.source_slugs(conn, sender) == {"s2"}


def test_links_are_listed_for_their_maker_and_for_managers_until_they_end(conn):
    first = insert_file(conn, 1, {"source_id": 1, "filename": "a"})
    second = insert_file(conn, 2, {"source_id": 2, "filename": "b"})
    _add(conn, first, id="a", digest="a")
    _add(conn, first, second, id="b", digest="b", maker_id="bob")
    _add(conn, id="c", digest="c", kind="upload", source_id=2, maker_id="bob")
    _add(conn, first, id="d", digest="d", expires_at=150.0)
    _add(conn, first, id="e", digest="e", revoked_at=110.0)

    def listed(maker: str | None, slugs: list[str] | None, now: float = 150, **more: Any) -> str:
        return "".join(one.id for one in shares.listed(conn, maker, slugs, now, **more))

    assert listed(None, None) == "cba"
    assert listed(None, None, 149.9) == "dcba"
    assert listed(None, None, 200) == ""
    assert listed("alice", []) == "a"
    assert listed("bob", []) == "cb"
    assert listed(None, []) == ""
    assert listed("alice", ["s2"]) == "cba"
    assert listed("carol", ["s1"]) == "ba"
    assert listed("carol", ["s3"]) == ""
    assert listed(None, None, file_id=second) == "b"
    assert listed(None, None, source="s2") == "c"
    assert listed(None, None, source="s1") == ""
    assert listed(None, None, limit=2) == "cb"
    last = shares.get(conn, "b")
    assert last is not None
    assert listed(None, None, before=last.number) == "a"


def test_a_link_is_revoked_once_and_that_is_recorded(conn):
    first = insert_file(conn, 1, {"source_id": 1, "filename": "a"})
    _add(conn, first, max_downloads=2)
    _add(conn, id="two", digest="d2", kind="upload", source_id=3, max_files=4, max_bytes=5)
    assert shares.revoke(conn, "one", "bob", 120.0)
    assert not shares.revoke(conn, "one", "carol", 130.0)
    assert shares.revoke(conn, "two", None, 140.0)
    assert not shares.revoke(conn, "three", "bob", 120.0)
    rows = conn.execute(
        "SELECT id, revoked_at, revoked_by FROM datasette_files_shares ORDER BY number"
    ).fetchall()
    assert rows == [("one", 120.0, "bob"), ("two", 140.0, None)]
    terms = {"maker": "alice", "expires_at": "1970-01-01 00:03:20"}
    assert _audit(conn) == [
        ("share", first, 1, "one", {"filename": "a", **terms, "max_downloads": 2}),
        ("upload-link", None, 3, "two", {**terms, "max_files": 4, "max_bytes": 5}),
        ("revoke", first, 1, "one", {}),
        ("revoke", None, 3, "two", {}),
    ]


def test_downloads_count_until_the_link_has_none_left_or_ends(conn):
    first = insert_file(conn, 1, {"source_id": 1, "filename": "a"})
    link = _add(conn, first, max_downloads=2)
    other = _add(conn, first, id="two", digest="d2")

    def count(one: Share, now: float = 150) -> bool:
        return shares.count_download(conn, one, now, "download", [first])

    assert count(link)
    once = shares.get(conn, "one")
    assert once is not None
    assert not once.is_used_up
    assert [count(link), count(link)] == [True, False]
    used = shares.get(conn, "one")
    assert used is not None
    assert (used.downloads, used.is_used_up) == (2, True)
    assert (count(other, 200), count(other, 199.9)) == (False, True)
    shares.revoke(conn, "two", None, 160.0)
    assert not count(other)
    now = shares.get(conn, "two")
    assert now is not None
    assert (now.downloads, now.is_used_up) == (1, False)
    assert [row[3] for row in _audit(conn) if row[0] == "download"] == ["one", "one", "two"]


@pytest.mark.parametrize(
    "max_files, max_bytes, fits",
    [(None, None, True), (3, None, True), (2, None, False), (None, 24, True), (None, 23, False)],
)
def test_a_links_bounds_count_what_came_and_what_is_on_its_way(conn, max_files, max_bytes, fits):
    _add(conn, kind="upload", source_id=1, max_files=max_files, max_bytes=max_bytes)
    shares.count_upload(conn, "one", 10)
    for number, (state, reserved) in enumerate(
        (("prepared", 7), ("received", 7), ("completed", 99), ("expired", 99))
    ):
        row = {"id": f"u{number}", "path": f"p/{number}", "file_id": f"f{number}"}
        uploads.insert(conn, replace(_UPLOAD, **row, state=state, reserved=reserved), 100.0)
    uploads.insert(conn, replace(_UPLOAD, id="v", path="q", file_id="g", link="two"), 100.0)
    assert shares.within_bounds(conn, "one") is fits
    now = shares.get(conn, "one")
    assert now is not None
    assert (now.files, now.bytes) == (1, 10)


def test_a_link_without_uploads_is_within_its_bounds_and_an_unknown_one_never(conn):
    _add(conn, kind="upload", source_id=1, max_files=0, max_bytes=0)
    assert shares.within_bounds(conn, "one")
    shares.count_upload(conn, "one", 0)
    assert not shares.within_bounds(conn, "one")
    assert not shares.within_bounds(conn, "two")
