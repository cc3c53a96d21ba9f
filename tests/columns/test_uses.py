"""Where a file is used: the rows that refer to it, for those who may see them, within bounds."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.columns import uses
from datasette_files.tables import references
from tests.conftest import OPEN, MakeDatasette, upload
from tests.support.columns import ABSENT, datasette_with_people, make_people, write

ALICE = {"id": "alice"}


@pytest.fixture
async def datasette(make_datasette: MakeDatasette, tmp_path: Path) -> Datasette:
    return await datasette_with_people(make_datasette, tmp_path)


def people(folder: Path) -> Any:
    return sqlite_utils.Database(folder / "data.db")["people"]


async def used(datasette: Datasette, file_id: str, actor: Any = None) -> dict[str, Any]:
    answer = await datasette.client.get(f"/-/files/{file_id}/uses.json", actor=actor)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_rows_are_found_by_one_id_and_in_arrays(datasette: Datasette, tmp_path: Path) -> None:
    one, two = [(await upload(datasette))["id"] for _ in range(2)]
    assert await write(datasette, photo=one, papers=[two, one]) == ""
    people(tmp_path).insert_all(
        [
            {"id": 2, "name": None, "photo": two, "papers": json.dumps([two])},
            # None of these is an array that holds the id.
            {"id": 3, "name": "no", "photo": f"{one} ", "papers": json.dumps({"x": one})},
            {"id": 4, "name": "no", "photo": None, "papers": f'["{one}", '},
            {"id": 5, "name": "no", "photo": 5, "papers": one},
        ]
    )
    body = await used(datasette, one)
    assert (body["file_id"], body["complete"]) == (one, True)
    papers, photo = body["uses"]
    assert (papers["column_type"], papers["suggested_index"]) == ("files", None)
    row = {"path": "1", "label": "Ada 1", "url": "/data/people/1"}
    assert papers["rows"] == photo["rows"] == [row]
    assert (photo["database"], photo["table"], photo["column"]) == ("data", "people", "photo")
    assert photo["suggested_index"] == "CREATE INDEX idx_people_photo ON people (photo)"
    # What is offered as SQL is SQL, and then no longer offered.
    sqlite_utils.Database(tmp_path / "data.db").execute(photo["suggested_index"])
    assert (await used(datasette, one))["uses"][1]["suggested_index"] is None
    for use in (papers, photo):
        rows = (await datasette.client.get(use["rows_url"].replace("?", ".json?"))).json()["rows"]
        assert 1 in [row["id"] for row in rows]
    unused = (await upload(datasette))["id"]
    assert (await used(datasette, unused))["uses"] == []
    assert (await datasette.client.get(f"/-/files/{ABSENT}/uses.json")).status_code == 404


async def test_only_tables_that_the_actor_may_view_are_searched(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    permissions = {**OPEN, "update-row": True, "view-table": ALICE}
    datasette = await datasette_with_people(make_datasette, tmp_path, permissions=permissions)
    file_id = (await upload(datasette))["id"]
    people(tmp_path).update(1, {"photo": file_id})
    assert await used(datasette, file_id) == {
        "ok": True,
        "file_id": file_id,
        "complete": True,
        "uses": [],
    }
    [use] = (await used(datasette, file_id, ALICE))["uses"]
    assert use["suggested_index"] is None  # for who may alter the table
    page = f"/-/files/{file_id}?uses=1"
    assert "Ada 1" not in (await datasette.client.get(page)).text
    shown = (await datasette.client.get(page, actor=ALICE)).text
    assert '<a href="/data/people/1"><bdi>Ada 1</bdi></a>' in shown
    assert "It is in use: 1 row refers to it" in shown


async def test_the_page_comes_before_the_search(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its module asks uses.json; without scripts, links lead to the page with the search."""
    file_id = (await upload(datasette))["id"]
    assert await write(datasette, photo=file_id) == ""
    searched = []
    find = references.find

    async def counting(database: Any, table: str, column: str, *more: Any, **how: Any) -> Any:
        searched.append(column)
        return await find(database, table, column, *more, **how)

    monkeypatch.setattr(references, "find", counting)
    page = (await datasette.client.get(f"/-/files/{file_id}")).text
    assert searched == []
    assert f'data-files-uses="/-/files/{file_id}/uses.json"' in page
    assert page.count('<a href="?uses=1">') == 2  # the section, and the question before deletion
    page = (await datasette.client.get(f"/-/files/{file_id}?uses=1")).text
    assert searched == ["papers", "photo"]
    assert "data-files-uses" not in page
    assert '<a href="/data/people/1"><bdi>Ada 1</bdi></a>' in page
    unused = (await upload(datasette))["id"]
    page = (await datasette.client.get(f"/-/files/{unused}?uses=1")).text
    assert "No row that you may view refers to this file." in page
    assert "No row that you may view refers to it." in page  # before its deletion


