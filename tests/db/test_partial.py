"""Parts of sources in lists and searches, against the same answer from plain SQL."""

from __future__ import annotations

import itertools
import random
import sqlite3
from collections.abc import Mapping
from dataclasses import replace

import pytest

from datasette_files.db import listing, partial, partial_hits, search, tokens
from datasette_files.db.partial import Part
from datasette_files.db.streams import ListQuery, Order
from datasette_files.errors import Invalid

_ROWS = 900


@pytest.fixture
def filled(conn: sqlite3.Connection) -> sqlite3.Connection:
    with conn:
        conn.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO datasette_files (id, source_id, path, filename, size, created_at)
            SELECT 'df-' || i, 1 + i % 3, 'p/' || i,
                CASE i % 5 WHEN 0 THEN 'rare' WHEN 1 THEN 'Common' ELSE 'common' END || ' ' || i,
                nullif(i * 31 % 97, 0),
                datetime('2026-01-01', (i * 7919 % 211) || ' minutes') FROM n""",
            (_ROWS,),
        )
    conn.row_factory = sqlite3.Row  # as Datasette's connections
    return conn


def _ids(source_id: int, share: float, beyond: tuple[str, ...] = ()) -> frozenset[str]:
    chance = random.Random(source_id)
    own = [f"df-{i}" for i in range(1, _ROWS + 1) if 1 + i % 3 == source_id]
    return frozenset([*chance.sample(own, int(len(own) * share)), *beyond])


# An id of another source, and one of no file at all: a rule about neither shows anything.
FEW = {1: Part(_ids(1, 0.1, ("df-1", "df-gone")))}
CASES: dict[str, tuple[tuple[int, ...], Mapping[int, Part]]] = {
    "a few files": ((), FEW),
    "many files": ((), {1: Part(_ids(1, 0.9)), 2: Part(_ids(2, 0.7))}),
    "all but some": ((), {1: Part(_ids(1, 0.3), only=False)}),
    "beside a whole source": ((2,), FEW),
    "every kind": ((3,), {1: Part(_ids(1, 0.5)), 2: Part(_ids(2, 0.2), only=False)}),
    "far back": ((), {1: Part(frozenset(f"df-{i}" for i in range(3, _ROWS // 2, 3)))}),
}
#: The order of a list as SQL, with its directions.
ORDERS: dict[Order, str] = {
    "created_at": "created_at {0}, seq {0}",
    "filename": "filename COLLATE NOCASE {0}, seq {0}",
    "size": "ifnull(size, -1) {0}, seq {0}",
}


def _expected(
    conn: sqlite3.Connection, whole: tuple[int, ...], partly: Mapping[int, Part], order: str
) -> list[str]:
    rows = conn.execute(f"SELECT id, source_id, filename FROM datasette_files ORDER BY {order}")
    return [
        row[0] for row in rows if row[1] in whole or (row[1] in partly and row[0] in partly[row[1]])
    ]


@pytest.fixture(params=["as it is", "few are many", "read little"])
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every way of reading do the work, whatever the sizes here."""
    if request.param != "as it is":
        monkeypatch.setattr(partial, "_FEW", 3)
        monkeypatch.setattr(partial_hits, "_MAX_PROBED", 2)
    if request.param == "read little":
        monkeypatch.setattr(partial, "_MARGIN", 0.3)
        monkeypatch.setattr(partial_hits, "_BATCH", 5)
        monkeypatch.setattr(partial_hits, "_MAX_COUNTED", 10)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("limits")
def test_a_list_shows_each_file_of_the_parts_once(filled: sqlite3.Connection, case: str) -> None:
    whole, partly = CASES[case]
    for order, descending in itertools.product(ORDERS, (True, False)):
        found: list[str] = []
        query = ListQuery(whole, order, descending, limit=37, parts=partly)
        token = None
        while True:
            files, token = listing.page(filled, replace(query, after=token))
            found += [file.id for file in files]
            if token is None:
                break
        sql = ORDERS[order].format("DESC" if descending else "ASC")
        expected = _expected(filled, whole, partly, sql)
        assert found == expected, (order, descending)
        total, truncated = listing.count(filled, query)
        assert total == len(expected) or (truncated and total <= len(expected))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("limits")
def test_a_search_finds_each_hit_of_the_parts_once(filled: sqlite3.Connection, case: str) -> None:
    whole, partly = CASES[case]
    names = dict(filled.execute("SELECT id, lower(filename) FROM datasette_files"))
    for q in ("rare", "com", "common 1", "nothing"):
        matching = search.Matching(
            search.match_expression(filled, q, list(whole)),
            search.match_expression(filled, q, list(partly)),
            partly,
        )
        found: list[str] = []
        token = None
        while True:
            files, token = search.page(filled, matching, token, 37)
            found += [file.id for file in files]
            if token is None:
                break
        *whole_words, beginning = q.split()
        expected = [
            one
            for one in _expected(filled, whole, partly, "seq DESC")
            if set(whole_words) <= set(names[one].split())
            and any(word.startswith(beginning) for word in names[one].split())
        ]
        assert found == expected, q
        total, truncated = search.count(filled, matching)
        assert total == len(expected) or (truncated and total <= len(expected))


def test_a_count_of_many_single_files_stops(
    filled: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partial, "_FEW", 50)
    monkeypatch.setattr(partial, "_MAX_COUNTED", 50)
    many = {1: Part(_ids(1, 1.0))}
    assert listing.count(filled, ListQuery((), parts=many)) == (50, True)
    assert listing.count(filled, ListQuery((2,), parts=FEW)) == (300 + 30, False)


def test_a_token_of_another_list_is_refused(filled: sqlite3.Connection) -> None:
    for value in (7, "rare"):
        token = tokens.encode_token("size asc", value, 1)
        with pytest.raises(Invalid):
            listing.page(filled, ListQuery((), after=token, parts=FEW))
    token = tokens.encode_token("created_at desc", 7, 1)
    with pytest.raises(Invalid):
        listing.page(filled, ListQuery((), after=token, parts=FEW))
