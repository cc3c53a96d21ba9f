"""Live tables through the routes: made, shown to those who may see the file, and gone with it."""

from __future__ import annotations

import io
import json
import sqlite3
import time
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette
from datasette.permissions import PermissionSQL
from datasette.resources import TableResource

from datasette_files.app import Files
from datasette_files.db import jobs
from datasette_files.permissions.actions import VIEW
from tests.conftest import MakeDatasette, upload
from tests.support.live import database_of, ended, opened, rows, sqlite_file
from tests.support.storages import registered

CSV = "Größe,a b,💡\n1,x,1.5\n20,y,2.5\n".encode()
NAME = "Übersicht & Co. 2024.csv"
TABLE = "~C3~9Cbersicht+~26+Co~2E+2024"
BOOK = (Path(__file__).resolve().parents[2] / "fixtures" / "csv" / "workbook.xlsx").read_bytes()
READER, STRANGER, BOSS = {"id": "reader"}, {"id": "stranger"}, {"id": "boss"}


@pytest.fixture
async def datasette(make_datasette: MakeDatasette) -> Datasette:
    return await make_datasette()


def cached(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "internal.db.live-tables").glob("*.db"))


async def test_a_csv_is_a_database_with_all_of_datasette_on_it(
    datasette: Datasette, tmp_path: Path
) -> None:
    client = datasette.client
    file = await upload(datasette, CSV, NAME)
    url, home = f"/-/files/{file['id']}", database_of(file)
    before = (await client.get(f"{url}/tables.json")).json()
    assert before == {
        "ok": True,
        "tables": [{"name": "Übersicht & Co. 2024", "columns": ["Größe", "a b", "💡"]}],
        "open_url": f"{url}/-/open",
    }
    page = (await client.get(url)).text
    assert f'action="{url}/-/open"' in page
    assert (await client.get(home)).status_code == 302
    closed = await client.get(f"{home}.json", follow_redirects=True)
    assert (closed.status_code, closed.json()["code"]) == (409, "conflict")
    job = await opened(datasette, file)
    assert (job["status"], job["rows"], job["url"], job["left_out"]) == ("finished", 2, home, [])
    assert await rows(datasette, file, TABLE) == [
        {"rowid": 1, "Größe": 1, "a b": "x", "💡": 1.5},
        {"rowid": 2, "Größe": 20, "a b": "y", "💡": 2.5},
    ]
    facets = f"{home}/{TABLE}.json?_facet=Größe&Größe__gt=9"
    assert (await client.get(facets)).json()["facet_results"]["results"]["Größe"]["results"]
    sql = urlencode({"sql": 'select sum("Größe") total from "Übersicht & Co. 2024"'})
    answer = await client.get(f"{home}/-/query.json?_shape=array&{sql}")
    assert answer.json() == [{"total": 21}]
    again = await client.post(f"{url}/-/open")
    assert again.json() == {"ok": True, "database": home[1:], "url": home}
    after = (await client.get(f"{url}/tables.json")).json()
    assert after["tables"] == [
        {"name": "Übersicht & Co. 2024", "rows": 2, "columns": ["Größe", "a b", "💡"]}
    ]
    # The same bytes under the same name are made once.
    twin = await upload(datasette, CSV, NAME)
    assert (await client.post(f"/-/files/{twin['id']}/-/open")).status_code == 200
    assert len(await rows(datasette, twin, TABLE)) == 2
    assert len(cached(tmp_path)) == 1
    page = await client.post(f"{url}/-/open", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, home)
    await _deleted(datasette, file)
    assert (await client.get(home)).status_code == 404
    assert len(await rows(datasette, twin, TABLE)) == 2
    await _deleted(datasette, twin)
    assert cached(tmp_path) == []
    assert {name for name in datasette.databases if name.startswith("file_")} == set()


