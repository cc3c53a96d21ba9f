"""Versions of a file: made by every way in, found by their addresses, in order after the trash."""

import random
import sqlite3
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.db import files as file_rows
from tests.conftest import MakeDatasette
from tests.support.sharing import withdrawable


async def put(site: Datasette, name: str, content: bytes, **params: str) -> Any:
    return await site.client.put(f"/-/files/upload/docs/{name}", params=params, content=content)


async def prepare(site: Datasette, replaces: Any) -> Any:
    body = {"filename": "report.txt", "content_type": "text/plain", "replaces": replaces}
    return await site.client.post("/-/files/upload/docs/-/prepare", json=body)


async def complete(site: Datasette, prepared: Any, content: bytes) -> Any:
    token = {"upload_token": prepared.json()["upload_token"]}
    files = {"file": ("new.txt", content)}
    sent = await site.client.post("/-/files/upload/docs/-/upload", data=token, files=files)
    assert sent.status_code == 200, sent.text
    return await site.client.post("/-/files/upload/docs/-/complete", json=token)


async def listed(site: Datasette, path: str = "/-/files/source/docs.json", **params: Any) -> Any:
    answer = await site.client.get(path, params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def ids(site: Datasette, *path: str, **params: Any) -> list[str]:
    return [one["id"] for one in (await listed(site, *path, **params))["files"]]


async def versions(site: Datasette, file_id: str) -> list[str]:
    found = (await site.client.get(f"/-/files/{file_id}/versions.json")).json()["versions"]
    return [one["id"] for one in found]


async def latest(site: Datasette, file_id: str) -> str:
    answer = await site.client.get(f"/-/files/{file_id}/latest", follow_redirects=False)
    assert (answer.status_code, answer.headers["cache-control"]) == (302, "private, no-cache")
    found: str = answer.headers["location"].rpartition("/")[2]
    return found


async def test_a_file_is_replaced_and_lists_show_the_newest(make_datasette: MakeDatasette) -> None:
    site = await make_datasette(trash_days=30)
    first = (await put(site, "report.txt", b"one", folder="a")).json()["file_id"]
    await site.client.post(f"/-/files/{first}/-/update", json={"update": {"tags": ["kept"]}})
    other = (await put(site, "report.txt", b"other", folder="a")).json()["file_id"]
    assert await versions(site, first) == [first]
    assert await latest(site, first) == first

    prepared = await prepare(site, first)
    second = await complete(site, prepared, b"two")
    assert second.status_code == 201, second.text
    second = second.json()["file"]["id"]
    third = (await put(site, "report.txt", b"three", replaces=second)).json()["file_id"]
    form = {"replaces": third}
    fourth = await site.client.post(
        "/-/files/upload/docs", data=form, files={"file": ("report.txt", b"four")}
    )
    newest = fourth.json()["file_id"]
    chain = [newest, third, second, first]
    for one in chain:
        assert await versions(site, one) == chain
        assert await latest(site, one) == newest
    found = await site.client.get(f"/-/files/{first}/latest/download", follow_redirects=True)
    assert found.content == b"four"
    assert (await site.client.get(f"/-/files/{first}/download")).content == b"one"
    shown = (await site.client.get(f"/-/files/{first}/versions.json")).json()["versions"][0]
    assert set(shown) == {"id", "filename", "size", "created_at", "uploaded_by"}

    # The newest keeps folder and tags, and alone is in lists, searches, counts and folders.
    record = (await site.client.get(f"/-/files/{newest}.json")).json()
    assert (record["folder"], record["tags"], record["version"]) == ("a", ["kept"], 4)
    assert (record["replaces"], record["series"], record["superseded_by"]) == (third, first, None)
    assert (await site.client.get(f"/-/files/{first}.json")).json()["superseded_by"] == second
    assert await ids(site) == [newest, other]
    found = await listed(site, folder="")
    assert [(one["files"], one["bytes"]) for one in found["folders"]] == [(2, len(b"otherfour"))]
    assert (await listed(site))["total"] == 2
    assert (await listed(site))["facets"]["tags"] == [{"value": "kept", "count": 1}]
    search = "/-/files/search.json"
    assert set(await ids(site, search, q="report")) == {newest, other}
    assert await ids(site, tag="kept") == [newest]
    everything = {newest, third, second, first, other}
    assert set(await ids(site, versions="all")) == everything
    assert set(await ids(site, search, q="report", versions="all")) == everything
    assert set(await ids(site, search, tag="kept", versions="all")) == set(chain)
    assert (await listed(site, versions="all"))["total"] == 5
    assert set(await ids(site, versions="all", _sort="size", content_type="text/plain")) == (
        everything
    )
    wrong = await site.client.get("/-/files/source/docs.json", params={"versions": "old"})
    assert wrong.status_code == 400

    # The trash keeps the order, and what comes back from it.
    async def delete(file_id: str) -> None:
        answer = await site.client.post(f"/-/files/{file_id}/-/delete")
        assert answer.status_code == 200, answer.text

    await delete(newest)
    assert await ids(site) == [other, third] or await ids(site) == [third, other]
    assert await latest(site, newest) == third
    await delete(second)
    assert await versions(site, first) == [third, first]
    assert (await site.client.get(f"/-/files/{first}.json")).json()["superseded_by"] == third
    fifth = (await put(site, "report.txt", b"five", replaces=third)).json()["file_id"]
    await Files.of(site).trash.restore(None, [newest, second])
    assert await versions(site, first) == [fifth, *chain]
    assert set(await ids(site)) == {fifth, other}
    assert (await listed(site, versions="all"))["total"] == 6

    # An old version becomes the newest as a new file.
    restored = await site.client.post(f"/-/files/{first}/-/restore-version")
    assert restored.status_code == 201, restored.text
    sixth = restored.json()["file"]["id"]
    assert (await site.client.get(f"/-/files/{sixth}/download")).content == b"one"
    assert await versions(site, first) == [sixth, fifth, *chain]
    page = (await site.client.get(f"/-/files/{first}", headers={"Accept": "text/html"})).text
    assert "This is an old version" in page
    assert "Restore version 1" in page
    page = (await site.client.get(f"/-/files/{sixth}", headers={"Accept": "text/html"})).text
    assert f'name="replaces" value="{sixth}"' in page


async def test_what_is_no_longer_the_newest_is_not_replaced(make_datasette: MakeDatasette) -> None:
    site = await make_datasette()
    first = (await put(site, "a.txt", b"one")).json()["file_id"]
    both = [await prepare(site, first), await prepare(site, first)]
    assert (await complete(site, both[0], b"two")).status_code == 201
    late = await complete(site, both[1], b"three")
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    again = await prepare(site, first)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert (await put(site, "a.txt", b"four", replaces=first)).status_code == 409
    assert len(await versions(site, first)) == 2
    assert (await prepare(site, "df-absent")).status_code == 404
    for wrong in ("a.txt", 5, ["df-1"]):
        assert (await prepare(site, wrong)).status_code == 400


async def test_replacing_needs_files_edit_until_the_end(make_datasette: MakeDatasette) -> None:
    site = await make_datasette()
    first = (await put(site, "a.txt", b"one")).json()["file_id"]
    prepared = await prepare(site, first)
    with withdrawable() as withdrawn:
        withdrawn.actions.add("files-edit")
        assert (await prepare(site, first)).status_code == 403
        assert (await put(site, "a.txt", b"x", replaces=first)).status_code == 403
        refused = await complete(site, prepared, b"two")
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
        assert (await site.client.post(f"/-/files/{first}/-/restore-version")).status_code == 403
        withdrawn.actions = {"files-browse"}
        assert (await site.client.get(f"/-/files/{first}/latest")).status_code == 403
    assert await versions(site, first) == [first]


async def test_a_large_file_replaces_by_tus_and_the_right_is_asked_with_its_last_byte(
    make_datasette: MakeDatasette,
) -> None:
    """Pages and programs prepare a large file, and send its bytes by tus."""
    site = await make_datasette()
    first = (await put(site, "report.txt", b"one")).json()["file_id"]
    declared = {
        **{"filename": "report.txt", "content_type": "text/plain", "size": 4},
        **{"replaces": first, "folder": "a/b", "tags": ["kept"]},
    }
    version = {"Tus-Resumable": "1.0.0"}

    async def begin() -> str:
        answer = await site.client.post("/-/files/upload/docs/-/prepare", json=declared)
        prepared = answer.json()
        pairs = {"filename": "report.txt", "upload_token": prepared["upload_token"]}
        metadata = ",".join(f"{k} {b64encode(v.encode()).decode()}" for k, v in pairs.items())
        headers = {**version, "Upload-Length": "4", "Upload-Metadata": metadata}
        begun = await site.client.post(prepared["upload_resumable_url"], headers=headers)
        assert begun.status_code == 201, begun.text
        return begun.headers["location"]

    async def send(url: str, offset: int, content: bytes) -> Any:
        body = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": str(offset)}
        return await site.client.patch(url, headers={**version, **body}, content=content)

    urls = [await begin(), await begin()]
    for url in urls:
        assert (await send(url, 0, b"tw")).status_code == 204
    with withdrawable() as withdrawn:
        withdrawn.actions.add("files-edit")
        refused = await send(urls[0], 2, b"o!")
        assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    done = await send(urls[0], 2, b"o!")
    assert done.status_code == 204, done.text
    second = done.headers["content-location"].rpartition("/")[2]
    record = (await site.client.get(f"/-/files/{second}.json")).json()
    assert (record["folder"], record["tags"], record["replaces"]) == ("a/b", ["kept"], first)
    assert await versions(site, first) == [second, first]
    late = await send(urls[1], 2, b"o!")
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    assert await versions(site, first) == [second, first]


async def test_totals_agree_with_the_rows_after_any_order_of_changes(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    site = await make_datasette(trash_days=30)
    files, chance = Files.of(site), random.Random(7)
    known = [
        (await put(site, f"{n}.txt", b"x" * n, folder=f"f{n % 2}", tags=f"t{n}")).json()["file_id"]
        for n in range(4)
    ]
    for step in range(60):
        one = chance.choice(known)
        match chance.choice(["replace", "replace", "delete", "restore", "move", "tag"]):
            case "replace":
                answer = await put(site, f"{step}.txt", b"y" * step, replaces=one)
                known += [answer.json()["file_id"]] if answer.status_code == 201 else []
            case "delete":
                await site.client.post(f"/-/files/{one}/-/delete")
            case "restore":
                await site.client.post("/-/files/trash/-/restore", json={"ids": [one]})
            case "move":
                change = {"update": {"folder": chance.choice(["", "a/b", "f1"])}}
                await site.client.post(f"/-/files/{one}/-/update", json=change)
            case _:
                change = {"update": {"tags": [chance.choice("pqr")]}}
                await site.client.post(f"/-/files/{one}/-/update", json=change)
    await files.catalog.read(_check)
    with sqlite3.connect(tmp_path / "internal.db") as conn:
        conn.execute(
            "INSERT INTO datasette_files_fts (datasette_files_fts, rank)"
            " VALUES ('integrity-check', 1)"
        )


def _check(conn: sqlite3.Connection) -> None:
    def rows(sql: str) -> list[tuple[Any, ...]]:
        return sorted(tuple(row) for row in conn.execute(sql))

    assert rows(
        "SELECT source_id, sum(files), sum(bytes) FROM datasette_files_totals GROUP BY 1"
    ) == (rows("SELECT shelf, count(*), sum(size) FROM datasette_files GROUP BY 1"))
    # What counts towards a quota has every version.
    usage = "SELECT source_id, files, bytes FROM datasette_files_usage WHERE kind = 'files'"
    assert rows(usage) == rows(
        "SELECT source_id, count(*), sum(size) FROM datasette_files GROUP BY 1"
    )
    assert rows("SELECT source_id, tag, files FROM datasette_files_tag_totals") == rows(
        """SELECT shelf, value, count(*) FROM datasette_files, json_each(tags)
        GROUP BY shelf, value"""
    )
    assert rows(
        "SELECT source_id, sum(files), sum(bytes) FROM datasette_files_folders"
        " WHERE parent = '' GROUP BY 1"
    ) == rows(
        "SELECT shelf, count(*), sum(size) FROM datasette_files WHERE folder != '' GROUP BY 1"
    )
    series = {row[0] for row in rows("SELECT series FROM datasette_files WHERE series NOT NULL")}
    for first in series:
        chain = file_rows.versions_of(conn, first)
        following = [None, *(one.id for one in chain[:-1])]
        assert [one.superseded_by for one in chain] == following
    assert len(series) > 1


@pytest.mark.parametrize("name", ["latest", "latest/download", "versions.json"])
async def test_a_file_that_is_gone_has_no_versions(datasette: Datasette, name: str) -> None:
    assert (await datasette.client.get(f"/-/files/df-absent/{name}")).status_code == 404
