"""Every command of ``datasette files`` that changes or reads something is in the audit."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from datasette.cli import cli

from datasette_files.cli.group import _gather
from tests.conftest import disk_source

Run = Callable[..., Result]
#: Commands that only look, or make again what is made from the files.
LOOKING = {"info", "ls", "manifest", "s3-check", "s3-cors", "shares", "sources", "text", "verify"}
#: Commands against a server alone, which records their requests.
OVER_HTTP = {"sync-down", "sync-up"}
#: It reads every file, into one bag on the administrator's own disk.
UNRECORDED = {"bundle"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("put", …)`` on a site with ``docs``, which has a trash, and ``more``."""
    sources = {
        "docs": disk_source(tmp_path / "docs", trash_days=1),
        "more": disk_source(tmp_path / "more"),
    }
    plugin = {"sources": sources, "audit_downloads": True}
    share = {name: {"id": "alice"} for name in ("files-browse", "files-share")}
    config = {"plugins": {"datasette-files": plugin}, "permissions": share}
    path = tmp_path / "datasette.json"
    path.write_text(json.dumps(config))

    def run_command(*arguments: str) -> Result:
        site = ["-c", str(path), "--internal", str(tmp_path / "internal.db")]
        ran = CliRunner().invoke(cli, ["files", *arguments, *site])
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        assert ran.exit_code == 0, ran.output
        return ran

    return run_command


def recorded(tmp_path: Path, after: int = 0) -> list[tuple[Any, ...]]:
    """The entries after the first so many, each ``(action, via, actor, file, link)``."""
    with closing(sqlite3.connect(tmp_path / "internal.db")) as conn:
        return conn.execute(
            """SELECT action, via, actor, file_id, link FROM datasette_files_audit
            ORDER BY id LIMIT -1 OFFSET ?""",
            (after,),
        ).fetchall()


def test_a_command_is_recorded_as_one(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"some words")
    put = run("put", "docs", str(tmp_path / "a.txt"), "--uploaded-by", "alice", "--json")
    file = json.loads(put.stdout)["files"][0]["id"]
    run("rm", file)
    assert recorded(tmp_path) == [
        ("upload", "command", None, file, None),
        ("delete", "command", None, file, None),
    ]


@pytest.mark.full
def test_every_command_that_changes_or_reads_something_is_recorded(
    run: Run, tmp_path: Path
) -> None:
    done: set[str] = set()
    number = 0

    def go(actions: str, *arguments: str) -> Result:
        nonlocal number
        ran = run(*arguments)
        done.add(arguments[0])
        found = recorded(tmp_path, number)
        number += len(found)
        assert [row[0] for row in found] == actions.split()
        assert {row[1] for row in found} == {"command"}
        return ran

    def put(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        ran = go("upload", "put", "docs", str(tmp_path / name), "--json")
        return str(json.loads(ran.stdout)["files"][0]["id"])

    file, table = put("a.txt", b"words"), put("t.csv", b"a,b\n1,2\n")
    go("download", "get", file, "-o", str(tmp_path / "got.txt"))
    go("copy copy", "copy", "docs", "more", "--id", file)
    go("move move", "move", "docs", "more", "--id", table)
    sqlite3.connect(tmp_path / "data.db").execute("CREATE TABLE t (a)").connection.close()
    go("import", "import", table, "--database", str(tmp_path / "data.db"), "--table", "made")
    shared = go("share", "share", file, "--as", "alice")
    go("revoke", "unshare", shared.stdout.split("\t")[0])
    go("delete", "rm", file)
    go("restore", "restore", file)
    (tmp_path / "docs" / "of-others.txt").write_bytes(b"found by a walk")
    go("sync upload", "sync", "docs")
    run("bundle", str(tmp_path / "bag"), "--source", "docs")
    go("delete", "rm", file)
    go("purge", "purge", file, "--yes")
    assert file not in run("ls", "docs").stdout
    go("upload", "unbundle", str(tmp_path / "bag"))
    assert done | LOOKING | OVER_HTTP | UNRECORDED == set(_gather())
