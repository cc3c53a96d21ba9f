"""The manifest of a source, over HTTP and by the client."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import httpx2 as httpx
import pytest

from datasette_files.app import Files
from datasette_files.client import AsyncClient
from datasette_files.db import verify
from datasette_files.errors import PermissionDenied
from datasette_files.maintenance import manifest
from datasette_files.permissions.actions import MANAGE
from datasette_files.permissions.grants import grant
from tests.conftest import MakeDatasette, upload
from tests.support.sharing import withdrawable

SOURCE = "/-/files/source/docs"


async def test_sha256sum_finds_every_file_by_the_manifest(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    site = await make_datasette(permissions={"files-upload": True, "files-manage": True})
    ids = [(await upload(site, name.encode(), name))["id"] for name in ("a b.txt", "é.txt", "c")]
    with sqlite3.connect(tmp_path / "internal.db") as conn:
        # Names that need an escape exist where a storage was indexed.
        (path,) = conn.execute("SELECT path FROM datasette_files WHERE id = ?", ids[:1]).fetchone()
        (tmp_path / "docs" / path).rename(tmp_path / "docs" / "new\nline\\")
        conn.execute("UPDATE datasette_files SET path = 'new\nline\\' WHERE id = ?", ids[:1])
        conn.execute("UPDATE datasette_files SET content_hash = 'md5:1' WHERE id = ?", ids[2:])
        assert verify.without_sha256(conn, 1) == 1
    answer = await site.client.get(f"{SOURCE}/manifest.txt")
    assert answer.headers["files-without-sha256"] == "1"
    assert 'filename="docs.sha256"' in answer.headers["content-disposition"]
    judged = subprocess.run(
        ["sha256sum", "-c", "--strict", "-"],
        input=answer.content,
        cwd=tmp_path / "docs",
        capture_output=True,
        check=False,
    )
    assert (judged.returncode, judged.stdout.count(b": OK")) == (0, 2), judged.stderr
    head = await site.client.head(f"{SOURCE}/manifest.txt")
    assert (head.headers["files-without-sha256"], head.content) == ("1", b"")

    transport = httpx.ASGITransport(app=site.app())
    client = AsyncClient("http://localhost/", state=tmp_path / "state", transport=transport)
    async with client:
        listed = [one async for one in client.manifest("docs")]
    assert sorted((one["id"], one["sha256"] is None) for one in listed) == sorted(
        zip(ids, (False, False, True), strict=True)
    )
    pages = [(await site.client.get(f"{SOURCE}/manifest.json?_size=2")).json()]
    pages.append((await site.client.get(pages[0]["next_url"])).json())
    assert [one for page in pages for one in page["files"]] == listed
    assert pages[1]["next"] is None
    wrong = await site.client.get(f"{SOURCE}/manifest.json?_next=x")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid")


async def test_a_manifest_ends_early_where_the_right_is_withdrawn(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "_PAGE", 1)
    site = await make_datasette(permissions={"files-upload": True, "files-manage": True})
    for name in ("a.txt", "b.txt"):
        await upload(site, filename=name)
    files = Files.of(site)
    with withdrawable() as withdrawn:
        manage = await grant(site, None, MANAGE, "docs")
        pages = manifest.pages(files.catalog, manage, files.sources.get("docs"))
        assert len(await anext(pages)) == 1
        withdrawn.actions.add(MANAGE)
        with pytest.raises(PermissionDenied):
            await anext(pages)
