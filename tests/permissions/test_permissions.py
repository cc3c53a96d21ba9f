"""The rules themselves: every form of allow block, tokens, other plugins, ownership, Datasette's
own tools. What each route asks for is in test_permissions_matrix.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.permissions import PermissionSQL
from datasette.utils import StartupError

from datasette_files.app import Files
from datasette_files.permissions.actions import FileResource, SourceResource
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.storages import registered

ALICE = {"id": "alice"}
BOB = {"id": "bob"}
STAFF = {"id": "carol", "role": ["staff", "admin"]}

#: ``(allow block, who it lets in among nobody, alice, bob and staff)``
BLOCKS: list[tuple[Any, set[str]]] = [
    (True, {"nobody", "alice", "bob", "staff"}),
    (False, set()),
    (1, {"nobody", "alice", "bob", "staff"}),
    (0, set()),
    ({}, set()),
    ({"id": "alice"}, {"alice"}),
    ({"id": ["alice", "bob"]}, {"alice", "bob"}),
    ({"id": "*"}, {"alice", "bob", "staff"}),
    ({"role": "staff"}, {"staff"}),
    ({"role": ["staff", "guest"]}, {"staff"}),
    ({"role": "*"}, {"staff"}),
    ({"unauthenticated": True}, {"nobody"}),
    ({"unauthenticated": True, "id": "bob"}, {"nobody", "bob"}),
    ({"id": "alice", "role": "staff"}, {"alice", "staff"}),
]
PEOPLE = {"nobody": None, "alice": ALICE, "bob": BOB, "staff": STAFF}


async def browsers(datasette: Datasette, source: str = "docs") -> set[str]:
    """The actors who may read the source's list."""
    found = set()
    for name, actor in PEOPLE.items():
        answer = await datasette.client.get(f"/-/files/source/{source}.json", actor=actor)
        assert answer.status_code in (200, 403), answer.text
        if answer.status_code == 200:
            found.add(name)
    return found


def _written(value: object) -> str:
    """The same in every process: a set has no order."""
    return repr(sorted(value) if isinstance(value, set) else value)


@pytest.mark.parametrize("block, expected", BLOCKS, ids=_written)
async def test_allow_blocks_mean_the_same_at_both_levels(
    make_datasette: MakeDatasette, block: Any, expected: set[str]
) -> None:
    overall = await make_datasette(permissions={"files-browse": block}, internal="a.db")
    assert await browsers(overall) == expected
    source = await make_datasette(
        permissions={"files-browse": {"docs": {"allow": block}}}, internal="b.db"
    )
    assert await browsers(source) == expected


async def test_a_block_may_name_actors_and_sources(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "open", "shut")}
    block = {"id": "alice", "open": {"allow": True}, "shut": {"allow": False}}
    datasette = await make_datasette(sources, {"files-browse": block})
    assert await browsers(datasette, "docs") == {"alice"}
    assert await browsers(datasette, "open") == set(PEOPLE)
    assert await browsers(datasette, "shut") == set()


@pytest.mark.parametrize("allow", ["alice", ["alice"], 2, 0.5], ids=repr)
async def test_an_allow_block_that_means_nothing_stops_the_start(
    make_datasette: MakeDatasette, allow: Any
) -> None:
    with pytest.raises(StartupError) as stopped:
        await make_datasette(permissions={"files-upload": {"docs": {"allow": allow}}})
    assert str(stopped.value).startswith("permissions.files-upload.docs.allow: must be true, false")
    assert len(str(stopped.value).splitlines()) == 1


async def test_a_source_may_have_the_name_of_an_actors_key(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("id", "role")}
    block = {"id": {"allow": {"id": "alice"}}, "role": "staff"}
    datasette = await make_datasette(sources, {"files-browse": block})
    assert await browsers(datasette, "id") == {"alice"}
    assert await browsers(datasette, "role") == {"staff"}


async def test_a_key_that_is_no_source_grants_nothing_to_a_source(
    make_datasette: MakeDatasette,
) -> None:
    datasette = await make_datasette(permissions={"files-browse": {"docks": {"allow": True}}})
    assert await browsers(datasette) == set()


async def test_an_entry_that_is_no_allow_block_of_a_source_says_nothing(
    make_datasette: MakeDatasette,
) -> None:
    block = {"id": "alice", "docs": {}, "docks": {"allow": "alice"}}
    datasette = await make_datasette(permissions={"files-browse": block})
    assert await browsers(datasette) == {"alice"}


