"""The audit over HTTP: every way of changing or using something is in it."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.catalog.bulk import Order
from datasette_files.catalog.selecting import Selection
from datasette_files.db.audit import ACTIONS
from datasette_files.views.audit import _DONE
from datasette_files.views.routes import ROUTES
from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.audited import ANN, MANAGED, entries, watch
from tests.support.fixtures import fixture
from tests.support.imports.site import WRITE, attach, ended
from tests.support.tus import BODY, Tus, meta

#: Routes that change nothing that is recorded, and the reason.
UNRECORDED = {
    ("/-/files/upload/{source}/-/prepare", "POST"): "there is no file yet",
    ("/-/files/upload/{source}/-/upload", "POST"): "there is no file yet",
    ("/-/files/upload/{source}/-/sign-parts", "POST"): "there is no file yet",
    ("/-/files/upload/{source}/-/list-parts", "POST"): "it reads",
    ("/-/files/upload/{source}/-/tus/{upload}", "POST"): "it stands for another method",
    ("/-/files/upload/{source}/-/tus/{upload}", "DELETE"): "there was no file",
    ("/-/files/u/{token}/-/prepare", "POST"): "there is no file yet",
    ("/-/files/u/{token}/-/upload", "POST"): "there is no file yet",
    ("/-/files/u/{token}/-/sign-parts", "POST"): "there is no file yet",
    ("/-/files/u/{token}/-/list-parts", "POST"): "it reads",
    ("/-/files/u/{token}/-/tus/{upload}", "POST"): "it stands for another method",
    ("/-/files/u/{token}/-/tus/{upload}", "DELETE"): "there was no file",
    ("/-/files/import/{file_id}/{job}/-/cancel", "POST"): "nothing was imported",
    ("/-/files/import/{file_id}/{job}/-/restart", "POST"): "the import is, once it has ended",
    ("/-/files/{file_id}/-/open", "POST"): "it reads; Datasette shows the tables",
    ("/-/files/{file_id}/open/{job}/-/cancel", "POST"): "it stops reading",
    ("/-/files/{file_id}/-/rows", "POST"): "it changes a user's table, as Datasette's events tell",
    ("/-/files/bulk/{job}/-/cancel", "POST"): "each file that is done is",
    ("/-/files/source/{source}/verify/-/start", "POST"): "it reads",
}
#: Addresses at which bytes, or a link's page, are read.
READ = {
    "/-/files/-/selection/{selection}.zip",
    "/-/files/s/{token}",
    "/-/files/s/{token}/zip",
    "/-/files/s/{token}/{file_id}",
    "/-/files/s/{token}/{file_id}/download",
    "/-/files/s/{token}/{file_id}/inline",
    "/-/files/u/{token}",
    "/-/files/{file_id}/download",
    "/-/files/{file_id}/inline",
    "/-/files/{file_id}/inline/{filename}",
}


class Walk:
    """Goes through routes, and looks after each which entries there are more."""

    def __init__(self, datasette: Datasette) -> None:
        self._datasette = datasette
        self.walked: set[tuple[str, str]] = set()
        self._last = 0

    async def go(
        self, method: str, route: str, actions: str, url: str = "", by: Any = ANN, **more: Any
    ) -> Any:
        """Send a request by a route that is to record these actions; the answer."""
        self.walked.add((route, method))
        headers = {"Accept": "application/json", **more.pop("headers", {})}
        answer = await self._datasette.client.request(
            method, url or route, actor=by, headers=headers, **more
        )
        assert answer.status_code < 400, (url, answer.status_code, answer.text)
        await self.has(actions, "link" if by is None else "http", by and by["id"])
        return answer

    async def has(self, actions: str, via: str, actor: str | None) -> None:
        """Check the entries since the last time."""
        found = [one for one in await entries(self._datasette) if one["id"] > self._last]
        assert [one["action"] for one in found] == actions.split()
        for one in found:
            self._last = one["id"]
            assert (one["via"], one["actor"]) == (via, actor)
            assert (one["link"] is not None) >= (via == "link")


@pytest.fixture
async def site(make_datasette: MakeDatasette, tmp_path: Path) -> Datasette:
    """Two sources, with a trash and without, watched. Downloads are recorded."""
    sources = {
        "docs": disk_source(tmp_path / "docs", trash_days=3),
        "other": disk_source(tmp_path / "other"),
    }
    permissions = {**MANAGED, **WRITE}
    datasette = await make_datasette(sources, permissions, audit_downloads=True)
    await watch(Files.of(datasette))
    return datasette


async def test_every_route_that_changes_or_reads_something_is_recorded(
    site: Datasette, tmp_path: Path
) -> None:
    walk = Walk(site)
    go = walk.go
    file = await _uploads(walk, site)
    at = f"/-/files/{file}"
    await _changes(walk, at, file)
    await _reads(walk, at, file)
    await _links(walk, site, file)
    await _many(walk, site)
    source = "/-/files/source/{source}"
    settings = f"{source}/settings/-"
    docs = "/-/files/source/docs"
    label = {"settings": {"label": "Papers"}}
    update = f"{docs}/settings/-/update"
    await go("POST", f"{settings}/update", "settings", update, json=label)
    await go("POST", f"{settings}/reset", "settings", f"{docs}/settings/-/reset", json={})
    await go("POST", f"{source}/index/-/start", "sync", f"{docs}/index/-/start", json={})
    await _import(walk, site, tmp_path)

    changing = {
        (route.path, method)
        for route in ROUTES
        for method in route.methods
        if method in ("POST", "PUT", "PATCH", "DELETE")
    }
    assert changing - walk.walked == set(UNRECORDED)
    reading = {path for path, method in walk.walked if method == "GET"}
    assert reading == READ
    # Another address of bytes belongs to both, or to a reason.
    telling = ("download", "inline", "zip", "{token}", "inline/{filename}")
    given = {r.path for r in ROUTES if "GET" in r.methods and r.path.endswith(telling)}
    below = {"/-/files/-/selection/{selection}.zip", "/-/files/s/{token}/{file_id}"}
    assert given | below == READ | {"/-/files/{file_id}/latest/download"}  # a redirect
    text = json.dumps(await entries(site))
    for secret in ("tok_", "digest", "/-/files/s/", "restrictions"):
        assert secret not in text


async def _uploads(walk: Walk, site: Datasette) -> str:
    """Every way in; the id of the last file."""
    go, base, docs = walk.go, "/-/files/upload/{source}", "/-/files/upload/docs"
    form = {"files": {"file": ("a.txt", b"a")}}
    await go("POST", base, "upload", docs, **form)
    await go("PUT", f"{base}/{{filename}}", "upload", f"{docs}/b.txt", content=b"b")
    prepared = await site.client.post(f"{docs}/-/prepare", json={"filename": "c"}, actor=ANN)
    token = {"upload_token": prepared.json()["upload_token"]}
    sent = await site.client.post(
        f"{docs}/-/upload", data=token, files={"file": ("c", b"c")}, actor=ANN
    )
    assert sent.status_code == 200, sent.text
    await walk.has("", "http", "ann")
    await go("POST", f"{base}/-/complete", "upload", f"{docs}/-/complete", json=token)
    # Again: nothing was done.
    await go("POST", f"{base}/-/complete", "", f"{docs}/-/complete", json=token)
    tus = {"Tus-Resumable": "1.0.0", "Upload-Metadata": meta(filename="d.txt")}
    headers = {**tus, "Upload-Length": "1", **BODY}
    await go("POST", f"{base}/-/tus", "upload", f"{docs}/-/tus", headers=headers, content=b"d")
    url = await Tus(site, actor=ANN).begin(2)
    headers = {**tus, **BODY, "Upload-Offset": "0"}
    patch = f"{base}/-/tus/{{upload}}"
    await go("PATCH", patch, "", url, headers=headers, content=b"e")
    last = await go(
        *("PATCH", patch, "upload", url), headers={**headers, "Upload-Offset": "1"}, content=b"f"
    )
    return str(last.headers["content-location"]).rpartition("/")[2]


async def _changes(walk: Walk, at: str, file: str) -> None:
    go, path = walk.go, "/-/files/{file_id}"
    update = {"update": {"tags": ["t"], "folder": "x", "search_text": "w"}}
    await go("POST", f"{path}/-/update", "update", f"{at}/-/update", json=update)
    restore = "/-/files/trash/-/restore"
    await go("DELETE", path, "delete", at)
    await go("DELETE", path, "", at)
    await go("POST", restore, "restore", json={"ids": [file]})
    new = await go(
        *("PUT", "/-/files/upload/{source}/{filename}", "replace upload"),
        f"/-/files/upload/docs/b.txt?replaces={file}",
        content=b"new",
    )
    newest = new.json()["file_id"]
    version = f"{at}/-/restore-version"
    again = await go("POST", f"{path}/-/restore-version", "replace upload", version, json={})
    made = again.json()["file"]["id"]
    gone = f"/-/files/{newest}"
    await go("POST", f"{path}/-/delete", "delete", f"{gone}/-/delete", json={})
    await go("POST", "/-/files/trash/-/purge", "purge", json={"ids": [newest]})
    assert made != newest


async def _reads(walk: Walk, at: str, file: str) -> None:
    go, path = walk.go, "/-/files/{file_id}"
    await go("GET", f"{path}/download", "download", f"{at}/download")
    tail = {"headers": {"Range": "bytes=1-"}}
    await go("GET", f"{path}/download", "download", f"{at}/download", **tail)
    picture = fixture("photos/phone.jpg").path.read_bytes()
    placed = (await upload(walk._datasette, picture, "p.jpg", actor=ANN))["id"]
    await walk.has("upload", "http", "ann")
    bare = f"/-/files/{placed}/download?stripped=1"
    await go("GET", f"{path}/download", "download", bare)
    await go("GET", f"{path}/inline", "inline", f"{at}/inline")
    await go("GET", f"{path}/inline/{{filename}}", "inline", f"{at}/inline/a.txt")
    chosen = await go("POST", "/-/files/-/selection", "zip", json={"ids": [file]})
    zip_ = "/-/files/-/selection/{selection}.zip"
    await go("GET", zip_, "zip", chosen.json()["zip_url"])
    head = await walk._datasette.client.head(f"{at}/download", actor=ANN)
    assert head.status_code == 200
    await walk.has("", "http", "ann")


async def _links(walk: Walk, site: Datasette, file: str) -> None:
    go, link = walk.go, "/-/files/s/{token}"
    other = (await upload(site, b"xy", "y.txt", actor=ANN))["id"]
    await walk.has("upload", "http", "ann")
    made = await go("POST", "/-/files/-/share", "share share", json={"ids": [file, other]})
    share = made.json()["share"]
    url = share["url"].removeprefix("http://localhost")
    await go("GET", link, "open open", url, None)
    await go("GET", f"{link}/{{file_id}}", "open", f"{url}/{file}", None)
    for name in ("download", "inline"):
        await go("GET", f"{link}/{{file_id}}/{name}", name, f"{url}/{file}/{name}", None)
        tail = {"headers": {"Range": "bytes=1-"}}
        await go("GET", f"{link}/{{file_id}}/{name}", name, f"{url}/{file}/{name}", None, **tail)
    await go("GET", f"{link}/zip", "zip zip", f"{url}/zip", None)
    revoke = "/-/files/-/share/{share_id}/revoke"
    ended_ = f"/-/files/-/share/{share['id']}/revoke"
    await go("POST", revoke, "revoke revoke", ended_, json={})
    await go("POST", revoke, "", ended_, json={})

    into = "/-/files/source/{source}/-/upload-link"
    made = await go("POST", into, "upload-link", into.replace("{source}", "docs"), json={})
    taking = made.json()["upload_link"]["url"].removeprefix("http://localhost")
    path = "/-/files/u/{token}"
    await go("GET", path, "open", taking, None)
    form = {"files": {"file": ("a.txt", b"a")}}
    await go("POST", path, "upload", taking, None, **form)
    prepared = await site.client.post(f"{taking}/-/prepare", json={"filename": "c", "size": 1})
    token = {"upload_token": prepared.json()["upload_token"]}
    await site.client.post(f"{taking}/-/upload", data=token, files={"file": ("c", b"c")})
    await go("POST", f"{path}/-/complete", "upload", f"{taking}/-/complete", None, json=token)
    tus = {"Tus-Resumable": "1.0.0", "Upload-Metadata": meta(filename="d.txt")}
    headers = {**tus, "Upload-Length": "1"}
    created = await go("POST", f"{path}/-/tus", "", f"{taking}/-/tus", None, headers=headers)
    headers = {**tus, **BODY, "Upload-Offset": "0"}
    where = created.headers["location"]
    patch = f"{path}/-/tus/{{upload}}"
    await go("PATCH", patch, "upload", where, None, headers=headers, content=b"e")
    made_id = made.json()["upload_link"]["id"]
    for one in await entries(site, "action=upload"):
        assert one["link"] == (made_id if one["via"] == "link" else None)


async def _many(walk: Walk, site: Datasette) -> None:
    go, bulk = walk.go, "/-/files/-/bulk"
    ids = [(await upload(site, b"%d" % n, f"{n}.txt", actor=ANN))["id"] for n in range(2)]
    await walk.has("upload upload", "http", "ann")
    chosen = {"selection": {"ids": ids}}
    for action, more, recorded in (
        ("tag", {"tags": ["a"]}, "update update"),
        ("tag", {"tags": ["a"]}, ""),
        ("untag", {"tags": ["a"]}, "update update"),
        ("folder", {"folder": "f"}, "update update"),
        ("share", {"share": {}}, "share share"),
        ("delete", {}, "delete delete"),
        ("restore", {}, "restore restore"),
    ):
        await go("POST", bulk, recorded, json={"action": action, **chosen, **more})
    one = {"selection": {"ids": ids[:1]}}
    await go("POST", bulk, "move move", json={"action": "move", "to": "other", **one})
    left, came = (await entries(site, f"file={ids[0]}"))[-2:]
    assert (left["source"], left["detail"]["moved"]) == ("docs", "out")
    assert (came["source"], came["detail"]["moved"]) == ("other", "in")
    await go("POST", bulk, "delete", json={"action": "delete", "selection": {"ids": ids[1:]}})
    await go("POST", bulk, "purge", json={"action": "purge", "selection": {"ids": ids[1:]}})
    # As a job, which works in the name of who started it, and its undoing.
    file = (await upload(site, b"j", "j.txt", actor=ANN))["id"]
    job = await Files.of(site).bulk_jobs.start(ANN, Order("delete"), Selection((file,)))
    url = f"/-/files/bulk/{job}"
    await _over(site, url)
    await walk.has("upload delete", "http", "ann")
    undo = "/-/files/bulk/{job}/-/undo"
    answer = await site.client.post(f"{url}/-/undo", actor=ANN)
    await _over(site, answer.json()["job"]["url"])
    walk.walked.add((undo, "POST"))
    await walk.has("restore", "http", "ann")


async def _over(site: Datasette, url: str) -> None:
    while True:
        told = (await site.client.get(f"{url}.json", actor=ANN)).json()
        if told["status"] not in ("pending", "running"):
            assert told["status"] == "finished", told
            return
        await asyncio.sleep(0.02)


async def _import(walk: Walk, site: Datasette, tmp_path: Path) -> None:
    attach(site, tmp_path)
    file = (await upload(site, b"a,b\n1,2\n", "t.csv", actor=ANN))["id"]
    await walk.has("upload", "http", "ann")
    form = {"database_name": "data", "table_name": "made"}
    url = f"/-/files/import/{file}"
    started = await site.client.post(
        url, data=form, actor=ANN, headers={"Accept": "application/json"}
    )
    walk.walked.add(("/-/files/import/{file_id}", "POST"))
    await ended(site, started.headers["location"], ANN)
    await walk.has("import", "http", "ann")
    (entry,) = await entries(site, "action=import")
    assert entry["detail"] == {
        **{"database": "data", "table": "made", "mode": "create", "rows": 1},
        "job": entry["detail"]["job"],
    }
    assert entry["file_id"] == file


async def test_rounds_act_as_the_site_itself(make_datasette: MakeDatasette, tmp_path: Path) -> None:
    root = tmp_path / "docs"
    (root / "in").mkdir(parents=True)
    for name in ("a", "b", "c", "in/d"):
        (root / name).write_text(name)
    sources = {
        "docs": disk_source(root, trash_days=1, index={"interval_seconds": 3600}, missing_days=1)
    }
    datasette = await make_datasette(sources, MANAGED)
    files, walk = Files.of(datasette), Walk(datasette)
    await watch(files)
    indexing = files.indexing["docs"]
    await indexing.round.once()
    await walk.has("upload upload upload upload", "round", None)
    ids = {one["detail"]["filename"]: one["file_id"] for one in await entries(datasette)}
    await files.hashing["docs"].once()
    await walk.has("", "round", None)  # what is made from a file's bytes is no change of it

    (root / "a").write_text("another")
    os.rename(root / "b", root / "moved")
    (root / "c").unlink()
    await files.indexer.request(files.sources.get("docs"))
    await indexing.round.once()
    found = [one for one in await entries(datasette) if one["id"] > walk._last]
    done = {(one["action"], one["file_id"]) for one in found}
    assert done >= {("replace", ids["a"]), ("update", ids["b"]), ("missing", ids["c"])}
    assert [one["action"] for one in found].count("upload") == 1
    assert {one["via"] for one in found} == {"round"}
    walk._last = found[-1]["id"]

    (root / "c").write_text("c")
    await files.indexer.request(files.sources.get("docs"))
    await indexing.round.once()
    await walk.has("found", "round", None)

    await datasette.client.delete(f"/-/files/{ids['d']}", actor=ANN)
    await walk.has("delete", "http", "ann")
    await files.catalog.write(
        lambda conn: conn.execute("UPDATE datasette_files_trash SET purge_at = 1") and None
    )
    await files.purger.purge_due()
    await walk.has("purge", "round", None)


def test_each_action_has_its_words() -> None:
    assert set(_DONE) == set(ACTIONS)


async def test_a_change_whose_entry_fails_is_not_made(site: Datasette) -> None:
    file = (await upload(site, b"abc", "a.txt", actor=ANN))["id"]
    files = Files.of(site)

    def refuse(conn: sqlite3.Connection) -> None:
        conn.execute(
            """CREATE TRIGGER refuse BEFORE INSERT ON datasette_files_audit
            BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END"""
        )

    await files.catalog.write(refuse)
    client, at = site.client, f"/-/files/{file}"
    before = (await client.get(f"{at}.json", actor=ANN)).json()
    for method, url, more in (
        ("DELETE", at, {}),
        ("POST", f"{at}/-/update", {"json": {"update": {"filename": "b.txt"}}}),
        ("PUT", "/-/files/upload/docs/new.txt", {"content": b"new"}),
        ("POST", "/-/files/-/share", {"json": {"ids": [file]}}),
        ("POST", "/-/files/source/docs/settings/-/update", {"json": {"settings": {"label": "L"}}}),
    ):
        answer = await client.request(method, url, actor=ANN, **more)
        assert answer.status_code >= 400, (method, url, answer.text)
    assert (await client.get(f"{at}.json", actor=ANN)).json() == before
    listed = (await client.get("/-/files/source/docs.json", actor=ANN)).json()
    assert [one["id"] for one in listed["files"]] == [file]
    assert (await client.get("/-/files/shares.json", actor=ANN)).json()["shares"] == []
    assert files.sources.get("docs").label == "docs"
