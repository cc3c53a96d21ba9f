"""What an upload reserves in its source's quotas, and how that grows with its stream."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.db import quotas as quotas_of
from datasette_files.db import uploads
from datasette_files.errors import QuotaExceeded
from datasette_files.models import SourceTotals, Upload
from datasette_files.transfer import reserving
from datasette_files.transfer.incoming import Incoming, new_upload
from datasette_files.transfer.reserving import Left, Reservation, lent

MIB = 1024 * 1024


class Site:
    """A source whose quotas a test sets, and a catalog that counts the writes of a stream."""

    def __init__(self, files: Files) -> None:
        self.catalog = files.catalog
        self.source = files.sources.get("docs")
        self.writes = 0

    def quotas(self, **quotas: int) -> None:
        none = dict.fromkeys(("quota_bytes", "quota_files", "quota_bytes_per_actor"))
        self.source.config = self.source.config.model_copy(update={**none, **quotas})

    async def begin(self, name: str, size: int | None) -> Upload:
        incoming = Incoming(name, "text/plain", size)
        upload = new_upload(self.source, "alice", incoming, name, 9e9)
        await self.catalog.write(lambda conn: reserving.begin(conn, self.source, upload))
        return upload

    async def reserved(self, upload: Upload) -> int:
        found = await self.catalog.read(lambda conn: uploads.get(conn, upload.id))
        assert found is not None
        return found.reserved

    def room(self, upload: Upload) -> Reservation:
        site = self

        class Counting:
            async def write(self, change: Any) -> Any:
                site.writes += 1
                return await site.catalog.write(change)

        return Reservation(Counting(), self.source, upload)  # type: ignore[arg-type]


@pytest.fixture
def site(files: Files) -> Site:
    return Site(files)


async def test_a_stream_reserves_what_it_lacks_and_ahead_as_far_as_there_is_room(site):
    upload = await site.begin("a", 5)
    await site.room(upload).cover(6)
    assert (site.writes, await site.reserved(upload)) == (0, 5), "no quota holds"
    site.quotas(quota_bytes=50 * MIB)
    room = site.room(upload)
    for size, reserved, writes in (
        (1, 5, 0),
        (5, 5, 0),
        (6, 6, 1),
        (MIB - 1, MIB - 1, 2),
        (MIB, 2 * MIB, 3),
        (2 * MIB, 2 * MIB, 3),
        (20 * MIB, 36 * MIB, 4),
        (40 * MIB, 40 * MIB, 6),
        (50 * MIB, 50 * MIB, 8),
    ):
        await room.cover(size)
        assert (site.writes, await site.reserved(upload)) == (writes, reserved)
    with pytest.raises(QuotaExceeded):
        await room.cover(50 * MIB + 1)
    assert await site.reserved(upload) == 50 * MIB


async def test_what_is_lent_is_taken_back_when_the_joined_upload_fails(site):
    part = await site.begin("a", 5)
    async with lent(site.catalog, [part]):
        assert await site.reserved(part) == 0
    assert await site.reserved(part) == 0
    with pytest.raises(RuntimeError):
        async with lent(site.catalog, [part]):
            raise RuntimeError
    assert await site.reserved(part) == 5


async def test_the_room_that_is_left_is_the_least_that_any_quota_leaves(site):
    await site.begin("a", 5)
    for quotas, own, room in (
        ({}, True, Left()),
        ({"quota_files": 3}, True, Left(2, None)),
        ({"quota_files": 1}, True, Left(0, None)),
        ({"quota_files": 0, "quota_bytes": 1}, True, Left(0, 0)),
        ({"quota_bytes": 12}, True, Left(None, 7)),
        ({"quota_bytes": 12, "quota_bytes_per_actor": 6}, True, Left(None, 1)),
        ({"quota_bytes": 12, "quota_bytes_per_actor": 6}, False, Left(None, 7)),
        ({"quota_bytes_per_actor": 6}, False, Left()),
    ):
        site.quotas(**quotas)

        def left(conn: sqlite3.Connection, own: bool = own) -> Left:
            return reserving.left(conn, site.source, "alice", own=own)

        assert await site.catalog.read(left) == room

    def of_another(conn: sqlite3.Connection) -> Left:
        return reserving.left(conn, site.source, "bob")

    site.quotas(quota_bytes_per_actor=6)
    assert await site.catalog.read(of_another) == Left(None, 6)
    assert await site.catalog.read(lambda conn: quotas_of.used(conn, 99)) == SourceTotals()


async def test_a_full_source_refuses_by_its_quota_and_keeps_no_row(site):
    await site.begin("a", 5)
    for quotas, words in (
        ({"quota_files": 1}, "takes 1 files in all"),
        ({"quota_bytes": 9}, "takes 9 bytes in all"),
        ({"quota_bytes_per_actor": 9}, "each person has 9 bytes"),
    ):
        site.quotas(**quotas)
        with pytest.raises(QuotaExceeded, match=words):
            await site.begin("b", 5)
    site.quotas(quota_files=2, quota_bytes=10, quota_bytes_per_actor=10)
    upload = await site.begin("b", 5)
    site.quotas(quota_bytes=9)
    with pytest.raises(QuotaExceeded, match="takes 9 bytes in all"):
        await site.catalog.write(lambda conn: reserving.settle(conn, site.source, upload))
