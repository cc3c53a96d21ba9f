"""What rules come to, as SQL: the most specific wins, then a denial, within a token's limits."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from datasette_files.db.partial import Part
from datasette_files.permissions.grants import Grant
from datasette_files.permissions.sight import Scope, Sight
from datasette_files.permissions.verdicts import FileRules, Limits

#: ``(source, file, whether it is allowed)``; None stands for any.
Rule = tuple[str | None, str | None, int]


@pytest.fixture
def conn() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        yield connection


def _listed(*rows: tuple[object, ...], names: tuple[str, ...]) -> str:
    columns = ", ".join(f"column{number} AS {name}" for number, name in enumerate(names, 1))
    values = ", ".join(
        f"({', '.join('NULL' if value is None else repr(value) for value in row)})" for row in rows
    )
    return f"SELECT {columns} FROM (VALUES {values})"


def _rules(*rules: Rule, restrictions: tuple[tuple[tuple[str | None, str | None], ...], ...] = ()):
    return FileRules(
        frozenset({"docs", "pics"}),
        (_listed(*rules, names=("parent", "child", "allow")),) if rules else (),
        {},
        [_listed(*pairs, names=("parent", "child")) for pairs in restrictions],
    )


ALL = [("docs", "a"), ("docs", "b"), ("pics", "c"), ("elsewhere", "d")]


@pytest.mark.parametrize(
    "rules, allowed",
    [
        ((), ""),
        (((None, None, 1),), "abc"),
        (((None, None, 0),), ""),
        ((("docs", None, 1),), "ab"),
        (((None, None, 1), ("docs", None, 0)), "c"),
        (((None, None, 0), ("docs", None, 1)), "ab"),
        ((("docs", None, 1), ("docs", None, 0)), ""),
        (((None, None, 1), (None, None, 0)), ""),
        ((("docs", "a", 1),), "a"),
        ((("docs", None, 0), ("docs", "a", 1)), "a"),
        ((("docs", None, 1), ("docs", "a", 0)), "b"),
        ((("docs", "a", 1), ("docs", "a", 0)), ""),
        ((("pics", "a", 1),), ""),
        ((("elsewhere", None, 1), ("elsewhere", "d", 1)), ""),
    ],
)
def test_the_most_specific_rule_wins_and_of_equal_ones_a_denial(conn, rules, allowed):
    found = _rules(*rules).among(conn, ALL)
    assert found == {one for one in ALL if one[1] in allowed}


@pytest.mark.parametrize(
    "restrictions, allowed",
    [
        ((((None, None),),), "abc"),
        (((("docs", None),),), "ab"),
        (((("docs", "a"),),), "a"),
        ((((None, "a"), ("pics", None)),), "ac"),
        (((("pics", "a"),),), ""),
        ((((None, None),), (("docs", None),)), ""),
        (((("docs", None), ("pics", None)), (("docs", None),)), "ab"),
    ],
)
def test_a_token_is_held_to_what_all_of_its_restrictions_list(conn, restrictions, allowed):
    rules = _rules((None, None, 1), restrictions=restrictions)
    assert rules.among(conn, ALL) == {one for one in ALL if one[1] in allowed}
    assert rules.among(conn, []) == frozenset()


def test_limits_name_sources_and_single_files():
    limits = Limits(frozenset({("docs", None), ("pics", "c"), (None, "e")}))
    assert [limits.whole(slug) for slug in ("docs", "pics")] == [True, False]
    assert (limits.files("docs"), limits.files("pics")) == ({"e"}, {"c", "e"})
    assert Limits(frozenset({(None, None)})).whole("pics")


def test_the_single_files_of_a_source_that_rules_allow_and_deny(conn):
    rules = _rules(
        *(("docs", "a", 1), ("docs", "b", 1), ("docs", "b", 0), ("docs", "c", 0)),
        *(("pics", "d", 1), ("docs", None, 1)),
    )
    assert rules.single(conn, "docs") == ({"a"}, {"b", "c"})
    assert rules.single(conn, "elsewhere") == (frozenset(), frozenset())
    assert rules.limits(conn) is None


_BROWSES_PICS = Grant("files-browse", "SELECT 'pics' AS parent UNION ALL SELECT NULL", {})


@pytest.mark.parametrize(
    "rules, restrictions, whole, parts",
    [
        ((), (), {"pics"}, {}),
        (((None, None, 1),), (), {"docs", "pics"}, {}),
        ((("docs", "a", 1),), (), {"pics"}, {"docs": Part(frozenset("a"))}),
        ((("docs", "a", 1), ("docs", "a", 0)), (), {"pics"}, {}),
        (
            (("docs", None, 1), ("docs", "b", 0)),
            (),
            {"pics"},
            {"docs": Part(frozenset("b"), only=False)},
        ),
        (((None, None, 1),), ((("docs", None),),), {"docs", "pics"}, {}),
        (((None, None, 1),), ((("docs", "a"),),), {"pics"}, {"docs": Part(frozenset("a"))}),
        (((None, None, 1),), ((("pics", None),),), {"pics"}, {}),
        ((("docs", None, 1), ("docs", "a", 0)), ((("docs", "a"),),), {"pics"}, {}),
        (
            (("docs", "a", 1), ("docs", "b", 1)),
            ((("docs", "b"),),),
            {"pics"},
            {"docs": Part(frozenset("b"))},
        ),
    ],
)
def test_lists_hold_whole_sources_and_parts_of_others(conn, rules, restrictions, whole, parts):
    sight = Sight(_BROWSES_PICS, _rules(*rules, restrictions=restrictions))
    scope = sight.scope(conn, ["docs", "pics", "elsewhere"])
    assert scope == Scope(frozenset({"pics"}), frozenset(whole), parts)
    assert sight.scope(conn, ["elsewhere"]) == Scope(frozenset({"pics"}), frozenset({"pics"}), {})


def test_a_denial_of_a_file_takes_nothing_from_who_browses_its_source(conn):
    sight = Sight(_BROWSES_PICS, _rules(("pics", "c", 0), ("docs", "a", 1)))
    assert sight.among(conn, ALL) == {("pics", "c"), ("docs", "a")}
    assert sight.among(conn, [("docs", "b")]) == frozenset()
