"""Bulk actions: what each does to each file, who may, what is refused, and jobs that go on.

Leaves out the pages (browser/test_selection.py) and kills of a server (faults/test_bulk_kill.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.permissions import PermissionSQL

from datasette_files.app import Files
from datasette_files.catalog import bulk
from datasette_files.db import files as file_rows
from datasette_files.models import FileRecord
from datasette_files.naming import new_ulid
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.sharing import Withdrawn, withdrawable
from tests.support.storages import registered

ALICE, BOB = {"id": "alice"}, {"id": "bob"}
EVERYTHING = {**OPEN, "files-manage": True, "files-share": True}
URL = "/-/files/-/bulk"


@pytest.fixture
async def datasette(make_datasette: MakeDatasette, tmp_path: Path) -> Datasette:
    """``docs`` with a trash, ``archive`` without one; everybody may do everything."""
    sources = {
        "docs": disk_source(tmp_path / "docs", trash_days=30),
        "archive": disk_source(tmp_path / "archive"),
    }
    return await make_datasette(sources, EVERYTHING)


@pytest.fixture
def announced() -> Iterator[list[tuple[str, str, str]]]:
    """The events, as ``(name, actor's id, file's id)``."""
    found: list[tuple[str, str, str]] = []

    async def track_event(datasette: Any, event: Any) -> None:
        who = (event.actor or {}).get("id", "")
        found.append((event.name, who, getattr(event, "file_id", "")))

    with registered(track_event=track_event):
        yield found


async def seed(datasette: Datasette, number: int, **facts: Any) -> list[str]:
    """Rows of files without bytes in ``docs``, for what reads none; their ids."""
    files = Files.of(datasette)
    source = files.sources.get("docs")
    base = {"content_type": "text/plain", "content_hash": None, "size": 1, "uploaded_by": "alice"}
    base |= {"width": None, "height": None, "metadata": None, "search_text": None}
    base |= {"created_at": "2026-01-02 03:04:05", **facts}
    made = []
    for index in range(number):
        ulid = new_ulid()
        own = {"id": f"df-{ulid}", "path": f"{ulid}/a.txt", "filename": f"a {index}.txt"}
        made.append(FileRecord(source_id=source.id, source_slug="docs", **{**base, **own}))
    await files.catalog.write(lambda conn: [file_rows.insert(conn, one) for one in made])
    return [one.id for one in made]


async def post(datasette: Datasette, status: int = 200, actor: Any = ALICE, **body: Any) -> Any:
    answer = await datasette.client.post(URL, json=body, actor=actor)
    assert answer.status_code == status, answer.text
    return answer.json()


async def act(datasette: Datasette, action: str, ids: list[str], **more: Any) -> Any:
    return await post(datasette, action=action, selection={"ids": ids}, **more)


async def records(datasette: Datasette, ids: list[str]) -> dict[str, FileRecord]:
    return await Files.of(datasette).catalog.read(lambda conn: file_rows.by_ids(conn, ids))


async def job(datasette: Datasette, url: str, actor: Any = ALICE) -> dict[str, Any]:
    answer = await datasette.client.get(f"{url}.json", actor=actor)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def over(datasette: Datasette, url: str) -> dict[str, Any]:
    while (found := await job(datasette, url))["status"] in ("pending", "running"):
        await asyncio.sleep(0.02)
    return found


async def test_each_action_does_each_file_and_names_what_it_refused(
    datasette: Datasette, announced: list[tuple[str, str, str]], tmp_path: Path
) -> None:
    ids = [(await upload(datasette, b"abc", f"{n}.txt", actor=ALICE))["id"] for n in range(3)]
    announced.clear()
    absent = {"id": "df-absent", "code": "not_found"}

    def events(name: str) -> list[tuple[str, str, str]]:
        found = [one for one in announced if one[0] == name]
        announced.clear()
        return found

    # An id given twice counts once.
    told = await act(datasette, "tag", [*ids, ids[0], "df-absent"], tags=["b", "a", "a"])
    assert told == {"ok": True, "done": 3, "refused": [absent]}
    assert events("update-file") == [("update-file", "alice", one) for one in ids]
    assert {one.tags for one in (await records(datasette, ids)).values()} == {("b", "a")}
    assert (await act(datasette, "tag", ids, tags=["a"]))["done"] == 3
    assert events("update-file") == []  # nothing was changed
    full = await act(datasette, "tag", ids[:1], tags=[f"t{n}" for n in range(49)])
    assert full["refused"] == [{"id": ids[0], "code": "invalid"}]
    await act(datasette, "untag", ids, tags=["b", "c"])
    assert {one.tags for one in (await records(datasette, ids)).values()} == {("a",)}
    await act(datasette, "folder", ids[:2], folder="x/y")
    assert [one.folder for one in (await records(datasette, ids)).values()] == ["x/y", "x/y", ""]

    announced.clear()
    shared = await act(datasette, "share", [*ids, "df-absent"], share={"expires_in": 60})
    assert (shared["done"], shared["refused"], shared["share"]["ids"]) == (3, [absent], ids)
    assert len(events("share-file")) == 3
    page = shared["share"]["url"].removeprefix("http://localhost")
    assert (await datasette.client.get(page)).status_code == 200

    moved = await act(datasette, "move", [*ids[:2], "df-absent"], to="archive")
    assert moved == {"ok": True, "done": 2, "refused": [absent]}
    assert sorted(events("update-file")) == [("update-file", "alice", one) for one in ids[:2]]
    sources = [one.source_slug for one in (await records(datasette, ids)).values()]
    assert sources == ["archive", "archive", "docs"]
    assert (await act(datasette, "move", ids[:1], to="archive"))["done"] == 1  # it is there
    assert (await datasette.client.get(f"/-/files/{ids[0]}/download")).content == b"abc"

    announced.clear()
    gone = await act(datasette, "delete", ids)
    assert gone == {"ok": True, "done": 3, "refused": [], "trashed": [ids[2]]}
    assert sorted(events("delete-file")) == [("delete-file", "alice", one) for one in ids]
    assert not list((tmp_path / "archive").rglob("*.txt"))
    # As one file's deletion may be repeated by its actor.
    assert (await act(datasette, "delete", ids))["done"] == 3
    again = await post(datasette, actor=BOB, action="delete", selection={"ids": ids[:1]})
    assert again["refused"] == [{"id": ids[0], "code": "not_found"}]

    back = await act(datasette, "restore", ids)
    assert (back["done"], len(back["refused"])) == (1, 2)
    assert events("restore-file") == [("restore-file", "alice", ids[2])]
    await act(datasette, "delete", ids[2:])
    purged = await act(datasette, "purge", ids)
    assert (purged["done"], [one["id"] for one in purged["refused"]]) == (1, ids[:2])
    assert not list((tmp_path / "docs").rglob("2.txt"))


async def test_a_query_selects_what_a_list_shows(datasette: Datasette) -> None:
    await seed(datasette, 2, folder="a/b", tags=("red",))
    await seed(datasette, 1, folder="a", content_type="image/png", uploaded_by="bob")
    await seed(datasette, 1, created_at="2020-01-01 00:00:00", search_text="Jahresbericht")

    async def tag(**selection: Any) -> int:
        done = (await post(datasette, action="tag", selection=selection, tags=[new_ulid()]))["done"]
        return int(done)

    assert await tag(source="docs") == 4
    assert await tag(source="archive") == await tag(source="nowhere") == 0
    assert await tag(folder="a") == 3
    assert await tag(folder="a", recursive=False) == 1
    assert await tag(source="docs", folder="", recursive=False) == 1
    assert await tag(tag="red", folder="a") == await tag(tag=["red"]) == 2
    assert await tag(content_type=["image/*"]) == await tag(uploaded_by="bob") == 1
    assert await tag(created_before="2021-01-01") == await tag(q="jahres") == 1
    assert await tag(q="txt", content_type="text/plain", created_after="2021-01-01") == 2

    # The same filters find files of the trash.
    await post(datasette, action="delete", selection={"source": "docs"})

    async def restored(**selection: Any) -> int:
        told = await post(datasette, action="restore", selection=selection)
        await post(datasette, action="delete", selection={"source": "docs"})
        return int(told["done"])

    assert await restored(source="docs") == 4
    assert await restored(q="jahresb") == await restored(folder="a", recursive=False) == 1
    assert await restored(tag="red", created_after="2021-01-01") == 2
    assert (await post(datasette, action="purge", selection={"q": "png nothing"}))["done"] == 0
    assert (await post(datasette, action="purge", selection={"uploaded_by": "bob"}))["done"] == 1


#: Requests that are refused whole.
MALFORMED: list[dict[str, Any]] = [
    {},
    {"action": "zip", "selection": {"ids": ["df-a"]}},
    {"action": "delete"},
    {"action": "delete", "selection": {}},
    {"action": "delete", "selection": {"recursive": True}},
    {"action": "delete", "selection": {"scource": "docs"}},
    {"action": "delete", "selection": {"ids": ["df-a"], "source": "docs"}},
    {"action": "delete", "selection": {"ids": []}},
    {"action": "delete", "selection": {"ids": [1]}},
    {"action": "delete", "selection": {"ids": [f"df-{n}" for n in range(5001)]}},
    {"action": "delete", "selection": {"source": 1}},
    {"action": "delete", "selection": {"folder": "../a"}},
    {"action": "delete", "selection": {"created_after": "soon"}},
    {"action": "delete", "selection": {"ids": ["df-a"]}, "really": True},
    {"action": "delete", "selection": {"source": "docs"}, "folder": "a"},
    {"action": "tag", "selection": {"source": "docs"}, "tags": ["a"], "to": "docs"},
    {"action": "tag", "selection": {"ids": ["df-a"]}},
    {"action": "tag", "selection": {"ids": ["df-a"]}, "tags": "a"},
    {"action": "folder", "selection": {"ids": ["df-a"]}},
    {"action": "move", "selection": {"ids": ["df-a"]}},
    {"action": "move", "selection": {"ids": ["df-a"]}, "to": "nowhere"},
    {"action": "share", "selection": {"ids": [f"df-{n}" for n in range(201)]}},
    {"action": "share", "selection": {"ids": ["df-a"]}, "share": {"days": 3}},
]


async def test_malformed_requests_are_refused_whole(datasette: Datasette) -> None:
    await seed(datasette, 1)
    for body in MALFORMED:
        answer = await datasette.client.post(URL, json=body, actor=ALICE)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), body


async def test_each_file_is_permitted_by_itself(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {"docs": disk_source(tmp_path / "docs"), "archive": disk_source(tmp_path / "archive")}
    permissions = {"files-edit": {"id": "alice"}, "files-delete": {"archive": {"allow": ALICE}}}
    datasette = await make_datasette(sources, permissions, owners_can_delete=True, trash_days=1)
    denied, *others = await seed(datasette, 4)
    theirs = await seed(datasette, 2, uploaded_by="bob")

    def rules(datasette: Any, actor: Any, action: str) -> PermissionSQL | None:
        if action != "files-edit":
            return None
        sql = "SELECT 'docs' AS parent, :one AS child, 0 AS allow, 'not this one' AS reason"
        return PermissionSQL(sql=sql, params={"one": denied})

    refused = [{"id": denied, "code": "permission_denied"}]
    with registered(permission_resources_sql=rules):
        told = await act(datasette, "tag", [denied, *others, *theirs], tags=["a"])
    assert told == {"ok": True, "done": 5, "refused": refused}
    # Owners delete their own, and restore what they deleted; nobody may purge.
    told = await act(datasette, "delete", [*others, *theirs])
    assert told["trashed"] == others
    assert [one["code"] for one in told["refused"]] == ["permission_denied"] * 2
    assert (await act(datasette, "purge", others))["done"] == 0
    bobs = await post(datasette, actor=BOB, action="restore", selection={"ids": others})
    assert bobs["done"] == 0
    assert (await act(datasette, "restore", others))["done"] == 3
    # A move needs the right to see and delete the file, and to upload to the target.
    assert (await act(datasette, "move", others, to="archive"))["refused"]
    # A token that is restricted to another action.
    token = {"id": "alice", "_r": {"a": ["fb"]}}
    told = await post(datasette, actor=token, action="tag", selection={"ids": others}, tags=["b"])
    assert told["done"] == 0
    nobody = await post(datasette, actor=None, action="delete", selection={"ids": others})
    assert nobody["done"] == 0
    # A query finds only what its actor may see: nothing here.
    assert (await post(datasette, action="tag", selection={"source": "docs"}, tags=["b"]))[
        "done"
    ] == 0


async def test_many_files_are_a_job_that_its_actor_watches_and_undoes(
    datasette: Datasette, announced: list[tuple[str, str, str]]
) -> None:
    ids = await seed(datasette, 250, tags=("keep",))
    client = datasette.client
    answer = await client.post(
        URL, json={"action": "delete", "selection": {"source": "docs"}}, actor=ALICE
    )
    assert answer.status_code == 202
    told = answer.json()
    url = told["job"]["url"]
    assert told == {"ok": True, "job": {"id": told["job"]["id"], "url": url}}
    assert answer.headers["location"] == url
    done = await over(datasette, url)
    assert (done["status"], done["done"], done["refused"]) == ("finished", 250, [])
    assert (done["total"], done["progress"], done["action"]) == (250, 1.0, "delete")
    assert sorted(announced) == [("delete-file", "alice", one) for one in sorted(ids)]
    assert await records(datasette, ids) == {}

    for path, method in [(f"{url}.json", "GET"), (url, "GET"), (f"{url}/-/undo", "POST")]:
        for actor in (BOB, None):
            assert (await client.request(method, path, actor=actor)).status_code == 403
    datasette.root_enabled = True
    assert (await job(datasette, url, {"id": "root"}))["done"] == 250
    assert (await client.get("/-/files/bulk/999.json", actor=ALICE)).status_code == 404
    assert (await client.get("/-/files/import/df-a/1.json", actor=ALICE)).status_code == 404
    late = await client.post(f"{url}/-/cancel", actor=ALICE)
    assert (late.status_code, late.json()["code"]) == (409, "conflict")

    undone = await client.post(f"{url}/-/undo", actor=ALICE)
    assert undone.status_code == 202
    back = await over(datasette, undone.json()["job"]["url"])
    assert (back["status"], back["done"], back["refused_count"]) == ("finished", 250, 0)
    assert {one.tags for one in (await records(datasette, ids)).values()} == {("keep",)}
    assert (
        await client.post(f"{undone.json()['job']['url']}/-/undo", actor=ALICE)
    ).status_code == 409


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Jobs wait at this gate before each transaction but the first. Ten files are done together."""
    gate, passed = asyncio.Event(), []
    change = bulk.Bulk._change

    async def slowly(self: Any, *args: Any) -> Any:
        if passed:
            await gate.wait()
        passed.append(1)
        return await change(self, *args)

    monkeypatch.setattr(bulk, "_CHUNK", 10)
    monkeypatch.setattr(bulk.Bulk, "_change", slowly)
    return gate


