"""Searches: words, prefixes, what the index leaves out, and queries that look like syntax."""

from __future__ import annotations

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
