"""R5 for uploads that go on: each call to a store behind Datasette fails, passing or lasting.

What passes costs nothing. What lasts is told, and after it the client goes on at the offset that
it is told, or with the parts that the store lists.
"""

from __future__ import annotations

import base64
import hashlib
import random
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Answer, Client, expect
from tests.support.faults.s3_scene import LASTING, PASSING, Scene, site
from tests.support.faults.scene import SLACK, SWEPT_WITHIN, settle
from tests.support.faults.uploader import BODY, MIB, TUS, Uploader, collection
from tests.support.moto_server import new_prefix, shared_store

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

#: Two whole parts of appends, and a rest.
CONTENT = random.Random(21).randbytes(12 * MIB)
#: The first request leaves a tail, which the second reads.
STEPS = ((0, 3 * MIB), (3 * MIB, 12 * MIB))
#: Every call to the store that such an upload makes.
CALLS = [
    "PutObject",
    "GetObject",
    "CreateMultipartUpload",
    "UploadPart",
    "ListParts",
    "CompleteMultipartUpload",
]


def _send(scene: Scene, uploader: Uploader) -> list[Answer]:
    """Each step, to the first that fails."""
    answers: list[Answer] = []
    for start, end in STEPS:
        piece = CONTENT[start:end]
        answers.append(uploader.patch(scene.server, start, piece, length=len(piece)))
        if answers[-1].status != 204:
            break
    return answers


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("operation", CALLS)
def test_upload_that_goes_on_survives_what_passes(scene: Scene, operation: str, fault: str) -> None:
    uploader = Uploader(scene.server, CONTENT, "proxied")
    PASSING[fault](scene.proxy, operation)
    assert [answer.status for answer in _send(scene, uploader)] == [204, 204]
    assert scene.proxy.harmed() == (2 if fault == "503 twice" else 1)
    uploader.judge(scene.server, uploader.head(scene.server))
    if operation == "CreateMultipartUpload":  # nobody was ever told which upload that was
        for file in scene.client.all_files("proxied"):
            expect(scene.client.delete(file["id"]), 204)
    settle(scene.differences)


@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.parametrize("operation", CALLS)
def test_upload_goes_on_after_what_lasts(scene: Scene, operation: str, fault: str) -> None:
    uploader = Uploader(scene.server, CONTENT, "proxied")
    act, status, code = LASTING[fault]
    act(scene.proxy, operation)
    told = _send(scene, uploader)[-1]
    assert (told.status, told.json()["code"]) == (status, code)
    assert scene.catalogued() == set()
    scene.proxy.heal()
    offset = uploader.offset(scene.server)  # which completes it, if all bytes had arrived
    if offset < len(CONTENT):
        assert uploader.patch(scene.server, offset, CONTENT[offset:]).status == 204
    uploader.judge(scene.server, uploader.head(scene.server))
    settle(scene.differences)


# Every extension on a store


