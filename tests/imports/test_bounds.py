"""Bounds of imports: places in the queue, and disk."""

from __future__ import annotations

import asyncio
import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.database import Database

from datasette_files.db import jobs as rows
from datasette_files.formats.base import ImportProblem
from datasette_files.imports import first_rows, process
from tests.conftest import MakeDatasette, upload
from tests.faults.conftest import Disk, small_disk
from tests.support.imports import engine, site

__all__ = ["small_disk"]

SmallDisk = Callable[..., Disk]
KILOBYTES = 1024
#: 350 KB in 4 KB of gzip.
MANY = b"a,b\n" + b"1,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n" * 10_000


async def test_so_many_may_wait_and_no_more(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MAX_WAITING_OF_ACTOR", 2)
    monkeypatch.setattr(rows, "MAX_WAITING", 3)
    # None is begun: all that wait, wait.
    monkeypatch.setattr(rows, "any_active", lambda conn: False)
    file = await upload(datasette, b"a\n1\n", "x.csv")
    answers = []
    for number, name in enumerate(("alice", "alice", "alice", None, "bob")):
        answer = await datasette.client.post(
            f"/-/files/import/{file['id']}",
            data={"database_name": "data", "table_name": f"t{number}"},
            actor={"id": name} if name else None,
            headers={"Accept": "application/json"},
        )
        answers.append(answer)
    assert [one.status_code for one in answers] == [302, 302, 409, 302, 409]
    assert "2 imports of yours wait already" in answers[2].json()["error"]
    assert "3 imports wait already" in answers[4].json()["error"]
    # One that is cancelled leaves its place.
    await datasette.client.post(f"{answers[0].headers['location']}/-/cancel")
    again = await datasette.client.post(
        f"/-/files/import/{file['id']}",
        data={"database_name": "data", "table_name": "again"},
        actor={"id": "alice"},
    )
    assert again.status_code == 302


@pytest.mark.full
async def test_a_full_disk_for_temporary_files_ends_the_import(
    datasette: Datasette, data: Path, small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = small_disk("scratch", 200 * KILOBYTES)
    monkeypatch.setattr("tempfile.tempdir", str(disk.path))
    refused = await site.start(datasette, MANY)
    assert (refused.status_code, refused.json()["code"]) == (507, "no_space")
    assert "too few to import a file of 340,004" in refused.json()["error"]
    # What is packed is found out on the way; an archive even before a row is read.
    for filename, content in (("x.csv.gz", gzip.compress(MANY)), ("x.zip", _zipped(MANY))):
        job = await site.imported(datasette, content, filename=filename)
        assert job["status"] == "error"
        assert "disk for temporary files cannot be used" in job["error"]
    disk.fill()
    url = refused.url.path
    page = await datasette.client.get(url)
    assert page.status_code == 200
    assert {path.name for path in disk.path.iterdir()} == {"ballast"}
    assert site.tables(data) == set()


def _zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("x.csv", content[: 150 * KILOBYTES].rpartition(b"\n")[0])
    return out.getvalue()


@pytest.mark.parametrize("wal", [False, pytest.param(True, marks=pytest.mark.full)])
async def test_a_database_on_a_full_disk_is_as_before(
    make_datasette: MakeDatasette, small_disk: SmallDisk, wal: bool
) -> None:
    disk = small_disk("databases", 400 * KILOBYTES)
    path = site.database(disk.path)
    datasette = await make_datasette(permissions=site.PERMISSIONS)
    database = Database(datasette, path=str(path), is_mutable=True)
    datasette.add_database(database, name="data")
    if wal:
        await database.execute_write_fn(
            lambda conn: conn.execute("PRAGMA journal_mode = wal").fetchone(), transaction=False
        )
    job = await site.imported(datasette, MANY)
    assert job["status"] == "error"
    assert "The disk of the database 'data' is full" in job["error"]
    assert site.tables(path) == set()
    # And there is room again.
    job = await site.imported(datasette, MANY[:10_000].rpartition(b"\n")[0])
    assert job["status"] == "finished", job["error"]
    await asyncio.to_thread(database.close)


def test_short_rows_of_a_wide_table_are_bounded(tmp_path: Path) -> None:
    """Each takes 2 KB in the table and 3 bytes in the file."""
    path = tmp_path / "wide.ndjson"
    names = ", ".join(f'"c{number}": 1' for number in range(2000))
    path.write_text("{" + names + "}\n" + "{}\n" * 100)
    with pytest.raises(ImportProblem, match="take more than 100,000 bytes; split the file"):
        engine.read(path, tmp_path, max_bytes=50_000)


@pytest.mark.full
async def test_the_previews_of_one_client_leave_a_place_to_others(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of another client overtakes those that wait; one that waits too long says so."""
    file = await upload(datasette, b"a\n1\n", "x.csv")
    release, run = asyncio.Event(), process.run

    async def slow_for_alice(task: Any, *rest: Any) -> dict[str, Any]:
        if task["options"].get("delimiter") == ";":
            await release.wait()
        return await run(task, *rest)

    monkeypatch.setattr(process, "run", slow_for_alice)

    async def preview(name: str | None) -> int:
        answer = await datasette.client.get(
            f"/-/files/import/{file['id']}{'?delimiter=;' if name == 'alice' else ''}",
            headers={"Accept": "application/json"},
            actor={"id": name} if name else None,
        )
        return answer.status_code

    slow = [asyncio.ensure_future(preview("alice")) for _ in range(3)]
    await asyncio.sleep(0.1)
    assert [await preview("bob"), await preview(None)] == [200, 200]
    assert not any(one.done() for one in slow)
    monkeypatch.setattr(first_rows, "_PLACE_SECONDS", 0.05)
    assert await preview("alice") == 408
    release.set()
    assert await asyncio.gather(*slow) == [200, 200, 200]


async def test_a_server_without_a_folder_for_temporary_files_says_so(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    file = await upload(datasette, MANY, "x.csv")
    monkeypatch.setattr("tempfile.gettempdir", nowhere)
    url = f"/-/files/import/{file['id']}"
    fields = {"database_name": "data", "table_name": "made"}
    for answer in (
        await datasette.client.get(url, headers={"Accept": "application/json"}),
        await datasette.client.post(url, data=fields),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")


async def test_the_pages_of_a_wide_file_say_what_they_leave_out(
    datasette: Datasette, tmp_path: Path
) -> None:
    names = ",".join(f"c{number}" for number in range(201))
    file = await upload(datasette, f"{names}\n{'1,' * 200}2\n".encode(), "wide.csv")
    page = (await datasette.client.get(f"/-/files/import/{file['id']}")).text
    assert 'name="type_199"' in page
    assert 'name="type_200"' not in page
    assert "choices are shown for the first 200 columns" in page
    assert '<option value="c200">' in page  # for a primary key


@pytest.mark.full
@pytest.mark.parametrize(
    "name, begin, row",
    [
        ("sparse.ndjson", "{" + ", ".join(f'"c{n}": 1' for n in range(2000)) + "}\n", "{}\n"),
        ("short.csv", ",".join(f"c{n}" for n in range(2000)) + "\n", "1\n"),
    ],
)
def test_values_that_are_missing_do_not_fill_the_disk(
    tmp_path: Path, name: str, begin: str, row: str
) -> None:
    path = tmp_path / name
    path.write_text(begin + row * 30_000)
    with pytest.raises(ImportProblem, match=r"Row \d+,000: The rows take .* most of its values"):
        engine.read(path, tmp_path)
    assert (tmp_path / "rows.db").stat().st_size < 16 * 1024 * 1024
