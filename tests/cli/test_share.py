"""``datasette files share``, ``shares`` and ``unshare``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from datasette.app import Datasette
from datasette.cli import cli

from tests.conftest import disk_source
from tests.support.sharing import PERMISSIONS

Run = Callable[..., Result]


@pytest.fixture
def site(tmp_path: Path) -> dict[str, object]:
    sources = {"docs": disk_source(tmp_path / "docs")}
    return {"plugins": {"datasette-files": {"sources": sources}}, "permissions": PERMISSIONS}


@pytest.fixture
def run(tmp_path: Path, site: dict[str, object]) -> Run:
    config = tmp_path / "datasette.json"
    config.write_text(json.dumps(site))
    given = ["--config", str(config), "--internal", str(tmp_path / "internal.db")]

    def run_command(*arguments: str) -> Result:
        ran = CliRunner().invoke(cli, ["files", *arguments, *given])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran

    return run_command


def put(run: Run, path: Path) -> str:
    path.write_bytes(b"hello")
    file_id: str = json.loads(run("put", "docs", str(path), "--json").stdout)["files"][0]["id"]
    return file_id


def test_a_link_is_made_listed_and_ended(run: Run, tmp_path: Path, site: dict[str, object]) -> None:
    file_id = put(run, tmp_path / "a.txt")
    ran = run(
        *("share", file_id, "--as", "alice", "--days", "2", "--label", "Hi"),
        *("--site", "https://files.example/", "--json"),
    )
    assert ran.exit_code == 0, ran.output
    made = json.loads(ran.stdout)["share"]
    assert made["url"].startswith("https://files.example/-/files/s/")

    async def fetch() -> int:
        datasette = Datasette(config=site, internal=str(tmp_path / "internal.db"))
        await datasette.invoke_startup()
        path = made["url"].removeprefix("https://files.example")
        answer = await datasette.client.get(f"{path}/{file_id}/download")
        await datasette.invoke_shutdown()
        status: int = answer.status_code
        return status

    assert asyncio.run(fetch()) == 200
    (listed,) = json.loads(run("shares", "--json").stdout)["shares"]
    assert (listed["id"], listed["label"], listed["downloads"]) == (made["id"], "Hi", 1)
    assert run("shares").stdout.split("\t")[:3] == [made["id"], "files", "alice"]
    for _ in range(2):
        ran = run("unshare", made["id"])
        assert (ran.exit_code, ran.stdout.strip()) == (0, made["id"])
    assert run("shares").stdout.strip() == "There are no links"
    assert asyncio.run(fetch()) == 404


def test_who_may_not_share_is_refused(run: Run, tmp_path: Path) -> None:
    file_id = put(run, tmp_path / "a.txt")
    ran = run("share", file_id, "--as", "mallory")
    assert (ran.exit_code, "permission_denied" in ran.stderr) == (1, True)


@pytest.mark.parametrize("days", ["0", "-1", "31", "nan"])
def test_a_wrong_number_of_days_is_refused(run: Run, tmp_path: Path, days: str) -> None:
    file_id = put(run, tmp_path / "a.txt")
    ran = run("share", file_id, "--as", "alice", "--days", days)
    assert (ran.exit_code, "invalid" in ran.stderr) == (1, True)


def test_an_unknown_link_is_a_failure(run: Run, tmp_path: Path) -> None:
    put(run, tmp_path / "a.txt")
    ran = run("unshare", "sh-none")
    assert (ran.exit_code, "not_found" in ran.stderr) == (3, True)
