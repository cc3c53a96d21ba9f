"""A link's rights: never more than its maker has at that moment, and none once it ended."""

import asyncio
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datasette.app import Datasette

from datasette_files.app import Files
from datasette_files.db.shares import Share
from datasette_files.errors import NotFound
from datasette_files.naming import token_digest
from datasette_files.permissions import shares
from datasette_files.permissions.shares import Guessing
from tests.conftest import MakeDatasette, disk_source, upload
from tests.support.sharing import (
    ALICE,
    MALLORY,
    PERMISSIONS,
    send,
    share,
    upload_link,
    withdrawable,
)

#: What is below a link to one file.
BELOW = ("", "/{id}", "/{id}/download", "/{id}/inline", "/{id}/thumbnail", "/zip")


async def site(make: MakeDatasette, **more: Any) -> tuple[Datasette, dict[str, Any]]:
    datasette = await make(permissions=PERMISSIONS, **more)
    return datasette, await upload(datasette, b"0123456789", "a.txt", actor=ALICE)


async def statuses(datasette: Datasette, path: str, file: dict[str, Any]) -> set[int]:
    urls = [path + below.format(**file) for below in BELOW]
    return {(await datasette.client.get(url)).status_code for url in urls}


def edit(datasette: Datasette, sql: str, *values: object) -> None:
    path = datasette.get_internal_database().path
    with sqlite3.connect(path) as conn:
        conn.execute(sql, values)
    conn.close()


def test_a_token_has_192_random_bits() -> None:
    tokens = {shares.new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert {len(token) for token in tokens} == {192 // 6}


async def test_only_a_tokens_digest_is_stored(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    datasette, file = await site(make_datasette)
    made = await share(datasette, file["id"])
    token = made["path"].rpartition("/")[2]
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("internal.db*"))
    assert token.encode() not in stored
    assert token_digest(token).encode() in stored


@pytest.mark.parametrize("end", ["SET expires_at = 1", "SET revoked_at = 1"])
async def test_an_upload_link_that_ends_is_refused_in_the_next_transaction(
    make_datasette: MakeDatasette, end: str
) -> None:
    datasette, _ = await site(make_datasette)
    token = (await upload_link(datasette))["path"].rpartition("/")[2]
    files = Files.of(datasette)
    right, source = await files.links.upload_grant(token)
    await files.catalog.read(lambda conn: right.check(conn, source.slug))
    edit(datasette, f"UPDATE datasette_files_shares {end}")
    with pytest.raises(NotFound):
        await files.catalog.read(lambda conn: right.check(conn, source.slug))


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE datasette_files_shares SET expires_at = 1",
        "UPDATE datasette_files_shares SET revoked_at = 1",
        "UPDATE datasette_files_shares SET max_downloads = 1, downloads = 1",
        "UPDATE datasette_files_shares SET kind = 'upload'",
        'UPDATE datasette_files_shares SET maker = \'{"id": "mallory"}\'',
        "DELETE FROM datasette_files",
        "DELETE FROM datasette_files_shares",
    ],
)
async def test_every_link_that_does_not_work_answers_as_a_wrong_one(
    make_datasette: MakeDatasette, end: str
) -> None:
    datasette, file = await site(make_datasette)
    path = (await share(datasette, file["id"]))["path"]
    assert await statuses(datasette, path, file) == {200}
    edit(datasette, end)
    for below in BELOW:
        url = below.format(**file)
        ended = await datasette.client.get(path + url)
        wrong = await datasette.client.get("/-/files/s/" + "x" * 32 + url)
        assert (ended.status_code, ended.content) == (404, wrong.content)
        assert ended.headers == wrong.headers


@pytest.mark.parametrize("action", ["files-browse", "files-share"])
async def test_a_link_is_suspended_while_its_maker_has_lost_a_right(
    make_datasette: MakeDatasette, action: str
) -> None:
    with withdrawable() as withdrawn:
        datasette, file = await site(make_datasette)
        path = (await share(datasette, file["id"]))["path"]
        withdrawn.actions.add(action)
        assert await statuses(datasette, path, file) == {404}
        listed = (await datasette.client.get("/-/files/shares.json", actor=ALICE)).json()["shares"]
        assert [one["suspended"] for one in listed] == [True]
        withdrawn.actions.clear()
        assert await statuses(datasette, path, file) == {200}


