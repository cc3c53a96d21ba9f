"""A real server with many other plugins beside ours, and a walk over all its pages."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

from datasette.app import Datasette

from tests.support.client import Answer, Client
from tests.support.environments import ROOT, environment
from tests.support.server import Server

DATASETTE = "datasette==1.0a41"
PLUGINS = (
    "datasette-acl==0.6a1",
    "datasette-block-robots==1.1.1",
    "datasette-cluster-map==0.18.2",
    "datasette-configure-fts==1.2a0",
    "datasette-copyable==0.3.2",
    "datasette-endpoints==0.1",
    "datasette-enrichments==0.6a0",
    "datasette-enrichments-re2==0.1",
    "datasette-events-db==0.1a2",
    "datasette-explain==0.2.2",
    "datasette-gzip==0.3",
    "datasette-json-html==1.0.1",
    "datasette-keyboard-shortcuts==0.1.0",
    "datasette-llms-txt==0.3.0",
    "datasette-mailto-links==0.3.1",
    "datasette-mcp==0.3",
    "datasette-metadata-editable==0.2a3",
    "datasette-os-info==0.1",
    "datasette-outliers==0.1.0",
    "datasette-packages==0.3",
    "datasette-pins==0.1a7",
    "datasette-pretty-json==0.3",
    "datasette-pretty-traces==0.7",
    "datasette-redirects==0.1",
    "datasette-referrer-policy==0.1",
    "datasette-render-markdown==2.2.1",
    "datasette-search-all==1.1.5a0",
    "datasette-searchable-filter-columns==0.1.0",
    "datasette-secrets==0.3a0",
    "datasette-sticky-table-headers==0.1.1",
    "datasette-table-diagram==0.1a0",
    "datasette-themes==0.1",
    "datasette-total-page-time==0.1",
    "datasette-transactions==0.1a0",
    "datasette-upload-csvs==0.10a0",
    "datasette-user-profiles==0.1.0a10",
    "datasette-write-ui==0.0.1a14",
    "datasette-xlsx==0.2.2",
)
#: Faults that they have without us too: addresses, and words of lines in the log.
#: datasette-configure-fts links to databases that cannot be written, and answers 404 there;
#: datasette-enrichments asks for its jobs before it makes their table.
THEIR_FAULTS = (re.compile(r"/-/configure-fts/files_"), "_enrichment_jobs")
#: Pages of others that no link leads to.
THEIRS = ("/-/upload-csvs", "/-/search", "/-/packages", "/-/endpoints", "/-/os", "/llms.txt")
#: Addresses of one path that differ in their query: more would be the same page again.
_VARIANTS = 3
_MAX_PAGES = 400


def interpreter(*, ours: bool = True) -> str:
    """The Python of an environment with all of them, and ours unless told otherwise."""
    packages = (DATASETTE, *PLUGINS, "--prerelease=allow")
    if ours:
        found = environment("neighbours", *packages, "-e", str(ROOT))
    else:
        found = environment("neighbours-alone", *packages)
    return str(found / "python")


def configuration(folder: Path) -> dict[str, Any]:
    """Two sources, a table with a file column, and what some of the others ask for."""
    docs = {"storage": "filesystem", "location": "show", "config": {"root": str(folder / "docs")}}
    cellar = {"storage": "filesystem", "config": {"root": str(folder / "cellar")}}
    types = {"photo": "file"}
    return {
        "plugins": {
            "datasette-files": {"sources": {"docs": docs, "cellar": cellar}},
            "datasette-mcp": {"canned_queries": True},
            "datasette-secrets": {"encryption-key": SECRETS_KEY},
        },
        "databases": {"data": {"tables": {"people": {"column_types": types}}}},
        "permissions": {
            "files-browse": {
                "docs": {"allow": {"id": ["alice", "root"]}},
                "cellar": {"allow": {"id": "root"}},
            },
            "files-upload": {"id": "root"},
            "datasette-acl": {"id": "root"},
        },
    }


#: A key of Fernet, for tests alone.
SECRETS_KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


def make_data(path: Path) -> None:
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute(
            """CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, photo TEXT,
            photo_sha256 TEXT, latitude FLOAT, longitude FLOAT, about TEXT)"""
        )
        conn.execute("INSERT INTO people VALUES (1, 'Ada', NULL, NULL, 51.5, -0.1, '{\"a\": 1}')")


def server(folder: Path, plugins: Path, *, ours: bool = True) -> Server:
    """A server that is not started yet."""
    make_data(folder / "data.db")
    config = configuration(folder)
    return Server(
        folder,
        config,
        python=interpreter(ours=ours),
        plugins=plugins,
        databases=[folder / "data.db"],
        arguments=["--root"],
    )


def signed_in(actor: str) -> dict[str, str]:
    """The headers of a program that has the cookie of this actor."""
    value = Datasette(secret="test").sign({"a": {"id": actor}}, "actor")
    return {"Cookie": f"ds_actor={value}", "Accept": "application/json"}


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = "src" if tag in ("script", "img") else "href"
        self.found += [value for key, value in attrs if key == name and value and tag != "base"]


def walk(
    client: Client, begin: list[str], headers: dict[str, str]
) -> Iterator[tuple[str, str, Answer]]:
    """Every page that links lead to, and the static files on them; bounded.

    Each with the page whose link led there, or "", and its answer.
    """
    waiting, variants = list(begin), Counter[str]()
    known = dict.fromkeys(begin, "")
    shown = 0
    while waiting and shown < _MAX_PAGES:
        path = waiting.pop(0)
        answer = client.request("GET", path, headers=headers)
        shown += 1
        yield path, known[path], answer
        place = answer.headers.get("location", "")
        links = _Links()
        if answer.headers.get("content-type", "").startswith("text/html"):
            links.feed(answer.body.decode())
        for link in (*links.found, *([place] if place else [])):
            url = urlsplit(urldefrag(urljoin(f"http://here{path}", link))[0])
            following = f"{url.path}?{url.query}" if url.query else url.path
            if url.netloc != "here" or following in known or url.path == "/-/logout":
                continue
            if variants[url.path] < _VARIANTS:
                variants[url.path] += 1
                known[following] = path
                waiting.append(following)


class Mcp:
    """A client of the Model Context Protocol's Streamable HTTP, of revision 2025-06-18."""

    def __init__(self, client: Client, headers: dict[str, str]) -> None:
        self._client = client
        self._headers = {
            **headers,
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2025-06-18",
        }
        self._number = 0
        who = {"name": "test", "version": "1"}
        begin = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": who}
        answer = self._post({"method": "initialize", "params": begin}, numbered=True)
        assert answer.status == 200, answer.body
        if session := answer.headers.get("mcp-session-id"):
            self._headers["Mcp-Session-Id"] = session
        self._post({"method": "notifications/initialized"}, numbered=False)

    def _post(self, message: dict[str, Any], *, numbered: bool) -> Answer:
        self._number += 1
        more = {"id": self._number} if numbered else {}
        body = {"jsonrpc": "2.0", **more, **message}
        return self._client.post_json("/-/mcp", body, self._headers)

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        answer = self._post({"method": method, "params": params}, numbered=True)
        assert answer.status == 200, answer.body
        result: dict[str, Any] = answer.json()["result"]
        return result

    def call(self, tool: str, **arguments: Any) -> Any:
        """What the tool answers; its message as a string if it is an error."""
        result = self.ask("tools/call", name=tool, arguments=arguments)
        text: str = result["content"][0]["text"]
        return text if result.get("isError") else result.get("structuredContent", json.loads(text))


def supported() -> bool:
    """Tell whether datasette-mcp has a release for this Python."""
    return sys.version_info >= (3, 11)
