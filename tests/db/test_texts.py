"""The text of a file, from its queue to its end: claims, removal, and the index with it."""

from __future__ import annotations

import sqlite3

from datasette_files.db import text_hits, text_search, texts
from datasette_files.db.migrations import FILE_COLUMNS
from datasette_files.db.text_search import TextQuery

from .conftest import insert_file

_ALL = frozenset((1, 2, 3))


def _files(conn: sqlite3.Connection, q: str, before: int | None = None) -> list[int]:
    made = text_search.expression(conn, q)
    assert made is not None
    return text_search.newest(conn, TextQuery(made, _ALL, {}), before, 100).seqs


def test_a_writer_whose_file_is_gone_writes_nothing_more(conn: sqlite3.Connection) -> None:
    file_id = insert_file(conn, 1, {"source_id": 1, "filename": "a.txt", "size": 1})
    (one,) = texts.due(conn, 1, 0, 10)
    assert texts.due(conn, 2, 0, 10) == []
    assert texts.claim(conn, one, "me")
    assert texts.add(conn, one, "me", 0, [(1, "first words"), (2, "second words")])
    assert not texts.add(conn, one, "another", 2, [(3, "third")])
    assert _files(conn, "words") == [one.seq]
    names = ", ".join(FILE_COLUMNS)
    row = conn.execute(
        f"SELECT seq, {names} FROM datasette_files WHERE id = ?", (file_id,)
    ).fetchone()
    conn.execute("DELETE FROM datasette_files WHERE id = ?", (file_id,))
    assert _files(conn, "words") == []
    # Restored with the same id and seq: what the writer had begun is not completed by it.
    marks = ", ".join("?" * len(row))
    conn.execute(f"INSERT INTO datasette_files (seq, {names}) VALUES ({marks})", row)
    assert not texts.add(conn, one, "me", 2, [(3, "third")])
    assert not texts.finish(conn, one.seq, "me", texts.Outcome("done", pages=3))
    assert [due.seq for due in texts.due(conn, 1, 0, 10)] == [one.seq]
    assert conn.execute("SELECT count(*) FROM datasette_files_pages").fetchone()[0] == 0


def test_files_come_newest_first_and_once_however_many_pages_match(
    conn: sqlite3.Connection,
) -> None:
    for number in range(1, 6):
        insert_file(conn, number, {"source_id": 1, "filename": "a.txt", "size": 1})
    for one in texts.due(conn, 1, 0, 10):
        texts.claim(conn, one, "me")
        pages = [(page, f"common words {one.seq}") for page in range(1, 451)]
        assert texts.add(conn, one, "me", 0, pages)
        assert texts.finish(conn, one.seq, "me", texts.Outcome("done", pages=450))
    assert _files(conn, "common") == [5, 4, 3, 2, 1]
    assert _files(conn, "wor", before=4) == [3, 2, 1]
    assert _files(conn, "common 2") == [2]
    made = text_search.expression(conn, "common")
    assert made is not None
    # Many hits, of these files and of others, lie between those that are shown.
    shown = text_hits.hits(conn, made, [5, 3], 2, after=10)
    assert list(shown) == [5, 3]
    for seq, found in shown.items():
        assert [(hit.page, hit.snippet, hit.marks) for hit in found] == [
            *((page, f"common words {seq}", [(0, 6)]) for page in (11, 12)),
        ]
    texts.requeue(conn, 1, "done", -1)
    (*_, oldest) = texts.due(conn, 1, 0, 10)
    assert texts.claim(conn, oldest, "me")
    while texts.remove_some(conn, oldest.seq, "me"):
        pass
    assert _files(conn, "common") == [5, 4, 3, 2]


def test_the_index_is_asked_for_the_hits_of_all_files_at_once(conn: sqlite3.Connection) -> None:
    for number in range(1, 21):
        insert_file(conn, number, {"source_id": 1, "filename": "a.txt", "size": 1})
    for one in texts.due(conn, 1, 0, 20):
        texts.claim(conn, one, "me")
        # A long page is several rows.
        words = "rare" if one.seq == 7 else "common"
        assert texts.add(conn, one, "me", 0, [(page // 2, words) for page in range(2, 12)])
        assert texts.finish(conn, one.seq, "me", texts.Outcome("done", pages=5))
    asked: list[str] = []
    conn.set_trace_callback(asked.append)
    shown = text_hits.hits(conn, "common", range(1, 21))
    conn.set_trace_callback(None)
    assert len([one for one in asked if "MATCH" in one]) == 2
    assert {seq: [hit.page for hit in found] for seq, found in shown.items()} == {
        seq: [] if seq == 7 else [1, 2, 3] for seq in range(1, 21)
    }


def test_a_page_of_very_many_rows_does_not_hide_the_pages_behind_it(
    conn: sqlite3.Connection,
) -> None:
    insert_file(conn, 1, {"source_id": 1, "filename": "a.txt", "size": 1})
    (one,) = texts.due(conn, 1, 0, 10)
    assert texts.claim(conn, one, "me")
    rows = [*((1, "common") for _ in range(300)), (2, "common"), (3, "common")]
    assert texts.add(conn, one, "me", 0, rows)
    assert [hit.page for hit in text_hits.hits(conn, "common", [1])[1]] == [1, 2, 3]


def test_only_the_text_of_the_named_extractors_is_queued_again(conn: sqlite3.Connection) -> None:
    for number in (1, 2):
        insert_file(conn, number, {"source_id": 1, "filename": "a.txt", "size": 1})
        (one,) = texts.due(conn, 1, 0, 10)
        assert texts.claim(conn, one, "me")
        assert texts.finish(conn, one.seq, "me", texts.Outcome("done", extractor=f"pdf {number}"))
    assert texts.requeue(conn, 1, "done", -1, {"pdf 1"}) == 2
    assert [one.seq for one in texts.due(conn, 1, 0, 10)] == [1]
