"""Zips of selections and of links: their bytes, ranges, and who gets them."""

import asyncio
import io
import json
import os
import sqlite3
import zipfile
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.permissions import PermissionSQL

from datasette_files.app import Files
from datasette_files.db.zips import Zip
from datasette_files.errors import PermissionDenied
from datasette_files.jobs.places import Places
from datasette_files.models import FileRecord
from datasette_files.permissions.actions import VIEW
from datasette_files.protocol.ranges import ByteRange
from datasette_files.sources import reading
from datasette_files.transfer.downloads import LocalRange
from datasette_files.transfer.zipping import Archive
from datasette_files.views import files as views
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.sharing import ALICE, MALLORY, PERMISSIONS, share, withdrawable
from tests.support.storages import registered

SELECTION = "/-/files/-/selection"
#: More than is read in one piece.
LARGE = bytes(range(256)) * 2_000


async def select(
    datasette: Datasette, wanted: dict[str, Any], actor: dict[str, Any] | None = None
) -> Any:
    return await datasette.client.post(
        SELECTION,
        content=json.dumps(wanted),
        headers={"Content-Type": "application/json"},
        actor=actor,
    )


async def get(datasette: Datasette, url: str, **headers: str) -> Any:
    return await datasette.client.get(url, headers=headers)