async def _begun(datasette: Datasette, action: str, number: int = 250, **more: Any) -> str:
    """Start a job, and return its URL once its first ten files are done."""
    ids = await seed(datasette, number)
    told = await post(datasette, 202, action=action, selection={"ids": ids}, **more)
    url: str = told["job"]["url"]
    while (await job(datasette, url))["done"] < 10:
        await asyncio.sleep(0.02)
    return url


async def test_a_job_goes_on_in_another_process_as_the_same_actor(
    datasette: Datasette,
    make_datasette: MakeDatasette,
    gate: asyncio.Event,
    announced: list[tuple[str, str, str]],
) -> None:
    url = await _begun(datasette, "tag", tags=["new"])
    await datasette.invoke_shutdown()
    gate.set()
    sources = datasette.config["plugins"]["datasette-files"]["sources"]
    second = await make_datasette(sources, EVERYTHING)
    done = await over(second, url)
    assert (done["status"], done["done"], done["refused"]) == ("finished", 250, [])
    assert len(announced) == len(set(announced)) == 250
    assert {who for _, who, _ in announced} == {"alice"}


async def test_a_cancelled_job_stops_before_its_next_files(
    datasette: Datasette, gate: asyncio.Event
) -> None:
    url = await _begun(datasette, "delete")
    assert (await datasette.client.post(f"{url}/-/cancel", actor=ALICE)).json() == {"ok": True}
    gate.set()
    ended = await over(datasette, url)
    assert (ended["status"], ended["done"], ended["total"]) == ("cancelled", 10, 250)
    assert ended["can_undo"]


async def test_a_permission_that_is_withdrawn_meanwhile_counts_for_the_rest(
    datasette: Datasette, gate: asyncio.Event
) -> None:
    with withdrawable() as plugin:
        assert isinstance(plugin, Withdrawn)
        url = await _begun(datasette, "tag", tags=["new"])
        plugin.actions.add("files-edit")
        gate.set()
        ended = await over(datasette, url)
    assert (ended["status"], ended["done"], ended["refused_count"]) == ("finished", 10, 240)
    assert {one["code"] for one in ended["refused"]} == {"permission_denied"}
