"""Links of a source on a store, over HTTP: who has no account gets and sends bytes at the store."""

from __future__ import annotations

import base64
import hashlib
import io
import random
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from itsdangerous import URLSafeSerializer

from tests.conftest import OPEN
from tests.support.client import Answer, Client, expect
from tests.support.faults.scene import settle
from tests.support.faults.uploader import BODY, MIB, TUS
from tests.support.moto_server import new_prefix, shared_store
from tests.support.server import Server

pytestmark = pytest.mark.full

CONTENT = random.Random(41).randbytes(20 * MIB)
NAME = "zürich 1.bin"


@dataclass
class Site:
    """A server whose source ``docs`` is in the store; ``alice`` makes its links."""

    server: Server
    upload: str
    prefix: str

    @property
    def client(self) -> Client:
        return Client(self.server.url)

    def as_alice(self, path: str, value: dict[str, Any]) -> Answer:
        """POST as JSON."""
        actor = URLSafeSerializer("test", "actor").dumps({"a": {"id": "alice"}})
        return self.client.post_json(path, value, {"Cookie": f"ds_actor={actor}"})

    def link(self, path: str, **terms: Any) -> dict[str, Any]:
        """Make one; with its ``path`` below the site."""
        answer = expect(self.as_alice(path, terms), 200, 201).json()
        made: dict[str, Any] = answer.get("share") or answer["upload_link"]
        made["path"] = urlsplit(made["url"]).path
        return made

    def stored(self) -> set[str]:
        return {key.removeprefix(self.prefix) for key in shared_store().keys(self.prefix)}

    def catalogued(self) -> dict[str, str]:
        """The sha256 of each file, by its path in the store."""
        found = {}
        for file in self.client.all_files("docs"):
            record = expect(self.client.request("GET", f"{file['url']}.json"), 200).json()
            found[record["path"]] = record["content_hash"]
        return found