async def test_permissions_are_looked_up_once_for_all_tables(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that Datasette has not listed yet is asked about by itself."""
    make_people(tmp_path / "data.db")
    database = sqlite_utils.Database(tmp_path / "data.db")
    for number in range(30):
        database[f"t{number:02d}"].insert({"id": 1, "photo": ""})
    database.close()
    datasette = await datasette_with_people(make_datasette, tmp_path)
    for number in range(30):
        await datasette.set_column_type("data", f"t{number:02d}", "photo", "file")
    file_id = (await upload(datasette))["id"]
    sqlite_utils.Database(tmp_path / "data.db")["later"].insert({"id": 1, "photo": file_id})
    await datasette.set_column_type("data", "later", "photo", "file")
    asked = []
    allowed_many = datasette.allowed_many

    async def counting(**how: Any) -> Any:
        asked.append(getattr(how["resource"], "child", None))
        return await allowed_many(**how)

    monkeypatch.setattr(datasette, "allowed_many", counting)
    [use] = (await Files.of(datasette).uses.of(None, file_id)).columns
    assert (use.column.table, use.suggested_index) == (
        "later",
        "CREATE INDEX idx_later_photo ON later (photo)",
    )
    assert asked == ["later"] * 2  # may it be viewed, and altered


async def test_rows_time_and_columns_are_bounded(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(tmp_path / "data.db", rows=30)
    datasette = await datasette_with_people(make_datasette, tmp_path)
    file_id = (await upload(datasette))["id"]
    sqlite_utils.Database(tmp_path / "data.db").execute("update people set photo = ?", [file_id])
    body = await used(datasette, file_id)
    assert (len(body["uses"][0]["rows"]), body["uses"][0]["more"]) == (20, True)
    page = (await datasette.client.get(f"/-/files/{file_id}?uses=1")).text
    assert "It is in use: at least 20 rows refer to it" in page
    assert "All rows with this file" in page

    monkeypatch.setattr(uses, "_MAX_COLUMNS", 1)
    cut = await used(datasette, file_id)
    assert (cut["complete"], cut["uses"]) == (False, [])  # papers, and then no more columns
    monkeypatch.setattr(uses, "_MAX_COLUMNS", 200)
    monkeypatch.setattr(uses, "_PASSES_MS", (0,))
    cut = await used(datasette, file_id)
    assert not cut["complete"]
    assert [(use["rows"], use["complete"]) for use in cut["uses"]] == [([], False)] * 2
    page = (await datasette.client.get(f"/-/files/{file_id}?uses=1")).text
    assert "could not be searched in time" in page
    assert "It may be in use" in page
    monkeypatch.setattr(uses, "_MAX_SECONDS", 0.0)
    cut = await used(datasette, file_id)
    assert (cut["complete"], cut["uses"]) == (False, [])


async def test_a_large_table_keeps_no_small_one_from_being_searched(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if every table before it had used up its time, and one cell held megabytes of no array."""
    datasette = await datasette_with_people(make_datasette, tmp_path)
    file_id = (await upload(datasette))["id"]
    assert await write(datasette, photo=file_id) == ""
    long = json.dumps([file_id] + ["x" * 1000] * 20)
    sqlite_utils.Database(tmp_path / "data.db")["huge"].insert({"id": 1, "a": file_id, "b": long})
    for column, kind in (("a", "file"), ("b", "files")):
        await datasette.set_column_type("data", "huge", column, kind)
    asked: list[tuple[str, int]] = []
    find = references.find

    async def slow(database: Any, table: str, column: str, *more: Any, ms: int, **how: Any) -> Any:
        asked.append((f"{table}.{column}", ms))
        if table == "huge" and ms <= 25:
            return references.Rows([], more=False, complete=False, indexed=False, in_time=False)
        return await find(database, table, column, *more, ms=ms, **how)

    monkeypatch.setattr(references, "find", slow)
    monkeypatch.setattr(uses, "_MAX_SECONDS", 60.0)
    body = await used(datasette, file_id)
    assert [(use["table"], use["column"]) for use in body["uses"]] == [
        ("huge", "a"),
        ("people", "photo"),
    ]
    assert body["complete"]
    first, then = asked[:4], asked[4:]
    assert {place for place, _ in first} == {"huge.a", "huge.b", "people.papers", "people.photo"}
    assert then == [("huge.a", 250), ("huge.b", 250)]


async def test_one_search_at_a_time_holds_a_thread(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_id = (await upload(datasette))["id"]
    assert await write(datasette, photo=file_id) == ""
    monkeypatch.setattr(uses, "_MAX_SECONDS", 0.05)
    async with Files.of(datasette).uses._turn:  # by somebody else, for longer than there is time
        cut = await used(datasette, file_id)
    assert not cut["complete"]
    assert not any(use["rows"] or use["complete"] for use in cut["uses"])
    monkeypatch.setattr(uses, "_MAX_SECONDS", 60.0)
    assert (await used(datasette, file_id))["complete"]


async def test_odd_tables_are_searched_or_passed_over(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    path = tmp_path / "data.db"
    make_people(path)
    database = sqlite_utils.Database(path)
    columns = '"a ""b" text, "k,1" text, k2 integer, title text, primary key ("k,1", k2)'
    database.execute(f'create table "odd ""na/me" ({columns})')
    database.execute("create table keyless (photo text, name text)")
    database.execute("create view faces as select id, photo from people")
    database.close()
    datasette = await datasette_with_people(make_datasette, tmp_path)
    file_id = (await upload(datasette))["id"]
    database = sqlite_utils.Database(path)
    database.execute('insert into "odd ""na/me" values (?, ?, ?, ?)', [file_id, "x/y", 2, "Odd"])
    database.execute("insert into keyless values (?, ?)", [file_id, "Kay"])
    database.conn.commit()
    for table, column in [
        ('odd "na/me', 'a "b'),
        ("keyless", "photo"),
        ("faces", "photo"),  # a view: its rows are the table's
        ("dropped", "photo"),
        ("people", "dropped"),
    ]:
        await datasette.set_column_type("data", table, column, "file")
    await datasette.set_column_type("gone", "people", "photo", "file")
    keyless, odd = (await used(datasette, file_id))["uses"]
    assert keyless["rows"] == [{"path": "1", "label": "Kay", "url": "/data/keyless/1"}]
    assert (odd["rows"][0]["path"], odd["rows"][0]["label"]) == ("x~2Fy,2", "Odd")
    for use in (keyless, odd):
        assert (await datasette.client.get(use["rows"][0]["url"])).status_code == 200
        assert (await datasette.client.get(use["rows_url"])).status_code == 200
    database.execute(odd["suggested_index"])
    assert (await used(datasette, file_id))["uses"][1]["suggested_index"] is None


async def test_a_table_that_cannot_be_read_is_told_and_logged(
    datasette: Datasette, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file_id = (await upload(datasette))["id"]
    assert await write(datasette, photo=file_id) == ""
    database = sqlite_utils.Database(tmp_path / "data.db")
    database.execute("create virtual table broken using fts5(photo)")
    database.execute("pragma writable_schema = on")
    database.execute(
        "update sqlite_master set sql = replace(sql, 'fts5', 'none') where name = 'broken'"
    )
    database.conn.commit()
    database.close()
    await datasette.set_column_type("data", "broken", "photo", "files")
    body = await used(datasette, file_id)
    broken, photo = body["uses"]
    assert (broken["complete"], photo["complete"], body["complete"]) == (False, True, False)
    assert "broken.photo cannot be searched for files: no such module" in caplog.text


async def test_labels_and_tables_are_text_on_the_page(datasette: Datasette, tmp_path: Path) -> None:
    file_id = (await upload(datasette))["id"]
    people(tmp_path).update(1, {"photo": file_id, "name": "<script>x</script>\u202efdp.exe"})
    sqlite_utils.Database(tmp_path / "data.db")["a\u202eb"].insert({"id": 1, "photo": file_id})
    await datasette.set_column_type("data", "a\u202eb", "photo", "file")
    page = (await datasette.client.get(f"/-/files/{file_id}?uses=1")).text
    assert "<script>x" not in page
    assert "&lt;script&gt;x&lt;/script&gt;\N{REPLACEMENT CHARACTER}fdp.exe" in page
    assert page.count(">a\N{REPLACEMENT CHARACTER}b.photo</a>") == 2  # where used, and to delete
