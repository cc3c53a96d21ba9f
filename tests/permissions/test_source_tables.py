"""A source's database is seen by exactly those who may browse the source."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from datasette import hookimpl
from datasette.app import Datasette
from datasette.database import Database
from datasette.permissions import Action, PermissionSQL
from datasette.plugins import pm
from datasette.resources import DatabaseResource

from datasette_files.app import Files
from datasette_files.db import source_database
from datasette_files.permissions.actions import VIEW
from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.storages import registered

RIGHT = {"id": "right"}
SECRET = "classified.txt"
#: Below ``/files_docs``; ``{id}`` is the file's.
PAGES = (
    *("", ".json", "/files", "/files.json", "/files.csv", "/files/{id}", "/files/{id}.json"),
    *("/pages.json?_search=secret", "/tags.json", "/media.json", "/files.json?_facet=filename"),
    *("/-/query?sql=select+filename+from+files", "/-/query.json?sql=select+1"),
    *("/found", "/found.json", "/pages_fts.json"),
)
EVERYWHERE = ("/.json", "/", "/-/databases.json", "/-/jump.json?q=files")


async def _statuses(
    datasette: Datasette, actor: dict[str, Any] | None, file_id: str
) -> dict[str, int]:
    found = {}
    for page in PAGES:
        answer = await datasette.client.get(
            f"/files_docs{page.format(id=file_id)}",
            actor=actor,
            headers={"Accept": "application/json"},
        )
        found[page] = answer.status_code
        assert (SECRET in answer.text) <= (answer.status_code == 200)
    return found


async def test_who_may_not_browse_sees_nothing(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    """Neither what opens databases to everybody nor a grant on its tables opens it."""
    sources = {name: disk_source(tmp_path / name) for name in ("docs", "cellar")}
    everything = {"allow": True, "allow_sql": True}
    tables = {name: {"allow": True} for name in ("files", "pages", "tags", "media")}
    queries = {"found": {"sql": "select filename from files", "allow": True}}
    datasette = await make_datasette(
        sources=sources,
        permissions={"files-browse": {"docs": {"allow": RIGHT}}, "files-upload": True},
        config={
            "databases": {"files_docs": {**everything, "tables": tables, "queries": queries}},
            **everything,
        },
    )
    file = await upload(datasette, filename=SECRET)
    await datasette.refresh_schemas(force=True)

    # Who may view only the file is in none of the databases.
    def view_rule(actor: Any, action: str) -> PermissionSQL | None:
        if action != VIEW or actor != {"id": "viewer"}:
            return None
        sql = "SELECT 'docs' AS parent, :one AS child, 1 AS allow, 'test' AS reason"
        return PermissionSQL(sql=sql, params={"one": file["id"]})

    name = pm.register(
        type("P", (), {"permission_resources_sql": staticmethod(hookimpl(view_rule))})()
    )
    try:
        record = await datasette.client.get(f"{file['url']}.json", actor={"id": "viewer"})
        assert record.status_code == 200
        for actor in (None, {"id": "viewer"}):
            assert set((await _statuses(datasette, actor, file["id"])).values()) == {403}
            for page in EVERYWHERE:
                answer = await datasette.client.get(page, actor=actor)
                assert answer.status_code == 200
                assert "files_docs" not in answer.text
                assert "files_cellar" not in answer.text
    finally:
        pm.unregister(name=name)
    seen = await _statuses(datasette, RIGHT, file["id"])
    assert {page for page, status in seen.items() if status != 200} == {"/pages_fts.json"}
    for page in EVERYWHERE:
        answer = await datasette.client.get(page, actor=RIGHT)
        assert "files_docs" in answer.text
        assert "files_cellar" not in answer.text


async def test_a_withdrawn_grant_and_a_restricted_token(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(permissions={"files-browse": RIGHT, "files-upload": True})
    file = await upload(datasette, filename=SECRET)
    url = "/files_docs/files.json"

    async def status(actor: dict[str, Any], at: str = url) -> int:
        return (await datasette.client.get(at, actor=actor)).status_code

    assert await status(RIGHT) == 200
    assert await status({**RIGHT, "_r": {"a": ["vd", "vt", "es"]}}) == 403
    assert await status({**RIGHT, "_r": {"a": ["fb"]}}) == 403
    assert await status({**RIGHT, "_r": {"a": ["fb", "vd", "vt"]}}) == 200
    assert await status({**RIGHT, "_r": {"a": ["vi", "vd", "vt"], "r": {"docs": {}}}}) == 403
    # A query that somebody stored while it was allowed.
    await datasette.get_internal_database().execute_write(
        """INSERT INTO queries (database_name, name, sql, options, parameters, is_write, is_private,
        is_trusted, source, owner_id) SELECT 'files_docs', 'mine', 'select filename from files',
        '{}', '[]', 0, 0, 0, 'user', 'right'"""
    )
    assert await status(RIGHT, "/files_docs/mine.json") == 200
    datasette.config["permissions"]["files-browse"] = False
    assert await status(RIGHT) == 403
    assert await status(RIGHT, "/files_docs/mine.json") == 403
    assert await status(RIGHT, f"/files_docs/files/{file['id']}.json") == 403


async def test_sql_needs_execute_sql_and_nothing_is_written(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(settings={"default_allow_sql": False})
    file = await upload(datasette, filename=SECRET)
    sql = await datasette.client.get("/files_docs/-/query.json?sql=select+1")
    assert sql.status_code == 403
    row = f"/files_docs/files/{file['id']}"
    assert (await datasette.client.get(f"{row}.json")).json()["rows"][0]["filename"] == SECRET
    for path, body in (
        (f"{row}/-/delete", {}),
        (f"{row}/-/update", {"update": {"filename": "x"}}),
        ("/files_docs/files/-/insert", {"row": {"id": "x"}}),
        ("/files_docs/files/-/drop", {"confirm": True}),
        ("/files_docs/-/create", {"table": "x", "rows": [{"id": 1}]}),
    ):
        answer = await datasette.client.post(path, json=body, actor={"id": "root"})
        assert answer.status_code == 403, path
    with pytest.raises(sqlite3.OperationalError, match="can only be read"):
        await datasette.get_database("files_docs").execute_write("DELETE FROM files")
    assert (await datasette.client.get("/files_docs.db")).status_code in (403, 404)


async def test_it_is_live(datasette: Datasette) -> None:
    """New, changed, deleted and missing files show at once, as Datasette shows rows of a table."""
    first = await upload(datasette)
    other = await upload(datasette, filename="second.txt")
    await datasette.client.post(f"{first['url']}/-/update", json={"update": {"tags": ["red"]}})

    async def rows(path: str) -> list[dict[str, Any]]:
        answer = await datasette.client.get(f"/files_docs/{path}")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["rows"]
        return found

    assert [row["id"] for row in await rows("files.json")] == [first["id"], other["id"]]
    assert await rows("tags.json") == [{"file_id": first["id"], "tag": "red"}]
    assert [row["id"] for row in await rows("files.json?_sort_desc=filename&_size=1")] == [
        other["id"]
    ]
    record = (await datasette.client.get(f"{first['url']}.json")).json()
    (flat,) = await rows(f"files.json?id={first['id']}")
    assert {**flat, "tags": ["red"]} == {name: record[name] for name in flat}
    await datasette.client.delete(first["url"])
    assert [row["id"] for row in await rows("files.json")] == [other["id"]]
    assert await rows("tags.json") == []
    counts = await datasette.get_database("files_docs").table_counts(100)
    assert counts == {"files": 1, "media": 0, "pages": 0, "tags": 0, "pages_fts": 0}


async def test_the_text_of_pages_is_searched(datasette: Datasette) -> None:
    await upload(datasette, "The quick brown Fuß\fjumps".encode(), "fox.txt")
    await upload(datasette, b"lazy dog", "dog.txt")
    files = Files.of(datasette)
    await files.texts.of(files.sources.get("docs"), rests=False).round.once()
    page = await datasette.client.get("/files_docs/pages.json?_search=fuss")
    assert [(row["page"], row["text"]) for row in page.json()["rows"]] == [
        (1, "The quick brown Fuß")
    ]
    shown = await datasette.client.get("/files_docs/pages?_search=jumps")
    assert 'name="_search"' in shown.text
    assert "fox.txt" in shown.text  # the name of the file that the page belongs to
    assert "dog.txt" not in shown.text


async def test_names_and_the_setting(
    make_datasette: MakeDatasette, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = tmp_path / "files_docs.db"
    with sqlite3.connect(own) as conn:
        conn.execute("CREATE TABLE files (word)")
    sources = {
        "docs": disk_source(tmp_path / "docs"),
        "2024-a_b": disk_source(tmp_path / "b"),
        "off": disk_source(tmp_path / "off", tables=False),
    }
    with caplog.at_level(logging.WARNING, "datasette_files"):
        datasette = await make_datasette(
            sources=sources, databases=[own], permissions={"files-browse": RIGHT}
        )
    assert "another one is called files_docs" in caplog.text
    assert set(source_database.of_sources(datasette)) == {"files_2024-a_b"}
    # The other database keeps its own permissions.
    assert (await datasette.client.get("/files_docs/files.json")).status_code == 200
    hidden = await datasette.client.get("/files_2024-a_b/files.json")
    assert hidden.status_code == 403
    shown = await datasette.client.get("/files_2024-a_b/files.json", actor=RIGHT)
    assert shown.status_code == 200


async def test_plugins_get_a_closed_connection(datasette: Datasette) -> None:
    """``execute_fn`` and the analysis of SQL reach no more than a person's SQL does."""
    await upload(datasette)
    database = datasette.get_database("files_docs")
    assert await database.execute_fn(
        lambda c: c.execute("SELECT count(*) FROM files").fetchone()[0]
    )
    with pytest.raises(sqlite3.OperationalError):
        await database.execute_fn(lambda c: c.execute("SELECT * FROM internal.datasette_files"))
    assert await database.primary_keys("files") == ["id"]
    assert await database.primary_keys("tags") == ["file_id", "tag"]
    analysis = await database.analyze_sql("SELECT filename FROM files")
    assert {one.table for one in analysis.operations if one.operation == "read"} == {"files"}
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        await database.analyze_sql("SELECT * FROM internal.datasette_files")
    await asyncio.gather(*(database.execute("SELECT * FROM files") for _ in range(10)))
    # What is told without a connection is what a connection tells.
    assert await database.table_names() == await Database.table_names(database)
    for table in await database.table_names():
        for told in ("table_columns", "primary_keys", "foreign_keys_for_table"):
            assert await getattr(database, told)(table) == await getattr(Database, told)(
                database, table
            )
    assert await database.get_all_foreign_keys() == await Database.get_all_foreign_keys(database)


async def test_what_writes_into_a_database_is_allowed_on_no_source_database(
    make_datasette: MakeDatasette,
) -> None:
    """Such as enrichments, which keep their jobs in the database that they enrich."""
    action = Action(name="enrichments", description="test", resource_class=DatabaseResource)

    with registered(register_actions=lambda datasette: [action]):
        datasette = await make_datasette(permissions={"files-browse": True, "enrichments": True})
        allowed = {
            name: await datasette.allowed(
                action="enrichments", resource=DatabaseResource(name), actor=RIGHT
            )
            for name in ("_memory", "files_docs")
        }
    assert allowed == {"_memory": True, "files_docs": False}
