"""Uploads in parts straight to the store: signed, listed, verified, completed, and swept."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit

import pytest

from datasette_files.testing import content_of
from datasette_files_s3 import parts
from datasette_files_s3.client import Connection
from datasette_files_s3.config import S3Config
from datasette_files_s3.storage import S3Storage
from tests.conftest import MakeDatasette
from tests.support.flow import s3
from tests.support.flow.flow import BOB, Answer, Flow, sha256
from tests.support.moto_server import Store

_MIB = 1024 * 1024
_PART = 5 * _MIB
_CONTENT = content_of(2 * _PART + 70_000)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As small as S3 takes them."""
    monkeypatch.setattr(parts, "_PART", _PART)


@pytest.fixture
async def flow(make_datasette: MakeDatasette, tmp_path: Path) -> Flow:
    source = s3.source(tmp_path, multipart_threshold_bytes=_PART)
    return Flow(await make_datasette(sources={"docs": source}), s3.S3_DIRECT)


async def _prepare(flow: Flow, content: bytes = _CONTENT, **declared: Any) -> dict[str, Any]:
    answer = await flow.prepare("large.bin", size=len(content), **declared)
    assert answer.status == 200, answer
    prepared: dict[str, Any] = answer.json
    return prepared


async def _sign(flow: Flow, prepared: dict[str, Any], numbers: Any, **more: Any) -> Answer:
    body = {"upload_token": prepared["upload_token"], "numbers": numbers}
    return await flow.request("POST", prepared["upload_parts"]["sign_url"], json=body, **more)


async def _list(flow: Flow, prepared: dict[str, Any], **more: Any) -> Answer:
    body = {"upload_token": prepared["upload_token"]}
    return await flow.request("POST", prepared["upload_parts"]["list_url"], json=body, **more)


def _slice(number: int, content: bytes = _CONTENT) -> bytes:
    return content[(number - 1) * _PART : number * _PART]


def _put(signed: dict[str, Any], content: bytes) -> str:
    """Send a part as a browser does; its entity tag."""
    # Else the library says that it is a form, which moto then parses.
    headers = {"Content-Type": "application/octet-stream", **signed["headers"]}
    with s3.request(
        s3.shared_store(), signed["url"], data=content, headers=headers, method="PUT"
    ) as response:
        tag: str = response.headers["ETag"]
        return tag


async def _send(flow: Flow, prepared: dict[str, Any], *numbers: int) -> None:
    signed = (await _sign(flow, prepared, list(numbers))).json
    for part in signed["parts"]:
        _put(part, _slice(part["number"]))


async def _complete(flow: Flow, prepared: dict[str, Any]) -> Answer:
    return await flow.complete(prepared["upload_token"])


@pytest.mark.parametrize("checksums", [False, True])
async def test_parts_become_the_file(flow: Flow, store: Store, checksums: bool) -> None:
    declared = {"sha256": sha256(_CONTENT)} if checksums else {}
    prepared = await _prepare(flow, **declared)
    offered = prepared["upload_parts"]
    assert (offered["part_size"], offered["count"]) == (_PART, 3)
    assert prepared["upload_fields"]["policy"], "a client that knows no parts posts a form"
    assert (await _list(flow, prepared)).json == {"ok": True, "parts": []}
    numbers: list[Any] = [3, 1, 2]
    if checksums:
        numbers = [{"number": n, "sha256": sha256(_slice(n))} for n in numbers]
    answer = await _sign(flow, prepared, numbers)
    assert answer.status == 200
    assert answer.json["expires_in"] == 3600
    assert [part["number"] for part in answer.json["parts"]] == [3, 1, 2]
    for part in answer.json["parts"]:
        query = parse_qs(urlsplit(part["url"]).query)
        assert "content-length" in query["X-Amz-SignedHeaders"][0]
        if checksums:
            checksum = base64.b64encode(hashlib.sha256(_slice(part["number"])).digest()).decode()
            assert part["headers"] == {"x-amz-checksum-sha256": checksum}
        _put(part, _slice(part["number"]))
    listed = (await _list(flow, prepared)).json["parts"]
    assert listed == [{"number": n, "size": len(_slice(n))} for n in (1, 2, 3)]
    completed = await _complete(flow, prepared)
    assert completed.status == 201, completed
    assert completed.json["file"]["size"] == len(_CONTENT)
    assert (await flow.download(completed.json["file"])).content == _CONTENT
    again = await _complete(flow, prepared)
    assert (again.status, again.json) == (200, completed.json)
    prefix = flow.storage.connection.config.prefix
    assert store.unfinished(prefix) == []
    assert len(store.keys(prefix)) == 1
    assert (await _sign(flow, prepared, [1])).json["code"] == "conflict"
    assert (await _list(flow, prepared)).json["code"] == "conflict"


