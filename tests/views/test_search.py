"""Searches: words, prefixes, what the index leaves out, and queries that look like syntax."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from datasette.app import Datasette

from tests.conftest import OPEN, MakeDatasette, disk_source, upload


async def test_search_ands_terms_and_matches_each_by_prefix(datasette: Datasette) -> None:
    one = await upload(datasette, filename="annual-report.txt")
    two = await upload(datasette, b"%PDF-1.4\n", "report draft.pdf")
    body = {"update": {"search_text": "Übersicht 2025"}}
    await datasette.client.post(f"{two['url']}/-/update", json=body)
    both = [two["id"], one["id"]]
    for q, ids in [
        ("report", both),
        ("rep", both),
        ("rep annual", [one["id"]]),
        ("ann rep", [one["id"]]),
        ("annual rep", [one["id"]]),
        ("REPORT dra", [two["id"]]),
        ("ubersicht", [two["id"]]),
        ("2025 report", [two["id"]]),
        ("application", [two["id"]]),
        (one["id"], [one["id"]]),
        (one["id"].upper().replace("DF-", "df-"), [one["id"]]),
        ("nothing", []),
        ('"', []),
        ("report AND NOT annual", []),
        ("\u0301", []),
        ("", both),
    ]:
        found = (await datasette.client.get("/-/files/search.json", params={"q": q})).json()
        assert ([file["id"] for file in found["files"]], found["total"]) == (ids, len(ids)), q
        assert (found["q"], found["source"], found["sources"]) == (q.strip(), "", ["docs"])
    paged = (await datasette.client.get("/-/files/search.json?q=report&_size=1")).json()
    again = (await datasette.client.get(paged["next_url"])).json()
    assert [paged["files"][0]["id"], again["files"][0]["id"]] == both
    assert again["next"] is None


@pytest.mark.parametrize("emoji", ["❤", "❤\ufe0f", "\ufe0f", "👩\u200d🚀"], ids=ascii)
async def test_an_emoji_takes_nothing_from_the_words_beside_it(
    datasette: Datasette, emoji: str
) -> None:
    """The index keeps letters and numbers alone, so words are found with it and without."""
    file = await upload(datasette, filename=f"{emoji} story{emoji}.bin")
    for form in ("{} story", "story {}", "story{}", "{}story", "sto", "{}.bin", "{} story{}.bin"):
        q = form.replace("{}", emoji)
        found = (await datasette.client.get("/-/files/search.json", params={"q": q})).json()
        assert [one["id"] for one in found["files"]] == [file["id"]], q


#: ``hello`` is in two sources, ``shut`` only in the one that is closed.
HOSTILE = [
    *('"', '""', 'hello"', '"hello', "hello*", "*", "^hello", "hello^", "-hello", "+", "(", ")"),
    *("NOT hello", "hello NOT", "AND", "OR hello", "hello OR shut", "NEAR(hello shut)", "NEAR("),
    *("filename:hello", "{filename}:hello", "source_id:2", "hello) OR source_id:(2", "\x00"),
    *('" OR source_id : "2', 'hello") OR source_id : ("2', "hello; DROP TABLE x", "%", "\ud7ff"),
    *("hello\x00world", "\U0001e900", "\ue000", "h\u0301", "\u0301hello", "\u200d", "' OR 1=1 --"),
]


async def test_no_query_is_syntax(make_datasette: MakeDatasette, tmp_path: Any) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "shut")}
    permissions = {**OPEN, "files-browse": {"docs": {"allow": True}}}
    datasette = await make_datasette(sources, permissions)
    await upload(datasette, source="docs")
    await upload(datasette, filename="hello shut.txt", source="shut")
    for q in HOSTILE:
        answer = await datasette.client.get("/-/files/search.json", params={"q": q})
        assert answer.status_code == 200, q
        assert {file["source_slug"] for file in answer.json()["files"]} <= {"docs"}, q
        assert answer.json()["total"] == len(answer.json()["files"]), q
    page = await datasette.client.get("/-/files/search", params={"q": HOSTILE[0]})
    assert page.status_code == 200


@pytest.mark.parametrize("path", ["/-/files/search.json", "/-/files/source/docs.json"])
async def test_filters_and_orders_narrow_a_search(datasette: Datasette, path: str) -> None:
    pdfs = [await upload(datasette, b"%PDF-1.4\n" + b"x" * n, f"report {n}.pdf") for n in (3, 9, 5)]
    await upload(datasette, filename="report.txt")
    await upload(datasette, b"%PDF-1.4\n", "note.pdf")
    query = "q=rep&content_type=application/pdf&_sort=-size&_size=2"
    first = (await datasette.client.get(f"{path}?{query}")).json()
    assert [file["id"] for file in first["files"]] == [pdfs[1]["id"], pdfs[2]["id"]]
    assert first["total"] == 3
    second = (await datasette.client.get(first["next_url"])).json()
    assert [file["id"] for file in second["files"]] == [pdfs[0]["id"]]
    assert second["next"] is None
    by_id = f"{path}?q={pdfs[0]['id']}&content_type=text/plain"
    assert (await datasette.client.get(by_id)).json()["files"] == []
    refused = await datasette.client.get(f"{path}?q=rep&_sort=colour")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid")


async def _names(datasette: Datasette, query: str, path: str = "/-/files/search.json") -> Any:
    """The names that a search finds, and ``by_letters``."""
    found = (await datasette.client.get(f"{path}?{query}")).json()
    assert found["total"] == len(found["files"])
    return [file["filename"] for file in found["files"]], found["by_letters"]


@pytest.mark.parametrize("path", ["/-/files/search.json", "/-/files/source/docs.json"])
async def test_names_are_found_by_letters_where_no_file_has_the_words(
    datasette: Datasette, path: str
) -> None:
    names = ["Holiday one.txt", "HOLIDAYS 100%_a\\b.txt", "work.txt", "Volksfürst.txt", "lidar.txt"]
    for name in names:
        await upload(datasette, filename=name)
    both, every = [names[1], names[0]], {"examined": len(names), "complete": True}
    for q, found in [
        ("liday", both),
        ("LIDAY", both),
        ("liday xt", both),
        ("oliday one", [names[0]]),
        ("liday work", []),
        ("00%25_a%5cb", [names[1]]),
        ("oli%25", []),
        ("oli_ay", []),
        ("ksf%C3%BC", [names[3]]),
        ("KSF%C3%9C", [names[3]]),
        ("ksfu%CC%88", [names[3]]),
        # Two letters are in too many names.
        ("da", None),
    ]:
        expected = ([], None) if found is None else (found, every)
        assert await _names(datasette, f"q={q}", path) == expected, q
    # What has the words hides what has the letters alone.
    assert await _names(datasette, "q=lida", path) == ([names[4]], None)
    assert (await datasette.client.get(path)).json().get("by_letters") is None


async def test_letters_keep_to_filters_orders_and_pages(datasette: Datasette) -> None:
    for number in (3, 9, 5, 7):
        await upload(datasette, b"%PDF-1.4\n" + b"x" * number, f"holiday {number}.pdf")
    tagged = await upload(datasette, filename="holiday.txt")
    change = {"update": {"folder": "a/b", "tags": ["sea"]}}
    await datasette.client.post(f"{tagged['url']}/-/update", json=change)
    by_size = "q=liday&content_type=application/pdf&_sort=-size&_size=3"
    first = (await datasette.client.get(f"/-/files/search.json?{by_size}")).json()
    assert [file["filename"][8] for file in first["files"]] == ["9", "7", "5"]
    assert (first["total"], first["count_truncated"]) == (4, False)
    assert first["by_letters"] == {"examined": 4, "complete": True}
    second = (await datasette.client.get(first["next_url"])).json()
    assert [file["filename"][8] for file in second["files"]] == ["3"]
    assert second["next"] is None
    newest = (await datasette.client.get("/-/files/search.json?q=liday&_size=4")).json()
    oldest = (await datasette.client.get(newest["next_url"])).json()
    assert [file["filename"] for file in newest["files"]][:2] == ["holiday.txt", "holiday 7.pdf"]
    assert [file["filename"] for file in oldest["files"]] == ["holiday 3.pdf"]
    assert newest["facets"]["tags"] == [{"value": "sea", "count": 1}]
    for narrowed in ("tag=sea", "folder=a", "folder=a/b&tag=sea", "content_type=text"):
        found = await _names(datasette, f"q=liday&{narrowed}")
        assert found == (["holiday.txt"], {"examined": 1, "complete": True}), narrowed


async def test_letters_are_read_in_files_that_the_actor_sees_alone(
    make_datasette: MakeDatasette, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = {slug: disk_source(tmp_path / slug) for slug in ("docs", "more", "shut")}
    permissions: dict[str, Any] = {
        **OPEN,
        "files-browse": {"docs": {"allow": True}, "more": {"allow": True}},
    }
    datasette = await make_datasette(sources, permissions)
    for number in range(4):
        await upload(datasette, filename=f"holiday {number}.txt")
        await upload(datasette, filename=f"Xholiday {number}.txt", source="shut")
    await upload(datasette, filename="Xholiday.txt", source="more")
    names, letters = await _names(datasette, "q=liday")
    assert names == ["Xholiday.txt", *(f"holiday {number}.txt" for number in (3, 2, 1, 0))]
    assert letters == {"examined": 5, "complete": True}
    # The newest of each source are read, and the answer says so.
    monkeypatch.setattr("datasette_files.db.letters.MAX_EXAMINED", 3)
    monkeypatch.setattr("datasette_files.db.letters._NAMES_A_ROW", 1)
    names, letters = await _names(datasette, "q=liday")
    assert names == ["Xholiday.txt", "holiday 3.txt", "holiday 2.txt"]
    assert letters == {"examined": 3, "complete": False}
    page = await datasette.client.get("/-/files/search?q=liday")
    told = "by letters in the name; the names of the newest 3 files were read"
    assert told in page.text
    missed = await datasette.client.get("/-/files/search?q=idayx")
    assert "No name contains these letters either; the names of the newest 3" in missed.text


async def test_a_search_by_letters_that_takes_too_long_leaves_the_answer_by_words(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    await upload(datasette, filename="holiday.txt")

    def interrupted(*arguments: Any) -> None:
        raise sqlite3.OperationalError("interrupted")

    monkeypatch.setattr("datasette_files.db.letters.page", interrupted)
    assert await _names(datasette, "q=liday") == ([], None)


async def test_what_acts_on_all_that_match_goes_by_words(datasette: Datasette) -> None:
    file = await upload(datasette, filename="holiday.txt")
    bulk = {"action": "delete", "selection": {"q": "liday"}}
    done = await datasette.client.post("/-/files/-/bulk", json=bulk)
    assert done.json()["done"] == 0
    assert (await datasette.client.get(f"{file['url']}.json")).status_code == 200
    page = await datasette.client.get("/-/files/search?q=liday")
    assert 'data-match=""' in page.text
    assert 'data-match=""' not in (await datasette.client.get("/-/files/search?q=holi")).text
