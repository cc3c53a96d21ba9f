"""Purging: what is due goes for good, in batches, whatever fails meanwhile; nothing else does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.base import StorageCapabilities
from datasette_files.db import garbage
from datasette_files.db import trash as rows
from datasette_files.maintenance.purging import _BATCH
from tests.conftest import MakeDatasette, upload
from tests.support.storages import installed, registered, storage_class
from tests.support.trash import (
    ALICE,
    BOB,
    DAY,
    EVERYTHING,
    PURGE,
    RESTORE,
    age,
    stored,
    trashed,
)


@pytest.fixture
async def datasette(make_datasette: MakeDatasette) -> Datasette:
    """One source ``docs`` that keeps what is deleted for 30 days; everybody may do everything."""
    return await make_datasette(permissions=EVERYTHING, trash_days=30)


async def test_events_tell_what_became_of_a_file(datasette: Datasette) -> None:
    seen: list[Any] = []

    async def track_event(datasette: Any, event: Any) -> None:
        seen.append((event.name, getattr(event, "outcome", None), event.actor, event.file_id))

    file = await upload(datasette, actor=ALICE)
    with registered(track_event=track_event):
        await datasette.client.delete(file["url"], actor=ALICE)
        await datasette.client.post(RESTORE, json={"ids": [file["id"]]}, actor=BOB)
        await datasette.client.delete(file["url"], actor=ALICE)
        await age(datasette, 31 * DAY)
        await Files.of(datasette).purger.purge_due()
    assert seen == [
        ("delete-file", "trashed", ALICE, file["id"]),
        ("restore-file", None, BOB, file["id"]),
        ("delete-file", "trashed", ALICE, file["id"]),
        ("delete-file", "purged", None, file["id"]),
    ]


async def test_what_is_due_is_purged_in_batches_under_a_lease(
    datasette: Datasette, tmp_path: Path
) -> None:
    files = Files.of(datasette)
    kept = await upload(datasette, b"kept")
    await datasette.client.delete(kept["url"])
    records = [await upload(datasette, b"x", f"{n}.txt") for n in range(5)]

    def fill(conn: Any) -> None:
        for record in records:
            rows.add(conn, record["id"], None, 0, 1)
        conn.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO datasette_files_trash (seq, id, source_id, path, filename, created_at,
                trashed_at, purge_at)
            SELECT i, 'df-many' || i, 1, 'many/' || i, 'm', '2026-01-01 00:00:00', 0, 1 FROM n""",
            (_BATCH * 2,),
        )
        conn.execute(
            "INSERT INTO datasette_files_leases VALUES ('trash', 'another', ?)",
            (time.time() + 30,),
        )

    await files.catalog.write(fill)
    await files.purger.purge_due()  # another process is at it
    assert (await datasette.client.get("/-/files/trash.json")).json()["total"] == _BATCH * 2 + 6
    await files.catalog.write(lambda conn: conn.execute("DELETE FROM datasette_files_leases"))
    await files.purger.purge_due()
    assert [one["id"] for one in await trashed(datasette)] == [kept["id"]]
    await files.sweeper.sweep()
    assert stored(tmp_path / "docs") == [b"kept"]


async def test_one_file_that_cannot_be_purged_keeps_no_other(
    datasette: Datasette, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = Files.of(datasette)
    records = [await upload(datasette, b"%d" % n) for n in range(3)]
    for record in records:
        await datasette.client.delete(record["url"])
    await age(datasette, 31 * DAY)
    stuck = records[1]["id"]
    await files.catalog.write(
        lambda conn: conn.execute(
            f"""CREATE TRIGGER stuck BEFORE DELETE ON datasette_files_trash
            WHEN old.id = '{stuck}' BEGIN SELECT RAISE(ABORT, 'stuck'); END"""
        )
    )
    for _ in range(2):
        await files.purger.purge_due()
    assert [one["id"] for one in await trashed(datasette)] == [stuck]
    assert caplog.text.count("is put off") == 1, "the second round does not try again"
    await files.sweeper.sweep()
    assert stored(tmp_path / "docs") == [b"1"]
    await files.catalog.write(lambda conn: conn.execute("DROP TRIGGER stuck"))
    await age(datasette, DAY)
    await files.purger.purge_due()
    assert await trashed(datasette) == []


async def test_a_storage_that_fails_is_asked_again_later(make_datasette: MakeDatasette) -> None:
    failing = [True]
    deleted: list[str] = []

    async def delete_file(self: Any, path: str) -> None:
        if failing[0]:
            raise RuntimeError("not today")
        deleted.append(path)

    with installed(storage_class(delete_file=delete_file)):
        datasette = await make_datasette({"docs": {"storage": "memory"}}, EVERYTHING, trash_days=1)
    files = Files.of(datasette)
    records = [await upload(datasette) for _ in range(2)]
    paths = []
    for record in records:
        paths.append((await datasette.client.get(f"{record['url']}.json")).json()["path"])
        await datasette.client.delete(record["url"])
    purged = await datasette.client.post(PURGE, json={"ids": [records[0]["id"]]})
    assert purged.status_code == 200
    await age(datasette, 2 * DAY)
    await files.purger.purge_due()
    await files.sweeper.sweep()
    assert (deleted, await trashed(datasette)) == ([], [])
    failing[0] = False
    await files.catalog.write(
        lambda conn: conn.execute("UPDATE datasette_files_garbage SET not_before = 0")
    )
    await files.sweeper.sweep()
    assert sorted(deleted) == sorted(paths)


async def test_a_source_that_is_down_keeps_its_trash(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(permissions=EVERYTHING, trash_days=1)
    file = await upload(datasette)
    await datasette.client.delete(file["url"])
    await age(datasette, 2 * DAY)
    source = Files.of(datasette).sources.get("docs")
    storage, source._storage, source.down = source._storage, None, "gone"
    await Files.of(datasette).purger.purge_due()
    refused = await datasette.client.post(PURGE, json={"ids": [file["id"]]})
    assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")
    assert len(await trashed(datasette)) == 1
    restored = await datasette.client.post(RESTORE, json={"ids": [file["id"]]})
    assert restored.status_code == 200
    source._storage, source.down = storage, None
    assert (await datasette.client.get(file["download_url"])).content == b"hello"


async def test_a_storage_that_does_not_delete_has_no_trash(make_datasette: MakeDatasette) -> None:
    with installed(storage_class(capabilities=StorageCapabilities(can_upload=True))):
        datasette = await make_datasette({"docs": {"storage": "memory"}}, EVERYTHING, trash_days=1)
    file = await upload(datasette)
    assert (await datasette.client.delete(file["url"])).status_code == 405
    assert await trashed(datasette) == []


async def test_the_bytes_of_a_trashed_file_are_no_garbage(
    datasette: Datasette, tmp_path: Path
) -> None:
    """Neither for a note that says so, nor for a caller that believes it."""
    files = Files.of(datasette)
    file = await upload(datasette, b"kept")
    path = (await datasette.client.get(f"{file['url']}.json")).json()["path"]
    await datasette.client.delete(file["url"])
    source = files.sources.get("docs")
    await files.catalog.write(lambda conn: garbage.add(conn, source.id, path))
    await files.sweeper.remove(source, path)
    await files.sweeper.sweep()
    assert stored(tmp_path / "docs") == [b"kept"]
    same = await upload(datasette, b"new", "hello.txt")
    assert same["id"] != file["id"]
    assert stored(tmp_path / "docs") == [b"kept", b"new"]
