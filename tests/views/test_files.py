"""One file: record, page, update, deletion, import pages; and how errors answer."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.base import StorageCapabilities
from tests.conftest import OPEN, MakeDatasette, upload
from tests.support.storages import installed, registered, storage_class

STATIC = Path(__file__).parents[2] / "datasette_files" / "static"


async def test_the_record_is_flat_with_every_column(datasette: Datasette) -> None:
    file = await upload(datasette, actor={"id": "alice"})
    record = (await datasette.client.get(f"{file['url']}.json")).json()
    assert set(record) == {
        *("id", "source_id", "path", "filename", "content_type", "content_hash", "size"),
        *("width", "height", "uploaded_by", "created_at", "metadata", "search_text"),
        *("folder", "tags", "crc32", "missing_since"),
        *("upload_link", "source_slug", "url", "download_url", "thumbnail_url"),
        *("folder", "tags", "crc32", "replaces", "series", "version", "superseded_by"),
        *("text_status", "text_error"),
    }
    assert {name: record[name] for name in file} == file
    assert record["uploaded_by"] == "alice"


async def test_search_text_has_a_largest_size(datasette: Datasette) -> None:
    file = await upload(datasette)
    url = f"{file['url']}/-/update"
    for text, status in (("é" * 51_200, 200), ("é" * 51_200 + "x", 400)):
        answer = await datasette.client.post(url, json={"update": {"search_text": text}})
        assert answer.status_code == status
    assert answer.json()["code"] == "invalid"
    assert "102,401 bytes, and at most 102,400" in answer.json()["error"]
    form = await datasette.client.post(url, data={"search_text": "x" * 102_401})
    assert (form.status_code, form.json()["code"]) == (400, "invalid")
    kept = (await datasette.client.get(f"{file['url']}.json")).json()["search_text"]
    assert kept == "é" * 51_200
    assert 'maxlength="102400"' in (await datasette.client.get(file["url"])).text


@pytest.mark.parametrize(
    "body, says",
    [
        ({"update": {"path": "x", "size": 1, "search_text": "y"}}, "path, size"),
        ({"update": {"search_text": 1}}, "search_text"),
        ({"update": {"search_text": "\ud800"}}, "search_text"),
        ({"update": {}}, "search_text"),
        ({"update": "text"}, "update"),
        ({}, "update"),
        ([], "JSON object"),
    ],
)
async def test_an_update_names_what_is_wrong(datasette: Datasette, body: Any, says: str) -> None:
    file = await upload(datasette)
    for accept in ("application/json", "text/html"):
        answer = await datasette.client.post(
            f"{file['url']}/-/update",
            content=json.dumps(body).encode(),  # escapes what does not encode
            headers={"Accept": accept},
        )
        assert answer.status_code == 400
        assert says in answer.text
    assert (await datasette.client.get(f"{file['url']}.json")).json()["search_text"] == ""


async def test_update_answers_the_record_and_a_form_goes_back_to_the_page(
    datasette: Datasette,
) -> None:
    url = (await upload(datasette))["url"]
    body = {"update": {"search_text": "über <b>"}}
    answer = await datasette.client.post(f"{url}/-/update", json=body)
    assert answer.json() == {
        "ok": True,
        "file": (await datasette.client.get(f"{url}.json")).json(),
    }
    form = await datasette.client.post(
        f"{url}/-/update", data={"search_text": "from a form"}, headers={"Accept": "text/html"}
    )
    assert (form.status_code, form.headers["location"]) == (303, url)
    assert "from a form" in (await datasette.client.get(url)).text


async def test_deleting_may_be_repeated_by_who_deleted(datasette: Datasette, tmp_path: Any) -> None:
    alice, bob = {"id": "alice"}, {"id": "bob"}
    file = await upload(datasette, actor=bob)
    client = datasette.client
    for _ in range(2):
        gone = await client.post(f"{file['url']}/-/delete", json={}, actor=alice)
        assert (gone.status_code, gone.json()) == (200, {"ok": True})
        assert (await client.delete(file["url"], actor=alice)).status_code == 204
    assert (await client.delete(file["url"], actor=bob)).status_code == 404
    assert [path for path in (tmp_path / "docs").rglob("*") if path.is_file()] == []
    other = await upload(datasette)
    form = await client.post(f"{other['url']}/-/delete", headers={"Accept": "text/html"}, data={})
    assert (form.status_code, form.headers["location"]) == (303, "/-/files")


async def test_a_repeated_deletion_beside_a_restore_deletes_again(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasette = await make_datasette(trash_days=3)
    alice, client = {"id": "alice"}, datasette.client
    file = await upload(datasette, actor=alice)
    assert (await client.delete(file["url"], actor=alice)).status_code == 204
    trash = Files.of(datasette).trash
    look = trash.deleted_by

    async def restored_before(*given: Any) -> Any:
        monkeypatch.setattr(trash, "deleted_by", look)
        ids = {"ids": [file["id"]]}
        restored = await client.post("/-/files/trash/-/restore", json=ids, actor=alice)
        assert restored.status_code == 200, restored.text
        return await look(*given)

    monkeypatch.setattr(trash, "deleted_by", restored_before)
    assert (await client.delete(file["url"], actor=alice)).status_code == 204
    assert (await client.get(f"{file['url']}.json", actor=alice)).status_code == 404


@pytest.mark.parametrize("options", [{}, {"trash_days": 3}, {"owners_can_delete": True}])
async def test_deletions_at_the_same_time_all_succeed(
    make_datasette: MakeDatasette, options: dict[str, Any]
) -> None:
    permissions = OPEN
    if options.get("owners_can_delete"):
        permissions = {name: rule for name, rule in OPEN.items() if name != "files-delete"}
    datasette = await make_datasette(permissions=permissions, **options)
    alice, client = {"id": "alice"}, datasette.client
    for _ in range(5):
        file = await upload(datasette, actor=alice)
        answers = await asyncio.gather(
            *(client.post(f"{file['url']}/-/delete", json={}, actor=alice) for _ in range(5)),
            *(client.delete(file["url"], actor=alice) for _ in range(5)),
        )
        assert {answer.status_code for answer in answers} == {200, 204}


async def test_other_sites_are_refused_in_the_words_that_the_page_knows(
    datasette: Datasette,
) -> None:
    words = re.search(r"OTHER_SITE = /(.*)/;", (STATIC / "shared/request.js").read_text("utf-8"))
    assert words is not None
    for headers in ({"Origin": "http://files.example"}, {"Sec-Fetch-Site": "cross-site"}):
        refused = await datasette.client.post("/-/files/upload/docs/-/prepare", headers=headers)
        assert refused.status_code == 403
        assert re.search(words[1], refused.text)


async def test_a_storage_that_does_not_delete_is_405(make_datasette: MakeDatasette) -> None:
    with installed(storage_class(capabilities=StorageCapabilities(can_upload=True))):
        datasette = await make_datasette({"docs": {"storage": "memory"}})
    file = await upload(datasette)
    answer = await datasette.client.post(f"{file['url']}/-/delete", json={})
    assert (answer.status_code, answer.json()["code"]) == (405, "not_supported")
    assert (await datasette.client.get(file["download_url"])).content == b"hello"
    assert "/-/delete" not in (await datasette.client.get(file["url"])).text


async def test_import_pages_of_a_table_and_of_earlier_jobs(datasette: Datasette) -> None:
    table = b"name;height\r\n<b>Eiffel</b>;330\r\n"
    file = await upload(datasette, table, "towers.csv")

    def insert(conn: Any) -> int:
        cursor = conn.execute(
            """INSERT INTO _datasette_files_imports (file_id, import_type, database_name,
                table_name, status, row_count, total_size, bytes_read, error, started_at, actor_id)
            VALUES (?, 'csv', '_memory', 'towers', 'error', 1, 9, 9, '<b>bad</b>',
                '2026-01-02 03:04:05', 'alice')""",
            (file["id"],),
        )
        return int(cursor.lastrowid)

    job = await Files.of(datasette).catalog.write(insert)
    client, url = datasette.client, f"/-/files/import/{file['id']}"
    preview = (await client.get(url)).text
    assert '<th scope="col">height</th>' in preview
    assert "&lt;b&gt;Eiffel&lt;/b&gt;" in preview
    shown = (await client.get(f"{url}/{job}.json")).json()
    assert (shown["status"], shown["table_url"]) == ("error", "/_memory/towers")
    assert "actor_id" not in shown
    page = await client.get(f"{url}/{job}")
    assert "&lt;b&gt;bad&lt;/b&gt;" in page.text
    other = await upload(datasette)
    for absent in (f"{url}/{job + 1}.json", f"{url}/{'9' * 30}.json"):
        assert (await client.get(absent)).status_code == 404
    assert (await client.get(f"/-/files/import/{other['id']}/{job}.json")).status_code == 404


@pytest.mark.parametrize("head", [b'\n"' * 8000, b',"' * 8000, b'"' * 60000, b"\x00,\n"])
async def test_a_hostile_table_is_previewed_without_delay(
    datasette: Datasette, head: bytes
) -> None:
    file = await upload(datasette, head, "hostile.csv", content_type="text/csv")
    request = datasette.client.get(f"/-/files/import/{file['id']}")
    assert (await asyncio.wait_for(request, 60)).status_code == 200


@pytest.mark.parametrize("kind", ["sync", "async", "none"])
async def test_file_actions_of_plugins_are_in_the_menu(datasette: Datasette, kind: str) -> None:
    seen: list[Any] = []

    def actions(datasette: Any, actor: Any, file: Any, preview_bytes: bytes) -> Any:
        seen.append((actor, file["filename"], preview_bytes))
        return [{"href": "/-/convert?a=1&b=2", "label": "<Convert>", "description": "To PDF"}]

    async def later(datasette: Any, actor: Any, file: Any, preview_bytes: bytes) -> Any:
        return actions(datasette, actor, file, preview_bytes)

    def nothing(datasette: Any, actor: Any, file: Any, preview_bytes: bytes) -> Any:
        return None

    file = await upload(datasette, b"x" * 5000, "long.txt")
    hook = {"sync": actions, "async": later, "none": nothing}[kind]
    with registered(file_actions=hook):
        page = (await datasette.client.get(file["url"], actor={"id": "alice"})).text
    assert ("&lt;Convert&gt;" in page and "/-/convert?a=1&amp;b=2" in page) is (kind != "none")
    if kind != "none":
        assert seen == [({"id": "alice"}, "long.txt", b"x" * 2048)]


@pytest.mark.parametrize("kind", ["sync", "async", "no list"])
async def test_a_files_page_is_shown_whatever_a_plugins_file_actions_do(
    datasette: Datasette, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    def fails(datasette: Any, actor: Any, file: Any, preview_bytes: bytes) -> Any:
        raise RuntimeError("no actions today")

    async def fails_later(datasette: Any, actor: Any, file: Any, preview_bytes: bytes) -> Any:
        raise RuntimeError("no actions today")

    file = await upload(datasette)
    hook = {"sync": fails, "async": fails_later, "no list": lambda file: 5}[kind]
    with registered(file_actions=hook):
        page = await datasette.client.get(file["url"])
    assert page.status_code == 200
    assert file["download_url"] in page.text
    assert "A plugin's file_actions failed" in caplog.text


@pytest.mark.parametrize("later", [False, True])
async def test_a_plugin_that_fails_on_an_event_does_not_undo_what_was_committed(
    datasette: Datasette, caplog: pytest.LogCaptureFixture, later: bool
) -> None:
    def fails(datasette: Any, event: Any) -> None:
        raise RuntimeError("the audit log is full")

    async def fails_later(datasette: Any, event: Any) -> None:
        fails(datasette, event)

    with registered(track_event=fails_later if later else fails):
        file = await upload(datasette)
        body = {"update": {"search_text": "words"}}
        updated = await datasette.client.post(f"{file['url']}/-/update", json=body)
        assert (updated.status_code, updated.json()["file"]["search_text"]) == (200, "words")
        assert (await datasette.client.get(file["download_url"])).content == b"hello"
        assert (await datasette.client.delete(file["url"])).status_code == 204
    assert (await datasette.client.get(f"{file['url']}.json")).status_code == 404
    logged = [record.getMessage() for record in caplog.records if record.exc_info]
    assert logged == [
        f"A plugin failed on the event {name}-file" for name in ("upload", "update", "delete")
    ]


async def test_the_homepage_and_the_jump_menu_lead_to_the_files(
    make_datasette: MakeDatasette,
) -> None:
    alice = {"id": "alice"}
    for granted in ("files-browse", "files-upload"):
        datasette = await make_datasette(permissions={granted: alice}, internal=f"{granted}.db")
        for actor, shown in [(alice, True), (None, False)]:
            home = await datasette.client.get("/", actor=actor)
            jump = await datasette.client.get("/-/jump.json?q=files", actor=actor)
            assert ("Manage files" in home.text) is shown
            assert ("/-/files" in jump.text) is shown


@pytest.mark.parametrize(
    "method, path, allow",
    [
        ("DELETE", "/-/files", "GET, HEAD, OPTIONS"),
        ("POST", "/-/files/search.json", "GET, HEAD, OPTIONS"),
        ("GET", "/-/files/upload/docs/-/prepare", "OPTIONS, POST"),
        ("PATCH", "/-/files/df-1", "DELETE, GET, HEAD, OPTIONS"),
    ],
)
async def test_a_wrong_method_is_405_with_allow(
    datasette: Datasette, method: str, path: str, allow: str
) -> None:
    headers = {"Accept": "application/json"}
    answer = await datasette.client.request(method, path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (405, "not_supported")
    assert answer.headers["allow"] == allow
    options = await datasette.client.request("OPTIONS", path)
    assert (options.status_code, options.headers["allow"]) == (204, allow)


@pytest.mark.parametrize(
    "path", ["/-/files/nothing", "/-/files/", "/-/files/df-1/x/y", "/-/files/a/b.json"]
)
async def test_unknown_paths_are_404_as_page_or_json(datasette: Datasette, path: str) -> None:
    browser = await datasette.client.get(path, headers={"Accept": "text/html"})
    assert browser.status_code == 404
    assert ("<h1>Error 404</h1>" in browser.text) is not path.endswith(".json")
    program = await datasette.client.post(path, json={})
    assert program.status_code == 404
    assert program.json() == {
        "ok": False,
        "error": program.json()["error"],
        "errors": [program.json()["error"]],
        "status": 404,
        "code": "not_found",
    }


async def test_a_refused_browser_gets_a_page_and_a_program_json(
    make_datasette: MakeDatasette,
) -> None:
    datasette = await make_datasette(permissions={})
    for path in ("/-/files", "/-/files/source/docs", "/-/files/upload/docs"):
        browser = await datasette.client.get(path, headers={"Accept": "text/html"})
        assert browser.status_code == 403
        assert browser.headers["content-type"].startswith("text/html")
        program = await datasette.client.get(path, headers={"Accept": "application/json"})
        assert (program.status_code, program.json()["code"]) == (403, "permission_denied")
    sent = await datasette.client.post("/-/files/upload/docs", files={"file": ("a", b"a")})
    assert (sent.status_code, sent.json()["code"]) == (403, "permission_denied")
