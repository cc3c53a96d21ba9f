"""A table that exists gets the file's values as they are, or the import says which it would not."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasette import hookimpl
from datasette.app import Datasette
from datasette.plugins import pm

from datasette_files.errors import Conflict
from datasette_files.formats.base import ImportProblem
from datasette_files.tables import merging, target
from datasette_files.tables.content import STAGING_PREFIX, Content
from tests.conftest import MakeDatasette
from tests.support.imports import engine, site

DECLARED = ["NUMERIC", "REAL", "INTEGER", "TEXT"]
MORE = [pytest.param(one, marks=pytest.mark.full) for one in ("DECIMAL(10,2)", "DATE", "")]
VALUES = [
    *("007", "1e3", "1.50", "1.5", "5", "-5", "+1", "-0", ".5", "5.", " 7", "7 ", "1_000"),
    *("0x10", "nan", "inf", "2024-01-31", "12:30", "abc", "1abc", "9007199254740993"),
    *("12345678901234567890", "0.12345678901234567", "9223372036854775807", "1e400", "1e-400"),
]


async def sql(datasette: Datasette, script: str) -> None:
    await datasette.get_database("data").execute_write_script(script)


def read_for(csv: Path, declared: str, **task: Any) -> tuple[sqlite3.Connection, Content]:
    """The file read for a table ``made`` with one column of this type, which is made too."""
    conn = sqlite3.connect(f"file:{csv.parent / 'user.db'}", uri=True, isolation_level=None)
    conn.execute("DROP TABLE IF EXISTS made")
    conn.execute(f"CREATE TABLE made (v {declared})")
    (csv.parent / "rows.db").unlink(missing_ok=True)
    kind = target.affinity(declared)
    numbers = {"v": kind} if kind in ("integer", "float", "numeric") else {}
    hints = {"v": "text"} if kind == "text" else {}
    outcome = engine.read(csv, csv.parent, numbers=numbers, hints=hints, **task)
    staging = STAGING_PREFIX + "test"
    target.create_marker(conn, staging)
    path, kinds = csv.parent / "rows.db", [one or "text" for one in outcome["types"]]
    return conn, Content(path, outcome["columns"], kinds, outcome["rows"], "made", staging)


@pytest.mark.parametrize("declared", [*DECLARED, *MORE])
@pytest.mark.parametrize(
    "among",
    ["abc\n", *(pytest.param(one, marks=pytest.mark.full) for one in ("", "2.5\n", "3\n"))],
)
def test_a_value_comes_back_from_any_column_or_is_named(
    tmp_path: Path, declared: str, among: str
) -> None:
    csv = tmp_path / "x.csv"
    told = 0
    for value in VALUES:
        csv.write_text(f"v\n{among}{value}\n")
        try:
            conn, content = read_for(csv, declared, options={"header": True})
        except ImportProblem as problem:
            assert (problem.column, problem.row) in [("v", 1), ("v", 2)]
            assert "would not stay as it is" in str(problem)
            told += 1
            continue
        merging.append(conn, content)
        *_, (back,) = conn.execute("SELECT v FROM made ORDER BY rowid").fetchall()
        conn.close()
        if isinstance(back, str):
            assert back == value
        elif content.kinds == ["text"]:
            assert str(back) == value
        else:
            assert back == (int(value) if content.kinds == ["integer"] else float(value))
    assert bool(told) is (declared not in ("TEXT", ""))


def test_a_table_that_was_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    csv = tmp_path / "x.csv"
    csv.write_text("v\nabc\n007\n")
    conn, content = read_for(csv, "TEXT")
    conn.execute("DROP TABLE made")
    for declared in ("NUMERIC", None):
        if declared:
            conn.execute(f"CREATE TABLE made (v {declared} PRIMARY KEY)")
        for step in (merging.append, lambda *of: merging.merge(*of, removes=True)):
            with pytest.raises(Conflict, match="start the import again"):
                step(conn, replace(content, fits={"v": "text"}, key="v"))
        assert not declared or conn.execute("SELECT * FROM made").fetchall() == []
        conn.execute("DROP TABLE IF EXISTS made")
    conn.close()


async def test_what_a_column_would_change_ends_the_import_and_is_named(
    datasette: Datasette, data: Path
) -> None:
    await sql(
        datasette,
        """CREATE TABLE made (id INTEGER PRIMARY KEY, code NUMERIC, height REAL);
        INSERT INTO made VALUES (1, 'abc', 1.5);""",
    )
    job = await site.imported(datasette, b"id,code\n2,def\n3,007\n", mode="append")
    assert (job["status"], job["error"].partition(":")[0]) == ("error", "Row 2, column code")
    content = b"id,height\n1,1\n2,9007199254740993\n"
    job = await site.imported(datasette, content, mode="merge")
    assert (job["status"], job["error"].partition(":")[0]) == ("error", "Row 2, column height")
    assert site.rows(data) == [(1, "abc", 1.5)]
    job = await site.imported(datasette, b"id,code\n2,2024-01-31\n3,7\n", mode="append")
    assert job["status"] == "finished", job["error"]
    assert [row[1] for row in site.rows(data)] == ["abc", "2024-01-31", 7]
    assert site.tables(data) == {"made"}


async def test_rows_are_matched_as_the_tables_key_tells_them_apart(
    datasette: Datasette, data: Path
) -> None:
    await sql(
        datasette,
        """CREATE TABLE made (id TEXT PRIMARY KEY COLLATE NOCASE, name TEXT COLLATE NOCASE);
        INSERT INTO made VALUES ('A', 'Ann'), ('b', 'Bob'), (NULL, 'Nobody'), (NULL, 'None');""",
    )
    newer = b"id,name\na,ANN\nC,Cy\n"
    job = await site.imported(datasette, newer, mode="compare")
    assert (job["added"], job["changed"], job["removed"]) == (1, 1, 1), job["error"]
    job = await site.imported(datasette, newer, mode="merge", removes="1")
    assert job["status"] == "finished", job["error"]
    assert site.rows(data) == [(None, "Nobody"), (None, "None"), ("A", "ANN"), ("C", "Cy")]
    assert (job["added"], job["changed"], job["removed"]) == (1, 1, 1)
    job = await site.imported(datasette, b"id,name\nd,1\nD,2\n", mode="merge")
    assert (job["status"], job["error"].partition(":")[0]) == ("error", "Row 2, column id")


async def test_a_collation_of_somebodys_own_matches_no_rows(
    datasette: Datasette, data: Path
) -> None:
    await datasette.get_database("data").execute_write_fn(_with_collation)
    answer = await site.start(datasette, b"id\na\n", mode="merge")
    assert (answer.status_code, "collation BACKWARDS" in answer.json()["error"]) == (400, True)


def _with_collation(conn: sqlite3.Connection) -> None:
    conn.create_collation("backwards", lambda one, other: (one < other) - (one > other))
    conn.execute("CREATE TABLE made (id TEXT PRIMARY KEY COLLATE backwards)")


def test_a_number_is_a_key_once_however_it_is_written(tmp_path: Path) -> None:
    csv = tmp_path / "x.csv"
    csv.write_text("id\n" + "".join(f"{n}\n" for n in range(1000)) + "2000.5\n7.0\n")
    with pytest.raises(ImportProblem, match=r"Row 1,002, column id: '7.0' is in another row"):
        engine.read(csv, tmp_path, key="id")


_FAMILY = """CREATE TABLE made (id INTEGER PRIMARY KEY);
CREATE TABLE child (id REFERENCES MADE (id) ON DELETE CASCADE);
INSERT INTO made VALUES (1);
INSERT INTO child VALUES (1);"""


@pytest.fixture
def foreign_keys() -> Iterator[None]:
    """A plugin that has every database enforce them."""

    class Plugin:
        @staticmethod
        @hookimpl
        def prepare_connection(conn: sqlite3.Connection) -> None:
            conn.execute("PRAGMA foreign_keys = ON")

    plugin = Plugin()
    pm.register(plugin)
    yield
    pm.unregister(plugin)


@pytest.mark.usefixtures("foreign_keys")
async def test_a_table_that_others_refer_to_is_not_replaced(
    datasette: Datasette, data: Path
) -> None:
    await sql(datasette, _FAMILY)
    refused = await site.start(datasette, b"id\n2\n", mode="replace")
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "rows of child refer to its rows" in refused.json()["error"]
    assert site.rows(data) == site.rows(data, "child") == [(1,)]
    # One that others only could refer to is; and what refers to itself.
    await sql(datasette, "CREATE TABLE loop (id INTEGER PRIMARY KEY, up REFERENCES loop (id))")
    job = await site.imported(datasette, b"id\n2\n", mode="replace", table_name="loop")
    assert job["status"] == "finished", job["error"]


def test_a_table_that_others_refer_to_by_now_is_not_replaced(tmp_path: Path) -> None:
    csv = tmp_path / "x.csv"
    csv.write_text("id\n2\n")
    outcome = engine.read(csv, tmp_path)
    content = Content(
        tmp_path / "rows.db", ["id"], outcome["types"], 1, "made", STAGING_PREFIX + "test"
    )
    conn = sqlite3.connect(f"file:{tmp_path / 'user.db'}", uri=True, isolation_level=None)
    conn.executescript(_FAMILY)
    target.create_staging(conn, content)
    target.copy_rows(conn, content, 0, 1)
    conn.execute("PRAGMA foreign_keys = ON")
    with pytest.raises(Conflict, match="cannot be replaced"):
        target.appear(conn, content, replaces=True)
    assert conn.execute("SELECT * FROM made, child").fetchall() == [(1, 1)]
    # Where nothing is enforced, others keep their rows.
    conn.execute("PRAGMA foreign_keys = OFF")
    target.appear(conn, content, replaces=True)
    assert conn.execute("SELECT * FROM made, child").fetchall() == [(2, 1)]
    conn.close()


async def test_who_may_only_add_rows_is_offered_that(
    make_datasette: MakeDatasette, tmp_path: Path, data: Path
) -> None:
    alice = {"id": "alice"}
    permissions = {name: alice for name in site.PERMISSIONS if name not in site.WRITE}
    tables = {"other": {"permissions": {"insert-row": alice}}}
    datasette = await make_datasette(
        permissions={**permissions, "files-browse": True},
        config={"databases": {"data": {"tables": tables}}},
    )
    site.attach(datasette, tmp_path)
    content = b"a\n1\n"
    refused = await site.start(datasette, content, actor=alice, table_name="new")
    assert refused.status_code == 403
    page = (await datasette.client.get(refused.url.path, actor=alice)).text
    assert '<option value="data">data (rows can be added to its tables)</option>' in page
    modes = page.partition('name="mode"')[2].partition("</select>")[0]
    assert re.findall('value="([a-z]+)"', modes) == ["append"]
    nobody = (await datasette.client.get(refused.url.path)).text
    assert "no database that you may import into" in nobody
    fields = {"table_name": "other", "mode": "append"}
    response = await site.start(datasette, content, actor=alice, **fields)
    assert (await site.ended(datasette, response.headers["location"], actor=alice))["status"] == (
        "finished"
    )
    assert site.rows(data, "other") == [(1,)]
