"""``kill -9`` of ``datasette files bundle --url``, and of its server, while a bundle is fetched.

After each kill the bundle is whole and valid, or not there and fetched on from the bytes that
arrived. A killed server comes back at its address, where the client waits for it.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from tests.support.bundles import judge
from tests.support.client import Client
from tests.support.faults.scene import config
from tests.support.server import Server

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]

FILES = 40
KIB = 1024
KILLS = 4


def _bundle(server: Server, out: Path, *options: str) -> subprocess.Popen[bytes]:
    """Begin the command, with the memory of its killed predecessors."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "datasette", "files", "bundle", str(out)),
            *("--source", "docs", "--url", server.url, *options),
        ],
        env={**os.environ, "XDG_STATE_HOME": str(server.folder / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _arrived(out: Path) -> int:
    part = out.parent / f".{out.name}.bundle.part"
    return part.stat().st_size if part.exists() else 0


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_a_bundle_is_whole_or_goes_on_whoever_is_killed(tmp_path: Path, kind: str) -> None:
    chance = random.Random(14)
    out = tmp_path / "fetched" / "bag"
    out.parent.mkdir()
    options = ["--zip"] if kind == "zip" else []
    hashes = set()
    with Server(tmp_path, config(tmp_path / "docs")) as server:
        client, total = Client(server.url), 0
        for number in range(FILES):
            content = chance.randbytes(chance.randrange(1, 2000) * KIB)
            client.put("docs", f"{number}.bin", content)
            hashes.add(hashlib.sha256(content).hexdigest())
            total += len(content)
        stopped = [0]
        for turn in range(KILLS):
            at = stopped[-1] + chance.randrange(1, total // (KILLS + 1))
            command = _bundle(server, out, *options)
            while command.poll() is None and _arrived(out) < at:
                time.sleep(0.001)
            assert command.poll() is None, command.communicate()[0]
            if turn % 2:
                server.kill()
                time.sleep(0.2)
                server.start(port=server.port)
                # The client, which waited for the server, is killed later.
                while command.poll() is None and _arrived(out) < at + total // 20:
                    time.sleep(0.001)
            command.kill()
            command.communicate()
            if out.exists():
                break
            assert _arrived(out) >= stopped[-1]
            stopped.append(_arrived(out))
        if not out.exists():
            command = _bundle(server, out, *options)
            output = command.communicate()[0]
            assert command.returncode == 0, output
    assert len(stopped) > 1
    assert [one.name for one in out.parent.iterdir()] == ["bag"]
    bag = out
    if kind == "zip":
        with zipfile.ZipFile(out) as archive:
            assert archive.testzip() is None
            archive.extractall(tmp_path / "unpacked")
        (bag,) = (tmp_path / "unpacked").iterdir()
    judge(bag)
    found = {hashlib.sha256(path.read_bytes()).hexdigest() for path in _files(bag)}
    assert found == hashes
    print(f"{kind}: {len(stopped) - 1} kills of the client, of {total:,} bytes it had {stopped}")


def _files(bag: Path) -> list[Path]:
    return [path for path in (bag / "data" / "files").rglob("*") if path.is_file()]
