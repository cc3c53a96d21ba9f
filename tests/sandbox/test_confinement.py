"""Both kinds of child are confined alike, and each limit holds inside them."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from datasette_files.formats.delimited import Delimited
from datasette_files.imports import process as imports
from datasette_files.previews.workers import Job, Workers
from datasette_files.sandbox.confinement import FILES, NETWORK
from datasette_files.sandbox.process import Child, clear_left_folders
from tests.conftest import missing
from tests.sandbox.kinds import KINDS, ask, needs, obeying
from tests.support.fixtures import fixture

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has all of it")
each_kind = pytest.mark.parametrize("kind", KINDS)

_LIMITS = (
    "Max address space",
    "Max data size",
    "Max file size",
    "Max cpu time",
    "Max core file size",
    "Max open files",
)


def looks(pid: int) -> dict[str, str]:
    """A child's state in /proc."""
    folder = Path(f"/proc/{pid}")
    status = dict(
        line.split(":\t", 1) for line in folder.joinpath("status").read_text().splitlines()
    )
    limits = {
        line[:25].strip(): "/".join(line[26:].split()[:2])
        for line in folder.joinpath("limits").read_text().splitlines()[1:]
    }
    return {
        **{name: status[name] for name in ("NoNewPrivs", "Seccomp", "CapEff", "CapPrm")},
        "nice": folder.joinpath("stat").read_text().rpartition(")")[2].split()[16],
        **{name: limits[name] for name in _LIMITS},
        "environment": folder.joinpath("environ").read_bytes().replace(b"\0", b" ").decode(),
        "working directory": str(folder.joinpath("cwd").readlink()),
        "network": str(folder.joinpath("ns/net").readlink()),
        "user namespace": str(folder.joinpath("ns/user").readlink()),
        "group": str(os.getpgid(pid) == pid),
    }


