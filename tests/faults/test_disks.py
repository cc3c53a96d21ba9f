"""R4: a disk that is full, read-only, missing or replaced: a clear answer, and recovery without us.

Beside each broken source stands a good one, which must not notice.
"""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.sources import sources as sources_module
from tests.conftest import disk_source, upload
from tests.support.client import Client
from tests.support.faults.scene import config, held, leftovers, settle
from tests.support.server import Server
from tests.views.test_tus import MIB, Tus, content_at

pytestmark = pytest.mark.full

#: One is written in one piece, the other streamed.
SIZES = (20_000, 900_000)


async def _start(make_datasette: Any, bad: Path) -> Datasette:
    good = bad.parent / "good"
    sources = {"bad": disk_source(bad), "good": disk_source(good)}
    datasette: Datasette = await make_datasette(sources=sources)
    return datasette


async def _refused(
    datasette: Datasette, status: int, code: str, size: int = 100, source: str = "bad"
) -> None:
    """Every way in is refused with this answer."""
    content = bytes(size)
    response = await datasette.client.put(f"/-/files/upload/{source}/x.bin", content=content)
    _is(response, status, code)
    form = {"file": ("x.bin", content)}
    _is(await datasette.client.post(f"/-/files/upload/{source}", files=form), status, code)
    prepared = await datasette.client.post(
        f"/-/files/upload/{source}/-/prepare", json={"filename": "x.bin"}
    )
    if prepared.status_code != 200:
        _is(prepared, status, code)
        return
    fields = prepared.json()["upload_fields"]
    url = prepared.json()["upload_url"]
    _is(await datasette.client.post(url, data=fields, files=form), status, code)


def _is(response: Any, status: int, code: str) -> None:
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code), body
    assert (body["ok"], body["status"]) == (False, status)
    assert "administrator" in body["error"] or "try again" in body["error"]


async def _works(datasette: Datasette, source: str) -> None:
    record = await upload(datasette, b"it works", "works.txt", source=source)
    assert (await datasette.client.get(record["download_url"])).content == b"it works"
    assert (await datasette.client.delete(record["url"])).status_code == 204


async def _count(datasette: Datasette, source: str = "bad") -> int:
    page = await datasette.client.get(f"/-/files/source/{source}.json")
    total: int = page.json()["total"]
    return total


@pytest.mark.parametrize("size", SIZES)
async def test_a_full_disk_answers_507_until_there_is_space(make_datasette, small_disk, size):
    disk = small_disk("bad")
    datasette = await _start(make_datasette, disk.path)
    kept = await upload(datasette, b"kept", "kept.txt", source="bad")
    ballast = disk.fill()
    before = held(disk.path)
    await _refused(datasette, 507, "no_space", size)
    assert held(disk.path) == before
    assert await _count(datasette) == 1
    assert (await datasette.client.get(kept["download_url"])).content == b"kept"
    await _works(datasette, "good")
    ballast.unlink()
    await _works(datasette, "bad")


async def test_a_disk_that_fills_in_the_middle_keeps_nothing_of_the_file(
    make_datasette, small_disk
):
    disk = small_disk("bad", 4 * 1024 * 1024)
    datasette = await _start(make_datasette, disk.path)
    await _refused(datasette, 507, "no_space", 6_000_000)
    assert held(disk.path) == set()
    await _works(datasette, "bad")


async def test_a_disk_that_fills_amid_an_upload_that_goes_on_keeps_what_is_durable(
    make_datasette, small_disk
):
    disk = small_disk("bad", 24 * MIB)
    datasette = await _start(make_datasette, disk.path)
    tus, content = Tus(datasette, "bad"), random.Random(1).randbytes(16 * MIB)
    path = await tus.begin(len(content))
    first = await tus.patch(path, 0, content[:MIB])
    assert (first.status_code, first.headers["upload-offset"]) == (204, str(MIB))
    ballast = disk.path / "ballast"
    ballast.write_bytes(bytes(14 * MIB))  # 9 MiB are left
    for _ in range(2):
        offset = await tus.offset(path)
        refused = await tus.patch(path, offset, content[offset:])
        _is(refused, 507, "no_space")
        durable = await tus.offset(path)
        assert offset <= durable <= 10 * MIB
    assert durable >= 4 * MIB
    assert await _count(datasette) == 0
    await _works(datasette, "good")
    ballast.unlink()
    done = await tus.patch(path, durable, content[durable:])
    assert (done.status_code, done.headers["upload-offset"]) == (204, str(len(content)))
    assert await content_at(datasette, done) == content
    assert len(held(disk.path)) == 1


