"""Roles of datasette-acl on sources and files, given and taken by its API and its dialog."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from datasette.app import Datasette
from datasette.plugins import pm

from datasette_files.app import Files
from datasette_files.db import jobs
from datasette_files.db.imports import ImportRequest
from datasette_files.errors import PermissionDenied
from tests.conftest import MakeDatasette, disk_source, missing, upload
from tests.support.storages import registered

ADMIN = {"id": "admin"}
ALICE = {"id": "alice"}
BOSS = {"id": "boss"}
SOURCE = "files-source/docs"


@pytest.fixture
def acl() -> Iterator[None]:
    """datasette-acl is a plugin of this process for one test."""
    if find_spec("datasette_acl") is None:
        missing("datasette-acl")
    import datasette_acl

    name = pm.register(datasette_acl, name="datasette-acl")
    try:
        yield
    finally:
        pm.unregister(name=name)


@pytest.fixture
async def docs(acl: None, make_datasette: MakeDatasette, tmp_path: Path) -> Datasette:
    """A source that nobody may use, and an administrator of all grants."""
    sources = {"docs": disk_source(tmp_path / "docs", label="Cellar of papers")}
    permissions = {
        "datasette-acl": ADMIN,
        "permissions-debug": ADMIN,
        "files-upload": {"docs": {"allow": ADMIN}},
    }
    return await make_datasette(sources, permissions)


def on_file(file: dict[str, Any]) -> str:
    return f"files-file/docs/{file['id']}"


async def change(
    datasette: Datasette, resource: str, verb: str, by: Any = ADMIN, **body: Any
) -> int:
    answer = await datasette.client.post(
        f"/-/acl/api/resource/{resource}/{verb}", json=body, actor=by
    )
    status: int = answer.status_code
    return status


async def abilities(datasette: Datasette, file: dict[str, Any], actor: Any) -> set[str]:
    """The actions that the actor may do to the file and its source."""
    client, url = datasette.client, file["url"]
    listed = await client.get("/-/files/search.json", actor=actor)
    answers = {
        "see": await client.get(f"{url}/download", actor=actor),
        "browse": await client.get("/-/files/source/docs.json", actor=actor),
        "upload": await client.put("/-/files/upload/docs/a.txt", content=b"a", actor=actor),
        "edit": await client.post(
            f"{url}/-/update", json={"update": {"search_text": "x"}}, actor=actor
        ),
        "manage": await client.get("/-/files/source/docs/settings.json", actor=actor),
    }
    assert {answer.status_code for answer in answers.values()} <= {200, 201, 403}
    found = {name for name, answer in answers.items() if answer.is_success}
    assert (file["id"] in listed.text) is ("see" in found)
    return found


BROWSER = {"see", "browse"}
ROLES = [
    (SOURCE, "Viewer", BROWSER),
    (SOURCE, "Contributor", BROWSER | {"upload"}),
    (SOURCE, "Editor", BROWSER | {"upload", "edit"}),
    (SOURCE, "Manager", BROWSER | {"upload", "edit", "manage"}),
    ("", "Viewer", {"see"}),
    ("", "Editor", {"see", "edit"}),
]


@pytest.mark.parametrize("resource, role, may", ROLES)
async def test_a_role_holds_from_its_grant_to_its_revocation(
    docs: Datasette, resource: str, role: str, may: set[str]
) -> None:
    file = await upload(docs, actor=ADMIN)
    resource = resource or on_file(file)
    # datasette-acl keeps a source's last manager.
    await change(docs, SOURCE, "grant", actor_id="boss", role="Manager")
    assert await abilities(docs, file, ALICE) == set()
    assert await change(docs, resource, "grant", actor_id="alice", role=role) == 200
    assert await abilities(docs, file, ALICE) == may
    assert await change(docs, resource, "revoke", actor_id="alice") == 200
    assert await abilities(docs, file, ALICE) == set()


@pytest.mark.parametrize("resource", [SOURCE, ""])
async def test_an_editor_may_delete(docs: Datasette, resource: str) -> None:
    file = await upload(docs, actor=ADMIN)
    await change(docs, resource or on_file(file), "grant", actor_id="alice", role="Editor")
    assert (await docs.client.delete(file["url"], actor=ALICE)).status_code == 204


async def test_a_role_on_one_source_says_nothing_of_another(
    acl: None, make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "other")}
    datasette = await make_datasette(sources, {"datasette-acl": ADMIN, "files-upload": True})
    file = await upload(datasette, source="other")
    assert await change(datasette, SOURCE, "grant", actor_id="alice", role="Manager") == 200
    for answer in (
        await datasette.client.get(f"{file['url']}.json", actor=ALICE),
        await datasette.client.delete(file["url"], actor=ALICE),
    ):
        assert answer.status_code == 403


async def test_roles_go_to_groups_and_to_everyone(docs: Datasette) -> None:
    one, two = await upload(docs, actor=ADMIN), await upload(docs, actor=ADMIN)
    form = {"new_group": "staff"}
    await docs.client.post("/-/acl/groups", data=form, actor=ADMIN)
    await docs.client.post("/-/acl/groups/staff", data={"add": "alice"}, actor=ADMIN)
    groups = (await docs.client.get("/-/acl/api/groups", actor=ADMIN)).json()["groups"]
    assert await change(docs, on_file(one), "grant", group_id=groups[0]["id"], role="Viewer") == 200
    assert (
        await change(docs, on_file(two), "grant", principal_type="everyone", role="Viewer") == 200
    )
    for actor, sees in [(ALICE, {one["id"], two["id"]}), (None, {two["id"]})]:
        found = (await docs.client.get("/-/files/search.json", actor=actor)).json()
        assert {file["id"] for file in found["files"]} == sees
        assert found["sources"] == []


async def test_the_dialog_grants_and_revokes(docs: Datasette) -> None:
    file = await upload(docs, actor=ADMIN)
    dialog = f"/-/acl/resource/{on_file(file)}"
    page = await docs.client.get(dialog, actor=ADMIN)
    for action in ("files-view", "files-edit", "files-delete"):
        assert action in page.text
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    grant = urlencode({"new_actor_id": "alice", "new_user_actions": "files-view"})
    for form, may in [(grant, {"see"}), ("", set())]:
        answer = await docs.client.post(dialog, content=form, headers=headers, actor=ADMIN)
        assert answer.status_code == 302
        assert await abilities(docs, file, ALICE) == may


async def test_a_manager_gives_roles_on_the_source(docs: Datasette) -> None:
    assert await change(docs, SOURCE, "grant", by=BOSS, actor_id="alice", role="Viewer") == 403
    await change(docs, SOURCE, "grant", actor_id="boss", role="Manager")
    assert await change(docs, SOURCE, "grant", by=BOSS, actor_id="alice", role="Viewer") == 200
    await change(docs, SOURCE, "update", actor_id="alice", role="Editor")
    assert await change(docs, SOURCE, "grant", by=ALICE, actor_id="eve", role="Viewer") == 403
    page = await docs.client.get("/-/files/source/docs", actor=BOSS)
    assert f'href="/-/acl/resource/{SOURCE}"' in page.text
    assert "/-/acl/" not in (await docs.client.get("/-/files/source/docs", actor=ALICE)).text


@pytest.mark.parametrize("allow, sees", [({"id": "bob"}, True), (False, False)], ids=repr)
async def test_the_yaml_takes_a_role_away_by_allow_false_alone(
    acl: None, make_datasette: MakeDatasette, allow: Any, sees: bool
) -> None:
    closed = {"docs": {"allow": allow}}
    permissions = {"files-upload": True, "files-browse": closed, "files-view": closed}
    datasette = await make_datasette(permissions={**permissions, "datasette-acl": ADMIN})
    file = await upload(datasette)
    for resource in (SOURCE, on_file(file)):
        await change(datasette, resource, "grant", actor_id="alice", role="Viewer")
        record = await datasette.client.get(f"{file['url']}.json", actor=ALICE)
        assert record.status_code == (200 if sees else 403)
        await change(datasette, resource, "revoke", actor_id="alice")


async def test_datasettes_own_tools_explain_a_role(docs: Datasette) -> None:
    file = await upload(docs, actor=ADMIN)
    await change(docs, on_file(file), "grant", actor_id="alice", role="Viewer")
    query = urlencode(
        {
            "action": "files-view",
            "parent": "docs",
            "child": file["id"],
            "actor": '{"id": "alice"}',
        }
    )
    check = (await docs.client.get(f"/-/check.json?{query}", actor=ADMIN)).json()
    assert check["allowed"] is True
    assert "datasette-acl: actor:alice" in str(check)
    allowed = await docs.client.get("/-/allowed.json?action=files-view", actor=ALICE)
    assert [item["child"] for item in allowed.json()["items"]] == [file["id"]]


async def test_a_files_page_tells_who_may_see_it_as_far_as_the_reader_may_know(
    docs: Datasette,
) -> None:
    def actors_from_ids(datasette: Any, actor_ids: Any) -> dict[Any, Any]:
        return {one: {"id": one, "name": f"{one} of the archive"} for one in actor_ids}

    file = await upload(docs, actor=ADMIN)
    await change(docs, on_file(file), "grant", actor_id="alice", role="Viewer")
    await change(docs, SOURCE, "grant", actor_id="boss", role="Manager")
    await change(docs, SOURCE, "grant", actor_id="admin", role="Viewer")

    async def shown(actor: Any) -> str:
        page = await docs.client.get(file["url"], actor=actor)
        assert page.status_code == 200
        text: str = page.text.partition('id="files-access-title"')[2].partition("</section>")[0]
        return text

    with registered(actors_from_ids=actors_from_ids):
        viewers, managers, admins = await shown(ALICE), await shown(BOSS), await shown(ADMIN)
    assert "Only people with permission. You have it for this file." in viewers
    assert "boss" not in viewers
    assert "/-/acl/" not in viewers
    for text in (managers, admins):
        assert "<bdi>alice of the archive</bdi>: Viewer of this file" in text
        assert "<bdi>boss of the archive</bdi>: Manager of its source" in text
        assert f'href="/-/acl/resource/{SOURCE}"' in text
    assert f'href="/-/acl/resource/{on_file(file)}"' in admins
    assert f'href="/-/acl/resource/{on_file(file)}"' not in managers
    await change(docs, on_file(file), "grant", principal_type="everyone", role="Viewer")
    for actor in (None, ALICE):
        assert "Everyone, signed in or not." in await shown(actor)


async def test_a_revoked_role_stops_an_import_before_it_writes(
    acl: None, make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    database = tmp_path / "tables.db"
    sqlite3.connect(database).close()
    needs = {"files-upload": ADMIN, "create-table": True, "insert-row": True}
    datasette = await make_datasette(
        permissions={"datasette-acl": ADMIN, **needs}, databases=[database]
    )
    file = await upload(datasette, b"a,b\n1,2\n", "rows.csv", actor=ADMIN)
    await change(datasette, on_file(file), "grant", actor_id="alice", role="Viewer")
    files = Files.of(datasette)
    record, _ = await files.lookup.visible(ALICE, file["id"])
    number = await files.imports.start(ALICE, record, ImportRequest("tables", "rows"))
    job = await files.catalog.read(lambda conn: jobs.get(conn, number))
    assert job is not None
    work = files.jobs._kinds["import"]
    await work.permit(job)
    await change(datasette, on_file(file), "revoke", actor_id="alice")
    with pytest.raises(PermissionDenied, match="see this file"):
        await work.permit(job)


def test_datasette_acl_is_not_imported_where_it_is_not_used() -> None:
    code = (
        "import sys, datasette.app, datasette_files.plugin;"
        "assert 'datasette_files.plugin' in sys.modules;"
        "assert 'datasette_acl' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
