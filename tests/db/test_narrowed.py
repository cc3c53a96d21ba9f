"""Searches with filters and orders, and by letters, find what is left of the list, page by page."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from datasette_files.db import letters, listing, narrowed, search
from datasette_files.db.folders import Within
from datasette_files.db.partial import Part
from datasette_files.db.streams import ListQuery
from tests.db.conftest import insert_file

_FILTERS: list[dict[str, Any]] = [
    {"content_types": ("image/*",)},
    {"uploaded_by": "alice", "within": Within("a", recursive=True)},
    {"created_after": "2026-01-01 00:10:00", "created_before": "2026-01-01 00:30:00"},
    {"within": Within("a/b", tags=("third",))},
    {"content_types": ("pdf",)},
    {},
]
_SEEN: list[dict[str, Any]] = [
    {"source_ids": (1, 2)},
    {"source_ids": (1,), "parts": {2: Part(frozenset(f"df-{n:026}" for n in range(0, 300, 7)))}},
    {
        "source_ids": (),
        "parts": {
            1: Part(frozenset({"df-" + "0" * 26}), only=False),
            2: Part(frozenset(f"df-{n:026}" for n in range(1, 90))),
        },
    },
    {"source_ids": (), "parts": {2: Part(frozenset(f"df-{n:026}" for n in range(290)))}},
]


@pytest.fixture
def filled(conn: sqlite3.Connection) -> sqlite3.Connection:
    for number in range(300):
        row = {
            "source_id": 1 + number % 3,
            "folder": ("", "a", "a/b", "b")[number % 4],
            "tags": '["third"]' if number % 3 == 0 else "[]",
            "size": number * 31 % 97,
            "filename": f"{('report', 'note')[number % 2]} {number * 7919 % 100}",
            "content_type": ("text/plain", "image/png", None)[number % 5 % 3],
            "uploaded_by": ("alice", None)[number % 2],
            "created_at": f"2026-01-01 00:{number // 10 % 60:02}:00",
        }
        insert_file(conn, number, row)
    return conn


@pytest.mark.parametrize("few", [0, 5_000], ids=["many", "few"])
@pytest.mark.parametrize("seen", _SEEN, ids=["whole", "part", "parts", "only"])
def test_every_page_and_count_is_right(filled, few, seen, monkeypatch):
    monkeypatch.setattr(narrowed, "_FEW", few)
    sources = [*seen["source_ids"], *seen.get("parts", {})]
    expression = search.match_expression(filled, "rep", sources)
    assert expression is not None
    for filters in _FILTERS:
        for order, descending in (("created_at", True), ("size", False), ("filename", True)):
            query = ListQuery(order=order, descending=descending, limit=1000, **seen, **filters)
            everything, _ = listing.page(filled, query)
            hits = [file.id for file in everything if file.filename.startswith("report")]
            made = narrowed.narrow(filled, expression, query)
            assert narrowed.count(filled, made) == (len(hits), False)
            tagged = sum("third" in file.tags for file in everything if file.id in hits)
            assert narrowed.tag_counts(filled, made) == ([("third", tagged)] if tagged else [])
            paged: list[str] = []
            token = None
            while True:
                small = replace(made, query=replace(query, limit=7, after=token))
                found, token = narrowed.page(filled, small)
                paged += [file.id for file in found]
                if token is None:
                    break
            assert paged == hits, (filters, order)


@pytest.mark.parametrize("few", [0, 5_000], ids=["many", "few"])
@pytest.mark.parametrize("most", [0, 250, 200_000])
@pytest.mark.parametrize("seen", _SEEN, ids=["whole", "part", "parts", "only"])
def test_every_page_by_letters_is_right(filled, few, most, seen, monkeypatch):
    monkeypatch.setattr(letters, "_FEW", few)
    monkeypatch.setattr(letters, "MAX_EXAMINED", most)
    for filters in _FILTERS:
        for order, descending in (("created_at", True), ("size", False), ("filename", True)):
            query = ListQuery(order=order, descending=descending, limit=1000, **seen, **filters)
            everything, _ = listing.page(filled, query)
            hits = [file.id for file in everything if file.filename.startswith("report")]
            page = letters.page(filled, query, "EPOR")
            if page is None:
                assert not everything or most == 0
                continue
            assert page.letters is not None
            if page.letters.complete:
                assert [file.id for file in page.files] == hits, (filters, order)
                assert page.letters.examined >= len(everything)
            else:
                assert page.letters.examined <= most
                kept = {file.id for file in page.files}
                assert [file.id for file in page.files] == [one for one in hits if one in kept]
                assert kept or filters
            assert (page.total, page.total_truncated) == (len(page.files), False)
            paged: list[str] = []
            token = None
            while True:
                small = letters.page(filled, replace(query, limit=7, after=token), "EPOR")
                assert small is not None
                paged += [file.id for file in small.files]
                if (token := small.next) is None:
                    break
            assert paged == [file.id for file in page.files], (filters, order)


def test_a_file_is_asked_for_the_filters(filled):
    query = ListQuery((1,), content_types=("image/*",), parts={2: Part(frozenset({"df-x"}))})
    everything, _ = listing.page(filled, replace(query, limit=1000))
    ids = {file.id for file in everything}
    for number in range(300):
        one = f"df-{number:026}"
        assert listing.has(filled, query, one) is (one in ids)
