"""Direct uploads: what is signed, what is verified, and what clients may try in between."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from datasette_files.base import UploadInstructions
from datasette_files.errors import (
    BadType,
    ChecksumMismatch,
    Conflict,
    FilesError,
    FileTooLarge,
    Invalid,
)
from datasette_files_s3 import direct
from datasette_files_s3.client import Connection
from datasette_files_s3.storage import S3Storage
from tests.conftest import MakeDatasette
from tests.s3.conftest import MakeStorage
from tests.support.broker import SECRET, FakeBroker, answer
from tests.support.flow import s3
from tests.support.flow.flow import Flow, sha256
from tests.support.moto_server import Store, new_prefix

_PATH = "01abc/note.txt"


async def _prepare(storage: S3Storage, **declared: Any) -> UploadInstructions:
    values = {"size": 5, "max_size": 100, "expires_in": 600, **declared}
    made = await storage.prepare_upload(_PATH, "text/plain", values.pop("size"), **values)
    assert made is not None
    return made


def _policy(made: UploadInstructions) -> list[Any]:
    conditions: list[Any] = json.loads(base64.b64decode(made.fields["policy"]))["conditions"]
    return conditions


def _post(storage: S3Storage, made: UploadInstructions, content: bytes) -> None:
    s3.send(storage, {"upload_url": made.url, "upload_fields": made.fields}, content)


@pytest.mark.parametrize(("size", "bounds"), [(5, [5, 5]), (0, [0, 0]), (None, [0, 100])])
async def test_form_takes_one_key_type_and_size(
    storage: S3Storage, size: int | None, bounds: list[int]
) -> None:
    made = await _prepare(storage, size=size)
    conditions = _policy(made)
    key = direct.staging_key(storage.connection.config.prefix, _PATH)
    assert {"key": key} in conditions
    assert {"Content-Type": "text/plain"} in conditions
    assert ["content-length-range", *bounds] in conditions
    assert made.fields["x-amz-algorithm"] == "AWS4-HMAC-SHA256"
    assert "test-secret" not in json.dumps(made.state), "what is kept is no secret"


async def test_more_than_5_gib_and_a_proxying_source_go_through_datasette(
    storage: S3Storage, make_storage: MakeStorage
) -> None:
    gib = 1024**3
    for size, most, goes in ((5 * gib, 9 * gib, True), (5 * gib + 1, 9 * gib, False)):
        made = await storage.prepare_upload(_PATH, "a/b", size, max_size=most, expires_in=60)
        assert (made is not None) is goes
    assert await storage.prepare_upload(_PATH, "a/b", None, max_size=6 * gib, expires_in=60) is None
    proxy = await make_storage(upload="proxy")
    assert await proxy.prepare_upload(_PATH, "a/b", 5, max_size=100, expires_in=60) is None


async def test_public_address_is_for_browsers_alone(make_storage: MakeStorage) -> None:
    storage = await make_storage(public_endpoint_url="https://files.example.com:8443")
    made = await _prepare(storage)
    assert made.url.startswith("https://files.example.com:8443/")
    await storage.receive_upload(_PATH, _chunks(b"hello"), "text/plain")
    assert (await storage.download_url(_PATH)).startswith("https://files.example.com:8443/")
    assert await storage.read_file(_PATH) == b"hello"


async def _chunks(*chunks: bytes) -> Any:
    for chunk in chunks:
        yield chunk


async def test_finished_upload_leaves_only_the_final_object(
    storage: S3Storage, store: Store
) -> None:
    made = await _prepare(storage)
    _post(storage, made, b"hello")
    stored = await storage.finish_upload(_PATH, made.state)
    assert stored.content_hash == f"sha256:{sha256(b'hello')}"
    prefix = storage.connection.config.prefix
    assert store.keys(prefix) == {prefix + _PATH}
    head = store.boto.head_object(Bucket=store.bucket, Key=prefix + _PATH)
    assert head["ContentType"] == "text/plain"


async def test_finish_may_be_repeated_after_a_crash_before_its_commit(storage: S3Storage) -> None:
    made = await _prepare(storage, sha256=sha256(b"hello"))
    _post(storage, made, b"hello")
    first = await storage.finish_upload(_PATH, made.state)
    assert await storage.finish_upload(_PATH, made.state) == first


@pytest.mark.parametrize(
    ("declared", "changed", "error"),
    [
        ({"size": None, "max_size": 4}, {}, FileTooLarge),
        ({}, {"size": 6}, Invalid),
        ({}, {"content_type": "image/png"}, BadType),
        ({"sha256": sha256(b"other")}, {}, ChecksumMismatch),
    ],
)
async def test_what_is_not_as_signed_is_refused(
    storage: S3Storage,
    store: Store,
    declared: dict[str, Any],
    changed: dict[str, Any],
    error: type[FilesError],
) -> None:
    if "max_size" in declared and not store.is_moto:
        pytest.skip("this store refuses it by the policy")
    made = await _prepare(storage, **declared)
    _post(storage, made, b"hello")
    with pytest.raises(error):
        await storage.finish_upload(_PATH, {**made.state, **changed})
    await storage.delete_file(_PATH)
    assert store.keys(storage.connection.config.prefix) == set()


async def test_what_is_sent_between_look_and_copy_is_not_taken(
    storage: S3Storage, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await _prepare(storage)
    _post(storage, made, b"hello")
    looked: list[str] = []
    copied: list[str] = []
    call = Connection.call

    async def meddling(self: Connection, operation: str, **parameters: Any) -> Any:
        if operation == "copy_object":
            copied.append(parameters["CopySourceIfMatch"])
            _post(storage, made, b"HELLO")
        answered = await call(self, operation, **parameters)
        if operation == "head_object":
            looked.append(answered["ETag"])
        return answered

    monkeypatch.setattr(Connection, "call", meddling)
    try:
        stored = await storage.finish_upload(_PATH, made.state)
    except Conflict:
        assert await storage.get_file_metadata(_PATH) is None
    else:  # moto and Ceph do not look at the condition: then all is said of the final object
        assert stored.content_hash == f"sha256:{sha256(await storage.read_file(_PATH))}"
    assert looked[:1] == copied[:1]


async def test_other_size_sent_between_look_and_copy_is_refused(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await _prepare(storage, size=None)
    _post(storage, made, b"hello")
    call = Connection.call

    async def meddling(self: Connection, operation: str, **parameters: Any) -> Any:
        if operation == "copy_object":
            _post(storage, made, b"far more than that")
        return await call(self, operation, **parameters)

    monkeypatch.setattr(Connection, "call", meddling)
    with pytest.raises((Conflict, FileTooLarge)):
        await storage.finish_upload(_PATH, {**made.state, "max_size": 10})


async def test_large_file_is_hashed_in_the_background(
    make_datasette: MakeDatasette, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(direct, "_MAX_HASHED", 3)
    monkeypatch.setattr(direct, "_hexadecimal", lambda checksum: None)
    flow = Flow(await make_datasette(sources={"docs": s3.source(tmp_path)}), s3.S3_DIRECT)
    record = await flow.upload(b"hello", size=5)
    assert record["content_hash"].startswith("etag:")
    tag = record["content_hash"]
    head = await flow.request("HEAD", record["download_url"])
    assert head.headers["etag"] == f'"{tag}"'
    files = flow.datasette._datasette_files
    await files.hashing["docs"].once()
    after = (await flow.request("GET", f"{record['url']}.json")).json
    assert after["content_hash"] == f"sha256:{sha256(b'hello')}"
    assert await flow.rows("SELECT * FROM datasette_files_unhashed") == []
    again = await flow.upload(b"hello", size=5, sha256=sha256(b"hello"))
    assert again["content_hash"] == f"sha256:{sha256(b'hello')}", "declared, and so read at once"


@pytest.mark.full
async def test_two_processes_complete_one_upload(
    make_datasette: MakeDatasette, tmp_path: Any
) -> None:
    source = s3.source(tmp_path)
    first, second = [
        Flow(await make_datasette(sources={"docs": source}), s3.S3_DIRECT) for _ in range(2)
    ]
    for _ in range(3):
        prepared = (await first.prepare(size=5)).json
        await first.send(prepared, b"hello")
        token = prepared["upload_token"]
        racing = await asyncio.gather(*(one.complete(token) for one in (first, second, second)))
        assert {answer.status for answer in racing} <= {200, 201, 409}
        again = [await one.complete(token) for one in (first, second)]
        assert {answer.status for answer in again} <= {200, 201}
        assert again[0].json == again[1].json
        assert (await second.download(again[0].json["file"])).content == b"hello"
    assert len(await first.rows("SELECT id FROM datasette_files")) == 3
    assert len(await first.stored()) == 3


async def test_upload_is_found_where_it_was_signed_for_when_the_folder_changes(
    make_datasette: MakeDatasette, broker: FakeBroker, store: Store
) -> None:
    if not store.is_moto:
        pytest.skip("the broker's keys are known to moto alone")
    before, after = new_prefix(), new_prefix()
    broker.say(answer(f"s3://{store.bucket}/{before}"))
    config = {
        "credentials_url": broker.url,
        "credentials_url_secret": SECRET,
        "endpoint_url": store.endpoint,
        "addressing_style": "path",
    }
    source = {"storage": "s3", "config": config}
    flow = Flow(await make_datasette(sources={"docs": source}), s3.S3_DIRECT)
    prepared = (await flow.prepare(size=5)).json
    late = (await flow.prepare(size=5)).json
    for one in (prepared, late):
        await flow.send(one, b"hello")
    assert len(store.keys(before)) == 2
    broker.say(answer(f"s3://{store.bucket}/{after}"))
    held = flow.storage.connection.broker
    held.refused(held._held)
    completed = await flow.complete(prepared["upload_token"])
    assert completed.status == 201
    assert (await flow.download(completed.json["file"])).content == b"hello"
    assert len(store.keys(after)) == 1
    await flow.change("UPDATE datasette_files_uploads SET expires_at = 1 WHERE state = 'prepared'")
    await flow.sweep()
    await flow.change("UPDATE datasette_files_garbage SET not_before = 0")
    await flow.sweep()
    assert store.keys(before) == set(), "what expired is swept from where it was sent"
    assert len(store.keys(after)) == 1


@pytest.mark.parametrize("swept", [False, True])
async def test_upload_that_took_longer_than_its_expiry_is_completed(
    make_datasette: MakeDatasette, tmp_path: Any, store: Store, swept: bool
) -> None:
    source = s3.source(tmp_path)
    flow = Flow(await make_datasette(sources={"docs": source}), s3.S3_DIRECT)
    prepared = (await flow.prepare(size=5)).json
    await flow.change("UPDATE datasette_files_uploads SET expires_at = 1")
    if swept:
        await flow.sweep()
        assert await flow.rows("SELECT state FROM datasette_files_uploads") == [("expired",)]
    early = await flow.complete(prepared["upload_token"])
    assert (early.status, early.json["code"]) == (410, "expired"), "nothing has arrived"
    await flow.sweep()
    await flow.send(prepared, b"hello")
    completed = await flow.complete(prepared["upload_token"])
    assert completed.status == 201
    await flow.change("UPDATE datasette_files_garbage SET not_before = 0")
    await flow.sweep()
    assert (await flow.download(completed.json["file"])).content == b"hello"
    assert len(store.keys(source["config"]["prefix"])) == 1, "the final object alone"


async def test_expired_upload_waits_until_its_path_is_swept(
    make_datasette: MakeDatasette, tmp_path: Any
) -> None:
    flow = Flow(await make_datasette(sources={"docs": s3.source(tmp_path)}), s3.S3_DIRECT)
    prepared = (await flow.prepare(size=5)).json
    await flow.change(
        "INSERT INTO datasette_files_garbage (source_id, path, not_before)"
        " SELECT source_id, path, 1e12 FROM datasette_files_uploads"
    )
    await flow.send(prepared, b"hello")
    early = await flow.complete(prepared["upload_token"])
    assert (early.status, early.json["code"]) == (409, "conflict"), "else the sweeper deletes it"
    await flow.change("DELETE FROM datasette_files_garbage WHERE not_before > 1e11")
    assert (await flow.complete(prepared["upload_token"])).status == 201


async def test_what_is_sent_after_the_row_is_forgotten_is_deleted(
    make_datasette: MakeDatasette, tmp_path: Any, store: Store
) -> None:
    source = s3.source(tmp_path)
    flow = Flow(await make_datasette(sources={"docs": source}), s3.S3_DIRECT)
    prepared = (await flow.prepare(size=5)).json
    await flow.change("UPDATE datasette_files_uploads SET expires_at = 1")
    await flow.sweep()
    await flow.change("UPDATE datasette_files_garbage SET not_before = 0")
    await flow.sweep()
    await flow.send(prepared, b"hello")
    await flow.change("UPDATE datasette_files_uploads SET expires_at = 1")
    await flow.sweep()
    assert await flow.rows("SELECT 1 FROM datasette_files_uploads") == []
    await flow.sweep()
    assert store.keys(source["config"]["prefix"]) == set()


@pytest.mark.full
async def test_upload_does_not_expire_while_it_is_finished(
    make_datasette: MakeDatasette, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {"docs": s3.source(tmp_path)}
    flow = Flow(await make_datasette(sources=sources, upload_expiry_seconds=2), s3.S3_DIRECT)
    prepared = (await flow.prepare(size=5)).json
    await flow.send(prepared, b"hello")
    finish = S3Storage.finish_upload

    async def slowly(self: S3Storage, path: str, state: dict[str, Any]) -> Any:
        await asyncio.sleep(5)
        return await finish(self, path, state)

    monkeypatch.setattr(S3Storage, "finish_upload", slowly)
    completed = await flow.complete(prepared["upload_token"])
    assert completed.status == 201
    assert (await flow.download(completed.json["file"])).content == b"hello"
