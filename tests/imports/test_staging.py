"""The tables that an import fills before its last step are closed: to everybody, in every way."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasette import hookimpl
from datasette.app import Datasette
from datasette.permissions import PermissionSQL
from datasette.plugins import pm
from datasette.resources import TableResource

from datasette_files.imports.writing import Writing
from datasette_files.tables import closing
from datasette_files.tables.content import LEFT, STAGING_PREFIX, STAGING_SUFFIXES
from tests.conftest import MakeDatasette
from tests.support.imports import site

#: ``wort`` and ``zorn`` are nowhere but in the rows, ``spalte`` is the name of a column.
SECRET = b"id,spalte\n1,wort\n2,zorn\n"
ALICE, BOB, ROOT = {"id": "alice"}, {"id": "bob"}, {"id": "root"}
EVERYTHING = {
    **site.PERMISSIONS,
    **dict.fromkeys(
        ("alter-table", "execute-sql", "execute-write-sql", "view-table", "set-column-type"), True
    ),
    **dict.fromkeys(("create-view", "drop-view", "debug-menu", "permissions-debug"), True),
}
ONLY_ALICE = {
    "databases": {"data": {"tables": {"made": {"allow": ALICE, "permissions": {}}}}},
}


class Held:
    """An import whose rows all stand in its staging table, and that goes no further."""

    def __init__(self, datasette: Datasette, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._datasette, self._data = datasette, data
        self._reached, self._go = asyncio.Event(), asyncio.Event()
        last = Writing._last

        async def held(writing: Writing, step: Callable[..., Any]) -> None:
            self._reached.set()
            await self._go.wait()
            await last(writing, step)

        monkeypatch.setattr(Writing, "_last", held)

    async def begin(self, **fields: str) -> str:
        """The name of the staging table."""
        answer = await site.start(self._datasette, SECRET, actor=ALICE, **fields)
        self._url = answer.headers["location"]
        await asyncio.wait_for(self._reached.wait(), 30)
        return next(
            name
            for name in site.tables(self._data)
            if name.startswith(STAGING_PREFIX) and not name.endswith(STAGING_SUFFIXES[1:])
        )

    async def end(self) -> dict[str, Any]:
        self._go.set()
        return await site.ended(self._datasette, self._url, actor=ALICE)


@pytest.fixture
async def datasette(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Datasette:
    # Datasette prints each 404 with all local values, which takes a second.
    monkeypatch.setattr("datasette.handle_exception.rich", None)
    datasette = await make_datasette(permissions=EVERYTHING, config=ONLY_ALICE)
    datasette.root_enabled = True
    site.attach(datasette, tmp_path)
    return datasette


@pytest.fixture
def held(datasette: Datasette, data: Path, monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(datasette, data, monkeypatch)


def pages(table: str) -> list[str]:
    """Each page of Datasette's about one table, and each of its rows."""
    tables = ["", ".json", ".json?_shape=array", ".csv", ".csv?_stream=1", ".json?_facet=spalte"]
    tables += [".json?_search=wort", "?_search=wort", ".json?_where=1", ".json?spalte__contains=w"]
    tables += [".json?_col=spalte&_sort=spalte", ".json?_extra=count,suggested_facets", ".files"]
    rows = ["/1", "/1.json", "/1.json?_extras=foreign_key_tables", "/1.blob?_blob_column=spalte"]
    own = ["fragment", "autocomplete?q=w", "schema", "schema.json", "schema.md"]
    own += ["foreign-key-suggestions"]
    base = f"/data/{table}"
    return [base + end for end in (*tables, *rows, *(f"/-/{one}" for one in own))]


