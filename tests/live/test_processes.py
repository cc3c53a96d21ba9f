"""Two servers with one internal database: they share the cache, and neither disturbs the other."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import OPEN, disk_source
from tests.support.server import Server

pytestmark = pytest.mark.full


def _send(server: Server, path: str, method: str, content: bytes = b"") -> Any:
    request = urllib.request.Request(server.url + path, content, method=method)
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def _text(server: Server, path: str) -> str:
    with urllib.request.urlopen(server.url + path, timeout=60) as response:
        return str(response.read().decode())


def _ended(server: Server, job: dict[str, Any]) -> dict[str, Any]:
    while (told := server.get_json(f"{job['url']}.json"))["status"] in ("pending", "running"):
        time.sleep(0.05)
    return dict(told)


def test_what_one_makes_the_other_opens_and_both_go_on(tmp_path: Path) -> None:
    config = {
        "plugins": {"datasette-files": {"sources": {"docs": disk_source(tmp_path / "docs")}}},
        "permissions": OPEN,
    }
    with Server(tmp_path, config) as one, Server(tmp_path, config) as two:
        file = _send(one, "/-/files/upload/docs/people.csv", "PUT", b"id,name\n1,Ann\n")["file"]
        home = f"/file_{file['id'].removeprefix('df-')}"
        job = _send(one, f"/-/files/{file['id']}/-/open", "POST", b"")["job"]
        assert _ended(one, job)["status"] == "finished"
        assert two.get_json(f"{home}/people.json?_shape=array")[0]["name"] == "Ann"
        # Each takes what the other has not opened out of Datasette's list, and lists it again.
        begun = time.monotonic()
        while time.monotonic() - begun < 4:
            assert '"people"' in json.dumps(one.get_json(f"{home}.json")["tables"])
            for server in (one, two):
                _text(server, "/")
        (cached,) = (tmp_path / "internal.db.live-tables").glob("*.db")
        cached.unlink()
        for _ in range(5):
            for server in (one, two):
                assert "docs" in _text(server, "/-/files")
                _text(server, "/")
        page = _text(two, f"{home}/people")  # the progress page, or by then the table
        assert re.search("Opening|Ann", page)
        begun = time.monotonic()
        while "Ann" not in _text(two, f"{home}/people") and time.monotonic() - begun < 30:
            time.sleep(0.1)
        assert one.get_json(f"{home}/people.json?_shape=array")[0]["name"] == "Ann"
        _send(two, f"/-/files/{file['id']}/-/delete", "POST", b"{}")
        for server in (one, two):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                _text(server, home)
        begun = time.monotonic()
        while list(cached.parent.glob("*.db")) and time.monotonic() - begun < 30:
            time.sleep(0.1)
        assert list(cached.parent.iterdir()) == []
