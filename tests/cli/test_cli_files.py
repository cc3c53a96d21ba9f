"""``datasette files ls``, ``info``, ``put``, ``get`` and ``rm``, each in a command of its own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from datasette.cli import cli

from datasette_files.cli import disk
from datasette_files.errors import Invalid
from tests.conftest import disk_source
from tests.support.faults.scene import held, rows

Run = Callable[..., Result]
CONTENT = b"some words\n" * 1000


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("ls", …)`` on a site with the disk source ``docs``, that takes 100,000 bytes."""
    sources = {"docs": disk_source(tmp_path / "docs", max_file_size=100_000)}
    config = tmp_path / "datasette.json"
    config.write_text(json.dumps({"plugins": {"datasette-files": {"sources": sources}}}))
    site = ["--config", str(config), "--internal", str(tmp_path / "internal.db")]

    def run_command(*arguments: str, stdin: bytes | None = None) -> Result:
        ran = CliRunner().invoke(cli, ["files", *arguments, *site], input=stdin)
        assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
        return ran

    return run_command


def put(run: Run, path: Path, content: bytes = CONTENT, *more: str) -> dict[str, Any]:
    path.write_bytes(content)
    ran = run("put", "docs", str(path), "--json", *more)
    assert ran.exit_code == 0, ran.output
    record: dict[str, Any] = json.loads(ran.stdout)["files"][0]
    return record


def test_a_file_goes_in_is_listed_described_fetched_and_deleted(run: Run, tmp_path: Path) -> None:
    record = put(run, tmp_path / "a b.txt", CONTENT, "--uploaded-by", "alice")
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert record["content_hash"] == f"sha256:{digest}"
    assert (record["filename"], record["uploaded_by"]) == ("a b.txt", "alice")

    ran = run("ls", "docs")
    assert ran.stdout == (
        f"{record['id']}\t{len(CONTENT)}\ttext/plain\t{record['created_at']}\ta b.txt\n"
    )
    assert ran.stderr == f"1 file, {len(CONTENT):,} bytes\n"
    assert json.loads(run("ls", "docs", "--json").stdout)["files"] == [record]

    described = run("info", record["id"]).stdout.splitlines()
    assert f"content_hash: sha256:{digest}" in described
    assert "stored: yes" in described
    (tmp_path / "docs" / record["path"]).write_bytes(b"short")
    assert json.loads(run("info", record["id"], "--json").stdout)["files"][0]["stored"] == (
        "with 5 bytes"
    )
    (tmp_path / "docs" / record["path"]).write_bytes(CONTENT)

    folder = tmp_path / "out"
    folder.mkdir()
    assert run("get", record["id"], "-o", str(folder)).stdout == f"{folder}/a_b.txt\n"
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("a_b.txt", CONTENT)]
    assert run("get", record["id"], "-o", "-").stdout_bytes == CONTENT

    assert run("rm", record["id"]).stdout == f"{record['id']}\ta b.txt\n"
    assert held(tmp_path / "docs") == set()
    ran = run("rm", record["id"], "--json")
    assert ran.exit_code == 3
    assert json.loads(ran.stdout)["failed"][0]["code"] == "not_found"


def test_several_ids_come_from_standard_input_and_one_failure_spares_the_others(
    run: Run, tmp_path: Path
) -> None:
    records = [put(run, tmp_path / f"{n}.txt") for n in range(3)]
    ids = [record["id"] for record in records]
    lines = "\n".join([*ids[:2], "df-none"]).encode()
    ran = run("rm", "-", stdin=lines)
    assert (ran.exit_code, ran.stdout.count("\n")) == (3, 2)
    assert "Error (not_found): df-none: There is no file df-none" in ran.stderr
    assert [line.split("\t")[0] for line in run("ls", "docs").stdout.splitlines()] == ids[2:]