async def _deleted(datasette: Datasette, file: dict[str, Any]) -> None:
    answer = await datasette.client.post(f"/-/files/{file['id']}/-/delete", json={})
    assert answer.status_code == 200
    await Files.of(datasette).live.tidy()


@contextmanager
def _seen_by(readers: set[str]) -> Iterator[None]:
    """Another plugin's rule: these actors may see each file. It gives everybody tables besides."""

    def rule(datasette: Any, actor: Any, action: str) -> PermissionSQL | None:
        if action == VIEW and actor and actor["id"] in readers:
            sql = "SELECT 'docs' AS parent, id AS child, 1 AS allow, 'r' AS reason FROM"
            return PermissionSQL(sql=f"{sql} datasette_files")
        if action == "view-table":
            sql = "SELECT database_name AS parent, table_name AS child, 1 AS allow, 'r' AS reason"
            return PermissionSQL(sql=f"{sql} FROM catalog_tables")
        return None

    with registered(permission_resources_sql=rule):
        yield


ONE = {"id": ["boss"]}


@pytest.fixture
async def guarded(make_datasette: MakeDatasette) -> AsyncIterator[tuple[Datasette, set[str]]]:
    """A site whose files ``boss`` may browse, and others by a rule; and those others."""
    readers = {"reader"}
    with _seen_by(readers):
        yield await make_datasette(permissions={"files-browse": ONE, "files-upload": ONE}), readers


async def test_who_may_not_see_the_file_learns_nothing_of_its_tables(
    guarded: tuple[Datasette, set[str]],
) -> None:
    datasette, readers = guarded
    client = datasette.client
    file = await upload(datasette, b"secretcolumn\n1\n", "secrettable.csv", actor=BOSS)
    home = database_of(file)
    # Nobody can tell whether somebody has opened it.
    for actor in (STRANGER, None):
        closed = await client.get(home, actor=actor, follow_redirects=True)
        assert closed.status_code == 403
        refused = await client.post(f"/-/files/{file['id']}/-/open", actor=actor)
        assert refused.status_code == 403
    job = await opened(datasette, file, READER)
    assert job["status"] == "finished", job
    name, table = home[1:], f"{home}/secrettable"
    places = [home, f"{home}.json", table, f"{table}.json", f"{table}.csv", f"{table}/1.json"]
    places += [f"{home}/-/query.json?sql=select+1", f"{home}.db", f"{home}/-/schema"]
    lists = ["/", "/.json", "/-/databases.json", "/-/jump?q=secret", "/-/schema.json"]
    for actor, sees in ((READER, True), (STRANGER, False), (None, False)):
        await client.get(table, actor=READER)  # so that Datasette has it open
        for place in places:
            answer = await client.get(place, actor=actor)
            expected = 403 if not sees else 404 if place.endswith(".db") else 200
            assert answer.status_code == expected, (place, actor, answer.text)
            assert ("secretcolumn" in answer.text) <= sees, (place, actor)
        for place in lists:
            answer = await client.get(place, actor=actor)
            assert answer.status_code == 200
            told = name in answer.text or "secrettable" in answer.text
            assert told is sees, (place, actor)
    # Withdrawn: the next request is refused, and the list is without it.
    readers.clear()
    for place in places:
        assert (await client.get(place, actor=READER)).status_code == 403, place
    assert name not in (await client.get("/-/databases.json", actor=READER)).text
    assert (await client.get(table, actor=BOSS)).status_code == 200