@pytest.mark.parametrize("actor", [None, ALICE, BOB, ROOT], ids=lambda a: a and a["id"])
async def test_no_page_shows_it(datasette: Datasette, held: Held, actor: Any) -> None:
    staging = await held.begin(primary_key="id", column_0="spalte", search_0="1")
    others = [f"/data/{staging}{suffix}.json" for suffix in STAGING_SUFFIXES[1:]]
    for path in (*pages(staging), *others, f"/data/{staging.upper()}.json"):
        answer = await datasette.client.get(path, actor=actor)
        assert answer.status_code in (403, 404), (path, answer.status_code)
        assert "zorn" not in answer.text
    assert (await held.end())["status"] == "finished"


@pytest.mark.parametrize("actor", [None, BOB, ROOT], ids=lambda a: a and a["id"])
async def test_no_list_names_it(datasette: Datasette, held: Held, actor: Any) -> None:
    await held.begin(primary_key="id", column_0="spalte", search_0="1")
    lists = ["/", "/.json", "/data", "/data.json", "/data.json?_show_hidden=1", "/-/jump.json"]
    lists += ["/-/jump.json?q=import", "/-/schema.json", "/data/-/schema", "/data/-/schema.json"]
    lists += ["/-/debug/autocomplete", "/data/-/foreign-key-targets", "/-/api"]
    lists += [f"/-/allowed.json?action={one}&_size=200" for one in ("view-table", "insert-row")]
    completing = ("/data", "/data.json", "/data.json?_show_hidden=1", "/data/-/foreign-key-targets")
    for path in lists:
        answer = await datasette.client.get(path, actor=actor)
        assert answer.status_code < 500, path
        # The editor of SQL completes the names of all tables, private ones included.
        if path not in completing:
            assert STAGING_PREFIX not in answer.text, path
        assert "wort" not in answer.text
    home = (await datasette.client.get("/.json", actor=actor)).json()["databases"]
    tables = (await datasette.client.get("/data.json", actor=actor)).json()["tables"]
    assert [one["name"] for one in tables] == ["other"]
    assert next(one for one in home if one["name"] == "data")["hidden_tables_count"] == 0
    await held.end()


async def test_no_action_is_allowed_and_none_is_shown_as_allowed(
    datasette: Datasette, held: Held
) -> None:
    """Not by a rule of another plugin's on the very table, either."""
    staging = await held.begin()
    tables = [staging + suffix for suffix in STAGING_SUFFIXES]

    class Generous:
        __name__ = "Generous"

        @staticmethod
        @hookimpl
        def permission_resources_sql(datasette: Any, actor: Any, action: str) -> Any:
            return PermissionSQL(
                "SELECT 'data' AS parent, value AS child, 1 AS allow, 'r' AS reason"
                " FROM json_each(:names)",
                {"names": json.dumps([*tables, "other"])},
            )

    pm.register(Generous, name="generous")
    try:
        actions = [
            name
            for name, action in datasette.actions.items()
            if action.resource_class is not None
            and issubclass(action.resource_class, TableResource)
        ]
        assert {"view-table", "insert-row", "update-row", "delete-row"} < set(actions)
        assert {"alter-table", "drop-table", "set-column-type"} < set(actions)
        for actor in (None, ALICE, ROOT):
            for name in actions:
                allowed = await datasette.allowed(
                    action=name, resource=TableResource("data", "other"), actor=actor
                )
                assert allowed, name
                for table in tables:
                    resource = TableResource("data", table)
                    assert not await datasette.allowed(action=name, resource=resource, actor=actor)
                found = await datasette.allowed_resources(name, actor, parent="data")
                assert not {one.child for one in found.resources} & set(tables)
    finally:
        pm.unregister(name="generous")
    await held.end()