@pytest.mark.parametrize(
    "restrictions, may",
    [
        ({}, set()),
        ({"a": ["files-browse"]}, {"files-browse"}),
        ({"a": ["view-instance"]}, set()),
        ({"d": {"docs": ["files-upload"]}}, {"files-upload"}),
        ({"d": {"other": ["files-upload"]}}, set()),
        ({"d": {"docs": ["files-edit", "files-delete"]}}, {"files-edit", "files-delete"}),
    ],
)
async def test_a_token_is_held_to_its_restrictions(
    make_datasette: MakeDatasette, tmp_path: Path, restrictions: Any, may: set[str]
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "other")}
    datasette = await make_datasette(sources, OPEN)
    file = await upload(datasette)
    actor = {**ALICE, "_r": restrictions}
    client = datasette.client
    answers = {
        "files-browse": await client.get(f"{file['url']}.json", actor=actor),
        "files-upload": await client.put("/-/files/upload/docs/a.txt", content=b"a", actor=actor),
        "files-edit": await client.post(
            f"{file['url']}/-/update", json={"update": {"search_text": "x"}}, actor=actor
        ),
        "files-delete": await client.post(f"{file['url']}/-/delete", json={}, actor=actor),
    }
    assert {action for action, answer in answers.items() if answer.is_success} == may
    assert {a.status_code for name, a in answers.items() if name not in may} <= {403}


async def test_a_token_for_one_file_edits_that_file_alone(datasette: Datasette) -> None:
    mine, other = await upload(datasette), await upload(datasette)
    actor = {**ALICE, "_r": {"r": {"docs": {mine["id"]: ["files-edit"]}}}}
    for file, status in [(mine, 200), (other, 403)]:
        answer = await datasette.client.post(
            f"{file['url']}/-/update", json={"update": {"search_text": "x"}}, actor=actor
        )
        assert answer.status_code == status


@pytest.mark.parametrize("allow", [True, False])
async def test_another_plugin_grants_or_denies_a_source(
    make_datasette: MakeDatasette, allow: bool
) -> None:
    def rules(datasette: Any, actor: Any, action: str) -> PermissionSQL | None:
        if action != "files-browse" or actor != ALICE:
            return None
        sql = f"SELECT 'docs' AS parent, NULL AS child, {int(allow)} AS allow, 'plugin' AS reason"
        return PermissionSQL(sql=sql)

    with registered(permission_resources_sql=rules):
        datasette = await make_datasette(permissions={} if allow else {"files-browse": True})
        found = await browsers(datasette)
    assert ("alice" in found) is allow
    assert ("bob" in found) is not allow


async def test_another_plugin_may_only_restrict(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    def rules(datasette: Any, actor: Any, action: str) -> list[PermissionSQL | None]:
        every = "SELECT NULL AS parent, NULL AS child"
        one = "SELECT 'other' AS parent, NULL AS child"
        return [None, PermissionSQL(restriction_sql=every if actor == BOB else one)]

    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "other")}
    block = {"id": ["alice", "bob"], "docs": {"allow": {"id": "alice"}}}
    with registered(permission_resources_sql=rules):
        datasette = await make_datasette(sources, {"files-browse": block})
        assert await browsers(datasette, "docs") == set()
        assert await browsers(datasette, "other") == {"alice", "bob"}


@pytest.mark.parametrize("allow", [True, False])
async def test_another_plugin_grants_or_denies_one_file(
    make_datasette: MakeDatasette, allow: bool
) -> None:
    chosen: list[str] = ["none"]

    async def rules(datasette: Any, actor: Any, action: str) -> PermissionSQL | None:
        if action != "files-edit":
            return None
        sql = f"SELECT 'docs' AS parent, :chosen AS child, {int(allow)} AS allow, 'one' AS reason"
        return PermissionSQL(sql=sql, params={"chosen": chosen[0]})

    with registered(permission_resources_sql=rules):
        others = {"files-browse": True, "files-upload": True}
        datasette = await make_datasette(
            permissions=others if allow else {**others, "files-edit": True}
        )
        one, two = await upload(datasette), await upload(datasette)
        chosen[0] = one["id"]
        for file, may in [(one, allow), (two, not allow)]:
            answer = await datasette.client.post(
                f"{file['url']}/-/update", json={"update": {"search_text": "x"}}, actor=BOB
            )
            assert answer.status_code == (200 if may else 403)


async def edit(datasette: Datasette, file: dict[str, Any], actor: Any) -> int:
    answer = await datasette.client.post(
        f"{file['url']}/-/update", json={"update": {"search_text": "x"}}, actor=actor
    )
    status: int = answer.status_code
    return status


OTHERS = {"files-browse": True, "files-upload": True}


@pytest.mark.parametrize(
    "block, status",
    [
        (None, 200),
        ({"docs": {"allow": {"id": "bob"}}}, 200),
        ({"docs": {"allow": False}}, 403),
        ({"docs": {"allow": 0}}, 403),
        ({"docs": {"allow": {}}}, 403),
    ],
    ids=repr,
)
async def test_only_an_explicit_deny_on_the_source_beats_ownership(
    make_datasette: MakeDatasette, block: Any, status: int
) -> None:
    permissions = {**OTHERS, **({"files-edit": block} if block is not None else {})}
    datasette = await make_datasette(permissions=permissions, owners_can_edit=True)
    file = await upload(datasette, actor=ALICE)
    assert await edit(datasette, file, ALICE) == status
    page = await datasette.client.get(file["url"], actor=ALICE)
    assert ("search_text" in page.text) is (status == 200)