@pytest.fixture(params=["direct", "proxy"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    upload, prefix = request.param, new_prefix()
    config = shared_store().config(
        prefix,
        upload=upload,
        download="redirect" if upload == "direct" else "proxy",
        multipart_threshold_bytes=16 * MIB,
    )
    plugin = {"sources": {"docs": {"storage": "s3", "config": config}}}
    permissions = {**OPEN, "files-share": True}
    server = Server(tmp_path, {"plugins": {"datasette-files": plugin}, "permissions": permissions})
    with server:
        yield Site(server, upload, prefix)


def _followed(client: Client, path: str, headers: dict[str, str] | None = None) -> Answer:
    answer = client.request("GET", path, headers=headers)
    if answer.status != 302:
        return answer
    assert answer.headers["referrer-policy"] == "no-referrer"
    address = answer.headers["location"]
    assert int(parse_qs(urlsplit(address).query)["X-Amz-Expires"][0]) <= 60
    store, there = client.there(address)
    return store.request("GET", there, headers=headers)


def test_downloads_by_a_link(site: Site) -> None:
    client = site.client
    ids = [client.put("docs", name, CONTENT)["id"] for name in (NAME, "second.bin")]
    link = site.link("/-/files/-/share", ids=ids, max_downloads=3)
    one = f"{link['path']}/{ids[0]}/download"
    page = expect(client.request("GET", link["path"]), 200).body.decode()
    assert NAME in page
    whole = _followed(client, one)
    assert (whole.status, whole.body == CONTENT) == (200, True)
    assert "z%C3%BCrich%201.bin" in whole.headers["content-disposition"]
    assert whole.headers["content-type"] == "application/octet-stream"
    rest = _followed(client, one, {"Range": f"bytes={MIB}-"})
    assert (rest.status, rest.body == CONTENT[MIB:]) == (206, True)
    head = expect(client.request("HEAD", one), 200, 302)
    assert head.body == b""
    packed = expect(client.request("GET", f"{link['path']}/zip"), 200)
    with zipfile.ZipFile(io.BytesIO(packed.body)) as members:
        assert members.testzip() is None
        assert members.namelist() == [NAME, "second.bin"]
    assert _followed(client, f"{link['path']}/{ids[1]}/download").body == CONTENT
    assert client.request("GET", one).status == 404, "its three downloads are spent"

    free = site.link("/-/files/-/share", ids=ids[:1])
    address = f"{free['path']}/{ids[0]}/download"
    assert _followed(client, address, {"Range": "bytes=-5"}).body == CONTENT[-5:]
    expect(site.as_alice(f"/-/files/-/share/{free['id']}/revoke", {}), 200)
    assert client.request("GET", address).status == 404


def test_uploads_by_a_link(site: Site) -> None:
    """A form, tus in two pieces, and parts that go to the store; nothing is told of the files."""
    client = site.client
    link = site.link("/-/files/source/docs/-/upload-link", max_files=3, max_bytes=45 * MIB)
    sizes = []

    def prepare(content: bytes, *statuses: int) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        declared = {"filename": NAME, "size": len(content), "sha256": digest}
        answer = client.post_json(f"{link['path']}/-/prepare", declared)
        prepared: dict[str, Any] = expect(answer, *statuses).json()
        return prepared

    small = CONTENT[: 2 * MIB]
    prepared = prepare(small, 200)
    assert (prepared["upload_url"].startswith("/")) is (site.upload == "proxy")
    expect(client.send(prepared, small, ""), 200, 204)
    token = {"upload_token": prepared["upload_token"]}
    done = expect(client.post_json(f"{link['path']}/-/complete", token), 201)
    assert done.json() == {"ok": True}
    sizes.append(len(small))

    filename = base64.b64encode(NAME.encode()).decode()
    headers = {"Upload-Length": str(len(CONTENT)), "Upload-Metadata": f"filename {filename}"}
    begun = expect(client.request("POST", f"{link['path']}/-/tus", b"", {**TUS, **headers}), 201)
    address = begun.headers["location"]
    for start, end in ((0, 7 * MIB + 3), (7 * MIB + 3, len(CONTENT))):
        offset = {"Upload-Offset": str(start)}
        sent = client.request("PATCH", address, CONTENT[start:end], {**BODY, **offset})
        assert (sent.status, sent.headers["upload-offset"]) == (204, str(end))
    assert "content-location" not in sent.headers
    sizes.append(len(CONTENT))

    prepared = prepare(CONTENT, 200)
    token = {"upload_token": prepared["upload_token"]}
    if site.upload == "direct":
        offered = prepared["upload_parts"]
        numbers = list(range(1, offered["count"] + 1))
        signed = client.post_json(offered["sign_url"], {**token, "numbers": numbers})
        for part in expect(signed, 200).json()["parts"]:
            start = (part["number"] - 1) * offered["part_size"]
            store, path = client.there(part["url"])
            piece = CONTENT[start : start + offered["part_size"]]
            kind = {"Content-Type": "application/octet-stream", **part["headers"]}
            expect(store.request("PUT", path, piece, kind), 200)
    else:
        assert "upload_parts" not in prepared
        expect(client.send(prepared, CONTENT, ""), 200)
    expect(client.post_json(f"{link['path']}/-/complete", token), 201)
    sizes.append(len(CONTENT))
    assert prepare(b"x", 413)["code"] == "quota_exceeded", "it takes three files"

    settle(lambda: site.stored() ^ set(site.catalogued()))
    digests = [f"sha256:{hashlib.sha256(CONTENT[:size]).hexdigest()}" for size in sizes]
    assert sorted(site.catalogued().values()) == sorted(digests)
    expect(site.as_alice(f"/-/files/-/share/{link['id']}/revoke", {}), 200)
    gone = client.post_json(f"{link['path']}/-/prepare", {"filename": "a", "size": 1})
    assert gone.status == 404
