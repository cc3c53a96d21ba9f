"""Every list and search reads its index: no scan of the catalog, no sort of more than a page.

The statements are those that the functions really run, traced, and then explained by SQLite; with
the statistics of ANALYZE and without, since either may mislead its planner.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
from dataclasses import replace
from typing import Any

import pytest

from datasette_files.db import (
    files,
    folders,
    garbage,
    listing,
    partial,
    partial_hits,
    search,
    settings,
    streams,
    trash,
    unhashed,
    uploads,
)
from datasette_files.db.folders import Within
from datasette_files.db.partial import Part
from datasette_files.db.streams import ListQuery, Order

_SCAN = re.compile(r"^SCAN (f|u|g|t|datasette_files|datasette_files_(uploads|garbage|trash))\b")
_ROWS = 3_000

ORDERS: tuple[Order, ...] = ("created_at", "filename", "size")
FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"content_types": ("text/plain",)},
    {"content_types": ("image/*",)},
    {"content_types": ("image", "text/plain")},
    {"uploaded_by": "user3"},
    {"uploaded_by": "user3", "content_types": ("image/*",)},
)


@pytest.fixture(params=["analyzed", "fresh"])
def filled(conn: sqlite3.Connection, request: pytest.FixtureRequest) -> sqlite3.Connection:
    with conn:
        conn.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO datasette_files (id, source_id, path, filename, content_type, size,
                uploaded_by, created_at)
            SELECT 'df-' || i, 1 + i % 3, 'p/' || i, 'name ' || (i * 7919 % 1000) || '.txt',
                CASE i % 4 WHEN 0 THEN 'text/plain' WHEN 1 THEN 'image/png' WHEN 2 THEN 'image/gif'
                END, i * 31 % 977, nullif('user' || (i % 7), 'user0'),
                datetime('2026-01-01', (i / 5) || ' minutes') FROM n""",
            (_ROWS,),
        )
        conn.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
            INSERT INTO datasette_files_trash (seq, id, source_id, path, filename, created_at,
                trashed_at, trashed_by, purge_at)
            SELECT i, 'df-gone' || i, 1 + i % 3, 'gone/' || i, 'name gone', '2026-01-01', i,
                'user' || (i % 7), i FROM n"""
        )
    if request.param == "analyzed":
        conn.execute("ANALYZE")
    return conn


class _Traced:
    """The statements on the catalog that ran inside, with the values they had."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self.statements: list[str] = []

    def __enter__(self) -> _Traced:
        self._conn.set_trace_callback(self.statements.append)
        return self

    def __exit__(self, *exc: object) -> None:
        self._conn.set_trace_callback(None)

    def plans(self, table: str) -> list[list[str]]:
        """The plan of each of them that reads the table."""
        reading = [s for s in self.statements if re.search(rf"(FROM|JOIN) {table}\b", s)]
        assert reading, self.statements
        return [
            [row[3] for row in self._conn.execute(f"EXPLAIN QUERY PLAN {statement}")]
            for statement in reading
        ]


def _check(plans: list[list[str]], sorts: bool = False) -> None:
    for plan in plans:
        assert not [step for step in plan if _SCAN.match(step)], plan
        assert sorts or not [step for step in plan if "TEMP B-TREE" in step], plan


@pytest.mark.parametrize("sources", [(1,), (1, 2, 3)])
@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("order", ORDERS)
def test_every_page_of_a_list_is_an_index_seek(filled, order, descending, sources):
    for filters, merged in itertools.product(FILTERS, (True, False)):
        query = ListQuery(sources, order, descending, **filters)
        with pytest.MonkeyPatch.context() as patch, _Traced(filled) as traced:
            if not merged:
                patch.setattr(streams, "_MAX_STREAMS", 0)
            found, token = listing.page(filled, query)
            assert len(found) == query.limit
            assert token is not None
            listing.page(filled, replace(query, after=token))
            listing.count(filled, query)
        _check(traced.plans("datasette_files"))


def _steps(conn: sqlite3.Connection, query: ListQuery) -> int:
    """How many thousands of SQLite's instructions a page takes."""
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    conn.set_progress_handler(count, 1000)
    listing.page(conn, query)
    conn.set_progress_handler(None, 0)
    return steps


