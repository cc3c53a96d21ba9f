"""Bundles over HTTP: a selection, or rows with their files, as a bag in a zip."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.db import zips as zip_rows
from datasette_files.errors import PermissionDenied
from datasette_files.protocol.ranges import ByteRange
from datasette_files.tables.bag_index import BagIndex
from datasette_files.transfer import bag_reading, zip_bags, zip_drafts, zips
from datasette_files.transfer.databases import Databases
from datasette_files.transfer.zipping import Archive
from tests.conftest import MakeDatasette, upload
from tests.support.bundles import judge
from tests.support.columns import ABSENT, column_types, datasette_with_people, make_people
from tests.support.sharing import ALICE, MALLORY, PERMISSIONS, withdrawable

SELECTION = "/-/files/-/selection"
CONTENTS = {"a b.txt": b"one", "A B.txt": b"", "con.txt": b"x" * 70_000, "日本.bin": bytes(400_000)}


async def chosen(site: Datasette, wanted: dict[str, Any], actor: Any = None) -> Any:
    body = {"selection": wanted, "bundle": True}
    return await site.client.post(SELECTION, json=body, actor=actor)


async def zip_url(site: Datasette, wanted: dict[str, Any], actor: Any = None) -> str:
    answer = await chosen(site, wanted, actor)
    assert answer.status_code == 200, answer.text
    url: str = answer.json()["zip_url"]
    return url


def verified(path: Path, content: bytes) -> dict[str, str]:
    """The bag-info of a zip of which every sha256 is right."""
    path.write_bytes(content)
    with (
        bag_reading.opened_bag(path) as bag,
        closing(BagIndex(path.with_suffix(".index"))) as index,
    ):
        return bag_reading.verify(bag, index, lambda: None)


def member(content: bytes, end: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(end))
        return archive.read(name)


async def unbundled(site: Datasette, bag: Path, databases: dict[str, Path]) -> Any:
    files = Files.of(site)
    async with files.unbundler.opened(bag, Databases(site, databases)) as work:
        await work.check({})
        async for row in work.files():
            await work.store(row)
        await work.rows()
        return work.unbundled


async def test_a_selection_is_a_sound_bag_of_which_any_part_can_be_had(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    site = await make_datasette()
    ids = [(await upload(site, content, name))["id"] for name, content in CONTENTS.items()]
    answer = (await chosen(site, {"ids": [*ids, "df-nothing", "a\nb: c"]})).json()
    assert (answer["files"], answer["bytes"]) == (4, sum(map(len, CONTENTS.values())))
    url = answer["zip_url"]
    whole = await site.client.get(url)
    etag, length = whole.headers["etag"], len(whole.content)
    assert int(whole.headers["content-length"]) == length
    info = verified(tmp_path / "bag.zip", whole.content)
    assert (info["left-out-count"], info["left-out"]) == ("2", "df-nothing not_found")
    assert info["datasette-files-bundle"] == "1"
    package = json.loads(member(whole.content, "datapackage.json"))
    assert [one["path"] for one in package["resources"][1:]] == [
        f"data/files/{name}" for name in ("a_b.txt", "A_B-2.txt", "_con.txt", "日本.bin")
    ]
    for start in (0, 1, 40, 300_000, length - 3_000, length - 1):
        part = await site.client.get(url, headers={"Range": f"bytes={start}-", "If-Range": etag})
        assert (part.status_code, part.content) == (206, whole.content[start:])
    page = (await site.client.get(url.removesuffix(".zip"))).text
    assert "BagIt 1.0" in page
    assert "df-nothing" in page

    # Neither a new name nor a restart changes a byte; and it comes back elsewhere.
    await site.client.post(f"/-/files/{ids[0]}/-/update", json={"update": {"filename": "new.txt"}})
    again = await make_datasette()
    assert (await again.client.get(url)).content == whole.content
    elsewhere = await make_datasette(internal=tmp_path / "other.db")
    done = await unbundled(elsewhere, tmp_path / "bag.zip", {})
    assert (done.stored.files, done.renamed) == (4, 0)


async def test_files_without_a_sha256_are_read_before_the_bag_is_sealed(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    site = await make_datasette()
    ids = [(await upload(site, name.encode(), name))["id"] for name in ("a.txt", "b.txt", "c.txt")]
    with sqlite3.connect(tmp_path / "internal.db") as conn:
        conn.execute("UPDATE datasette_files SET content_hash = 'md5:1' WHERE id = ?", ids[:1])
        conn.execute("UPDATE datasette_files SET crc32 = NULL WHERE id = ?", ids[1:2])
    url = await zip_url(site, {"source": "docs"})
    first, second = await asyncio.gather(*(site.client.get(url) for _ in range(2)))
    assert first.status_code == 200, first.text
    assert first.content == second.content
    verified(tmp_path / "bag.zip", first.content)
    # Two processes that seal at once: one wins, and both answer with its bytes.
    files = Files.of(site)
    found = await files.zips.open(None, (await zip_url(site, {"ids": ids}))[-36:-4])
    await files.catalog.write(lambda conn: zip_rows.learn(conn, found.number))
    sealed = await asyncio.gather(*(zip_bags.seal(files.catalog, found) for _ in range(2)))
    assert sealed[0] == sealed[1]
    assert sealed[0].totals.files == 3 + 6


async def test_only_who_may_see_every_file_gets_the_bundle(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await make_datasette(permissions=PERMISSIONS)
    ids = [(await upload(site, b"1234", actor=ALICE))["id"] for _ in range(2)]
    assert (await chosen(site, {"ids": ids}, MALLORY)).status_code == 403
    url = await zip_url(site, {"ids": ids}, ALICE)
    assert (await site.client.get(url, actor=MALLORY)).status_code == 403
    whole = await site.client.get(url, actor=ALICE)
    assert whole.status_code == 200
    assert (await site.client.get(url, actor=MALLORY)).status_code == 403
    # The lists tell names: who loses the right meanwhile gets no more of them.
    monkeypatch.setattr(zips, "_ASKED_SECONDS", 0)
    files = Files.of(site)
    found = await files.zips.open(ALICE, url[-36:-4])
    pieces = [ByteRange(whole.content.index(b"data/files.csv"), len(whole.content))]
    archive = Archive(
        files.zips.directory(found), files.zips.ask(ALICE), files.zips.texts(ALICE, found)
    )
    with withdrawable() as withdrawn:
        withdrawn.actions.add("files-browse")
        with pytest.raises(PermissionDenied):
            await archive.open(pieces)


async def test_bounds_and_malformed_requests_are_explained(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await make_datasette()
    ids = [(await upload(site, b"1", "x"))["id"] for _ in range(3)]
    body = {"ids": ids, "bundle": "yes"}
    assert (await site.client.post(SELECTION, json=body)).json()["code"] == "invalid"
    form = {"id": ids, "bundle": "1"}
    led = await site.client.post(SELECTION, data=form, follow_redirects=False)
    assert (led.status_code, led.headers["location"].endswith(".zip")) == (303, False)
    url = await zip_url(site, {"ids": ids})
    monkeypatch.setattr(zip_bags, "_MAX_LISTS", 10)
    refused = await site.client.get(url)
    assert (refused.status_code, "choose fewer" in refused.text) == (400, True)
    monkeypatch.setattr(zip_drafts.BagDraft, "most", 2)
    assert "More than 2 files" in (await chosen(site, {"ids": ids})).json()["error"]


async def test_the_rows_of_a_table_come_back_with_their_types(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    make_people(tmp_path / "data.db", rows=30)
    site = await datasette_with_people(make_datasette, tmp_path, settings={"max_returned_rows": 20})
    people = sqlite_utils.Database(tmp_path / "data.db")["people"]
    photo = (await upload(site, b"picture", "a.txt"))["id"]
    people.update(3, {"photo": photo, "name": '\\N "3"\r\né'})
    people.update(4, {"papers": json.dumps([photo, ABSENT]), "name": "\\N"})
    people.update(5, {"name": None})
    led = await site.client.get("/data/people.bundle?_size=2")
    assert led.status_code == 302, led.text
    answer = await site.client.get(led.headers["location"])
    info = verified(tmp_path / "people.zip", answer.content)
    assert info["left-out"] == f"{ABSENT} not_found"
    schema = json.loads(member(answer.content, "rows.schema.json"))
    assert (schema["missingValues"], schema["primaryKey"]) == (["\\N1"], ["id"])
    own = {one["name"]: one["datasette"] for one in schema["fields"]}
    assert own["photo"]["column_type"] == "file"
    other = await make_datasette(internal=tmp_path / "other.db", config={"databases": {}})
    done = await unbundled(other, tmp_path / "people.zip", {"data": tmp_path / "new.db"})
    assert (done.rows.added, done.stored.files) == (30, 1)
    new = sqlite_utils.Database(tmp_path / "new.db")["people"]
    assert list(new.rows) == list(people.rows)
    assert new.pks == ["id"]


@pytest.mark.full
async def test_the_result_of_a_query_has_a_type_for_every_column(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    make_people(tmp_path / "data.db", rows=2)
    site = await make_datasette(databases=[tmp_path / "data.db"], config=column_types())
    file_id = (await upload(site))["id"]
    sql = f"""select '{file_id}' as f, x'00ff' as b, 1e999 as n, 1 as "sqlite_x", '' as "",
        2 as F, char(65, 0) as z union all select null, null, 1.5, null, 'y', null, null"""
    led = await site.client.get("/data/-/query.bundle", params={"sql": sql})
    answer = await site.client.get(led.headers["location"])
    verified(tmp_path / "rows.zip", answer.content)
    fields = json.loads(member(answer.content, "rows.schema.json"))["fields"]
    assert [(one["name"], one["datasette"]["kind"]) for one in fields] == [
        *(("f", "text"), ("b", "binary"), ("n", "number"), ("_sqlite_x", "integer")),
        *(("column_5", "text"), ("F_2", "integer"), ("z", "json")),
    ]
    assert member(answer.content, "rows.csv").decode().splitlines()[1:] == [
        f'{file_id},AP8=,INF,1,,2,"""A\\u0000"""',
        r"\N,\N,1.5,\N,y,\N,\N",
    ]
    new = await make_datasette(internal=tmp_path / "other.db")
    done = await unbundled(new, tmp_path / "rows.zip", {"data": tmp_path / "new.db"})
    assert (done.rows.added, done.table) == (2, "rows")
    rows = list(sqlite_utils.Database(tmp_path / "new.db")["rows"].rows)
    assert (rows[0]["b"], rows[0]["n"], rows[0]["z"]) == (b"\x00\xff", float("inf"), "A\0")


@pytest.mark.full
async def test_other_programs_accept_the_bundle(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    make_people(tmp_path / "data.db", rows=30)
    site = await datasette_with_people(make_datasette, tmp_path)
    people = sqlite_utils.Database(tmp_path / "data.db")["people"]
    for number, (name, content) in enumerate({**CONTENTS, "100%": b"%", "..x": b"."}.items(), 1):
        people.update(number, {"photo": (await upload(site, content, name))["id"]})
    led = await site.client.get("/data/people.bundle")
    answer = await site.client.get(led.headers["location"])
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    judge(tmp_path / "people")
