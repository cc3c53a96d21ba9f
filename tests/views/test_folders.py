"""Folders, tags and crc32: set at upload and by an update, listed, searched, kept in the trash."""

from __future__ import annotations

import asyncio
import json
import unicodedata
import zlib
from typing import Any
from urllib.parse import quote

import pytest

from datasette_files.app import Files
from tests.conftest import disk_source, upload

LIST = "/-/files/source/docs.json"
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}


async def _put(datasette: Any, name: str, folder: str = "", *tags: str) -> dict[str, Any]:
    query = "&".join([f"folder={quote(folder)}", *(f"tags={quote(tag)}" for tag in tags)])
    response = await datasette.client.put(
        f"/-/files/upload/docs/{name}?{query}", content=name.encode()
    )
    assert response.status_code == 201, response.text
    record = await datasette.client.get(f"{response.json()['url']}.json")
    return dict(record.json())


async def _list(datasette: Any, query: str, path: str = LIST) -> dict[str, Any]:
    response = await datasette.client.get(f"{path}?{query}")
    assert response.status_code == 200, response.text
    return dict(response.json())


def _names(answered: dict[str, Any]) -> list[str]:
    return sorted(file["filename"] for file in answered["files"])


async def _update(datasette: Any, file: dict[str, Any], **changes: Any) -> Any:
    return await datasette.client.post(f"{file['url']}/-/update", json={"update": changes})


async def test_an_update_changes_what_it_names_and_no_bytes(datasette):
    file = await _put(datasette, "old.txt", "a", "first")
    tags = ["  draft ", "", "draft", "Cafe\u0301"]
    response = await _update(datasette, file, filename="new.txt", folder="b/c", tags=tags)
    changed = response.json()["file"]
    assert (changed["filename"], changed["folder"]) == ("new.txt", "b/c")
    assert changed["tags"] == ["draft", "Caf\u00e9"]
    same = {"id", "path", "size", "content_hash", "crc32", "search_text", "created_at"}
    assert {name: changed[name] for name in same} == {name: file[name] for name in same}
    assert (await datasette.client.get(f"{file['url']}/download")).content == b"old.txt"
    batch = await datasette.client.get(f"/-/files/batch.json?id={file['id']}")
    in_batch = batch.json()["files"][file["id"]]
    [listed] = (await _list(datasette, ""))["files"]
    for one in (in_batch, listed):
        assert {n: one[n] for n in ("filename", "folder", "tags", "crc32")} == {
            n: changed[n] for n in ("filename", "folder", "tags", "crc32")
        }


@pytest.mark.parametrize(
    "changes",
    [
        *({"folder": folder} for folder in ("/a", "a/", "a//b", ".", "a/../b", "x" * 1001, 1)),
        {"folder": "a\x00b"},
        {"folder": "\ud800"},
        *({"tags": tags} for tags in ("a", [1], ["x" * 101], [str(n) for n in range(51)], None)),
        {"tags": ["\ud800"]},
        {"filename": " "},
        {"filename": "x" * 1025},
        {"filename": None},
        {"path": "a"},
        {},
    ],
)
async def test_a_bad_update_is_refused_and_changes_nothing(datasette, changes):
    file = await _put(datasette, "a.txt", "f", "t")
    response = await datasette.client.post(
        f"{file['url']}/-/update",
        content=json.dumps({"update": {"search_text": "x", **changes} if changes else {}}),
    )
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert (await datasette.client.get(f"{file['url']}.json")).json() == file


async def test_the_page_s_form_changes_name_folder_and_tags(datasette):
    file = await _put(datasette, "a.txt")
    page = await datasette.client.get(file["url"])
    for field in ("filename", "folder", "tags"):
        assert f'name="{field}"' in page.text
    response = await datasette.client.post(
        f"{file['url']}/-/update",
        content="filename=b.txt&folder=x/y&tags=one, two",
        headers=FORM,
    )
    assert response.status_code == 303
    shown = (await datasette.client.get(f"{file['url']}.json")).json()
    assert (shown["filename"], shown["folder"], shown["tags"]) == ("b.txt", "x/y", ["one", "two"])
    page = await datasette.client.get("/-/files/source/docs?folder=x")
    assert "?folder=x%2Fy" in page.text


