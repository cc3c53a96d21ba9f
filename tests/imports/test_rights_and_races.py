"""Imports that others get in the way of: rights, races, rules of a table, names made to harm."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.database import Database

from datasette_files.app import Files
from datasette_files.db import jobs as rows
from datasette_files.sources import reading
from datasette_files.tables import leftovers, target, words
from datasette_files.tables.content import STAGING_PREFIX, Content
from datasette_files.views import menu
from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.imports import engine, site

PEOPLE = b"id,name\n1,Ann\n2,Bob\n"
ALICE, BOB = {"id": "alice"}, {"id": "bob"}


async def sql(datasette: Datasette, *statements: str) -> None:
    for statement in statements:
        await datasette.get_database("data").execute_write(statement)


async def test_an_import_is_shown_to_who_started_it_or_may_view_its_table(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    both = {"id": ["alice", "bob"]}
    permissions = {**dict.fromkeys(site.WRITE, both), "view-table": {"id": "carol"}}
    permissions |= dict.fromkeys(("files-browse", "files-upload", "files-delete"), both)
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "other")}
    datasette = await make_datasette(sources, permissions)
    site.attach(datasette, tmp_path)
    response = await site.start(datasette, PEOPLE, actor=ALICE)
    url = response.headers["location"]
    while True:
        job = (await datasette.client.get(f"{url}.json", actor=ALICE)).json()
        if job["status"] in site.OVER:
            break
        await asyncio.sleep(0.1)
    assert job["status"] == "finished", job["error"]
    for path in (url, f"{url}.json"):
        refused = await datasette.client.get(path, actor=BOB)
        assert refused.status_code == 403
        assert "made" not in refused.text
    for path, values in (("cancel", {}), ("restart", {}), ("restart", {"apply": "1"})):
        refused = await datasette.client.post(f"{url}/-/{path}", data=values, actor=BOB)
        assert refused.status_code == 403, "though Bob may import into the database"
        assert "made" not in refused.text
    file_id = job["file_id"]
    assert "data/made" not in (await datasette.client.get(f"/-/files/{file_id}", actor=BOB)).text
    missing = await datasette.client.get(f"/-/files/import/{file_id}/999.json", actor=BOB)
    assert missing.status_code == 404


async def test_what_a_deleted_file_was_is_told_to_who_may_browse_its_source(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    permissions = {**dict.fromkeys(site.PERMISSIONS, ALICE), "files-delete": ALICE}
    datasette = await make_datasette(permissions=permissions)
    site.attach(datasette, tmp_path)
    response = await site.start(datasette, PEOPLE, actor=ALICE)
    url = response.headers["location"]
    while (await datasette.client.get(f"{url}.json", actor=ALICE)).json()["status"] != "finished":
        await asyncio.sleep(0.1)
    file_id = url.split("/")[-2]
    deleted = await datasette.client.delete(f"/-/files/{file_id}", actor=ALICE)
    assert deleted.status_code == 204
    page = (await datasette.client.get("/data/made", actor=ALICE)).text
    assert "a file that was deleted since" in page
    assert file_id in page
    page = (await datasette.client.get("/data/made", actor=BOB)).text
    assert "alice" not in page
    assert file_id not in page


async def test_base_url_is_in_every_address(make_datasette: MakeDatasette, tmp_path: Path) -> None:
    datasette = await make_datasette(
        permissions=site.PERMISSIONS, settings={"base_url": "/prefix/"}
    )
    site.attach(datasette, tmp_path)
    response = await site.start(datasette, b"a,b\n1,2,3\n")
    url = response.headers["location"]
    assert url.startswith("/prefix/-/files/import/")
    own = url.removeprefix("/prefix")
    assert (await site.ended(datasette, own))["table_url"] == "/prefix/data/made"
    page = (await datasette.client.get(own)).text
    assert f'action="{url}/-/restart"' in page
    preview = (await datasette.client.get(own.rpartition("/")[0])).text
    assert f'action="{url.rpartition("/")[0]}"' in preview


async def test_a_cancellation_at_the_last_moment_is_one(
    datasette: Datasette, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = rows.commits

    def too_late(conn: sqlite3.Connection, job: rows.Job, result: dict[str, Any]) -> bool:
        rows.cancel(conn, job.id)
        return commits(conn, job, result)

    monkeypatch.setattr(rows, "commits", too_late)
    job = await site.imported(datasette, PEOPLE)
    assert (job["status"], job["error"]) == ("cancelled", None)
    assert site.tables(data) == set()


async def test_what_another_process_took_at_the_last_moment_is_left_to_it(
    datasette: Datasette,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    commits = rows.commits

    def taken(conn: sqlite3.Connection, job: rows.Job, result: dict[str, Any]) -> bool:
        conn.execute("UPDATE datasette_files_jobs SET holder = 'another'")
        return commits(conn, job, result)

    monkeypatch.setattr(rows, "commits", taken)
    url = (await site.start(datasette, PEOPLE)).headers["location"]
    while not caplog.text.count("was taken over by another process"):
        await asyncio.sleep(0.05)
    assert (await datasette.client.get(f"{url}.json")).json()["status"] == "running"
    (staging,) = site.tables(data)
    assert staging.startswith("_datasette_files_import_")


async def test_of_two_imports_into_one_new_table_one_ends(datasette: Datasette, data: Path) -> None:
    many = b"a\n" + b"1\n" * 5000
    started = await asyncio.gather(*(site.start(datasette, many) for _ in range(2)))
    jobs = [await site.ended(datasette, one.headers["location"]) for one in started]
    assert sorted(job["status"] for job in jobs) == ["error", "finished"]
    assert any("There is a table 'made'" in str(job["error"]) for job in jobs)
    assert len(site.rows(data)) == 5000
    assert site.tables(data) == {"made"}


async def test_a_file_deleted_meanwhile_leaves_nothing_behind(
    datasette: Datasette, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Files.of(datasette).sources.get("docs").storage
    begun, gone = asyncio.Event(), asyncio.Event()

    async def stream_file(path: str) -> Any:
        yield b"a,b\n1,2\n"
        begun.set()
        await gone.wait()
        raise FileNotFoundError(path)

    monkeypatch.setattr(storage, "stream_file", stream_file)
    url = (await site.start(datasette, PEOPLE)).headers["location"]
    await begun.wait()
    assert (await datasette.client.delete(f"/-/files/{url.split('/')[-2]}")).status_code == 204
    assert (await datasette.client.get(f"{url}.json")).status_code == 404
    gone.set()
    catalog = Files.of(datasette).catalog
    while await catalog.read(rows.any_active):
        await asyncio.sleep(0.1)
    status, error = await catalog.read(
        lambda conn: conn.execute("SELECT status, error FROM _datasette_files_imports").fetchone()
    )
    assert (status, "bytes are missing" in error) == ("error", True)
    assert site.tables(data) == set()


async def test_a_file_that_lost_its_end_is_no_table(
    datasette: Datasette, data: Path, tmp_path: Path
) -> None:
    file = await upload(datasette, PEOPLE, "people.csv")
    (stored,) = (tmp_path / "docs").rglob("*people.csv")
    stored.write_bytes(PEOPLE[:-6])
    fields = {"database_name": "data", "table_name": "made"}
    response = await datasette.client.post(f"/-/files/import/{file['id']}", data=fields)
    job = await site.ended(datasette, response.headers["location"])
    assert (job["status"], "bytes are missing" in job["error"]) == ("error", True), job
    assert site.tables(data) == set()


async def test_rules_of_a_table_hold(datasette: Datasette, data: Path) -> None:
    await sql(
        datasette,
        "CREATE TABLE made (id INTEGER PRIMARY KEY, name TEXT UNIQUE, up AS (upper(name)))",
        "CREATE TABLE seen (name)",
        "CREATE TRIGGER note AFTER INSERT ON made BEGIN INSERT INTO seen VALUES (new.name); END",
    )
    job = await site.imported(datasette, PEOPLE, mode="append")
    assert job["status"] == "finished", job["error"]
    assert site.rows(data) == [(1, "Ann", "ANN"), (2, "Bob", "BOB")]
    assert site.rows(data, "seen") == [("Ann",), ("Bob",)]
    job = await site.imported(datasette, b"id,up\n3,X\n", mode="append")
    assert (job["status"], "no column 'up'" in job["error"]) == ("error", True)
    job = await site.imported(datasette, b"id,name\n3,Cy\n4,Ann\n", mode="merge")
    assert (job["status"], "breaks a rule" in job["error"]) == ("error", True)
    assert len(site.rows(data)) == len(site.rows(data, "seen")) == 2
    await sql(
        datasette,
        "CREATE TRIGGER bar BEFORE INSERT ON made BEGIN SELECT RAISE(ABORT, 'closed'); END",
    )
    job = await site.imported(datasette, b"id,name\n9,Di\n", mode="append")
    assert (job["status"], "closed" in job["error"]) == ("error", True)
    assert len(site.rows(data)) == 2
    assert site.tables(data) == {"made", "seen", "note", "bar", "sqlite_autoindex_made_1"}


@pytest.mark.parametrize("table", ["plain", 'a"b', "x'; DROP TABLE other; --", "[a]", "ü %s {} `"])
def test_names_are_only_names(tmp_path: Path, table: str) -> None:
    """The steps of a new table, with names that would break SQL put together carelessly."""
    name, key = f"{table} 1", f'"{table}'
    csv = tmp_path / "x.csv"
    quoted = ",".join('"' + one.replace('"', '""') + '"' for one in (key, name))
    csv.write_text(f"{quoted}\n1,word\n2,other\n")
    outcome = engine.read(csv, tmp_path, key=outcome_name(key))
    content = Content(
        path=tmp_path / "rows.db",
        columns=outcome["columns"],
        kinds=outcome["types"],
        rows=outcome["rows"],
        table=table,
        staging=STAGING_PREFIX + "test",
        key=outcome_name(key),
        indexes=(name,),
        search=(name,),
    )
    conn = sqlite3.connect(f"file:{tmp_path / 'user.db'}", uri=True)
    conn.execute("CREATE TABLE other (a)")
    target.create_staging(conn, content)
    target.copy_rows(conn, content, 0, 2)
    assert words.index_words(conn, content, 0, 10) == 2
    target.appear(conn, content, replaces=False)
    found = f'"{(table + "_fts").replace(chr(34), chr(34) * 2)}"'
    assert conn.execute(f"SELECT rowid FROM {found} WHERE {found} MATCH 'word'").fetchall() == [
        (1,)
    ]
    names = {row[0] for row in conn.execute("SELECT name FROM sqlite_master")}
    assert {"other", table} <= names
    # And once more, in place of the first with its index.
    target.create_staging(conn, content)
    target.copy_rows(conn, content, 0, 1)
    target.appear(conn, content, replaces=True)
    quoted_table = '"' + table.replace('"', '""') + '"'
    assert conn.execute(f"SELECT * FROM {quoted_table}").fetchall() == [(1, "word")]
    names = {row[0] for row in conn.execute("SELECT name FROM sqlite_master")}
    assert {one for one in names if "_fts" in one and not one.startswith(f"{table}_fts_")} == {
        f"{table}_fts"
    }
    assert not any(one.startswith(STAGING_PREFIX) for one in names)
    conn.close()


def outcome_name(name: str) -> str:
    return " ".join(name.split())


def test_a_leftover_becomes_no_table(tmp_path: Path) -> None:
    """The process that was taken for dead goes on after another has begun to clean up."""
    csv = tmp_path / "x.csv"
    csv.write_bytes(PEOPLE)
    outcome = engine.read(csv, tmp_path)
    staging = STAGING_PREFIX + "test"
    content = Content(
        tmp_path / "rows.db", outcome["columns"], outcome["types"], 2, "made", staging
    )
    conn = sqlite3.connect(f"file:{tmp_path / 'user.db'}", uri=True)
    target.create_staging(conn, content)
    target.copy_rows(conn, content, 0, 2)
    assert leftovers.begin(conn, staging)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        target.appear(conn, content, replaces=False)
    # The one that cleans dies too, and a third begins.
    assert leftovers.begin(conn, staging)
    while leftovers.drop_some(conn, staging):
        pass
    assert not leftovers.begin(conn, staging)
    assert conn.execute("SELECT name FROM sqlite_master").fetchall() == []
    conn.close()


async def test_what_cannot_be_written_to_is_neither_offered_nor_taken(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    datasette = await make_datasette(permissions=site.PERMISSIONS)
    path = str(site.database(tmp_path))
    datasette.add_database(Database(datasette, path=path, is_mutable=False), name="data")
    refused = await site.start(datasette, PEOPLE)
    assert (refused.status_code, "cannot be written to" in refused.text) == (400, True)
    page = (await datasette.client.get(refused.url.path)).text
    assert "no database that you may import into" in page


async def test_a_column_that_search_cannot_have_is_refused(
    datasette: Datasette, data: Path
) -> None:
    for name in ("rank", "rowid"):
        fields = {"column_0": name, "search_0": "1"}
        job = await site.imported(datasette, f"{name}\nx\n".encode(), **fields)
        assert (job["status"], "full-text search" in job["error"]) == ("error", True), job
    assert site.tables(data) == set()


async def test_the_menu_of_a_files_page_reads_no_bytes(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await upload(datasette, PEOPLE, "people.csv")
    files = Files.of(datasette)
    record, source = await files.lookup.existing(file["id"])

    async def read(*_: Any) -> bytes:
        raise AssertionError("the storage was asked")

    monkeypatch.setattr(reading, "head", read)
    actions = await menu.file_actions(datasette, None, source, record, dict(file), readable=True)
    assert [one["label"] for one in actions] == ["Import as table"]


async def test_other_capitals_do_not_get_around_a_tables_permissions(
    make_datasette: MakeDatasette, tmp_path: Path, data: Path
) -> None:
    deny = {"insert-row": False, "update-row": False, "drop-table": False, "view-table": False}
    datasette = await make_datasette(
        permissions=site.PERMISSIONS,
        config={"databases": {"data": {"tables": {"other": {"permissions": deny}}}}},
    )
    site.attach(datasette, tmp_path)
    for mode in ("append", "replace", "merge", "compare"):
        for name in ("other", "OTHER"):
            refused = await site.start(datasette, b"a\n1\n", table_name=name, mode=mode)
            assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied"), mode
    assert site.rows(data, "other") == []


async def test_other_capitals_mean_the_same_table(datasette: Datasette, data: Path) -> None:
    job = await site.imported(datasette, b"a\n1\n", table_name="OTHER", mode="replace")
    assert (job["status"], job["table_name"]) == ("finished", "other")
    assert site.rows(data, "other") == [(1,)]
    assert "people.csv" in (await datasette.client.get("/data/other")).text


async def test_numbers_are_numbers_in_a_column_without_a_type(
    datasette: Datasette, data: Path
) -> None:
    await sql(datasette, "CREATE TABLE strict (a ANY, b INTEGER) STRICT")
    assert (await site.imported(datasette, b"a\n1\n", table_name="other", mode="append"))["status"]
    job = await site.imported(datasette, b"a,b\n7,\n", table_name="strict", mode="append")
    assert job["status"] == "finished", job["error"]
    assert site.rows(data, "other") == [(1,)]
    assert site.rows(data, "strict") == [(7, None)]
