"""The trash: hidden everywhere, restored whole, and by whom.

Leaves out what goes for good (test_purging.py), the grants of each route
(permissions/test_matrix.py), the statements (db/test_trash.py), and pages in a browser
(browser/test_trash.py).
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files import get_file
from datasette_files.app import Files
from datasette_files.db import trash as rows
from datasette_files.db import unhashed
from datasette_files.errors import Conflict, NotFound
from datasette_files.transfer.copying import Order
from datasette_files.views.routes import ROUTES
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.fixtures import fixture
from tests.support.sharing import share
from tests.support.trash import (
    ALICE,
    BOB,
    CAROL,
    DAY,
    EVERYTHING,
    PURGE,
    RESTORE,
    age,
    stored,
    trashed,
)


@pytest.fixture
async def datasette(make_datasette: MakeDatasette) -> Datasette:
    """One source ``docs`` that keeps what is deleted for 30 days; everybody may do everything."""
    return await make_datasette(permissions=EVERYTHING, trash_days=30)


def requests_about(file: dict[str, Any], token: str, zip_url: str) -> list[tuple[str, str]]:
    """``(method, URL)`` for each route: about the file, or where it would be listed.

    Jobs of bulk actions and verifications, of which there are none, pictures of the trash, and the
    audit, whose entries survive their file, are left out.
    ``token`` is that of a link to the file, ``zip_url`` the address of a zip with it.
    """
    job = "1"
    found = []
    left_out = ("/-/files/bulk/{job}", "/-/files/trash/{file_id}", "/-/files/audit")
    left_out += ("/-/files/source/{source}/verify/{job}",)
    for route in (one for one in ROUTES if not one.path.startswith(left_out)):
        url = route.path.replace("{file_id}", file["id"]).replace("{source}", "docs")
        url = (
            zip_url
            if "{selection}" in url
            else url.replace("{job}", job).replace("{filename}", "x.png").replace("{token}", token)
        )
        for method in route.methods:
            if "{file_id}" in route.path:
                found.append((method, url))
                found += [("HEAD", url)] if method == "GET" else []
            elif method == "GET":
                name = "batch" if "batch" in url else "search" if "search" in url else ""
                query = {"batch": [f"?id={file['id']}"]}.get(name, [""])
                query += ["?q=secretword", f"?q={file['id']}"] if name == "search" else []
                query += ["?view=grid", "?content_type=image"] if url.endswith("docs") else []
                found += [(method, url + one) for one in query]
    return found


async def test_a_deleted_file_is_hidden_by_every_route_and_restored_whole(
    datasette: Datasette,
) -> None:
    """Every route that there is: a new one cannot show a deleted file unseen."""
    client = datasette.client
    picture = fixture("photos/phone.jpg").path.read_bytes()
    file = await upload(datasette, picture, "hidden.jpg", actor=ALICE)
    words = {"update": {"search_text": "secretword"}}
    await client.post(f"{file['url']}/-/update", json=words)
    thumbnail = (await client.get(file["thumbnail_url"])).content
    link = (await share(datasette, file["id"], actor=ALICE))["path"]
    selected = await client.post("/-/files/-/selection", json={"ids": [file["id"]]})
    asked = requests_about(file, link.rpartition("/")[2], selected.json()["zip_url"])
    shown = {url: (await client.get(url)).text for method, url in asked if method == "GET"}
    listing = [url for url, text in shown.items() if file["id"] in text and "df-" not in url]
    assert len(listing) >= 4

    gone = await client.delete(file["url"], actor=BOB)
    assert gone.status_code == 204
    for method, url in asked:
        answer = await client.request(
            method, url, actor=CAROL, json={} if method == "POST" else None
        )
        if "/files/s/" in url or "/files/u/" in url or (file["id"] in url and "?" not in url):
            assert answer.status_code == 404, (method, url)
        elif url.endswith(".zip"):
            assert answer.status_code == 410, url
        elif "/trash" not in url and "/storages" not in url:
            assert answer.status_code == 200, url
            assert "hidden.jpg" not in answer.text, url
            # An answer may repeat the question.
            assert file["id"] in url or file["id"] not in answer.text, url
    totals = (await client.get("/-/files/source/docs.json")).json()
    assert (totals["total"], totals["files"]) == (0, [])
    assert await get_file(datasette, file["id"]) is None

    assert (await client.post(RESTORE, json={"ids": [file["id"]]})).status_code == 200
    for url, before in shown.items():
        counts = "/shares" in url  # what was downloaded above
        if url.split("?")[0].endswith(".json") and "/trash" not in url and not counts:
            assert json.loads((await client.get(url)).text) == json.loads(before), url
    assert (await client.get(file["download_url"])).content == picture
    # A link sends a picture without its place.
    without_place = (await client.get(f"{file['download_url']}?stripped=1")).content
    assert (await client.get(f"{link}/{file['id']}/download")).content == without_place
    assert (await client.get(file["thumbnail_url"])).content == thumbnail


async def test_the_trash_tells_who_when_and_until_when(datasette: Datasette) -> None:
    first = await upload(datasette, b"one", "first.txt", actor=ALICE)
    second = await upload(datasette, b"two", "second.txt")
    answers = [
        await datasette.client.post(f"{file['url']}/-/delete", json={}, actor=BOB)
        for file in (first, second)
    ]
    listed = await trashed(datasette)
    assert [one["filename"] for one in listed] == ["second.txt", "first.txt"]
    assert [one["trashed_by"] for one in listed] == ["bob", "bob"]
    assert (listed[1]["uploaded_by"], listed[1]["size"]) == ("alice", 3)
    assert answers[1].json() == {"ok": True, "trashed_until": listed[0]["purge_at"]}
    for one in listed:
        days = time.strptime(one["purge_at"], "%Y-%m-%d %H:%M:%S")
        began = time.strptime(one["trashed_at"], "%Y-%m-%d %H:%M:%S")
        assert abs(time.mktime(days) - time.mktime(began) - 30 * DAY) <= 3601  # a clock may shift
    assert not {"url", "download_url", "thumbnail_url"} & set(listed[0])


async def test_pages_of_the_trash_go_from_the_last_deletion_to_the_first(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "other")}
    datasette = await make_datasette(sources, EVERYTHING, trash_days=1)
    names = []
    for number in range(7):
        source = ("docs", "other")[number % 2]
        file = await upload(datasette, b"x", f"{number}.txt", source=source)
        await datasette.client.delete(file["url"])
        names.insert(0, f"{number}.txt")
    seen, url = [], "/-/files/trash.json?_size=2"
    while url:
        page = (await datasette.client.get(url)).json()
        assert page["total"] == 7
        seen += [one["filename"] for one in page["files"]]
        url = page["next_url"]
    assert seen == names
    one = (await datasette.client.get("/-/files/trash.json?source=other")).json()
    assert [file["filename"] for file in one["files"]] == ["5.txt", "3.txt", "1.txt"]
    assert (await datasette.client.get("/-/files/trash.json?source=none")).json()["total"] == 0
    bad = await datasette.client.get("/-/files/trash.json?_next=zzz")
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid")


async def test_without_days_nothing_is_kept(make_datasette: MakeDatasette, tmp_path: Path) -> None:
    sources = {
        "docs": disk_source(tmp_path / "docs"),
        "kept": disk_source(tmp_path / "kept", trash_days=2),
    }
    datasette = await make_datasette(sources, EVERYTHING)
    for source in sources:
        file = await upload(datasette, b"x", source=source)
        answer = await datasette.client.post(f"{file['url']}/-/delete", json={})
        assert ("trashed_until" in answer.json()) is (source == "kept")
    assert stored(tmp_path / "docs") == []
    assert [one["source_slug"] for one in await trashed(datasette)] == ["kept"]
    assert (await datasette.client.get("/-/files/trash")).status_code == 200


async def test_the_bytes_of_a_file_in_the_trash_are_not_asked_to_be_removed(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {"docs": disk_source(tmp_path, trash_days=2)}
    datasette = await make_datasette(sources, EVERYTHING)
    removed: list[str] = []

    async def remove(source: object, *paths: str) -> None:
        removed.extend(paths)

    files = Files.of(datasette)
    monkeypatch.setattr(files.trash, "_remove", remove)
    file = await upload(datasette, b"x")
    await datasette.client.post(f"{file['url']}/-/delete", json={})
    assert removed == []
    await datasette.client.post(PURGE, json={"ids": [file["id"]]})
    assert len(removed) == 1


async def test_each_deletion_keeps_its_moment_whatever_the_days_become(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    before = await make_datasette(permissions=EVERYTHING, trash_days=5)
    file = await upload(before)
    await before.client.delete(file["url"])
    after = await make_datasette(permissions=EVERYTHING)
    files = Files.of(after)
    await files.purger.purge_due()
    assert len(await trashed(after)) == 1
    await age(after, 5 * DAY)
    await files.purger.purge_due()
    await files.sweeper.sweep()
    assert await trashed(after) == []
    assert stored(tmp_path / "docs") == []


async def test_lists_tell_how_many_files_of_the_trash_their_reader_sees(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {name: disk_source(tmp_path / name) for name in ("docs", "other")}
    granted = {**OPEN, "files-browse": {"docs": {"allow": True}, "other": {"allow": ALICE}}}
    datasette = await make_datasette(sources, granted, trash_days=1)
    files = Files.of(datasette)

    async def told(actor: Any) -> list[int]:
        some = [None, *(files.sources.get(slug) for slug in sources)]
        return [await files.trash.visible(actor, source) for source in some]

    assert await told(ALICE) == [0, 0, 0]
    for source in ("docs", "other", "other"):
        file = await upload(datasette, source=source, actor=ALICE)
        assert (await datasette.client.delete(file["url"], actor=ALICE)).status_code == 204
    assert await told(ALICE) == [3, 1, 2]
    assert await told(BOB) == [1, 1, 0]
    page = await datasette.client.get("/-/files/source/other", actor=ALICE)
    assert "Trash (2)" in page.text


# Who may do what

_GRANTS = {
    "delete": {"files-delete": {"id": "bob"}},
    "manage": {"files-manage": {"id": "bob"}},
    "nothing": {},
}


@pytest.mark.parametrize("granted", _GRANTS)
async def test_delete_restores_and_manage_purges(
    make_datasette: MakeDatasette, granted: str
) -> None:
    permissions = {"files-browse": True, "files-upload": True, **_GRANTS[granted]}
    datasette = await make_datasette(permissions=permissions, trash_days=1)
    file = await upload(datasette, actor=ALICE)
    put = rows.add
    await Files.of(datasette).catalog.write(
        lambda conn: put(conn, file["id"], "carol", time.time(), time.time() + DAY)
    )
    assert bool(await trashed(datasette, BOB)) is (granted != "nothing")
    assert await trashed(datasette, ALICE) == []
    assert len(await trashed(datasette, CAROL)) == 1  # what she deleted herself, whatever she may
    ids = {"ids": [file["id"]]}
    for actor in (None, ALICE, CAROL):
        for url in (RESTORE, PURGE):
            refused = await datasette.client.post(url, json=ids, actor=actor)
            assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    purged = await datasette.client.post(PURGE, json=ids, actor=BOB)
    assert purged.status_code == (200 if granted == "manage" else 403)
    if granted != "manage":
        restored = await datasette.client.post(RESTORE, json=ids, actor=BOB)
        assert restored.status_code == (200 if granted == "delete" else 403)


async def test_owners_restore_what_they_deleted_and_nothing_else(
    make_datasette: MakeDatasette,
) -> None:
    permissions = {
        "files-browse": True,
        "files-upload": True,
        "files-delete": {"id": "bob"},
    }
    datasette = await make_datasette(permissions=permissions, trash_days=1, owners_can_delete=True)
    client = datasette.client
    own, moderated = [await upload(datasette, actor=ALICE) for _ in range(2)]
    assert (await client.delete(own["url"], actor=ALICE)).status_code == 204
    assert (await client.delete(moderated["url"], actor=BOB)).status_code == 204
    assert [one["id"] for one in await trashed(datasette, ALICE)] == [own["id"]]
    both = {"ids": [own["id"], moderated["id"]]}
    assert (await client.post(RESTORE, json=both, actor=ALICE)).status_code == 403
    assert len(await trashed(datasette, BOB)) == 2  # all or none
    answer = await client.post(RESTORE, json={"ids": [own["id"]]}, actor=ALICE)
    assert answer.json() == {"ok": True, "restored": [own["id"]], "missing": []}


async def test_who_may_not_browse_sees_no_name_and_can_undo(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(
        permissions={"files-upload": True, "files-delete": ALICE}, trash_days=1
    )
    file = await upload(datasette, b"x", "secret.txt")
    page = {"Accept": "text/html"}
    done = await datasette.client.post(
        f"{file['url']}/-/delete", data={}, headers=page, actor=ALICE
    )
    assert done.status_code == 200
    assert "secret.txt" not in done.text
    assert f'value="{file["id"]}"' in done.text
    assert await trashed(datasette, ALICE) == []
    undone = await datasette.client.post(
        RESTORE, data={"id": file["id"]}, headers=page, actor=ALICE
    )
    assert (undone.status_code, "secret.txt" in undone.text) == (200, False)
    assert await get_file(datasette, file["id"]) is not None


async def test_a_file_of_a_source_that_is_gone_from_the_yaml_is_hidden_in_the_trash_too(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "other")}
    both = await make_datasette(sources, EVERYTHING, trash_days=1)
    file = await upload(both, source="other")
    await both.client.delete(file["url"])
    await age(both, 2 * DAY)
    one = await make_datasette({"docs": sources["docs"]}, EVERYTHING, trash_days=1)
    await Files.of(one).purger.purge_due()
    assert await trashed(one) == []
    for url in (RESTORE, PURGE):
        answer = await one.client.post(url, json={"ids": [file["id"]]})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert len(await trashed(both)) == 1


# Requests

_NO_IDS: list[list[Any]] = [
    [],
    [1],
    ["df-1'"],
    ["df-\ud800"],
    [f"df-{n}" for n in range(201)],
    ["df-" + "a" * 200],
]


async def test_malformed_requests_are_400(datasette: Datasette) -> None:
    bodies: list[Any] = [{}, {"ids": "df-1"}, *({"ids": ids} for ids in _NO_IDS)]
    for body in bodies:
        for url in (RESTORE, PURGE):
            answer = await datasette.client.post(url, content=json.dumps(body).encode())
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), body


async def test_several_change_at_once_and_those_elsewhere_are_missing(
    datasette: Datasette, tmp_path: Path
) -> None:
    records = [await upload(datasette, bytes([65 + n]), f"{n}.txt") for n in range(4)]
    for record in records[:3]:
        await datasette.client.delete(record["url"])
    ids = [record["id"] for record in records]
    answer = await datasette.client.post(RESTORE, json={"ids": [ids[0], ids[3], ids[0]]})
    assert answer.json() == {"ok": True, "restored": [ids[0]], "missing": [ids[3]]}
    answer = await datasette.client.post(PURGE, json={"ids": ids})
    assert answer.json() == {"ok": True, "purged": ids[1:3], "missing": [ids[0], ids[3]]}
    assert stored(tmp_path / "docs") == [b"A", b"D"]
    for url in (RESTORE, PURGE):
        again = await datasette.client.post(url, json={"ids": ids[1:3]})
        assert (again.status_code, again.json()["code"]) == (404, "not_found")


async def test_what_has_left_the_trash_meanwhile_is_not_found(datasette: Datasette) -> None:
    file = await upload(datasette)
    await datasette.client.delete(file["url"])
    trash = Files.of(datasette).trash
    (seen,) = (await trash.restore_by_command([file["id"]])).files
    with pytest.raises(NotFound):
        await trash._restore([seen], [seen.id], None)


async def test_a_deletion_may_be_repeated_and_purges_nothing(datasette: Datasette) -> None:
    file = await upload(datasette)
    for _ in range(2):
        assert (await datasette.client.delete(file["url"], actor=BOB)).status_code == 204
    assert (await datasette.client.delete(file["url"], actor=ALICE)).status_code == 404
    assert len(await trashed(datasette)) == 1
    await age(datasette, 31 * DAY)
    await Files.of(datasette).purger.purge_due()
    assert (await datasette.client.delete(file["url"], actor=BOB)).status_code == 204
    assert (await datasette.client.delete(file["url"], actor=ALICE)).status_code == 404


async def test_of_two_people_who_delete_at_once_one_did_it(datasette: Datasette) -> None:
    for actors, statuses in (((ALICE, BOB), [204, 404]), ((ALICE, ALICE), [204, 204])):
        file = await upload(datasette)
        path = f"/-/files/{file['id']}"
        both = (datasette.client.delete(path, actor=actor) for actor in actors)
        answers = await asyncio.gather(*both)
        assert sorted(answer.status_code for answer in answers) == statuses


async def test_what_a_command_deleted_is_nobodys_who_is_not_signed_in(
    make_datasette: MakeDatasette,
) -> None:
    for trash_days in (0, 1):
        granted = dict.fromkeys(("files-browse", "files-upload", "files-delete"), ALICE)
        datasette = await make_datasette(permissions=granted, trash_days=trash_days)
        file = await upload(datasette, actor=ALICE)
        files = Files.of(datasette)
        stale, source = await files.lookup.existing(file["id"])
        await files.trash.delete(source, stale, None)
        for actor in (None, BOB):
            answer = await datasette.client.post(f"{file['url']}/-/delete", json={}, actor=actor)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_file_that_has_just_been_moved_is_not_deleted_from_where_it_is_now(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    """Its deletion was allowed where it was; the trash must not change that."""
    sources = {name: disk_source(tmp_path / name) for name in ("docs", "other")}
    for trash_days in (0, 30):
        datasette = await make_datasette(permissions=OPEN, sources=sources, trash_days=trash_days)
        files = Files.of(datasette)
        uploaded = await upload(datasette)
        file, source = await files.lookup.existing(uploaded["id"])
        order = Order(source, files.sources.get("other"), moves=True)
        moved = (await files.carry(order, file, lambda size: None)).file
        with pytest.raises(Conflict, match="moved to another source"):
            await files.trash.delete(source, file, BOB)
        assert (await files.lookup.existing(file.id))[0] == moved
        assert await trashed(datasette) == []


async def test_a_browser_comes_to_the_source_and_may_undo(datasette: Datasette) -> None:
    page = {"Accept": "text/html"}
    file = await upload(datasette, b"x", "a <b>.txt".replace(" ", "%20"))
    gone = await datasette.client.post(f"{file['url']}/-/delete", data={}, headers=page)
    assert gone.headers["location"] == f"/-/files/source/docs?trashed={file['id']}"
    shown = (await datasette.client.get(gone.headers["location"])).text
    assert "a &lt;b&gt;.txt" in shown
    undo = {"id": file["id"], "back": "-source"}
    undone = await datasette.client.post(RESTORE, data=undo, headers=page)
    assert (undone.status_code, undone.headers["location"]) == (303, "/-/files/source/docs")
    again = (await datasette.client.get(gone.headers["location"])).text
    assert "Undo" not in again
    # A script's form is told where to go.
    answer = await datasette.client.post(
        f"{file['url']}/-/delete", headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.json()["after_url"] == gone.headers["location"]
    only = {"only": file["id"], "id": "df-other", "back": "docs"}
    back = await datasette.client.post(RESTORE, data=only, headers=page)
    assert back.headers["location"] == "/-/files/trash?source=docs"


async def test_a_file_that_was_not_hashed_yet_is_hashed_once_it_is_back(
    datasette: Datasette,
) -> None:
    files = Files.of(datasette)
    file = await upload(datasette)
    digest = file["content_hash"]

    def forget(conn: Any) -> None:
        conn.execute("UPDATE datasette_files SET content_hash = 'tag'")
        unhashed.add(conn, file["id"], files.sources.get("docs").id)

    await files.catalog.write(forget)
    await datasette.client.delete(file["url"])
    await files.hashing["docs"].once()
    await datasette.client.post(RESTORE, json={"ids": [file["id"]]})
    await files.hashing["docs"].once()
    record = (await datasette.client.get(f"{file['url']}.json")).json()
    assert record["content_hash"] == digest


async def test_who_sees_a_file_in_the_trash_sees_its_picture_there(
    make_datasette: MakeDatasette,
) -> None:
    permissions = {**OPEN, "files-delete": ALICE, "files-manage": CAROL}
    datasette = await make_datasette(permissions=permissions, trash_days=30)
    file = await upload(
        datasette, fixture("photos/phone.jpg").path.read_bytes(), "phone.jpg", actor=BOB
    )
    picture = f"/-/files/trash/{file['id']}/thumbnail"
    assert (await datasette.client.get(picture, actor=ALICE)).status_code == 404
    await datasette.client.delete(file["url"], actor=ALICE)
    for actor, status in ((ALICE, 200), (CAROL, 200), (BOB, 404), (None, 404)):
        answer = await datasette.client.get(picture, actor=actor)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("image/") is (status == 200)
    assert (await datasette.client.get(f"{file['url']}/thumbnail", actor=ALICE)).status_code == 404
    page = (await datasette.client.get("/-/files/trash", actor=ALICE)).text
    assert f'src="{picture}"' in page
