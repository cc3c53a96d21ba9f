"""An internal database written by the public 0.1a3 opens in place, and everything in it works."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette
from datasette.database import Database

from datasette_files.app import Files
from datasette_files.sources import sources as sources_module
from tests.conftest import disk_source, upload
from tests.support import public


async def _open(make_datasette: Any, folder: Path) -> Datasette:
    """Ours, on that folder; ``old`` is no longer in the yaml."""
    datasette: Datasette = await make_datasette(sources={"docs": disk_source(folder / "docs")})
    datasette.add_database(Database(datasette, path=str(folder / "data.db")))
    return datasette


@pytest.fixture
async def opened(installation: public.Installation, make_datasette: Any) -> Datasette:
    return await _open(make_datasette, installation.folder)


def _kept(installation: public.Installation) -> list[str]:
    return [name for name in installation.records if name != "removed"]


async def _json(datasette: Datasette, path: str, status: int = 200) -> Any:
    response = await datasette.client.get(path)
    assert response.status_code == status, response.text
    return response.json()


async def _listed(datasette: Datasette, query: str = "") -> list[str]:
    page = await _json(datasette, f"/-/files/source/docs.json?_size=200&{query}")
    return [file["id"] for file in page["files"]]


async def test_every_file_is_served_with_the_record_and_bytes_it_had(installation, opened):
    for name in _kept(installation):
        record = installation.records[name]
        now = await _json(opened, f"{record['url']}.json")
        assert {key: now[key] for key in record} == record
        download = await opened.client.get(record["download_url"])
        assert (download.status_code, download.content) == (200, installation.contents[name])


async def test_files_are_listed_in_the_order_of_their_making(installation, opened):
    made = [installation.records[name]["id"] for name in _kept(installation)]
    assert await _listed(opened, "_sort=created_at") == made
    assert await _listed(opened) == made[::-1]
    page = await _json(opened, "/-/files/source/docs.json")
    assert page["total"] == len(made)


@pytest.mark.parametrize(
    ("q", "name"),
    [
        ("people", "table"),
        ("jahresbericht zur", "noted"),
        ("pic", "picture"),
        ("script", "hostile"),
    ],
)
async def test_search_finds_what_was_indexed_before(installation, opened, q, name):
    found = await _json(opened, f"/-/files/search.json?q={q}")
    assert [file["id"] for file in found["files"]] == [installation.records[name]["id"]]


async def test_an_old_file_can_be_updated_and_found_by_its_new_text(installation, opened):
    record = installation.records["noted"]
    update = {"update": {"search_text": "quarterly"}}
    answer = await opened.client.post(f"{record['url']}/-/update", json=update)
    assert answer.json()["file"]["search_text"] == "quarterly"
    assert (await _json(opened, "/-/files/search.json?q=quarterly"))["total"] == 1
    assert (await _json(opened, "/-/files/search.json?q=jahresbericht"))["total"] == 0


async def test_an_old_file_can_be_deleted_with_its_bytes_and_thumbnail(installation, opened):
    record = installation.records["picture"]
    path = (await _json(opened, f"{record['url']}.json"))["path"]
    assert (installation.folder / "docs" / path).exists()
    assert (await opened.client.delete(record["url"])).status_code == 204
    assert not (installation.folder / "docs" / path).exists()
    await _json(opened, f"{record['url']}.json", status=404)
    assert (await opened.client.get(record["thumbnail_url"])).status_code == 404
    assert (await _json(opened, "/-/files/search.json?q=pic"))["total"] == 0


async def test_new_files_stand_after_the_old_ones(installation, opened):
    record = await upload(opened, b"new", "new.txt")
    assert (await _listed(opened))[0] == record["id"]
    assert (await opened.client.get(record["download_url"])).content == b"new"
    assert (await _json(opened, "/-/files/search.json?q=new"))["total"] == 1


async def test_a_cached_thumbnail_is_kept_and_served_byte_for_byte(installation, opened):
    """For who takes WebP too: nothing is made anew, other sizes excepted."""
    record = installation.records["picture"]
    before = sqlite3.connect(installation.folder / "internal.db")
    rows = before.execute("SELECT * FROM datasette_files_thumbnails").fetchall()
    before.close()
    assert [row[:2] for row in rows] == [(record["id"], installation.thumbnail)]
    thumbnails = Files.of(opened).thumbnails
    for accept in ("*/*", "image/webp"):
        response = await opened.client.get(record["thumbnail_url"], headers={"Accept": accept})
        assert response.content == installation.thumbnail
        assert response.headers["content-type"] == installation.thumbnail_type
    assert thumbnails.workers.pids == []
    larger = await opened.client.get(f"{record['thumbnail_url']}?w=400")
    assert larger.headers["content-type"] == "image/png"
    internal = opened.get_internal_database()
    now = await internal.execute("SELECT * FROM datasette_files_thumbnails")
    assert [tuple(row) for row in now.rows] == rows
    await opened.client.delete(record["url"])
    for table in ("datasette_files_thumbnails", "datasette_files_thumbnail_sizes"):
        assert not (await internal.execute(f"SELECT 1 FROM {table}")).rows


async def test_import_jobs_keep_their_status_and_table(installation, opened):
    """0.1a3 writes pending, running, finished and error: those of the contract."""
    for name, job in installation.jobs.items():
        path = f"/-/files/import/{job['file_id']}/{job['id']}"
        now = await _json(opened, f"{path}.json")
        assert now["status"] == name
        assert now["table_url"] == f"/data/{job['table_name']}"
        unchanged = set(job) - {"status", "finished_at"}
        if name == "interrupted":  # it counted on until it was killed
            unchanged -= {"row_count", "bytes_read"}
        assert {key: now[key] for key in unchanged} == {key: job[key] for key in unchanged}
        assert "actor_id" not in now
        assert (await opened.client.get(path)).status_code == 200
    assert installation.jobs["interrupted"]["status"] == "running"


async def test_a_source_taken_out_of_the_yaml_is_hidden_and_kept(
    installation, opened, make_datasette
):
    record = installation.records["removed"]
    for suffix in (".json", "", "/download", "/thumbnail"):
        assert (await opened.client.get(record["url"] + suffix)).status_code == 404
    found = await _json(opened, f"/-/files/batch.json?id={record['id']}")
    assert found["files"] == {}
    assert (await _json(opened, "/-/files/search.json?q=removed"))["total"] == 0
    await _json(opened, "/-/files/source/old.json", status=404)
    assert "old" not in [
        s["slug"] for s in (await _json(opened, "/-/files/sources.json"))["sources"]
    ]
    folder = installation.folder
    again = await make_datasette(
        sources={"docs": disk_source(folder / "docs"), "old": disk_source(folder / "old")}
    )
    download = await again.client.get(record["download_url"])
    assert download.content == installation.contents["removed"]


async def test_secrets_are_gone_from_every_byte_of_the_database(installation, opened):
    folder = installation.folder
    before = (folder / "internal.db").stat().st_size
    assert before  # the database is the one that was made, not a new one beside it
    for path in folder.glob("internal.db*"):
        raw = path.read_bytes()
        for secret in public.SECRETS:
            assert secret.encode() not in raw, path.name
    for path in ("/-/files", "/-/files/source/docs", "/-/files/sources.json", "/-/config.json"):
        text = (await opened.client.get(path)).text
        assert not any(secret in text for secret in public.SECRETS)


def test_the_public_release_did_leave_secrets(made_by_public):
    raw = (made_by_public.folder / "internal.db").read_bytes()
    assert all(secret.encode() in raw for secret in public.SECRETS)


async def test_scrubbing_waits_for_a_start_at_which_nobody_reads(
    installation, make_datasette, caplog
):
    """A start beside a reader keeps a note of it, and a later one scrubs."""
    first = await _open(make_datasette, installation.folder)
    database = installation.folder / "internal.db"
    assert public.SECRETS[0].encode() not in database.read_bytes()
    await first.invoke_shutdown()
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA secure_delete = OFF")
    with connection:
        connection.execute("INSERT INTO datasette_files_state VALUES ('scrub', 'pending')")
        connection.execute("INSERT INTO datasette_files_state VALUES ('x', ?)", public.SECRETS[:1])
    with connection:
        connection.execute("DELETE FROM datasette_files_state WHERE key = 'x'")
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM datasette_files").fetchone()
    await _open(make_datasette, installation.folder)
    assert any("secrets" in message for message in caplog.messages)
    pending = "SELECT 1 FROM datasette_files_state WHERE key = 'scrub'"
    assert connection.execute(pending).fetchone()
    connection.rollback()
    connection.close()
    await _open(make_datasette, installation.folder)
    for path in installation.folder.glob("internal.db*"):
        assert public.SECRETS[0].encode() not in path.read_bytes()


async def test_a_directory_that_is_away_at_the_first_start_is_not_made_anew(
    installation, make_datasette, monkeypatch
):
    monkeypatch.setattr(sources_module, "RETRY_SECONDS", (0.01, 0.01))
    root, away = installation.folder / "docs", installation.folder / "away"
    root.rename(away)
    opened = await _open(make_datasette, installation.folder)
    record = installation.records["picture"]
    assert (await opened.client.get(record["download_url"])).status_code == 503
    assert not root.exists()
    away.rename(root)
    files = Files.of(opened)
    await files.sources.keep_up(files.sources.get("docs"), files.secrets.get)
    download = await opened.client.get(record["download_url"])
    assert (download.status_code, download.content) == (200, installation.contents["picture"])


def _everything(database: Path) -> dict[str, list[Any]]:
    connection = sqlite3.connect(database)
    try:
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%datasette_files%'"
        ).fetchall()
        rows = {
            name: sorted(map(repr, connection.execute(f'SELECT * FROM "{name}"')))
            for (name,) in names
        }
        return {"schema": connection.execute("SELECT * FROM sqlite_master").fetchall(), **rows}
    finally:
        connection.close()


async def test_opening_again_changes_nothing(installation, make_datasette):
    await _open(make_datasette, installation.folder)
    database = installation.folder / "internal.db"
    first = _everything(database)
    assert len(first["datasette_files"]) == len(installation.records)
    await _open(make_datasette, installation.folder)
    assert _everything(database) == first


async def _adopt_rows(installation: public.Installation, make_datasette: Any, rows: int) -> None:
    """Adopt a catalog that the public release's own triggers filled."""
    connection = sqlite3.connect(installation.folder / "internal.db")
    with connection:
        connection.execute(
            """WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
            INSERT INTO datasette_files (id, source_id, path, filename, content_type, size,
                created_at, search_text)
            SELECT printf('df-%026d', i), 1, printf('p/%d', i), printf('report %d.txt', i),
                iif(i % 3, 'text/plain', 'image/png'), i, datetime('2020-01-01', i || ' seconds'),
                'word' || (i % 100) FROM n""",
            (rows,),
        )
    connection.close()
    datasette = await _open(make_datasette, installation.folder)
    page = await _json(datasette, "/-/files/source/docs.json?_sort=created_at&_size=200")
    assert page["total"] == rows + len(_kept(installation))
    assert [file["size"] for file in page["files"]] == list(range(1, 201))
    found = await _json(datasette, f"/-/files/search.json?q=report {rows}.txt")
    assert [file["filename"] for file in found["files"]] == [f"report {rows}.txt"]
    words = await _json(datasette, "/-/files/search.json?q=word7")
    hits = rows // 100 * 11  # word7, word70, …, word79
    assert (words["total"], words["count_truncated"]) == (min(hits, 1000), hits > 1000)


async def test_a_larger_catalog_is_adopted(installation, make_datasette):
    await _adopt_rows(installation, make_datasette, 3_000)


@pytest.mark.full
async def test_a_hundred_thousand_rows_are_adopted(installation, make_datasette):
    """Within the test's time limit, several times over."""
    await _adopt_rows(installation, make_datasette, 100_000)