@pytest.mark.parametrize("descending", [True, pytest.param(False, marks=pytest.mark.full)])
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.full
def test_a_deep_page_costs_what_the_first_does(filled, order, descending):
    for filters in FILTERS:
        query = ListQuery((1, 2, 3), order, descending, **filters)
        first, deepest = _steps(filled, query), query
        while (token := listing.page(filled, deepest)[1]) is not None:
            deepest = replace(query, after=token)
        assert _steps(filled, deepest) <= 3 * first + 3, filters


@pytest.mark.parametrize("order", ORDERS)
def test_a_list_within_a_span_of_time_sorts_no_more_than_a_bounded_count(filled, order):
    span = {"created_after": "2026-01-01 01:00:00", "created_before": "2026-01-01 03:00:00"}
    for filters in FILTERS:
        query = ListQuery((1, 2), order, **filters, **span)
        with _Traced(filled) as traced:
            listing.page(filled, query)
            listing.count(filled, query)
        _check(traced.plans("datasette_files"), sorts=True)
    with pytest.MonkeyPatch.context() as patch, _Traced(filled) as traced:
        patch.setattr(streams, "MAX_SORTED", 10)
        listing.page(filled, ListQuery((1, 2), order, **span))
    _check(traced.plans("datasette_files"))


@pytest.mark.parametrize("order", ORDERS)
def test_a_list_of_a_folder_or_of_tags_reads_an_index(filled, order):
    """A list of one folder sorts nothing; one of a subtree or of a rare tag sorts its own rows."""
    with filled:
        filled.execute(
            """UPDATE datasette_files SET folder = 'd' || (seq % 5) || '/e' || (seq % 25),
            tags = iif(seq % 3, '[]', '["red", "t' || (seq % 7) || '"]')"""
        )
    level = Within("d1/e1")
    subtree, tagged = Within("d1", recursive=True), Within(tags=("red", "t3"))
    for part, filters in itertools.product((level, subtree, tagged), FILTERS):
        query = ListQuery((1, 2, 3), order, within=part, limit=10, **filters)
        with _Traced(filled) as traced:
            found, token = listing.page(filled, query)
            assert found
            if token is not None:
                listing.page(filled, replace(query, after=token))
            listing.count(filled, query)
            listing.tag_counts(filled, query)
        _check(traced.plans("datasette_files"), sorts=part is not level)
    with _Traced(filled) as traced:
        folders.children(filled, 1, "")
        folders.files_in(filled, 1, "d1/e1")
    for plan in traced.plans("datasette_files_folders"):
        assert all(step.startswith("SEARCH") for step in plan), plan
    with _Traced(filled) as traced:
        unhashed.without_crc32(filled, 1, 10)
        unhashed.queue_more(filled, 1, 10)
    _check(traced.plans("datasette_files"))


@pytest.mark.parametrize("sources", [None, [1], [1, 3]])
@pytest.mark.parametrize("q", ["name", "nam", "name 7", "name txt 12"])
@pytest.mark.full
def test_a_search_reads_the_search_index_in_its_order(filled, q, sources):
    expression = search.match_expression(filled, q, sources)
    assert expression is not None
    with _Traced(filled) as traced:
        matching = search.Matching(expression)
        found, token = search.page(filled, matching, None, 5)
        assert found
        if token is not None:
            search.page(filled, matching, token, 5)
        search.count(filled, search.Matching(expression))
        search.has_other_sources(filled, [1])
    _check(traced.plans("datasette_files_fts"))


