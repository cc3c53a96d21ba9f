"""One request for an upload, sent again under its key (Idempotency-Key): it stores one file."""

from __future__ import annotations

import asyncio
import time
from base64 import b64encode
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest

from datasette_files import naming
from datasette_files.transfer import uploads
from tests.support.flow.flow import ALICE, BOB, Answer, Flow

KEY = "3f1c0e5a-9d0f-4a57-8a75-0f4b7c2f6a11"
PATH = "/-/files/upload/docs/note.txt"


async def _put(
    flow: Flow,
    content: Any = b"hello",
    key: str = KEY,
    path: str = PATH,
    actor: dict[str, Any] | None = ALICE,
) -> Answer:
    headers = {"Idempotency-Key": key}
    return await flow.request("PUT", path, content=content, headers=headers, actor=actor)


async def _files(flow: Flow) -> int:
    [(count,)] = await flow.rows("SELECT count(*) FROM datasette_files")
    assert len(await flow.stored()) == count
    return int(count)


async def test_a_repeated_request_is_answered_with_its_file(flow: Flow) -> None:
    first = await _put(flow)
    again = await _put(flow, key=f'"{KEY}"')
    assert (first.status, again.status) == (201, 200)
    assert again.json == first.json
    assert again.headers["location"] == first.headers["location"]
    assert await _files(flow) == 1
    recorded = await flow.rows("SELECT 1 FROM datasette_files_audit WHERE action = 'upload'")
    assert len(recorded) == 1
    other = await _put(flow, key=KEY[::-1])
    assert other.json["file_id"] != first.json["file_id"]
    assert await _files(flow) == 2


async def test_a_key_is_one_actors_and_one_files(flow: Flow) -> None:
    first = await _put(flow)
    bobs = await _put(flow, actor=BOB)
    assert bobs.status == 201
    assert bobs.json["file_id"] != first.json["file_id"]
    for content, path in [
        (b"other", PATH.replace("note", "other")),
        (b"longer", PATH),
        (b"hello", f"{PATH}?folder=2026"),
        (b"hello", f"{PATH}?tags=new"),
    ]:
        refused = await _put(flow, content, path=path)
        assert (refused.status, refused.json["code"]) == (400, "invalid")
        assert "another file" in refused.json["error"]
    for digest, status in ((b64encode(sha256(b"hello").digest()), 200), (b"A" * 43 + b"=", 400)):
        headers = {"Idempotency-Key": KEY, "Repr-Digest": f"sha-256=:{digest.decode()}:"}
        answer = await flow.request("PUT", PATH, content=b"hello", headers=headers)
        assert answer.status == status

    async def of_unknown_length() -> Any:
        yield b"hello"

    assert (await _put(flow, of_unknown_length())).json == first.json
    assert await _files(flow) == 2


async def test_of_two_at_once_one_stores_the_file(flow: Flow) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> Any:
        yield b"he"
        begun.set()
        await go_on.wait()
        yield b"llo"

    first = asyncio.create_task(_put(flow, slow()))
    await begun.wait()
    while not await flow.rows("SELECT 1 FROM datasette_files_uploads WHERE state = 'receiving'"):
        await asyncio.sleep(0.01)
    second = await _put(flow)
    assert (second.status, second.json["code"]) == (409, "conflict")
    go_on.set()
    assert (await first).status == 201
    answers = await asyncio.gather(*(_put(flow, key=KEY[::-1]) for _ in range(8)))
    assert {answer.status for answer in answers} <= {200, 201, 409}
    assert [answer.status for answer in answers].count(201) == 1
    assert await _files(flow) == 2


async def test_after_a_refusal_the_same_key_stores_the_file(flow: Flow) -> None:
    wrong = {"Idempotency-Key": KEY, "Repr-Digest": f"sha-256=:{'A' * 43}=:"}
    refused = await flow.request("PUT", PATH, content=b"hello", headers=wrong)
    assert (refused.status, refused.json["code"]) == (422, "checksum_mismatch")
    assert (await _put(flow)).status == 201
    await flow.sweep()
    assert await _files(flow) == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("claimed_until = claimed_until - 120", id="a minute ago"),
        pytest.param("claim = replace(claim, '/', '/0')", id="on this machine"),
    ],
)
async def test_what_a_dead_server_held_is_taken_over(flow: Flow, change: str) -> None:
    """Its bytes are removed."""
    refused: list[Answer] = []

    async def dies() -> Any:
        yield b"hel"
        await flow.change(f"UPDATE datasette_files_uploads SET {change}")
        refused.append(await _put(flow))
        yield b"lo"

    late = await _put(flow, dies())
    assert refused[0].status == 201
    assert (late.status, late.json["code"]) == (410, "expired")
    assert (await _put(flow)).json == refused[0].json
    await flow.sweep()
    assert await _files(flow) == 1


async def test_a_deleted_file_is_told(flow: Flow) -> None:
    first = await _put(flow)
    url = f"/-/files/{first.json['file_id']}/-/delete"
    assert (await flow.request("POST", url)).status == 200
    gone = await _put(flow)
    assert (gone.status, gone.json["code"]) == (404, "not_found")


async def test_it_tells_an_older_file_with_the_same_bytes(flow: Flow) -> None:
    older = await flow.upload(b"hello", "older.txt")
    assert "duplicate_of" not in (await _put(flow)).json
    told = await _put(flow, path=f"{PATH}?duplicate_of=1")
    assert told.json["duplicate_of"] == {name: older[name] for name in ("id", "filename", "url")}


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 256, "a b " * 8, "ü" * 20, '"' + "x" * 20 + '""']
)
async def test_a_key_that_another_could_have_is_refused(flow: Flow, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    refused = await flow.request("PUT", PATH, content=b"hello", headers=headers)
    assert (refused.status, refused.json["code"]) == (400, "invalid")
    assert "UUID" in refused.json["error"]
    assert await _files(flow) == 0


async def test_a_new_version_is_made_once(flow: Flow) -> None:
    old = await flow.upload(b"old")
    path = f"{PATH}?replaces={old['id']}"
    first, again = await _put(flow, path=path), await _put(flow, path=path)
    assert (first.status, again.status) == (201, 200), again
    assert again.json["file_id"] == first.json["file_id"]
    versions = await flow.request("GET", f"/-/files/{first.json['file_id']}/versions.json")
    assert len(versions.json["versions"]) == 2


async def test_the_hour_begins_when_the_file_is_stored(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()

    async def slow() -> Any:
        yield b"hel"
        monkeypatch.setattr(uploads, "time", SimpleNamespace(time=lambda: now + 3000))
        yield b"lo"

    assert (await _put(flow, slow())).status == 201
    [(end,)] = await flow.rows("SELECT expires_at FROM datasette_files_uploads")
    assert end == now + 3000 + 3600


async def test_a_key_is_no_token_of_the_other_requests(flow: Flow) -> None:
    assert (await _put(flow)).status == 201
    [(source_id,)] = await flow.rows("SELECT source_id FROM datasette_files_uploads")
    token = naming.repeatable_token(source_id, ALICE["id"], KEY)
    assert (await flow.complete(token)).status == 404
    sent = await flow.request(
        "POST",
        "/-/files/upload/docs/-/upload",
        data={"upload_token": token},
        files={"file": ("note.txt", b"other")},
    )
    assert sent.status == 404
    assert await _files(flow) == 1
