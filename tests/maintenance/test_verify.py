"""Verification: each kind of difference is found, named and left alone."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from datasette.cli import cli

from datasette_files.app import Files
from datasette_files.maintenance import verify as module
from datasette_files.maintenance.verify import Order
from datasette_files.maintenance.verify_round import Verification
from tests.conftest import OPEN, MakeDatasette, disk_source, upload

Run = Callable[..., Result]
CONTENT = b"some words\n" * 100


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("verify", "docs")`` on a site with the disk source ``docs``."""
    config = tmp_path / "datasette.json"
    sources = {"docs": disk_source(tmp_path / "docs")}
    config.write_text(json.dumps({"plugins": {"datasette-files": {"sources": sources}}}))
    site = ["--config", str(config), "--internal", str(tmp_path / "internal.db")]

    def run_command(*arguments: str) -> Result:
        ran = CliRunner().invoke(cli, ["files", *arguments, *site])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran

    return run_command


def put(run: Run, tmp_path: Path, *names: str) -> dict[str, Path]:
    """Upload files; return ``{id: path on the disk}``, in the order of the names."""
    paths = []
    for name in names:
        paths.append(tmp_path / name)
        paths[-1].write_bytes(CONTENT + name.encode())
    ran = run("put", "docs", *map(str, paths), "--json")
    assert ran.exit_code == 0, ran.output
    added = sorted(json.loads(ran.stdout)["files"], key=lambda one: names.index(one["filename"]))
    return {one["id"]: tmp_path / "docs" / one["path"] for one in added}


def verified(run: Run, *arguments: str) -> tuple[int, dict[str, Any]]:
    ran = run("verify", "docs", "--json", *arguments)
    return ran.exit_code, json.loads(ran.stdout)


def test_a_sound_source_has_no_findings_and_exits_0(run: Run, tmp_path: Path) -> None:
    put(run, tmp_path, "a.txt", "b.txt")
    status, report = verified(run, "--data")
    assert status == 0
    assert (report["findings"], report["problems"], report["complete"]) == ([], [], True)
    assert report["files"] == 2
    assert report["bytes_read"] == 2 * (len(CONTENT) + 5)


def test_every_kind_is_found_named_and_left_as_it_is(run: Run, tmp_path: Path) -> None:
    names = ["flipped", "short", "swapped1", "swapped2", "gone", "sound"]
    files = put(run, tmp_path, *names)
    ids = dict(zip(names, files, strict=True))
    verified(run, "--data")
    path = {name: files[ids[name]] for name in names}
    content = bytearray(path["flipped"].read_bytes())
    content[50] ^= 1
    path["flipped"].write_bytes(content)
    path["short"].write_bytes(path["short"].read_bytes()[:-1])
    one, other = path["swapped1"].read_bytes(), path["swapped2"].read_bytes()
    path["swapped1"].write_bytes(other)
    path["swapped2"].write_bytes(one)
    path["gone"].unlink()
    (tmp_path / "docs" / "stranger.txt").write_bytes(b"?")
    before = {at: at.read_bytes() for at in (tmp_path / "docs").rglob("*") if at.is_file()}

    status, report = verified(run)
    assert status == 1
    found = {(one["id"], one["kind"]) for one in report["findings"]}
    assert found == {(ids["short"], "size"), (ids["gone"], "missing"), (None, "unknown")}

    status, report = verified(run, "--data")
    assert status == 1
    by_name = {one["id"]: one for one in report["findings"]}
    assert {file_id: one["kind"] for file_id, one in by_name.items()} == {
        ids["flipped"]: "sha256",
        ids["swapped1"]: "sha256",
        ids["swapped2"]: "sha256",
        ids["short"]: "size",
        ids["gone"]: "missing",
        None: "unknown",
    }
    assert len(report["findings"]) == 6, "each is named once"
    assert by_name[None]["path"] == "stranger.txt"
    assert by_name[None]["last_sound"] is None
    assert all(one["last_sound"] for file_id, one in by_name.items() if file_id is not None)
    assert all(one["since"] for one in report["findings"])
    after = {at: at.read_bytes() for at in (tmp_path / "docs").rglob("*") if at.is_file()}
    assert after == before


