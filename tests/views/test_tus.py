"""tus 1.0.0 over HTTP: the core protocol and every extension."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.errors import Conflict, StorageUnavailable
from datasette_files.filesystem import FilesystemStorage
from datasette_files.sources import reading
from datasette_files.transfer.attempts import Attempt
from datasette_files.views import body
from tests.conftest import disk_source
from tests.support.tus import (
    BODY,
    MIB,
    Tus,
    checksum,
    code_of,
    content_at,
    meta,
    stored,
    temporary,
)


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

    @pytest.mark.parametrize(
        ("size", "known"),
        [
            pytest.param(6, 3, id="small"),
            pytest.param(41 * MIB, 9 * MIB, id="read-again-from-three-quarters-on"),
            pytest.param(20 * MIB, 20 * MIB - 7, id="all-but-the-end"),
        ],
    )
    async def test_sha256_is_right_when_the_server_has_forgotten_the_first_part(
        self, datasette, tus, monkeypatch, size, known
    ):
        content = hashlib.shake_256(b"x").digest(size)
        url = await tus.begin(size)
        await tus.patch(url, 0, content[:known])
        Files.of(datasette).resuming._appending._digests.clear()

        async def digest(*_: Any) -> None:
            pytest.fail("a file on a disk is not read as a whole at the end")

        monkeypatch.setattr(reading, "digest", digest)
        last = await tus.patch(url, known, content[known:])
        assert await content_at(datasette, last) == content

    async def test_sha256_is_right_when_the_lost_part_cannot_be_read_beside(
        self, datasette, tus, monkeypatch, caplog
    ):
        async def broken(*_: Any) -> None:
            raise StorageUnavailable("The disk is away")

        content = hashlib.shake_256(b"x").digest(12 * MIB)
        url = await tus.begin(len(content))
        await tus.patch(url, 0, content[: 11 * MIB])
        Files.of(datasette).resuming._appending._digests.clear()
        monkeypatch.setattr(FilesystemStorage, "open_appended", broken)
        last = await tus.patch(url, 11 * MIB, content[11 * MIB :])
        assert await content_at(datasette, last) == content
        assert "is not hashed yet: The disk is away" in caplog.text

    async def test_a_digest_of_bytes_that_do_not_count_is_forgotten(
        self, datasette, tus, monkeypatch
    ):
        """Another process may take other bytes in their place."""

        async def lost(*_: Any) -> None:
            raise Conflict("Another request goes on with this upload")

        url = await tus.begin(6)
        with monkeypatch.context() as patch:
            patch.setattr(Attempt, "advance", lost)
            headers = {"Upload-Checksum": checksum("sha256", b"abc")}
            assert code_of(await tus.patch(url, 0, b"abc", **headers)) == (409, "conflict")
        assert not Files.of(datasette).resuming._appending._digests
        assert await content_at(datasette, await tus.patch(url, 0, b"abcdef")) == b"abcdef"

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

    @pytest.mark.parametrize("value", ["-1", "x", "", "1.5"])
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

    async def test_type_of_a_body_without_bytes_is_not_judged(self, tus):
        """aiohttp sends one with each request."""
        told = {"Content-Type": "application/octet-stream", "Content-Length": "0"}
        url = await tus.begin(5, **told)
        assert await tus.offset(url) == 0

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
