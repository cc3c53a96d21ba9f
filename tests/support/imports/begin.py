"""Starts an import on a real server."""

from __future__ import annotations

import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from tests.support.server import Server


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> None:
        return None


def begin(server: Server, file_id: str, fields: dict[str, str]) -> str:
    """Start an import into ``data``; the job's address."""
    body = urllib.parse.urlencode({"database_name": "data", **fields}).encode()
    opener = urllib.request.build_opener(_Stay)
    try:
        opener.open(f"{server.url}/-/files/import/{file_id}", body, timeout=30)
    except urllib.error.HTTPError as answer:
        assert answer.code == 302, answer.read()
        return str(answer.headers["Location"])
    raise AssertionError("a redirect is an HTTPError here")
