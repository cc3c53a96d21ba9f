"""The audit over HTTP: who reads it, what waits to be written, and how long it is kept."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.db import audit
from datasette_files.db.audit import By, Note
from datasette_files.errors import NoSpace
from datasette_files.maintenance.retention import Retention
from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.audited import ANN, MANAGED, entries
from tests.support.imports.site import attach


@pytest.fixture
async def managed(make_datasette: MakeDatasette, tmp_path: Path) -> Datasette:
    """Ann manages both sources, Bob ``other``, Eve none; all may do everything else."""
    manage = {"docs": {"allow": {"id": "ann"}}, "other": {"allow": {"id": ["ann", "bob"]}}}
    sources = {name: disk_source(tmp_path / name) for name in ("docs", "other")}
    return await make_datasette(sources, {**MANAGED, "files-manage": manage})


async def test_a_manager_reads_the_entries_of_managed_sources_alone(managed: Datasette) -> None:
    bob, eve, client = {"id": "bob"}, {"id": "eve"}, managed.client
    docs = (await upload(managed, b"secret", "secret.txt", actor=ANN))["id"]
    other = (await upload(managed, b"open", "open.txt", source="other", actor=eve))["id"]
    move = {"action": "move", "to": "other", "selection": {"ids": [docs]}}
    await client.post("/-/files/-/bulk", json=move, actor=ANN)

    assert len(await entries(managed)) == 4
    seen = await entries(managed, actor=bob)
    assert [(one["action"], one["file_id"]) for one in seen] == [("upload", other), ("move", docs)]
    assert "docs" not in json.dumps([one["detail"] for one in seen])
    # The file's entries of another source are not there either.
    assert [one["action"] for one in await entries(managed, f"file={docs}", bob)] == ["move"]
    assert len(await entries(managed, f"file={docs}")) == 3
    for suffix in (".json", "", ".csv"):
        url = f"/-/files/audit{suffix}"
        for actor, query, status in (
            (bob, "?source=docs", 403),
            (bob, "?source=other", 200),
            (bob, "?source=absent", 404),
            (eve, "", 403),
            (None, "", 403),
            (ANN, "?action=dance", 400),
            (ANN, "?after=soon", 400),
            (ANN, "?_next=wrong", 200 if suffix == ".csv" else 400),  # it has no pages
        ):
            answer = await client.get(url + query, actor=actor)
            assert answer.status_code == status, (url, query, actor)
        text = (await client.get(url, actor=bob)).text
        assert "open.txt" in text
        assert "docs" not in text.replace(docs, "")
    for slug, actor, shown in (("other", bob, True), ("docs", bob, False), ("docs", ANN, True)):
        page = await client.get(f"/-/files/source/{slug}", actor=actor)
        assert (f"/-/files/audit?source={slug}" in page.text) is shown
    for actor, shown in ((bob, True), (eve, False)):
        page = await client.get(f"/-/files/{docs}", actor=actor)
        assert (f"/-/files/audit?file={docs}" in page.text) is shown


async def test_the_export_has_every_entry_that_the_filters_leave(
    managed: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasette_files.catalog.audit._EXPORTED", 2)
    for n in range(5):
        await upload(managed, b"x", f'"{n}",\n.txt'.replace("\n", ""), actor=ANN)
    answer = await managed.client.get("/-/files/audit.csv?actor=ann", actor=ANN)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    found = await entries(managed, "actor=ann")
    assert len(rows) == 5
    assert [json.loads(row["detail"]) for row in rows] == [one["detail"] for one in found[::-1]]
    assert [row["id"] for row in rows] == [str(one["id"]) for one in found[::-1]]
    empty = await managed.client.get("/-/files/audit.csv?actor=nobody", actor=ANN)
    assert empty.text.splitlines() == ["id,at,actor,via,link,action,file_id,source,detail"]


async def test_an_import_names_only_tables_that_the_reader_may_view(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    hidden = {"databases": {"data": {"allow": {"id": "ann"}}}}
    datasette = await make_datasette(permissions=MANAGED, config=hidden)
    attach(datasette, tmp_path)
    detail = {"database": "data", "table": "other", "mode": "create", "rows": 1, "job": 1}
    note = Note(1.0, By("http", "ann"), "import", "df-a", 1, None, detail)
    await Files.of(datasette).catalog.write(lambda conn: audit.add(conn, note))
    (own,) = await entries(datasette)
    (others,) = await entries(datasette, actor={"id": "bob"})
    assert own["detail"] == detail
    assert others["detail"] == {"mode": "create", "rows": 1, "job": 1}


async def test_a_page_shows_words_and_filters_and_no_markup_of_names(managed: Datasette) -> None:
    file = await upload(managed, b"x", "%3Cb%3Ebold.txt", actor=ANN)
    update = {"update": {"filename": "<i>new.txt", "search_text": "private words"}}
    await managed.client.post(f"/-/files/{file['id']}/-/update", json=update, actor=ANN)
    text = (await managed.client.get("/-/files/audit?_size=1", actor=ANN)).text
    assert "&lt;b&gt;bold.txt → &lt;i&gt;new.txt" in text
    assert "private words" not in text
    assert 'rel="next"' in text
    text = (await managed.client.get("/-/files/audit?action=purge", actor=ANN)).text
    assert "Nothing was recorded that matches" in text


async def test_what_waits_is_written_when_the_server_ends(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasette_files.catalog.audit._PAUSE", 3600.0)
    datasette = await make_datasette(permissions=MANAGED, audit_downloads=True)
    file = (await upload(datasette, b"abc", "a.txt", actor=ANN))["id"]
    for _ in range(3):
        await datasette.client.get(f"/-/files/{file}/download", actor=ANN)
    # A client that takes a file piece by piece is one entry.
    for first in (1, 2):
        headers = {"Range": f"bytes={first}-{first}"}
        await datasette.client.get(f"/-/files/{file}/download", actor=ANN, headers=headers)
    await datasette.invoke_shutdown()
    again = await make_datasette(permissions=MANAGED)
    found = await entries(again, "action=download")
    assert [one["detail"].get("continued") for one in found] == [None, None, None, True]


async def test_what_cannot_be_written_waits_on(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files.of(datasette)
    monkeypatch.setattr("datasette_files.catalog.audit._MAX_WAITING", 2)
    await upload(datasette, b"abc", "a.txt")
    file, _ = await files.lookup.existing((await files.catalog.read(_ids))[0])
    with monkeypatch.context() as full:

        async def refuse(*args: Any) -> None:
            raise NoSpace("full")

        full.setattr(files.catalog, "write", refuse)
        for _ in range(2):
            await files.audit.used("open", [file], link="sh-a")
        # Nobody gets on unrecorded once no more can wait.
        with pytest.raises(NoSpace):
            await files.audit.used("open", [file], link="sh-a")
    await files.audit.write_waiting()
    count = "SELECT count(*) FROM datasette_files_audit WHERE action = 'open'"
    assert await files.catalog.read(lambda conn: conn.execute(count).fetchone()[0]) == 3


def _ids(conn: sqlite3.Connection) -> list[str]:
    return [row[0] for row in conn.execute("SELECT id FROM datasette_files")]


async def test_downloads_are_recorded_only_if_the_site_wants_it(managed: Datasette) -> None:
    file = (await upload(managed, b"abc", "a.txt", actor=ANN))["id"]
    await managed.client.get(f"/-/files/{file}/download", actor=ANN)
    chosen = await managed.client.post("/-/files/-/selection", json={"ids": [file]}, actor=ANN)
    await managed.client.get(chosen.json()["zip_url"], actor=ANN)
    assert [one["action"] for one in await entries(managed)] == ["upload"]


async def test_the_retention_round_deletes_old_entries(
    make_datasette: MakeDatasette,
) -> None:
    datasette = await make_datasette(permissions=MANAGED, audit_days=10)
    files = Files.of(datasette)
    old = Note(1000.0, By(), "purge", "df-old", 1, None, {})
    await files.catalog.write(lambda conn: audit.add(conn, *[old] * 1500))
    file = (await upload(datasette, b"abc", "a.txt", actor=ANN))["id"]
    await Retention(files.catalog, files.config.audit_days).round.once()
    assert [one["file_id"] for one in await entries(datasette)] == [file]


async def test_without_days_the_retention_deletes_nothing(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(permissions=MANAGED, audit_days=0)
    files = Files.of(datasette)
    old = Note(1000.0, By(), "purge", "df-old", 1, None, {})
    await files.catalog.write(lambda conn: audit.add(conn, old, old))
    await Retention(files.catalog, files.config.audit_days).round.once()
    assert len(await entries(datasette)) == 2