def _children() -> set[int]:
    """Processes that this one started."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in task.joinpath("children").read_text().split()}
    return found


async def test_both_kinds_look_alike_but_for_their_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the server starts them, at work; printed by ``pytest -s``."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    limits = KINDS["thumbnails"][1]
    pool = Workers(1, limits, heif=False, ffmpeg="")  # type: ignore[arg-type]

    async def photo() -> AsyncIterator[bytes]:
        yield fixture("photos/orientation-1.jpg").path.read_bytes()

    await pool.run(Job("image", "image/jpeg", 200), photo())
    before, begun = _children(), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"a,b\n" * 10
        begun.set()
        await asyncio.Event().wait()

    task = {
        **{"work": "import", "format": imports.located(Delimited()), "options": {}},
        "max_bytes": 4 << 30,
    }
    run = asyncio.create_task(imports.run(task, endless, lambda *_: None, tmp_path))
    await begun.wait()
    (pid,) = _children() - before
    seen = {"thumbnails": looks(pool.pids[0]), "imports": looks(pid)}
    run.cancel()
    await asyncio.wait([run])
    await pool.close()
    print("\n| | thumbnails | imports |\n|---|---|---|")
    for name in seen["imports"]:
        print(f"| {name} | {seen['thumbnails'][name]} | {seen['imports'][name]} |")

    for kind, found in seen.items():
        own = KINDS[kind][1].by_name()
        assert found["NoNewPrivs"] == "1"
        assert found["environment"].strip() == "MALLOC_ARENA_MAX=1"
        assert (found["Max open files"], found["Max core file size"]) == ("64/64", "0/0")
        assert found["Max address space"] == found["Max data size"] == f"{own['AS']}/{own['AS']}"
        assert found["Max file size"] == f"{own['FSIZE']}/{own['FSIZE']}"
        assert found["Max cpu time"].endswith(f"/{own['CPU']}")
        assert found["nice"] == str(min(os.nice(0) + 10, 19))
        assert found["group"] == "True"
    assert seen["imports"]["working directory"] == str(tmp_path)
    folder = seen["thumbnails"]["working directory"]
    assert folder.startswith(f"{tempfile.gettempdir()}/datasette-files-child-")
    child = await Child.start("sandbox.child", limits)
    await child.close()
    needs(child, NETWORK)
    here = str(Path("/proc/self/ns/net").readlink())
    assert len({here, *(found["network"] for found in seen.values())}) == 3
    assert {found["CapEff"] for found in seen.values()} == {"0" * 16}


@each_kind
async def test_it_reads_nothing_of_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    async with obeying(monkeypatch, kind) as child:
        needs(child, FILES)
        for path in ("/etc/passwd", secret, f"/proc/{os.getpid()}/environ", __file__):
            said = await ask(child, f"open({str(path)!r}).read()")
            assert said == {"error": "PermissionError", "errno": errno.EACCES}, path
        for folder in ("/", "/tmp", tmp_path, "/root", "/home"):
            said = await ask(child, f"import os; os.listdir({str(folder)!r})")
            assert said["error"] in ("PermissionError", "FileNotFoundError"), folder
        said = await ask(child, "import os; os.execv('/bin/sh', ['sh', '-c', 'exit'])")
        assert said["error"] == "PermissionError"


@each_kind
async def test_it_writes_into_its_own_folder_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    own = """
import pathlib, sqlite3, tempfile
pathlib.Path("x").write_text("mine")
tempfile.TemporaryFile().write(b"mine")
conn = sqlite3.connect(pathlib.Path.cwd() / "rows.db")
conn.execute("PRAGMA cache_size = 10")
conn.execute("CREATE TABLE t (a)")
many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)"
conn.execute(f"INSERT INTO t {many} SELECT hex(randomblob(50)) FROM n ORDER BY 1")
conn.commit()
value = conn.execute("SELECT count(*) FROM (SELECT DISTINCT a FROM t ORDER BY a DESC)").fetchone()
"""
    outside = tmp_path / "outside"
    outside.write_text("as it was")
    async with obeying(monkeypatch, kind) as child:
        folder = Path(f"/proc/{child.pid}/cwd").readlink()
        assert await ask(child, own) == {"value": [20000]}
        assert folder.joinpath("x").read_text() == "mine"
        needs(child, FILES)
        for path in (outside, tmp_path / "new", "/tmp/new", Path(__file__)):
            said = await ask(child, f"open({str(path)!r}, 'r+b' if {path == outside} else 'wb')")
            assert said == {"error": "PermissionError", "errno": errno.EACCES}, path
        for code in (f"os.unlink({str(outside)!r})", f"os.truncate({str(outside)!r}, 0)"):
            assert (await ask(child, f"import os; {code}"))["error"] == "PermissionError"
    assert outside.read_text() == "as it was"
    assert not folder.exists()


@each_kind
async def test_it_reaches_nobody(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        async with obeying(monkeypatch, kind) as child:
            needs(child, NETWORK)
            for target in (address, ("1.1.1.1", 53)):
                code = f"import socket; socket.create_connection({target!r}, 2)"
                assert (await ask(child, code))["errno"] in (errno.EACCES, errno.ENETUNREACH)
            said = await ask(child, "import socket; socket.create_server(('127.0.0.1', 8001))")
            assert said["error"] in ("PermissionError", "OSError")
            # Nor does it get rights of its own in another namespace, or signal the server.
            again = "import ctypes; value = ctypes.CDLL(None).unshare(0x10000000 | 0x40000000)"
            assert await ask(child, again) == {"value": -1}
            needs(child, FILES)
            said = await ask(child, f"import os; os.kill({os.getpid()}, 0)")
            if said.get("error") is None and os.uname().release < "6.12":
                missing("Landlock's scope for signals")
            assert said["error"] == "PermissionError"


@each_kind
async def test_it_exceeds_neither_memory_nor_file_size_nor_descriptors(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    limits = KINDS[kind][1]
    async with obeying(monkeypatch, kind) as child:
        assert (await ask(child, f"bytearray({limits.memory})"))["error"] == "MemoryError"
        code = f"open('x', 'wb').truncate({limits.max_bytes + 1})"
        assert (await ask(child, code))["errno"] == errno.EFBIG
        code = "import os\nwhile True: value = os.dup(0)"
        assert (await ask(child, code))["errno"] == errno.EMFILE


@pytest.mark.full
@each_kind
async def test_the_kernel_ends_it_over_its_cpu(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    async with obeying(monkeypatch, kind, seconds=1) as child:
        child.send({"run": "while True: pass"})
        assert await child.ended_by() in (-signal.SIGXCPU, -signal.SIGKILL)


@each_kind
async def test_what_it_writes_to_standard_error_is_bounded_and_logged_if_it_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    async with obeying(monkeypatch, kind) as child:
        code = "import os\nfor _ in range(500): os.write(2, b'x' * 10_000)\nos.write(1, b'!')"
        assert await ask(child, code) == {"value": None}  # it is not held up, nor misunderstood
        child.send({"run": "import os; os._exit(3)"})
        assert await child.ended_by() == 3
    (said,) = [one.getMessage() for one in caplog.records if "child process" in one.getMessage()]
    assert 16_000 < len(said) < 17_000


async def test_folders_of_killed_servers_are_removed_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, new = tmp_path / "datasette-files-child-left", tmp_path / "datasette-files-child-new"
    other = tmp_path / "other"
    for folder in (left, new, other):
        folder.mkdir()
    left.joinpath("x").write_text("of a child that is gone")
    child = await Child.start("sandbox.child", KINDS["imports"][1])
    own = Path(f"/proc/{child.pid}/cwd").readlink()
    for folder in (left, own, other):
        os.utime(folder, (0, 0))
    clear_left_folders()
    assert set(tmp_path.iterdir()) == {own, new, other}
    await child.close()
    assert not own.exists()
