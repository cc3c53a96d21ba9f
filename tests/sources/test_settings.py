"""Settings of a source: changed, refused, recorded, reset; at once in every process.

Leaves out the grants of the routes (test_permissions_matrix.py) and the form in a browser
(browser/test_settings.py).
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from datasette.app import Datasette
from pydantic import BaseModel

from datasette_files.app import Files
from datasette_files.base import StorageCapabilities
from datasette_files.db import settings as rows
from datasette_files.views.settings import parse_size, size_text
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.fixtures import fixture
from tests.support.storages import SignedStorage, installed, storage_class

ALICE, BOB = {"id": "alice"}, {"id": "bob"}
EVERYTHING = {**OPEN, "files-manage": True}
URL = "/-/files/source/docs/settings"


@pytest.fixture
async def datasette(make_datasette: MakeDatasette) -> Datasette:
    """One source ``docs``; everybody may do everything."""
    return await make_datasette(permissions=EVERYTHING)


async def change(datasette: Datasette, actor: Any = None, **settings: Any) -> dict[str, Any]:
    answer = await datasette.client.post(
        f"{URL}/-/update", json={"settings": settings}, actor=actor
    )
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def values(datasette: Datasette) -> dict[str, Any]:
    answer = (await datasette.client.get(f"{URL}.json")).json()
    return {key: one["value"] for key, one in answer["settings"].items()}


# What each does


async def test_limits_and_types_hold_for_the_next_upload(datasette: Datasette) -> None:
    client = datasette.client
    await change(datasette, max_file_size=3, allowed_content_types=["TEXT/*"])
    for url, body in {
        "/-/files/upload/docs/-/prepare": {"json": {"filename": "a.txt", "size": 4}},
        "/-/files/upload/docs": {"files": {"file": ("a.txt", b"four")}},
    }.items():
        refused = await client.post(url, **body)
        assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    page = (await client.get("/-/files/upload/docs")).text
    assert 'max-size="3" accept="text/*"' in page
    await upload(datasette, b"abc", "a.txt")
    other = await client.put("/-/files/upload/docs/a.bin", content=b"\x00\x01\x02")
    assert (other.status_code, other.json()["code"]) == (415, "bad_type")
    await change(datasette, max_file_size=None, allowed_content_types=None)
    await upload(datasette, fixture("photos/phone.jpg").path.read_bytes(), "a.jpg")


async def test_label_template_thumbnails_and_trash_hold_at_once(datasette: Datasette) -> None:
    client = datasette.client
    picture = fixture("photos/phone.jpg").path.read_bytes()
    first = await upload(datasette, picture, "first.jpg", content_type="image/jpeg")
    assert (await client.get(first["thumbnail_url"])).headers["content-type"] == "image/jpeg"
    await change(
        datasette,
        label="Papers & more",
        path_template="{year}/{ulid}/{filename}",
        thumbnails=False,
        trash_days=3,
    )
    second = await upload(datasette, picture, "second.jpg", content_type="image/jpeg")
    paths = [(await client.get(f"{file['url']}.json")).json()["path"] for file in (first, second)]
    assert [path.count("/") for path in paths] == [1, 2]
    for file in (first, second):
        assert (await client.get(file["download_url"])).content == picture
        icon = await client.get(file["thumbnail_url"])
        assert icon.headers["content-type"].startswith("image/svg+xml")
        shown = (await client.get(file["url"])).text
        assert "Papers &amp; more" in shown
    sources = (await client.get("/-/files/sources.json")).json()["sources"]
    assert sources[0]["label"] == "Papers & more"
    gone = await client.post(f"{first['url']}/-/delete", json={})
    assert "trashed_until" in gone.json()
    await change(datasette, thumbnails=True)
    assert (await client.get(second["thumbnail_url"])).headers["content-type"] == "image/jpeg"


class _Signing(BaseModel):
    presign_ttl_seconds: int = 120


async def test_a_signed_url_lives_as_long_as_the_setting_says(
    make_datasette: MakeDatasette,
) -> None:
    with installed(type("Signing", (SignedStorage,), {"config_model": _Signing})):
        datasette = await make_datasette({"docs": {"storage": "signed"}}, EVERYTHING)
    file = await upload(datasette)

    async def lives() -> str:
        moved = await datasette.client.get(file["download_url"])
        return parse_qs(urlsplit(moved.headers["location"]).query)["expires_in"][0]

    assert await lives() == "120"
    await change(datasette, presign_ttl_seconds=7)
    assert await lives() == "7"
    for wrong in (True, "7", None, 1.5):
        body = {"settings": {"presign_ttl_seconds": wrong}}
        refused = await datasette.client.post(f"{URL}/-/update", json=body)
        assert refused.status_code == 400, wrong
    assert await lives() == "7"


# In every process


async def test_another_process_has_a_change_with_its_next_request(
    make_datasette: MakeDatasette,
) -> None:
    """Also where the first thing that a request does is what the setting is about."""
    one, other = [await make_datasette(permissions=EVERYTHING) for _ in range(2)]
    file = await upload(other, b"x" * 50, "a.txt")
    for limit in (10, 20):
        await change(one, max_file_size=limit)
        sent = {"filename": "a.txt", "size": limit + 1}
        for url, body in {
            "-/prepare": {"json": sent},
            "": {"files": {"file": ("a", b"x" * (limit + 1))}},
        }.items():
            answer = await other.client.post(f"/-/files/upload/docs/{url}".rstrip("/"), **body)
            assert (answer.status_code, str(limit) in answer.text) == (413, True)
        sent["size"] = limit
        prepared = await other.client.post("/-/files/upload/docs/-/prepare", json=sent)
        assert prepared.status_code == 200
    await change(one, trash_days=1)
    gone = await other.client.post(f"{file['url']}/-/delete", json={})
    assert "trashed_until" in gone.json()
    await one.client.post(f"{URL}/-/reset", json={})
    assert (await values(other))["trash_days"] is None
    await upload(other, b"x" * 50, "b.txt")


async def test_settings_cost_no_hop(datasette: Datasette, monkeypatch: Any) -> None:
    """A request makes as many trips to the database as without any settings."""
    files = Files.of(datasette)
    file = await upload(datasette)
    database = datasette.get_internal_database()
    hops: list[str] = []

    def count(name: str) -> None:
        real = getattr(database, name)

        async def counted(*args: Any, **more: Any) -> Any:
            hops.append(name)
            return await real(*args, **more)

        monkeypatch.setattr(database, name, counted)

    count("execute_fn")
    count("execute_write_fn")

    async def cost(method: str, url: str, **body: Any) -> int:
        hops.clear()
        assert (await datasette.client.request(method, url, **body)).is_success
        return len(hops)

    async def costs() -> list[int]:
        return [
            await cost("GET", f"{file['url']}.json"),
            await cost("GET", file["download_url"]),
            await cost("GET", "/-/files/source/docs.json"),
            await cost("PUT", "/-/files/upload/docs/a.txt", content=b"x"),
            await cost("POST", "/-/files/upload/docs/-/prepare", json={"filename": "a"}),
        ]

    with_settings = await costs()
    monkeypatch.setattr(files.catalog, "before_each", lambda conn: None)
    assert await costs() == with_settings
    assert with_settings[0] == with_settings[1] == 1


async def test_a_start_has_what_was_changed_before(make_datasette: MakeDatasette) -> None:
    before = await make_datasette(permissions=EVERYTHING)
    await change(before, label="Papers", max_file_size=3)
    after = await make_datasette(permissions=EVERYTHING)
    source = Files.of(after).sources.get("docs")
    assert (source.label, source.max_file_size) == ("Papers", 3)


# What is refused


_REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"root": "/"}, ["root"]),
    ({"config": {"root": "/"}}, ["config"]),
    ({"storage": "s3"}, ["storage"]),
    ({"pinned": []}, ["pinned"]),
    ({"presign_ttl_seconds": 5}, ["presign_ttl_seconds"]),  # a disk signs nothing
    ({"max_file_size": 0}, ["max_file_size"]),
    ({"max_file_size": True}, ["max_file_size"]),
    ({"max_file_size": "5"}, ["max_file_size"]),
    ({"max_file_size": 2**63}, ["max_file_size"]),
    ({"max_file_size": 5, "label": 5, "thumbnails": None}, ["label", "thumbnails"]),
    ({"label": "x" * 201}, ["label"]),
    ({"label": "a\nb"}, ["label"]),
    ({"label": "\ud800"}, ["label"]),
    ({"label": "a\u202eb"}, ["label"]),
    ({"label": " "}, ["label"]),
    ({"allowed_content_types": []}, ["allowed_content_types"]),
    ({"allowed_content_types": ["image"]}, ["allowed_content_types"]),
    ({"allowed_content_types": "image/*"}, ["allowed_content_types"]),
    ({"allowed_content_types": ["a/b"] * 201}, ["allowed_content_types"]),
    ({"path_template": "{filename}"}, ["path_template"]),
    ({"path_template": "../{ulid}"}, ["path_template"]),
    ({"path_template": None}, ["path_template"]),
    ({"trash_days": -1}, ["trash_days"]),
    ({"trash_days": 40000}, ["trash_days"]),
]


async def test_a_value_that_the_yaml_could_not_have_is_refused_by_name(
    datasette: Datasette,
) -> None:
    before = await values(datasette)
    for settings, named in _REFUSED:
        refused = await datasette.client.post(
            f"{URL}/-/update", content=json.dumps({"settings": settings}).encode()
        )
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid"), settings
        assert sorted(error.partition(":")[0] for error in refused.json()["errors"]) == named
    for body in (
        {},
        {"settings": {}},
        {"settings": []},
        {"settings": {"label": "x"}, "version": "x"},
    ):
        refused = await datasette.client.post(f"{URL}/-/update", json=body)
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid"), body
    assert await values(datasette) == before
    assert (await datasette.client.get(f"{URL}.json")).json()["changes"] == []


async def test_what_the_yaml_pins_cannot_be_changed(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    free = {"docs": disk_source(tmp_path / "docs", label="Documents")}
    await change(await make_datasette(free, EVERYTHING), label="Papers", max_file_size=5)
    pinned = {"docs": disk_source(tmp_path / "docs", label="Documents", pinned=["label"])}
    datasette = await make_datasette(pinned, EVERYTHING)
    shown = (await datasette.client.get(f"{URL}.json")).json()["settings"]
    assert shown["label"] == {
        "value": "Documents",
        "yaml": "Documents",
        "changed": False,
        "pinned": True,
    }
    assert shown["max_file_size"]["value"] == 5
    body = {"settings": {"label": "x", "max_file_size": 6}}
    refused = await datasette.client.post(f"{URL}/-/update", json=body)
    assert (refused.status_code, "pinned" in refused.text) == (400, True)
    assert (await values(datasette))["max_file_size"] == 5
    page = (await datasette.client.get(URL)).text
    assert "Pinned by the configuration" in page
    assert 'name="label"' not in page


async def test_a_stored_value_that_another_yaml_makes_wrong_is_not_used(
    datasette: Datasette, caplog: pytest.LogCaptureFixture
) -> None:
    source = Files.of(datasette).sources.get("docs")

    def store(conn: Any) -> None:
        rows.put(conn, source.id, {"label": 5, "trash_days": 3, "gone": 1})
        rows.record(conn, source.id, None, 0, [("label", None, 5)], is_reset=False)

    await Files.of(datasette).catalog.write(store)
    found = await values(datasette)
    assert (found["label"], found["trash_days"]) == (None, 3)
    assert "The setting label of source 'docs' is not used" in caplog.text


async def test_two_limits_in_the_yaml_are_replaced_by_one(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    source = disk_source(tmp_path / "docs", max_file_size=10)
    source["config"]["max_file_size"] = 10
    datasette = await make_datasette({"docs": source}, EVERYTHING)
    assert (await values(datasette))["max_file_size"] == 10
    await change(datasette, max_file_size=20)
    await upload(datasette, b"x" * 20)
    await change(datasette, max_file_size=10)
    shown = (await datasette.client.get(f"{URL}.json")).json()["settings"]["max_file_size"]
    assert shown == {"value": 10, "yaml": 10, "changed": False, "pinned": False}


async def test_a_storages_own_limit_still_caps(make_datasette: MakeDatasette) -> None:
    powers = StorageCapabilities(can_upload=True, max_file_size=4)
    with installed(storage_class(capabilities=powers)):
        datasette = await make_datasette({"docs": {"storage": "memory"}}, EVERYTHING)
    await change(datasette, max_file_size=100)
    refused = await datasette.client.put("/-/files/upload/docs/a", content=b"12345")
    assert refused.status_code == 413
    assert "at most 4 bytes" in (await datasette.client.get(URL)).text


# The record, the way back, and two at once


async def test_each_change_is_recorded_and_a_reset_follows_the_yaml_again(
    datasette: Datasette,
) -> None:
    first = await change(datasette, ALICE, label="Papers", trash_days=3)
    assert first["version"] == 2
    same = await change(datasette, BOB, label="Papers")
    assert same["version"] == 2
    assert (await change(datasette, BOB, trash_days=None))["version"] == 3
    reset = (await datasette.client.post(f"{URL}/-/reset", json={}, actor=ALICE)).json()
    told = [
        (one["actor_id"], one["setting"], one["old"], one["new"], one["reset"])
        for one in reset["changes"]
    ]
    assert told[0] == ("alice", "label", "Papers", None, True)
    assert told[1] == ("bob", "trash_days", 3, None, False)
    assert sorted(told[2:]) == [
        ("alice", "label", None, "Papers", False),
        ("alice", "trash_days", None, 3, False),
    ]
    assert not any(one["changed"] for one in reset["settings"].values())
    again = (await datasette.client.post(f"{URL}/-/reset", json={})).json()
    assert again["version"] == reset["version"]
    page = (await datasette.client.get(URL)).text
    assert "(reset)" in page
    assert "alice" in page


async def test_who_has_not_seen_a_change_does_not_overwrite_it(datasette: Datasette) -> None:
    async def save(label: str) -> int:
        body = {"settings": {"label": label}, "version": 0}
        return (await datasette.client.post(f"{URL}/-/update", json=body)).status_code

    assert sorted(await asyncio.gather(*(save(f"label {n}") for n in range(5)))) == [
        200,
        *[409] * 4,
    ]
    stale = await datasette.client.post(f"{URL}/-/reset", json={"version": 0})
    assert (stale.status_code, stale.json()["code"]) == (409, "conflict")


async def test_the_record_is_bounded(datasette: Datasette, monkeypatch: Any) -> None:
    monkeypatch.setattr(rows, "_MAX_CHANGES", 3)
    for number in range(6):
        found = await change(datasette, label=str(number))
    assert [one["new"] for one in found["changes"]] == ["5", "4", "3"]
    assert found["version"] == 6


# The form


async def test_a_form_is_saved_or_comes_back_with_what_is_wrong(datasette: Datasette) -> None:
    page = {"Accept": "text/html"}
    client = datasette.client
    form = {
        "version": "0",
        "label": " Papers ",
        "max_file_size": "1.5 GB",
        "allowed_content_types": "image/*\r\napplication/pdf",
        "path_template": "{ulid}/{filename}",
        "thumbnails": "off",
        "trash_days": "",
    }
    wrong = {**form, "max_file_size": "much", "trash_days": "40000", "label": "<b>"}
    refused = await client.post(f"{URL}/-/update", data=wrong, headers=page)
    assert refused.status_code == 400
    for text in (
        "must be a size such as 500 MB",
        "must be less than or equal to 36500",
        'value="much"',
    ):
        assert text in refused.text
    assert refused.text.count('aria-invalid="true"') == 2
    assert "<b>" not in refused.text.split("<main", 1)[1].replace("&lt;b&gt;", "")
    saved = await client.post(f"{URL}/-/update", data=form, headers=page)
    assert (saved.status_code, saved.headers["location"]) == (303, URL)
    found = await values(datasette)
    assert found == {
        "label": "Papers",
        "max_file_size": 1536 * 1024 * 1024,
        "allowed_content_types": ["image/*", "application/pdf"],
        "path_template": "{ulid}/{filename}",
        "thumbnails": False,
        "trash_days": None,
        **dict.fromkeys(("quota_bytes", "quota_files", "quota_bytes_per_actor")),
    }
    late = {**form, "label": "Mine"}
    conflict = await client.post(f"{URL}/-/update", data=late, headers=page)
    assert conflict.status_code == 409
    assert 'value="Mine"' in conflict.text
    assert "changed by somebody else" in conflict.text
    assert 'name="version" value="4"' in conflict.text
    program = await client.post(f"{URL}/-/update", data=wrong)
    assert (program.status_code, program.json()["code"]) == (400, "invalid")
    reset = await client.post(f"{URL}/-/reset", data={"version": "4"}, headers=page)
    assert reset.status_code == 303
    assert (await values(datasette))["label"] is None


async def test_a_form_changes_no_field_that_was_left_alone(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    """Nor those that a form cannot write as the yaml does."""
    odd = {"label": " Documents ", "allowed_content_types": []}
    datasette = await make_datasette({"docs": disk_source(tmp_path / "docs", **odd)}, EVERYTHING)
    form = {
        "version": "0",
        "label": " Documents ",
        "max_file_size": "5 KB",
        "allowed_content_types": "",
        "path_template": "{ulid}/{filename}",
        "thumbnails": "on",
        "trash_days": "",
    }
    page = {"Accept": "text/html"}
    saved = await datasette.client.post(f"{URL}/-/update", data=form, headers=page)
    assert saved.status_code == 303
    changes = (await datasette.client.get(f"{URL}.json")).json()["changes"]
    assert [(one["setting"], one["new"]) for one in changes] == [("max_file_size", 5120)]
    assert (await values(datasette))["allowed_content_types"] == []


async def test_a_refused_form_undoes_nothing_that_others_did(datasette: Datasette) -> None:
    page, client = {"Accept": "text/html"}, datasette.client
    form = {
        "version": "0",
        "label": "Mine",
        "max_file_size": "much",
        "path_template": "{ulid}/{filename}",
        "thumbnails": "on",
        "trash_days": "",
    }
    await change(datasette, trash_days=7)
    await change(datasette, label="Theirs")
    # A mistake: what the form was opened on stays, so that saving it again meets the conflict.
    refused = await client.post(f"{URL}/-/update", data=form, headers=page)
    assert (refused.status_code, 'name="version" value="0"' in refused.text) == (400, True)
    form["max_file_size"] = ""
    conflict = await client.post(f"{URL}/-/update", data=form, headers=page)
    assert (conflict.status_code, 'name="version" value="2"' in conflict.text) == (409, True)
    assert 'name="trash_days"' in conflict.text
    assert 'value="7"' in conflict.text  # which was left alone
    assert 'value="Mine"' in conflict.text
    now = "Somebody else has meanwhile set this to <code>Theirs</code>"
    assert conflict.text.count("Somebody else has meanwhile") == conflict.text.count(now) == 1
    form.update(version="2", trash_days="7")
    saved = await client.post(f"{URL}/-/update", data=form, headers=page)
    assert saved.status_code == 303
    found = await values(datasette)
    assert (found["label"], found["trash_days"]) == ("Mine", 7)


def test_sizes_are_read_as_they_are_written() -> None:
    sizes = {
        "0": 0,
        "104857600": 104857600,
        "1,000 bytes": 1000,
        "500 MB": 500 * 1024**2,
        "1.5gb": 1536 * 1024**2,
        "2 TiB": 2 * 1024**4,
    }
    for text, size in sizes.items():
        assert parse_size(text) == size
        assert parse_size(size_text(size)) == size
    assert parse_size("") is None
    for text in ("1 k", "-1", "٣ MB", "1e9", "MB"):
        with pytest.raises(ValueError, match="size such as"):
            parse_size(text)
