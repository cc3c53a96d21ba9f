"""``kill -9`` of ``datasette files put``, again and again, while it sends one large file.

The same command goes on at the first byte that is not durable, on disk and on S3.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from datasette_files.client import Client as FilesClient
from tests.support.client import Client, expect
from tests.support.faults.scene import Bucket, config, everywhere, leftovers, rows, settle
from tests.support.server import Server

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

MIB = 1024 * 1024
SIZE = 60 * MIB
KILLS = 5
SMALL_FILES = 300


def _offset(site: Server) -> int:
    """The durable bytes of the upload that goes on; 0 before there is one."""
    if not site.internal.exists():
        return 0
    tables = rows(site.internal, "SELECT 1 FROM sqlite_master WHERE name LIKE '%files_resuming'")
    found = rows(site.internal, "SELECT offset FROM datasette_files_resuming") if tables else []
    return max((row[0] for row in found), default=0)


def _run(command: Any) -> None:
    command.wait(timeout=120)


@everywhere(direct=False)
def test_killed_put_goes_on_where_it_stopped(root: Any, tmp_path: Path) -> None:
    chance = random.Random(33)
    path = tmp_path / "large.bin"
    path.write_bytes(chance.randbytes(SIZE))
    site = Server(tmp_path, config(root))
    stopped: list[int] = []
    for _ in range(KILLS):
        wanted = _offset(site) + chance.randrange(1, SIZE // KILLS - 2 * MIB)
        command = site.beside("put", "docs", str(path))
        while command.poll() is None and _offset(site) < wanted:
            time.sleep(0.002)
        assert command.poll() is None, site.log.read_text()
        command.send_signal(9)
        _run(command)
        stopped.append(_offset(site))
    assert stopped == sorted(stopped)
    _run(site.beside("put", "docs", str(path)))
    log = site.log.read_text()
    went_on = [int(one.replace(",", "")) for one in re.findall(r"goes on at byte ([\d,]+)", log)]
    # A kill may come before the line is written, but the last run was not killed.
    assert went_on[-1] == stopped[-1]
    assert set(went_on) <= set(stopped)
    with site:
        client = Client(site.url)
        (file,) = client.all_files("docs")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        record = expect(client.request("GET", f"/-/files/{file['id']}.json"), 200).json()
        assert record["content_hash"] == f"sha256:{digest}"
        assert hashlib.sha256(client.download(file["id"]).body).hexdigest() == digest
        settle(lambda: leftovers(site, root))
    kind = "S3" if isinstance(root, Bucket) else "disk"
    print(f"{KILLS} kills of put to {kind}; went on at, in MiB: {[n / MIB for n in went_on]}")


@everywhere(direct=False)
def test_small_files_are_stored_once_while_the_server_is_killed(root: Any, tmp_path: Path) -> None:
    """A client repeats each request under its key, so a lost answer neither costs nor makes one."""
    chance = random.Random(34)
    names = [f"note {number:03}.bin" for number in range(SMALL_FILES)]
    for name in names:
        (tmp_path / name).write_bytes(chance.randbytes(chance.randrange(200_000)))
    site = Server(tmp_path, config(root))
    with site, ThreadPoolExecutor(8) as pool:
        with FilesClient(site.url, state=tmp_path / "state") as client:
            sent = [pool.submit(client.put, "docs", tmp_path / name) for name in names]
            for number in range(1, KILLS + 1):
                while sum(one.done() for one in sent) < number * SMALL_FILES // (KILLS + 1):
                    time.sleep(0.002)
                site.kill()
                site.start(port=site.port)
            stored = {one.result()["id"]: one.result() for one in sent}
        browser = Client(site.url)
        listed = list(browser.all_files("docs"))
        assert sorted(file["filename"] for file in listed) == names
        assert {file["id"] for file in listed} == set(stored)
        for file in listed:
            content = (tmp_path / file["filename"]).read_bytes()
            assert browser.download(file["id"]).body == content
        settle(lambda: leftovers(site, root))