def test_since_stays_and_a_finding_ends_when_the_file_is_restored(run: Run, tmp_path: Path) -> None:
    ((file_id, path),) = put(run, tmp_path, "a.txt").items()
    content = path.read_bytes()
    path.unlink()
    first = verified(run)[1]["findings"]
    with closing(sqlite3.connect(tmp_path / "internal.db")) as conn, conn:
        conn.execute("UPDATE datasette_files_findings SET since = since - 86400")
    second = verified(run)[1]["findings"]
    assert first[0]["id"] == second[0]["id"] == file_id
    assert second[0]["since"] < first[0]["since"]
    path.write_bytes(content)
    assert verified(run)[1]["findings"] == []
    with closing(sqlite3.connect(tmp_path / "internal.db")) as conn:
        assert conn.execute("SELECT count(*) FROM datasette_files_findings").fetchone() == (0,)


def test_a_wrong_size_in_the_catalog_is_found(run: Run, tmp_path: Path) -> None:
    ((file_id, _path),) = put(run, tmp_path, "a.txt").items()
    with closing(sqlite3.connect(tmp_path / "internal.db")) as conn, conn:
        conn.execute("UPDATE datasette_files SET size = size + 1")
    status, report = verified(run)
    assert (status, report["findings"][0]["id"]) == (1, file_id)
    assert report["findings"][0]["kind"] == "size"


def test_the_shares_together_are_the_whole(run: Run, tmp_path: Path) -> None:
    files = put(run, tmp_path, *(f"{n}.txt" for n in range(12)))
    for path in files.values():
        path.unlink()
    found: list[str] = []
    for share in ("1/3", "2/3", "3/3"):
        report = verified(run, "--share", share)[1]
        assert report["complete"]
        found += [one["id"] for one in report["findings"]]
    assert sorted(found) == sorted(files)
    assert run("verify", "docs", "--share", "4/3").exit_code == 2
    assert "write for example 2/7" in run("verify", "docs", "--share", "x").output


def test_without_time_a_pass_is_incomplete_and_the_next_goes_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = put(run, tmp_path, *(f"{n}.txt" for n in range(8)))
    for path in files.values():
        path.write_bytes(path.read_bytes().replace(b"some", b"SOME"))
    monkeypatch.setattr(module, "_MAX_CONCURRENT", 1)
    reads = 0
    original = module._Pass._read

    async def read(self: Any, file: Any) -> Any:
        nonlocal reads
        reads += 1
        found = await original(self, file)
        if reads == 3:
            await asyncio.sleep(3)
        return found

    monkeypatch.setattr(module._Pass, "_read", read)
    status, report = verified(run, "--data", "--max-duration", "2s")
    assert status == 1
    assert not report["complete"]
    first = {one["id"] for one in report["findings"]}
    assert len(first) == 3
    status, report = verified(run, "--data", "--max-duration", "1h")
    rest = {one["id"] for one in report["findings"]}
    assert not first & rest
    assert first | rest == set(files)


def test_a_source_that_is_gone_cannot_be_told(run: Run, tmp_path: Path) -> None:
    files = put(run, tmp_path, "a.txt", "b.txt")
    (tmp_path / "docs").rename(tmp_path / "elsewhere")
    status, report = verified(run)
    assert status == 2
    assert (report["findings"], report["complete"]) == ([], False)
    assert report["problems"]
    (tmp_path / "elsewhere").rename(tmp_path / "docs")
    assert verified(run)[0] == 0
    assert len(files) == 2


def test_what_the_catalog_expects_is_not_unknown(run: Run, tmp_path: Path) -> None:
    put(run, tmp_path, "a.txt")
    with closing(sqlite3.connect(tmp_path / "internal.db")) as conn, conn:
        conn.execute(
            """INSERT INTO datasette_files_garbage (source_id, path, not_before)
            VALUES (1, 'garbage', 9e9)"""
        )
    (tmp_path / "docs" / "garbage").write_bytes(b"to be deleted")
    assert verified(run)[0] == 0


def test_the_manifest_is_what_sha256sum_reads(run: Run, tmp_path: Path) -> None:
    put(run, tmp_path, "a b.txt", "ü.txt")
    odd = "line\nbreak\\.txt"
    with closing(sqlite3.connect(tmp_path / "internal.db")) as conn, conn:
        (path,) = conn.execute("SELECT path FROM datasette_files ORDER BY seq").fetchone()
        conn.execute("UPDATE datasette_files SET path = ? WHERE path = ?", (odd, path))
    (tmp_path / "docs" / path).rename(tmp_path / "docs" / odd)
    ran = run("manifest", "docs")
    assert ran.exit_code == 0
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict"],
        cwd=tmp_path / "docs",
        input=ran.stdout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK") == 2
    with closing(sqlite3.connect(tmp_path / "internal.db")) as conn, conn:
        conn.execute("UPDATE datasette_files SET content_hash = NULL WHERE path = ?", (odd,))
    ran = run("manifest", "docs")
    assert ran.exit_code == 1
    assert "no sha256 yet" in ran.stderr
    assert len(ran.stdout.splitlines()) == 1


