"""Quotas: room for 50 files takes 50 of 100 that come at once, by every way in, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.db import resuming
from datasette_files.errors import QuotaExceeded
from datasette_files.naming import resumable_token, token_digest
from datasette_files.permissions.grants import administrator
from datasette_files.transfer.copying import Order
from datasette_files.transfer.incoming import Incoming
from datasette_files.transfer.reserving import Reservation
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.storages import DirectStorage
from tests.support.tus import Tus

CONTENT = b"0123456789" * 100
ROOM = 50 * len(CONTENT)
MANAGED = {**OPEN, "files-manage": True}


async def usage(datasette: Datasette, source: str = "docs") -> dict[str, Any]:
    found: dict[str, Any] = (
        await datasette.client.get(f"/-/files/source/{source}/usage.json")
    ).json()
    assert found["ok"], found
    return found


async def in_chunks(content: bytes = CONTENT) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 300):
        yield content[start : start + 300]
        await asyncio.sleep(0)


async def three_steps(client: Any, size: int | None) -> int:
    """Prepare, upload, complete; the first status that is not 200, or the last."""
    steps = "/-/files/upload/docs/-"
    body = {"filename": "a.bin"} if size is None else {"filename": "a.bin", "size": size}
    answer = await client.post(f"{steps}/prepare", json=body)
    if answer.status_code == 200:
        token = {"upload_token": answer.json()["upload_token"]}
        form = {"data": token, "files": {"file": ("a.bin", CONTENT)}}
        answer = await client.post(f"{steps}/upload", **form)
        if answer.status_code == 200:
            answer = await client.post(f"{steps}/complete", json=token)
    return told(answer)


def told(answer: Any) -> int:
    """The status of an answer, whose refusal can only be the quota's."""
    if answer.status_code == 413:
        assert answer.json()["code"] == "quota_exceeded"
    return int(answer.status_code)


async def tus(datasette: Datasette, size: int | None) -> int:
    client = Tus(datasette)
    answer = await client.create(size)
    if answer.status_code != 201:
        return told(answer)
    url = answer.headers["location"]
    more = {} if size is not None else {"Upload-Length": str(len(CONTENT))}
    answer = await client.patch(url, 0, CONTENT, **more)
    return 201 if answer.status_code == 204 else told(answer)


async def joined(datasette: Datasette) -> int:
    """Two partial uploads that become a file. They reserve, as their bytes are stored."""
    client = Tus(datasette)
    urls = []
    for part in (CONTENT[:400], CONTENT[400:]):
        answer = await client.create(len(part), part, **{"Upload-Concat": "partial"})
        if answer.status_code != 201:
            return told(answer)
        urls.append(answer.headers["location"])
    final = {"Upload-Concat": f"final;{' '.join(urls)}", "Upload-Metadata": "filename YQ=="}
    return told(await client.request("POST", client.collection, final))


def put(content: Callable[[], Any]) -> Callable[[Datasette], Awaitable[int]]:
    async def send(datasette: Datasette) -> int:
        url = "/-/files/upload/docs/a.bin"
        return told(await datasette.client.put(url, content=content()))

    return send


async def form(datasette: Datasette) -> int:
    files = {"file": ("a.bin", CONTENT)}
    return told(await datasette.client.post("/-/files/upload/docs", files=files))


def carried(*, moves: bool) -> Callable[[Datasette], Awaitable[int]]:
    async def carry(datasette: Datasette) -> int:
        files = Files.of(datasette)
        grant = administrator("files-upload", "other")
        file = await files.uploads.store(
            files.sources.get("other"),
            *("somebody", grant, Incoming("a.bin", "application/octet-stream")),
            in_chunks(),
        )
        order = Order(files.sources.get("other"), files.sources.get("docs"), moves)
        try:
            await files.copier.carry(order, file)
        except QuotaExceeded:
            return 413
        return 201

    return carry


WAYS: dict[str, Callable[[Datasette], Awaitable[int]]] = {
    "prepare": lambda datasette: three_steps(datasette.client, len(CONTENT)),
    "prepare without a size": lambda datasette: three_steps(datasette.client, None),
    "put": put(lambda: CONTENT),
    "put in chunks": put(in_chunks),
    "form": form,
    "tus": lambda datasette: tus(datasette, len(CONTENT)),
    "tus without a size": lambda datasette: tus(datasette, None),
    "copy": carried(moves=False),
    "move": carried(moves=True),
}


