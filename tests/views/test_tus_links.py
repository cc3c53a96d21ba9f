"""Large files by an upload link, by tus and in parts: its bounds and its silence hold there too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.base import SignedPart
from tests.conftest import MakeDatasette
from tests.support.sharing import ALICE, PERMISSIONS, upload_link, withdrawable
from tests.support.storages import PartsStorage, registered
from tests.support.tus import Tus, code_of, meta


class LinkTus(Tus):
    """A client of one link."""

    def __init__(self, datasette: Any, path: str) -> None:
        super().__init__(datasette)
        self.collection = f"{path}/-/tus"


async def prepared(datasette: Any, path: str, size: int, status: int = 200) -> dict[str, Any]:
    declared = {"filename": "a.bin", "size": size}
    answer = await datasette.client.post(f"{path}/-/prepare", json=declared)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.fixture
async def datasette(make_datasette: MakeDatasette) -> Any:
    return await make_datasette(permissions=PERMISSIONS)


async def test_file_arrives_in_pieces_and_nothing_is_told_of_it(datasette: Any) -> None:
    made = await upload_link(datasette, max_files=1, max_bytes=11)
    tus = LinkTus(datasette, made["path"])
    ways = await prepared(datasette, made["path"], 11)
    assert ways["upload_resumable_url"] == tus.collection
    # In the place of what was prepared, else the link had no room left.
    metadata = meta(filename="a.bin", upload_token=ways["upload_token"])
    url = await tus.begin(11, **{"Upload-Metadata": metadata})
    assert url.startswith(f"{tus.collection}/")
    assert (await tus.patch(url, 0, b"hello ")).status_code == 204
    assert await tus.offset(url) == 6
    last = await tus.patch(url, 6, b"world")
    head = await tus.request("HEAD", url)
    for answer in (last, head):
        assert answer.headers["upload-offset"] == "11"
        assert "content-location" not in answer.headers
        assert answer.headers["referrer-policy"] == "no-referrer"
    token = {"upload_token": f"resumable/{url.rpartition('/')[2]}"}
    answer = await datasette.client.post(f"{made['path']}/-/complete", json=token)
    assert (answer.status_code, answer.json()) == (200, {"ok": True})

    listed = (await datasette.client.get("/-/files/source/docs.json", actor=ALICE)).json()["files"]
    record = (await datasette.client.get(f"{listed[0]['url']}.json", actor=ALICE)).json()
    assert len(listed) == 1
    assert (record["uploaded_by"], record["upload_link"]) == (None, made["id"])
    shown = (await datasette.client.get("/-/files/shares.json", actor=ALICE)).json()
    (link,) = (one for one in shown["shares"] if one["id"] == made["id"])
    assert (link["files"], link["bytes"]) == (1, 11)


@pytest.mark.full
async def test_hundred_uploads_at_once_never_pass_the_bounds(datasette: Any) -> None:
    made = await upload_link(datasette, max_files=7, max_bytes=50)
    tus = LinkTus(datasette, made["path"])
    answers = await asyncio.gather(*(tus.create(10, b"0123456789") for _ in range(100)))
    assert sorted(one.status_code for one in answers) == [201] * 5 + [413] * 95
    assert {code_of(one) for one in answers if one.status_code == 413} == {(413, "quota_exceeded")}
    # Room that is given back can be used.
    made = await upload_link(datasette, max_files=1)
    tus = LinkTus(datasette, made["path"])
    first = await tus.begin(10)
    assert code_of(await tus.create(10)) == (413, "quota_exceeded")
    await tus.request("DELETE", first)
    assert (await tus.create(10, b"0123456789")).status_code == 201
    assert code_of(await tus.create(0)) == (413, "quota_exceeded")


async def test_sizes_are_declared_and_files_are_whole(datasette: Any) -> None:
    tus = LinkTus(datasette, (await upload_link(datasette))["path"])
    assert code_of(await tus.create(None)) == (400, "invalid")
    partial = await tus.create(10, **{"Upload-Concat": "partial"})
    assert code_of(partial) == (405, "not_supported")
    options = await tus.request("OPTIONS", tus.collection)
    assert options.headers["tus-extension"] == (
        "creation,creation-with-upload,expiration,checksum,termination"
    )


async def test_upload_belongs_to_its_link(datasette: Any) -> None:
    first, second = [LinkTus(datasette, (await upload_link(datasette))["path"]) for _ in range(2)]
    url = await first.begin(10)
    upload = url.rpartition("/")[2]
    assert (await second.request("HEAD", f"{second.collection}/{upload}")).status_code == 403
    by_source = Tus(datasette, actor=ALICE)
    assert (await by_source.request("HEAD", f"{by_source.collection}/{upload}")).status_code == 403


async def test_link_that_ended_or_lost_its_right_answers_as_a_wrong_one(datasette: Any) -> None:
    made = await upload_link(datasette)
    tus, wrong = LinkTus(datasette, made["path"]), LinkTus(datasette, "/-/files/u/wrong")
    url = await tus.begin(10)

    async def answers(client: LinkTus, address: str) -> list[tuple[int, bytes]]:
        made = [
            await client.request("OPTIONS", client.collection),
            await client.create(10),
            await client.request("HEAD", address),
            await client.patch(address, 0, b"x"),
            await client.request("DELETE", address),
        ]
        return [(one.status_code, one.content) for one in made]

    expected = await answers(wrong, f"{wrong.collection}/{'0' * 40}")
    assert {status for status, _ in expected} == {404}
    with withdrawable() as withdrawn:
        withdrawn.actions.add("files-upload")
        assert await answers(tus, url) == expected
    assert await tus.offset(url) == 0
    await datasette.client.post(f"/-/files/-/share/{made['id']}/revoke", json={}, actor=ALICE)
    assert await answers(tus, url) == expected


async def test_parts_go_to_the_storage_below_the_link(make_datasette: MakeDatasette) -> None:
    content = b"0123456789" * 150_000
    with registered(register_files_storage_types=lambda datasette: [PartsStorage]):
        datasette = await make_datasette(
            sources={"docs": {"storage": "parts"}}, permissions=PERMISSIONS
        )
        made = await upload_link(datasette, max_files=1, max_bytes=len(content))
        other = await upload_link(datasette)
        ways = await prepared(datasette, made["path"], len(content))
        await prepared(datasette, made["path"], 1, status=413)
        token, offered = {"upload_token": ways["upload_token"]}, ways["upload_parts"]
        assert offered["sign_url"] == f"{made['path']}/-/sign-parts"
        assert offered["list_url"] == f"{made['path']}/-/list-parts"

        async def post(url: str, **body: Any) -> tuple[int, dict[str, Any]]:
            answer = await datasette.client.post(url, json={**token, **body})
            return answer.status_code, answer.json()

        numbers = list(range(1, offered["count"] + 1))
        assert (await post(f"{other['path']}/-/sign-parts", numbers=numbers))[0] == 403
        assert (await post("/-/files/u/wrong/-/sign-parts", numbers=numbers))[0] == 404
        status, signed = await post(offered["sign_url"], numbers=numbers)
        assert status == 200
        storage = Files.of(datasette).sources.get("docs").storage
        size = offered["part_size"]
        for part in signed["parts"]:
            start = (part["number"] - 1) * size
            sent = SignedPart(part["number"], part["url"])
            storage.put_part(sent, content[start : start + size])
        status, listed = await post(offered["list_url"])
        assert [part["size"] for part in listed["parts"]] == [size, len(content) - size]
        complete = f"{made['path']}/-/complete"
        assert await post(complete) == (201, {"ok": True})
        await prepared(datasette, made["path"], 0, status=413)