async def test_the_page_and_its_json_are_for_who_manages_the_source(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    site = await make_datasette(
        {"docs": disk_source(tmp_path / "docs")},
        permissions={**OPEN, "files-manage": {"id": "boss"}},
    )
    await upload(site, CONTENT)
    files = Files.of(site)
    url = "/-/files/source/docs/verify"
    assert (await site.client.get(f"{url}.json")).status_code == 403
    boss = {"actor": {"id": "boss"}}
    page = await site.client.get(url, **boss)
    assert "has not been verified yet" in page.text
    for n in range(3):
        (tmp_path / "docs" / f"<b>{n}").write_bytes(b"x")
    await files.verifier.verify(Order(files.sources.get("docs"), data=True))
    answer = (await site.client.get(f"{url}.json?_size=2", **boss)).json()
    assert [one["path"] for one in answer["findings"]] == ["<b>0", "<b>1"]
    assert [one["data"] for one in answer["passes"]] == [False, True]
    rest = (await site.client.get(answer["next_url"], **boss)).json()
    assert [one["path"] for one in rest["findings"]] == ["<b>2"]
    assert rest["next"] is None
    page = await site.client.get(url, **boss)
    assert "&lt;b&gt;0" in page.text
    assert "not in the catalog" in page.text
    assert (await site.client.get(f"{url}.json?_next=x", **boss)).status_code == 400


async def test_a_verification_is_asked_for_over_http(make_datasette: MakeDatasette) -> None:
    datasette = await make_datasette(permissions={**OPEN, "files-manage": {"id": "mia"}})
    await upload(datasette, CONTENT, "a.txt")
    start, mia = "/-/files/source/docs/verify/-/start", {"id": "mia"}
    refused = await datasette.client.post(start, json={}, actor={"id": "ann"})
    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    wrong: list[dict[str, Any]] = [
        *({"data": 1}, {"data": "on"}, {"share": "3/2"}, {"share": 2}, {"share": ["1/2"]}),
        *({"max_duration": "1h"}, {"max_duration": -1}, {"max_duration": True}),
    ]
    for body in wrong:
        answer = await datasette.client.post(start, json=body, actor=mia)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid"), body

    asked = {"data": True, "share": "1/1", "max_duration": 60}
    answer = await datasette.client.post(start, json=asked, actor=mia)
    assert answer.status_code == 202, answer.text
    job = answer.json()["job"]
    assert answer.headers["location"] == job["url"]
    for _ in range(200):
        told = (await datasette.client.get(f"{job['url']}.json", actor=mia)).json()
        if told["status"] not in ("pending", "running"):
            break
        await asyncio.sleep(0.05)
    assert told == {
        **{"ok": True, "id": job["id"], "status": "finished", "error": None, "data": True},
        **{"share": "1/1", "complete": True, "files": 1, "bytes_read": len(CONTENT)},
        **{"without_sha256": 0, "problems": []},
    }
    hidden = await datasette.client.get(f"{job['url']}.json", actor={"id": "ann"})
    assert hidden.status_code == 403

    form = await datasette.client.post(
        start, data={"data": "on"}, actor=mia, headers={"Accept": "text/html"}
    )
    assert (form.status_code, form.headers["location"]) == (303, "/-/files/source/docs/verify")


async def test_the_round_verifies_structure_and_this_hours_share(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    site = await make_datasette({"docs": disk_source(tmp_path / "docs", verify_days=2)})
    files = Files.of(site)
    source = files.sources.get("docs")

    def passes(conn: sqlite3.Connection) -> list[tuple[bool, int]]:
        return [
            (is_data, one.share.of)
            for is_data in (False, True)
            for one in module.verify.passes(conn, source.id, is_data=is_data)
            if one.is_complete
        ]

    round_ = Verification(files.catalog, files.verifier, source).round
    await round_.once()
    assert await files.catalog.read(passes) == [(False, 1), (True, 48)]
    await round_.once()
    assert len(await files.catalog.read(passes)) == 2, "nothing is due any more"