def packed(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def internal(tmp_path: Path) -> sqlite3.Connection:
    return sqlite3.connect(tmp_path / "internal.db", isolation_level=None)


async def put(datasette: Datasette, name: str, content: bytes, folder: str = "") -> str:
    answer = await datasette.client.put(
        f"/-/files/upload/docs/{name}", params={"folder": folder}, content=content
    )
    file_id: str = answer.json()["file_id"]
    return file_id


async def test_a_selection_is_a_zip_of_which_any_part_can_be_had(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    datasette = await make_datasette(trash_days=30)
    contents = {
        "a.txt": b"one",
        "b/A.txt": b"",
        "b/c/picture.bin": bytes(range(256)) * 4_000,  # larger than what is read in one piece
        "b/c/\u65e5\u672c.txt": b"x" * 1_000,
    }
    ids = []
    for name, content in contents.items():
        folder, _, last = name.rpartition("/")
        ids.append(await put(datasette, last, content, folder))
    answer = await select(datasette, {"ids": [*ids, ids[0], "df-nothing"]})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    url = body.pop("zip_url")
    assert body == {
        "ok": True,
        "files": 4,
        "bytes": sum(map(len, contents.values())),
        "refused": [{"id": "df-nothing", "code": "not_found"}],
    }

    whole = await get(datasette, url)
    assert packed(whole.content) == contents
    etag, length = whole.headers["etag"], int(whole.headers["content-length"])
    assert length == len(whole.content)
    assert whole.headers["content-type"] == "application/zip"
    assert 'filename="files.zip"' in whole.headers["content-disposition"]
    head = await datasette.client.head(url)
    assert (head.headers["content-length"], head.content) == (str(length), b"")
    assert (await get(datasette, url, **{"If-None-Match": etag})).status_code == 304

    for start in [0, 1, 40, 5_000, 900_000, length - 500, length - 30, length - 1]:
        part = await get(datasette, url, Range=f"bytes={start}-", **{"If-Range": etag})
        assert (part.status_code, part.content) == (206, whole.content[start:])
    part = await get(datasette, url, Range="bytes=20-1000019")
    assert part.content == whole.content[20:1_000_020]
    assert (await get(datasette, url, Range=f"bytes={length}-")).status_code == 416
    other = await get(datasette, url, Range="bytes=5-", **{"If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, whole.content)

    # Neither a new name nor a restart changes a byte.
    await datasette.client.post(
        f"/-/files/{ids[0]}/-/update", json={"update": {"filename": "new.txt", "folder": "z"}}
    )
    again = await make_datasette(trash_days=30)
    same = await get(again, url)
    assert (same.content, same.headers["etag"]) == (whole.content, etag)

    # A deleted file ends it; a restored one is back.
    await datasette.client.post(f"/-/files/{ids[1]}/-/delete")
    assert (await get(datasette, url)).status_code == 410
    await Files.of(datasette).trash.restore(None, [ids[1]])
    assert (await get(datasette, url)).content == whole.content
    with internal(tmp_path) as conn:
        conn.execute("UPDATE datasette_files_zips SET expires_at = expires_at - 86400")
    late = await get(datasette, url)
    assert (late.status_code, late.json()["code"]) == (410, "expired")
    with internal(tmp_path) as conn:
        conn.execute("UPDATE datasette_files_zips SET expires_at = expires_at - 86400")
    await Files.of(datasette).sweeper.sweep()
    assert (await get(datasette, url)).status_code == 404
    with internal(tmp_path) as conn:
        left = conn.execute("SELECT count(*) FROM datasette_files_zip_members").fetchone()
    assert left == (0,)


async def test_a_query_selects_what_matches_now(datasette: Datasette) -> None:
    await put(datasette, "report.txt", b"1", "in")
    await put(datasette, "report.csv", b"2", "in/side")
    await put(datasette, "other.txt", b"3", "in")
    kept = await put(datasette, "report.txt", b"4", "out")
    tags = {"update": {"tags": ["kept"]}}
    await datasette.client.post(f"/-/files/{kept}/-/update", json=tags)

    async def names(**wanted: Any) -> set[str]:
        answer = await select(datasette, {"selection": wanted})
        assert answer.status_code == 200, answer.text
        found = packed((await get(datasette, answer.json()["zip_url"])).content)
        assert len(found) == answer.json()["files"]
        return set(found)

    assert await names(source="docs", folder="in") == {
        *("in/report.txt", "in/side/report.csv", "in/other.txt")
    }
    assert await names(folder="in", recursive=False) == {"in/report.txt", "in/other.txt"}
    assert await names(q="report", content_type="text/csv") == {"in/side/report.csv"}
    assert await names(tag="kept") == {"out/report.txt"}
    assert len(await names(created_after="2020-01-01")) == 4
    assert (await select(datasette, {"q": "nothing"})).status_code == 404


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"ids": []},
        {"ids": "df-1"},
        {"ids": [1]},
        {"ids": ["df-1"], "q": "x"},
        {"ids": [f"df-{n}" for n in range(5_001)]},
        {"unknown": "x"},
        {"tag": 5},
        {"q": 5},
        {"folder": "a//b"},
        {"recursive": "yes"},
        {"created_after": "soon"},
        {"uploaded_by": "\ud800"},
        {"selection": []},
    ],
)
async def test_a_malformed_selection_is_refused(
    datasette: Datasette, wanted: dict[str, Any]
) -> None:
    answer = await select(datasette, wanted)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


async def test_a_form_leads_to_the_zip(datasette: Datasette) -> None:
    ids = [await put(datasette, "a.txt", b"1"), await put(datasette, "b.txt", b"2")]
    answer = await datasette.client.post(SELECTION, data={"id": ids}, follow_redirects=False)
    assert answer.status_code == 303
    assert len(packed((await get(datasette, answer.headers["location"])).content)) == 2


async def test_only_who_may_see_every_file_gets_the_zip(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasette_files.transfer.zipping._ASKED_SECONDS", 0)
    site = await make_datasette(permissions=PERMISSIONS)
    large = [await upload(site, bytes(9 * 2**20), actor=ALICE) for _ in range(3)]
    ids = [one["id"] for one in large]
    assert (await select(site, {"ids": ids}, MALLORY)).status_code == 403
    assert (await select(site, {"source": "docs"}, MALLORY)).status_code == 404
    url = (await select(site, {"ids": ids}, ALICE)).json()["zip_url"]
    assert (await site.client.get(url, actor=MALLORY)).status_code == 403

    files = Files.of(site)
    found = await files.zips.open(ALICE, url.rpartition("/")[2].removesuffix(".zip"))
    archive_of = files.zips.directory(found)
    with withdrawable() as withdrawn:
        pieces = [ByteRange(0, found.totals.length)]
        body = await Archive(archive_of, files.zips.ask(ALICE)).open(pieces)
        sent = 0
        with pytest.raises(PermissionDenied):
            async for chunk in body.chunks:
                assert isinstance(chunk, bytes)
                sent += len(chunk)
                if sent > 2**20:
                    withdrawn.actions.add("files-browse")
        await body.close()
        # What was lost in the middle of the first file is noticed before the second.
        assert sent < 9 * 2**20 + 1_000
        assert (await site.client.get(url, actor=ALICE)).status_code == 403
    assert (await site.client.get(url, actor=ALICE)).status_code == 200


class Sent:
    """An archive as its consumer gets it; ``sizes`` are its files."""

    def __init__(self, site: Datasette, found: Zip) -> None:
        files = Files.of(site)
        self.asked = 0
        self.ask = files.zips.ask(ALICE)
        archive = Archive(files.zips.directory(found), self.counted)
        self.opening = archive.open([ByteRange(0, found.totals.length)], local=True)

    async def counted(self, ids: list[str]) -> Any:
        self.asked += 1
        return await self.ask(ids)


async def large_zip(make_datasette: MakeDatasette) -> tuple[Datasette, Zip, str]:
    """A zip of three large files of ALICE, and its URL."""
    site = await make_datasette(permissions=PERMISSIONS)
    ids = [(await upload(site, LARGE, actor=ALICE))["id"] for _ in range(3)]
    url = (await select(site, {"ids": ids}, ALICE)).json()["zip_url"]
    zip_id = url.rpartition("/")[2].removesuffix(".zip")
    return site, await Files.of(site).zips.open(ALICE, zip_id), url


def open_files(folder: Path) -> list[str]:
    """The files below a folder, without those of SQLite, that this process has open."""
    links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
    paths = [os.readlink(link) for link in links if os.path.lexists(link)]
    return sorted(path for path in paths if path.startswith(f"{folder}/") and ".db" not in path)


def take(local: LocalRange) -> bytes:
    """Do as the kernel, which sends a range."""
    content = os.pread(local.descriptor, local.end - local.position, local.position)
    taken, local.before, local.position = local.before + content, b"", local.end
    return taken


async def test_a_right_lost_while_the_kernel_sends_ends_the_zip_after_the_file(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasette_files.transfer.zipping._ASKED_SECONDS", 0)
    site, found, _ = await large_zip(make_datasette)
    with withdrawable() as withdrawn:
        body, taken = await Sent(site, found).opening, 0
        with pytest.raises(PermissionDenied):
            async for chunk in body.chunks:
                for local in chunk if not isinstance(chunk, bytes) else ():
                    taken += len(take(local))
                    withdrawn.actions.add("files-browse")
        await body.close()
    assert len(LARGE) < taken < len(LARGE) + 1_000


async def test_the_next_files_are_asked_for_while_the_kernel_sends(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_FIRST", "_ASKED"):  # a header and a file
        monkeypatch.setattr(f"datasette_files.transfer.zip_batches.{name}", 2)
    site, found, url = await large_zip(make_datasette)
    with withdrawable() as withdrawn:
        sent = Sent(site, found)
        body, taken = await sent.opening, b""
        assert sent.asked == 1
        withdrawn.actions.add("files-browse")
        with pytest.raises(PermissionDenied):
            async for chunk in body.chunks:
                assert not isinstance(chunk, bytes)
                taken += take(next(chunk))
                while sent.asked < 2:
                    await asyncio.sleep(0.01)
                assert next(chunk, None) is None
        await body.close()
    whole = (await site.client.get(url, actor=ALICE)).content
    # The error is that of the second file, and the first one has arrived.
    assert taken == whole[: len(taken)]
    assert len(taken) > len(LARGE)


async def test_one_answer_counts_for_all_files_that_are_sent_soon(
    make_datasette: MakeDatasette,
) -> None:
    site, found, url = await large_zip(make_datasette)
    sent = Sent(site, found)
    body = await sent.opening
    taken = [
        chunk if isinstance(chunk, bytes) else b"".join(map(take, chunk))
        async for chunk in body.chunks
    ]
    await body.close()
    assert sent.asked == 1
    assert b"".join(taken) == (await site.client.get(url, actor=ALICE)).content


@pytest.mark.parametrize("most", [0, 5, 1_000])
async def test_what_the_kernel_leaves_is_read(
    make_datasette: MakeDatasette, tmp_path: Path, most: int
) -> None:
    site, found, url = await large_zip(make_datasette)
    before = open_files(tmp_path)
    body, received = await Sent(site, found).opening, b""
    async for chunk in body.chunks:
        if isinstance(chunk, bytes):
            received += chunk
        elif most:
            local = next(chunk)
            head, local.before = local.before[:most], local.before[most:]
            received += head
            if not local.before:
                local.position += most
                received += LARGE[:most]
    await body.close()
    assert received == (await site.client.get(url, actor=ALICE)).content
    assert open_files(tmp_path) == before


async def test_a_consumer_that_leaves_closes_what_is_open(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_FIRST", "_ASKED"):
        monkeypatch.setattr(f"datasette_files.transfer.zip_batches.{name}", 2)
    site, found, _ = await large_zip(make_datasette)
    before, tasks = open_files(tmp_path), asyncio.all_tasks()
    for turns in range(3):
        body = await Sent(site, found).opening
        for _ in range(turns):
            chunk = await anext(body.chunks)
            assert not isinstance(chunk, bytes)
            assert sum(len(take(local)) for local in chunk) > len(LARGE)
        await body.close()
        assert open_files(tmp_path) == before
        assert asyncio.all_tasks() == tasks


async def test_large_files_of_several_sources_are_opened_for_the_kernel(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "more")}
    site = await make_datasette(sources, {**PERMISSIONS})
    contents = [LARGE + bytes([number]) for number in range(5)]
    ids = [
        (await upload(site, content, source=("docs", "more")[number % 2], actor=ALICE))["id"]
        for number, content in enumerate(contents)
    ]
    url = (await select(site, {"ids": ids}, ALICE)).json()["zip_url"]
    zip_id = url.rpartition("/")[2].removesuffix(".zip")
    found = await Files.of(site).zips.open(ALICE, zip_id)
    before = open_files(tmp_path)
    for _ in range(2):  # at first it is not known whether the storages need no waiting
        body, received, by_kernel = await Sent(site, found).opening, b"", 0
        async for chunk in body.chunks:
            if isinstance(chunk, bytes):
                received += chunk
                continue
            for local in chunk:
                received += take(local)
                by_kernel += 1
        await body.close()
        assert by_kernel == 5
        assert list(packed(received).values()) == contents
        assert open_files(tmp_path) == before


@pytest.mark.parametrize("few", [0, 1_000])
async def test_single_files_of_a_zip_are_asked_for_at_every_request(
    make_datasette: MakeDatasette, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasette_files.permissions.sight._FEW", few)
    granted: set[str] = set()

    def grants(datasette: Any, actor: Any, action: str) -> PermissionSQL | None:
        if action != VIEW or actor != MALLORY:
            return None
        return PermissionSQL(
            """SELECT 'docs' AS parent, value AS child, 1 AS allow, 'plugin' AS reason
            FROM json_each(:plugin_granted)""",
            {"plugin_granted": json.dumps(list(granted))},
        )

    site = await make_datasette(permissions=PERMISSIONS)
    ids = [(await upload(site, b"1234", actor=ALICE))["id"] for _ in range(3)]
    granted.update(ids)
    with registered(permission_resources_sql=grants):
        url = (await select(site, {"ids": ids}, MALLORY)).json()["zip_url"]
        # Only the first file's header is sent. From the second request on the source is noted.
        start = {"Range": "bytes=0-3"}
        for _ in range(2):
            assert (await site.client.get(url, headers=start, actor=MALLORY)).status_code == 206
        granted.remove(ids[2])
        assert (await site.client.get(url, headers=start, actor=MALLORY)).status_code == 403
        granted.add(ids[2])
        assert (await site.client.get(url, headers=start, actor=MALLORY)).status_code == 206


async def test_a_zip_is_gone_while_one_of_its_files_is(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(trash_days=30)
    kept, other, beside = [await put(datasette, f"{name}.txt", b"x") for name in "abc"]
    url = (await select(datasette, {"ids": [kept, other]})).json()["zip_url"]

    async def status() -> int:
        answers = {(await get(datasette, url, Range="bytes=0-3")).status_code for _ in range(2)}
        (code,) = answers
        return int(code)

    assert await status() == 206
    assert (await datasette.client.delete(f"/-/files/{beside}")).status_code == 204
    assert await status() == 206
    assert (await datasette.client.delete(f"/-/files/{other}")).status_code == 204
    assert await status() == 410
    await Files.of(datasette).trash.restore(None, [other])
    assert await status() == 206


async def test_files_without_a_crc32_are_read_first(
    datasette: Datasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [await put(datasette, f"{n}.txt", b"text %d" % n) for n in range(3)]
    with internal(tmp_path) as conn:
        conn.execute("UPDATE datasette_files SET crc32 = NULL WHERE id != ?", (ids[0],))
    monkeypatch.setattr("datasette_files.transfer.checksums._PATIENCE", 0.05)
    gate = asyncio.Event()
    whole = reading.whole

    async def held(source: Any, file: FileRecord, *digest: Any) -> Any:
        await gate.wait()
        async for chunk in whole(source, file, *digest):
            yield chunk

    monkeypatch.setattr(reading, "whole", held)
    answer = (await select(datasette, {"ids": ids})).json()
    assert answer["files"] == 3
    waiting = await get(datasette, answer["zip_url"])
    assert (waiting.status_code, waiting.headers["retry-after"]) == (202, "2")
    assert waiting.json()["reading"] == {"files": 2, "done": 0, "bytes_read": 0}
    page = await get(datasette, answer["zip_url"], Accept="text/html")
    assert (page.status_code, page.headers["refresh"]) == (202, "2")
    gate.set()
    monkeypatch.setattr("datasette_files.transfer.checksums._PATIENCE", 5.0)
    ready = await get(datasette, answer["zip_url"])
    assert packed(ready.content) == {f"{n}.txt": b"text %d" % n for n in range(3)}
    with internal(tmp_path) as conn:
        assert not conn.execute("SELECT 1 FROM datasette_files WHERE crc32 IS NULL").fetchall()


async def test_a_damaged_file_is_told_instead_of_a_zip(
    datasette: Datasette, tmp_path: Path
) -> None:
    file_id = await put(datasette, "a.txt", b"text")
    with internal(tmp_path) as conn:
        conn.execute("UPDATE datasette_files SET crc32 = NULL")
        (path,) = conn.execute("SELECT path FROM datasette_files").fetchone()
    (tmp_path / "docs" / path).write_bytes(b"TEXT")
    url = (await select(datasette, {"ids": [file_id]})).json()["zip_url"]
    answer = await get(datasette, url)
    assert (answer.status_code, answer.json()["code"]) == (422, "checksum_mismatch")


async def test_a_links_zip_can_be_continued_and_counts_its_beginning(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    site = await make_datasette(permissions=PERMISSIONS)
    ids = [(await upload(site, b"text" * 500, "a.txt", actor=ALICE))["id"] for _ in range(2)]
    with internal(tmp_path) as conn:
        conn.execute("UPDATE datasette_files SET crc32 = NULL")
    url = (await share(site, *ids, max_downloads=2))["path"] + "/zip"
    whole = await get(site, url)
    assert set(packed(whole.content)) == {"a.txt", "a (2).txt"}
    etag = whole.headers["etag"]
    assert (await get(site, url, Range="bytes=0-9", **{"If-Range": etag})).status_code == 206
    # Both downloads are counted now, and what began goes on.
    assert (await get(site, url)).status_code == 404
    assert (await get(site, url, Range="bytes=0-")).status_code == 404
    rest = await get(site, url, Range="bytes=10-", **{"If-Range": etag})
    assert (rest.status_code, rest.content) == (206, whole.content[10:])


async def test_repeated_selections_do_not_fill_the_database(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasette_files.transfer.zips._KEPT_ZIPS", 3)
    monkeypatch.setattr("datasette_files.transfer.zips._KEPT_MEMBERS", 10)
    monkeypatch.setattr("datasette_files.transfer.zips.MAX_FILES", 5)
    monkeypatch.setattr("datasette_files.db.zips._FORGOTTEN", 2)
    site = await make_datasette(permissions=dict(OPEN))
    ids = [await put(site, f"{number}.txt", b"text") for number in range(5)]

    def kept() -> tuple[int, int]:
        with internal(tmp_path) as conn:
            found: tuple[int, int] = conn.execute(
                "SELECT (SELECT count(*) FROM datasette_files_zips), "
                "(SELECT count(*) FROM datasette_files_zip_members)"
            ).fetchone()
        return found

    mine = (await select(site, {"ids": ids}, MALLORY)).json()["zip_url"]
    made = [(await select(site, {"ids": ids[:1]})).json()["zip_url"] for _ in range(5)]
    assert kept() == (4, 8)
    whole = [(await select(site, {"source": "docs"})).json()["zip_url"] for _ in range(5)]
    assert kept() == (3, 15)  # ten of nobody's, five of another actor
    for url in (mine, *whole[-2:]):
        assert (await site.client.get(url, actor=MALLORY)).status_code == 200
    for url in (*made, *whole[:-2]):
        assert (await get(site, url)).status_code == 404
    await put(site, "6.txt", b"text")
    for wanted, code in (({"source": "docs"}, 400), ({"q": "absent"}, 404)):
        for _ in range(3):
            assert (await select(site, wanted)).status_code == code
    assert kept() == (3, 15)


async def test_another_tools_file_without_a_size_is_measured(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    site = await make_datasette(permissions=dict(OPEN))
    file_id = await put(site, "a.txt", b"text")
    with internal(tmp_path) as conn:
        conn.execute("UPDATE datasette_files SET size = NULL, crc32 = NULL")
    answer = (await select(site, {"ids": [file_id]})).json()
    assert answer["bytes"] == 4
    assert packed((await get(site, answer["zip_url"])).content) == {"a.txt": b"text"}


async def test_a_zip_takes_a_place_for_downloads_in_each_of_its_sources(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "more")}
    datasette = await make_datasette(sources, {**PERMISSIONS})
    ids = []
    for slug in sources:
        file = await upload(datasette, b"x" * 5, f"{slug}.txt", source=slug, actor=ALICE)
        ids.append(file["id"])
    url = (await select(datasette, {"ids": ids}, ALICE)).json()["zip_url"]
    link = (await share(datasette, *ids))["path"] + "/zip"
    for path in (url, link):
        assert len(packed((await datasette.client.get(path, actor=ALICE)).content)) == 2
    monkeypatch.setattr(views, "_PLACE_SECONDS", 0.01)
    Files.of(datasette).sources.get("more").downloads = Places(0)
    for path in (url, link):
        answer = await datasette.client.get(path, actor=ALICE)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    alone = (await select(datasette, {"ids": ids[:1]}, ALICE)).json()["zip_url"]
    assert (await datasette.client.get(alone, actor=ALICE)).status_code == 200
