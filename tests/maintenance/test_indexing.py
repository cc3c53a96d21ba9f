"""Indexing: what other programs put into a source's storage, change, move and remove there."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.db import index
from datasette_files.errors import NotSupported, StorageUnavailable
from datasette_files.maintenance import index_round, indexing
from datasette_files.maintenance.globs import Chosen
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.storages import MemoryStorage

MANAGED = {**OPEN, "files-manage": True}


async def walk(datasette: Datasette, source: str = "docs", **how: Any) -> index.Walk:
    return await Files.of(datasette).indexing[source].walk(**how)


async def listed(datasette: Datasette, query: str = "") -> dict[str, dict[str, Any]]:
    """Every file of the source by its path; ``query`` is more of the query string."""
    client = datasette.client
    url = f"/-/files/source/docs.json?_size=200&recursive=1{query}"
    found = (await client.get(url)).json()["files"]
    records = [(await client.get(f"/-/files/{one['id']}.json")).json() for one in found]
    return {one["path"]: one for one in records}


def put(root: Path, **contents: str) -> None:
    """Write files; ``__`` in a name stands for ``/``, and ``_`` before its end for the dot."""
    for name, content in contents.items():
        path = root / re.sub(r"_(\w{2,4})$", r".\1", name.replace("__", "/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


@pytest.mark.parametrize(
    ("include", "exclude", "taken", "left"),
    [
        ([], [], "a.txt a/b.txt", ".a a/.b .a/b"),
        (["*.txt"], [], "a.txt", "a/b.txt .a.txt a.txt/b"),
        (["**.txt"], ["a/*"], "a.txt b/c.txt a/b/c.txt", "a/b.txt"),
        (["**/c.txt", "?[0-9].md"], [], "c.txt a/c.txt a/b/c.txt x1.md", "xc.txt x/1.md xx.md"),
        (["**", ".config/**"], ["**/*~"], ".config/a b .config/.x/y", ".other a~ b/c~"),
        (["[!a]*"], [], "b bb", "a ab b/c"),
    ],
)
def test_globs_are_over_whole_paths(
    include: list[str], exclude: list[str], taken: str, left: str
) -> None:
    chosen = Chosen(include, exclude)
    assert [path for path in taken.split() if path not in chosen] == []
    assert [path for path in left.split() if path in chosen] == []


async def test_a_directory_becomes_files_and_is_followed(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    root = tmp_path / "docs"
    put(root, a_txt="alpha", sub__b_md="beta", sub__deep__c_png="<html>", d_tmp="no", twin1_txt="t")
    os.link(root / "twin1.txt", root / "twin2.txt")
    (root / ".hidden").write_text("no")
    (root / "link.txt").symlink_to(root / "a.txt")
    os.mkfifo(root / "pipe")
    os.write(os.open(os.fsencode(root) + b"/\xff.txt", os.O_CREAT | os.O_WRONLY), b"x")
    source = disk_source(root, index={"exclude": ["**.tmp"]}, quota_bytes=1000, missing_days=3)
    datasette = await make_datasette({"docs": source}, MANAGED)
    uploaded = await upload(datasette, b"sent", "sent.txt")

    first = await walk(datasette)
    found = await listed(datasette)
    sent = next(path for path, one in found.items() if one["id"] == uploaded["id"])
    names = {"a.txt", "sub/b.md", "sub/deep/c.png", "twin1.txt", "twin2.txt", sent}
    assert (set(found), first.counts["added"], first.problem) == (names, 5, None)
    [(odd, reason)] = first.failures
    assert ("xff" in odd or "dcff" in odd, "UTF-8" in reason) == (True, True)
    deep = found["sub/deep/c.png"]
    assert (deep["folder"], deep["filename"], deep["size"]) == ("sub/deep", "c.png", 6)
    assert deep["content_type"] == "text/html", "the first bytes decide"
    assert (deep["content_hash"], deep["missing_since"]) == (None, None)

    again = await walk(datasette)
    assert set(again.counts) == {"listed", "unchanged", "failed"}, "it writes no file"
    await Files.of(datasette).hashing["docs"].once()

    before = found
    (root / "moved").mkdir()
    (root / "a.txt").rename(root / "moved" / "new.txt")  # a rename
    put(root, sub__b_md="other bytes")  # changed
    os.utime(root / "sub/deep/c.png", (1, 1))  # the same bytes at another time
    (root / "twin1.txt").rename(root / "twin3.txt")  # a twin is left: ambiguous
    (root / sent).unlink()  # vanished
    third = await walk(datasette)
    kinds = ("renamed", "changed", "added", "missing")
    assert {kind: third.counts.get(kind) for kind in kinds} == {
        **{"renamed": 1, "changed": 1, "added": 1, "missing": 2}
    }, third
    found = await listed(datasette)
    moved = found["moved/new.txt"]
    assert moved["id"] == before["a.txt"]["id"]
    assert (moved["filename"], moved["folder"]) == ("new.txt", "moved")
    assert found["sub/deep/c.png"]["id"] == deep["id"]
    old = before["sub/b.md"]["id"]
    assert found["sub/b.md"]["id"] != old
    new = found["sub/b.md"]
    assert (new["filename"], new["folder"], new["replaces"]) == ("b.md", "sub", old)
    versions = (await datasette.client.get(f"/-/files/{old}/versions.json")).json()["versions"]
    assert [one["id"] for one in versions] == [new["id"], old], "changed bytes are a new version"
    latest = await datasette.client.get(f"/-/files/{old}/latest")
    assert latest.headers["location"] == f"/-/files/{new['id']}"
    assert old not in {one["id"] for one in found.values()}, "lists show the newest"
    everything = await listed(datasette, "&versions=all")
    kept = everything[f".versions/{old}/b.md"]
    assert (kept["id"], kept["filename"]) == (old, "b.md")
    assert kept["content_hash"], "it keeps its sha256"
    gone = found[sent]
    for one in (kept, gone):
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", one["missing_since"])
        answer = await datasette.client.get(f"/-/files/{one['id']}/download")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    batch = (await datasette.client.get(f"/-/files/batch.json?id={gone['id']}")).json()
    assert batch["files"][gone["id"]]["missing_since"] == gone["missing_since"]
    usage = (await datasette.client.get("/-/files/source/docs/usage.json")).json()
    there = sum(one["size"] for one in found.values() if one["missing_since"] is None)
    assert usage["left"]["bytes"] == 1000 - there, "what is missing counts towards no quota"

    put(root, **{"back_txt": "x"})
    (root / sent).parent.mkdir(exist_ok=True)
    (root / sent).write_bytes(b"sent")
    await walk(datasette)
    back = (await listed(datasette))[sent]
    assert (back["id"], back["missing_since"]) == (uploaded["id"], None)
    assert (await datasette.client.get(f"/-/files/{back['id']}/download")).content == b"sent"

    # After missing_days what is missing leaves the catalog, and nothing else does.
    await Files.of(datasette).catalog.write(
        lambda conn: conn.execute(
            "UPDATE datasette_files SET missing_since = '2020-01-01 00:00:00' WHERE id = ?", (old,)
        )
    )
    files_now = set(await listed(datasette, "&versions=all"))
    await Files.of(datasette).indexing["docs"].round.once()
    assert files_now - set(await listed(datasette, "&versions=all")) == {kept["path"]}


async def test_a_renamed_object_of_an_older_version_keeps_its_id(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    root = tmp_path / "docs"
    put(root, a_txt="first")
    datasette = await make_datasette({"docs": disk_source(root, index={})}, MANAGED)
    await walk(datasette)
    old = (await listed(datasette))["a.txt"]["id"]
    replacing = f"/-/files/upload/docs/a.txt?replaces={old}"
    assert (await datasette.client.put(replacing, content=b"second")).status_code == 201
    (root / "a.txt").rename(root / "b.txt")
    assert (await walk(datasette)).counts.get("renamed") == 1
    renamed = (await listed(datasette, "&versions=all"))["b.txt"]
    assert (renamed["id"], renamed["missing_since"]) == (old, None)
    download = await datasette.client.get(f"/-/files/{old}/download")
    assert download.content == b"first"


async def test_pages_are_smaller_where_their_writes_hold_up_others(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "PAGE", 8)
    monkeypatch.setattr(indexing, "_STEP", 2)
    put(tmp_path / "docs", **{f"n{number:02}_txt": "x" for number in range(40)})
    datasette = await make_datasette({"docs": disk_source(tmp_path / "docs")}, MANAGED)
    for seconds, last_size in ((0, 2), (60, 8)):
        monkeypatch.setattr(indexing, "_WRITE_SECONDS", seconds)
        reached: list[int] = []
        await walk(datasette, tell=lambda one, to=reached: to.append(one.counts["listed"]))
        pages = [to - since for since, to in pairwise([0, *reached]) if to != since]
        assert (pages[0], pages[-1], sum(pages)) == (8, last_size, 40)


async def test_an_outage_marks_nothing_missing(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "docs"
    put(root, **{f"n{number}_txt": "x" for number in range(40)})
    datasette = await make_datasette({"docs": disk_source(root)}, MANAGED)
    client = datasette.client
    monkeypatch.setattr(indexing, "PAGE", 10)
    storage = Files.of(datasette).sources.get("docs").storage
    whole, pages = storage.list_files, 0

    async def failing(prefix: str = "", cursor: str | None = None, limit: int = 100) -> Any:
        nonlocal pages
        pages += 1
        if pages == 3:
            raise StorageUnavailable("The disk is away; wait")
        return await whole(prefix, cursor, limit)

    monkeypatch.setattr(storage, "list_files", failing)
    stopped = await walk(datasette)
    assert (stopped.problem, stopped.ended_at) == ("The disk is away; wait", None)
    assert stopped.counts == {"listed": 20, "added": 20}
    went_on = await walk(datasette)
    assert went_on.id == stopped.id
    assert went_on.counts == {"listed": 40, "added": 40}, "it goes on where it stopped"
    assert went_on.ended_at

    for path in sorted(root.glob("n*.txt"))[:11]:
        path.unlink()
    short = await walk(datasette)
    assert "11 of 40 files are not in the storage" in (short.problem or "")
    assert not [one for one in (await listed(datasette)).values() if one["missing_since"]]
    page = (await client.get("/-/files/source/docs/index")).text
    assert "The last run stopped: 11 of 40 files" in page
    form = {"accept_missing": "on"}
    url = "/-/files/source/docs/index/-/start"
    answer = await client.post(url, data=form, headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert "Indexing is running" in (await client.get("/-/files/source/docs/index")).text
    await Files.of(datasette).indexing["docs"].round.once()
    told = (await client.get("/-/files/source/docs/index.json")).json()["walks"][0]
    assert (told["counts"]["missing"], told["problem"]) == (11, None)
    assert sum(bool(one["missing_since"]) for one in (await listed(datasette)).values()) == 11
    # Ten or fewer may go without a question.
    for path in sorted(root.glob("n*.txt"))[:10]:
        path.unlink()
    assert (await walk(datasette)).counts["missing"] == 10


async def test_a_file_that_is_deleted_after_its_page_was_listed_is_no_new_one(
    make_datasette: MakeDatasette, register_storages: Callable[..., None]
) -> None:
    """Its row is gone when the page is compared, and its bytes before the page is written."""

    class Listed(MemoryStorage):
        storage_type = "listed"
        doomed = ""

        async def list_files(
            self, prefix: str = "", cursor: str | None = None, limit: int = 100
        ) -> Any:
            found = await super().list_files(prefix, cursor, limit)
            await datasette.client.delete(f"/-/files/{self.doomed}")
            return found

        async def read_heads(
            self, paths: Sequence[str], num_bytes: int = 2048
        ) -> list[bytes | None]:
            return [b"text" for _ in paths]

    register_storages(Listed)
    datasette = await make_datasette({"docs": {"storage": "listed"}}, MANAGED, trash_days=0)
    storage = Files.of(datasette).sources.get("docs").storage
    assert isinstance(storage, Listed)
    storage.doomed = (await upload(datasette, b"bye", "bye.txt"))["id"]
    storage.objects["new.txt"] = b"text"
    report = await walk(datasette)
    assert list(storage.objects) == ["new.txt"], "its bytes are deleted at once"
    assert (report.counts["listed"], report.counts["added"]) == (2, 1)
    assert list(await listed(datasette)) == ["new.txt"]


async def test_files_that_come_or_reappear_meanwhile_are_not_missing(
    make_datasette: MakeDatasette, register_storages: Callable[..., None]
) -> None:
    """A storage whose listing lags, gives no marks, and has keys that cannot be files."""

    class Lagging(MemoryStorage):
        storage_type = "lagging"

        async def list_files(
            self, prefix: str = "", cursor: str | None = None, limit: int = 100
        ) -> Any:
            found, cursor = await super().list_files(prefix, cursor, limit)
            return [one for one in found if "late" not in one.path], cursor

    register_storages(Lagging)
    datasette = await make_datasette({"docs": {"storage": "lagging"}}, MANAGED)
    storage = Files.of(datasette).sources.get("docs").storage
    assert isinstance(storage, Lagging)
    file = await upload(datasette, b"late", "late.txt")
    trashed = await upload(datasette, b"bye", "bye.txt")
    storage.objects["a//b.txt"] = b"no"
    storage.objects["ok/b\n.txt"] = b"yes"
    report = await walk(datasette)
    assert [path for path, _ in report.failures] == ["a//b.txt"]
    assert report.counts["added"] == 1
    assert (await datasette.client.get(f"/-/files/{file['id']}/download")).content == b"late"
    assert report.counts.get("missing") is None
    await datasette.client.delete(f"/-/files/{trashed['id']}")
    storage.objects["ok/b\n.txt"] = b"other"
    assert (await walk(datasette)).counts["changed"] == 1


async def test_a_read_only_source_takes_and_deletes_nothing(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    root = tmp_path / "docs"
    put(root, a_txt="alpha")
    source = disk_source(root, index={"read_only": True})
    datasette = await make_datasette({"docs": source}, MANAGED)
    await walk(datasette)
    [file] = (await listed(datasette)).values()
    client = datasette.client
    assert (await client.put("/-/files/upload/docs/b.txt", content=b"b")).status_code == 405
    assert (await client.delete(f"/-/files/{file['id']}")).status_code == NotSupported.status
    assert (root / "a.txt").read_text() == "alpha"
    assert "read-only" in (await client.get("/-/files/source/docs")).text
    [told] = (await client.get("/-/files/sources.json")).json()["sources"]
    assert (told["capabilities"]["can_upload"], told["capabilities"]["can_delete"]) == (
        False,
        False,
    )


async def test_only_one_process_walks(make_datasette: MakeDatasette, tmp_path: Path) -> None:
    one, other = [await make_datasette({"docs": disk_source(tmp_path / "d")}) for _ in range(2)]
    files = Files.of(one)
    assert await files.catalog.write(files.indexing["docs"].round.hold)
    with pytest.raises(StorageUnavailable, match="Another process indexes"):
        await walk(other)
    await files.indexing["docs"].round.end()
    assert (await walk(other)).problem is None


async def test_a_storage_that_answers_late_does_not_cost_the_lease(
    make_datasette: MakeDatasette, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process once took the walk over amid a page, and both were told of the other."""
    monkeypatch.setattr(index_round, "_LEASE_SECONDS", 3.0)
    root = tmp_path / "docs"
    put(root, a_txt="alpha")
    one, other = [await make_datasette({"docs": disk_source(root)}) for _ in range(2)]
    catalog, storage = Files.of(one).catalog, Files.of(one).sources.get("docs").storage
    at_once = storage.read_heads

    def ends_at(conn: sqlite3.Connection) -> float:
        rows = conn.execute(
            "SELECT expires_at FROM datasette_files_leases WHERE name LIKE 'index%'"
        )
        return float(rows.fetchone()[0])

    async def late(paths: Sequence[str], num_bytes: int = 2048) -> list[bytes | None]:
        first = await catalog.read(ends_at)
        while await catalog.read(ends_at) == first and time.time() <= first:
            await asyncio.sleep(0.05)
        while time.time() <= first:  # without a renewal the lease is over now
            await asyncio.sleep(0.05)
        await Files.of(other).indexing["docs"].round.once()
        return await at_once(paths, num_bytes)

    monkeypatch.setattr(storage, "read_heads", late)
    done = await walk(one)
    assert (done.problem, done.counts) == (None, {"listed": 1, "added": 1})
    assert [found.id for found in await catalog.read(lambda c: index.latest(c, 1, 5))] == [done.id]


@pytest.mark.full
async def test_a_hundred_thousand_files_are_walked_in_bounded_time(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    root = tmp_path / "docs"
    for folder in range(100):
        (root / f"f{folder:02}").mkdir(parents=True)
        for number in range(1000):
            (root / f"f{folder:02}" / f"{number:04}.txt").write_bytes(b"%d" % number)
    datasette = await make_datasette({"docs": disk_source(root)}, MANAGED)
    assert (await walk(datasette)).counts == {"listed": 100_000, "added": 100_000}
    assert (await walk(datasette)).counts == {"listed": 100_000, "unchanged": 100_000}
    os.rename(root / "f00", root / "renamed")
    report = await walk(datasette)
    assert report.counts == {"listed": 100_000, "unchanged": 99_000, "renamed": 1000}