async def test_another_plugins_deny_on_the_source_beats_ownership(
    make_datasette: MakeDatasette,
) -> None:
    def rules(datasette: Any, actor: Any, action: str) -> PermissionSQL | None:
        if action != "files-edit":
            return None
        sql = "SELECT :denied AS parent, NULL AS child, 0 AS allow, 'legal hold' AS reason"
        return PermissionSQL(sql=sql, params={"denied": "docs"})

    datasette = await make_datasette(permissions=OTHERS, owners_can_edit=True)
    file = await upload(datasette, actor=ALICE)
    assert await edit(datasette, file, ALICE) == 200
    with registered(permission_resources_sql=rules):
        assert await edit(datasette, file, ALICE) == 403


async def test_ownership_is_of_the_uploader_with_an_id_alone(
    make_datasette: MakeDatasette,
) -> None:
    datasette = await make_datasette(permissions=OTHERS, owners_can_edit=True)
    nobodys = await upload(datasette)
    numbered = await upload(datasette, actor={"id": 7})
    for actor in (None, ALICE, {"name": "no id"}, {"id": ""}):
        assert await edit(datasette, nobodys, actor) == 403
    assert numbered["uploaded_by"] == "7"
    assert await edit(datasette, numbered, {"id": 7}) == 200
    assert await edit(datasette, numbered, {"id": 70}) == 403


async def test_an_owner_of_two_thousand_files_may_edit_each(
    make_datasette: MakeDatasette,
) -> None:
    datasette = await make_datasette(permissions=OTHERS, owners_can_edit=True)
    file = await upload(datasette, actor=ALICE)

    def copy(conn: Any) -> None:
        conn.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
            INSERT INTO datasette_files (id, source_id, path, filename, content_type, size,
                uploaded_by, created_at, metadata, search_text)
            SELECT printf('df-%026d', i), source_id, printf('copy/%d', i), filename, content_type,
                size, uploaded_by, created_at, metadata, search_text
            FROM datasette_files, n WHERE id = ?""",
            (file["id"],),
        )

    await Files.of(datasette).catalog.write(copy)
    for number in (1, 1999, 2000):
        assert await edit(datasette, {"url": f"/-/files/df-{number:026}"}, ALICE) == 200
        assert await edit(datasette, {"url": f"/-/files/df-{number:026}"}, BOB) == 403
    listed = await datasette.client.get("/-/allowed.json?action=files-edit", actor=ALICE)
    assert listed.json()["total"] == 2001


async def test_datasettes_own_tools_know_the_actions(make_datasette: MakeDatasette) -> None:
    permissions = {
        **OTHERS,
        "files-edit": {"docs": {"allow": ALICE}},
        "files-manage": ALICE,
        "debug-storages": ALICE,
        "permissions-debug": ALICE,
    }
    datasette = await make_datasette(permissions=permissions)
    file = await upload(datasette, actor=BOB)

    async def get(path: str) -> Any:
        answer = await datasette.client.get(path, actor=ALICE)
        assert answer.status_code == 200, answer.text
        return answer.json()

    named = {action["name"]: action for action in (await get("/-/actions.json"))["actions"]}
    assert set(named) >= {
        "files-browse",
        "files-upload",
        "files-edit",
        "files-delete",
        "files-manage",
        "debug-storages",
    }
    for action, child in [("files-browse", ""), ("files-manage", ""), ("files-edit", file["id"])]:
        allowed = await get(f"/-/allowed.json?action={action}")
        assert [(one["parent"], one["child"]) for one in allowed["items"]] == [
            ("docs", child or None)
        ]
        check = await get(
            f"/-/check.json?action={action}&parent=docs" + (f"&child={child}" if child else "")
        )
        assert check["allowed"] is True
    rules = await get("/-/rules.json?action=files-edit")
    assert any("on docs" in item["reason"] for item in rules["items"])
    assert await datasette.allowed(action="debug-storages", actor=ALICE)
    assert not await datasette.allowed(action="debug-storages", actor=BOB)
    resource = SourceResource("docs")
    assert not await datasette.allowed(action="files-manage", resource=resource, actor=BOB)
    on_file = FileResource("docs", file["id"])
    assert not await datasette.allowed(action="files-delete", resource=on_file, actor=ALICE)


async def test_a_source_taken_out_keeps_its_rows_and_shows_none(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "old")}
    before = await make_datasette(sources)
    file = await upload(before, source="old")
    await before.invoke_shutdown()
    after = await make_datasette({"docs": sources["docs"]})
    for suffix in ("", ".json", "/download", "/inline", "/thumbnail"):
        assert (await after.client.get(file["url"] + suffix)).status_code == 404
    for suffix in ("/-/delete", "/-/update"):
        answer = await after.client.post(file["url"] + suffix, json={"update": {}})
        assert answer.status_code == 404
    assert (await after.client.get("/-/files/source/old.json")).status_code == 404
    assert (await after.client.get(f"/-/files/batch.json?id={file['id']}")).json()["files"] == {}
    assert (await after.client.get("/-/files/search.json?q=hello")).json()["total"] == 0
    allowed = await after.client.get("/-/allowed.json?action=files-edit", actor=ALICE)
    assert allowed.json()["total"] == 0
    again = await make_datasette(sources)
    assert (await again.client.get(file["download_url"])).content == b"hello"