async def test_files_can_be_deleted_from_a_full_disk(make_datasette, small_disk):
    disk = small_disk("bad")
    datasette = await _start(make_datasette, disk.path)
    record = await upload(datasette, bytes(100_000), "big.bin", source="bad")
    disk.fill()
    assert (await datasette.client.delete(record["url"])).status_code == 204
    assert held(disk.path) == {"ballast"}
    await _works(datasette, "bad")


@pytest.mark.parametrize("size", SIZES)
async def test_a_read_only_root_answers_503_and_still_serves(make_datasette, small_disk, size):
    disk = small_disk("bad", 4 * 1024 * 1024)
    datasette = await _start(make_datasette, disk.path)
    kept = await upload(datasette, b"kept", "kept.txt", source="bad")
    disk.read_only(True)
    await _refused(datasette, 503, "storage_unavailable", size)
    assert (await datasette.client.get(kept["download_url"])).content == b"kept"
    await _works(datasette, "good")
    disk.read_only(False)
    await _works(datasette, "bad")


async def test_a_deletion_from_a_read_only_root_is_made_good_later(make_datasette, small_disk):
    """The row goes at once; the bytes follow when the disk takes writes again."""
    disk = small_disk("bad")
    datasette = await _start(make_datasette, disk.path)
    record = await upload(datasette, b"kept", "kept.txt", source="bad")
    disk.read_only(True)
    assert (await datasette.client.delete(record["url"])).status_code == 204
    assert (await datasette.client.get(f"{record['url']}.json")).status_code == 404
    disk.read_only(False)
    catalog = Files.of(datasette).catalog
    await catalog.write(
        lambda conn: conn.execute("UPDATE datasette_files_garbage SET not_before = 0")
    )
    await Files.of(datasette).sweeper.sweep()
    assert held(disk.path) == set()


async def test_a_root_that_is_read_only_at_the_start_is_served(make_datasette, small_disk):
    disk = small_disk("bad")
    datasette = await _start(make_datasette, disk.path)
    kept = await upload(datasette, b"kept", "kept.txt", source="bad")
    await datasette.invoke_shutdown()
    disk.read_only(True)
    datasette = await _start(make_datasette, disk.path)
    assert (await datasette.client.get(kept["download_url"])).content == b"kept"
    await _refused(datasette, 503, "storage_unavailable")
    disk.read_only(False)
    await _works(datasette, "bad")


async def _broken_and_mended(datasette: Datasette, bad: Path, kept: Any, mend: Any) -> None:
    """While the root is away, everything of its source that needs bytes answers 503."""
    await _refused(datasette, 503, "storage_unavailable")
    for suffix in ("/download", "/inline"):
        _is(await datasette.client.get(kept["url"] + suffix), 503, "storage_unavailable")
    assert (await datasette.client.get(f"{kept['url']}.json")).status_code == 200
    await _works(datasette, "good")
    mend()
    assert (await datasette.client.get(kept["download_url"])).content == b"kept"
    await _works(datasette, "bad")
    assert await _count(datasette) == 1


async def test_a_root_that_vanishes_is_not_made_anew(make_datasette, tmp_path):
    bad, away = tmp_path / "bad", tmp_path / "away"
    datasette = await _start(make_datasette, bad)
    kept = await upload(datasette, b"kept", "kept.txt", source="bad")
    bad.rename(away)

    def mend() -> None:
        assert not bad.exists()
        away.rename(bad)

    await _broken_and_mended(datasette, bad, kept, mend)


