"""The audit's table: it takes entries and gives none back but to the retention; its pages."""

from __future__ import annotations

import sqlite3
import time

import pytest

from datasette_files.db import audit, audit_pages, files
from datasette_files.db.audit import By, Note, acting
from datasette_files.db.audit_pages import Wanted
from tests.db.conftest import insert_file

_DAY = 24 * 3600.0


def add(conn: sqlite3.Connection, source_id: int, at: float, actor: str = "ann") -> None:
    """An upload into a source."""
    one = Note(at, By("http", actor), "upload", f"df-{at:.0f}", source_id, None, {})
    with conn:
        audit.add(conn, one)


def ids(conn: sqlite3.Connection, wanted: Wanted, sources: list[int], limit: int = 3) -> list[int]:
    """The ids of every page, one after the other; the pages hold at most ``limit`` each."""
    found: list[int] = []
    end = None
    while True:
        page, end = audit_pages.page(conn, wanted, sources, end, limit)
        assert len(page) <= limit
        found += [one.id for one in page]
        if end is None:
            return found


def test_an_entry_is_neither_changed_nor_deleted(conn: sqlite3.Connection) -> None:
    add(conn, 1, time.time())
    for statement in (
        "UPDATE datasette_files_audit SET actor = 'bob'",
        "DELETE FROM datasette_files_audit",
        "DELETE FROM datasette_files_audit WHERE id = 1",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"), conn:
            conn.execute(statement)
    assert ids(conn, Wanted(), [1, 2, 3]) == [1]


def test_the_retention_deletes_what_is_old_and_the_last_entry_stays(
    conn: sqlite3.Connection,
) -> None:
    for at in (100, 200, 300):
        add(conn, 1, at)
    assert audit.any_due(conn, 101)
    assert not audit.any_due(conn, 100)
    with conn:
        assert not audit.forget(conn, 250)
    assert ids(conn, Wanted(), [1, 2, 3]) == [3]
    with conn:
        audit.forget(conn, 1000)
    assert not audit.any_due(conn, 1000)
    # Else the next entry would get an id that a page's token names already.
    assert ids(conn, Wanted(), [1, 2, 3]) == [3]
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), conn:
        conn.execute("DELETE FROM datasette_files_audit")


def test_a_change_that_is_undone_takes_its_entry_along(conn: sqlite3.Connection) -> None:
    with conn:
        file_id = insert_file(conn, 1, {"source_id": 1, "filename": "a.txt"})
    file = files.get(conn, file_id)
    assert file is not None
    with pytest.raises(ZeroDivisionError), conn:
        files.delete(conn, file_id)
        raise ZeroDivisionError
    assert files.get(conn, file_id) == file
    assert ids(conn, Wanted(), [1, 2, 3]) == []
    with conn, acting(By("http", "ann")):
        files.delete(conn, file_id)
    (entry,), _ = audit_pages.page(conn, Wanted(), [1], None, 10)
    assert (entry.actor, entry.via, entry.action, entry.source) == ("ann", "http", "delete", "s1")
    assert entry.detail == {"filename": "a.txt", "outcome": "purged"}


def test_an_entry_names_a_files_link_only_if_the_link_was_used(conn: sqlite3.Connection) -> None:
    with conn:
        row = {"source_id": 1, "filename": "a.txt", "upload_link": "up-1"}
        file = files.get(conn, insert_file(conn, 1, row))
        assert file is not None
        for by in (By("http", "ann"), By("link")):
            with acting(by):
                audit.of_file(conn, "download", file)
    entries, _ = audit_pages.page(conn, Wanted(), [1], None, 10)
    assert [(one.via, one.link) for one in entries] == [("link", "up-1"), ("http", None)]


@pytest.mark.parametrize("sources", [[1, 2, 3], [1, 3], [2]])
@pytest.mark.parametrize("looked", [4, 20_000])
def test_pages_hold_every_entry_of_the_sources_once(
    conn: sqlite3.Connection, sources: list[int], looked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A page that looks at few entries has to go on below the one that it looked at last.
    monkeypatch.setattr(audit_pages, "_LOOKED", looked)
    # Of a source that is in no answer, and of one that has few among many.
    for number in range(60):
        add(conn, (1, 2, 1, 1, 3)[number % 5], number * _DAY, "bob" if number % 7 == 0 else "ann")
    rows = conn.execute("SELECT id, source_id, actor, at, file_id FROM datasette_files_audit")
    entries = [row for row in rows if row[1] in sources][::-1]
    assert ids(conn, Wanted(), sources) == [row[0] for row in entries]
    assert ids(conn, Wanted(actor="bob"), sources) == [r[0] for r in entries if r[2] == "bob"]
    assert ids(conn, Wanted(action="purge"), sources) == []
    middle = Wanted(after=20 * _DAY, before=40 * _DAY)
    among = [row[0] for row in entries if 20 * _DAY <= row[3] < 40 * _DAY]
    assert ids(conn, middle, sources) == among
    file_id = entries[3][4]
    assert ids(conn, Wanted(file_id=file_id), sources) == [entries[3][0]]


def test_a_file_of_another_source_is_in_no_page(conn: sqlite3.Connection) -> None:
    add(conn, 1, 100)
    assert ids(conn, Wanted(file_id="df-100"), [1]) == [1]
    assert ids(conn, Wanted(file_id="df-100"), [2, 3]) == []
    # An entry without a source belongs to nobody who asks.
    with conn:
        audit.add(conn, audit.note("revoke", None, {}, file_id="df-100"))
    assert ids(conn, Wanted(file_id="df-100"), [1, 2, 3]) == [1]


def test_a_clock_that_was_set_back_hides_nothing(conn: sqlite3.Connection) -> None:
    for at in (10 * _DAY, 10 * _DAY + 100, 10 * _DAY - 3600, 10 * _DAY + 200):
        add(conn, 1, at)
    assert ids(conn, Wanted(after=10 * _DAY - 4000, before=10 * _DAY), [1, 2, 3]) == [3]
    assert ids(conn, Wanted(after=10 * _DAY + 100), [1]) == [4, 2]


@pytest.mark.parametrize("sources", [[1, 2, 3], [1, 3]])
def test_pages_read_an_index_or_the_newest_rows(
    conn: sqlite3.Connection, sources: list[int]
) -> None:
    for number in range(50):
        add(conn, 1 + number % 3, number)
    seen: list[str] = []
    conn.set_trace_callback(seen.append)
    for wanted in (Wanted(), Wanted(actor="ann"), Wanted(file_id="df-7"), Wanted(after=5)):
        audit_pages.page(conn, wanted, sources, None, 10)
    conn.set_trace_callback(None)
    plans = [
        row[3]
        for statement in seen
        if "datasette_files_audit" in statement and "detail" in statement
        for row in conn.execute(f"EXPLAIN QUERY PLAN {statement}")
    ]
    assert any("datasette_files_audit" in one for one in plans)
    assert not [one for one in plans if one.startswith("SCAN datasette_files_audit")]
    assert not [one for one in plans if "TEMP B-TREE" in one]
