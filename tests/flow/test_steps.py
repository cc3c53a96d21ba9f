"""Prepare, upload, complete, and what may go differently: repeated, replaced, late, not allowed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from datasette_files.app import Files
from tests.support.flow.flow import BOB, Flow, sha256


async def test_prepare_answers_with_instructions(flow: Flow) -> None:
    prepared = await flow.prepare("photo.jpg", content_type="image/jpeg", size=48210)
    assert prepared.status == 200
    body = prepared.json
    token = body.pop("upload_token")
    assert token.startswith("tok_")
    if flow.direct:
        assert flow.kind.bucket is not None
        assert body.pop("upload_url").startswith(flow.kind.bucket())
        sent = body["upload_headers"] | body["upload_fields"]
        assert sent["Content-Type"] == "image/jpeg"
        assert set(body) == {"ok", "upload_method", "upload_headers", "upload_fields"}
    else:
        source = Files.of(flow.datasette).sources.get("docs")
        goes_on = body.pop("upload_resumable_url", None)
        assert goes_on == ("/-/files/upload/docs/-/tus" if source.appends_uploads else None)
        assert body == {
            "ok": True,
            "upload_url": "/-/files/upload/docs/-/upload",
            "upload_method": "POST",
            "upload_headers": {},
            "upload_fields": {"upload_token": token},
        }


async def test_complete_answers_with_the_file(flow: Flow) -> None:
    record = await flow.upload(b"hello", "note.txt", content_type="text/plain", size=5)
    file_id = record["id"]
    created_at = record.pop("created_at")
    assert len(created_at) == len("2026-03-13 23:23:24")
    assert record == {
        "id": file_id,
        "filename": "note.txt",
        "content_type": "text/plain",
        "content_hash": f"sha256:{sha256(b'hello')}",
        "size": 5,
        "width": None,
        "height": None,
        "source_slug": "docs",
        "uploaded_by": "alice",
        "url": f"/-/files/{file_id}",
        "download_url": f"/-/files/{file_id}/download",
        "thumbnail_url": f"/-/files/{file_id}/thumbnail",
    }
    assert file_id.startswith("df-")
    assert file_id == file_id.lower()


async def test_a_file_exists_only_once_it_is_completed(flow: Flow) -> None:
    prepared = (await flow.prepare(size=5)).json
    assert await flow.rows("SELECT id FROM datasette_files") == []
    await flow.send(prepared, b"hello")
    assert await flow.rows("SELECT id FROM datasette_files") == []
    listed = await flow.request("GET", "/-/files/source/docs.json")
    assert listed.json["total"] == 0
    await flow.complete(prepared["upload_token"])
    assert len(await flow.rows("SELECT id FROM datasette_files")) == 1


async def test_complete_may_be_repeated(flow: Flow) -> None:
    prepared = (await flow.prepare()).json
    await flow.send(prepared, b"hello")
    first = await flow.complete(prepared["upload_token"])
    again = await flow.complete(prepared["upload_token"])
    assert (first.status, again.status) == (201, 200)
    assert first.json == again.json
    assert len(await flow.stored()) == 1


async def test_bytes_sent_again_before_complete_replace_the_first(flow: Flow) -> None:
    prepared = (await flow.prepare()).json
    for content in (b"first", b"second, longer", b"third"):
        assert (await flow.send(prepared, content)).status == 200
    completed = await flow.complete(prepared["upload_token"])
    assert completed.json["file"]["content_hash"] == f"sha256:{sha256(b'third')}"
    assert (await flow.download(completed.json["file"])).content == b"third"
    await flow.sweep()
    assert len(await flow.stored()) == 1


async def test_bytes_sent_after_complete_change_nothing(flow: Flow) -> None:
    prepared = (await flow.prepare()).json
    await flow.send(prepared, b"hello")
    record = (await flow.complete(prepared["upload_token"])).json["file"]
    if flow.direct:
        # Some buckets take them, to a place that nobody looks at.
        with suppress(FileNotFoundError):
            await flow.send(prepared, b"other")
        assert (await flow.complete(prepared["upload_token"])).status == 200
    else:
        refused = await flow.send(prepared, b"other")
        assert (refused.status, refused.json["code"]) == (409, "conflict")
        assert "completed already" in refused.json["error"]
    assert (await flow.download(record)).content == b"hello"
    await flow.change("UPDATE datasette_files_garbage SET not_before = 0")
    await flow.sweep()
    assert len(await flow.stored()) == 1


async def test_complete_without_bytes_is_a_conflict(flow: Flow) -> None:
    prepared = (await flow.prepare(size=5)).json
    early = await flow.complete(prepared["upload_token"])
    assert (early.status, early.json["code"]) == (409, "conflict")
    assert "No bytes have arrived" in early.json["error"]
    await flow.send(prepared, b"hello")
    completed = await flow.complete(prepared["upload_token"])
    assert completed.status == 201, "the upload goes on after a complete that came too early"
    assert (await flow.download(completed.json["file"])).content == b"hello"


async def test_unknown_token_is_not_found(flow: Flow) -> None:
    for token in ("tok_" + "0" * 40, "", "x" * 10_000):
        answer = await flow.complete(token)
        assert (answer.status, answer.json["code"]) == (404, "not_found"), token


async def test_upload_belongs_to_the_actor_who_prepared_it(flow: Flow) -> None:
    prepared = (await flow.prepare()).json
    for actor in (BOB, None):
        if not flow.direct:
            sent = await flow.send(prepared, b"theirs", actor=actor)
            assert (sent.status, sent.json["code"]) == (403, "permission_denied")
        completed = await flow.complete(prepared["upload_token"], actor=actor)
        assert (completed.status, completed.json["code"]) == (403, "permission_denied")
    await flow.send(prepared, b"mine")
    assert (await flow.complete(prepared["upload_token"], actor=BOB)).status == 403
    completed = await flow.complete(prepared["upload_token"])
    assert completed.status == 201
    assert (await flow.complete(prepared["upload_token"], actor=BOB)).status == 403


async def test_upload_belongs_to_the_source_that_it_was_prepared_for(
    make_datasette, register_storages, kind, tmp_path
) -> None:
    register_storages(*kind.types)
    here, there = kind.source(tmp_path / "here"), kind.source(tmp_path / "there")
    flow = Flow(await make_datasette(sources={"docs": here, "other": there}), kind)
    prepared = (await flow.prepare()).json
    await flow.send(prepared, b"hello")
    elsewhere = await Flow(flow.datasette, kind, source="other").complete(prepared["upload_token"])
    assert (elsewhere.status, elsewhere.json["code"]) == (404, "not_found")
    absent = await Flow(flow.datasette, kind, source="absent").complete(prepared["upload_token"])
    assert (absent.status, absent.json["code"]) == (404, "not_found")
    assert (await flow.complete(prepared["upload_token"])).status == 201


async def test_attempt_that_died_gives_way_and_one_that_lives_does_not(flow: Flow) -> None:
    prepared = (await flow.prepare()).json
    await flow.send(prepared, b"first")
    claim = "UPDATE datasette_files_uploads SET state = 'receiving', claim = 'x', claimed_until = ?"
    await flow.change(claim, time.time() + 1000)
    early = [await flow.complete(prepared["upload_token"])]
    if not flow.direct:
        early.append(await flow.send(prepared, b"second"))
    assert {(answer.status, answer.json["code"]) for answer in early} == {(409, "conflict")}
    why = "is completing this upload" if flow.direct else "is still being received"
    assert all(why in answer.json["error"] for answer in early)
    await flow.change(claim, time.time() - 1)
    if not flow.direct:
        early = [await flow.complete(prepared["upload_token"])]
        assert (early[0].status, early[0].json["code"]) == (409, "conflict"), (
            "its bytes are not whole"
        )
        assert "No bytes have arrived" in early[0].json["error"]
    assert (await flow.send(prepared, b"second")).status == 200
    completed = await flow.complete(prepared["upload_token"])
    assert completed.status == 201
    assert (await flow.download(completed.json["file"])).content == b"second"
    await flow.sweep()
    assert len(await flow.stored()) == 1


async def test_attempt_that_wakes_after_another_took_its_place_changes_nothing(flow: Flow) -> None:
    if flow.direct:
        pytest.skip("its bytes go past Datasette")
    prepared = (await flow.prepare()).json
    waiting, awake = asyncio.Event(), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        token = prepared["upload_token"]
        head = f'--b\r\nContent-Disposition: form-data; name="upload_token"\r\n\r\n{token}\r\n'
        file = '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nfirst'
        yield (head + file).encode()
        waiting.set()
        await awake.wait()
        yield b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    first = asyncio.create_task(
        flow.request("POST", prepared["upload_url"], content=body(), headers=headers)
    )
    await waiting.wait()
    await flow.change("UPDATE datasette_files_uploads SET claimed_until = 1")
    assert (await flow.send(prepared, b"second")).status == 200
    completed = await flow.complete(prepared["upload_token"])
    awake.set()
    late = await first
    assert (late.status, late.json["code"]) == (410, "expired")
    assert (await flow.download(completed.json["file"])).content == b"second"
    await flow.sweep()
    assert len(await flow.stored()) == 1


@pytest.mark.parametrize("sent", [False, True], ids=["prepared", "received"])
async def test_expired_upload_is_gone_with_its_bytes(flow: Flow, sent: bool) -> None:
    prepared = (await flow.prepare()).json
    if sent:
        await flow.send(prepared, b"hello")
    await flow.change("UPDATE datasette_files_uploads SET expires_at = 1")
    if flow.direct and sent:
        await flow.sweep()  # until then its client may still be sending
    for _ in ("before the sweeper came", "after"):
        late = await flow.complete(prepared["upload_token"])
        assert (late.status, late.json["code"]) == (410, "expired")
        await flow.sweep()
    if not flow.direct:
        late = await flow.send(prepared, b"hello")
        assert (late.status, late.json["code"]) == (410, "expired")
    await flow.assert_nothing_left()


async def test_update_changes_search_text_alone(flow: Flow) -> None:
    record = await flow.upload()
    url = f"{record['url']}/-/update"
    updated = await flow.request("POST", url, json={"update": {"search_text": "zeppelin"}})
    assert updated.status == 200
    assert updated.json["file"]["search_text"] == "zeppelin"
    found = await flow.request("GET", "/-/files/search.json?q=zepp")
    assert [file["id"] for file in found.json["files"]] == [record["id"]]
    refused = await flow.request("POST", url, json={"update": {"filename": "x", "size": 1}})
    assert refused.status == 400
    assert "filename" in refused.json["error"]
    assert "size" in refused.json["error"]
    after = await flow.request("GET", f"{record['url']}.json")
    assert (after.json["filename"], after.json["size"]) == ("note.txt", 5)


async def test_delete_may_be_repeated_both_ways(flow: Flow) -> None:
    for _ in range(2):
        record = await flow.upload()
        for _ in range(2):
            posted = await flow.request("POST", f"{record['url']}/-/delete", json={})
            assert (posted.status, posted.json) == (200, {"ok": True})
            verb = await flow.request("DELETE", record["url"])
            assert (verb.status, verb.content) == (204, b"")
        for suffix in (".json", "/download", "/thumbnail", ""):
            answer = await flow.request("GET", f"{record['url']}{suffix}")
            assert answer.status == 404, suffix
        found = await flow.request("GET", "/-/files/search.json?q=note")
        assert found.json["files"] == []
    assert await flow.stored() == set()
    unknown = await flow.request("DELETE", "/-/files/df-01j5a3b4c5d6e7f8g9h0jkmnpq")
    assert unknown.status == 404


async def test_completed_upload_of_a_deleted_file_is_not_found(flow: Flow) -> None:
    prepared = (await flow.prepare()).json
    await flow.send(prepared, b"hello")
    record = (await flow.complete(prepared["upload_token"])).json["file"]
    await flow.request("DELETE", record["url"])
    answer = await flow.complete(prepared["upload_token"])
    assert (answer.status, answer.json["code"]) == (404, "not_found")


async def test_files_keep_their_bytes_apart(flow: Flow) -> None:
    records = [await flow.upload(f"content {n}".encode(), "same-name.txt") for n in range(5)]
    assert len({record["id"] for record in records}) == 5
    assert len(await flow.stored()) == 5
    await flow.request("DELETE", records[2]["url"])
    for n, record in enumerate(records):
        if n != 2:
            assert (await flow.download(record)).content == f"content {n}".encode()


async def test_pages_show_the_file(flow: Flow) -> None:
    record = await flow.upload(b"hello", "shown <here>.txt")
    for page in ("/-/files", "/-/files/source/docs", "/-/files/search?q=shown", record["url"]):
        answer = await flow.request("GET", page, headers={"Accept": "text/html"})
        assert answer.status == 200, page
        assert b"shown <here>" not in answer.content, "a name in HTML is escaped"
    assert b"shown &lt;here&gt;.txt" in answer.content
    for page in ("/-/files/upload/docs", f"/-/files/import/{record['id']}"):
        answer = await flow.request("GET", page, headers={"Accept": "text/html"})
        assert answer.status == 200, page
    assert b"Manage files" in (await flow.request("GET", "/")).content


async def test_file_is_readable_from_python(flow: Flow) -> None:
    from datasette_files import get_file

    record = await flow.upload(b"0123456789", "digits.txt")
    file = await get_file(flow.datasette, record["id"])
    assert file is not None
    assert await file.read() == b"0123456789"
    assert await file.read(max_bytes=4) == b"0123"
    async with file.open() as stream:
        assert b"".join([chunk async for chunk in stream]) == b"0123456789"
    async with file.open(2, 5) as stream:
        assert b"".join([chunk async for chunk in stream]) == b"234"
    async with file.open(start=7) as stream:
        assert b"".join([chunk async for chunk in stream]) == b"789"


async def test_sources_json_tells_what_the_storage_can(flow: Flow) -> None:
    answer = await flow.request("GET", "/-/files/sources.json")
    capabilities = flow.storage.capabilities
    names = "can_upload can_delete can_list can_generate_signed_urls requires_proxy_download"
    assert answer.json == {
        "ok": True,
        "sources": [
            {
                "slug": "docs",
                "label": "docs",
                "storage_type": flow.storage.storage_type,
                "capabilities": {name: getattr(capabilities, name) for name in names.split()},
                "can_browse": True,
                "can_upload": True,
            }
        ],
    }