@pytest.mark.parametrize("actor", [ALICE, ROOT], ids=lambda a: a["id"])
async def test_nobody_writes_to_it(
    datasette: Datasette, data: Path, held: Held, actor: Any
) -> None:
    staging = await held.begin(primary_key="id")
    row = {"id": 9, "spalte": "evil"}
    for path, body in [
        (f"/data/{staging}/-/insert", {"row": row}),
        (f"/data/{staging}/-/insert", {"rows": [row], "replace": True}),
        (f"/data/{staging.upper()}/-/insert", {"row": row}),
        (f"/data/{staging}/-/upsert", {"rows": [row]}),
        (f"/data/{staging}/1/-/update", {"update": {"spalte": "evil"}}),
        (f"/data/{staging}/1/-/delete", {}),
        (f"/data/{staging}/-/drop", {"confirm": True}),
        (f"/data/{staging}/-/alter", {"operations": [{"op": "add_column", "args": {"name": "x"}}]}),
        (f"/data/{staging}/-/set-column-type", {"column": "spalte", "column_type": None}),
        ("/data/-/create", {"table": staging, "row": row}),
        ("/data/-/create", {"table": staging, "rows": [row], "replace": True, "pk": "id"}),
        ("/data/-/create", {"table": f"{STAGING_PREFIX}mine", "row": row}),
        ("/data/-/execute-write", {"sql": f"insert into {staging} values (9, 'evil')"}),
        ("/data/-/execute-write", {"sql": f"insert into other select spalte from {staging}"}),
        ("/data/-/execute-write", {"sql": f"update {staging} set spalte = 'evil'"}),
        ("/data/-/execute-write", {"sql": f"delete from {staging}"}),
        ("/data/-/execute-write", {"sql": f"drop table {staging}"}),
        ("/data/-/execute-write", {"sql": f"alter table {staging} rename to seen"}),
        (
            "/data/-/execute-write",
            {
                "sql": f"create trigger t after insert on {staging}"
                " begin insert into other values (new.spalte); end"
            },
        ),
    ]:
        answer = await datasette.client.post(path, json=body, actor=actor)
        assert 400 <= answer.status_code < 500, (path, body, answer.status_code, answer.text)
    assert (await held.end())["status"] == "finished"
    assert site.rows(data) == [(1, "wort"), (2, "zorn")]
    assert site.rows(data, "other") == []
    assert site.tables(data) == {"made"}


async def test_no_query_reads_it(datasette: Datasette, held: Held) -> None:
    staging = await held.begin(column_0="spalte", search_0="1")
    index = f"{staging}_fts"
    for sql in (
        f"select * from {staging}",
        f"select count(*) from {staging}",
        f"select rowid from main.{staging.upper()}",
        f"with t as (select spalte from {staging}) select * from t",
        f"select (select group_concat(spalte) from {staging})",
        f"select * from {index} where {index} match 'wort'",
        f"select rowid from {index} where {index} match 'wort'",
        f"select block from {index}_data",
        f"select * from {index}_idx",
        f"select * from {index}_docsize",
        f"explain select * from {staging}",
    ):
        for path in ("/data/-/query.json", "/data/-/query", "/data/-/query.csv"):
            answer = await datasette.client.get(path, params={"sql": sql}, actor=ROOT)
            assert "zorn" not in answer.text
            if path.endswith(".json"):
                assert answer.status_code == 400, (sql, answer.text)
                assert "wort" not in json.dumps(answer.json().get("rows", []))
    database = datasette.get_database("data")
    for read in (database.execute, database.execute_write):
        with pytest.raises(sqlite3.DatabaseError, match=r"prohibited|not authorized"):
            await read(f"select * from {staging}")
    await held.end()
    rows = await database.execute("select spalte from made order by 1")
    assert [row[0] for row in rows] == ["wort", "zorn"], "a table that has appeared is open"
    found = await database.execute("select rowid from made_fts where made_fts match 'wort'")
    assert len(found) == 1


@pytest.mark.parametrize("mode", ["append", "merge"])
async def test_a_marker_is_closed_too(
    datasette: Datasette, data: Path, held: Held, mode: str
) -> None:
    conn = sqlite3.connect(data)
    conn.execute("CREATE TABLE made (id INTEGER PRIMARY KEY, spalte TEXT)")
    conn.commit()
    conn.close()
    staging = await held.begin(mode=mode)
    answer = await datasette.client.post(
        f"/data/{staging}/-/insert", json={"row": {"waiting": 1}}, actor=ALICE
    )
    assert answer.status_code == 403
    assert (await datasette.client.get(f"/data/{staging}.json", actor=ALICE)).status_code == 403
    assert (await held.end())["status"] == "finished"


