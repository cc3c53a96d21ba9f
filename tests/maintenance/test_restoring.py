"""A catalog that is restored from a copy: what was uploaded since comes back, with its ids."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from datasette_files import naming
from datasette_files.app import Files
from datasette_files.maintenance.restoring import forget_ended
from tests.conftest import OPEN, MakeDatasette, disk_source
from tests.support.flow.flow import Flow, Kind

_DISK = Kind(source=lambda path: disk_source(path / "docs"))
ULID = "01kb6m2q9x0000000000000000"


@pytest.mark.parametrize(
    ("template", "path", "ulid"),
    [
        ("{ulid}/{filename}", f"{ULID}/a.txt", ULID),
        ("{ulid}/{filename}", f"{ULID}/b/a.txt", None),
        ("{ulid}/{filename}", f"{ULID.upper()}/a.txt", None),
        ("{ulid}/{filename}", "2026/a.txt", None),
        ("{year}/{shard}.{ulid}-{filename}", f"2026/00.{ULID}-a-b.txt", ULID),
        ("{ulid}/{ulid}{filename}", f"{ULID}/{ULID}x", ULID),
        ("{ulid}/{ulid}{filename}", f"{ULID}/{ULID[:-1]}1x", None),
    ],
)
def test_a_path_names_its_ulid(template: str, path: str, ulid: str | None) -> None:
    assert naming.ulid_in_path(template, path) == ulid


async def test_what_was_uploaded_since_the_copy_comes_back(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    sources = {"docs": disk_source(tmp_path / "docs")}
    site = Flow(await make_datasette(sources, OPEN), _DISK)
    kept = await site.upload(b"before the copy", "kept.txt")
    waiting = (await site.prepare("waiting.txt", size=7)).json
    half = (await site.prepare("half.txt", size=4)).json
    left = (await site.prepare("left.txt", size=4)).json
    with closing(sqlite3.connect(tmp_path / "internal.db")) as conn:
        with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
            conn.backup(copy)
            with copy:  # as if attempts of these were on their way
                copy.executemany(
                    """UPDATE datasette_files_uploads SET state = 'receiving', claim = 'x',
                    claimed_until = ?, created_at = created_at - 60 WHERE filename = ?""",
                    [(time.time() + 0.3, "half.txt"), (None, "waiting.txt")],
                )

    async def ended(prepared: dict[str, Any], content: bytes) -> str:
        await site.send(prepared, content)
        answer = await site.complete(prepared["upload_token"])
        assert answer.status == 201
        file_id: str = answer.json["file"]["id"]
        return file_id

    uploaded = [
        kept["id"],
        await ended(waiting, b"waiting"),
        await ended(half, b"half"),
        (await site.put(b"all of it", "new.txt")).json["file"]["id"],
    ]
    records = [(await site.request("GET", f"/-/files/{one}.json")).json for one in uploaded]
    # An object of somebody else, whose path names the id of another file.
    stranger = Path(records[0]["path"]).with_name("stranger.txt")
    (tmp_path / "docs" / stranger).write_text("strange")

    other = await make_datasette(sources, OPEN, internal="copy.db")
    restored, files = Flow(other, _DISK), Files.of(other)
    assert await forget_ended(files.catalog, files.sources.get("docs"), 60) == 2
    walk = await files.indexing["docs"].walk(restored=True)
    assert (walk.problem, walk.counts["added"]) == (None, 4)
    for record in records:
        assert (await restored.download(record)).content == (await site.download(record)).content
        answer = await restored.request("GET", f"/-/files/{record['id']}.json")
        assert (answer.json["filename"], answer.json["folder"]) == (record["filename"], "")
    ids = dict(await restored.rows("SELECT path, id FROM datasette_files"))
    assert ids.pop(str(stranger)) != kept["id"]
    assert ids == {record["path"]: record["id"] for record in records}
    # Of which nothing has arrived, it is left as it was, and its reservation with it.
    prepared = "SELECT filename FROM datasette_files_uploads WHERE state = 'prepared'"
    assert await restored.rows(prepared) == [("left.txt",)]
    assert (await restored.send(left, b"left")).status == 200