async def test_missing_and_short_parts_are_named_and_mended(flow: Flow) -> None:
    prepared = await _prepare(flow)
    nothing = await _complete(flow, prepared)
    assert (nothing.status, nothing.json["code"]) == (409, "conflict")
    signed = {part["number"]: part for part in (await _sign(flow, prepared, [1, 2])).json["parts"]}
    _put(signed[2], _slice(2))
    try:
        _put(signed[1], b"short")
    except HTTPError as refused:
        assert refused.code == 403, "its length is pinned"
        refused.close()
    early = await _complete(flow, prepared)
    assert (early.status, early.json["code"]) == (409, "conflict")
    assert "1, 3" in early.json["error"]
    await _send(flow, prepared, 1, 3)
    assert (await _complete(flow, prepared)).status == 201


async def test_part_that_is_sent_again_replaces_the_first(flow: Flow) -> None:
    prepared = await _prepare(flow, sha256=sha256(_CONTENT))
    signed = (await _sign(flow, prepared, [1])).json["parts"][0]
    _put(signed, bytes(_PART))
    await _send(flow, prepared, 1, 2, 3)
    completed = await _complete(flow, prepared)
    assert completed.status == 201
    assert completed.json["file"]["content_hash"] == f"sha256:{sha256(_CONTENT)}"


async def test_other_bytes_than_declared_are_refused_and_deleted(flow: Flow, store: Store) -> None:
    prepared = await _prepare(flow, sha256=sha256(b"other"))
    await _send(flow, prepared, 1, 2, 3)
    refused = await _complete(flow, prepared)
    assert (refused.status, refused.json["code"]) == (422, "checksum_mismatch")
    prefix = flow.storage.connection.config.prefix
    assert store.keys(prefix) == set()
    assert store.unfinished(prefix) == []


async def test_form_works_although_parts_were_offered(flow: Flow, store: Store) -> None:
    prepared = await _prepare(flow)
    assert (await _sign(flow, prepared, [1])).status == 200, "which the client then gives up"
    await flow.send(prepared, _CONTENT)
    completed = await _complete(flow, prepared)
    assert completed.status == 201
    assert (await flow.download(completed.json["file"])).content == _CONTENT
    await flow.change("UPDATE datasette_files_garbage SET not_before = 0")
    await flow.sweep()
    assert store.unfinished(flow.storage.connection.config.prefix) == []


@pytest.mark.parametrize("lists", [True, False])
async def test_abandoned_parts_are_aborted(
    flow: Flow, store: Store, monkeypatch: pytest.MonkeyPatch, lists: bool
) -> None:
    prepared = await _prepare(flow)
    await _send(flow, prepared, 1)
    prefix = flow.storage.connection.config.prefix
    assert len(store.unfinished(prefix)) == 1
    flow.storage.connection.finds_unfinished = lists
    await flow.change("UPDATE datasette_files_uploads SET expires_at = 1")
    for answer in (await _sign(flow, prepared, [1]), await _list(flow, prepared)):
        assert (answer.status, answer.json["code"]) == (410, "expired")
    await flow.sweep()
    assert store.unfinished(prefix) == []
    late = await _complete(flow, prepared)
    assert (late.status, late.json["code"]) == (410, "expired")
    await flow.change("UPDATE datasette_files_garbage SET not_before = 0")
    await flow.sweep()
    await flow.assert_nothing_left()
    assert await flow.rows("SELECT 1 FROM datasette_files_garbage WHERE done_at IS NULL") == []


