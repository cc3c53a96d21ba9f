"""A new version in the rows that hold an older one: the offer, the change, and what stays."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from datasette.app import Datasette
from datasette.events import UpdateRowEvent

from datasette_files.columns import version_rows
from datasette_files.tables import version_rows as putting
from tests.conftest import OPEN, MakeDatasette, upload
from tests.support.columns import ABSENT, datasette_with_people, make_people

ALICE, BOB = {"id": "alice"}, {"id": "bob"}


async def replace(datasette: Datasette, file_id: str, name: str = "new.txt") -> str:
    answer = await datasette.client.put(
        f"/-/files/upload/docs/{name}?replaces={file_id}", content=b"new"
    )
    assert answer.status_code == 201, answer.text
    new: str = answer.json()["file_id"]
    return new


async def put(
    datasette: Datasette, file_id: str, columns: Any = None, actor: Any = None
) -> dict[str, Any]:
    body = {} if columns is None else {"columns": columns}
    answer = await datasette.client.post(f"/-/files/{file_id}/-/rows", json=body, actor=actor)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert told.pop("ok")
    return told


def place(column: str, table: str = "people") -> dict[str, str]:
    return {"database": "data", "table": table, "column": column}


NOTHING = {"updated": 0, "changed_meanwhile": 0, "refused": [], "more": False}


async def test_the_new_id_takes_the_place_of_every_older_one(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(tmp_path / "data.db", rows=6)
    datasette = await datasette_with_people(make_datasette, tmp_path)
    other = (await upload(datasette))["id"]
    first = (await upload(datasette))["id"]
    assert "/rows" not in (await datasette.client.get(f"/-/files/{first}")).text
    second = await replace(datasette, first)
    third = await replace(datasette, second)
    database = sqlite_utils.Database(tmp_path / "data.db")
    people = database["people"]
    kept = f'["{other}",  "{ABSENT}"]'
    people.update(1, {"photo": first, "papers": json.dumps([other, first, ABSENT])})
    people.update(2, {"photo": second, "papers": json.dumps([second, third, first])})
    people.update(3, {"photo": third, "papers": kept})
    # Neither is an array of ids.
    people.update(4, {"photo": f"{first} ", "papers": json.dumps({"x": first})})
    people.update(5, {"papers": json.dumps([first, "no id"])})
    database.execute('create table "odd ""t" (a text, b integer, held text, primary key (a, b))')
    database.execute('insert into "odd ""t" values (?, ?, ?)', ["x/y", 2, first])
    database.execute("create table keyless (held text)")
    database.execute("insert into keyless values (?)", [first])
    database.conn.commit()
    for table in ('odd "t', "keyless"):
        await datasette.set_column_type("data", table, "held", "file")

    page = await datasette.client.get(f"/-/files/{third}")
    assert f'href="/-/files/{third}/rows"' in page.text
    page = await datasette.client.get(f"/-/files/{third}/rows")
    assert page.text.count('name="column"') == 4
    assert '<a href="/data/people/1">row <bdi>1</bdi></a>' in page.text
    assert "in <bdi>data</bdi>, 3 rows" in page.text  # papers: two arrays, and what is none

    events: list[Any] = []

    async def tracked(event: Any) -> None:
        events.append(event)

    monkeypatch.setattr(datasette, "track_event", tracked)
    told = await put(datasette, third, [place("photo")])
    assert told == {**NOTHING, "updated": 2}
    assert [(one.name, one.table, one.pks) for one in events] == [
        ("update-row", "people", [1]),
        ("update-row", "people", [2]),
    ]
    assert all(isinstance(one, UpdateRowEvent) for one in events)
    # Without columns: all. What is no array of ids stays.
    assert await put(datasette, third) == {**NOTHING, "updated": 4, "changed_meanwhile": 1}
    rows = {row["id"]: (row["photo"], row["papers"]) for row in people.rows}
    assert rows[1] == (third, json.dumps([other, third, ABSENT]))
    assert rows[2] == (third, json.dumps([third]))
    assert rows[3] == (third, kept)
    assert rows[4] == (f"{first} ", json.dumps({"x": first}))
    assert rows[5] == (None, json.dumps([first, "no id"]))
    for table in ('odd "t', "keyless"):
        assert [row["held"] for row in database[table].rows] == [third]
    # Only the newest version, and only what is there.
    refused = await datasette.client.post(f"/-/files/{second}/-/rows", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    refused = await datasette.client.post(f"/-/files/{third}/-/rows", json={"columns": [1]})
    assert refused.json()["code"] == "invalid"
    assert await put(datasette, other) == NOTHING


async def test_a_form_changes_the_columns_that_are_chosen(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    datasette = await datasette_with_people(make_datasette, tmp_path)
    old = (await upload(datasette))["id"]
    new = await replace(datasette, old)
    people = sqlite_utils.Database(tmp_path / "data.db")["people"]
    people.update(1, {"photo": old, "papers": json.dumps([old])})
    chosen = "database=data&table=people&column=papers"
    browser = {"Accept": "text/html"}
    url = f"/-/files/{new}/-/rows"
    answer = await datasette.client.post(url, data={"column": chosen}, headers=browser)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/-/files/{new}/rows"
    shown = await datasette.client.get(answer.headers["location"], cookies=answer.cookies)
    assert "1 row changed." in shown.text
    assert (people.get(1)["photo"], people.get(1)["papers"]) == (old, json.dumps([new]))
    other_site = {**browser, "Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    answer = await datasette.client.post(url, data={"column": chosen}, headers=other_site)
    assert answer.status_code == 403


async def test_each_table_needs_its_permissions_and_each_column_its_rules(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    permissions = {**OPEN, "update-row": ALICE, "view-table": {"id": ["alice", "bob"]}}
    datasette = await datasette_with_people(
        make_datasette, tmp_path, permissions=permissions, photo={"accept": ".png"}
    )
    old = (await upload(datasette))["id"]
    new = await replace(datasette, old)
    people = sqlite_utils.Database(tmp_path / "data.db")["people"]
    people.update(1, {"photo": old, "papers": json.dumps([old])})
    for actor in (None, BOB):
        assert await put(datasette, new, actor=actor) == NOTHING
        page = await datasette.client.get(f"/-/files/{new}/rows", actor=actor)
        assert "No row that you may change holds an older version." in page.text
        assert "people" not in page.text
        page = await datasette.client.get(f"/-/files/{new}", actor=actor)
        assert f"/-/files/{new}/rows" not in page.text
    page = await datasette.client.get(f"/-/files/{new}/rows", actor=ALICE)
    assert "This column does not take the new version." in page.text
    told = await put(datasette, new, actor=ALICE)
    assert told["updated"] == 1
    [refused] = told["refused"]
    assert (refused["column"], refused["code"]) == ("photo", "conflict")
    assert (people.get(1)["photo"], people.get(1)["papers"]) == (old, json.dumps([new]))


async def test_a_row_that_changes_meanwhile_stays_as_it_is(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_people(tmp_path / "data.db", rows=4)
    datasette = await datasette_with_people(make_datasette, tmp_path)
    old, other = [(await upload(datasette))["id"] for _ in range(2)]
    new = await replace(datasette, old)
    database = sqlite_utils.Database(tmp_path / "data.db")
    people = database["people"]
    for number in (1, 2, 3, 4):
        people.update(number, {"photo": old})
    found = putting.find

    async def slow(database: Any, place: Any, *more: Any, **how: Any) -> Any:
        holders = await found(database, place, *more, **how)
        if place.column == "photo":
            people.update(2, {"photo": other})
        return holders

    monkeypatch.setattr(putting, "find", slow)
    monkeypatch.setattr(version_rows, "MAX_ROWS", 3)
    told = await put(datasette, new)
    assert told == {**NOTHING, "updated": 2, "changed_meanwhile": 1, "more": True}
    assert [row["photo"] for row in people.rows] == [new, other, new, old]

    # A trigger that refuses, a table that changed: the column stays, and the reason is told.
    monkeypatch.setattr(putting, "find", found)
    database.execute(
        "create trigger t before update on people begin select raise(abort, 'closed'); end"
    )
    told = await put(datasette, new)
    assert (told["updated"], told["refused"][0]["code"]) == (0, "conflict")
    assert "closed" in told["refused"][0]["error"]
    database.execute("drop trigger t")

    async def altering(database: Any, place: Any, *more: Any, **how: Any) -> Any:
        holders = await found(database, place, *more, **how)
        if place.column == "photo":
            people.db.execute("alter table people drop column photo")
        return holders

    monkeypatch.setattr(putting, "find", altering)
    told = await put(datasette, new, [place("photo")])
    assert told == {**NOTHING, "changed_meanwhile": 1}
    monkeypatch.setattr(putting, "find", found)
    monkeypatch.setattr(version_rows, "_MAX_SECONDS", 0.0)
    assert (await put(datasette, new))["more"]
