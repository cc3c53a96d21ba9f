"""Uploads by tus keep the rules of every other way in, and one request at a time moves each."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

from datasette_files.app import Files
from datasette_files.errors import StorageUnavailable
from datasette_files.jobs.holder import this_process
from tests.conftest import OPEN, disk_source
from tests.support.storages import DirectStorage, MemoryStorage
from tests.support.tus import (
    MIB,
    Tus,
    code_of,
    content_at,
    meta,
    stored,
    temporary,
)


class TestRules:
    async def test_size_limit_at_creation(self, tus):
        assert code_of(await tus.create(104857601)) == (413, "too_large")
        # More than SQLite stores.
        assert code_of(await tus.create(int("9" * 40))) == (413, "too_large")

    async def test_offset_beyond_any_file_is_a_conflict(self, tus):
        url = await tus.begin(5)
        assert code_of(await tus.patch(url, int("9" * 40), b"hello")) == (409, "conflict")

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
        arrived, never = asyncio.Event(), asyncio.Event()

        async def stalled() -> AsyncIterator[bytes]:
            yield b"abc"
            arrived.set()
            await never.wait()

        first = asyncio.create_task(tus.patch(url, 0, stalled()))
        await arrived.wait()
        await asyncio.sleep(0.1)
        # It stops the first one, whose bytes count: so this one is told the offset.
        second = await tus.patch(url, 0, b"abc")
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
        steps = "/-/files/upload/docs/-"
        completing = {"json": {"upload_token": token}}
        early = await datasette.client.post(f"{steps}/complete", **completing)
        assert (early.status_code, early.json()["code"]) == (409, "conflict")
        assert url.rpartition("/")[2] in early.json()["error"]
        form = {"data": {"upload_token": token}, "files": {"file": ("a.bin", b"abc")}}
        assert (await datasette.client.post(f"{steps}/upload", **form)).status_code == 409
        assert code_of(await tus.create(3, **metadata)) == (409, "conflict")
        last = await tus.patch(url, 0, b"abc")
        assert await content_at(datasette, last) == b"abc"
        told = await datasette.client.post(f"{steps}/complete", **completing)
        assert told.status_code == 200
        assert told.json()["file"]["id"] == last.headers["content-location"].rpartition("/")[2]
        assert (await datasette.client.post(f"{steps}/upload", **form)).status_code == 409
        assert code_of(await tus.create(3, **metadata)) == (409, "conflict")

    async def test_prepared_upload_whose_successor_was_ended_is_gone(self, datasette, tus):
        prepared = await datasette.client.post(
            "/-/files/upload/docs/-/prepare", json={"filename": "a.bin"}
        )
        token = prepared.json()["upload_token"]
        url = await tus.begin(3, **{"Upload-Metadata": meta(filename="a.bin", upload_token=token)})
        assert (await tus.request("DELETE", url)).status_code == 204
        gone = await datasette.client.post(
            "/-/files/upload/docs/-/complete", json={"upload_token": token}
        )
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")

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
