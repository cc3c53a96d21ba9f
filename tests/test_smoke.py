"""One file's whole life through the HTTP API, and every page while it is there."""

import pytest
from datasette.app import Datasette

from datasette_files import get_file
from tests.conftest import upload


async def test_a_file_is_uploaded_changed_found_and_deleted(datasette: Datasette) -> None:
    client = datasette.client
    file = await upload(datasette)
    assert (await client.get(file["download_url"])).content == b"hello"
    assert (await client.get("/-/files/source/docs.json")).json()["total"] == 1
    assert list((await client.get(f"/-/files/batch.json?id={file['id']}")).json()["files"])

    for words in ("hel", file["id"]):
        assert (await client.get(f"/-/files/search.json?q={words}")).json()["total"] == 1
    change = {"update": {"search_text": "foo"}}
    changed = (await client.post(f"{file['url']}/-/update", json=change)).json()
    assert changed["file"]["search_text"] == "foo"

    for _ in range(2):  # a delete may be repeated
        assert (await client.post(f"{file['url']}/-/delete", json={})).json() == {"ok": True}
    gone = await client.get(f"{file['url']}.json")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")


async def test_three_steps_store_a_file_that_plugins_can_read(datasette: Datasette) -> None:
    client = datasette.client
    declared = {"filename": "a.txt", "size": 3}
    prepared = (await client.post("/-/files/upload/docs/-/prepare", json=declared)).json()
    sent = await client.post(
        prepared["upload_url"], data=prepared["upload_fields"], files={"file": ("a.txt", b"abc")}
    )
    assert sent.json() == {"ok": True}
    token = {"upload_token": prepared["upload_token"]}
    for status in (201, 200):  # completing may be repeated
        completed = await client.post("/-/files/upload/docs/-/complete", json=token)
        assert completed.status_code == status

    file = await get_file(datasette, completed.json()["file"]["id"])
    assert file is not None
    assert await file.read() == b"abc"
    async with file.open(1) as stream:
        assert b"".join([chunk async for chunk in stream]) == b"bc"


@pytest.mark.parametrize(
    ("path", "shows"),
    [
        ("/", "Manage files"),
        ("/-/files", "docs"),
        ("/-/files/source/docs", "hello.txt"),
        ("/-/files/search?q=hello", "hello.txt"),
        ("/-/files/upload/docs", "Upload"),
        ("/-/files/{id}", "hello.txt"),
        ("/-/files/import/{id}", "hello.txt"),
    ],
)
async def test_page_shows(datasette: Datasette, path: str, shows: str) -> None:
    file = await upload(datasette)
    response = await datasette.client.get(path.format(**file))
    assert response.status_code == 200
    assert shows in response.text


async def test_a_file_without_a_thumbnail_has_an_icon(datasette: Datasette) -> None:
    file = await upload(datasette)
    response = await datasette.client.get(file["thumbnail_url"])
    assert (response.status_code, response.headers["content-type"]) == (200, "image/svg+xml")
