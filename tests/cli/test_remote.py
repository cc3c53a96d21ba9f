"""Commands against a running server, from its address and a token."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from datasette.cli import cli

from tests.conftest import OPEN, disk_source
from tests.support.client import Client
from tests.support.server import Server

LARGE = bytes(range(256)) * 40_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "data.db").touch()
    sources = {
        "docs": disk_source(folder / "docs", trash_days=3, index={}),
        "archive": disk_source(folder / "archive", tables=False),
        **{name: disk_source(folder / name) for name in ("here", "there")},
    }
    allowed = dict.fromkeys(("files-manage", "files-share", "create-table", "insert-row"), True)
    config = {
        "plugins": {"datasette-files": {"sources": sources}},
        "permissions": {**OPEN, **allowed},
    }
    with Server(folder, config, databases=[folder / "data.db"]) as started:
        yield started


def run(server: Server, *arguments: str, stdin: str | bytes | None = None) -> Result:
    environment = {
        "DATASETTE_FILES_URL": f"{server.url}/",
        "XDG_STATE_HOME": str(server.folder / "state"),
    }
    ran = CliRunner().invoke(cli, ["files", *arguments], input=stdin, env=environment)
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran


def answered(server: Server, *arguments: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(run(server, *arguments, "--json").stdout)
    return body


@pytest.mark.full
def test_every_command_that_fits_works_against_a_server(server: Server, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(LARGE)
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n")
    listed = answered(server, "sources")["sources"]
    assert [one["slug"] for one in listed] == ["archive", "docs", "here", "there"]
    paths = (str(tmp_path / "large.bin"), str(tmp_path / "rows.csv"))
    stored = {file["filename"]: file for file in answered(server, "put", "docs", *paths)["files"]}
    large, rows = stored["large.bin"]["id"], stored["rows.csv"]["id"]
    assert stored["large.bin"]["size"] == len(LARGE)
    streamed = run(server, "put", "docs", "-", "--name", "in.txt", stdin=b"streamed")
    text = streamed.stdout.strip()

    while (printed := run(server, "text", text)).exit_code:  # the server reads it soon
        assert "not read yet" in printed.stderr
        time.sleep(0.1)
    assert printed.stdout == "streamed\n\f"
    beside = server.command("text", text, "--json").stdout
    assert json.loads(beside)["texts"] == [{"page": 1, "text": "streamed"}]
    assert "with a source" in run(server, "text", text, "--again").stderr
    assert "by itself" in run(server, "text", "docs").stderr

    line = run(server, "ls", "docs", "--name", "*.csv").stdout.strip().split("\t")
    assert (line[0], line[1], line[4]) == (rows, "12", "rows.csv")
    short = run(server, "ls", "docs", "--limit", "1")
    assert "There are more" in short.stderr
    assert answered(server, "ls", "docs", "--search", "large")["files"][0]["id"] == large
    assert f"id: {rows}\n" in run(server, "info", rows).stdout
    assert run(server, "info", "df-nothing").exit_code == 3

    assert run(server, "get", large, "-o", str(tmp_path / "down.bin")).exit_code == 0
    assert (tmp_path / "down.bin").read_bytes() == LARGE
    assert run(server, "get", text, "-o", "-").stdout == "streamed"
    again = run(server, "get", large, "-o", str(tmp_path / "down.bin"))
    assert (again.exit_code, "exists already" in again.stderr) == (3, True)

    imported = answered(server, "import", rows, "--database", "data", "--table", "rows")
    assert imported["imports"][0]["rows"] == 2
    failed = run(server, "import", rows, "--database", "data", "--table", "rows")
    assert (failed.exit_code, "Error (conflict)" in failed.stderr) == (1, True)

    assert answered(server, "move", "docs", "archive", "--id", rows)["files"] == [rows]
    assert "1 moved" in run(server, "move", "archive", "docs", "--all").stdout
    assert run(server, "move", "docs", "archive").exit_code == 2
    gone = run(server, "rm", text, "df-nothing")
    assert (gone.exit_code, gone.stdout) == (3, f"{text}\tin the trash\n")
    assert answered(server, "restore", text)["restored"] == [text]
    assert run(server, "rm", text).exit_code == 0
    assert answered(server, "purge", text, "--yes")["purged"] == [text]

    lines = run(server, "manifest", "docs").stdout.splitlines()
    assert sorted(line.rpartition("/")[2] for line in lines) == ["large.bin", "rows.csv"]
    bag = tmp_path / "bag"
    bundled = answered(server, "bundle", str(bag), "--source", "docs")
    size = len(LARGE) + 12
    assert bundled == {"ok": True, "bag": str(bag), "files": 2, "bytes": size, "left_out": 0}
    assert (bag / "data" / "files" / "large.bin").read_bytes() == LARGE
    assert run(server, "bundle", str(tmp_path / "x"), "--table", "data/rows").exit_code == 0
    assert (tmp_path / "x" / "data" / "rows.csv").read_bytes() == b"a,b\r\n1,2\r\n3,4\r\n"

    (server.folder / "docs" / "found.txt").write_text("beside")
    assert "1 added" in run(server, "sync", "docs").stdout


def test_what_a_server_cannot_do_is_refused_with_what_to_do(server: Server, tmp_path: Path) -> None:
    for arguments in (
        ("unbundle", str(tmp_path / "x")),
        ("text", "docs", "--again"),
        ("copy", "docs", "archive", "--all", "--read-back"),
        ("move", "docs", "archive", "--all", "--jobs", "2"),
        ("move", "docs", "archive", "--all", "--grace", "0"),
        ("put", "docs", str(tmp_path / "x"), "--uploaded-by", "ann"),
        ("ls", "docs", "--url", server.url, "--internal", "x.db"),
    ):
        refused = run(server, *arguments)
        assert refused.exit_code == 1, arguments
        assert "Error (invalid)" in refused.stderr, refused.stderr
    assert "text_status" in run(server, "text", "docs").stderr
    # A place beside the database, once named, goes before the environment.
    beside = run(server, "ls", "docs", "--internal", "missing.db")
    assert "missing.db does not exist" in beside.stderr
    down = run(server, "ls", "docs", "--url", "http://127.0.0.1:9/")
    assert (down.exit_code, "cannot be reached" in down.stderr) == (1, True)
    assert run(server, "shares").stdout == "There are no links\n"
    nobody = run(server, "share", "df-x")  # a link needs an actor with an id
    assert "Error (" in nobody.stderr


def test_files_are_copied_moved_and_listed_by_path(server: Server, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(LARGE)
    for name in ("one.txt", "two.csv", "zero.txt"):
        (tmp_path / name).write_text("" if name == "zero.txt" else name)
    paths = [str(tmp_path / name) for name in ("large.bin", "one.txt", "two.csv", "zero.txt")]
    put = answered(server, "put", "here", *paths)["files"]
    ids = {file["filename"]: file["id"] for file in put}
    change = {"tags": ["x"], "folder": "a/b", "search_text": "of the first", "filename": "1 ö.txt"}
    Client(server.url).post_json(f"/-/files/{ids['one.txt']}/-/update", {"update": change})

    def names(*arguments: str) -> list[str]:
        return [file["filename"] for file in answered(server, "ls", *arguments)["files"]]

    listed = answered(server, "ls", "here", "--prefix", "0", "--limit", "2")
    beside = json.loads(server.command("ls", "here", "--limit", "2", "--json").stdout)
    assert [one["id"] for one in listed["files"]] == [one["id"] for one in beside["files"]]
    assert (listed["next"], listed["more"]) == (beside["next"], True)
    following = names("here", "--after", beside["next"])
    assert len(following) == 2
    told = run(server, "ls", "here", "--prefix", "0", "--limit", "2").stderr
    assert f"--after '{beside['next']}'" in told
    large = answered(server, "info", ids["large.bin"])["files"][0]
    first = large["path"].partition("/")[0]
    assert names("here", "--prefix", first) == ["large.bin"]
    assert names("here", "--prefix", "x") == names("here", "--prefix", "00") == []
    assert names("here", "--prefix", "0", "--type", "table") == ["two.csv"]
    assert names("here", "--prefix", "0", "--name", "1*") == ["1 ö.txt"]
    assert names("here", "--prefix", "0", "--search", "first") == ["1 ö.txt"]

    foreseen = answered(server, "copy", "here", "there", "--all", "--dry-run")
    size = len(LARGE) + 14
    assert foreseen["done"] == {"would": {"files": 4, "bytes": size}}
    copied = answered(server, "copy", "here", "there", "--all", "--jobs", "2")
    assert copied["done"] == {"copied": {"files": 4, "bytes": size}}
    again = run(server, "copy", "here", "there", "--name", "*", "--prefix", "0")
    assert (again.exit_code, again.stdout) == (0, f"Already there: 4 files, {size:,} bytes\n")
    made = {file["filename"]: file for file in answered(server, "ls", "there")["files"]}
    assert made["large.bin"]["size"] == len(LARGE)
    record = answered(server, "info", made["1 ö.txt"]["id"])["files"][0]
    assert {name: record[name] for name in change} == change
    copy = answered(server, "info", made["large.bin"]["id"])["files"][0]
    assert copy["content_hash"] == large["content_hash"]
    wrong = run(server, "copy", "there", "here", "--id", ids["two.csv"], "--id", "df-nothing")
    assert (wrong.exit_code, wrong.stderr.count("Error (")) == (3, 2)

    moved = answered(server, "move", "here", "there", "--name", "*.csv")["files"]
    assert moved == [ids["two.csv"]]
    told = run(server, "move", "here", "there", "--prefix", "0", "--dry-run").stdout
    assert told == f"Would move 3 files, {len(LARGE) + 7:,} bytes\n"
    assert len(answered(server, "move", "here", "there", "--prefix", "0")["files"]) == 3
    assert names("here") == []
    for unclear in (("copy", "here", "there"), ("move", "here", "there", "--all", "--name", "x")):
        assert run(server, *unclear).exit_code == 2
    hidden = run(server, "ls", "archive", "--prefix", "0")
    assert (hidden.exit_code, "leave out --prefix" in hidden.stderr) == (1, True)


def test_a_folder_and_a_source_stay_in_step(server: Server, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "a" / "b").mkdir(parents=True)
    there.mkdir()
    (here / "a" / "b" / "deep.txt").write_text("deep")
    (here / "top.txt").write_text("top")
    (here / ".DS_Store").write_text("not this")
    (here / "link").symlink_to("/etc/passwd")
    up = ("sync-up", str(here), "archive", "--jobs", "1")
    down = ("sync-down", "archive", str(there), "--jobs", "1")
    planned = answered(server, *up, "--dry-run")["steps"]
    assert planned == [
        {"action": "upload", "path": "a/b/deep.txt"},
        {"action": "upload", "path": "top.txt"},
    ]
    assert answered(server, "ls", "archive")["files"] == []
    assert answered(server, *up)["steps"] == planned
    assert answered(server, *up)["steps"] == []
    assert [one["action"] for one in answered(server, *down)["steps"]] == ["download"] * 2
    assert (there / "a" / "b" / "deep.txt").read_text() == "deep"
    assert answered(server, *down)["steps"] == []

    # A change there becomes a version, and comes here.
    (there / "top.txt").write_text("changed there")
    assert answered(server, "sync-up", str(there), "archive")["steps"] == [
        {"action": "upload", "path": "top.txt"}
    ]
    assert answered(server, "sync-down", "archive", str(here))["steps"] == [
        {"action": "download", "path": "top.txt"}
    ]
    assert (here / "top.txt").read_text() == "changed there"
    listed = answered(server, "ls", "archive")["files"]
    assert sorted(file["filename"] for file in listed) == ["deep.txt", "top.txt"]

    # Changed on both sides: nothing is overwritten.
    (here / "top.txt").write_text("by me")
    (there / "top.txt").write_text("by them")
    assert run(server, *up).exit_code == 0
    for clash in (("sync-up", str(there), "archive"), down):
        told = run(server, *clash)
        assert (told.exit_code, "changed on both sides" in told.stderr) == (3, True)
    assert (there / "top.txt").read_text() == "by them"
    (there / "top.txt").unlink()
    assert run(server, *down).exit_code == 0
    assert (there / "top.txt").read_text() == "by me"

    # What is deleted on one side is deleted on the other when that is asked for.
    (here / "top.txt").unlink()
    assert answered(server, *up)["steps"] == [{"action": "left", "path": "top.txt"}]
    (there / "own.txt").write_text("nobody else has it")
    assert answered(server, *up, "--delete")["steps"] == [{"action": "delete", "path": "top.txt"}]
    steps = answered(server, *down, "--delete")["steps"]
    assert {"action": "delete", "path": "top.txt"} in steps
    assert not (there / "top.txt").exists()
    assert (there / "own.txt").exists()


def test_a_server_verifies_as_the_command_beside_it(server: Server) -> None:
    put = run(server, "put", "archive", "-", "--name", "kept.txt", stdin=b"bytes")
    file_id = put.stdout.strip()
    sound = answered(server, "verify", "archive", "--data", "--max-duration", "60s")
    assert sound["findings"] == sound["problems"] == []
    assert (sound["source"], sound["complete"], sound["files"] > 0) == ("archive", True, True)
    assert sound["bytes_read"] >= 5
    path = next((server.folder / "archive").rglob("kept.txt"))
    path.write_bytes(b"other")
    assert run(server, "verify", "archive").exit_code == 0, "the size is the same"
    found = run(server, "verify", "archive", "--data", "--json")
    [finding] = json.loads(found.stdout)["findings"]
    assert (found.exit_code, finding["kind"], finding["id"]) == (1, "sha256", file_id)
    assert set(finding) == {"id", "path", "kind", "since", "last_sound"}
    assert run(server, "verify", "archive", "--data").stdout.startswith(f"sha256\t{file_id}\t")
    parts = [run(server, "verify", "archive", "--data", "--share", f"{n}/2") for n in (1, 2)]
    assert sorted(one.exit_code for one in parts) == [0, 1]
    for wrong in (("verify", "nothing"), ("verify", "archive", "--url", "http://127.0.0.1:9/")):
        assert run(server, *wrong).exit_code == 2, "1 would mean findings"
    path.write_bytes(b"bytes")
    assert run(server, "verify", "archive", "--data").exit_code == 0