async def test_a_permission_withdrawn_while_it_is_made_leaves_nothing(
    guarded: tuple[Datasette, set[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasette, readers = guarded
    file = await upload(datasette, b"a\n1\n", "a.csv", actor=BOSS)
    cancelled = await datasette.client.post(f"/-/files/{file['id']}/-/open", actor=READER)

    async def withdraw(*_: Any) -> dict[str, Any]:
        readers.clear()
        return {"tables": [{"name": "a", "rows": 1}], "left_out": []}

    monkeypatch.setattr("datasette_files.imports.process.run", withdraw)
    url = cancelled.json()["job"]["url"]
    job = await ended(datasette, url, BOSS)
    assert (job["status"], "see this file" in job["error"]) == ("error", True)
    assert cached(tmp_path) == []
    assert list((tmp_path / "internal.db.live-tables").iterdir()) == []
    assert (await datasette.client.get(f"{url}.json", actor=READER)).status_code == 403


@pytest.mark.full
async def test_it_is_there_after_a_restart_and_made_again_after_an_eviction(
    make_datasette: MakeDatasette, datasette: Datasette, tmp_path: Path
) -> None:
    file = await upload(datasette, CSV, NAME)
    await opened(datasette, file)
    other = await make_datasette()
    assert len(await rows(other, file, TABLE)) == 2
    (path,) = cached(tmp_path)
    path.unlink()
    table = f"{database_of(file)}/{TABLE}"
    for site in (datasette, other):
        # A page of the site's own is served although a database of it has gone.
        assert (await site.client.get("/")).status_code == 200
    away = await datasette.client.get(f"{table}?_sort=Gr~C3~B6~C3~9Fe")
    assert away.status_code == 302
    job = await datasette.client.get(away.headers["location"])
    assert (job.status_code, "/open/" in job.headers["location"]) == (302, True)
    progress = job.headers["location"]
    page = await datasette.client.get(progress)
    assert page.status_code in (200, 303)
    await ended(datasette, progress.partition("?")[0])
    back = await datasette.client.get(progress)
    assert back.status_code == 303
    assert back.headers["location"] == f"{table}?_sort=Gr~C3~B6~C3~9Fe"
    assert len(await rows(datasette, file, TABLE)) == 2
    assert len(await rows(other, file, TABLE)) == 2
    program = await other.client.get(f"{table}.json", follow_redirects=True)
    assert program.status_code == 200
    elsewhere = await datasette.client.get(f"{progress.partition('?')[0]}?next=//evil.example/")
    assert elsewhere.headers["location"] == database_of(file)


@pytest.mark.full
async def test_the_least_recently_used_goes_first(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    datasette = await make_datasette(live_tables_bytes=70_000, live_tables_path=str(tmp_path / "c"))
    lines = b"n\n" + b"123456789012\n" * 1500
    made = [await upload(datasette, b"%b%d\n" % (lines, n), f"t{n}.csv") for n in range(3)]
    for file in made[:2]:
        assert (await opened(datasette, file))["status"] == "finished"
    assert len(await rows(datasette, made[0], "t0")) == 100  # used last
    assert (await opened(datasette, made[2]))["status"] == "finished"
    await Files.of(datasette).live.tidy()
    states = [(await datasette.client.get(database_of(file))).status_code for file in made]
    assert states == [200, 302, 200]
    assert sum(path.stat().st_size for path in (tmp_path / "c").glob("*.db")) <= 70_000
    large = await upload(datasette, b"n\n" + b"123456789012\n" * 10_000, "large.csv")
    job = await opened(datasette, large)
    assert (job["status"], "live_tables_bytes" in job["error"]) == ("error", True)


@pytest.mark.full
async def test_every_kind_of_file_with_every_name(datasette: Datasette, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a/b.csv", "n\n1\n")
        archive.writestr("A/B.csv", "n\n2\n")
        archive.writestr("broken.json", "[{")
        archive.writestr("readme.txt", "hello")
    file = await upload(datasette, packed.getvalue(), "many.zip", content_type="application/zip")
    told = (await datasette.client.get(f"/-/files/{file['id']}/tables.json")).json()["tables"]
    assert [one["name"] for one in told] == ["a/b.csv", "A/B.csv", "broken.json"]
    job = await opened(datasette, file)
    assert [one["name"] for one in job["left_out"]] == ["broken.json"]
    page = await datasette.client.get(job["url"].replace("/file_", "/-/files/df-") + "/open")
    assert page.status_code == 302
    assert await rows(datasette, file, "a~2Fb~2Ecsv") == [{"rowid": 1, "n": 1}]
    assert await rows(datasette, file, "A~2FB~2Ecsv_2") == [{"rowid": 1, "n": 2}]

    file = await upload(datasette, BOOK, "book.xlsx")
    job = await opened(datasette, file)
    assert job["status"] == "finished", job
    assert [one["name"] for one in job["left_out"]] == ["Empty"]
    told = (await datasette.client.get(f"/-/files/{file['id']}/tables.json")).json()["tables"]
    assert {one["name"]: one["rows"] for one in told} == {"People": 3, "Secret": 1, "Numbers": 2}

    document = {"sqlite_x": [{"a": 1}, {"a": True}], 'it\'s; "so"': [{"b": [1, 2]}, {"c": None}]}
    file = await upload(datasette, json.dumps(document).encode(), "lists.json")
    job = await opened(datasette, file)
    assert job["status"] == "finished", job
    assert await rows(datasette, file, "file_sqlite_x") == [
        {"rowid": 1, "a": 1},
        {"rowid": 2, "a": 1},
    ]
    assert (await rows(datasette, file, "it~27s~3B+~22so~22"))[0]["b"] == "[1, 2]"

    path = sqlite_file(
        tmp_path, "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (7)"
    )
    file = await upload(datasette, path.read_bytes(), "data.bin")
    assert (await opened(datasette, file))["status"] == "finished"
    assert await rows(datasette, file, "t") == [{"id": 7}]
    assert (await datasette.client.get(f"{database_of(file)}/t/7.json")).status_code == 200

    for content, name in ((b"\x89PNG\r\n\x1a\n" + b"\x00" * 99, "a.png"), (b"", "empty.csv")):
        file = await upload(datasette, content, name)
        job = await opened(datasette, file)
        assert job["status"] == "error"
        assert job["error"]
        page = await datasette.client.get(f"/-/files/{file['id']}/open")
        assert "Open as a table" in page.text


async def test_no_actor_takes_all_places(datasette: Datasette) -> None:
    def add(conn: sqlite3.Connection, who: str | None) -> int:
        actor = None if who is None else {"id": who}
        options = {"file_id": "df-x", "key": "k", "size": 1}
        return jobs.add(conn, kind="other", actor=actor, actor_id=who, options=options, notes={})

    def claim(conn: sqlite3.Connection) -> int | None:
        found = jobs.claim(
            conn, "other", "p", holder="h", now=time.time(), length=9, limit=3, shared=True
        )
        return None if found is None else found.id

    def scene(conn: sqlite3.Connection) -> tuple[list[int], list[int | None]]:
        added = [add(conn, who) for who in ("a", "a", "a", None, None)]
        claimed = [claim(conn) for _ in range(3)]
        jobs.end(conn, added[0], "finished")
        return added, [*claimed, claim(conn)]

    added, claimed = await Files.of(datasette).catalog.write(scene)
    # The third place is for an actor without one; who has a place leaves one free.
    assert claimed == [added[0], added[1], added[3], None]


@pytest.mark.full
async def test_a_base_url_and_crossdb_change_nothing(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(settings={"base_url": "/site/"})
    file = await upload(datasette, b"a\n1\n", "a.csv")
    answer = await datasette.client.post(f"/-/files/{file['id']}/-/open")
    url = answer.json()["job"]["url"]
    assert url.startswith("/site/-/files/")
    assert (await ended(datasette, url.removeprefix("/site")))["status"] == "finished"
    home = database_of(file)
    assert (await datasette.client.get(f"{home}/a.json")).status_code == 200
    # No other database can attach it, as --crossdb has _memory do with all files.
    assert datasette.databases[home[1:]].is_memory
    verdict = await datasette.allowed(
        action="view-table", resource=TableResource(home[1:], "a"), actor=None
    )
    assert verdict
