"""Folders and tags in the catalog: totals that triggers keep, and lists against a model."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import sqlite_utils
from hypothesis import given
from hypothesis import strategies as st

from datasette_files.db import files, folders, listing, search, streams, trash
from datasette_files.db.folders import Within
from datasette_files.db.migrations.folders import compose_folders
from datasette_files.db.streams import ListQuery
from tests.db.conftest import check_search_index, insert_file, new_catalog

_FOLDERS = st.sampled_from(["", "a", "a/b", "a/b/c", "a-b", "a0", "a.b/c", "Ä/ö", "%_/x"])
_TAGS = st.lists(st.sampled_from(["red", "Red", "grün", 'q"uote', "報告"]), unique=True, max_size=3)
_ROW = st.fixed_dictionaries(
    {
        "source_id": st.integers(1, 2),
        "folder": _FOLDERS,
        "tags": _TAGS.map(json.dumps),
        "size": st.none() | st.integers(0, 100),
        "filename": st.sampled_from(["AlphaBeta", "beta", "Gamma1"]),
        "content_type": st.sampled_from([None, "text/plain", "image/png"]),
        "uploaded_by": st.sampled_from([None, "alice"]),
    }
)
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), _ROW),
        st.tuples(st.just("update"), st.tuples(st.integers(0, 20), _ROW)),
        st.tuples(st.sampled_from(["delete", "trash", "restore", "index"]), st.integers(0, 20)),
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
            conn.execute(
                f"UPDATE datasette_files SET {', '.join(f'{name} = ?' for name in what[1])}"
                " WHERE id = ?",
                [*what[1].values(), ids[what[0] % len(ids)]],
            )
        elif ids and kind == "delete":
            files.delete(conn, ids.pop(what % len(ids)))
        elif ids and kind == "trash":
            trashed.append(ids.pop(what % len(ids)))
            trash.add(conn, trashed[-1], None, 0, 1)
        elif trashed and kind == "restore":
            ids.append(trashed.pop(what % len(trashed)))
            trash.restore(conn, ids[-1])
        elif kind == "index":
            search.index_due(conn)


def _above(folder: str) -> list[str]:
    parts = folder.split("/") if folder else []
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


@given(_STEPS)
def test_triggers_keep_the_totals_of_folders_and_tags_and_the_search_index(steps):
    with closing(new_catalog()) as conn:
        _apply(conn, steps)
        rows = conn.execute("SELECT source_id, folder, ifnull(size, 0), tags FROM datasette_files")
        expected: Counter[tuple[int, str]] = Counter()
        sizes: Counter[tuple[int, str]] = Counter()
        tags: Counter[tuple[int, str]] = Counter()
        for source_id, folder, size, tagged in rows:
            for one in _above(folder):
                expected[source_id, one] += 1
                sizes[source_id, one] += size
            tags.update((source_id, tag) for tag in json.loads(tagged))
        stored = conn.execute(
            """SELECT source_id, parent || CASE parent WHEN '' THEN '' ELSE '/' END || name,
            files, bytes FROM datasette_files_folders"""
        ).fetchall()
        assert {(row[0], row[1]): row[2:] for row in stored} == {
            key: (count, sizes[key]) for key, count in expected.items()
        }
        totals = conn.execute("SELECT * FROM datasette_files_tag_totals").fetchall()
        assert {(row[0], row[1]): row[2] for row in totals} == dict(tags)
        indexed = conn.execute("SELECT source_id, tag FROM datasette_files_tags").fetchall()
        assert Counter(map(tuple, indexed)) == tags
        check_search_index(conn)
        search.index_due(conn)
        check_search_index(conn)


@pytest.fixture
def filled(conn: sqlite3.Connection) -> sqlite3.Connection:
    names = ["", "a", "a/b", "a/b/c", "a-b", "a0", "b"]
    for number in range(400):
        tags = [
            tag for step, tag in ((3, "three"), (5, "five"), (50, "rare")) if number % step == 0
        ]
        row = {
            "source_id": 1 + number % 2,
            "folder": names[number % len(names)],
            "tags": json.dumps(tags),
            "size": number * 31 % 97,
            "filename": f"name {number * 7919 % 100}",
            "content_type": ("text/plain", "image/png", None)[number % 3],
            "uploaded_by": ("alice", None)[number % 2],
        }
        insert_file(conn, number, {**row, "created_at": f"2026-01-01 00:{number // 10 % 60:02}:00"})
    return conn


_PARTS = [
    Within(folder, recursive, tags)
    for folder in (None, "", "a", "a/b", "none")
    for recursive in (False, True)
    for tags in ((), ("three",), ("five", "three"), ("rare",), ("none",))
]
_FILTERS: list[dict[str, Any]] = [
    {},
    {"content_types": ("image/*",)},
    {"uploaded_by": "alice"},
    {"created_after": "2026-01-01 00:10:00", "created_before": "2026-01-01 00:30:00"},
]


@pytest.mark.parametrize("few", [0, 5_000], ids=["many", "few"])
@pytest.mark.parametrize("order", ["created_at", "filename", "size"])
def test_a_narrowed_list_is_the_whole_list_without_the_others(filled, order, few, monkeypatch):
    for name in ("MAX_SORTED", "_MAX_SORTED_IN_INDEX"):
        if few == 0:
            monkeypatch.setattr(streams, name, 10)
    for sources in ((1,), (1, 2)):
        for filters in _FILTERS:
            whole = ListQuery(sources, order, limit=1000, **filters)
            everything, _ = listing.page(filled, whole)
            for part in _PARTS:
                query = replace(whole, within=part)
                expected = [file.id for file in everything if part.has(file)]
                found, token = listing.page(filled, query)
                assert ([file.id for file in found], token) == (expected, None), (part, filters)
                assert listing.count(filled, query) == (len(expected), False)
                paged: list[str] = []
                small = replace(query, limit=40)
                while True:
                    found, token = listing.page(filled, small)
                    paged += [file.id for file in found]
                    if token is None:
                        break
                    small = replace(small, after=token)
                assert paged == expected, (part, filters)


def test_the_children_of_a_folder_are_bounded_and_counted(filled, monkeypatch):
    top, more = folders.children(filled, 1, "")
    assert [one.folder for one in top] == ["a", "a-b", "a0", "b"]
    assert not more
    assert folders.files_in(filled, 1, "a") == top[0].files
    assert [one.folder for one in folders.children(filled, 1, "a")[0]] == ["a/b"]
    monkeypatch.setattr(folders, "MAX_FOLDERS", 2)
    assert ([one.name for one in folders.children(filled, 1, "")[0]]) == ["a", "a-b"]
    assert folders.children(filled, 1, "")[1]


def test_rows_of_other_tools_are_in_the_top_folder_without_tags(conn):
    conn.execute(
        """INSERT INTO datasette_files (id, source_id, path, filename, content_type, size)
        VALUES ('df-1', 1, 'p', 'f', 'a/b', 3)"""
    )
    file = files.get(conn, "df-1")
    assert file is not None
    assert (file.folder, file.tags, file.crc32) == ("", (), None)
    found, _ = listing.page(conn, ListQuery((1,), within=Within("")))
    assert [one.id for one in found] == ["df-1"]


def test_folders_that_were_written_apart_are_composed(conn):
    names = ["für", unicodedata.normalize("NFD", "für"), "a"]
    for number, folder in enumerate(names, 1):
        insert_file(conn, number, {"source_id": 1, "filename": "f", "size": 1, "folder": folder})
    compose_folders(sqlite_utils.Database(conn))
    rows = conn.execute("SELECT name, files FROM datasette_files_folders ORDER BY name")
    assert rows.fetchall() == [("a", 1), ("für", 2)]
