"""Imports through the HTTP routes: modes, rights, pages, cancelling, lineage, the hook."""

from __future__ import annotations

import asyncio
import gzip
import re
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from datasette.app import Datasette
from datasette.plugins import pm

from datasette_files.app import Files
from datasette_files.sandbox import process
from tests.conftest import MakeDatasette, upload
from tests.support.imports import site

ROOT = Path(__file__).resolve().parents[2]
PEOPLE = b"id,name,height\n1,Ann,1.5\n2,Bob,\n"
NEWER = b"id,name,height\n2,Bob,1.8\n3,Cy,2\n"


async def test_a_file_becomes_a_table(datasette: Datasette, data: Path) -> None:
    events: list[Any] = []
    pm.register(plugin := type("P", (), {"track_event": staticmethod(_track(events))})())
    try:
        job = await site.imported(datasette, PEOPLE, actor=None)
    finally:
        pm.unregister(plugin)
    assert (job["status"], job["row_count"], job["table_url"]) == ("finished", 2, "/data/made")
    assert job["bytes_read"] == job["total_size"] == len(PEOPLE)
    assert job["columns"] == [["id", "integer"], ["name", "text"], ["height", "float"]]
    assert site.rows(data) == [(1, "Ann", 1.5), (2, "Bob", None)]
    assert site.tables(data) == {"made"}
    # Datasette tells of the last step too, by which the table gets its name.
    names = [event.name for event in events if event.name != "rename-table"]
    assert names == ["upload-file", "create-table", "import-file"]
    event = events[-1]
    assert (event.database, event.table, event.rows, event.mode) == ("data", "made", 2, "create")


def _track(events: list[Any]) -> Any:
    from datasette import hookimpl

    @hookimpl
    def track_event(event: Any) -> None:
        events.append(event)

    return track_event


async def test_key_indexes_search_and_types_can_be_asked_for(
    datasette: Datasette, data: Path
) -> None:
    fields = {"primary_key": "id", "column_0": "name", "index_0": "1", "search_0": "1"}
    fields |= {"column_1": "height", "type_1": "text"}
    job = await site.imported(datasette, PEOPLE, **fields)
    assert job["status"] == "finished", job["error"]
    assert site.rows(data) == [(1, "Ann", "1.5"), (2, "Bob", "")]
    made = site.tables(data)
    assert {"made", "idx_made_name", "made_fts", "made_ai", "made_ad", "made_au"} <= made
    database = datasette.get_database("data")
    assert await database.primary_keys("made") == ["id"]
    assert await database.fts_table("made") == "made_fts"
    await database.execute_write("UPDATE made SET name = 'Zoe' WHERE id = 2")
    found = "SELECT rowid FROM made_fts WHERE made_fts MATCH ?"
    for word, expected in [("ann", [1]), ("zoe", [2]), ("bob", [])]:
        assert [row[0] for row in await database.execute(found, [word])] == expected


async def test_a_table_that_exists_is_added_to_or_replaced_by_choice_only(
    datasette: Datasette, data: Path
) -> None:
    await site.imported(datasette, PEOPLE)
    refused = await site.start(datasette, NEWER)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert (await site.imported(datasette, NEWER, mode="append"))["status"] == "finished"
    assert [row[0] for row in site.rows(data)] == [1, 2, 2, 3]
    job = await site.imported(datasette, b"other\n1\n", mode="append")
    assert (job["status"], "no column 'other'" in job["error"]) == ("error", True)
    job = await site.imported(datasette, b"id,height\n9,tall\n", mode="append")
    assert (job["status"], "holds numbers" in job["error"]) == ("error", True)
    assert len(site.rows(data)) == 4
    assert (await site.imported(datasette, b"x\n7\n", mode="replace"))["status"] == "finished"
    assert site.rows(data) == [(7,)]
    assert site.tables(data) == {"made"}


