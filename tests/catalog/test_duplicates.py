"""The answer of complete tells of an older file of the source with the same bytes."""

from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.db import duplicates, files
from tests.conftest import OPEN, MakeDatasette, upload

ALICE = {"id": "alice"}


async def three_steps(
    datasette: Datasette, content: bytes, actor: Any = None, source: str = "docs", **more: Any
) -> dict[str, Any]:
    client, url = datasette.client, f"/-/files/upload/{source}/-"
    declared = {"filename": "new.txt", "size": len(content), **more}
    prepared = (await client.post(f"{url}/prepare", json=declared, actor=actor)).json()
    form = {"data": prepared["upload_fields"], "files": {"file": ("new.txt", content)}}
    assert (await client.post(f"{url}/upload", actor=actor, **form)).status_code == 200
    token = {"upload_token": prepared["upload_token"]}
    first, again = [await client.post(f"{url}/complete", json=token, actor=actor) for _ in range(2)]
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    body: dict[str, Any] = first.json()
    return body


async def test_the_oldest_file_with_the_same_bytes_is_named(datasette: Datasette) -> None:
    assert set(await three_steps(datasette, b"same")) == {"ok", "file"}
    old = (await upload(datasette, b"other", "old name.txt"))["id"]
    told = await three_steps(datasette, b"other")
    assert told["duplicate_of"] == {
        "id": old,
        "filename": "old name.txt",
        "url": f"/-/files/{old}",
    }
    assert (await three_steps(datasette, b"other"))["duplicate_of"]["id"] == old
    # A version with the bytes of an older one is no duplicate of it.
    only = (await upload(datasette, b"version"))["id"]
    assert "duplicate_of" not in await three_steps(datasette, b"version", replaces=only)
    for _ in range(2):  # empty files are many
        assert "duplicate_of" not in await three_steps(datasette, b"")
    await datasette.client.post(f"/-/files/{old}/-/delete")
    assert (await three_steps(datasette, b"other"))["duplicate_of"]["id"] != old


@pytest.mark.full
async def test_only_of_the_same_source_and_to_who_may_see_it(
    make_datasette: MakeDatasette, tmp_path: Any
) -> None:
    sources = {
        name: {"storage": "filesystem", "config": {"root": str(tmp_path / name)}}
        for name in ("docs", "photos")
    }
    datasette = await make_datasette(
        sources=sources, permissions={**OPEN, "files-browse": ALICE, "files-view": False}
    )
    old = (await upload(datasette, b"same"))["id"]
    assert "duplicate_of" not in await three_steps(datasette, b"same")
    assert "duplicate_of" not in await three_steps(datasette, b"same", ALICE, "photos")
    assert (await three_steps(datasette, b"same", ALICE))["duplicate_of"]["id"] == old


async def test_it_is_found_by_an_index(datasette: Datasette) -> None:
    record = await upload(datasette, b"same")

    def look(conn: Any) -> list[str]:
        file = files.get(conn, record["id"])
        assert file is not None
        statements: list[str] = []
        conn.set_trace_callback(statements.append)
        duplicates.before(conn, file)
        conn.set_trace_callback(None)
        [one] = [one for one in statements if "datasette_files_digest" in one]
        return [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {one}")]

    plan = await Files.of(datasette).catalog.read(look)
    assert any("datasette_files_digest (source_id=? AND <expr>=?" in step for step in plan), plan
    assert not [step for step in plan if step.startswith("SCAN") or "TEMP B-TREE" in step], plan