async def test_expiry_counts_from_the_last_signature(flow: Flow) -> None:
    prepared = await _prepare(flow)
    await flow.change(
        "UPDATE datasette_files_uploads SET created_at = created_at - 9000,"
        " expires_at = expires_at - 3500"
    )
    await _sign(flow, prepared, [1])
    left = await flow.rows(
        "SELECT expires_at - signed_at, signed_at - created_at FROM datasette_files_uploads"
    )
    assert left[0][0] == pytest.approx(3600)
    await flow.change("UPDATE datasette_files_uploads SET expires_at = 1")
    await flow.sweep()
    notes = await flow.rows(
        "SELECT not_before - ? - signed_at FROM datasette_files_garbage,"
        " datasette_files_uploads WHERE done_at IS NULL",
        300,
    )
    assert all(0 <= after < 60 for (after,) in notes), "once the last URL has expired"


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ([], "1 to 100"),
        (list(range(1, 102)), "1 to 100"),
        ([0], "parts 1 to 3"),
        ([4], "parts 1 to 3"),
        ([1, 1], "twice"),
        ([1, {"number": 2, "sha256": "0" * 64}], "for each part, or for none"),
        ([{"number": 1, "sha256": "0"}], "64 hexadecimal"),
        ([{"number": 1, "size": 5}], "each of numbers"),
        ([True], "each of numbers"),
        (["1"], "each of numbers"),
        (1, "a list"),
        (None, "a list"),
    ],
)
async def test_wrong_numbers_are_refused(flow: Flow, numbers: Any, message: str) -> None:
    prepared = await _prepare(flow)
    answer = await _sign(flow, prepared, numbers)
    assert (answer.status, answer.json["code"]) == (400, "invalid")
    assert message in answer.json["error"]
    assert (await _sign(flow, prepared, [1])).status == 200


async def test_checksums_are_given_for_all_parts_or_none(flow: Flow) -> None:
    with_sha256, without = [{"number": 1, "sha256": "0" * 64}], [2]
    for first, second in ((with_sha256, without), (without, with_sha256)):
        prepared = await _prepare(flow)
        assert (await _sign(flow, prepared, first)).status == 200
        answer = await _sign(flow, prepared, second)
        assert (answer.status, answer.json["code"]) == (400, "invalid")


async def test_small_and_unsized_files_have_no_parts(flow: Flow) -> None:
    for declared in ({"size": _PART}, {}):
        prepared = (await flow.prepare(**declared)).json
        assert "upload_parts" not in prepared
        body = {"upload_token": prepared["upload_token"], "numbers": [1]}
        answer = await flow.request("POST", "/-/files/upload/docs/-/sign-parts", json=body)
        assert (answer.status, answer.json["code"]) == (405, "not_supported")