async def test_a_right_withdrawn_between_two_ranges_ends_the_download(
    make_datasette: MakeDatasette,
) -> None:
    with withdrawable() as withdrawn:
        datasette, file = await site(make_datasette)
        url = f"{(await share(datasette, file['id']))['path']}/{file['id']}/download"
        first = await datasette.client.get(url, headers={"Range": "bytes=0-4"})
        assert (first.status_code, first.content) == (206, b"01234")
        withdrawn.actions.add("files-browse")
        rest = await datasette.client.get(url, headers={"Range": "bytes=5-"})
        assert rest.status_code == 404


@pytest.mark.parametrize("action", ["files-upload", "files-share"])
@pytest.mark.parametrize("step", ["page", "prepare", "upload", "complete"])
async def test_a_right_withdrawn_during_an_upload_stores_nothing(
    make_datasette: MakeDatasette, step: str, action: str
) -> None:
    with withdrawable() as withdrawn:
        datasette, _ = await site(make_datasette)
        client = datasette.client
        path = (await upload_link(datasette))["path"]
        steps = ["page", "prepare", "upload", "complete"]

        def before(name: str) -> bool:
            return steps.index(name) < steps.index(step)

        prepared: dict[str, Any] = {"upload_token": "", "upload_fields": {}}
        if before("prepare"):
            answer = await client.post(f"{path}/-/prepare", json={"filename": "b.txt", "size": 2})
            prepared = answer.json()
        form = {"data": prepared["upload_fields"], "files": {"file": ("b.txt", b"ok")}}
        if before("upload"):
            assert (await client.post(f"{path}/-/upload", **form)).status_code == 200
        withdrawn.actions.add(action)
        answers = {
            "page": lambda: client.get(path),
            "prepare": lambda: client.post(f"{path}/-/prepare", json={"filename": "b.txt"}),
            "upload": lambda: client.post(f"{path}/-/upload", **form),
            "complete": lambda: client.post(
                f"{path}/-/complete", json={"upload_token": prepared["upload_token"]}
            ),
        }
        assert (await answers[step]()).status_code == 404
        rows = await Files.of(datasette).catalog.read(
            lambda conn: [row[0] for row in conn.execute("SELECT filename FROM datasette_files")]
        )
        assert rows == ["a.txt"]


async def test_a_link_keeps_the_restrictions_of_its_makers_token(
    make_datasette: MakeDatasette,
) -> None:
    datasette, file = await site(make_datasette)
    restricted = {"id": "alice", "_r": {"a": ["fb", "files-share"]}}
    path = (await share(datasette, file["id"], actor=restricted))["path"]
    assert await statuses(datasette, path, file) == {200}
    edit(
        datasette, "UPDATE datasette_files_shares SET maker = ?", '{"id": "alice", "_r": {"a": []}}'
    )
    assert await statuses(datasette, path, file) == {404}


@pytest.mark.parametrize("actor", [None, {}, {"name": "no id"}, MALLORY])
async def test_who_may_not_share_makes_no_link(
    make_datasette: MakeDatasette, actor: dict[str, Any] | None
) -> None:
    datasette, file = await site(make_datasette)
    for url, body in (
        ("/-/files/-/share", {"ids": [file["id"]]}),
        ("/-/files/source/docs/-/upload-link", {}),
    ):
        answer = await datasette.client.post(url, json=body, actor=actor)
        assert (answer.status_code, answer.json()["code"]) == (403, "permission_denied")


@pytest.mark.parametrize("lacking", ["files-share", "files-browse"])
async def test_sharing_needs_the_right_to_view_and_to_share(
    make_datasette: MakeDatasette, lacking: str
) -> None:
    with withdrawable() as withdrawn:
        datasette, file = await site(make_datasette)
        withdrawn.actions.add(lacking)
        body = {"ids": [file["id"]]}
        answer = await datasette.client.post("/-/files/-/share", json=body, actor=ALICE)
        assert answer.status_code == 403


async def test_an_upload_link_needs_the_right_to_upload(make_datasette: MakeDatasette) -> None:
    with withdrawable() as withdrawn:
        datasette, _ = await site(make_datasette)
        withdrawn.actions.add("files-upload")
        url = "/-/files/source/docs/-/upload-link"
        assert (await datasette.client.post(url, json={}, actor=ALICE)).status_code == 403