async def test_a_newer_file_is_compared_and_then_merged(datasette: Datasette, data: Path) -> None:
    await site.imported(datasette, PEOPLE, primary_key="id")
    before = site.rows(data)
    response = await site.start(datasette, NEWER, mode="compare")
    url = response.headers["location"]
    job = await site.ended(datasette, url)
    assert (job["added"], job["changed"], job["removed"]) == (1, 1, 1)
    assert site.rows(data) == before
    page = (await datasette.client.get(url)).text
    assert "1 row added, 1 changed, 1 not in the file" in page
    applied = await datasette.client.post(f"{url}/-/restart", data={"apply": "1", "removes": "1"})
    job = await site.ended(datasette, applied.headers["location"])
    assert job["status"] == "finished", job["error"]
    assert site.rows(data) == [(2, "Bob", 1.8), (3, "Cy", 2.0)]
    assert site.tables(data) == {"made"}


async def test_a_failure_leaves_nothing_and_the_job_can_be_started_again(
    datasette: Datasette, data: Path
) -> None:
    asked = {"quote": "none", "header": "1", "primary_key": "a"}
    response = await site.start(datasette, b"a,b\n1,2\n3,4,5\n", **asked)
    url = response.headers["location"]
    job = await site.ended(datasette, url)
    assert job["status"] == "error"
    assert job["error"].startswith("Row 2: has 3 values")
    assert site.tables(data) == set()
    page = (await datasette.client.get(url)).text
    assert "Start again" in page
    assert "No row was added, changed or removed." in page
    (change,) = re.findall('href="([^"]+)">Change how it is read', page)
    query = dict(parse_qsl(urlsplit(unescape(change)).query))
    place = {"database_name": "data", "table_name": "made", "mode": "create"}
    assert query == {**place, **asked}
    again = await datasette.client.post(f"{url}/-/restart")
    assert again.headers["location"] != url
    assert (await site.ended(datasette, again.headers["location"]))["status"] == "error"