async def test_permission_is_asked_at_each_step(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    source = s3.source(tmp_path, multipart_threshold_bytes=_PART)
    datasette = await make_datasette(
        permissions={"files-upload": {"id": ["alice", "bob"]}}, sources={"docs": source}
    )
    allowed: list[str] = datasette.config["permissions"]["files-upload"]["id"]
    flow = Flow(datasette, s3.S3_DIRECT)
    prepared = await _prepare(flow)
    await _send(flow, prepared, 1, 2, 3)

    async def answers(**more: Any) -> list[Answer]:
        return [
            await _sign(flow, prepared, [1], **more),
            await _list(flow, prepared, **more),
            await flow.complete(prepared["upload_token"], **more),
        ]

    for answer in await answers(actor=BOB):
        assert (answer.status, answer.json["code"]) == (403, "permission_denied")
    allowed.remove("alice")
    for answer in await answers():
        assert (answer.status, answer.json["code"]) == (403, "permission_denied")
    allowed.append("alice")
    assert [answer.status for answer in await answers()] == [200, 200, 201]


async def test_requests_at_the_same_time_begin_one_upload(flow: Flow, store: Store) -> None:
    prepared = await _prepare(flow)
    answers = await asyncio.gather(*(_sign(flow, prepared, [n]) for n in (1, 2, 3, 1, 2, 3)))
    assert {answer.status for answer in answers} == {200}
    urls = [parse_qs(urlsplit(a.json["parts"][0]["url"]).query)["uploadId"][0] for a in answers]
    assert len(set(urls)) == 1
    assert len(store.unfinished(flow.storage.connection.config.prefix)) == 1


async def test_completion_goes_on_after_a_crash_before_its_commit(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = await _prepare(flow)
    await _send(flow, prepared, 1, 2, 3)
    finish = S3Storage.finish_upload

    async def crashing(self: S3Storage, path: str, state: dict[str, Any]) -> Any:
        await finish(self, path, state)
        raise OSError("the process dies")

    monkeypatch.setattr(S3Storage, "finish_upload", crashing)
    assert (await _complete(flow, prepared)).status == 502
    monkeypatch.setattr(S3Storage, "finish_upload", finish)
    completed = await _complete(flow, prepared)
    assert completed.status == 201
    assert (await flow.download(completed.json["file"])).content == _CONTENT


async def test_last_step_whose_answer_was_lost(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = await _prepare(flow)
    await _send(flow, prepared, 1, 2, 3)
    call = Connection.call

    async def losing(self: Connection, operation: str, **parameters: Any) -> Any:
        answer = await call(self, operation, **parameters)
        if operation == "complete_multipart_upload":
            return await call(self, operation, **parameters)  # as the SDK's retry does
        return answer

    monkeypatch.setattr(Connection, "call", losing)
    assert (await _complete(flow, prepared)).status == 201


async def test_long_lists_of_parts_are_read_to_their_end(
    flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = await _prepare(flow)
    await _send(flow, prepared, 1, 2, 3)
    call = Connection.call

    async def by_one(self: Connection, operation: str, **parameters: Any) -> Any:
        if operation == "list_parts":
            parameters["MaxParts"] = 1
        return await call(self, operation, **parameters)

    monkeypatch.setattr(Connection, "call", by_one)
    assert [part["number"] for part in (await _list(flow, prepared)).json["parts"]] == [1, 2, 3]


@pytest.mark.parametrize("size", [1, 16 * _MIB, 100 * _MIB + 1, 40 * 1024**3, 5 * 1024**4])
def test_ten_thousand_parts_are_enough(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    plan = parts.plan(size)
    assert 1 <= plan.count <= 10_000
    assert plan.part_size % _MIB == 0
    assert plan.part_size <= 5 * 1024**3
    assert plan.part_size * (plan.count - 1) < size <= plan.part_size * plan.count


async def test_threshold_and_proxy_decide(make_datasette: MakeDatasette, tmp_path: Path) -> None:
    assert S3Config(bucket="bucket").multipart_threshold_bytes == 100 * _MIB
    for options, has_parts in (
        ({"upload": "proxy", "multipart_threshold_bytes": 1}, False),
        ({"upload_method": "PUT", "multipart_threshold_bytes": 1}, True),
    ):
        sources = {"docs": {**s3.source(tmp_path, **options), "max_file_size": 6 * 1024**4}}
        flow = Flow(await make_datasette(sources=sources), s3.S3_DIRECT)
        for size in (2, 5 * 1024**3 + 1, 5 * 1024**4):
            prepared = (await flow.prepare(size=size)).json
            assert ("upload_parts" in prepared) is has_parts
            if size > 5 * 1024**3:
                assert prepared["upload_url"].startswith("/"), "other clients use Datasette"
        assert "upload_parts" not in (await flow.prepare(size=5 * 1024**4 + 1)).json
