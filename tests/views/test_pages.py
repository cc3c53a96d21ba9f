"""Pages as the server renders them, before any script: what they hold, offer and cost."""

from __future__ import annotations

import re
import shlex
from html import unescape
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.db.batching import Catalog
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.fixtures import hostile_names

SOURCE = "/-/files/source/docs"
#: What hostile names would add, and what a strict policy would refuse.
HARM = re.compile(r"<(script(?! type=\"module\" src)|svg|b|img src=x)[ >]")
INLINE = re.compile(r"""<script(?! type="module" src=)|<style|\sstyle=|\son\w+=\"""")


async def text_of(datasette: Datasette, url: str, **arguments: Any) -> str:
    answer = await datasette.client.get(url, headers={"Accept": "text/html"}, **arguments)
    assert answer.status_code == 200, answer.text
    text: str = answer.text
    return text


def main_of(page: str) -> str:
    """Our part of a page, without Datasette's menu of actions in it."""
    main = page.partition("<main")[2].partition("</main>")[0]
    before, _, menu = main.partition('<div class="page-action-menu">')
    return before + menu.partition("</details>")[2]


async def test_addresses_of_assets_are_looked_up_once_unless_they_may_change(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    static = datasette.static

    def counted(path: str, plugin: str | None = None, mount: str | None = None) -> str:
        if plugin is not None:
            asked.append(path)
        url: str = static(path, plugin=plugin, mount=mount)
        return url

    monkeypatch.setattr(datasette, "static", counted)
    first = await text_of(datasette, SOURCE)
    assert "lists.css" in asked
    assert static("lists.css", plugin="datasette_files") in unescape(first)
    asked.clear()
    assert await text_of(datasette, SOURCE) == first
    assert asked == []
    # As for who develops with --reload.
    datasette.cache_headers = False
    Files.of(datasette).assets.clear()
    for _ in range(2):
        await text_of(datasette, SOURCE)
    assert asked.count("lists.css") == 2


async def test_a_longer_list_asks_the_catalog_no_more_often(
    datasette: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await upload(datasette, filename=f"{number}.txt")
    asked: list[str] = []
    for name in ("read", "query"):
        whole = getattr(Catalog, name)

        async def counted(self: Catalog, fn: Any, whole: Any = whole, name: str = name) -> Any:
            asked.append(name)
            return await whole(self, fn)

        monkeypatch.setattr(Catalog, name, counted)
    costs = []
    for size in (1, 12):
        asked.clear()
        page = await text_of(datasette, f"{SOURCE}?_size={size}")
        assert page.count('class="files-name"><a') == size
        costs.append(list(asked))
    assert costs[0] == costs[1]


async def test_the_list_says_its_order_and_offers_the_others(datasette: Datasette) -> None:
    await upload(datasette)
    page = main_of(await text_of(datasette, f"{SOURCE}?_sort=-size&uploaded_by="))
    assert re.findall(r'aria-sort="(\w+)"', page) == ["descending"]
    assert '<option value="-size" selected>' in page
    # By the heading of the order there is, the other way round; without what is empty.
    assert f'href="{SOURCE}?_sort=size"' in page
    assert f'href="{SOURCE}?_sort=filename"' in page
    assert f'href="{SOURCE}?_sort_desc=created_at"' in page


async def test_filters_offer_what_the_source_holds_and_keep_what_was_chosen(
    datasette: Datasette,
) -> None:
    await upload(datasette, actor={"id": 'al"ice'})
    await upload(datasette, b"%PDF-1.4\n", "a.pdf")
    page = main_of(
        await text_of(datasette, f"{SOURCE}?content_type=text&content_type=image/png&uploaded_by=x")
    )
    assert '<option value="text" selected>Text (1)</option>' in page
    assert '<option value="document">Documents (1)</option>' in page
    assert 'value="audio"' not in page
    assert 'value="image/png"' in page
    assert 'value="al&#34;ice"' in page
    assert "0 of 2 files match." in page
    assert f'<a href="{SOURCE}">Clear filters</a>' in page
    assert "No file matches these filters." in page


async def test_pages_lead_to_the_next_and_back_to_the_first(datasette: Datasette) -> None:
    for number in range(3):
        await upload(datasette, filename=f"{number}.txt")
    for url in (f"{SOURCE}?_size=2&_sort=filename", "/-/files/search?_size=2&q=txt"):
        first = main_of(await text_of(datasette, url))
        (following,) = re.findall(r'href="([^"]*)" rel="next"', first)
        assert "First page" not in first
        second = main_of(await text_of(datasette, unescape(following)))
        assert 'rel="next"' not in second
        (back,) = re.findall(r'href="([^"]*)">First page', second)
        names = re.findall(r"<bdi>(\d\.txt)</bdi>", first)
        assert (
            re.findall(r"<bdi>(\d\.txt)</bdi>", await text_of(datasette, unescape(back))) == names
        )


async def test_an_empty_source_says_what_to_do(make_datasette: MakeDatasette) -> None:
    alice = {"id": "alice"}
    datasette = await make_datasette(permissions={"files-browse": True, "files-upload": alice})
    assert "Whoever may upload" in await text_of(datasette, SOURCE)
    page = await text_of(datasette, SOURCE, actor=alice)
    assert "Upload the first ones above" in page
    assert '<details class="files-upload-here" open>' in page


async def test_the_index_tells_counts_and_what_the_actor_may_do(
    make_datasette: MakeDatasette, tmp_path: Any
) -> None:
    sources = {
        "docs": disk_source(tmp_path / "docs", label="The <documents>"),
        "drop": disk_source(tmp_path / "drop"),
        "shut": disk_source(tmp_path / "shut"),
    }
    permissions = {
        "files-browse": {"docs": {"allow": True}},
        "files-upload": {"docs": {"allow": True}, "drop": {"allow": True}},
    }
    datasette = await make_datasette(sources, permissions)
    await upload(datasette, b"x" * 2048)
    page = main_of(await text_of(datasette, "/-/files"))
    docs, drop = page.split('<li class="files-card">')[1:]
    assert "The &lt;documents&gt;" in docs
    assert "1 file, " in docs
    assert 'title="2,048 bytes">2.0 KB<' in docs
    assert "You may browse and upload" in docs
    assert "You may upload" in drop
    assert "/-/files/source/drop" not in drop
    # Search finds in what one may browse, and only there.
    assert 'role="search"' in page
    internal, uploads = "other.db", {"files-upload": True}
    datasette = await make_datasette(sources, uploads, internal=internal)
    assert 'role="search"' not in await text_of(datasette, "/-/files")


async def test_hits_name_their_source_as_other_pages_do(
    make_datasette: MakeDatasette, tmp_path: Any
) -> None:
    datasette = await make_datasette({"docs": disk_source(tmp_path / "docs", label="<Papers>")})
    await upload(datasette, b"x")
    page = main_of(await text_of(datasette, "/-/files/search"))
    assert f'<a href="{SOURCE}">&lt;Papers&gt;</a>' in page
    assert 'title="1 byte">1 byte<' in page


async def test_the_index_says_which_source_is_down(
    datasette: Datasette,
) -> None:
    source = Files.of(datasette).sources.get("docs")
    await source.close()
    assert "It is unavailable for now" in await text_of(datasette, "/-/files")
    assert "is unavailable for now" in await text_of(datasette, SOURCE)


async def test_a_file_whose_storage_is_down_is_not_offered(datasette: Datasette) -> None:
    picture = await upload(datasette, b"\x89PNG\r\n\x1a\n", "a.png")
    text = await upload(datasette)
    await Files.of(datasette).sources.get("docs").close()
    for file in (picture, text):
        page = main_of(await text_of(datasette, file["url"]))
        assert "cannot be opened, downloaded or deleted" in page
        assert "No preview: The source" in page
        for offered in ("/download", "/inline", "/-/delete"):
            assert f'="{file["url"]}{offered}' not in page
        assert f'="{file["url"]}/-/update"' in page


async def test_an_error_page_leads_on(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(settings={"base_url": "/prefix/"})
    file = await upload(datasette)
    await Files.of(datasette).sources.get("docs").close()
    for path, status, link in [
        ("/-/files/source/docs?_next=x", 400, '"/prefix/-/files/source/docs">Start anew'),
        (f"/-/files/import/{file['id']}?a=1&b", 503, f'/{file["id"]}?a=1&amp;b">Try again'),
        ("/-/files/df-1", 404, '"/prefix/-/files">All files'),
    ]:
        answer = await datasette.client.get(path, headers={"Accept": "text/html"})
        assert (answer.status_code, link in main_of(answer.text)) == (status, True)
    form = {"headers": {"Accept": "text/html"}, "data": {}}
    posted = await datasette.client.post(f"/-/files/{file['id']}/-/delete", **form)
    assert posted.status_code == 503
    assert "Try again" not in main_of(posted.text)


async def test_pages_answer_head(datasette: Datasette) -> None:
    file = await upload(datasette)
    for path in ("/-/files", SOURCE, "/-/files/search", file["url"]):
        answer = await datasette.client.head(path)
        assert (answer.status_code, answer.headers["content-type"][:9]) == (200, "text/html")


async def test_times_are_absolute_utc_for_who_runs_no_script(datasette: Datasette) -> None:
    file = await upload(datasette)
    written = file["created_at"]
    time = f'<time datetime="{written.replace(" ", "T")}Z" title="{written} UTC">{written[:16]} UTC'
    for url in (SOURCE, "/-/files/search", file["url"]):
        assert time in await text_of(datasette, url)


@pytest.mark.full
async def test_hostile_names_are_text_in_isolation(datasette: Datasette) -> None:
    for number, (name, why) in enumerate(hostile_names()):
        file = await upload(datasette, filename=f"{number}.txt")

        def rename(conn: Any, name: str = name, file: Any = file) -> None:
            conn.execute(
                "UPDATE datasette_files SET filename = ?, uploaded_by = ? WHERE id = ?",
                (name.encode("utf-8", "replace").decode(), "<b>", file["id"]),
            )

        await Files.of(datasette).catalog.write(rename)
        if number % 5 == 0:
            page = main_of(await text_of(datasette, file["url"]))
            assert "<bdi>" in page, why
            assert not HARM.search(page), why
    for url in (f"{SOURCE}?_size=max", "/-/files/search?_size=max"):
        page = main_of(await text_of(datasette, url))
        assert not HARM.search(page)
        assert page.count('class="files-name"><a') == len(hostile_names())


async def test_no_name_changes_how_it_is_read(datasette: Datasette) -> None:
    file = await upload(datasette, b"\x89PNG\r\n\x1a\n", "a.png", actor={"id": "a\u202eb"})

    def rename(conn: Any) -> None:
        sql = "UPDATE datasette_files SET filename = ?, search_text = ''"
        conn.execute(sql, ("invoice\u202egnp.exe\u2066\n2",))

    await Files.of(datasette).catalog.write(rename)
    for url in (file["url"], f"{SOURCE}?_sort=size", "/-/files/search"):
        page = await text_of(datasette, url)
        assert "<bdi>invoice\ufffdgnp.exe\ufffd\ufffd2</bdi>" in page
        assert not re.search("[\u202e\u2066]", page.replace('value="a\u202eb"', ""))


async def test_our_part_of_a_page_holds_no_script_and_no_style(datasette: Datasette) -> None:
    file = await upload(datasette, b"a,b\n1,2\n", "a.csv")
    for url in ("/-/files", SOURCE, "/-/files/search?q=a", file["url"]):
        main = main_of(await text_of(datasette, url))
        assert main
        assert not INLINE.search(main), url


@pytest.mark.parametrize("base_url", ["/", "/prefix/"])
async def test_what_a_file_page_copies(make_datasette: MakeDatasette, base_url: str) -> None:
    datasette = await make_datasette(settings={"base_url": base_url})
    file = await upload(datasette, b"\x89PNG\r\n\x1a\n", "a [b](c)_d.png")
    path = f"/-/files/{file['id']}"
    for actor in (None, {"id": "alice"}):
        page = await text_of(datasette, path, actor=actor)
        copied = [unescape(text) for text in re.findall(r'data-files-copy="([^"]*)"', page)]
        link = f"http://localhost{base_url}{path[1:]}"
        assert copied[:3] == [file["id"], link, f"![a \\[b\\]\\(c\\)\\_d\\.png]({link}/inline)"]
        words = shlex.split(copied[3])
        assert (words[0], words[-1]) == ("curl", f"{link}/download")
        assert ("Authorization: Bearer $TOKEN" in words) is (actor is not None)


async def test_a_deletion_by_a_form_is_told_on_the_next_page(datasette: Datasette) -> None:
    for accept in ("text/html", "application/json"):
        file = await upload(datasette, filename="gone & <b>.txt")
        form = {"headers": {"Accept": accept}, "data": {"x": ""}}
        answer = await datasette.client.post(f"{file['url']}/-/delete", **form)
        assert answer.status_code == (303 if accept == "text/html" else 200)
        messages = {"ds_messages": answer.cookies["ds_messages"]}
        page = await text_of(datasette, "/-/files", cookies=messages)
        assert "Deleted gone &amp; &lt;b&gt;.txt" in page
    program = await upload(datasette)
    answer = await datasette.client.post(f"{program['url']}/-/delete", json={})
    assert "ds_messages" not in answer.cookies


async def test_who_may_not_browse_gets_pages_that_work_and_no_name(
    make_datasette: MakeDatasette,
) -> None:
    alice, bob, carol = {"id": "alice"}, {"id": "bob"}, {"id": "carol"}
    permissions = {**OPEN, "files-browse": alice, "files-upload": {"id": ["alice", "carol"]}}
    datasette = await make_datasette(permissions=permissions)
    form = {"headers": {"Accept": "text/html"}, "data": {"search_text": "words"}}
    for actor in (bob, carol):
        file = await upload(datasette, filename="secret.txt", actor=alice)
        saved = await datasette.client.post(f"{file['url']}/-/update", actor=actor, **form)
        assert saved.status_code == 200
        assert "The changes are saved" in main_of(saved.text)
        for _ in range(2):
            gone = await datasette.client.post(f"{file['url']}/-/delete", actor=actor, **form)
            if actor is bob:  # no page of ours is open to him
                assert gone.status_code == 200
                assert "The file is deleted" in main_of(gone.text)
                assert "ds_messages" not in gone.cookies
            else:
                assert (gone.status_code, gone.headers["location"]) == (303, "/-/files")
                messages = datasette.unsign(gone.cookies["ds_messages"], "messages")
                assert messages == [["Deleted", 1]]
            assert "secret" not in saved.text + gone.text


async def test_the_message_of_a_deletion_fits_into_a_cookie(datasette: Datasette) -> None:
    file, face = await upload(datasette), "\N{GRINNING FACE}"

    def rename(conn: Any) -> None:
        conn.execute("UPDATE datasette_files SET filename = ?", (face * 256,))

    await Files.of(datasette).catalog.write(rename)
    form = {"headers": {"Accept": "text/html"}, "data": {"x": ""}}
    gone = await datasette.client.post(f"{file['url']}/-/delete", **form)
    assert len(gone.headers["set-cookie"]) < 4096
    ((message, _),) = datasette.unsign(gone.cookies["ds_messages"], "messages")
    assert message == f"Deleted {face * 100}…"


async def test_a_form_does_not_overwrite_what_it_did_not_show(datasette: Datasette) -> None:
    file = await upload(datasette)
    url = f"{file['url']}/-/update"
    page = await text_of(datasette, file["url"])
    (shown,) = re.findall(r'name="if_match" value="(\w+)"', page)

    async def save(text: str, if_match: str, accept: str = "application/json") -> Any:
        form = {"search_text": text, "if_match": if_match}
        return await datasette.client.post(url, data=form, headers={"Accept": accept})

    first = await save("one\r\ntwo", shown)
    assert first.json()["file"]["search_text"] == "one\ntwo"
    late = await save("three", shown)
    assert (late.status_code, late.json()["code"]) == (409, "conflict")
    late = await save("three", shown, "text/html")
    assert late.status_code == 409
    assert "Somebody else has changed the search text" in main_of(late.text)
    assert "one\ntwo</textarea>" in await text_of(datasette, file["url"])
    following = await save("four", first.json()["if_match"])
    assert following.json()["file"]["search_text"] == "four"


async def test_who_may_only_browse_is_offered_no_change(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(permissions=OPEN)
    file = await upload(datasette)
    await datasette.client.post(f"{file['url']}/-/update", json={"update": {"search_text": "note"}})
    whole = await text_of(datasette, file["url"])
    assert "data-files-save" in whole
    assert "data-files-dialog" in whole
    await datasette.invoke_shutdown()
    datasette = await make_datasette(permissions={"files-browse": True})
    page = main_of(await text_of(datasette, file["url"]))
    assert "note</dd>" in page
    assert "<form" not in page
