"""From a bucket as from a disk: the same file becomes the same table, and memory is bounded."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.flow import s3
from tests.support.imports import site
from tests.support.imports.begin import begin
from tests.support.server import Server

SAMPLES = Path(__file__).resolve().parents[2] / "fixtures" / "csv"


@pytest.fixture
async def datasette(make_datasette: MakeDatasette, tmp_path: Path) -> Datasette:
    """Sources ``docs`` on disk and ``bucket`` on S3, and a database to import into."""
    sources = {"docs": disk_source(tmp_path / "docs"), "bucket": s3.source(tmp_path)}
    datasette = await make_datasette(sources=sources, permissions=site.PERMISSIONS)
    site.attach(datasette, tmp_path)
    return datasette


@pytest.mark.parametrize(
    "names",
    [
        ["quotes.csv", "utf-16.csv", "packed.csv.gz", "workbook.xlsx", "long.csv"],
        pytest.param(
            sorted(path.name for path in SAMPLES.iterdir() if ".expected" not in path.name),
            marks=pytest.mark.full,
        ),
    ],
    ids=["some", "all"],
)
@pytest.mark.full
@pytest.mark.timeout(600)
async def test_a_file_in_a_bucket_becomes_the_table_that_it_becomes_on_disk(
    datasette: Datasette, tmp_path: Path, names: list[str]
) -> None:
    data = tmp_path / "data.db"

    async def outcome(name: str, number: int, source: str) -> tuple[Any, ...]:
        table = f"{source}_{number}"
        content = (SAMPLES / name).read_bytes()
        file = await upload(datasette, content, name, source=source)
        url = f"/-/files/import/{file['id']}"
        shown = (await datasette.client.get(url)).text.partition("<fieldset>")[2]
        fields = {"database_name": "data", "table_name": table}
        started = await datasette.client.post(url, data=fields)
        if started.status_code != 302:
            return started.status_code, started.json()["error"]
        job = await site.ended(datasette, started.headers["location"])
        rows = [] if job["status"] != "finished" else list(map(repr, site.rows(data, table)))
        # All of the preview but the addresses, and the name that a table would have.
        return shown.count("<td>"), job["status"], job["error"], job["columns"], rows

    for number, name in enumerate(names):
        disk, bucket = await asyncio.gather(
            outcome(name, number, "docs"), outcome(name, number, "bucket")
        )
        assert bucket == disk, name
        assert bucket[1] in ("finished", "error"), bucket
    assert not any(name.startswith("_datasette") for name in site.tables(data))


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_memory_is_bounded(tmp_path: Path, kind: str) -> None:
    """60 MB of a file: what the server and the import's process take meanwhile is 64 MiB."""
    data = site.database(tmp_path)
    # Reading its text for the search would be one more process.
    source = s3.source(tmp_path) if kind == "s3" else disk_source(tmp_path / "docs")
    source |= {"text": False}
    config = {
        "plugins": {"datasette-files": {"sources": {"docs": source}}},
        "permissions": site.PERMISSIONS,
    }
    rows = 1_000_000
    content = b"id,name,value,note\n" + b"".join(
        b"%d,name %d,%d.25,a note that is not very short %d\n" % (n, n, n, n) for n in range(rows)
    )
    with Server(tmp_path, config, databases=[data]) as server:
        # What a first import and the store's SDK load is not the file's.
        for name, body, table in [("one.csv", b"a\n1\n", "first"), ("big.csv", content, "big")]:
            request = urllib.request.Request(
                f"{server.url}/-/files/upload/docs/{name}",
                body,
                {"Content-Type": "text/csv"},  # moto takes urllib's own for a form
                method="PUT",
            )
            urllib.request.urlopen(request, timeout=300).close()
            listed = server.get_json("/-/files/source/docs.json?_sort_desc=created_at")["files"]
            before = _resident(server.pid)
            url, most = begin(server, listed[0]["id"], {"table_name": table}), 0
            while (job := server.get_json(f"{url}.json"))["status"] not in site.OVER:
                most = max(most, _resident(server.pid))
                time.sleep(0.05)
            assert job["status"] == "finished", job["error"]
        assert job["row_count"] == rows
    print(f"\n{kind}: {(most - before) / 2**20:.1f} MiB")  # for docs, by pytest -s
    assert most > before
    assert most - before <= 64 * 2**20


def _resident(pid: int) -> int:
    """Bytes of a process and its children; what they share is counted with each."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        except OSError:
            continue  # it has ended
        if pid in (int(lines["Pid"]), int(lines["PPid"])):
            total += int(lines.get("VmRSS", "0 kB").split()[0]) * 1024
    return total
