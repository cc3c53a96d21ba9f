"""Powers that only some stores or buckets have: encryption, Object Lock, access points, regions."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from datasette_files.errors import StorageError
from datasette_files.testing import chunked, content_of
from datasette_files_s3.client import Connection
from datasette_files_s3.config import Folder, S3Config
from datasette_files_s3.policy import policy
from datasette_files_s3.rights import Trial
from datasette_files_s3.storage import S3Storage
from tests.conftest import MakeDatasette
from tests.s3.conftest import MakeStorage, no_secrets
from tests.support.flow import s3
from tests.support.flow.flow import Answer, Flow, Kind
from tests.support.moto_server import Store

_MIB = 1024 * 1024
_PATH = "01abc/note.txt"
_KEY_ID = "arn:aws:kms:us-east-1:123456789012:key/0"
_KMS = {"sse": "aws:kms", "sse_kms_key_id": _KEY_ID}


def _put(storage: Any, prepared: dict[str, Any], content: bytes) -> None:
    with s3.request(
        s3.shared_store(),
        prepared["upload_url"],
        data=content,
        headers=prepared["upload_headers"],
        method=prepared["upload_method"],
    ) as response:
        assert response.status == 200


def _flow_kind(**options: Any) -> Kind:
    by_put = options.get("upload_method") == "PUT"
    return Kind(
        source=lambda tmp_path: s3.source(tmp_path, **options),
        send=_put if by_put else s3.send,
        bucket=lambda: s3.shared_store().endpoint,
        fetch=s3.fetch,
        paths=s3.paths,
    )


async def _made_flow(make_datasette: MakeDatasette, tmp_path: Path, **options: Any) -> Flow:
    kind = _flow_kind(**options)
    return Flow(await make_datasette(sources={"docs": kind.source(tmp_path)}), kind)


def _encryption(store: Store, flow: Flow) -> list[tuple[str, str | None]]:
    """The encryption of each object of the source."""
    prefix = flow.storage.connection.config.prefix
    heads = [store.boto.head_object(Bucket=store.bucket, Key=key) for key in store.keys(prefix)]
    return [(head["ServerSideEncryption"], head.get("SSEKMSKeyId")) for head in heads]


@pytest.mark.parametrize("upload_method", ["POST", "PUT"])
@pytest.mark.parametrize(
    ("options", "wanted"),
    [({"sse": "AES256"}, ("AES256", None)), (_KMS, ("aws:kms", _KEY_ID))],
    ids=["AES256", "KMS"],
)
async def test_every_new_object_is_encrypted(
    make_datasette: MakeDatasette,
    tmp_path: Path,
    store: Store,
    options: dict[str, str],
    wanted: tuple[str, str | None],
    upload_method: str,
) -> None:
    if not store.is_moto:
        pytest.skip("this store has no KMS")
    flow = await _made_flow(make_datasette, tmp_path, upload_method=upload_method, **options)
    prepared = (await flow.prepare(size=5)).json
    asked = {**prepared["upload_fields"], **prepared["upload_headers"]}
    assert asked["x-amz-server-side-encryption"] == options["sse"]
    await flow.send(prepared, b"hello")
    if upload_method == "PUT":  # moto does not read these fields of a form
        assert _encryption(store, flow) == [wanted], "as it was sent"
    else:
        conditions = json.loads(base64.b64decode(asked["policy"]))["conditions"]
        assert {"x-amz-server-side-encryption": options["sse"]} in conditions
    assert (await flow.complete(prepared["upload_token"])).status == 201
    assert _encryption(store, flow) == [wanted], "the copy"
    assert (await flow.put(b"small")).status == 201
    assert (await flow.put(content_of(9 * _MIB))).status == 201
    assert _encryption(store, flow) == [wanted] * 3
    for size in (5, 6 * _MIB):
        state = await flow.storage.append_upload(
            f"{size}.bin", 0, chunked(content_of(size), (_MIB,)), {}
        )
        assert set(_encryption(store, flow)) == {wanted}, "the tail of what goes on"
        await flow.storage.finish_upload(f"{size}.bin", state)
    assert _encryption(store, flow) == [wanted] * 5


@pytest.mark.parametrize("size", [5, None])
async def test_stores_without_forms_take_a_presigned_put(
    make_datasette: MakeDatasette, tmp_path: Path, size: int | None
) -> None:
    flow = await _made_flow(make_datasette, tmp_path, upload_method="PUT")
    prepared = (await flow.prepare(size=size)).json
    assert prepared["upload_method"] == "PUT"
    assert ("content-length" in prepared["upload_url"]) is (size is not None)
    assert "content-type" in prepared["upload_url"]
    await flow.send(prepared, b"hello")
    completed = await flow.complete(prepared["upload_token"])
    assert completed.status == 201
    assert (await flow.download(completed.json["file"])).content == b"hello"
    await flow.sweep()
    assert len(await flow.stored()) == 1


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (_KMS, [_KEY_ID]),
        ({"sse": "aws:kms"}, ["arn:aws:kms:us-east-1:*:key/*"]),
        ({"sse": "aws:kms", "sse_kms_key_id": "alias/a"}, ["arn:aws:kms:us-east-1:*:key/*"]),
        ({"sse": "aws:kms", "sse_kms_key_id": "12-ab"}, ["arn:aws:kms:us-east-1:*:key/12-ab"]),
        ({"sse": "AES256"}, []),
    ],
)
def test_policy_has_the_right_to_the_key(options: dict[str, str], wanted: list[str]) -> None:
    config = S3Config(bucket="bucket", **options)
    statements = policy(Folder("bucket"), config.region, config)["Statement"]
    assert [one["Resource"] for one in statements if "kms:Decrypt" in one["Action"]] == wanted


@pytest.mark.parametrize("options", [{"upload_method": "PUT"}, {"sse": "AES256"}])
async def test_rights_are_tried_as_the_source_is_configured(
    make_storage: MakeStorage, store: Store, options: dict[str, str]
) -> None:
    if not store.is_moto and "sse" in options:
        pytest.skip("this store does not encrypt")
    storage = await make_storage(**options)
    trial = Trial(storage.connection, await storage.connection.folder())
    await trial.run()
    assert (trial.missing, trial.left) == ([], [])
    method = options.get("upload_method", "POST")
    assert f"let a browser store (presigned {method})" in [one.name for one in trial.findings]


async def test_each_body_has_a_checksum_over_https_too(
    make_storage: MakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await make_storage(endpoint_url="https://s3.example.org")
    sent: dict[str, list[tuple[bytes, str]]] = {}

    async def call(self: Connection, operation: str, **parameters: Any) -> Any:
        if "Body" in parameters:
            body = parameters["Body"]
            content = body if isinstance(body, bytes) else body.read()
            sent.setdefault(operation, []).append((content, parameters["ContentMD5"]))
        return {"UploadId": "u", "ETag": "e"}

    monkeypatch.setattr(Connection, "call", call)
    for size in (0, 5, 9 * _MIB):
        await storage.receive_upload(_PATH, chunked(content_of(size), (_MIB,)), "a/b")
    await storage.append_upload(_PATH, 0, chunked(content_of(6 * _MIB), (_MIB,)), {})
    assert {name: len(bodies) for name, bodies in sent.items()} == {
        "put_object": 3,
        "upload_part": 3,
    }
    for content, checksum in (one for bodies in sent.values() for one in bodies):
        assert checksum == base64.b64encode(hashlib.md5(content).digest()).decode()


async def test_access_point_gets_a_put_as_it_has_no_forms() -> None:
    storage = S3Storage()
    arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/files"
    keys = {"access_key_id": "key", "secret_access_key": "secret"}
    await storage.configure({"bucket": arn, **keys}, no_secrets)
    try:
        made = await storage.prepare_upload(_PATH, "a/b", 5, max_size=9, expires_in=60)
        assert made is not None
        assert made.method == "PUT"
        for url in (made.url, await storage.download_url(_PATH)):
            assert url.startswith(
                "https://files-123456789012.s3-accesspoint.eu-west-1.amazonaws.com/"
            )
    finally:
        await storage.close()


class _Elsewhere(BaseHTTPRequestHandler):
    """A store that sends everybody to the bucket's region, as S3 does: without a Location."""

    protocol_version = "HTTP/1.1"
    location: str | None = None

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b"<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>"
        self.send_response(301)
        self.send_header("x-amz-bucket-region", "eu-central-1")
        self.send_header("Content-Type", "application/xml")
        if self.location is not None:
            self.send_header("Location", self.location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer

    def log_message(self, *arguments: Any) -> None:
        return


@pytest.fixture(params=[None, "http://127.0.0.1:9/elsewhere"], ids=["bare", "with a location"])
def elsewhere(request: pytest.FixtureRequest) -> Iterator[str]:
    handler = type("Handler", (_Elsewhere,), {"location": request.param})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


async def test_bucket_in_another_region_is_named(
    make_datasette: MakeDatasette, tmp_path: Path, elsewhere: str
) -> None:
    flow = await _made_flow(make_datasette, tmp_path, endpoint_url=elsewhere, upload="proxy")
    answers: list[Answer] = [await flow.put(b"hello"), await flow.put(content_of(9 * _MIB))]
    for answer in answers:
        assert (answer.status, answer.json["code"]) == (502, "storage_error")
        assert "set region: eu-central-1" in answer.json["error"]
    with pytest.raises(StorageError, match="set region: eu-central-1"):
        await flow.storage.get_file_metadata(_PATH)