async def test_what_another_site_left_behind_is_closed_at_once(
    datasette: Datasette, data: Path
) -> None:
    """Its name is not noted here, and Datasette has not looked at the tables since."""
    await datasette.refresh_schemas(force=True)
    conn = sqlite3.connect(data)
    name = f"{STAGING_PREFIX}01old{LEFT}"
    conn.execute(f"CREATE TABLE {name} (a)")
    conn.execute(f"INSERT INTO {name} VALUES ('wort')")
    conn.commit()
    conn.close()
    for path in (f"/data/{name}.json", f"/data/-/query.json?sql=select+*+from+{name}"):
        answer = await datasette.client.get(path, actor=ROOT)
        assert answer.status_code == (400 if "query" in path else 403)
        assert "wort" not in answer.text, "it is refused before Datasette knows the table"
    await datasette.refresh_schemas(force=True)
    assert (await datasette.client.get(f"/data/{name}.json", actor=ROOT)).status_code == 403
    tables = (await datasette.client.get("/data.json", actor=ROOT)).json()["tables"]
    assert [one["name"] for one in tables] == ["other"]


async def test_a_vacuum_meanwhile_works(datasette: Datasette, data: Path, held: Held) -> None:
    """On Datasette's own connection, as plugins call it. The tables stay closed."""
    staging = await held.begin(primary_key="id", column_0="spalte", search_0="1")
    database = datasette.get_database("data")
    copy = data.with_name("copy.db")
    for sql in ("VACUUM", f"VACUUM INTO '{copy}'"):
        await database.execute_write_fn(
            lambda conn, sql=sql: conn.execute(sql),  # type: ignore[misc]
            transaction=False,
        )
    with pytest.raises(sqlite3.DatabaseError, match=r"prohibited|not authorized"):
        await database.execute_write(f"select * from {staging}")
    for sql in ("vacuum", f"attach '{copy}' as vacuum_db"):
        answer = await datasette.client.post("/data/-/execute-write", json={"sql": sql}, actor=ROOT)
        assert 400 <= answer.status_code < 500, answer.text
    assert (await held.end())["status"] == "finished"
    assert site.rows(data) == [(1, "wort"), (2, "zorn")]
    found = await database.execute("select rowid from made_fts where made_fts match 'zorn'")
    assert [tuple(row) for row in found] == [(2,)]


def test_statistics_leave_it_out_and_its_columns_can_be_looked_at(tmp_path: Path) -> None:
    conn = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    name = f"{STAGING_PREFIX}x"
    conn.execute(f"CREATE TABLE {name} (a)")
    conn.execute(f"CREATE INDEX i ON {name} (a)")
    conn.execute(f"INSERT INTO {name} VALUES ('wort')")
    conn.execute(f"CREATE VIRTUAL TABLE {name}_fts USING FTS5 (a, content='made')")
    conn.execute("CREATE TABLE other (a)")
    conn.execute("CREATE INDEX o ON other (a)")
    conn.execute("INSERT INTO other VALUES (1)")
    closing.close(conn)
    conn.execute("ANALYZE")
    assert conn.execute("SELECT tbl FROM sqlite_stat1").fetchall() == [("other",)]
    for table in (name, f"{name}_fts"):
        assert conn.execute(f"PRAGMA table_info({table})").fetchone()[1] == "a"
    with closing.opened(conn):
        assert conn.execute(f"SELECT a FROM {name}").fetchall() == [("wort",)]
    with pytest.raises(sqlite3.DatabaseError):
        conn.execute(f"SELECT a FROM {name}")
    conn.close()