async def test_owners_share_their_own_files_alone(make_datasette: MakeDatasette) -> None:
    everybody = {"files-browse": True, "files-upload": True, "files-share": {"id": "boss"}}
    datasette = await make_datasette(permissions=everybody, owners_can_share=True)
    own = await upload(datasette, b"own", "own.txt", actor=ALICE)
    other = await upload(datasette, b"other", "other.txt", actor=MALLORY)
    path = (await share(datasette, own["id"]))["path"]
    assert (await datasette.client.get(f"{path}/{own['id']}/download")).content == b"own"
    for ids in ([other["id"]], [own["id"], other["id"]]):
        answer = await datasette.client.post("/-/files/-/share", json={"ids": ids}, actor=ALICE)
        assert answer.status_code == 403
    url = "/-/files/source/docs/-/upload-link"
    assert (await datasette.client.post(url, json={}, actor=ALICE)).status_code == 403


async def test_a_denial_on_the_source_beats_the_owner(make_datasette: MakeDatasette) -> None:
    permissions = {
        "files-browse": True,
        "files-upload": True,
        "files-share": {"docs": {"allow": False}},
    }
    datasette = await make_datasette(permissions=permissions, owners_can_share=True)
    own = await upload(datasette, b"own", "own.txt", actor=ALICE)
    body = {"ids": [own["id"]]}
    answer = await datasette.client.post("/-/files/-/share", json=body, actor=ALICE)
    assert answer.status_code == 403


async def test_a_cookie_beside_a_link_widens_nothing(make_datasette: MakeDatasette) -> None:
    datasette, file = await site(make_datasette)
    other = await upload(datasette, b"secret", "secret.txt", actor=ALICE)
    path = (await share(datasette, file["id"]))["path"]
    for below in ("", "/download", "/inline", "/thumbnail"):
        answer = await datasette.client.get(f"{path}/{other['id']}{below}", actor=ALICE)
        assert answer.status_code == 404
    edit(datasette, "UPDATE datasette_files_shares SET revoked_at = 1")
    assert (await datasette.client.get(path, actor=ALICE)).status_code == 404


