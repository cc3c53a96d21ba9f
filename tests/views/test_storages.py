"""The debug pages: how each source is, and what its storage lists."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.base import FileMetadata
from datasette_files.db import trash
from datasette_files.errors import StorageUnavailable
from datasette_files.sandbox import process
from datasette_files.sandbox.confinement import FILES, NETWORK, PRIVILEGES
from datasette_files.sources import health as inspecting
from datasette_files.sources.redaction import redacted
from datasette_files.transfer.copying import Order
from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.moto_server import shared_store
from tests.support.storages import BasicStorage, MemoryStorage

DEBUG = {**OPEN, "debug-storages": {"id": "admin"}}
ADMIN = {"id": "admin"}


class Hanging(MemoryStorage):
    """Answers nothing, and does not let itself be cancelled."""

    storage_type = "hanging"

    def __init__(self) -> None:
        super().__init__()
        self.goes = asyncio.Event()
        self.asked = 0

    async def get_file_metadata(self, path: str) -> FileMetadata | None:
        self.asked += 1
        while not self.goes.is_set():
            try:
                await self.goes.wait()
            except asyncio.CancelledError:
                continue
        return None

    async def list_files(
        self, prefix: str = "", cursor: str | None = None, limit: int = 100
    ) -> tuple[list[FileMetadata], str | None]:
        await self.goes.wait()
        return [], None


class Broken(BasicStorage):
    """Fails in a way of its own; it cannot list."""

    storage_type = "broken"

    async def get_file_metadata(self, path: str) -> FileMetadata | None:
        raise RuntimeError("the password is swordfish")


class Away(MemoryStorage):
    """Is never brought up."""

    storage_type = "away"

    async def configure(self, config: dict[str, Any], get_secret: Any) -> None:
        raise StorageUnavailable("https://user:swordfish@store.example/?token=swordfish is away")


@pytest.fixture
async def site(
    make_datasette: MakeDatasette,
    register_storages: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[Datasette]:
    monkeypatch.setattr(inspecting, "PROBE_SECONDS", 0.05)
    monkeypatch.setattr(inspecting, "LIST_SECONDS", 0.05)
    register_storages(Hanging, Broken, Away, MemoryStorage)
    sources = {
        "docs": disk_source(tmp_path / "docs", label="Documents"),
        "memory": {"storage": "memory", "config": {"password": "swordfish"}},
        **{name: {"storage": name} for name in ("hanging", "broken", "away")},
    }
    site = await make_datasette(sources, DEBUG)
    yield site
    hanging(site).goes.set()  # else it would hang up the end of the test


def hanging(site: Datasette) -> Hanging:
    storage = Files.of(site).sources.get("hanging").storage
    assert isinstance(storage, Hanging)
    return storage


async def get(site: Datasette, path: str, status: int = 200) -> Any:
    answer = await site.client.get(path, actor=ADMIN)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_each_source_tells_how_it_is(site: Datasette, tmp_path: Path) -> None:
    await upload(site, b"hello")
    prepare = "/-/files/upload/docs/-/prepare"
    await site.client.post(prepare, json={"filename": "a.txt"})
    answer = await get(site, "/-/files/storages.json")
    sources = {source["slug"]: source for source in answer["sources"]}
    docs = sources["docs"]
    assert (docs["up"], docs["problem"], docs["label"]) == (True, None, "Documents")
    assert (docs["files"], docs["bytes"], docs["uploads"]) == (1, 5, {"prepared": 1})
    assert docs["config"] == {"root": str(tmp_path / "docs"), "max_file_size": None}
    assert docs["capabilities"]["can_list"] is True
    assert set(docs["background"].values()) == {0}
    assert sources["memory"]["up"] is True
    assert "has not answered within" in sources["hanging"]["problem"]
    assert "The storage failed (RuntimeError)" in sources["broken"]["problem"]
    assert sources["away"]["problem"] == "https://***@store.example/?*** is away"

    page = await site.client.get("/-/files/storages", actor=ADMIN)
    assert page.status_code == 200
    assert "1 prepared" in page.text
    assert "swordfish" not in page.text + json.dumps(answer)


async def test_what_the_system_refuses_a_sandbox_is_shown_and_logged_once(
    site: Datasette, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await get(site, "/-/files/storages.json")
    if sys.platform == "linux":
        assert list(answer["sandbox"]) == [PRIVILEGES, NETWORK, FILES]
        assert answer["sandbox"][PRIVILEGES] is None
    child = "from datasette_files.sandbox.child import begin\n"
    refuses = "\nfrom datasette_files.sandbox import landlock\nlandlock._CREATE_RULESET = 4444\n"
    monkeypatch.setattr(process, "_PROGRAM", process._PROGRAM.replace(child, child + refuses))
    monkeypatch.setattr(Files.of(site), "protections", process.Protections())
    for _ in range(2):
        page = await site.client.get("/-/files/storages", actor=ADMIN)
        assert "Landlock: <strong>no</strong> (Function not implemented)" in page.text
        assert f"{PRIVILEGES}: yes" in page.text
    said = [one.getMessage() for one in caplog.records if "Sandbox" in one.getMessage()]
    assert "Sandbox: this system refuses Landlock: Function not implemented" in said
    assert len(said) == len(set(said))


async def test_pages_do_not_pile_up_on_a_storage_that_hangs(site: Datasette) -> None:
    for _ in range(3):
        await get(site, "/-/files/storages.json")
    assert hanging(site).asked == 1
    answer = await get(site, "/-/files/storages/list/hanging.json", 408)
    assert answer["code"] == "timeout"
    hanging(site).goes.set()
    await asyncio.sleep(0)
    answer = await get(site, "/-/files/storages.json")
    assert {source["slug"]: source["up"] for source in answer["sources"]}["hanging"] is True
    assert (await get(site, "/-/files/storages/list/hanging.json"))["files"] == []


async def test_what_waits_in_the_background_is_told(site: Datasette) -> None:
    record = await upload(site, b"hello")
    files = Files.of(site)
    file, docs = await files.lookup.existing(record["id"])
    order = Order(docs, files.sources.get("memory"), True, grace=600)
    await files.carry(order, file, lambda size: None)
    insert = "INSERT INTO datasette_files_unhashed VALUES ('df-x', ?, 0, 0)"
    await files.catalog.write(lambda conn: conn.execute(insert, (docs.id,)))
    lease = "INSERT INTO datasette_files_leases VALUES ('sweep', 'x', unixepoch() + 5)"
    await files.catalog.write(lambda conn: conn.execute(lease))
    answer = await get(site, "/-/files/storages.json")
    source = next(source for source in answer["sources"] if source["slug"] == "docs")
    assert source["background"] == {
        **dict.fromkeys(("garbage_due", "garbage_failed", "arriving"), 0),
        **dict.fromkeys(("garbage", "unhashed"), 1),
    }
    assert list(answer["leases"]) == ["sweep"]
    page = (await site.client.get("/-/files/storages", actor=ADMIN)).text
    assert "1 to be deleted, 1 to be hashed" in page

    listed = (await get(site, "/-/files/storages/list/docs.json"))["files"]
    assert [(one["known"], one["to_be_deleted"]) for one in listed] == [(False, True)]


async def test_a_listing_marks_what_is_in_the_trash(site: Datasette) -> None:
    record = await upload(site, b"hello", "thrown-away.txt")
    now = time.time()
    await Files.of(site).catalog.write(
        lambda conn: trash.add(conn, record["id"], "somebody", now, now + 3600)
    )
    (listed,) = (await get(site, "/-/files/storages/list/docs.json"))["files"]
    assert (listed["known"], listed["in_trash"]) == (True, True)
    assert (listed["file_id"], listed["to_be_deleted"]) == (None, False)
    page = (await site.client.get("/-/files/storages/list/docs", actor=ADMIN)).text
    assert "in the trash</td>" in page
    answer = await get(site, "/-/files/storages.json")
    docs = next(source for source in answer["sources"] if source["slug"] == "docs")
    assert (docs["files"], docs["trash"]) == (0, {"files": 1, "bytes": 5})
    page = (await site.client.get("/-/files/storages", actor=ADMIN)).text
    assert "; in the trash 1 file, " in page


async def test_a_listing_marks_what_is_on_its_way(site: Datasette) -> None:
    """Bytes that arrived, and whose upload is not completed: nobody is to take them for stray."""
    steps = "/-/files/upload/docs/-/"
    token = (await site.client.post(f"{steps}prepare", json={"filename": "a.txt"})).json()
    fields = {"upload_token": token["upload_token"]}
    await site.client.post(f"{steps}upload", data=fields, files={"file": ("a.txt", b"hello")})
    (listed,) = (await get(site, "/-/files/storages/list/docs.json"))["files"]
    assert (listed["known"], listed["arriving"]) == (False, True)
    page = (await site.client.get("/-/files/storages/list/docs", actor=ADMIN)).text
    assert "being uploaded</td>" in page
    assert (await site.client.post(f"{steps}complete", json=fields)).status_code == 201
    (listed,) = (await get(site, "/-/files/storages/list/docs.json"))["files"]
    assert (listed["known"], listed["arriving"]) == (True, False)


async def test_a_listing_marks_what_the_catalog_knows(site: Datasette, tmp_path: Path) -> None:
    record = await upload(site, b"hello", "known.txt")
    for name in ("b/<i>stray</i>.txt", "c.txt"):
        path = tmp_path / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"stray")
    first = await get(site, "/-/files/storages/list/docs.json?_size=2")
    rest = await get(site, first["next_url"])
    assert rest["next"] is None
    listed = {one["path"]: one for one in first["files"] + rest["files"]}
    known = listed.pop(next(path for path in listed if path.endswith("known.txt")))
    assert (known["known"], known["file_id"], known["size"]) == (True, record["id"], 5)
    assert known["url"] == f"/-/files/{record['id']}"
    assert {path: one["known"] for path, one in listed.items()} == {
        "b/<i>stray</i>.txt": False,
        "c.txt": False,
    }
    found = await get(site, "/-/files/storages/list/docs.json?prefix=b/")
    assert [one["path"] for one in found["files"]] == ["b/<i>stray</i>.txt"]

    page = (await site.client.get("/-/files/storages/list/docs?_size=2", actor=ADMIN)).text
    assert "<i>stray" not in page
    assert "Next page" in page
    assert ">unknown</strong>" in page
    assert f'href="/-/files/{record["id"]}"' in page


async def test_page_tokens_are_those_of_their_list_alone(site: Datasette, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "docs" / name).write_bytes(b"stray")
    list_url = "/-/files/storages/list/docs.json"
    token = (await get(site, f"{list_url}?_size=1"))["next"]
    await get(site, f"{list_url}?_size=1&_next={token}")
    forged = site.sign(["docs", "", "rubbish"], "datasette-files-listing")
    for query in (f"prefix=a&_next={token}", "_next=rubbish", f"_next={token}x", f"_next={forged}"):
        assert (await get(site, f"{list_url}?{query}", 400))["code"] == "invalid"
    for prefix in ("%00", "x" * 1025):
        await get(site, f"{list_url}?prefix={prefix}", 400)
    other = f"/-/files/storages/list/memory.json?_next={token}"
    assert (await get(site, other, 400))["code"] == "invalid"


async def test_storages_that_cannot_be_listed_say_so(site: Datasette) -> None:
    for source, status, code in (
        ("broken", 405, "not_supported"),
        ("away", 503, "storage_unavailable"),
        ("elsewhere", 404, "not_found"),
    ):
        answer = await get(site, f"/-/files/storages/list/{source}.json", status)
        assert answer["code"] == code


async def test_the_menus_lead_there_for_who_may(site: Datasette) -> None:
    for actor, shown in ((ADMIN, True), ({"id": "alice"}, False), (None, False)):
        page = (await site.client.get("/-/files", actor=actor)).text
        assert ('href="/-/files/storages"' in page) is shown
        items = (await site.client.get("/-/jump.json?q=storages", actor=actor)).json()
        assert ("/-/files/storages" in json.dumps(items)) is shown


async def test_a_bucket_shows_no_credential(make_datasette: MakeDatasette) -> None:
    config = shared_store().config("there/", session_token="swordfish-token")
    site = await make_datasette({"s3": {"storage": "s3", "config": config}}, DEBUG)
    answer = await get(site, "/-/files/storages.json")
    (source,) = answer["sources"]
    assert source["up"] is True, source
    assert source["config"]["bucket"] == config["bucket"]
    page = (await site.client.get("/-/files/storages", actor=ADMIN)).text
    for secret in (config["secret_access_key"], "swordfish"):
        assert secret not in page + json.dumps(answer)


def test_what_may_be_secret_is_hidden_by_its_name_and_in_addresses() -> None:
    config = {
        "root": "/data",
        "api_key": "x",
        "deep": {"Password": "x", "url": "ftp://me:x@host/a?sig=x&b"},
        "list": ["https://x@host"],
        "token": None,
        "size": 3,
    }
    assert redacted(config) == {
        "root": "/data",
        "api_key": "***",
        "deep": {"Password": "***", "url": "ftp://***@host/a?***"},
        "list": ["https://***@host"],
        "token": None,
        "size": 3,
    }