@pytest.mark.parametrize("few", [True, False])
def test_a_part_of_a_source_is_read_by_its_indexes(filled, few, monkeypatch):
    if not few:
        monkeypatch.setattr(partial, "_FEW", 3)
        monkeypatch.setattr(partial_hits, "_MAX_PROBED", 3)
        monkeypatch.setattr(partial_hits, "_BATCH", 10)
        monkeypatch.setattr(partial_hits, "_MAX_COUNTED", 50)
    ids = frozenset(f"df-{i}" for i in range(3, _ROWS, 9))
    seen = {1: Part(ids), 2: Part(frozenset({"df-4"}), only=False)}
    only = {1: Part(ids)}
    matching = search.Matching(
        None, search.match_expression(filled, "name", [1]), {1: Part(frozenset(sorted(ids)[:9]))}
    )
    with _Traced(filled) as traced:
        for one, order in itertools.product((seen, only), ORDERS):
            query = ListQuery((3,), order, parts=one)
            _, token = listing.page(filled, query)
            listing.page(filled, replace(query, after=token))
            listing.count(filled, query)
        found, token = search.page(filled, matching, None, 5)
        assert len(found) == 5
        search.page(filled, matching, token, 5)
        search.count(filled, matching)
        files.outside(filled, ["df-17", "df-18"], ["s1"])
        files.batch_json(filled, ["df-17", "df-18"], ["s1"], "/", ["df-18"])
    plans = traced.plans("datasette_files")
    # Only the keys of a few looked up ids are sorted.
    by_id = [plan for plan in plans if any(step.startswith("SCAN wanted") for step in plan)]
    _check([plan for plan in plans if plan not in by_id])
    _check(by_id, sorts=True)
    _check(traced.plans("datasette_files_fts"))


def test_look_ups_by_id_and_by_time_are_index_seeks(filled):
    with _Traced(filled) as traced:
        files.get(filled, "df-17")
        files.batch_json(filled, ["df-17", "df-18"], ["s1"], "/")
    _check(traced.plans("datasette_files"))
    with _Traced(filled) as traced:
        files.contents(filled, 1)
    plans = traced.plans("datasette_files_totals")
    assert not [step for plan in plans for step in plan if step.startswith("SCAN")], plans
    with _Traced(filled) as traced:
        uploads.get(filled, "x")
        uploads.any_due(filled, 0)
        uploads.expire(filled, 0, 0, 10)
    _check(traced.plans("datasette_files_uploads"))
    with _Traced(filled) as traced:
        garbage.due(filled, 0, ["s1", "s2", "s3"], 10)
        garbage.deleted_by(filled, "df-17")
        garbage.purge(filled, 0)
    _check(traced.plans("datasette_files_garbage"))


def test_the_trash_is_read_by_its_indexes(filled):
    scopes = [trash.Scope(1), trash.Scope(2, "user3")]
    with _Traced(filled) as traced:
        found, token = trash.page(filled, scopes, None, 20)
        assert len(found) == 20
        trash.page(filled, scopes, token, 20)
        trash.count(filled, scopes)
        assert len(trash.due(filled, 1, 400.0, 20)) == 20
        trash.holds_any(filled, [1, 2])
        trash.get(filled, "df-gone3")
        garbage.ensure(filled, 1, "gone/3")
        garbage.due(filled, 0, ["s1", "s2"], 10)
        assert trash.restore(filled, "df-gone3") is not None
        assert trash.purge(filled, "df-gone6", None) is not None
    _check(traced.plans("datasette_files_trash"))


def test_no_statement_about_files_looks_into_the_trash(filled):
    """So the trash cannot make one slower, and none can forget to leave it out."""
    with _Traced(filled) as traced:
        files.get(filled, "df-17")
        files.batch_json(filled, ["df-17"], ["s1"], "/")
        files.contents(filled, 1)
        for order, filters in itertools.product(ORDERS, FILTERS):
            query = ListQuery((1, 2), order, **filters)
            listing.page(filled, query)
            listing.count(filled, query)
        expression = search.match_expression(filled, "name", [1])
        assert expression is not None
        search.page(filled, search.Matching(expression), None, 5)
        search.count(filled, search.Matching(expression))
    assert [s for s in traced.statements if "datasette_files_trash" in s] == []


def test_the_version_of_the_settings_is_one_seek(filled):
    settings.record(filled, 1, None, 0, [("label", None, "x")] * 20, is_reset=False)
    for statement in ("version", "source_version", "overrides", "changes"):
        arguments = {"version": (), "changes": (1, 5)}.get(statement, (1,))
        with _Traced(filled) as traced:
            getattr(settings, statement)(filled, *arguments)
        for plan in traced.plans("datasette_files_settings(_changes)?"):
            assert all(step.startswith("SEARCH") for step in plan), plan
