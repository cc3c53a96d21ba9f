"""The filter ``unreferenced=1``: files that no row holds, and what the search says of itself."""

import json
import sqlite3
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from datasette.app import Datasette

from datasette_files.columns import unreferenced
from tests.conftest import OPEN, MakeDatasette, upload
from tests.support.columns import column_types, datasette_with_people, make_people

ALICE = {"id": "alice"}


async def listed(datasette: Datasette, query: str = "", actor: Any = None) -> dict[str, Any]:
    url = f"/-/files/source/docs.json?unreferenced=1{query}"
    answer = await datasette.client.get(url, actor=actor)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def ids(body: dict[str, Any]) -> list[str]:
    return [file["id"] for file in body["files"]]


async def test_files_that_no_column_of_any_database_holds(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    other = sqlite_utils.Database(tmp_path / "other.db")
    other["t"].insert({"id": 1, "held": ""}, pk="id")
    other.execute("create view v as select id, held as seen from t")
    make_people(tmp_path / "data.db")
    config = column_types()
    config["databases"]["other"] = {
        "tables": {"t": {"column_types": {"held": "file"}}, "v": {"column_types": {"seen": "file"}}}
    }
    datasette = await make_datasette(
        databases=[tmp_path / "data.db", tmp_path / "other.db"], config=config
    )
    one, two, three, free, broken = [
        (await upload(datasette, filename=f"{name}.txt"))["id"] for name in "abcde"
    ]
    people = sqlite_utils.Database(tmp_path / "data.db")["people"]
    people.update(1, {"photo": one, "papers": json.dumps([two, one])})
    # Text that is no array of ids holds none.
    people.insert({"id": 2, "photo": f" {free}", "papers": f'["{broken}", '})
    people.insert({"id": 3, "photo": 7, "papers": json.dumps({"x": free})})
    other["t"].insert({"id": 2, "held": three})
    body = await listed(datasette)
    assert ids(body) == [broken, free]
    assert (body["complete"], body["not_searched"], body["not_searched_others"]) == (True, [], 0)
    assert (body["total"], body["count_truncated"], body["next"]) == (2, False, None)
    assert 0 <= body["files"][0]["age_seconds"] < 600
    # With the other arguments of a list: search, order, filters.
    assert ids(await listed(datasette, "&q=d.txt")) == [free]
    assert ids(await listed(datasette, "&_sort=filename")) == [free, broken]
    assert ids(await listed(datasette, "&created_before=2001-01-01")) == []
    assert len((await datasette.client.get("/-/files/source/docs.json")).json()["files"]) == 5
    for path in ("source/docs.json?unreferenced=yes", "search.json?unreferenced=1"):
        assert (await datasette.client.get(f"/-/files/{path}")).json()["code"] == "invalid"
    # All that match would hold referenced files too, so there is no such selection.
    chosen = {"selection": {"source": "docs", "unreferenced": "1"}, "action": "delete"}
    refused = await datasette.client.post("/-/files/-/bulk", json=chosen)
    assert refused.status_code == 400
    assert "ids" in refused.json()["error"]


@pytest.mark.full
async def test_pages_hold_each_file_once(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the size of batches and the place in them where a page is full."""
    datasette = await datasette_with_people(make_datasette, tmp_path)
    every = [(await upload(datasette, filename=f"{number}.txt"))["id"] for number in range(17)]
    held = every[::3]
    sqlite_utils.Database(tmp_path / "data.db")["people"].update(1, {"papers": json.dumps(held)})
    free = [one for one in reversed(every) if one not in held]
    for first, enough in ((3, 60.0), (5, 60.0), (500, 60.0), (4, 0.0)):
        monkeypatch.setattr(unreferenced, "_FIRST_BATCH", first)
        monkeypatch.setattr(unreferenced, "_ENOUGH_SECONDS", enough)
        found, token, pages = [], "", 0
        while pages < 20:
            body = await listed(datasette, f"&_size=4{token}")
            pages += 1
            found += ids(body)
            assert len(body["files"]) == 4 or body["next"] is None or not body["complete"]
            if body["next"] is None:
                break
            token = f"&_next={body['next']}"
        assert found == free
        # Without time for a second batch, a page that is not full says that it is not complete.
        assert pages == (5 if enough == 0 else 3)


async def test_what_was_not_searched_is_told_to_who_may_view_it(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    permissions = {**OPEN, "view-table": ALICE}
    datasette = await datasette_with_people(make_datasette, tmp_path, permissions=permissions)
    held, free = [(await upload(datasette))["id"] for _ in range(2)]
    database = sqlite_utils.Database(tmp_path / "data.db")
    database["people"].update(1, {"photo": held})
    # A reference is a reference, also in a table that the actor may not view.
    body = await listed(datasette)
    assert (ids(body), body["complete"], body["not_searched_others"]) == ([free], True, 0)
    await datasette.set_column_type("gone", "t", "photo", "file")
    await datasette.set_column_type("data", "dropped", "photo", "file")  # it holds nothing
    database.execute("create view slow as select id, photo as held from people, broken")
    await datasette.set_column_type("data", "slow", "held", "file")
    body = await listed(datasette)
    assert (ids(body), body["complete"]) == ([free], False)
    assert (body["not_searched"], body["not_searched_others"]) == ([], 2)
    body = await listed(datasette, actor=ALICE)
    place = {"database": "data", "table": "slow", "column": "held", "reason": "error"}
    assert (body["not_searched"], body["not_searched_others"]) == ([place], 1)

    shown = (await datasette.client.get("/-/files/source/docs?unreferenced=1")).text
    assert "data/slow.held" not in shown
    assert "2 columns that you may not view" in shown
    shown = (await datasette.client.get("/-/files/source/docs?unreferenced=1", actor=ALICE)).text
    assert "<bdi>data/slow.held</bdi>: it cannot be read" in shown

    # Each column has Datasette's time for one query, all together those of the request.
    monkeypatch.setattr(unreferenced, "_MAX_SECONDS", 0.0)
    body = await listed(datasette, actor=ALICE)
    assert {one["reason"] for one in body["not_searched"]} == {"timeout"}
    assert set(ids(body)) == {held, free}
    assert not body["complete"]
    monkeypatch.setattr(unreferenced, "_MAX_SECONDS", 5.0)
    monkeypatch.setattr(unreferenced, "_MAX_COLUMNS", 0)
    body = await listed(datasette, actor=ALICE)
    assert {one["reason"] for one in body["not_searched"]} == {"too_many"}


async def test_the_page_shows_ages_and_offers_the_filter_to_who_tidies_up(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    permissions = {"files-browse": True, "files-upload": True, "files-delete": ALICE}
    datasette = await datasette_with_people(make_datasette, tmp_path, permissions=permissions)
    file_id = (await upload(datasette))["id"]
    page = "/-/files/source/docs"
    control = '<input type="checkbox" name="unreferenced" value="1"'
    assert control not in (await datasette.client.get(page)).text
    assert f"{control}>" in (await datasette.client.get(page, actor=ALICE)).text
    then = f"{datetime.now(timezone.utc).year - 2}-01-01 00:00:00"
    with closing(sqlite3.connect(tmp_path / "internal.db", isolation_level=None)) as conn:
        conn.execute("UPDATE datasette_files SET created_at = ?", (then,))
    shown = (await datasette.client.get(f"{page}?unreferenced=1", actor=ALICE)).text
    assert f"{control} checked>" in shown
    assert "1 file not used in any table." in shown
    assert "2 years old" in shown
    # The bar offers what is chosen here, and never all that match.
    assert 'data-match=""' in shown
    assert "2 years old" in (await datasette.client.get(f"{page}?unreferenced=1&view=grid")).text
    sqlite_utils.Database(tmp_path / "data.db")["people"].update(1, {"photo": file_id})
    shown = (await datasette.client.get(f"{page}?unreferenced=1", actor=ALICE)).text
    assert "Each of these files is used in a table." in shown
    assert f'href="/-/files/{file_id}"' not in shown