def test_what_goes_to_the_trash_is_told_as_that(run: Run, tmp_path: Path) -> None:
    record = put(run, tmp_path / "a.txt")
    days = ("-s", "plugins.datasette-files.sources.docs.trash_days", "3")
    ran = run("rm", record["id"], *days)
    assert (ran.exit_code, ran.stdout) == (0, f"{record['id']}\ta.txt\tin the trash\n")
    for command in ("rm", "info", "get"):
        ran = run(command, record["id"], *days)
        assert (ran.exit_code, ran.stdout) == (3, "")
        assert "Error (not_found)" in ran.stderr
        assert "The file is in the trash; restore it" in ran.stderr
    second = put(run, tmp_path / "a.txt")
    answer = json.loads(run("rm", second["id"], "--json", *days).stdout)
    assert answer["deleted"] == answer["trashed"] == [second["id"]]
    assert len(held(tmp_path / "docs")) == 2


def test_standard_output_that_takes_a_part_gets_the_rest(tmp_path: Path) -> None:
    """As it does under PYTHONUNBUFFERED; what it cannot take is an error, not a shorter file."""
    taken: list[bytes] = []

    class Raw(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, chunk: Any) -> int:
            taken.append(bytes(chunk[:7]))
            return len(taken[-1])

    disk.write_all(Raw(), CONTENT[:100])  # type: ignore[arg-type]
    assert b"".join(taken) == CONTENT[:100]


def test_lists_are_filtered_and_paged(run: Run, tmp_path: Path) -> None:
    photo = put(run, tmp_path / "photo.JPG", b"\xff\xd8\xff\xe0" + bytes(100))
    text = put(run, tmp_path / "words of wisdom.txt")

    def found(*options: str) -> list[str]:
        return [line.split("\t")[0] for line in run("ls", "docs", *options).stdout.splitlines()]

    assert found() == [photo["id"], text["id"]]
    assert found("--name", "*.JPG") == found("--type", "image/*") == [photo["id"]]
    assert found("--type", "text/plain", "--type", "image") == [photo["id"], text["id"]]
    assert found("--search", "wis") == found("--name", "w*", "--search", "words") == [text["id"]]
    assert found("--search", "!") == found("--name", "*.jpg") == []
    assert found("--prefix", photo["path"][:27]) == [photo["id"]]
    first = run("ls", "docs", "--limit", "1")
    assert f"There are more: continue with --after '{photo['path']}'" in first.stderr
    assert found("--limit", "1", "--after", photo["path"]) == [text["id"]]
    assert "Error (invalid): --after is not UTF-8" in run("ls", "docs", "--after", "\udcff").stderr
    answer = json.loads(run("ls", "docs", "--limit", "1", "--json").stdout)
    assert (answer["next"], answer["total"]) == (photo["path"], 2)


def test_what_is_put_is_found_by_directory_and_pattern_and_no_link_is_followed(
    run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.txt", "b.md", "deep/c.txt"):
        (folder / name).write_bytes(CONTENT)
    secret = tmp_path / "secret.txt"
    secret.write_bytes(b"secret")
    (folder / "link.txt").symlink_to(secret)
    (folder / "linked").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / "socket"))

    ran = run("put", "docs", str(folder), "--recursive")
    assert ran.exit_code == 0, ran.output
    stored = sorted(line.partition("\t")[2] for line in ran.stdout.splitlines())
    assert stored == [str(folder / name) for name in ("a.txt", "b.md", "deep/c.txt")]

    ran = run("put", "docs", str(folder / "*.txt"), str(folder), str(folder / "pipe"), "nothing*")
    assert ran.exit_code == 3
    assert len(ran.stdout.splitlines()) == 2  # a link that the person gave is followed
    errors = [f"Error (invalid): {folder}: This is a directory"]
    errors += [f"Error (invalid): {folder}/pipe: This is neither", "nothing*: No file matches"]
    assert all(error in ran.stderr for error in errors), ran.stderr
    assert len(held(tmp_path / "docs")) == 5


