"""``kill -9`` of a real server ends its children within two seconds; its memory is hidden."""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from pathlib import Path

from tests.conftest import OPEN, disk_source
from tests.support.fixtures import fixture
from tests.support.imports import site
from tests.support.imports.begin import begin
from tests.support.server import Server

_LOOK = """
import ctypes
from datasette import hookimpl, Response

async def dumpable():
    return Response.json({"dumpable": ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)})

@hookimpl
def register_routes():
    return [(r"^/-/dumpable$", dumpable)]
"""
KINDS = ("previews.worker.main", "imports.worker.main")


def _of_kind(server: int, kind: str) -> list[int]:
    """Children of this server."""
    found = []
    for task in Path(f"/proc/{server}/task").iterdir():
        for pid in task.joinpath("children").read_text().split():
            if kind in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(int(pid))
    return found


def _gone(pid: int) -> bool:
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_killed_it_leaves_no_child(tmp_path: Path) -> None:
    data = site.database(tmp_path)
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    plugins.joinpath("look.py").write_text(_LOOK)
    config = {
        "plugins": {"datasette-files": {"sources": {"docs": disk_source(tmp_path / "docs")}}},
        "permissions": {**OPEN, **site.WRITE},
    }
    own = f"{Path(sys.executable).parent}/./{Path(sys.executable).name}"  # not forked: it hides
    with Server(tmp_path, config, databases=[data], plugins=plugins, python=own) as server:
        assert server.get_json("/-/dumpable") == {"dumpable": 0}
        photo = fixture("photos/orientation-1.jpg").path.read_bytes()
        rows = b"a,b\n" + b"1,aaaaaaaaaaaaaaaaaaaa\n" * 1_000_000
        ids = {}
        for name, kind, content in (
            ("photo.jpg", "image/jpeg", photo),
            ("big.csv", "text/csv", rows),
        ):
            url = f"{server.url}/-/files/upload/docs/{name}"
            request = urllib.request.Request(url, content, {"Content-Type": kind}, method="PUT")
            with urllib.request.urlopen(request, timeout=60) as answer:
                ids[name] = json.load(answer)["file"]["id"]
        urllib.request.urlopen(f"{server.url}/-/files/{ids['photo.jpg']}/thumbnail").close()
        begin(server, ids["big.csv"], {"table_name": "made"})
        children: dict[str, list[int]] = {}
        while not all(children.values()) or not children:
            time.sleep(0.05)
            children = {kind: _of_kind(server.pid, kind) for kind in KINDS}
        started = time.monotonic()
        server.kill()
        took = {}
        while len(took) < len(KINDS) and time.monotonic() < started + 10:
            for kind in set(KINDS) - set(took):
                if all(_gone(pid) for pid in children[kind]):
                    took[kind] = time.monotonic() - started
            time.sleep(0.005)
        print({kind: f"{seconds:.3f} s" for kind, seconds in took.items()})
        assert set(took) == set(KINDS)
        assert max(took.values()) < 2
