"""Bundles as other programs see them, and the work of a bundle that is stopped."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from datasette_files.app import Files
from datasette_files.errors import Conflict, FilesError, NotFound
from datasette_files.transfer.databases import Databases
from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.bundles import judge
from tests.support.faults.scene import held
from tests.support.storages import MemoryStorage


async def bundle(datasette: Any, out: Path, **more: Any) -> Any:
    files = Files.of(datasette)
    return await files.bundler.bundle(out, files.sources.get("docs").id, **more)


async def unbundle(datasette: Any, bag: Path) -> Any:
    async with Files.of(datasette).unbundler.opened(bag, Databases(datasette, {})) as work:
        await work.check({})
        async for row in work.files():
            await work.store(row)
        await work.rows()
        return work.unbundled


@pytest.mark.full
@pytest.mark.parametrize("zipped", [False, True])
async def test_other_programs_accept_a_bundle(
    make_datasette: MakeDatasette, tmp_path: Path, zipped: bool
) -> None:
    datasette = await make_datasette()
    names = [
        "a b.txt",
        "é.txt",
        "É.TXT",
        "broken.csv",
        "broken.json",
        "..x",
        "nul",
        "日本語",
        "100%",
    ]
    for name in names:
        await upload(datasette, b'a,b\n1,2,3,"4' + name.encode(), name)
    out = tmp_path / ("bag.zip" if zipped else "bag")
    assert (await bundle(datasette, out, zipped=zipped)).files == len(names)
    if zipped:
        subprocess.run([sys.executable, "-m", "zipfile", "-e", out, tmp_path], check=True)
    judge(tmp_path / "bag")


async def test_names_stay_unique_and_safe(make_datasette: MakeDatasette, tmp_path: Path) -> None:
    datasette = await make_datasette()
    for name in ("a.txt", "A.txt", "a-2.txt", "a.TXT", "x..y..tar", "aux.txt", ".hidden", "a b"):
        await upload(datasette, name.encode(), name)
    await bundle(datasette, tmp_path / "bag")
    names = held(tmp_path / "bag" / "data" / "files")
    assert len({name.casefold() for name in names}) == 8
    assert {"x.y.tar", "_aux.txt", "hidden", "a_b"} <= names


class Slow(MemoryStorage):
    """Never ends a read, and tells when one began."""

    storage_type = "slow"
    begun = asyncio.Event()

    async def stream_file(self, path: str) -> AsyncIterator[bytes]:
        yield b"x"
        type(self).begun.set()
        await asyncio.sleep(60)


async def test_a_stopped_bundle_leaves_nothing(
    make_datasette: MakeDatasette, register_storages: Any, tmp_path: Path
) -> None:
    register_storages(Slow)
    Slow.begun = asyncio.Event()
    datasette = await make_datasette({"docs": {"storage": "slow"}})
    await upload(datasette)
    folder = tmp_path / "bags"
    folder.mkdir()
    task = asyncio.create_task(bundle(datasette, folder / "bag"))
    await Slow.begun.wait()
    (left,) = folder.iterdir()
    dead = folder / (left.name[:-4] + "dead")
    dead.mkdir()
    (dead / "lock").touch()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(folder.iterdir()) == [dead]
    (dead / "other").touch()
    other = await make_datasette({"docs": disk_source(tmp_path / "docs")}, internal="other.db")
    await bundle(other, folder / "bag")
    assert [path.name for path in folder.iterdir()] == ["bag"]
    with pytest.raises(Conflict, match="exists already"):
        await bundle(other, folder / "bag")


async def test_a_bag_that_changes_after_its_verification_is_not_stored(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    datasette = await make_datasette()
    await upload(datasette, b"content", "a.txt")
    await bundle(datasette, tmp_path / "bag")
    new = await make_datasette({"docs": disk_source(tmp_path / "new")}, internal="new.db")
    async with Files.of(new).unbundler.opened(tmp_path / "bag", Databases(new, {})) as work:
        await work.check({})
        (tmp_path / "bag" / "data" / "files" / "a.txt").write_bytes(b"another")
        async for row in work.files():
            with pytest.raises(FilesError, match="sha256"):
                await work.store(row)
    assert held(tmp_path / "new") == set()
    with pytest.raises(NotFound, match="cannot be read"):
        await unbundle(new, tmp_path / "none")


async def test_a_file_without_a_known_sha256_is_compared_by_its_bytes(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    datasette = await make_datasette()
    await upload(datasette, b"content", "a.txt")
    catalog = Files.of(datasette).catalog
    await catalog.write(lambda conn: conn.execute("UPDATE datasette_files SET content_hash = NULL"))
    await bundle(datasette, tmp_path / "bag")
    done = await unbundle(datasette, tmp_path / "bag")
    assert (done.present.files, done.stored.files, done.renamed) == (1, 0, 0)
