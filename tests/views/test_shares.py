"""The routes of links: making them, and what their receivers get."""

import asyncio
import io
import json
import zipfile
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.sources.sources import Source
from tests.conftest import MakeDatasette, upload
from tests.support.fixtures import fixture
from tests.support.sharing import ALICE, MALLORY, PERMISSIONS, send, share, upload_link


@pytest.fixture
async def site(make_datasette: MakeDatasette) -> Datasette:
    return await make_datasette(permissions=PERMISSIONS)


async def make(datasette: Datasette, body: dict[str, Any]) -> Any:
    return await datasette.client.post(
        "/-/files/-/share",
        content=json.dumps(body),
        headers={"Content-Type": "application/json"},
        actor=ALICE,
    )


async def downloads(datasette: Datasette) -> int:
    answer = await datasette.client.get("/-/files/shares.json", actor=ALICE)
    number: int = answer.json()["shares"][0]["downloads"]
    return number


# Making


async def test_a_link_is_made_with_the_documented_shape(site: Datasette) -> None:
    file = await upload(site, actor=ALICE)
    answer = await make(site, {"ids": [file["id"]], "label": "For you", "max_downloads": 3})
    assert answer.status_code == 201
    assert "no-store" in answer.headers["cache-control"]
    body = answer.json()
    made = body["share"]
    assert body["ok"] is True
    assert made["ids"] == [file["id"]]
    assert (made["label"], made["max_downloads"], made["downloads"]) == ("For you", 3, 0)
    assert made["url"].startswith("http://localhost/-/files/s/")
    listed = (await site.client.get("/-/files/shares.json", actor=ALICE)).json()["shares"]
    assert [one["id"] for one in listed] == [made["id"]]
    assert "url" not in listed[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"ids": []},
        {"ids": "df-1"},
        {"ids": [1]},
        {"ids": [f"df-{n}" for n in range(201)]},
        {"expires_in": 0},
        {"expires_in": -5},
        {"expires_in": True},
        {"expires_in": 1.5},
        {"expires_in": "3600"},
        {"expires_in": 30 * 86400 + 1},
        {"label": 5},
        {"label": "x" * 201},
        {"label": "\ud800"},
        {"max_downloads": 0},
        {"max_downloads": 2**70},
        {"max_files": 3},
        {"unknown": 1},
    ],
)
async def test_a_wrong_value_is_refused(site: Datasette, wrong: dict[str, Any]) -> None:
    file = await upload(site, actor=ALICE)
    answer = await make(site, {"ids": [file["id"]], **wrong})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


