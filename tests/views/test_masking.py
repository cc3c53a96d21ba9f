"""Tokens of links are in no line of a server's log."""

import json
import logging
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError

import pytest

from datasette_files.views import masking
from tests.conftest import OPEN, disk_source
from tests.support.server import Server


def test_a_real_server_logs_requests_without_tokens(tmp_path: Path) -> None:
    config = {
        "plugins": {"datasette-files": {"sources": {"docs": disk_source(tmp_path / "docs")}}},
        "permissions": {**OPEN, "files-share": {"id": "nobody"}},
    }
    tokens = ["SecretOfAShare", "SecretOfAnUpload", "SecretOfAGuess"]
    paths = [f"s/{tokens[0]}", f"u/{tokens[1]}?sent=1", f"s/{tokens[2]}/df-1/download"]
    with Server(tmp_path, config) as server:
        for path in paths:
            with suppress(HTTPError):
                urllib.request.urlopen(f"{server.url}/-/files/{path}", timeout=30)
        urllib.request.urlopen(f"{server.url}/-/files/sources.json", timeout=30).close()
        server.stop()
        log = server.log.read_text()
    assert not [token for token in tokens if token in log]
    for line in ("/-/files/s/***", "/-/files/u/***?sent=1", "/-/files/s/***/df-1/download"):
        assert line in log
    assert "/-/files/sources.json" in log


@pytest.mark.parametrize(
    "args",
    [("127.0.0.1", "GET", "/base/-/files/s/abc/zip?x=1", "1.1", 200), {"U": "/-/files/u/abc"}],
)
def test_every_form_of_a_record_is_masked(args: object) -> None:
    masking.mask_access_logs()
    masking.mask_access_logs()
    log = logging.getLogger("uvicorn.access")
    record = log.makeRecord(log.name, logging.INFO, "", 0, "/%2D/files/s/abc?q", (), None)
    record.args = args  # type: ignore[assignment]
    assert log.filter(record)
    assert "abc" not in json.dumps([record.msg, record.args])
    assert sum(isinstance(one, masking._TokenFilter) for one in log.filters) == 1