def test_names_that_are_not_utf_8_are_put_and_shown(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9\x1b.txt")).write_bytes(CONTENT)
    ran = run("put", "docs", str(folder), "-r")
    assert (ran.exit_code, ran.stdout.partition("\t")[2]) == (0, f"{folder}/caf?\ufffd.txt\n")
    assert run("ls", "docs").stdout.endswith("\tcaf\ufffd\ufffd.txt\n")


async def test_a_file_that_is_replaced_before_it_is_read_is_not_uploaded(tmp_path: Path) -> None:
    """As by somebody who may write to a directory that an administrator uploads."""
    (tmp_path / "elsewhere").mkdir()
    secret = tmp_path / "elsewhere" / "a.txt"
    secret.write_bytes(b"secret")
    for replaced in ("in/a.txt", "in"):
        folder = tmp_path / "in"
        folder.mkdir()
        (folder / "a.txt").write_bytes(CONTENT)
        (item,) = disk.found((str(folder),), True, lambda what, error: None)
        assert b"".join([chunk async for chunk in disk.chunks(item)]) == CONTENT
        (folder / "a.txt").unlink()
        if replaced == "in":
            folder.rmdir()
            folder.symlink_to("elsewhere")
        else:
            (folder / "a.txt").symlink_to(secret)
        with pytest.raises(Invalid, match="replaced this one"):
            assert [chunk async for chunk in disk.chunks(item)] == []
        if replaced != "in":
            (folder / "a.txt").unlink()
            folder.rmdir()


def test_limits_hold_and_leave_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "large.bin").write_bytes(bytes(100_001))
    (tmp_path / "small.bin").write_bytes(bytes(100_000))
    ran = run("put", "docs", str(tmp_path / "large.bin"), str(tmp_path / "small.bin"))
    assert (ran.exit_code, ran.stdout.count("\n")) == (3, 1)
    assert "Error (too_large)" in ran.stderr
    assert len(held(tmp_path / "docs")) == 1


def test_standard_input_is_a_file_with_a_name(run: Run) -> None:
    assert run("put", "docs", "-", stdin=CONTENT).exit_code == 1
    ran = run("put", "docs", "-", "--name", "../from/pipe.csv", stdin=CONTENT)
    assert ran.exit_code == 0, ran.output
    record = json.loads(run("info", ran.stdout.strip(), "--json").stdout)["files"][0]
    assert (record["filename"], record["content_type"]) == ("pipe.csv", "text/csv")


def test_what_is_fetched_appears_whole_under_a_safe_name_or_not_at_all(
    run: Run, tmp_path: Path
) -> None:
    record = put(run, tmp_path / "a.txt")
    out = tmp_path / "out"
    out.mkdir()

    def rename(name: str) -> None:
        with closing(sqlite3.connect(tmp_path / "internal.db")) as conn, conn:
            conn.execute("UPDATE datasette_files SET filename = ?", (name,))

    for hostile, safe in (("../../evil", "evil"), (".bashrc", "bashrc"), ("a\x1b[2J", "a_2J")):
        rename(hostile)
        assert run("get", record["id"], "-o", str(out)).exit_code == 0
        assert (out / safe).read_bytes() == CONTENT
    assert {path.name for path in tmp_path.iterdir()} >= {"out"}
    assert not (tmp_path.parent / "evil").exists()

    taken = out / "evil"
    taken.write_text("mine")
    ran = run("get", record["id"], "-o", str(taken))
    assert (ran.exit_code, taken.read_text()) == (3, "mine")
    assert "Error (conflict)" in ran.stderr
    assert run("get", record["id"], "-o", str(taken), "--force").exit_code == 0
    assert taken.read_bytes() == CONTENT

    twin = put(run, tmp_path / "a.txt")
    rename("twins")
    ran = run("get", record["id"], twin["id"], "-o", str(out), "--force")
    assert (ran.exit_code, ran.stdout) == (3, f"{out}/twins\n")
    (out / "twins").unlink()

    (tmp_path / "docs" / record["path"]).write_bytes(CONTENT[::-1])
    taken.unlink()
    ran = run("get", record["id"], "-o", str(taken))
    assert (ran.exit_code, taken.exists()) == (3, False)
    assert "Error (checksum_mismatch)" in ran.stderr
    assert run("get", record["id"], "-o", "-").exit_code == 3
    (tmp_path / "docs" / record["path"]).write_bytes(CONTENT[:-1])
    assert "Error (storage_error)" in run("get", record["id"], "-o", str(taken)).stderr
    assert {path.name for path in out.iterdir()} == {"bashrc", "a_2J"}


