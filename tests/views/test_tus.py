"""tus 1.0.0 over HTTP: the core protocol, every extension, and the rules of every other way in."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.errors import StorageUnavailable
from datasette_files.jobs.holder import this_process
from datasette_files.views import body
from tests.conftest import OPEN, disk_source
from tests.support.storages import DirectStorage, MemoryStorage

MIB = 1024 * 1024
BODY = {"Content-Type": "application/offset+octet-stream"}
TUS = {"Tus-Resumable": "1.0.0"}


def meta(**pairs: str) -> str:
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in pairs.items())


class Tus:
    """A client that is told every header, so that tests can lie."""

    def __init__(self, datasette: Any, source: str = "docs", **options: Any) -> None:
        self._datasette = datasette
        self.collection = f"/-/files/upload/{source}/-/tus"
        self._options = options

    async def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, content: Any = None
    ) -> Any:
        response: Any = await self._datasette.client.request(
            *(method, path),
            headers={**TUS, **(headers or {})},
            content=content,
            **self._options,
        )
        return response

    async def create(self, size: int | None, content: bytes | None = None, **headers: str) -> Any:
        length = {"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)}
        sent = {"Upload-Metadata": meta(filename="a.bin"), **length, **headers}
        if content is not None:
            sent |= BODY
        return await self.request("POST", self.collection, sent, content)

    async def begin(self, size: int | None, **headers: str) -> str:
        created = await self.create(size, **headers)
        assert created.status_code == 201, created.text
        location: str = created.headers["location"]
        return location

    async def patch(self, url: str, offset: int, content: Any, **headers: str) -> Any:
        return await self.request(
            "PATCH", url, {**BODY, "Upload-Offset": str(offset), **headers}, content
        )

    async def offset(self, url: str) -> int:
        found = await self.request("HEAD", url)
        assert found.status_code == 200, found.headers
        assert found.headers["cache-control"] == "no-store"
        return int(found.headers["upload-offset"])


def code_of(response: Any) -> tuple[int, str]:
    assert response.headers["tus-resumable"] == "1.0.0"
    body = response.json()
    assert body["status"] == response.status_code
    return response.status_code, body["code"]


def checksum(algorithm: str, content: bytes) -> str:
    digest = hashlib.new(algorithm, content).digest()
    return f"{algorithm} {base64.b64encode(digest).decode()}"


@pytest.fixture
def tus(datasette: Any) -> Tus:
    return Tus(datasette)


async def content_at(datasette: Any, response: Any) -> bytes:
    url = response.headers["content-location"]
    record = (await datasette.client.get(f"{url}.json")).json()
    content: bytes = (await datasette.client.get(f"{url}/download")).content
    assert record["content_hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert record["size"] == len(content)
    return content


def temporary(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".datasette-files").iterdir())


def stored(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file() and ".datasette-files" not in p.parts]


class TestCore:
    async def test_options_tell_version_extensions_and_the_largest_size(self, tus):
        response = await tus.request("OPTIONS", tus.collection)
        assert response.status_code == 204
        assert response.headers["tus-version"] == "1.0.0"
        assert response.headers["tus-max-size"] == "104857600"
        assert response.headers["tus-checksum-algorithm"] == "sha256,sha1,md5"
        assert set(response.headers["tus-extension"].split(",")) == {
            *("creation", "creation-with-upload", "creation-defer-length", "expiration"),
            *("checksum", "termination", "concatenation"),
        }

    async def test_upload_in_two_requests_becomes_a_file(self, datasette, tus, tmp_path):
        url = await tus.begin(11)
        first = await tus.patch(url, 0, b"hello ")
        assert (first.status_code, first.headers["upload-offset"]) == (204, "6")
        assert "content-location" not in first.headers
        assert first.headers["upload-expires"].endswith("GMT")
        assert await tus.offset(url) == 6
        assert stored(tmp_path / "docs") == []
        last = await tus.patch(url, 6, b"world")
        assert (last.status_code, last.headers["upload-offset"]) == (204, "11")
        assert await content_at(datasette, last) == b"hello world"
        head = await tus.request("HEAD", url)
        assert head.headers["content-location"] == last.headers["content-location"]
        assert head.headers["upload-length"] == "11"
        assert temporary(tmp_path / "docs") == []

    async def test_many_checkpoints_in_one_request(self, datasette, tus):
        content = hashlib.shake_256(b"x").digest(9 * MIB + 7)
        url = await tus.begin(len(content))
        last = await tus.patch(url, 0, content)
        assert await content_at(datasette, last) == content

    async def test_sha256_is_right_when_the_server_has_forgotten_the_first_part(
        self, datasette, tus
    ):
        url = await tus.begin(6)
        await tus.patch(url, 0, b"abc")
        Files.of(datasette).resuming._appending._digests.clear()
        assert await content_at(datasette, await tus.patch(url, 3, b"def")) == b"abcdef"

    async def test_another_offset_is_refused_and_the_right_one_told(self, tus):
        url = await tus.begin(10)
        await tus.patch(url, 0, b"12345")
        for offset in (0, 4, 6):
            refused = await tus.patch(url, offset, b"xx")
            assert code_of(refused) == (409, "conflict")
            assert refused.headers["upload-offset"] == "5"
        assert await tus.offset(url) == 5

    async def test_another_version_is_refused(self, tus):
        refused = await tus.request(
            "POST", tus.collection, {"Tus-Resumable": "0.2.2", "Upload-Length": "1"}
        )
        assert code_of(refused) == (412, "invalid")
        assert refused.headers["tus-version"] == "1.0.0"

    async def test_another_content_type_is_refused(self, tus):
        url = await tus.begin(3)
        refused = await tus.patch(url, 0, b"abc", **{"Content-Type": "text/plain"})
        assert code_of(refused) == (415, "bad_type")

    @pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "9" * 30])
    async def test_malformed_offsets_are_refused(self, tus, value):
        url = await tus.begin(3)
        refused = await tus.patch(url, 0, b"abc", **{"Upload-Offset": value})
        assert code_of(refused) == (400, "invalid")

    async def test_unknown_upload_is_not_found(self, tus):
        for method in ("HEAD", "DELETE"):
            response = await tus.request(method, f"{tus.collection}/unknown")
            assert response.status_code == 404
        assert code_of(await tus.patch(f"{tus.collection}/unknown", 0, b"x")) == (404, "not_found")

    async def test_more_than_the_length_is_refused(self, tus):
        url = await tus.begin(3)
        assert code_of(await tus.patch(url, 0, b"abcd")) == (413, "too_large")

        async def chunks() -> AsyncIterator[bytes]:
            yield b"ab"
            yield b"cd"

        assert code_of(await tus.patch(url, 0, chunks())) == (413, "too_large")
        assert await tus.offset(url) == 2
        assert (await tus.patch(url, 2, b"c")).status_code == 204

    async def test_repeating_the_last_request_without_bytes_tells_the_file(self, tus):
        url = await tus.begin(3)
        last = await tus.patch(url, 0, b"abc")
        again = await tus.patch(url, 3, b"")
        assert again.status_code == 204
        assert again.headers["content-location"] == last.headers["content-location"]
        assert code_of(await tus.patch(url, 3, b"d")) == (409, "conflict")

    async def test_method_override_is_a_post(self, datasette, tus):
        url = await tus.begin(3)
        named = {"X-HTTP-Method-Override": "PATCH", "Upload-Offset": "0", **BODY}
        last = await tus.request("POST", url, named, b"abc")
        assert await content_at(datasette, last) == b"abc"
        ended = await tus.request("POST", url, {"X-HTTP-Method-Override": "DELETE"})
        assert ended.status_code == 204
        assert code_of(await tus.request("POST", url)) == (405, "not_supported")

    async def test_another_sites_page_is_refused_whatever_the_method(self, tus):
        url = await tus.begin(3)
        foreign = {"Sec-Fetch-Site": "cross-site", "X-HTTP-Method-Override": "DELETE"}
        for method in ("POST", "PATCH", "DELETE"):
            assert (await tus.request(method, url, foreign)).status_code == 403
        got = await tus.request("GET", url, {"X-HTTP-Method-Override": "DELETE"})
        assert got.status_code == 405
        assert await tus.offset(url) == 0


class TestCreation:
    async def test_metadata_is_kept_and_names_the_file(self, datasette, tus):
        raw = meta(name="ä b.txt", type="text/plain", other="1")
        url = await tus.begin(2, **{"Upload-Metadata": raw})
        head = await tus.request("HEAD", url)
        assert head.headers["upload-metadata"] == raw
        last = await tus.patch(url, 0, b"hi")
        record = (await datasette.client.get(last.headers["content-location"] + ".json")).json()
        assert (record["filename"], record["content_type"]) == ("ä b.txt", "text/plain")

    @pytest.mark.parametrize(
        "headers",
        [
            {"Upload-Length": "x"},
            {"Upload-Length": "-1"},
            {"Upload-Metadata": "filename !!!"},
            {"Upload-Metadata": "filename"},
            {"Upload-Metadata": "other eA=="},
            {"Upload-Defer-Length": "2"},
            {"Upload-Defer-Length": "1"},
            {"Upload-Concat": "something"},
            {"Upload-Concat": "final;"},
        ],
    )
    async def test_malformed_creations_are_refused(self, tus, headers):
        assert code_of(await tus.create(3, **headers)) == (400, "invalid")

    async def test_with_upload(self, datasette, tus):
        created = await tus.create(5, b"hello")
        assert created.status_code == 201
        assert created.headers["upload-offset"] == "5"
        assert await content_at(datasette, created) == b"hello"

    async def test_with_a_part_of_the_upload(self, datasette, tus):
        created = await tus.create(5, b"he")
        assert (created.status_code, created.headers["upload-offset"]) == (201, "2")
        last = await tus.patch(created.headers["location"], 2, b"llo")
        assert await content_at(datasette, last) == b"hello"

    @pytest.mark.parametrize("content", [None, b""])
    async def test_upload_without_bytes_is_complete_at_once(self, datasette, tus, content):
        created = await tus.create(0, content)
        assert created.status_code == 201
        assert await content_at(datasette, created) == b""

    async def test_deferred_length(self, datasette, tus):
        url = await tus.begin(None)
        assert (await tus.request("HEAD", url)).headers["upload-defer-length"] == "1"
        await tus.patch(url, 0, b"abc")
        assert code_of(await tus.patch(url, 3, b"", **{"Upload-Length": "2"})) == (400, "invalid")
        last = await tus.patch(url, 3, b"def", **{"Upload-Length": "6"})
        assert await content_at(datasette, last) == b"abcdef"
        other = await tus.patch(url, 6, b"", **{"Upload-Length": "7"})
        assert code_of(other) == (409, "conflict")

    async def test_deferred_length_told_after_the_last_byte(self, datasette, tus):
        url = await tus.begin(None)
        await tus.patch(url, 0, b"abc")
        last = await tus.patch(url, 3, b"", **{"Upload-Length": "3"})
        assert await content_at(datasette, last) == b"abc"

    async def test_stream_of_unknown_length_that_stalls_keeps_what_arrived(
        self, datasette, tus, monkeypatch
    ):
        monkeypatch.setattr(body, "IDLE_SECONDS", 0.3)

        async def stalls() -> AsyncIterator[bytes]:
            yield b"hello "
            await asyncio.Event().wait()

        async def goes_on() -> AsyncIterator[bytes]:
            for piece in (b"wor", b"ld"):
                yield piece

        url = await tus.begin(None)
        assert code_of(await tus.patch(url, 0, stalls())) == (408, "timeout")
        assert await tus.offset(url) == 6
        last = await tus.patch(url, 6, goes_on(), **{"Upload-Length": "11"})
        assert await content_at(datasette, last) == b"hello world"


class TestChecksum:
    @pytest.mark.parametrize("algorithm", ["sha256", "sha1", "md5"])
    async def test_right_and_wrong_checksums(self, datasette, tus, algorithm):
        url = await tus.begin(6)
        sent = {"Upload-Checksum": checksum(algorithm, b"abc")}
        assert (await tus.patch(url, 0, b"abc", **sent)).status_code == 204
        assert code_of(await tus.patch(url, 3, b"xyz", **sent)) == (460, "checksum_mismatch")
        assert await tus.offset(url) == 3
        assert await content_at(datasette, await tus.patch(url, 3, b"def")) == b"abcdef"

    @pytest.mark.parametrize("value", ["crc32 AAAA", "sha1 AAAA", "sha1", "sha1 !"])
    async def test_unknown_and_malformed_checksums(self, tus, value):
        url = await tus.begin(3)
        refused = await tus.patch(url, 0, b"abc", **{"Upload-Checksum": value})
        assert code_of(refused) == (400, "invalid")

    async def test_no_digest_of_http_is_ignored(self, datasette, tus):
        right, wrong = (checksum("md5", one).split()[1] for one in (b"abc", b"xyz"))
        url = await tus.begin(6)
        for headers, answered in (
            ({"Content-MD5": wrong}, (460, "checksum_mismatch")),
            ({"Content-Digest": f"md5=:{wrong}:"}, (460, "checksum_mismatch")),
            ({"Content-MD5": "rubbish"}, (400, "invalid")),
            ({"Content-Digest": "crc32=:AAAA:"}, (400, "invalid")),
            (
                {"Content-MD5": wrong, "Upload-Checksum": checksum("md5", b"abc")},
                (400, "invalid"),
            ),
            ({"Repr-Digest": f"md5=:{right}:"}, (400, "invalid")),
            ({"Digest": f"md5={right}"}, (400, "invalid")),
            ({"Content-Range": "bytes 0-2/6"}, (400, "invalid")),
            ({"Content-Encoding": "gzip"}, (415, "bad_type")),
        ):
            refused = await tus.patch(url, 0, b"abc", **headers)
            assert code_of(refused) == answered, headers
            assert await tus.offset(url) == 0
        same = {"Content-MD5": right, "Upload-Checksum": checksum("md5", b"abc")}
        assert (await tus.patch(url, 0, b"abc", **same)).status_code == 204
        refused = await tus.create(3, b"abc", **{"Content-MD5": wrong})
        assert code_of(refused) == (460, "checksum_mismatch")

    async def test_sha256_of_the_whole_file(self, datasette, tus, files, tmp_path):
        wrong = meta(filename="a", sha256=hashlib.sha256(b"xyz").hexdigest())
        url = await tus.begin(3, **{"Upload-Metadata": wrong})
        assert code_of(await tus.patch(url, 0, b"abc")) == (460, "checksum_mismatch")
        assert (await tus.request("HEAD", url)).status_code == 410
        await files.sweeper.sweep()
        assert stored(tmp_path / "docs") == []


class TestTermination:
    async def test_ended_upload_is_gone_with_its_bytes(self, tus, files, tmp_path):
        url = await tus.begin(6)
        await tus.patch(url, 0, b"abc")
        assert temporary(tmp_path / "docs") != []
        assert (await tus.request("DELETE", url)).status_code == 204
        assert (await tus.request("HEAD", url)).status_code == 404
        await files.sweeper.sweep()
        assert temporary(tmp_path / "docs") == []

    async def test_file_stays_when_its_upload_is_ended(self, datasette, tus):
        last = await tus.create(3, b"abc")
        ended = await tus.request("DELETE", last.headers["location"])
        assert ended.status_code == 204
        assert await content_at(datasette, last) == b"abc"


class TestExpiration:
    async def test_expired_upload_is_swept(self, make_datasette, tmp_path):
        datasette = await make_datasette(upload_expiry_seconds=1)
        tus = Tus(datasette)
        url = await tus.begin(6)
        await tus.patch(url, 0, b"abc")
        await asyncio.sleep(1.1)
        assert code_of(await tus.patch(url, 3, b"def")) == (410, "expired")
        await Files.of(datasette).sweeper.sweep()
        assert temporary(tmp_path / "docs") == []
        assert stored(tmp_path / "docs") == []


class TestConcatenation:
    async def part(self, tus: Tus, content: bytes) -> str:
        url = await tus.begin(len(content), **{"Upload-Concat": "partial", "Upload-Metadata": ""})
        done = await tus.patch(url, 0, content)
        assert done.status_code == 204
        assert "content-location" not in done.headers
        return url

    async def join(self, tus: Tus, *urls: str, **headers: str) -> Any:
        sent = {
            "Upload-Concat": "final;" + " ".join(urls),
            "Upload-Metadata": meta(filename="joined.bin"),
            **headers,
        }
        return await tus.request("POST", tus.collection, sent)

    async def test_parts_are_joined_in_order_and_removed(self, datasette, tus, files, tmp_path):
        second, first = await self.part(tus, b"world"), await self.part(tus, b"hello ")
        joined = await self.join(tus, f"http://localhost{first}", second)
        assert joined.status_code == 201, joined.text
        assert await content_at(datasette, joined) == b"hello world"
        head = await tus.request("HEAD", joined.headers["location"])
        assert head.headers["upload-length"] == head.headers["upload-offset"] == "11"
        assert head.headers["upload-concat"].startswith("final;")
        refused = await tus.patch(joined.headers["location"], 11, b"x")
        assert code_of(refused) == (403, "permission_denied")
        for url in (first, second):
            assert (await tus.request("HEAD", url)).status_code == 404
        await files.sweeper.sweep()
        assert len(stored(tmp_path / "docs")) == 1

    async def test_part_without_all_its_bytes_is_not_joined(self, tus):
        whole = await self.part(tus, b"abc")
        begun = await tus.begin(5, **{"Upload-Concat": "partial"})
        assert code_of(await self.join(tus, whole, begun)) == (409, "conflict")
        assert await tus.offset(whole) == 3

    async def test_part_is_told_as_partial(self, tus):
        url = await self.part(tus, b"abc")
        assert (await tus.request("HEAD", url)).headers["upload-concat"] == "partial"

    async def test_joined_size_is_limited(self, make_datasette, tmp_path):
        source = disk_source(tmp_path / "docs", max_file_size=5)
        tus = Tus(await make_datasette(sources={"docs": source}))
        parts = [await self.part(tus, b"abc"), await self.part(tus, b"def")]
        assert code_of(await self.join(tus, *parts)) == (413, "too_large")

    async def test_allowlist_holds_for_what_is_joined(self, make_datasette, tmp_path):
        source = disk_source(tmp_path / "docs", allowed_content_types=["image/*"])
        tus = Tus(await make_datasette(sources={"docs": source}))
        parts = [await self.part(tus, b"plain "), await self.part(tus, b"text")]
        assert code_of(await self.join(tus, *parts)) == (415, "bad_type")


class TestRules:
    async def test_size_limit_at_creation(self, tus):
        assert code_of(await tus.create(104857601)) == (413, "too_large")

    async def test_size_limit_of_a_deferred_length(self, make_datasette, tmp_path):
        source = disk_source(tmp_path / "docs", max_file_size=5)
        tus = Tus(await make_datasette(sources={"docs": source}))
        url = await tus.begin(None)
        assert code_of(await tus.patch(url, 0, b"123456")) == (413, "too_large")
        refused = await tus.patch(url, 0, b"", **{"Upload-Length": "6"})
        assert code_of(refused) == (413, "too_large")

    async def test_type_is_sniffed_and_the_allowlist_applied(self, make_datasette, tmp_path):
        source = disk_source(tmp_path / "docs", allowed_content_types=["image/*"])
        datasette = await make_datasette(sources={"docs": source})
        tus = Tus(datasette)
        named = {"Upload-Metadata": meta(filename="a.png", filetype="image/png")}
        html = b"<!doctype html><script>alert(1)</script>"
        for content in (html, html + b" " * 5000):
            url = await tus.begin(len(content), **named)
            assert code_of(await tus.patch(url, 0, content[:5000])) == (415, "bad_type")
            assert (await tus.request("HEAD", url)).status_code == 410
        await Files.of(datasette).sweeper.sweep()
        assert stored(tmp_path / "docs") == []
        assert temporary(tmp_path / "docs") == []

    async def test_without_permission_nothing_is_told(self, make_datasette):
        datasette = await make_datasette(permissions={**OPEN, "files-upload": {"id": "ann"}})
        nobody = Tus(datasette)
        options = await nobody.request("OPTIONS", nobody.collection)
        assert "tus-max-size" not in options.headers
        for refused in (await nobody.create(1), await nobody.create(10**12)):
            assert code_of(refused) == (403, "permission_denied")

    async def test_upload_belongs_to_who_began_it(self, datasette):
        ann = Tus(datasette, actor={"id": "ann"})
        bob = Tus(datasette, actor={"id": "bob"})
        url = await ann.begin(3)
        for method in ("HEAD", "DELETE"):
            assert (await bob.request(method, url)).status_code == 403
        assert code_of(await bob.patch(url, 0, b"abc")) == (403, "permission_denied")
        assert (await ann.patch(url, 0, b"abc")).status_code == 204

    async def test_upload_belongs_to_its_source(self, make_datasette, tmp_path):
        sources = {name: disk_source(tmp_path / name) for name in ("docs", "other")}
        datasette = await make_datasette(sources=sources)
        url = await Tus(datasette).begin(3)
        elsewhere = url.replace("/docs/", "/other/")
        assert code_of(await Tus(datasette).patch(elsewhere, 0, b"abc")) == (404, "not_found")

    async def test_permission_is_asked_again_at_the_commit(self, datasette, tus, tmp_path):
        url = await tus.begin(6)

        async def chunks() -> AsyncIterator[bytes]:
            yield b"abc"
            permissions = {**datasette.config["permissions"], "files-upload": False}
            datasette.config = {**datasette.config, "permissions": permissions}
            yield b"def"

        refused = await tus.patch(url, 0, chunks())
        assert code_of(refused) == (403, "permission_denied")
        listed = await datasette.client.get("/-/files/source/docs.json")
        assert listed.json()["files"] == []

    async def test_column_is_checked(self, make_datasette, tmp_path):
        with sqlite3.connect(tmp_path / "d.db") as conn:
            conn.execute("create table t (id integer primary key, picture text)")
        columns = {"picture": {"type": "file", "config": {"accept": "image/*", "max_size": 4}}}
        datasette = await make_datasette(
            databases=[tmp_path / "d.db"],
            config={"databases": {"d": {"tables": {"t": {"column_types": columns}}}}},
        )
        tus = Tus(datasette)
        place = json.dumps({"database": "d", "table": "t", "column": "picture"})
        text = meta(filename="a.txt", column=place)
        assert code_of(await tus.create(3, **{"Upload-Metadata": text})) == (415, "bad_type")
        picture = {"Upload-Metadata": meta(filename="a.png", column=place)}
        assert code_of(await tus.create(5, **picture)) == (413, "too_large")
        url = await tus.begin(None, **picture)
        large = await tus.patch(url, 0, b"", **{"Upload-Length": "5"})
        assert code_of(large) == (413, "too_large")

    async def test_storage_without_append_answers_405(self, make_datasette, register_storages):
        register_storages(MemoryStorage)
        datasette = await make_datasette(sources={"docs": {"storage": "memory"}})
        tus = Tus(datasette)
        assert code_of(await tus.create(3)) == (405, "not_supported")
        assert (await tus.request("OPTIONS", tus.collection)).status_code == 405
        prepared = await datasette.client.post(
            "/-/files/upload/docs/-/prepare", json={"filename": "a"}
        )
        assert "upload_resumable_url" not in prepared.json()

    async def test_prepare_offers_the_address(self, datasette, tus):
        prepared = await datasette.client.post(
            "/-/files/upload/docs/-/prepare", json={"filename": "a"}
        )
        assert prepared.json()["upload_resumable_url"] == tus.collection

    async def test_direct_storage_is_not_offered(self, make_datasette, register_storages):
        register_storages(DirectStorage)
        datasette = await make_datasette(sources={"docs": {"storage": "direct"}})
        prepared = await datasette.client.post(
            "/-/files/upload/docs/-/prepare", json={"filename": "a", "size": 1}
        )
        assert "upload_resumable_url" not in prepared.json()

    async def test_file_is_announced_once(self, datasette, tus, monkeypatch):
        seen: list[str] = []

        async def track(event: Any) -> None:
            seen.append(event.name)

        monkeypatch.setattr(datasette, "track_event", track)
        url = await tus.begin(3)
        await tus.patch(url, 0, b"abc")
        await tus.patch(url, 3, b"")
        await tus.request("HEAD", url)
        assert seen.count("upload-file") == 1


class TestLease:
    async def test_second_request_stops_the_first_and_goes_on(self, datasette, tus):
        url = await tus.begin(6)
        arrived = asyncio.Event()

        async def stalled() -> AsyncIterator[bytes]:
            yield b"abc"
            arrived.set()
            await asyncio.sleep(60)

        first = asyncio.create_task(tus.patch(url, 0, stalled()))
        await arrived.wait()
        await asyncio.sleep(0.1)
        begun = asyncio.get_running_loop().time()
        # It stops the first one, whose bytes count: so this one is told the offset.
        second = await tus.patch(url, 0, b"abc")
        assert asyncio.get_running_loop().time() - begun < 1.5
        assert code_of(second) == (409, "conflict")
        assert second.headers["upload-offset"] == "3"
        last = await tus.patch(url, 3, b"def")
        assert await content_at(datasette, last) == b"abcdef"
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    async def test_requests_at_once_never_mix(self, datasette, tus):
        content = hashlib.shake_256(b"once").digest(6 * MIB)
        url = await tus.begin(len(content))
        for _ in range(50):
            offset = await tus.offset(url)
            if offset == len(content):
                break
            piece = content[offset : offset + MIB]
            answers = await asyncio.gather(*(tus.patch(url, offset, piece) for _ in range(3)))
            assert {answer.status_code for answer in answers} <= {204, 409}
        assert await content_at(datasette, await tus.request("HEAD", url)) == content

    async def test_dead_process_is_replaced_at_once(self, datasette, tus, files):
        url = await tus.begin(6)
        await tus.patch(url, 0, b"abc")

        def pretend(conn: sqlite3.Connection) -> None:
            conn.execute(
                """UPDATE datasette_files_resuming SET attempt = 'dead', lease_until = 9e12,
                    holder = ?""",
                (_dead_holder(),),
            )

        await files.catalog.write(pretend)
        assert await content_at(datasette, await tus.patch(url, 3, b"def")) == b"abcdef"

    async def test_whole_upload_that_was_not_completed_is_completed_by_head(
        self, datasette, tus, files, monkeypatch
    ):
        url = await tus.begin(3)
        complete = type(files.resuming)._complete

        async def fail(*_: Any) -> None:
            raise StorageUnavailable("The database is away")

        monkeypatch.setattr(type(files.resuming), "_complete", fail)
        refused = await tus.patch(url, 0, b"abc")
        assert code_of(refused) == (503, "storage_unavailable")
        monkeypatch.setattr(type(files.resuming), "_complete", complete)
        assert await content_at(datasette, await tus.request("HEAD", url)) == b"abc"


def _dead_holder() -> str:
    system, _, rest = this_process().partition("/")
    return f"{system}/{2**22 - 3}/{rest.rpartition('/')[2]}"


class TestPrepared:
    """``prepare`` and ``complete`` beside an upload that goes on."""

    async def test_prepared_upload_gives_its_place_to_the_one_that_names_it(self, datasette, tus):
        prepared = await datasette.client.post(
            "/-/files/upload/docs/-/prepare", json={"filename": "a.bin", "size": 3}
        )
        assert prepared.json()["upload_resumable_url"] == tus.collection
        token = prepared.json()["upload_token"]
        metadata = {"Upload-Metadata": meta(filename="a.bin", upload_token=token)}
        url = await tus.begin(3, **metadata)
        gone = await datasette.client.post(
            "/-/files/upload/docs/-/complete", json={"upload_token": token}
        )
        assert gone.status_code == 404
        assert code_of(await tus.create(3, **metadata)) == (404, "not_found")
        assert await content_at(datasette, await tus.patch(url, 0, b"abc")) == b"abc"

    async def test_complete_tells_the_file_again(self, datasette, tus):
        url = await tus.begin(3)
        token = {"upload_token": f"resumable/{url.rpartition('/')[2]}"}
        complete = "/-/files/upload/docs/-/complete"
        assert (await datasette.client.post(complete, json=token)).status_code == 404
        last = await tus.patch(url, 0, b"abc")
        answer = await datasette.client.post(complete, json=token)
        assert answer.status_code == 200
        assert answer.json()["file"]["id"] == last.headers["content-location"].rpartition("/")[2]

    async def test_partial_upload_never_becomes_a_file_that_nobody_checked(
        self, make_datasette, tmp_path
    ):
        """Its bytes have no type yet: the join looks at them."""
        source = {**disk_source(tmp_path / "pictures"), "allowed_content_types": ["image/*"]}
        datasette = await make_datasette(sources={"pictures": source}, permissions=OPEN)
        tus = Tus(datasette, "pictures")
        page = b"<!DOCTYPE html><script>alert(1)</script>"
        metadata = meta(filename="a.png", filetype="image/png")
        sent = {"Upload-Concat": "partial", "Upload-Metadata": metadata}
        url = await tus.begin(len(page), **sent)
        assert (await tus.patch(url, 0, page)).status_code == 204
        token = {"upload_token": f"resumable/{url.rpartition('/')[2]}"}
        answer = await datasette.client.post("/-/files/upload/pictures/-/complete", json=token)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
