"""The verdicts of rules about single files, decided in SQL."""

from __future__ import annotations

import itertools
import sqlite3
from typing import Any

import pytest
from datasette.permissions import PermissionSQL, SkipPermissions

from datasette_files.app import Files
from datasette_files.permissions import sight
from datasette_files.permissions.actions import BROWSE, UPLOAD, VIEW
from datasette_files.permissions.grants import Grant
from datasette_files.permissions.sight import Sight
from datasette_files.permissions.verdicts import FileRules, file_rules
from tests.conftest import MakeDatasette, upload
from tests.support.storages import registered

_NOTHING = "SELECT NULL AS parent WHERE 0"
_DENIED = "SELECT 'docs' AS parent, 'df-1' AS child, 0 AS allow"
_SOURCE = "SELECT 'docs' AS parent, NULL AS child, {} AS allow"
_FILE = "SELECT 'docs' AS parent, 'df-{}' AS child, 1 AS allow"
#: More files than are asked at once, of which 1 to ``?`` are allowed or denied.
_MANY = """SELECT 'docs' AS parent, 'df-' || value AS child, {} AS allow
    FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < {})
    SELECT value FROM n)"""
_TOKEN = "SELECT 'docs' AS parent, 'df-{}' AS child"

#: Rules, restrictions of the token, and the ids seen of df-1 to df-4.
CASES: dict[str, tuple[tuple[str, ...], list[str], set[int]]] = {
    "no rule": ((), [], set()),
    "a file": ((_FILE.format(2),), [], {2}),
    "a file that another rule denies": ((_FILE.format(1), _DENIED), [], set()),
    "many files that another rule denies": (
        (_MANY.format(1, 250), _MANY.format(0, 250)),
        [],
        set(),
    ),
    "the last of many": ((_MANY.format(0, 250), _MANY.format(1, 251)), [], set()),
    "the source": ((_SOURCE.format(1),), [], {1, 2, 3, 4}),
    "the source without a file": ((_SOURCE.format(1), _DENIED), [], {2, 3, 4}),
    "a file of a source that is denied": ((_SOURCE.format(0), _FILE.format(3)), [], {3}),
    "a file of another source": ((_FILE.format(2).replace("docs", "else"),), [], set()),
    "a token for the file": ((_FILE.format(2),), [_TOKEN.format(2)], {2}),
    "a token for another file": ((_FILE.format(2),), [_TOKEN.format(4)], set()),
    "a token for a file of the source": ((_SOURCE.format(1),), [_TOKEN.format(4)], {4}),
    "a comment at the end": ((f"{_FILE.format(2)} -- of a plugin",), [], {2}),
}
_IDS = [f"df-{number}" for number in range(1, 5)]


@pytest.fixture
def conn() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")


def _rules(case: str) -> tuple[FileRules, set[str]]:
    rules, restrictions, seen = CASES[case]
    each = tuple(f"SELECT * FROM ({rule}\n)" for rule in rules)
    found = FileRules(frozenset({"docs"}), each, {}, restrictions)
    return found, {f"df-{number}" for number in seen}


@pytest.mark.parametrize("case", CASES)
def test_one_file_and_a_list_get_the_same_verdict(conn: sqlite3.Connection, case: str) -> None:
    rules, expected = _rules(case)
    view = Sight(Grant(BROWSE, _NOTHING, {}), rules)
    assert view.among(conn, [("docs", one) for one in _IDS]) == {("docs", one) for one in expected}
    scope = view.scope(conn, ["docs", "else"])
    part = scope.parts.get("docs", ())
    assert {one for one in _IDS if "docs" in scope.whole or one in part} == expected
    assert "else" not in scope.parts


@pytest.mark.parametrize("few", [0, 1_000])
@pytest.mark.parametrize("case", CASES)
def test_all_of_many_files_are_seen_if_each_of_them_is(
    conn: sqlite3.Connection, case: str, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sight, "_FEW", few)
    rules, expected = _rules(case)
    view = Sight(Grant(BROWSE, _NOTHING, {}), rules)
    for number in range(1, len(_IDS) + 1):
        for ids in itertools.combinations(_IDS, number):
            assert view.has_all(conn, "docs", ids) is expected.issuperset(ids), ids
    assert not view.has_all(conn, "else", ["df-2"])


@pytest.mark.parametrize("case", CASES)
def test_whether_any_file_is_seen_needs_no_list_of_them(
    conn: sqlite3.Connection, case: str
) -> None:
    rules, expected = _rules(case)
    view = Sight(Grant(BROWSE, _NOTHING, {}), rules)
    scope = view.scope(conn, ["docs"])
    assert view.any(conn) is bool(scope.whole or scope.parts)
    assert view.any(conn) is (bool(expected) or case == "the last of many")


def test_a_source_to_browse_is_enough(conn: sqlite3.Connection) -> None:
    assert Sight(Grant(BROWSE, "SELECT 'docs' AS parent", {})).any(conn)


async def test_ids_are_compared_byte_by_byte(make_datasette: MakeDatasette) -> None:
    """A plugin's table may ignore case, which our ids do not."""

    def grants(datasette: Any, actor: Any, action: str) -> PermissionSQL | None:
        sql = """SELECT 'docs' AS parent, upper(:plugin_file) COLLATE NOCASE AS child,
            1 AS allow, 'plugin' AS reason"""
        return PermissionSQL(sql, {"plugin_file": file_id}) if action == VIEW else None

    ds = await make_datasette(permissions={UPLOAD: True})
    file_id = (await upload(ds))["id"]
    with registered(permission_resources_sql=grants):
        rules = await file_rules(ds, {"id": "alice"}, VIEW)
    found = await Files.of(ds).catalog.read(
        lambda conn: rules.among(conn, [("docs", file_id), ("docs", file_id.upper())])
    )
    assert found == {("docs", file_id.upper())}


async def test_everything_is_allowed_where_datasette_skips_its_checks(
    make_datasette: MakeDatasette,
) -> None:
    ds = await make_datasette()
    with SkipPermissions():
        rules = await file_rules(ds, None, VIEW)
    conn = sqlite3.connect(":memory:")
    assert rules.among(conn, [("docs", "df-1"), ("else", "df-1")]) == {("docs", "df-1")}