@pytest.mark.full
async def test_a_hundred_senders_at_once_never_pass_the_bounds(
    make_datasette: MakeDatasette,
) -> None:
    datasette, _ = await site(make_datasette)
    path = (await upload_link(datasette, max_files=7, max_bytes=50))["path"]
    answers = await asyncio.gather(*(send(datasette, path, b"0123456789") for _ in range(100)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] * 5 + [413] * 95
    assert {one.json()["code"] for one in answers if one.status_code == 413} == {"quota_exceeded"}
    path = (await upload_link(datasette, max_files=7))["path"]
    answers = await asyncio.gather(*(send(datasette, path, size=None) for _ in range(100)))
    assert sorted(answer.status_code for answer in answers) == [201] * 7 + [413] * 93


async def test_an_undeclared_size_is_bounded_by_what_the_request_may_hold(
    make_datasette: MakeDatasette,
) -> None:
    datasette, _ = await site(make_datasette)
    path = (await upload_link(datasette, max_bytes=1000))["path"]
    answer = await send(datasette, path, b"x" * 1001, size=None)
    assert (answer.status_code, answer.json()["code"]) == (413, "quota_exceeded")
    assert (await send(datasette, path, b"x" * 500, size=None)).status_code == 201
    assert (await send(datasette, path, b"x" * 501)).status_code == 413
    assert (await send(datasette, path, b"x" * 500)).status_code == 201


async def test_what_was_sent_belongs_to_the_link_and_to_nobody(
    make_datasette: MakeDatasette,
) -> None:
    datasette, _ = await site(make_datasette)
    made = await upload_link(datasette)
    answer = await send(datasette, made["path"], b"hi", "sent.txt")
    assert (answer.status_code, answer.json()) == (201, {"ok": True})
    listed = (await datasette.client.get("/-/files/source/docs.json", actor=ALICE)).json()["files"]
    sent = next(one for one in listed if one["filename"] == "sent.txt")
    record = (await datasette.client.get(f"/-/files/{sent['id']}.json", actor=ALICE)).json()
    assert (record["uploaded_by"], record["upload_link"]) == (None, made["id"])
    for below in ("", f"/{sent['id']}", f"/{sent['id']}/download"):
        answer = await datasette.client.get(made["path"] + below)
        assert "sent.txt" not in answer.text


async def test_an_upload_of_a_link_is_not_one_of_the_source_nor_of_another_link(
    make_datasette: MakeDatasette,
) -> None:
    datasette = await make_datasette(
        permissions={"files-upload": True, "files-browse": True, "files-share": {"id": "alice"}}
    )
    first, second = [(await upload_link(datasette))["path"] for _ in range(2)]
    declared = {"filename": "a.txt", "size": 2}
    answer = await datasette.client.post(f"{first}/-/prepare", json=declared)
    token = {"upload_token": answer.json()["upload_token"]}
    for path in (second, "/-/files/upload/docs"):
        form = {"data": token, "files": {"file": ("a.txt", b"hi")}}
        assert (await datasette.client.post(f"{path}/-/upload", **form)).status_code == 403
        assert (await datasette.client.post(f"{path}/-/complete", json=token)).status_code == 403


# Guessing


def test_the_first_wrong_tokens_are_answered_at_once_and_later_ones_late() -> None:
    guessing = Guessing()
    delays = [guessing.delay("192.0.2.1", 0.0) for _ in range(60)]
    assert delays[:20] == [0.0] * 20
    assert delays[20:30] == [float(n) for n in range(1, 11)]
    assert set(delays[30:]) == {10.0}
    assert guessing.delay("192.0.2.2", 0.0) == 0.0
    assert guessing.delay("192.0.2.1", 3600.0) == 0.0


def test_a_network_of_ipv6_counts_as_one_address() -> None:
    guessing = Guessing()
    delays = [guessing.delay(f"2001:db8::{n:x}", 0.0) for n in range(40)]
    assert delays[-1] > 0
    assert guessing.delay("2001:db8::ffff:0:0:1", 0.0) > 0
    assert guessing.delay("2001:db8:0:1::1", 0.0) == 0.0


def test_only_so_many_addresses_are_remembered() -> None:
    guessing = Guessing()
    for n in range(20_000):
        guessing.delay(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 0.0)
    assert len(guessing._until) == shares._MAX_ADDRESSES
    assert ("10.0.0.0" in guessing._until, "10.0.78.31" in guessing._until) == (False, True)


async def test_a_right_token_is_never_late(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    datasette, file = await site(make_datasette)
    path = (await share(datasette, file["id"]))["path"]
    monkeypatch.setattr("datasette_files.permissions.shares.asyncio", SimpleNamespace(sleep=sleep))
    for _ in range(30):
        # A header of the client's own does not make it another one.
        headers = {"X-Forwarded-For": f"192.0.2.{len(slept)}"}
        answer = await datasette.client.get("/-/files/s/wrong", headers=headers)
        assert answer.status_code == 404
    assert slept
    late = len(slept)
    assert (await datasette.client.get(path)).status_code == 200
    assert len(slept) == late


async def test_digests_are_compared_in_constant_time(
    make_datasette: MakeDatasette, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasette, file = await site(make_datasette)
    path = (await share(datasette, file["id"]))["path"]
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return False

    monkeypatch.setattr("datasette_files.permissions.shares.hmac.compare_digest", compare)
    assert (await datasette.client.get(path)).status_code == 404
    assert compared == [(token_digest(path.rpartition("/")[2]),) * 2]


def test_a_link_ends_at_its_very_moment() -> None:
    now = time.time()
    link = Share(1, "sh-1", "d", "files", None, None, {"id": "a"}, "a", now - 10, now)
    assert link.has_ended(now)
    assert not link.has_ended(now - 0.001)


async def test_links_of_a_source_that_is_no_longer_configured_end(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    datasette, file = await site(make_datasette)
    shown = (await share(datasette, file["id"]))["path"]
    taking = (await upload_link(datasette))["path"]
    other = await make_datasette(
        permissions=PERMISSIONS, sources={"else": disk_source(tmp_path / "else")}
    )
    for path in (shown, taking):
        assert (await other.client.get(path)).status_code == 404