async def test_a_longest_and_a_default_life_are_configured(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(
        permissions=PERMISSIONS, share_max_days=2, share_default_days=1
    )
    file = await upload(datasette, actor=ALICE)
    assert (
        await make(datasette, {"ids": [file["id"]], "expires_in": 2 * 86400})
    ).status_code == 201
    assert (await make(datasette, {"ids": [file["id"]], "expires_in": 172801})).status_code == 400
    assert (await make(datasette, {"ids": [file["id"]]})).status_code == 201


async def test_an_absent_file_is_not_found(site: Datasette) -> None:
    for absent in ("df-01j5a3b4c5d6e7f8g9h0jkmnpq", "\ud800"):
        answer = await make(site, {"ids": [absent]})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_page_of_another_site_makes_no_link(site: Datasette) -> None:
    file = await upload(site, actor=ALICE)
    for url, body in (
        ("/-/files/-/share", {"ids": [file["id"]]}),
        ("/-/files/source/docs/-/upload-link", {}),
        ("/-/files/-/share/sh-1/revoke", {}),
    ):
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        answer = await site.client.post(url, json=body, actor=ALICE, headers=headers)
        assert answer.status_code == 403
    assert (await site.client.get("/-/files/shares.json", actor=ALICE)).json()["shares"] == []


async def test_a_form_without_scripts_shows_the_address_once(site: Datasette) -> None:
    file = await upload(site, actor=ALICE)
    form = {"id": file["id"], "days": "3", "label": "", "max_downloads": ""}
    answer = await site.client.post(
        "/-/files/-/share", data=form, headers={"Accept": "text/html"}, actor=ALICE
    )
    assert answer.status_code == 201
    assert "http://localhost/-/files/s/" in answer.text


# Listing and revoking


async def test_a_link_is_revoked_by_its_maker_and_again(site: Datasette) -> None:
    file = await upload(site, actor=ALICE)
    made = await share(site, file["id"])
    url = f"/-/files/-/share/{made['id']}/revoke"
    assert (await site.client.post(url, actor=MALLORY)).status_code == 403
    assert (await site.client.post(url)).status_code == 403
    unknown = "/-/files/-/share/sh-none/revoke"
    assert (await site.client.post(unknown, actor=ALICE)).status_code == 404
    assert (await site.client.get(made["path"])).status_code == 200
    for _ in range(2):
        answer = await site.client.post(url, actor=ALICE)
        assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert (await site.client.get(made["path"])).status_code == 404


async def test_links_are_seen_and_ended_by_makers_and_managers(
    make_datasette: MakeDatasette,
) -> None:
    permissions = {**PERMISSIONS, "files-manage": {"id": "boss"}}
    datasette = await make_datasette(permissions=permissions)
    file, other = [await upload(datasette, actor=ALICE) for _ in range(2)]
    shown = await share(datasette, file["id"])
    await share(datasette, other["id"])
    taking = await upload_link(datasette)

    async def listed(actor: dict[str, Any] | None, query: str = "") -> list[str]:
        answer = await datasette.client.get(f"/-/files/shares.json{query}", actor=actor)
        return [one["id"] for one in answer.json()["shares"]]

    assert len(await listed(ALICE)) == len(await listed({"id": "boss"})) == 3
    assert await listed(MALLORY) == await listed(None) == []
    assert await listed(ALICE, f"?id={file['id']}") == [shown["id"]]
    assert await listed(ALICE, "?source=docs") == [taking["id"]]
    revoke = f"/-/files/-/share/{taking['id']}/revoke"
    assert (await datasette.client.post(revoke, actor={"id": "boss"})).status_code == 200
    assert (await datasette.client.get(taking["path"])).status_code == 404
    assert len(await listed(ALICE)) == 2


async def test_the_list_of_links_has_pages(site: Datasette) -> None:
    file = await upload(site, actor=ALICE)
    made = [(await share(site, file["id"]))["id"] for _ in range(5)]
    url, seen = "/-/files/shares.json?_size=2", []
    while url:
        answer = (await site.client.get(url, actor=ALICE)).json()
        seen += [one["id"] for one in answer["shares"]]
        url = answer["next_url"]
    assert seen == made[::-1]


# Receiving


async def test_a_receiver_gets_the_bytes_and_no_name_of_maker_or_source(
    make_datasette: MakeDatasette, tmp_path: Any
) -> None:
    source = {
        "storage": "filesystem",
        "label": "Confidential label",
        "config": {"root": str(tmp_path / "x")},
    }
    datasette = await make_datasette(permissions=PERMISSIONS, sources={"hiddenslug": source})
    file = await upload(datasette, b"hello", source="hiddenslug", actor=ALICE)
    made = await share(datasette, file["id"], label="Hello")
    page = await datasette.client.get(made["path"])
    assert "hello.txt" in page.text
    for secret in ("alice", "Confidential", "hiddenslug", "/-/files/source", "Datasette"):
        assert secret not in page.text
    answer = await datasette.client.get(f"{made['path']}/{file['id']}/download")
    assert answer.content == b"hello"
    taking = await upload_link(datasette, "hiddenslug")
    page = await datasette.client.get(taking["path"])
    assert "hiddenslug" not in page.text
    assert "Confidential" not in page.text


async def test_no_message_to_a_sender_names_the_source(
    make_datasette: MakeDatasette, tmp_path: Any
) -> None:
    source = {
        "storage": "filesystem",
        "max_file_size": 3,
        "allowed_content_types": ["image/*"],
        "config": {"root": str(tmp_path / "x")},
    }
    datasette = await make_datasette(permissions=PERMISSIONS, sources={"hiddenslug": source})
    path = (await upload_link(datasette, "hiddenslug"))["path"]
    for content in (b"four", b"abc"):
        answer = await send(datasette, path, content, "a.txt")
        assert answer.status_code in (413, 415)
        assert "hiddenslug" not in answer.text


async def test_every_answer_is_guarded(site: Datasette) -> None:
    file = await upload(site, actor=ALICE)
    big = await upload(site, b"x" * 300_000, actor=ALICE)
    path = (await share(site, file["id"], big["id"]))["path"]
    taking = (await upload_link(site))["path"]
    one = f"{path}/{file['id']}"
    urls = [path, one, f"{one}/download", f"{one}/inline", f"{one}/thumbnail", f"{path}/zip"]
    urls += [f"{path}/{big['id']}/download", taking, "/-/files/s/wrong", "/-/files/u/wrong"]
    urls += ["/-/files/s/wrong/a/b", f"{taking}/-/prepare", "/-/files/s/"]
    for url in urls:
        headers = (await site.client.get(url)).headers
        assert headers["referrer-policy"] == "no-referrer", url
        assert headers["x-robots-tag"] == "noindex", url
        assert headers["cache-control"] == "no-store", url
        assert headers["x-content-type-options"] == "nosniff", url
        assert "frame-ancestors 'none'" in headers["content-security-policy"], url
        assert "set-cookie" not in headers, url


async def test_an_unforeseen_error_shows_the_token_to_nobody(
    site: Datasette,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = (await share(site, (await upload(site, actor=ALICE))["id"]))["path"]

    async def fail(*_: object, **more: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("datasette_files.catalog.links.Links.open", fail)
    capfd.readouterr()
    answer = await site.client.get(path, headers={"Accept": "text/html"})
    assert (answer.status_code, answer.headers["referrer-policy"]) == (502, "no-referrer")
    assert '/-/files"' not in answer.text
    written = "".join(capfd.readouterr())
    logged = "".join(
        one.getMessage() + str(one.exc_text) for one in caplog.records if "httpx" not in one.name
    )
    assert "unforeseen" in logged
    token = path.rpartition("/")[2]
    assert token not in written + logged


async def test_a_refusal_is_a_page_for_browsers_and_json_for_programs(site: Datasette) -> None:
    page = await site.client.get("/-/files/s/wrong", headers={"Accept": "text/html"})
    assert (page.status_code, "This link does not work" in page.text) == (404, True)
    assert '/-/files"' not in page.text
    answer = await site.client.get("/-/files/s/wrong", headers={"Accept": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_downloads_that_begin_count_and_others_do_not(site: Datasette) -> None:
    file = await upload(site, b"0123456789", actor=ALICE)
    path = (await share(site, file["id"]))["path"]
    one = f"{path}/{file['id']}"
    uncounted = [
        ("GET", path, {}),
        ("GET", f"{one}/thumbnail", {}),
        ("HEAD", f"{one}/download", {}),
        ("HEAD", f"{path}/zip", {}),
        ("GET", f"{one}/download", {"Range": "bytes=5-"}),
        ("GET", f"{one}/download", {"Range": "bytes=-3"}),
        ("GET", f"{one}/download", {"Range": "bytes=50-"}),
    ]
    for method, url, headers in uncounted:
        await site.client.request(method, url, headers=headers)
        assert await downloads(site) == 0, (method, url, headers)
    counted = [
        (f"{one}/download", {}),
        (f"{one}/inline", {}),
        (f"{path}/zip", {}),
        (f"{one}/download", {"Range": "bytes=0-4"}),
        (f"{one}/download", {"Range": "bytes=-10"}),
        (f"{one}/download", {"Range": "bytes=5-", "If-Range": '"another"'}),
    ]
    for number, (url, headers) in enumerate(counted, 1):
        assert (await site.client.get(url, headers=headers)).status_code in (200, 206)
        assert await downloads(site) == number, (url, headers)


async def test_the_last_download_is_given_once_and_its_ranges_continue(site: Datasette) -> None:
    file = await upload(site, b"0123456789", actor=ALICE)
    made = await share(site, file["id"], max_downloads=3)
    url = f"{made['path']}/{file['id']}/download"
    answers = await asyncio.gather(*(site.client.get(url) for _ in range(20)))
    assert sorted(one.status_code for one in answers) == [200] * 3 + [404] * 17
    rest = await site.client.get(url, headers={"Range": "bytes=5-"})
    assert (rest.status_code, rest.content) == (206, b"56789")
    for headers in ({"Range": "bytes=0-"}, {"Range": "bytes=5-", "If-Range": '"other"'}):
        assert (await site.client.get(url, headers=headers)).status_code == 404
    assert (await site.client.get(made["path"])).status_code == 404


async def test_a_link_with_counted_downloads_shows_no_text_beside_them(site: Datasette) -> None:
    file = await upload(site, b"the whole secret", actor=ALICE)
    free = await share(site, file["id"])
    counted = await share(site, file["id"], max_downloads=1)
    assert "the whole secret" in (await site.client.get(free["path"])).text
    assert "the whole secret" not in (await site.client.get(counted["path"])).text


async def test_a_zip_has_every_file_and_its_length(site: Datasette) -> None:
    contents = [b"", b"one", b"x" * 300_000]
    names = ["a.txt", "a.txt", "caf\u00e9.bin"]
    ids = [
        (await upload(site, content, name, actor=ALICE))["id"]
        for content, name in zip(contents, names, strict=True)
    ]
    path = (await share(site, *ids, label="My files"))["path"]
    answer = await site.client.get(f"{path}/zip")
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert 'filename="My_files.zip"' in answer.headers["content-disposition"] or (
        "My%20files.zip" in answer.headers["content-disposition"]
    )
    with zipfile.ZipFile(io.BytesIO(answer.content)) as packed:
        assert packed.testzip() is None
        assert packed.namelist() == ["a.txt", "a (2).txt", "caf\u00e9.bin"]
        assert [packed.read(name) for name in packed.namelist()] == contents
    head = await site.client.head(f"{path}/zip")
    assert head.headers["content-length"] == answer.headers["content-length"]


async def test_a_file_that_was_deleted_leaves_the_link(site: Datasette) -> None:
    first, second = [await upload(site, actor=ALICE) for _ in range(2)]
    path = (await share(site, first["id"], second["id"]))["path"]
    await Files.of(site).trash.delete(
        Files.of(site).sources.get("docs"),
        (await Files.of(site).lookup.existing(first["id"]))[0],
        ALICE,
    )
    assert (await site.client.get(f"{path}/{first['id']}")).status_code == 404
    assert (await site.client.get(f"{path}/{second['id']}")).status_code == 200
    answer = await site.client.get(f"{path}/zip")
    assert len(zipfile.ZipFile(io.BytesIO(answer.content)).namelist()) == 1


async def test_a_picture_is_shown_by_a_thumbnail(site: Datasette) -> None:
    content = fixture("photos/phone.jpg").path.read_bytes()
    file = await upload(site, content, "phone.jpg", content_type="image/jpeg", actor=ALICE)
    path = (await share(site, file["id"]))["path"]
    page = (await site.client.get(path)).text
    assert f"{path}/{file['id']}/thumbnail?w=800" in page
    thumbnail = await site.client.get(f"{path}/{file['id']}/thumbnail?w=800")
    assert (thumbnail.status_code, thumbnail.headers["content-type"]) == (200, "image/jpeg")


async def test_a_redirect_lives_for_a_minute(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = await upload(site, b"0123456789", actor=ALICE)
    made = await share(site, file["id"], max_downloads=2)
    asked: list[int] = []

    async def signed(path: str, *, expires_in: int, **more: Any) -> str:
        asked.append(expires_in)
        return "https://store.example/signed"

    source: Source = Files.of(site).sources.get("docs")
    monkeypatch.setattr(source.storage, "signed_download_url", signed)
    monkeypatch.setattr("datasette_files.transfer.downloads._redirects", lambda *_: True)
    url = f"{made['path']}/{file['id']}/download"
    answer = await site.client.get(url, follow_redirects=False)
    assert (answer.status_code, answer.headers["referrer-policy"]) == (302, "no-referrer")
    # A signed URL gives the whole file, so what is counted as a range is given as a range.
    for number, start in ((1, 3), (2, 0), (2, 3)):
        answer = await site.client.get(
            url, headers={"Range": f"bytes={start}-"}, follow_redirects=False
        )
        assert (answer.status_code, answer.content) == (206, b"0123456789"[start:])
        assert await downloads(site) == number
    assert asked == [60]
    answer = await site.client.get(url, follow_redirects=False)
    assert answer.status_code == 404
    free = f"{(await share(site, file['id']))['path']}/{file['id']}/download"
    answer = await site.client.get(free, headers={"Range": "bytes=3-"}, follow_redirects=False)
    assert (answer.status_code, asked) == (302, [60, 60])


async def test_no_browser_keeps_a_thumbnail_by_a_link(
    site: Datasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = fixture("photos/phone.jpg").path.read_bytes()
    file = await upload(site, content, "phone.jpg", content_type="image/jpeg", actor=ALICE)
    path = (await share(site, file["id"]))["path"]
    # As if the storage served downloads by URLs that it signs.
    monkeypatch.setattr("datasette_files.transfer.downloads.seconds_kept", lambda source: 300)
    own = await site.client.get(f"/-/files/{file['id']}/thumbnail", actor=ALICE)
    assert own.headers["cache-control"] == "private, max-age=300"
    answer = await site.client.get(f"{path}/{file['id']}/thumbnail")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


async def test_a_site_below_a_path_has_its_links_there(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(permissions=PERMISSIONS, settings={"base_url": "/base/"})
    file = await upload(datasette, actor=ALICE)
    made = await share(datasette, file["id"])
    assert made["path"].startswith("/base/-/files/s/")
    page = (await datasette.client.get(made["path"].removeprefix("/base"))).text
    assert f'href="{made["path"]}/{file["id"]}/download"' in page
    taking = (await upload_link(datasette))["path"]
    below = taking.removeprefix("/base")
    answer = await datasette.client.post(f"{below}/-/prepare", json={"filename": "a.txt"})
    assert answer.json()["upload_url"] == f"{taking}/-/upload"


# Sending


async def test_an_upload_link_has_the_documented_shape(site: Datasette) -> None:
    made = await upload_link(site, label="Please send", max_files=3)
    assert {name: made[name] for name in ("label", "max_files", "max_bytes", "files", "bytes")} == {
        "label": "Please send",
        "max_files": 3,
        "max_bytes": 1024**3,
        "files": 0,
        "bytes": 0,
    }
    defaults = await upload_link(site)
    assert defaults["max_files"] == 100
    page = (await site.client.get(made["path"])).text
    assert "Please send" in page
    assert f'link="{made["path"].rpartition("/")[2]}"' in page


async def test_the_steps_lie_below_the_link(site: Datasette) -> None:
    path = (await upload_link(site))["path"]
    answer = await site.client.post(f"{path}/-/prepare", json={"filename": "a.txt", "size": 2})
    prepared = answer.json()
    assert prepared["upload_url"] == f"{path}/-/upload"
    form = {"data": prepared["upload_fields"], "files": {"file": ("a.txt", b"hi")}}
    assert (await site.client.post(prepared["upload_url"], **form)).json() == {"ok": True}
    token = {"upload_token": prepared["upload_token"]}
    for status in (201, 200):
        answer = await site.client.post(f"{path}/-/complete", json=token)
        assert (answer.status_code, answer.json()) == (status, {"ok": True})


async def test_an_ordinary_form_sends_a_file(site: Datasette) -> None:
    path = (await upload_link(site, max_files=1))["path"]
    form = {"files": {"file": ("a.txt", b"hi")}, "headers": {"Accept": "text/html"}}
    answer = await site.client.post(path, **form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, f"{path}?sent=1")
    assert "has arrived" in (await site.client.get(answer.headers["location"])).text
    assert (await site.client.post(path, **form)).status_code == 413


async def test_a_sender_who_is_signed_in_sends_as_nobody(site: Datasette) -> None:
    path = (await upload_link(site))["path"]
    form = {"files": {"file": ("mine.txt", b"hi")}}
    assert (await site.client.post(path, **form, actor=MALLORY)).status_code == 201
    listed = (await site.client.get("/-/files/source/docs.json", actor=ALICE)).json()["files"]
    assert [(one["filename"], one["uploaded_by"]) for one in listed] == [("mine.txt", None)]


async def test_an_expired_upload_gives_its_room_back(
    make_datasette: MakeDatasette,
) -> None:
    datasette = await make_datasette(permissions=PERMISSIONS)
    path = (await upload_link(datasette, max_files=1))["path"]
    declared = {"filename": "a.txt", "size": 2}
    prepare = f"{path}/-/prepare"
    assert (await datasette.client.post(prepare, json=declared)).status_code == 200
    assert (await datasette.client.post(prepare, json=declared)).status_code == 413
    catalog = Files.of(datasette).catalog
    await catalog.write(
        lambda conn: conn.execute("UPDATE datasette_files_uploads SET expires_at = 1").rowcount
    )
    await Files.of(datasette).sweeper.sweep()
    assert (await send(datasette, path)).status_code == 201