async def test_a_form_and_prepare_take_folder_and_tags(datasette):
    client = datasette.client
    response = await client.post(
        "/-/files/upload/docs",
        data={"folder": "a/b", "tags": ["x", "y"]},
        files={"file": ("a.txt", b"a")},
    )
    shown = (await client.get(f"{response.json()['url']}.json")).json()
    assert (shown["folder"], shown["tags"]) == ("a/b", ["x", "y"])
    body = {"filename": "b.txt", "folder": "a/b", "tags": ["x"]}
    token = (await client.post("/-/files/upload/docs/-/prepare", json=body)).json()["upload_token"]
    await client.post(
        "/-/files/upload/docs/-/upload",
        data={"upload_token": token},
        files={"file": ("b.txt", b"b")},
    )
    done = await client.post("/-/files/upload/docs/-/complete", json={"upload_token": token})
    shown = (await client.get(f"{done.json()['file']['url']}.json")).json()
    assert (shown["folder"], shown["tags"]) == ("a/b", ["x"])
    assert shown["crc32"] == f"{zlib.crc32(b'b'):08x}"
    for bad in ({"folder": "../a"}, {"tags": "x"}):
        refused = await client.post("/-/files/upload/docs/-/prepare", json={**body, **bad})
        assert refused.json()["code"] == "invalid"


async def test_a_folder_lists_one_level_with_the_totals_of_its_folders(datasette):
    for name, folder in {"a": "", "b": "x", "c": "x/y", "d": "x/y/z", "e": "x-y", "f": "w"}.items():
        await _put(datasette, name, folder)
    top = await _list(datasette, "folder=")
    assert _names(top) == ["a"]
    assert top["folders"] == [
        {"folder": "w", "name": "w", "files": 1, "bytes": 1},
        {"folder": "x", "name": "x", "files": 3, "bytes": 3},
        {"folder": "x-y", "name": "x-y", "files": 1, "bytes": 1},
    ]
    level = await _list(datasette, "folder=x")
    assert (_names(level), level["total"]) == (["b"], 1)
    assert level["folders"] == [{"folder": "x/y", "name": "y", "files": 2, "bytes": 2}]
    below = await _list(datasette, "folder=x&recursive=1")
    assert (_names(below), below["total"]) == (["b", "c", "d"], 3)
    assert "folders" not in below
    assert _names(await _list(datasette, "")) == list("abcdef")
    assert _names(await _list(datasette, "folder=&recursive=1")) == list("abcdef")
    refused = await datasette.client.get(f"{LIST}?folder=a//b")
    assert refused.json()["code"] == "invalid"


async def test_tags_filter_count_and_are_found(datasette):
    await _put(datasette, "a", "x", "red", "Jahresbericht")
    await _put(datasette, "b", "", "red", "東京都報告書")
    await _put(datasette, "c")
    everything = await _list(datasette, "")
    assert everything["facets"]["tags"][0] == {"value": "red", "count": 2}
    assert _names(await _list(datasette, "tag=red")) == ["a", "b"]
    both = await _list(datasette, "tag=red&tag=Jahresbericht")
    assert (_names(both), both["total"]) == (["a"], 1)
    assert {one["value"] for one in both["facets"]["tags"]} == {"red", "Jahresbericht"}
    assert _names(await _list(datasette, "tag=red&folder=x")) == ["a"]
    assert _names(await _list(datasette, "tag=none")) == []
    search = "/-/files/search.json"
    assert _names(await _list(datasette, "q=jahresber", search)) == ["a"]
    assert _names(await _list(datasette, "q=" + quote("報告"), search)) == ["b"]
    assert _names(await _list(datasette, "q=red&tag=Jahresbericht", search)) == ["a"]
    assert _names(await _list(datasette, "q=red&folder=x", search)) == ["a"]
    found = await _list(datasette, "q=red", search)
    assert found["facets"]["tags"][0] == {"value": "red", "count": 2}
    [file] = (await _list(datasette, "q=jahresber", search))["files"]
    await _update(datasette, file, tags=[])
    assert _names(await _list(datasette, "q=jahresber", search)) == []
    assert _names(await _list(datasette, "tag=red")) == ["b"]


async def test_the_trash_keeps_folder_tags_and_crc32(make_datasette, tmp_path):
    source = disk_source(tmp_path / "docs", trash_days=1)
    datasette = await make_datasette(sources={"docs": source})
    file = await _put(datasette, "a", "x/y", "red")
    await datasette.client.post(f"{file['url']}/-/delete")
    gone = await _list(datasette, "folder=")
    assert (gone["folders"], gone["facets"]["tags"]) == ([], [])
    response = await datasette.client.post("/-/files/trash/-/restore", json={"ids": [file["id"]]})
    assert response.json()["restored"] == [file["id"]]
    assert (await datasette.client.get(f"{file['url']}.json")).json() == file
    assert [one["folder"] for one in (await _list(datasette, "folder="))["folders"]] == ["x"]
    assert _names(await _list(datasette, "tag=red")) == ["a"]