@pytest.mark.parametrize(
    "way",
    [
        way if way in ("put in chunks", "move") else pytest.param(way, marks=pytest.mark.full)
        for way in WAYS
    ],
)
async def test_a_hundred_at_once_fill_the_room_and_never_pass_it(
    way: str, make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {
        "docs": disk_source(tmp_path / "docs", quota_bytes=ROOM),
        "other": disk_source(tmp_path / "other"),
    }
    datasette = await make_datasette(sources, MANAGED)
    highest = 0

    async def watch() -> None:
        nonlocal highest
        while True:
            found = await usage(datasette)
            highest = max(highest, found["bytes"] + found["on_the_way"]["bytes"])
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    codes = await asyncio.gather(*(WAYS[way](datasette) for _ in range(100)))
    watching.cancel()
    found = await usage(datasette)
    assert highest <= ROOM, "reservations count as bytes do"
    taken = codes.count(201)
    assert codes.count(413) == 100 - taken
    assert (found["files"], found["bytes"]) == (taken, taken * len(CONTENT))
    if "without a size" in way or way == "put in chunks":
        # Those that fail in the middle may each have held a part of the room.
        assert 0 < taken <= 50
    else:
        assert (taken, found["left"]) == (50, {"files": None, "bytes": 0})
    if not way.startswith(("prepare", "tus")):
        assert found["on_the_way"] == {"files": 0, "bytes": 0}, "each reservation ended"


async def test_what_has_no_size_is_stored_up_to_the_last_byte_and_no_further(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    mib = 1024 * 1024
    source = disk_source(tmp_path / "docs", quota_bytes=5 * mib + 7)
    datasette = await make_datasette({"docs": source}, MANAGED)

    async def chunks(size: int) -> AsyncIterator[bytes]:
        while size:
            yield b"x" * min(size, 100_000)
            size -= min(size, 100_000)

    url = "/-/files/upload/docs/a.bin"
    assert told(await datasette.client.put(url, content=chunks(5 * mib + 8))) == 413
    assert (await usage(datasette))["left"]["bytes"] == 5 * mib + 7
    assert not [one for one in (tmp_path / "docs").rglob("*") if one.is_file()]
    assert told(await datasette.client.put(url, content=chunks(5 * mib + 7))) == 201
    assert told(await datasette.client.put(url, content=b"")) == 201, "no byte needs no room"
    assert told(await datasette.client.put(url, content=b"x")) == 413


async def test_a_length_told_while_bytes_arrive_frees_no_room(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    source = disk_source(tmp_path / "docs", quota_bytes=4_000_000)
    datasette = await make_datasette({"docs": source}, MANAGED)
    client, files = Tus(datasette), Files.of(datasette)
    url = (await client.create(None)).headers["location"]
    upload_id = token_digest(resumable_token(url.rpartition("/")[2]))
    found = await files.catalog.read(lambda conn: resuming.get(conn, upload_id))
    assert found is not None
    # As a request does that is sending.
    await Reservation(files.catalog, files.sources.get("docs"), found.upload).cover(1_500_000)
    before = (await usage(datasette))["on_the_way"]["bytes"]
    assert before >= 1_500_000
    answer = await client.patch(url, 0, b"", **{"Upload-Length": "1"})
    assert answer.status_code == 204
    assert (await usage(datasette))["on_the_way"]["bytes"] == before


async def test_partial_uploads_reserve_once_what_they_become_together(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    source = disk_source(tmp_path / "docs", quota_bytes=3 * len(CONTENT), quota_files=3)
    datasette = await make_datasette({"docs": source}, MANAGED)
    assert [await joined(datasette) for _ in range(4)] == [201, 201, 201, 413]
    assert (await usage(datasette))["bytes"] == 3 * len(CONTENT)


async def test_the_trash_counts_a_restore_never_fails_and_a_purge_makes_room(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    quotas = {"quota_files": 1, "quota_bytes": 10, "quota_bytes_per_actor": 8}
    source = disk_source(tmp_path / "docs", trash_days=1, **quotas)
    datasette = await make_datasette({"docs": source}, MANAGED)
    client = datasette.client
    file = await upload(datasette, b"12345", actor={"id": "ann"})
    await client.delete(f"/-/files/{file['id']}")
    found = await usage(datasette)
    assert (found["files"], found["trash"]) == (0, {"files": 1, "bytes": 5})
    assert found["left"] == {"files": 0, "bytes": 5}
    assert told(await client.put("/-/files/upload/docs/b.txt", content=b"b")) == 413
    # Lowering the quota takes nothing away: what is there comes back.
    changed = {"settings": {"quota_bytes": 3, "quota_files": 2}}
    answer = await client.post("/-/files/source/docs/settings/-/update", json=changed)
    assert answer.status_code == 200, answer.text
    body = {"ids": [file["id"]]}
    assert (await client.post("/-/files/trash/-/restore", json=body)).json()["ok"]
    assert (await usage(datasette))["bytes"] == 5
    await client.delete(f"/-/files/{file['id']}")
    assert (await client.post("/-/files/trash/-/purge", json=body)).json()["ok"]
    assert (await usage(datasette))["left"] == {"files": 2, "bytes": 3}
    assert told(await client.put("/-/files/upload/docs/b.txt", content=b"123")) == 201


async def test_each_person_has_their_own_room_and_the_panel_says_what_is_left(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    quotas = {"quota_files": 9, "quota_bytes": 100, "quota_bytes_per_actor": 10}
    datasette = await make_datasette({"docs": disk_source(tmp_path / "docs", **quotas)}, MANAGED)
    ann, bob = {"id": "ann"}, {"id": "bob"}
    url = "/-/files/upload/docs/a.txt"
    for actor in (ann, bob, None):
        assert told(await datasette.client.put(url, content=b"0123456789", actor=actor)) == 201
        answer = await datasette.client.put(url, content=b"0", actor=actor)
        assert (told(answer), "10 bytes" in answer.json()["error"]) == (413, True)
    found = await usage(datasette)
    by = {one["actor"]: one["bytes"] for one in found["by_actor"]}
    assert by == {"ann": 10, "bob": 10, None: 10}
    assert found["by_type"] == [{"content_type": "text/plain", "files": 3, "bytes": 30}]
    assert found["left"] == {"files": 6, "bytes": 70}
    page = (await datasette.client.get("/-/files/upload/docs", actor={"id": "cat"})).text
    assert "Left here: 10 bytes, 6 files." in page
    assert 'max-size="10"' in page
    shown = (await datasette.client.get("/-/files/source/docs/usage")).text
    assert "70 bytes" in shown
    assert "nobody signed in" in shown


async def test_a_direct_upload_has_to_declare_its_size_where_a_quota_holds(
    make_datasette: MakeDatasette, register_storages: Callable[..., None]
) -> None:
    register_storages(DirectStorage)
    source = {"storage": "direct", "quota_bytes": 5}
    datasette = await make_datasette({"docs": source}, MANAGED, upload_expiry_seconds=0.2)
    steps = "/-/files/upload/docs/-"
    prepare = {"filename": "a.txt", "content_type": "text/plain"}
    answer = await datasette.client.post(f"{steps}/prepare", json=prepare)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    declared = {**prepare, "size": 5}
    assert (await datasette.client.post(f"{steps}/prepare", json=declared)).status_code == 200
    assert told(await datasette.client.post(f"{steps}/prepare", json=declared)) == 413
    await asyncio.sleep(0.3)
    await Files.of(datasette).sweeper.sweep()
    assert (await usage(datasette))["on_the_way"] == {"files": 0, "bytes": 0}
    answer = await datasette.client.post(f"{steps}/prepare", json=declared)
    storage = Files.of(datasette).sources.get("docs").storage
    assert isinstance(storage, DirectStorage)
    storage.put(answer.json()["upload_url"], b"01234")
    token = {"upload_token": answer.json()["upload_token"]}
    assert (await datasette.client.post(f"{steps}/complete", json=token)).status_code == 201
    assert (await usage(datasette))["left"]["bytes"] == 0
