"""The schema keeps by itself: the search index, the totals, and both over a VACUUM."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.db import files, schema, trash
from datasette_files.db.migrations.registry import CORE_COLUMNS
from datasette_files.models import FileRecord
from tests.conftest import upload
from tests.db.conftest import check_search_index, insert_file, new_catalog

_TEXT = st.sampled_from(["", "alpha", "beta gamma", "Ünïcode", "a'b\"c", "日本語"])
_ROW = st.fixed_dictionaries(
    {
        "source_id": st.integers(1, 3),
        "filename": _TEXT,
        "content_type": st.sampled_from([None, "text/plain", "image/png", "Image/PNG"]),
        "size": st.none() | st.integers(0, 10**12),
        "uploaded_by": st.sampled_from([None, "", "alice", "bob"]),
        "search_text": st.none() | _TEXT,
    }
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), _ROW),
        st.tuples(st.just("update"), st.tuples(st.integers(0, 20), _ROW)),
        st.tuples(st.just("text"), st.tuples(st.integers(0, 20), _TEXT)),
        st.tuples(st.just("delete"), st.integers(0, 20)),
        st.tuples(st.just("trash"), st.integers(0, 20)),
        st.tuples(st.just("restore"), st.integers(0, 20)),
    ),
    max_size=25,
)


def _apply(conn: sqlite3.Connection, steps: list[tuple[str, Any]]) -> None:
    ids: list[str] = []
    trashed: list[str] = []
    for number, (kind, what) in enumerate(steps):
        if kind == "insert":
            ids.append(insert_file(conn, number, what))
        elif ids and kind == "update":
            assignments = ", ".join(f"{column} = ?" for column in what[1])
            conn.execute(
                f"UPDATE datasette_files SET {assignments} WHERE id = ?",
                [*what[1].values(), ids[what[0] % len(ids)]],
            )
        elif ids and kind == "text":
            file = files.get(conn, ids[what[0] % len(ids)])
            assert file is not None
            files.change(conn, file, replace(file, search_text=what[1]), ["search_text"])
        elif ids and kind == "delete":
            assert files.delete(conn, ids.pop(what % len(ids))) is not None
        elif ids and kind == "trash":
            trashed.append(ids.pop(what % len(ids)))
            assert trash.add(conn, trashed[-1], "alice", 0, 1) is not None
        elif trashed and kind == "restore":
            ids.append(trashed.pop(what % len(trashed)))
            assert trash.restore(conn, ids[-1]) is not None


def _totals(conn: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return conn.execute("SELECT * FROM datasette_files_totals ORDER BY 1, 2, 3").fetchall()


def _recount(conn: sqlite3.Connection) -> list[tuple[Any, ...]]:
    return conn.execute(
        """SELECT source_id, ifnull(uploaded_by, ''), ifnull(content_type, ''), count(*),
            sum(ifnull(size, 0)) FROM datasette_files GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
    ).fetchall()


@given(_STEPS)
def test_triggers_keep_the_search_index_and_the_totals(steps):
    with closing(new_catalog()) as conn:
        _apply(conn, steps)
        check_search_index(conn)
        assert _totals(conn) == _recount(conn)
        by_source = files.totals(conn, [1, 2, 3])
        for source_id, total in by_source.items():
            count, size = conn.execute(
                "SELECT count(*), sum(ifnull(size, 0)) FROM datasette_files WHERE source_id = ?",
                (source_id,),
            ).fetchone()
            assert (total.files, total.bytes) == (count, size)


def test_the_check_of_the_search_index_sees_a_missing_trigger(conn):
    insert_file(conn, 1, {"source_id": 1, "filename": "alpha"})
    check_search_index(conn)
    conn.execute("DROP TRIGGER datasette_files_au")
    conn.execute("UPDATE datasette_files SET filename = 'beta'")
    with pytest.raises(sqlite3.DatabaseError):
        check_search_index(conn)


def test_an_undone_insert_leaves_index_and_totals_alone(conn):
    insert_file(conn, 1, {"source_id": 1, "filename": "alpha"})
    conn.commit()
    before = _totals(conn)
    with pytest.raises(sqlite3.IntegrityError):
        insert_file(conn, 1, {"source_id": 1, "filename": "beta"})
    insert_file(conn, 2, {"source_id": 1, "filename": "gamma"})
    conn.rollback()
    check_search_index(conn)
    assert _totals(conn) == before


def test_a_file_and_its_path_exist_once(conn):
    def record(**other: Any) -> FileRecord:
        values = dict.fromkeys(CORE_COLUMNS)
        values |= {"id": "df-1", "source_id": 1, "path": "p", "filename": "f"}
        values |= {"created_at": "2026-01-01 00:00:00", "source_slug": "s1"}
        return FileRecord(**(values | other))

    files.insert(conn, record())
    for other in ({"id": "df-2"}, {"path": "q"}):
        with pytest.raises(sqlite3.IntegrityError):
            files.insert(conn, record(**other))
    files.insert(conn, record(id="df-2", source_id=2))


async def _found(datasette: Any, q: str) -> list[str]:
    answer = (await datasette.client.get(f"/-/files/search.json?q={q}")).json()
    return [file["filename"] for file in answer["files"]]


async def test_a_vacuum_does_not_break_search(datasette, tmp_path):
    """With gaps in the keys, which a VACUUM closes where it may renumber rows."""
    for number in range(12):
        record = await upload(datasette, b"x", f"report-{number}.txt")
        if number % 3:
            assert (await datasette.client.delete(record["url"])).status_code == 204
    with closing(sqlite3.connect(tmp_path / "internal.db")) as other:
        other.execute("VACUUM")
    for number in range(0, 12, 3):
        assert await _found(datasette, f"report-{number}.txt") == [f"report-{number}.txt"]
    await upload(datasette, b"x", "after.txt")
    assert await _found(datasette, "after") == ["after.txt"]
    with closing(sqlite3.connect(tmp_path / "internal.db")) as other:
        check_search_index(other)
        other.execute("UPDATE datasette_files SET search_text = 'all'")
        check_search_index(other)


_READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM datasette_files").fetchone()
print("reading", flush=True)
sys.stdin.read()
"""


def test_a_start_beside_a_reading_process_goes_on_without_write_ahead_logging(
    conn, tmp_path, caplog
):
    assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert conn.execute("PRAGMA journal_mode = DELETE").fetchone() == ("delete",)
    reader = subprocess.Popen(
        [sys.executable, "-c", _READER, str(tmp_path / "internal.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
        schema.prepare(conn)
    finally:
        reader.communicate()
    assert any("write-ahead" in message for message in caplog.messages)
    assert conn.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert conn.execute("PRAGMA synchronous").fetchone() == (2,)
    insert_file(conn, 1, {"source_id": 1, "filename": "alpha"})
    conn.commit()
    schema.prepare(conn)
    assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)