async def test_a_root_replaced_by_a_symbolic_link_is_not_followed(make_datasette, tmp_path):
    """Even one that leads to the very same directory, and all the more one to another's."""
    bad, away = tmp_path / "bad", tmp_path / "away"
    datasette = await _start(make_datasette, bad)
    kept = await upload(datasette, b"kept", "kept.txt", source="bad")
    bad.rename(away)
    (tmp_path / "elsewhere").mkdir()
    for target in ("away", "elsewhere"):
        bad.symlink_to(tmp_path / target)
        await _refused(datasette, 503, "storage_unavailable")
        bad.unlink()
    assert held(tmp_path / "elsewhere") == set()
    bad.symlink_to(away)

    def mend() -> None:
        bad.unlink()
        away.rename(bad)

    await _broken_and_mended(datasette, bad, kept, mend)


async def test_a_root_replaced_by_another_directory_is_not_written_to(make_datasette, tmp_path):
    bad, away = tmp_path / "bad", tmp_path / "away"
    datasette = await _start(make_datasette, bad)
    kept = await upload(datasette, b"kept", "kept.txt", source="bad")
    bad.rename(away)
    bad.mkdir()

    def mend() -> None:
        assert os.listdir(bad) == []
        bad.rmdir()
        away.rename(bad)

    await _broken_and_mended(datasette, bad, kept, mend)


async def test_an_unmounted_disk_leaves_its_mount_point_alone(make_datasette, small_disk):
    disk = small_disk("bad")
    datasette = await _start(make_datasette, disk.path)
    await upload(datasette, b"kept", "kept.txt", source="bad")
    disk.unmount()
    await _refused(datasette, 503, "storage_unavailable")
    assert os.listdir(disk.path) == []
    await _works(datasette, "good")


@pytest.mark.parametrize("emptied", [False, True])
async def test_a_root_that_is_away_at_a_later_start_is_awaited(
    make_datasette, tmp_path, monkeypatch, emptied
):
    """The source is down, the site starts, and the source comes back by itself."""
    monkeypatch.setattr(sources_module, "RETRY_SECONDS", (0.02, 0.05))
    bad, away = tmp_path / "bad", tmp_path / "away"
    datasette = await _start(make_datasette, bad)
    kept = await upload(datasette, b"kept", "kept.txt", source="bad")
    await datasette.invoke_shutdown()
    bad.rename(away)
    if emptied:
        bad.mkdir()
    datasette = await _start(make_datasette, bad)
    files = Files.of(datasette)
    source = files.sources.get("bad")
    assert source.down is not None

    await _refused(datasette, 503, "storage_unavailable")
    _is(await datasette.client.get(kept["download_url"]), 503, "storage_unavailable")
    _is(await datasette.client.delete(kept["url"]), 503, "storage_unavailable")
    await _works(datasette, "good")
    if emptied:
        assert os.listdir(bad) == []
        bad.rmdir()
    away.rename(bad)
    await files.sources.keep_up(source, files.secrets.get)
    assert (await datasette.client.get(kept["download_url"])).content == b"kept"
    await _works(datasette, "bad")


def test_a_full_disk_of_the_internal_database_answers_507_and_loses_nothing(tmp_path, small_disk):
    """The disk of the catalog fills, that of the files does not; a real server, so with its WAL."""
    disk = small_disk("catalog", 8 * 1024 * 1024)
    root = tmp_path / "docs"
    with Server(tmp_path, config(root), internal="catalog/internal.db") as server:
        client = Client(server.url)
        kept = {client.put("docs", f"{n}.bin", b"%d" % n)["id"]: b"%d" % n for n in range(10)}
        ballast = disk.fill()
        refused = [
            client.request("PUT", f"/-/files/upload/docs/{'long' * 200}{n}.bin", b"x" * 100)
            for n in range(100)
        ]
        assert {answer.status for answer in refused} <= {201, 507}
        full = [answer for answer in refused if answer.status == 507]
        assert full
        assert {answer.json()["code"] for answer in full} == {"no_space"}
        kept |= {a.json()["file_id"]: b"x" * 100 for a in refused if a.status == 201}
        for file_id, content in kept.items():
            assert client.download(file_id).body == content
        ballast.unlink()
        record = client.put("docs", "again.bin", b"again")
        assert client.download(record["id"]).body == b"again"
        settle(lambda: leftovers(server, root))
        assert len(held(root)) == len(kept) + 1
        server.kill()
        client = Client(server.start().url)
        for file_id, content in kept.items():
            assert client.download(file_id).body == content