class _Slow:
    """Bytes that come until they are no longer wanted."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.let_go = False

    async def stream_file(self, path: str) -> AsyncIterator[bytes]:
        try:
            yield b"a,b\n"
            while True:
                self.begun.set()
                yield b"1,2\n" * 100
                await asyncio.sleep(0.01)
        finally:
            self.let_go = True


@pytest.mark.parametrize("stopped", ["cancelled", "interrupted"])
async def test_a_cancelled_or_interrupted_import_leaves_nothing(
    datasette: Datasette, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    slow = _Slow()
    storage = Files.of(datasette).sources.get("docs").storage
    monkeypatch.setattr(storage, "stream_file", slow.stream_file)
    url = (await site.start(datasette, PEOPLE)).headers["location"]
    await slow.begun.wait()
    assert (await datasette.client.get(f"{url}.json")).json()["status"] in ("pending", "running")
    page = (await datasette.client.get(url)).text
    assert "Cancel import" in page
    assert "<progress" in page
    if stopped == "cancelled":
        answer = await datasette.client.post(f"{url}/-/cancel", headers={"Accept": "text/html"})
        assert answer.status_code == 303
    else:
        await Files.of(datasette).jobs.close()
    job = await site.ended(datasette, url)
    assert job["status"] == stopped
    assert slow.let_go
    assert site.tables(data) == set()
    assert list(tmp_path.glob("datasette-files-import-*")) == []
    again = await datasette.client.post(f"{url}/-/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


async def test_at_most_so_many_run_at_once(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasette = await make_datasette(permissions=site.PERMISSIONS, import_concurrency=1)
    site.attach(datasette, tmp_path)
    slow = _Slow()
    storage = Files.of(datasette).sources.get("docs").storage
    monkeypatch.setattr(storage, "stream_file", slow.stream_file)
    first = (await site.start(datasette, PEOPLE)).headers["location"]
    await slow.begun.wait()
    monkeypatch.undo()
    second = (await site.start(datasette, PEOPLE, table_name="second")).headers["location"]
    await asyncio.sleep(0.2)
    assert (await datasette.client.get(f"{second}.json")).json()["status"] == "pending"
    await datasette.client.post(f"{first}/-/cancel")
    assert (await site.ended(datasette, first))["status"] == "cancelled"
    assert (await site.ended(datasette, second))["status"] == "finished"


@pytest.mark.parametrize(
    "fields, taken",
    [
        ({}, "create-table"),
        ({}, "insert-row"),
        ({"mode": "append"}, "insert-row"),
        ({"mode": "replace"}, "drop-table"),
        ({"mode": "merge"}, "update-row"),
        ({"mode": "merge", "removes": "1"}, "delete-row"),
        ({"mode": "compare"}, "view-table"),
        ({}, "files-browse"),
    ],
)
async def test_an_import_needs_datasettes_permissions_too(
    make_datasette: MakeDatasette, tmp_path: Path, fields: dict[str, str], taken: str
) -> None:
    alice = {"id": "alice"}
    everything = dict.fromkeys([*site.PERMISSIONS, "view-table"], alice)
    datasette = await make_datasette(permissions={**everything, taken: False})
    site.attach(datasette, tmp_path)
    refused = await site.start(datasette, PEOPLE, actor=alice, **fields)
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    # Who browses a source may see its files; the import asks for that.
    assert {"files-browse": "files-view"}.get(taken, taken) in refused.json()["error"]
    page = await datasette.client.get(refused.url.path, actor=alice)
    assert (page.status_code == 403) is (taken == "files-browse")
    if taken == "create-table":
        assert 'value="create"' not in page.text
    if taken == "insert-row":
        assert 'name="database_name"' not in page.text


@pytest.mark.parametrize(
    "fields, said",
    [
        ({"table_name": ""}, "table_name is missing"),
        ({"database_name": "none"}, "There is no database"),
        ({"database_name": "_memory"}, "cannot be written to"),
        ({"table_name": "sqlite_x"}, "SQLite's own"),
        ({"table_name": "a\x00b"}, "table_name must be"),
        ({"table_name": "_datasette_files_import_x"}, "are reserved"),
        ({"mode": "guess"}, "There is no mode"),
        ({"mode": "append"}, "There is no table"),
        ({"format": "exe"}, "There is no format"),
        ({"encoding": "rot13"}, "There is no encoding"),
        ({"delimiter": "ab"}, "delimiter must be"),
        ({"header": "maybe"}, "header must be"),
        ({"column_0": "id", "type_0": "date"}, "There is no type"),
    ],
)
async def test_bad_input_is_refused(
    datasette: Datasette, fields: dict[str, str], said: str
) -> None:
    refused = await site.start(datasette, PEOPLE, **fields)
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
    assert said in refused.json()["error"]


async def test_the_preview_shows_what_was_found_and_takes_choices(datasette: Datasette) -> None:
    file = await upload(datasette, b"name;h\nJos\xe9;1\n", "tower.csv")
    url = f"/-/files/import/{file['id']}"
    page = (await datasette.client.get(url)).text
    assert 'value="windows-1252" selected' in page
    assert 'value=";" selected' in page
    assert "looks like integer" in page
    assert "José" in page
    assert '<option value="data"' in page
    assert '<option value="_memory"' not in page
    assert 'value="tower"' in page
    page = (await datasette.client.get(f"{url}?delimiter=comma&header=0")).text
    assert "column_1" in page
    page = (await datasette.client.get(f"{url}?encoding=utf-8")).text
    assert "not utf-8" in page
    assert (await datasette.client.get(f"{url}?delimiter=ab")).status_code == 400


async def test_archives_are_previewed_and_their_files_chosen(
    datasette: Datasette, data: Path
) -> None:
    archive = (ROOT / "fixtures" / "csv" / "archive.zip").read_bytes()
    file = await upload(datasette, archive, "archive.zip")
    page = (await datasette.client.get(f"/-/files/import/{file['id']}")).text
    assert "folder/two.csv" in page
    job = await site.imported(datasette, archive, filename="a.zip", member="folder/two.csv")
    assert job["status"] == "finished", job["error"]
    assert site.rows(data) == [("x",)]


async def test_a_bomb_ends_at_the_limit(
    make_datasette: MakeDatasette, tmp_path: Path, data: Path
) -> None:
    datasette = await make_datasette(permissions=site.PERMISSIONS, import_max_bytes=100_000)
    site.attach(datasette, tmp_path)
    bomb = gzip.compress(b"a,b\n" + b"1,2\n" * 100_000)
    job = await site.imported(datasette, bomb, filename="bomb.csv.gz")
    assert (job["status"], "unpacks to more than 100,000 bytes" in job["error"]) == ("error", True)
    assert site.tables(data) == set()


async def test_pages_say_which_table_came_from_which_file(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    alice, bob = {"id": "alice"}, {"id": "bob"}
    permissions = {**dict.fromkeys(site.PERMISSIONS, alice), "view-table": {"id": ["alice", "bob"]}}
    datasette = await make_datasette(permissions=permissions)
    site.attach(datasette, tmp_path)
    response = await site.start(datasette, PEOPLE, actor=alice)
    url = response.headers["location"]
    while True:
        job = (await datasette.client.get(f"{url}.json", actor=alice)).json()
        if job["status"] in site.OVER:
            break
        await asyncio.sleep(0.1)
    file_id = job["file_id"]
    page = (await datasette.client.get(f"/-/files/{file_id}", actor=alice)).text
    assert "data/made" in page
    assert "Import as table" in page
    table = (await datasette.client.get("/data/made", actor=alice)).text
    assert file_id in table
    assert "people.csv" in table
    assert "by <bdi>alice</bdi>" in table
    hidden = await datasette.client.get("/data/made", actor=bob)
    assert hidden.status_code == 200
    assert file_id not in hidden.text
    assert "people.csv" not in hidden.text


async def test_the_example_of_the_docs_is_a_format(
    make_datasette: MakeDatasette, tmp_path: Path, data: Path
) -> None:
    text = (ROOT / "docs" / "imports.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    path = plugins / "pairs_of_the_docs.py"
    path.write_text(example)
    namespace: dict[str, Any] = {"__name__": "pairs_of_the_docs"}
    exec(compile(example, str(path), "exec"), namespace)
    plugin = type("P", (), {"register_import_formats": namespace["register_import_formats"]})
    plugin.register_import_formats = staticmethod(namespace["register_import_formats"])  # type: ignore[attr-defined]
    pm.register(plugin)
    try:
        datasette = await make_datasette(permissions=site.PERMISSIONS)
        site.attach(datasette, tmp_path)
        job = await site.imported(datasette, b"a=1\nb=2\n", filename="x.pairs")
        assert job["status"] == "finished", job["error"]
        assert site.rows(data) == [("a", 1), ("b", 2)]
        job = await site.imported(datasette, b"a=1\nb\n", filename="y.pairs", table_name="y")
        assert job["error"] == "Row 2: has no =; mend the line"
    finally:
        pm.unregister(plugin)


async def test_the_process_gets_no_environment(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    create = asyncio.create_subprocess_exec

    async def spy(*command: Any, **options: Any) -> Any:
        started.append((command, options))
        return await create(*command, **options)

    monkeypatch.setattr(process.asyncio, "create_subprocess_exec", spy)
    monkeypatch.setenv("SECRET_OF_THE_SITE", "hunter2")
    assert (await site.imported(datasette, PEOPLE))["status"] == "finished"
    ((command, options),) = [one for one in started if "imports.worker.main" in one[0][-1]]
    assert options["env"] == {"MALLOC_ARENA_MAX": "1"}
    assert "hunter2" not in repr(command)


async def test_a_broken_view_of_somebodys_is_not_in_the_way(
    datasette: Datasette, data: Path
) -> None:
    database = datasette.get_database("data")
    await database.execute_write("CREATE VIEW broken AS SELECT * FROM nowhere")
    assert (await site.imported(datasette, PEOPLE))["status"] == "finished"
    job = await site.start(datasette, PEOPLE, table_name="broken")
    assert (job.status_code, "is a view" in job.json()["error"]) == (409, True)