def _begin(client: Client, source: str, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request("POST", collection(source), body, {**TUS, **named})


def _patch(client: Client, path: str, offset: int, body: bytes, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.request("PATCH", path, body, {**BODY, "Upload-Offset": str(offset), **named})


def test_every_extension_of_tus(scene: Scene) -> None:
    """Checksums, a length that is told later, joined parts, an end: on bytes in the store."""
    client, source = scene.client, "proxied"
    name = f"filename {base64.b64encode(b'a.bin').decode()}"
    first, second = CONTENT[: 6 * MIB + 7], CONTENT[6 * MIB + 7 :]

    made = expect(_begin(client, source, Upload_Defer_Length="1", Upload_Metadata=name), 201)
    path = made.headers["location"]
    wrong = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    refused = _patch(client, path, 0, first, Upload_Checksum=f"sha256 {wrong}")
    assert (refused.status, refused.json()["code"]) == (460, "checksum_mismatch")
    head = expect(client.request("HEAD", path, headers=TUS), 200).headers
    assert (head["upload-offset"], head["upload-defer-length"]) == ("0", "1")
    for algorithm, start, piece in (("sha1", 0, first), ("md5", len(first), second)):
        digest = hashlib.new(algorithm, piece, usedforsecurity=False).digest()
        checksum = f"{algorithm} {base64.b64encode(digest).decode()}"
        more = {"Upload_Length": str(len(CONTENT))} if start else {}
        told = _patch(client, path, start, piece, Upload_Checksum=checksum, **more)
        assert (told.status, told.headers["upload-offset"]) == (204, str(start + len(piece)))
    deferred = told.headers["content-location"].rpartition("/")[2]

    parts = []
    for piece in (first, second):
        headers = {"Upload_Length": str(len(piece)), "Upload_Concat": "partial"}
        headers["Content_Type"] = BODY["Content-Type"]
        made = _begin(client, source, piece, **headers)
        assert (made.status, made.headers["upload-offset"]) == (201, str(len(piece)))
        parts.append(made.headers["location"])
    final = _begin(client, source, Upload_Concat=f"final;{' '.join(parts)}", Upload_Metadata=name)
    joined = expect(final, 201).headers["content-location"].rpartition("/")[2]
    for file_id in (deferred, joined):
        assert client.download(file_id).body == CONTENT
        record = expect(client.request("GET", f"/-/files/{file_id}.json"), 200).json()
        assert record["content_hash"] == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"

    path = _begin(client, source, Upload_Length="99999999", Upload_Metadata=name).headers[
        "location"
    ]
    assert _patch(client, path, 0, first).status == 204
    expect(client.request("DELETE", path, headers=TUS), 204)
    assert client.request("HEAD", path, headers=TUS).status in (404, 410)
    settle(scene.differences)
    assert len(scene.keys()) == 2


# Parts that go straight to the store

PARTS = random.Random(22).randbytes(33 * MIB)


class Parts:
    """One upload in parts of one client, who sends past Datasette."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.prepared: dict[str, Any] = expect(
            client.prepare("direct", "a.bin", size=len(PARTS)), 200
        ).json()
        self._offered = self.prepared["upload_parts"]
        self._token = {"upload_token": self.prepared["upload_token"]}

    def send(self, *numbers: int) -> Answer:
        """Ask for the addresses, and send the parts there. The answer to the first."""
        body = {**self._token, "numbers": list(numbers)}
        signed = self._client.post_json(self._offered["sign_url"], body)
        size = self._offered["part_size"]
        for part in signed.json()["parts"] if signed.status == 200 else []:
            start = (part["number"] - 1) * size
            client, path = self._client.there(part["url"])
            headers = {"Content-Type": "application/octet-stream", **part["headers"]}
            expect(client.request("PUT", path, PARTS[start : start + size], headers), 200)
        return signed

    def listed(self) -> Answer:
        return self._client.post_json(self._offered["list_url"], self._token)

    def complete(self) -> Answer:
        return self._client.complete("direct", self._token["upload_token"])

    def steps(self) -> list[Answer]:
        """Each step in turn, to the first that fails."""
        answers: list[Answer] = []
        for step in (lambda: self.send(1, 2, 3), self.listed, self.complete):
            answers.append(step())
            if answers[-1].status not in (200, 201):
                break
        return answers


#: Every call of the server's to the store.
PART_CALLS = ["CreateMultipartUpload", "ListParts", "CompleteMultipartUpload", "GetObject"]


def _judge(scene: Scene, completed: Answer) -> None:
    done = expect(completed, 200, 201).json()["file"]
    assert done["size"] == len(PARTS)
    assert scene.client.download(done["id"]).body == PARTS
    expect(scene.client.delete(done["id"]), 204)
    settle(scene.differences)


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("operation", PART_CALLS)
def test_parts_become_a_file_over_what_passes(scene: Scene, operation: str, fault: str) -> None:
    parts = Parts(scene.client)
    PASSING[fault](scene.proxy, operation)
    answers = parts.steps()
    assert [answer.status for answer in answers] == [200, 200, 201], answers
    assert scene.proxy.harmed()
    _judge(scene, answers[-1])


@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.parametrize("operation", PART_CALLS)
def test_parts_become_a_file_after_what_lasts(scene: Scene, operation: str, fault: str) -> None:
    parts = Parts(scene.client)
    act, status, code = LASTING[fault]
    act(scene.proxy, operation)
    told = parts.steps()[-1]
    assert (told.status, told.json()["code"]) == (status, code)
    assert scene.catalogued() == set()
    scene.proxy.heal()
    if operation == "CreateMultipartUpload":
        expect(parts.send(1, 2, 3), 200)
    _judge(scene, parts.complete())


def test_parts_of_a_client_that_went_away_are_ended_in_the_store(tmp_path: Path) -> None:
    prefix, store = new_prefix(), shared_store()
    options = {"multipart_threshold_bytes": 16 * MIB, "upload": "direct"}
    source = {"storage": "s3", "config": store.config(f"{prefix}direct", **options)}
    with site(tmp_path, {"direct": source}, upload_expiry_seconds=3) as server:
        parts = Parts(Client(server.url))
        expect(parts.send(1), 200)
        assert len(store.unfinished(prefix)) == 1
        settle(lambda: store.unfinished(prefix), 3 + SWEPT_WITHIN + SLACK)
        assert store.keys(prefix) == set()
        late = parts.complete()
        assert (late.status, late.json()["code"]) == (410, "expired")