def test_only_regular_files_are_replaced(run: Run, tmp_path: Path) -> None:
    record = put(run, tmp_path / "a.txt")
    out = tmp_path / "out"
    out.mkdir()
    mine = out / "mine"
    mine.write_text("mine")
    (out / "link").symlink_to(mine)
    os.mkfifo(out / "pipe")
    for name, kept in (("link", Path.is_symlink), ("pipe", Path.is_fifo)):
        for more in ((), ("--force",)):
            ran = run("get", record["id"], "-o", str(out / name), *more)
            assert ran.exit_code == 3
            assert "Error (conflict)" in ran.stderr
            assert kept(out / name)
    assert "choose another path" in ran.stderr
    assert mine.read_text() == "mine"
    assert run("get", record["id"], "-o", str(mine), "--force").exit_code == 0
    assert mine.read_bytes() == CONTENT
    other = out / "other"
    other.touch()
    assert mine.stat().st_mode == other.stat().st_mode  # as the umask says
    assert {path.name for path in out.iterdir()} == {"link", "mine", "other", "pipe"}


def test_the_internal_database_has_to_be_the_servers(run: Run, tmp_path: Path) -> None:
    ran = run("ls", "docs")
    assert (ran.exit_code, ran.stdout) == (1, "")
    assert "does not exist" in ran.stderr
    site = ["--config", str(tmp_path / "datasette.json")]
    ran = CliRunner().invoke(cli, ["files", "ls", "docs", *site])
    assert "with --internal" in ran.stderr
    (tmp_path / "internal.db").write_bytes(b"no database at all" * 100)
    assert "cannot be opened" in run("ls", "docs").stderr
    (tmp_path / "internal.db").unlink()
    (tmp_path / "a.txt").write_bytes(CONTENT)
    ran = run("put", "docs", str(tmp_path / "a.txt"))
    assert f"Made {tmp_path}/internal.db" in ran.stderr
    assert run("ls", "elsewhere").stderr.startswith("Error (not_found)")
    assert rows(tmp_path / "internal.db", "SELECT count(*) FROM datasette_files") == [(1,)]


def test_sync_tells_by_its_exit_status_how_it_went(run: Run, tmp_path: Path) -> None:
    put(run, tmp_path / "sent.txt")
    root = tmp_path / "docs"
    for number in range(20):
        (root / f"n{number}.txt").write_bytes(b"%d" % number)
    ran = run("sync", "docs", "--json")
    told = json.loads(ran.stdout)
    assert (ran.exit_code, told["added"], told["complete"]) == (0, 20, True)
    os.close(os.open(os.fsencode(root) + b"/\xff", os.O_CREAT))
    ran = run("sync", "docs")
    assert (ran.exit_code, "UTF-8" in ran.stderr) == (3, True)
    assert "21 unchanged, 1 failed" in ran.stdout
    for path in root.glob("n*.txt"):
        path.unlink()
    ran = run("sync", "docs")
    assert (ran.exit_code, "20 of 21 files" in ran.stderr) == (1, True)
    assert "missing_since" not in run("ls", "docs").stdout
    assert run("sync", "docs", "--accept-missing").exit_code == 3
    assert "0 added, 0 changed, 0 renamed, 0 returned, 0 missing" in run("sync", "docs").stdout