@pytest.mark.parametrize("content", [b"", b"small", b"large" * 50_000])
async def test_crc32_is_known_with_the_upload(datasette, content):
    file = await upload(datasette, content)
    shown = (await datasette.client.get(f"{file['url']}.json")).json()
    assert shown["crc32"] == f"{zlib.crc32(content):08x}"


async def test_the_hashing_round_adds_the_crc32_of_older_files(datasette):
    files = Files.of(datasette)
    contents = {}
    for number in range(3):
        file = await upload(datasette, bytes([number]) * 100_000, f"{number}.bin")
        contents[file["id"]] = zlib.crc32(bytes([number]) * 100_000)
    await files.catalog.write(lambda conn: conn.execute("UPDATE datasette_files SET crc32 = NULL"))

    async def hash_all() -> None:
        while any(one["crc32"] is None for one in (await _list(datasette, ""))["files"]):
            await files.hashing["docs"].once()

    await asyncio.wait_for(hash_all(), 30)
    for one in (await _list(datasette, ""))["files"]:
        assert one["crc32"] == f"{contents[one['id']]:08x}"


async def test_damaged_bytes_get_no_crc32_and_keep_their_sha256(datasette, tmp_path):
    files = Files.of(datasette)
    file = await upload(datasette, b"right")
    record = (await datasette.client.get(f"{file['url']}.json")).json()
    (tmp_path / "docs" / record["path"]).write_bytes(b"wrong")
    await files.catalog.write(lambda conn: conn.execute("UPDATE datasette_files SET crc32 = NULL"))
    await files.hashing["docs"].once()
    after = (await datasette.client.get(f"{file['url']}.json")).json()
    assert (after["crc32"], after["content_hash"]) == (None, record["content_hash"])


async def test_a_folder_and_a_tag_are_one_in_every_form_of_unicode(datasette):
    """Systems that write accents apart send the other form; people type the composed one."""
    folder, tag, both = "Fotos für/보고서", "café", ["a.txt", "b.txt"]
    forms = {
        form: (unicodedata.normalize(form, folder), unicodedata.normalize(form, tag))
        for form in ("NFC", "NFD")
    }
    for name, (written, written_tag) in zip(both, forms.values(), strict=True):
        file = await _put(datasette, name, written, written_tag)
        assert (file["folder"], file["tags"]) == (folder, [tag])
    for written, written_tag in forms.values():
        in_folder, with_tag = f"folder={quote(written)}", f"tag={quote(written_tag)}"
        for query in (in_folder, with_tag, f"{in_folder}&{with_tag}"):
            assert _names(await _list(datasette, query)) == both
        found = await _list(datasette, f"q=txt&{in_folder}", "/-/files/search.json")
        assert _names(found) == both
    top = await _list(datasette, "folder=")
    assert [(one["folder"], one["files"]) for one in top["folders"]] == [("Fotos für", 2)]


async def test_no_page_is_over_two_megabytes_whatever_people_name_things(datasette):
    """1,000 folders and 200 files with the longest names and most tags, and a long query."""
    kanji, quotes = "報" * 999, "'" * 1000
    tags = json.dumps([f"{number:02}" + "告" * 98 for number in range(50)])
    rows = [
        *((f"df-{n:04}", f"p/{n}", quotes, "", tags) for n in range(200)),
        *((f"df-f{n:04}", f"f/{n}", "a", f"{chr(0x4E00 + n)}{kanji}", "[]") for n in range(1000)),
        ("df-deep", "deep", "a", "/".join("a" * 500), "[]"),
    ]
    source_id = Files.of(datasette).sources.get("docs").id
    await datasette.get_internal_database().execute_write_fn(
        lambda conn: conn.executemany(
            f"""INSERT INTO datasette_files (id, source_id, path, filename, folder, tags, size)
            VALUES (?, {source_id}, ?, ?, ?, ?, 1)""",
            rows,
        )
    )
    padding = "uploaded_by=" + "x" * 20_000
    for path in (
        "/-/files/source/docs?_size=200",
        "/-/files/source/docs?folder=&_size=200&view=grid",
        f"/-/files/source/docs?folder=&{padding}",
        f"/-/files/source/docs?folder={'/'.join('a' * 500)}&{padding}",
        f"/-/files/search?_size=200&q={'x' * 20}&{padding}",
        "/-/files/search?_size=200",
        f"/-/files/source/docs?{'&'.join(f'tag=t{n}' for n in range(50))}&{padding}",
    ):
        answer = await datasette.client.get(path)
        assert answer.status_code == 200, answer.text[:500]
        assert len(answer.content) < 2_000_000, (path[:80], len(answer.content))
