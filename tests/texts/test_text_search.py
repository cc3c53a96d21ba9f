"""Hits inside documents: pages, snippets and counts, and nothing for who may not see the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from datasette import hookimpl
from datasette.app import Datasette
from datasette.permissions import PermissionSQL
from datasette.plugins import pm

from datasette_files.app import Files
from datasette_files.base import TextExtractor
from datasette_files.catalog import texts
from datasette_files.client import AsyncClient
from datasette_files.errors import Conflict
from datasette_files.permissions.actions import VIEW
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.storages import registered

from . import documents
from .conftest import Extract, pages, stored

_PAGES = "SELECT count(*) FROM datasette_files_pages"
#: Rows of the index that its content does not have, or the other way round.
_CHECK = (
    "INSERT INTO datasette_files_pages_fts (datasette_files_pages_fts) VALUES ('integrity-check')"
)


async def search(
    datasette: Datasette, actor: dict[str, Any] | None = None, path: str = "search", **query: str
) -> Any:
    answer = await datasette.client.get(f"/-/files/{path}.json", params=query, actor=actor)
    assert answer.status_code == 200, answer.text
    return answer.json()


def marked(hit: dict[str, Any]) -> list[str]:
    return [hit["snippet"][start:end] for start, end in hit["marks"]]


async def test_a_search_finds_files_by_their_pages(datasette: Datasette, extract: Extract) -> None:
    report = await upload(
        datasette, documents.pdf(["The annual ledger", "Nothing", "ledgers of the (year)"]), "r.pdf"
    )
    named = await upload(datasette, b"nothing of it", "ledger.txt")
    both = await upload(datasette, b"my ledger: one\n" * 3, "ledger notes.txt")
    await extract(datasette)
    found = await search(datasette, q="ledg")
    assert [file["id"] for file in found["files"]] == [both["id"], named["id"], report["id"]]
    assert (found["total"], found["count_truncated"]) == (3, False)
    notes, name_only, in_pages = (file["hits"] for file in found["files"])
    assert name_only == []
    assert [(hit["page"], marked(hit)) for hit in in_pages] == [(1, ["ledger"]), (3, ["ledgers"])]
    assert notes[0]["snippet"] == "my ledger: one my ledger: one my ledger: one"
    assert marked(notes[0]) == ["ledger"] * 3
    # Pages of the search, filters, orders, words on one page, and a source's own search.
    for more in ({}, {"created_after": "2000-01-01"}):
        first = await search(datasette, q="ledg", _size="1", **more)
        second = (await datasette.client.get(first["next_url"])).json()
        third = (await datasette.client.get(second["next_url"])).json()
        assert [one["files"][0]["id"] for one in (first, second, third)] == [
            *(both["id"], named["id"], report["id"])
        ]
        assert third["next"] is None
    for query, expected in [
        ({"q": "ledger annual"}, [report]),
        ({"q": "annual nothing"}, []),
        ({"q": "ledg", "content_type": "application/pdf"}, [report]),
        ({"q": "ledg", "_sort": "filename"}, [both, named, report]),
        ({"q": "ledg", "_sort_desc": "size"}, [report, both, named]),
        ({"q": '"ledgers" of'}, [report]),
        ({"q": "LEDGÉRS"}, [report]),
    ]:
        found = await search(datasette, path="source/docs", **query)
        assert [file["id"] for file in found["files"]] == [file["id"] for file in expected], query
        assert found["total"] == len(expected), query
    assert "hits" not in (await search(datasette))["files"][0]


async def test_one_document_is_searched_and_its_pages_read(
    datasette: Datasette, extract: Extract, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await upload(
        datasette, documents.pdf([f"word <b>page {n}" for n in range(1, 30)]), "a.pdf"
    )
    await extract(datasette)
    url = f"{file['url']}/text.json"
    found = (await datasette.client.get(url, params={"q": "word", "_size": "20"})).json()
    assert (found["pages"], found["text_status"], len(found["hits"])) == (29, "done", 20)
    assert found["hits"][1]["url"] == f"{file['url']}/inline#page=2"
    rest = (await datasette.client.get(found["next_url"])).json()
    assert [hit["page"] for hit in rest["hits"]] == list(range(21, 30))
    assert rest["next"] is None
    one = (await datasette.client.get(f"{url}?page=7")).json()
    assert one["page"] == {"page": 7, "text": "word <b>page 7"}
    for query, status in [
        ("page=30", 404),
        ("page=x", 400),
        ("_size=201", 400),
        ("texts=1&q=x", 400),
        ("texts=2", 400),
        ("q=" + "x " * 21, 400),
    ]:
        assert (await datasette.client.get(f"{url}?{query}")).status_code == status, query
    found = (await datasette.client.get(f"{url}?texts=1&_size=28")).json()
    assert (found["pages"], found["next"], len(found["texts"])) == (29, 28, 28)
    assert found["texts"][6] == one["page"]
    last = (await datasette.client.get(found["next_url"])).json()
    assert (last["texts"], last["next"]) == ([{"page": 29, "text": "word <b>page 29"}], None)
    monkeypatch.setattr(texts, "_MAX_PAGE", 50)
    found = (await datasette.client.get(f"{url}?texts=1")).json()
    assert (len(found["texts"]), found["next"]) == (3, 3)
    transport = httpx.ASGITransport(app=datasette.app())
    async with AsyncClient("http://localhost/", transport=transport) as client:
        assert [page["page"] async for page in client.text(file["id"])] == list(range(1, 30))
        other = await upload(datasette, b"\x00", "x.bin")
        await extract(datasette)
        with pytest.raises(Conflict, match="holds no text"):
            await anext(client.text(other["id"]))
    page = (await datasette.client.get(file["url"], params={"q": "page 7"})).text
    assert f'<a href="{file["url"]}/inline#page=7">Page 7</a>' in page
    assert "word &lt;b&gt;<mark>page</mark> <mark>7</mark>" in page
    results = (await datasette.client.get("/-/files/search", params={"q": "word 7"})).text
    assert "&lt;b&gt;page <mark>7</mark>" in results


async def test_text_goes_with_the_file_and_comes_back(
    make_datasette: MakeDatasette, extract: Extract, tmp_path: Path
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "other")}
    datasette = await make_datasette(sources, {**OPEN, "files-manage": True}, trash_days=3)
    files = Files.of(datasette)
    kept = await upload(datasette, b"kept words")
    gone = await upload(datasette, b"secret words")
    await extract(datasette)
    assert (await search(datasette, q="secret"))["total"] == 1
    await datasette.client.post(f"{gone['url']}/-/delete")
    assert (await search(datasette, q="secret"))["total"] == 0
    assert await stored(datasette, _PAGES) == 1
    restored = await datasette.client.post("/-/files/trash/-/restore", json={"ids": [gone["id"]]})
    assert restored.status_code == 200, restored.text
    record = (await datasette.client.get(f"{gone['url']}.json")).json()
    assert record["text_status"] == "pending"
    await extract(datasette)
    assert (await search(datasette, q="secret"))["total"] == 1
    # A moved file is read again, as its source is part of the index.
    target = files.sources.get("other").id
    await files.catalog.write(
        lambda conn: conn.execute(
            "UPDATE datasette_files SET source_id = ? WHERE id = ?", (target, kept["id"])
        )
    )
    assert (await search(datasette, q="kept"))["total"] == 0
    row = "SELECT source_id FROM datasette_files_texts WHERE status = 'pending'"
    assert await stored(datasette, row) == target
    await files.catalog.write(lambda conn: conn.execute(_CHECK).fetchall())


async def test_nobody_learns_a_word_of_what_they_may_not_see(
    make_datasette: MakeDatasette, extract: Extract, tmp_path: Path
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "shut")}
    boss, guest = {"id": "boss"}, {"id": "guest"}
    permissions = {
        **OPEN,
        "files-browse": {"docs": {"allow": True}, "shut": {"allow": boss}},
    }

    def rules(datasette: Any, actor: Any, action: str) -> PermissionSQL | None:
        if action != VIEW or actor != guest:
            return None
        sql = """SELECT 'shut' AS parent, id AS child, 1 AS allow, 'one' AS reason
            FROM datasette_files WHERE filename = 'shared.txt'"""
        return PermissionSQL(sql=sql)

    with registered(permission_resources_sql=rules):
        datasette = await make_datasette(sources, permissions)
        await upload(datasette, b"open treasure", "open.txt")
        shut = await upload(datasette, b"buried treasure", "shut.txt", source="shut")
        await upload(datasette, b"shared treasure", "shared.txt", source="shut")
        await extract(datasette)
        await extract(datasette, "shut")
        for actor, names in [
            (None, ["open.txt"]),
            ({"id": "stranger"}, ["open.txt"]),
            (guest, ["shared.txt", "open.txt"]),
            (boss, ["shared.txt", "shut.txt", "open.txt"]),
        ]:
            for query in (
                {"q": "treasure"},
                {"q": "treas", "_sort_desc": "created_at"},
                {"q": "treasure", "content_type": "text/plain"},
                {"q": "treasure", "_sort": "-filename"},
            ):
                found = await search(datasette, actor, **query)
                assert sorted(file["filename"] for file in found["files"]) == sorted(names), actor
                assert found["total"] == len(names), (actor, query)
            assert (await search(datasette, actor, q="buried"))["total"] == int(actor == boss)
            seen = await datasette.client.get(f"{shut['url']}/text.json?q=buried", actor=actor)
            assert seen.status_code == (200 if actor == boss else 403)
            assert ("buried" in seen.text) is (actor == boss)


class Transcripts(TextExtractor):
    """Reads what it calls speech."""

    name = "transcripts"

    async def can_extract(self, content_type: str, filename: str) -> bool:
        return filename.endswith(".wav")

    async def extract(self, file: dict[str, Any]) -> list[str] | None:
        if file["filename"] == "silent.wav":
            return None
        if file["filename"] == "noise.wav":
            raise ValueError("There is only noise")
        return ["hello", "spoken \x00words"]


async def test_a_plugin_extracts_text_and_is_asked_again_when_it_improves(
    make_datasette: MakeDatasette, extract: Extract
) -> None:
    extractor = Transcripts()

    class Plugin:
        @hookimpl
        def register_text_extractors(self, datasette: Any) -> list[TextExtractor]:
            return [extractor]

    plugin = Plugin()
    pm.register(plugin)
    try:
        datasette = await make_datasette()
        sent = {
            name: await upload(datasette, b"\x00\x01RIFF" * 9, name)
            for name in ("talk.wav", "silent.wav", "noise.wav")
        }
        await extract(datasette)
        assert await pages(datasette, sent["talk.wav"]["id"]) == [(1, "hello"), (2, "spoken words")]
        states = {}
        for name, file in sent.items():
            record = (await datasette.client.get(f"{file['url']}.json")).json()
            states[name] = record["text_status"], record["text_error"]
        assert states == {
            "talk.wav": ("done", None),
            "silent.wav": ("none", "It holds no text"),
            "noise.wav": ("failed", "There is only noise"),
        }
        extractor.version = 2
        again = await make_datasette()
        await extract(again)
        made = "SELECT count(*) FROM datasette_files_texts WHERE extractor LIKE 'transcripts 2%'"
        assert await stored(again, made) == 2
    finally:
        pm.unregister(plugin)


async def test_a_source_may_go_without_text(make_datasette: MakeDatasette, tmp_path: Path) -> None:
    datasette = await make_datasette({"docs": disk_source(tmp_path / "docs", text=False)})
    file = await upload(datasette)
    files = Files.of(datasette)
    await files.texts.of(files.sources.get("docs")).round.once()
    assert await stored(datasette, _PAGES) == 0
    record = (await datasette.client.get(f"{file['url']}.json")).json()
    assert (record["text_status"], record["text_error"]) == ("none", None)
