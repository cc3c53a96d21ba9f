"""A client that asks for a thumbnail of a file on S3 and goes away leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client, expect
from tests.support.faults.proxy import FaultProxy
from tests.support.faults.rawhttp import RawRequest
from tests.support.faults.s3_scene import s3_sources, site, store_proxy
from tests.support.faults.scene import settle
from tests.support.fixtures import fixture
from tests.support.moto_server import new_prefix
from tests.support.server import Server

_IMPATIENT = """
from datasette_files.previews import facts, workers

workers.STALL_SECONDS = 1.0
facts.INTERVAL = 600  # seconds; nobody else reads the pictures
"""


def _leave(server: Server, records: list[dict[str, Any]], proxy: FaultProxy) -> None:
    """Ask for all of them, wait until the store hangs over the first, and hang up."""
    asked = [
        RawRequest(server).head("GET", record["thumbnail_url"], {"Accept": "image/*"})
        for record in records
    ]
    settle(lambda: {} if proxy.harmed() else {"not yet": "asked"}, 30)
    for request in asked:
        request.__exit__()


@pytest.mark.full
def test_clients_that_go_away_leave_no_work_and_no_error(tmp_path: Path) -> None:
    proxy = store_proxy()
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "impatient.py").write_text(_IMPATIENT)
    sources = s3_sources(proxy, new_prefix())
    with site(tmp_path, sources, plugins, thumbnail_concurrency=1) as server:
        client = Client(server.url)
        content = fixture("photos/orientation-1.jpg").path.read_bytes()
        records = [client.put("proxied", f"{n}.jpg", content) for n in range(4)]
        before = proxy.count("GetObject")
        proxy.stalls("GetObject")
        _leave(server, records[:3], proxy)
        # The place of the one that hung is free again, and those that waited were not begun.
        answer = expect(client.request("GET", records[3]["thumbnail_url"]), 200)
        assert answer.headers["content-type"] == "image/jpeg"
        assert proxy.count("GetObject") - before == 2
        again = expect(client.request("GET", records[1]["thumbnail_url"]), 200)
        assert again.headers["content-type"] == "image/jpeg"
        server.stop()
        log = server.log.read_text()
        assert "Traceback" not in log, log
        assert "ERROR" not in log, log
    proxy.refuse_connections()
