"""``datasette files copy`` and ``move``: which files, what is told, and how the command ends."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from datasette.cli import cli

from datasette_files.errors import NoSpace
from datasette_files.filesystem import FilesystemStorage
from datasette_files.transfer import copying
from tests.conftest import disk_source
from tests.support.faults.scene import held, rows

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run("move", …)`` on a site with ``docs``, which holds three files, and ``archive``."""
    monkeypatch.setattr(copying, "PAUSE_SECONDS", 0)
    sources = {
        "docs": disk_source(tmp_path / "docs"),
        "archive": disk_source(tmp_path / "archive", max_file_size=1000),
    }
    config = tmp_path / "datasette.json"
    config.write_text(json.dumps({"plugins": {"datasette-files": {"sources": sources}}}))
    site = ["--config", str(config), "--internal", str(tmp_path / "internal.db")]

    def run_command(*arguments: str, stdin: bytes | None = None) -> Result:
        ran = CliRunner().invoke(cli, ["files", *arguments, *site], input=stdin)
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran

    for name in ("a.txt", "b.txt", "c.md"):
        (tmp_path / name).write_text(name * 10)
    ran = run_command("put", "docs", *(str(tmp_path / n) for n in ("a.txt", "b.txt", "c.md")))
    assert ran.exit_code == 0, ran.output
    return run_command


def files_of(tmp_path: Path, source: str = "docs") -> dict[str, str]:
    """``{name: id}`` of a source's files."""
    sql = f"""SELECT filename, f.id FROM datasette_files f JOIN datasette_files_sources s
        ON s.id = f.source_id WHERE slug = '{source}' ORDER BY 1"""
    return dict(rows(tmp_path / "internal.db", sql))


def test_all_are_moved_with_their_ids_and_what_was_done_is_told(run: Run, tmp_path: Path) -> None:
    before = files_of(tmp_path)
    ran = run("move", "docs", "archive", "--all", "--dry-run", "--json")
    assert json.loads(ran.stdout) == {
        "ok": True,
        "failed_count": 0,
        "failed": [],
        "source": "docs",
        "target": "archive",
        "done": {"would": {"files": 3, "bytes": 140}},
        "stopped": None,
        "dry_run": True,
    }
    assert files_of(tmp_path) == before

    ran = run("move", "docs", "archive", "--all", "--grace", "60")
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert ran.stdout == (
        "Moved 3 files, 140 bytes\nThe server deletes the old bytes in 60 seconds\n"
    )
    assert (files_of(tmp_path), files_of(tmp_path, "archive")) == ({}, before)
    ((least, most),) = rows(
        tmp_path / "internal.db",
        "SELECT min(not_before), max(not_before) FROM datasette_files_garbage",
    )
    assert time.time() < least <= most <= time.time() + 60
    assert len(held(tmp_path / "docs")) == len(held(tmp_path / "archive")) == 3
    assert run("move", "docs", "archive", "--all").stdout == "No file is selected\n"


def test_copies_are_made_once_and_by_filter(run: Run, tmp_path: Path) -> None:
    ran = run("copy", "docs", "archive", "--name", "*.txt", "--type", "text/*", "--jobs", "1")
    assert (ran.exit_code, ran.stdout) == (0, "Copied 2 files, 100 bytes\n")
    ran = run("copy", "docs", "archive", "--all", "--dry-run")
    assert ran.stdout == "Already there: 2 files, 100 bytes\nWould copy 1 file, 40 bytes\n"
    ran = run("copy", "docs", "archive", "--all", "--json")
    assert json.loads(ran.stdout)["done"] == {
        "present": {"files": 2, "bytes": 100},
        "copied": {"files": 1, "bytes": 40},
    }
    assert list(files_of(tmp_path, "archive")) == ["a.txt", "b.txt", "c.md"]
    assert not set(files_of(tmp_path).values()) & set(files_of(tmp_path, "archive").values())
    assert len(held(tmp_path / "archive")) == 3


def test_ids_come_by_option_or_standard_input(run: Run, tmp_path: Path) -> None:
    ids = files_of(tmp_path)
    arguments = ["move", "docs", "archive", "--grace", "0"]
    ran = run(*arguments, "--id", ids["a.txt"], "--id", "df-none")
    assert (ran.exit_code, ran.stdout) == (3, "Moved 1 file, 50 bytes\n1 file failed\n")
    assert "Error (not_found): df-none:" in ran.stderr
    lines = f"{ids['a.txt']}\n{ids['b.txt']}\n".encode()
    ran = run(*arguments, "--id", "-", stdin=lines)
    assert ran.stdout == "Already there: 1 file, 50 bytes\nMoved 1 file, 50 bytes\n"
    assert len(held(tmp_path / "docs")) == 1
    ran = run("copy", "docs", "archive", "--id", ids["a.txt"])
    assert "The file is in the source 'archive'" in ran.stderr


