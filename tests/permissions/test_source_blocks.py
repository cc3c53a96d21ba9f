"""A source's block of the yaml beside the grants of another plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasette.permissions import PermissionSQL

from datasette_files.permissions.actions import EDIT, VIEW, FileResource
from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.storages import registered

ALICE = {"id": "alice"}
BOB = {"id": "bob"}

#: What a plugin's rule says to alice: ``(source, allow)``; a source None is all of them.
Rule = tuple[str | None, int] | None
NAMED = {"docs": {"allow": {"id": "bob"}}}
FOR_ALL = {"id": "alice", **NAMED}


def plugin(action: str, rule: Rule, child: list[str] | None = None) -> Any:
    """A hook that grants or denies alice the action; with ``child``, on that file."""

    def rules(datasette: Any, actor: Any, **asked: Any) -> PermissionSQL | None:
        if rule is None or asked["action"] != action or actor != ALICE:
            return None
        sql = "SELECT :plugin_parent AS parent, :plugin_child AS child, :plugin_allow AS allow"
        return PermissionSQL(
            sql=f"{sql}, 'plugin' AS reason",
            params={
                "plugin_parent": rule[0],
                "plugin_child": child[0] if child else None,
                "plugin_allow": rule[1],
            },
        )

    def hook(datasette: Any, actor: Any, action: str) -> PermissionSQL | None:
        return rules(datasette, actor, action=action)

    return hook


@pytest.mark.parametrize(
    "block, rule, may",
    [
        (NAMED, None, []),
        (NAMED, ("docs", 1), ["docs"]),
        (FOR_ALL, None, ["other"]),
        (FOR_ALL, ("docs", 1), ["docs", "other"]),
        (FOR_ALL, ("other", 1), ["other"]),
        (FOR_ALL, (None, 1), ["docs", "other"]),
        (FOR_ALL, ("docs", 0), ["other"]),
        (FOR_ALL, (None, 0), []),
        ({"id": "alice", "docs": {"allow": None}}, None, ["docs", "other"]),
        ({"id": "alice", "docs": {"allow": False}}, ("docs", 1), ["other"]),
        ({"id": "alice", "docs": {"allow": 0}}, ("docs", 1), ["other"]),
        ({"id": "alice", "docs": {"allow": {}}}, ("docs", 1), ["other"]),
        ({"docs": {"allow": False}}, (None, 1), []),
        ({"docs": {"allow": ALICE}}, None, ["docs"]),
        ({"docs": {"allow": ALICE}}, ("docs", 0), []),
    ],
    ids=repr,
)
async def test_a_block_that_does_not_name_the_actor_takes_away_the_global_grant_alone(
    make_datasette: MakeDatasette, tmp_path: Path, block: Any, rule: Rule, may: list[str]
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "other")}
    with registered(permission_resources_sql=plugin("files-browse", rule)):
        datasette = await make_datasette(sources, {"files-browse": block})
        found = (await datasette.client.get("/-/files/sources.json", actor=ALICE)).json()
        assert [source["slug"] for source in found["sources"]] == may
        bobs = (await datasette.client.get("/-/files/sources.json", actor=BOB)).json()
        named = block.get("docs", {}).get("allow") == {"id": "bob"}
        assert [source["slug"] for source in bobs["sources"]] == (["docs"] if named else [])


@pytest.mark.parametrize("action", [EDIT, VIEW])
@pytest.mark.parametrize(
    "block, may",
    [
        (NAMED, True),
        (FOR_ALL, True),
        ({"docs": {"allow": False}}, False),
        ({"docs": {"allow": {}}}, False),
    ],
    ids=repr,
)
async def test_only_a_closed_source_beats_a_plugins_grant_on_one_file(
    make_datasette: MakeDatasette, action: str, block: Any, may: bool
) -> None:
    chosen = ["none"]
    with registered(permission_resources_sql=plugin(action, ("docs", 1), chosen)):
        datasette = await make_datasette(permissions={"files-upload": True, action: block})
        one, two = await upload(datasette), await upload(datasette)
        chosen[0] = one["id"]
        for file, allowed in [(one, may), (two, False)]:
            resource = FileResource("docs", file["id"])
            assert (
                await datasette.allowed(action=action, resource=resource, actor=ALICE)
            ) is allowed
            seen = await datasette.client.get(f"{file['url']}.json", actor=ALICE)
            assert seen.status_code == (200 if allowed and action == VIEW else 403)


@pytest.mark.parametrize("browses", [True, False])
async def test_a_denial_of_one_file_does_not_beat_browsing_its_source(
    make_datasette: MakeDatasette, browses: bool
) -> None:
    chosen = ["none"]
    permissions = {"files-upload": True, ("files-browse" if browses else "files-view"): ALICE}
    with registered(permission_resources_sql=plugin(VIEW, ("docs", 0), chosen)):
        datasette = await make_datasette(permissions=permissions)
        one, two = await upload(datasette), await upload(datasette)
        chosen[0] = one["id"]
        client = datasette.client
        for file, sees in [(one, browses), (two, True)]:
            record = await client.get(f"{file['url']}.json", actor=ALICE)
            assert record.status_code == (200 if sees else 403)
            batch = await client.get(f"/-/files/batch.json?id={file['id']}", actor=ALICE)
            assert (file["id"] in batch.json()["files"]) is sees
        for query in ("", "?q=hello"):
            found = (await client.get(f"/-/files/search.json{query}", actor=ALICE)).json()
            assert [file["id"] for file in found["files"]] == [two["id"], one["id"]][: 1 + browses]
            assert found["total"] == 1 + browses
        # The source itself is for those who browse it.
        answer = await client.get("/-/files/source/docs.json", actor=ALICE)
        assert answer.status_code == (200 if browses else 403)


@pytest.mark.parametrize(
    "restrictions, sees, lists",
    [
        ({"a": ["files-view"]}, {"one", "two"}, False),
        ({"a": ["files-browse"]}, {"one", "two"}, True),
        ({"d": {"docs": ["files-view"]}}, {"one", "two"}, False),
        ({"d": {"other": ["files-view"]}}, set(), False),
        ({"r": {"docs": {"ONE": ["files-view"]}}}, {"one"}, False),
        ({"a": ["files-upload"]}, set(), False),
    ],
)
async def test_a_token_may_be_held_to_seeing_files(
    make_datasette: MakeDatasette, restrictions: Any, sees: set[str], lists: bool
) -> None:
    datasette = await make_datasette()
    files = {"one": await upload(datasette), "two": await upload(datasette)}
    for names in restrictions.get("r", {}).values():
        for name in [name for name in names if name.lower() in files]:
            names[files[name.lower()]["id"]] = names.pop(name)
    actor = {**ALICE, "_r": restrictions}
    client = datasette.client
    found = (await client.get("/-/files/search.json", actor=actor)).json()
    assert {file["id"] for file in found["files"]} == {files[name]["id"] for name in sees}
    for name, file in files.items():
        record = await client.get(f"{file['url']}.json", actor=actor)
        assert record.status_code == (200 if name in sees else 403)
    page = await client.get("/-/files/source/docs.json", actor=actor)
    assert page.status_code == (200 if lists else 403)


async def test_browsing_a_source_implies_seeing_its_files_for_datasettes_own_tools(
    make_datasette: MakeDatasette,
) -> None:
    permissions = {"files-upload": True, "files-browse": {"docs": {"allow": ALICE}}}
    datasette = await make_datasette(permissions={**permissions, "permissions-debug": True})
    file = await upload(datasette)
    for actor, allowed in [(ALICE, True), (BOB, False)]:
        resource = FileResource("docs", file["id"])
        assert (await datasette.allowed(action=VIEW, resource=resource, actor=actor)) is allowed
        listed = await datasette.client.get(f"/-/allowed.json?action={VIEW}", actor=actor)
        assert listed.json()["total"] == int(allowed)
    query = f"action={VIEW}&parent=docs&child={file['id']}"
    check = (await datasette.client.get(f"/-/check.json?{query}", actor=ALICE)).json()
    assert check["allowed"] is True
    assert "files-browse on the source" in str(check)