def test_what_was_done_is_told_when_it_is_interrupted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Ctrl-C, as the second of three files is on its way."""
    stored = FilesystemStorage.receive_upload
    calls = []

    async def receive_upload(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(60)
        return await stored(*arguments)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(FilesystemStorage, "receive_upload", receive_upload)
            ran = run("move", "docs", "archive", "--all", "--jobs", "1", "--json")
    finally:
        signal.signal(signal.SIGINT, before)
    answer = json.loads(ran.stdout)
    assert (ran.exit_code, answer["ok"], answer["stopped"]) == (1, False, "interrupted")
    assert answer["done"]["moved"]["files"] == 1
    open_uploads = rows(tmp_path / "internal.db", "SELECT * FROM datasette_files_uploads")
    assert (
        open_uploads + rows(tmp_path / "internal.db", "SELECT * FROM datasette_files_moves") == []
    )
    ran = run("move", "docs", "archive", "--all")
    assert (ran.exit_code, ran.stdout.splitlines()[0]) == (0, "Moved 2 files, 90 bytes")


def test_one_file_that_cannot_be_moved_spares_the_others(run: Run, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(bytes(1001))
    run("put", "docs", str(tmp_path / "large.bin"))
    ids = files_of(tmp_path)
    (damaged,) = (path for path in held(tmp_path / "docs") if path.endswith("b.txt"))
    (tmp_path / "docs" / damaged).write_text("B.TXT" * 10)
    dry = json.loads(run("move", "docs", "archive", "--all", "--dry-run", "--json").stdout)
    assert [(one["what"], one["code"]) for one in dry["failed"]] == [
        (ids["large.bin"], "too_large")
    ]
    ran = run("move", "docs", "archive", "--all", "--json")
    answer = json.loads(ran.stdout)
    assert (ran.exit_code, answer["ok"], answer["failed_count"]) == (3, False, 2)
    assert {one["what"]: one["code"] for one in answer["failed"]} == {
        ids["large.bin"]: "too_large",
        ids["b.txt"]: "checksum_mismatch",
    }
    assert list(files_of(tmp_path, "archive")) == ["a.txt", "c.md"]
    assert len(held(tmp_path / "archive")) == 2


def test_an_outage_stops_the_command_as_the_next_would_fail_too(run: Run, tmp_path: Path) -> None:
    (tmp_path / "docs").rename(tmp_path / "unmounted")
    ran = run("move", "docs", "archive", "--all")
    assert ran.exit_code == 1
    assert "Error (storage_unavailable): The source 'docs' is unavailable" in ran.stderr
    (tmp_path / "unmounted").rename(tmp_path / "docs")
    assert run("move", "docs", "archive", "--all").exit_code == 0


def test_a_full_disk_stops_the_command_in_its_midst(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def receive_upload(*arguments: Any) -> Any:
        raise NoSpace("The source's disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(FilesystemStorage, "receive_upload", receive_upload)
        ran = run("move", "docs", "archive", "--all", "--jobs", "1", "--json")
    answer = json.loads(ran.stdout)
    assert (ran.exit_code, answer["stopped"], answer["failed_count"]) == (3, "no_space", 1)
    assert answer["done"] == {}
    assert run("move", "docs", "archive", "--all").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["docs", "archive"], 2, "Select files"),
        (["docs", "archive", "--all", "--name", "x"], 2, "Select files"),
        (["docs", "archive", "--all", "--id", "df-x"], 2, "Select files"),
        (["docs"], 2, "Missing argument 'TARGET'"),
        (["docs", "archive", "--all", "--jobs", "0"], 2, "--jobs"),
        (["docs", "docs", "--all"], 1, "Error (invalid): SOURCE and TARGET are the same"),
        (["docs", "nowhere", "--all"], 1, "Error (not_found)"),
        (["docs", "archive", "--name", "\udcff"], 1, "Error (invalid): --name is not UTF-8"),
    ],
)
def test_what_makes_no_sense_changes_nothing(
    run: Run, tmp_path: Path, arguments: list[str], status: int, message: str
) -> None:
    ran = run("move", *arguments)
    assert (ran.exit_code, ran.stdout) == (status, "")
    assert message in ran.stderr
    assert len(files_of(tmp_path)) == 3


@pytest.mark.parametrize("name", ["ls", "info", "put", "get", "rm", "copy", "move", "sources"])
def test_help_says_what_each_command_does(name: str) -> None:
    ran = CliRunner().invoke(cli, ["files", name, "--help"])
    assert ran.exit_code == 0
    assert "--config" in ran.stdout
    listed: Any = CliRunner().invoke(cli, ["files", "--help"]).stdout
    assert f"\n  {name} " in listed


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_deployment_moves_to_s3_and_back(capsys: pytest.CaptureFixture[str]) -> None:
    """The benchmark with fewer files: every sha256 is read past Datasette."""
    from benchmarks import moving

    moving.main(["--large", "20000000", "--files", "50"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0].rpartition(", ")[2] for line in lines] == [
        "put",
        "disk to s3",
        "s3 to disk",
    ] * 2
