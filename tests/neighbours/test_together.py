"""Beside forty other plugins every page answers, nothing is logged, and each gets its part."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from datasette_files.views.routes import ROUTES
from tests.support.client import Client, expect
from tests.support.environments import ROOT
from tests.support.fixtures import fixture
from tests.support.neighbours import site as neighbours
from tests.support.neighbours.site import Mcp, signed_in
from tests.support.server import Server

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not neighbours.supported(), reason="datasette-mcp needs Python 3.11"),
]
TEXT = "The quick brown fox\fjumps over the lazy dog"
ROOT_USER = signed_in("root")
BROWSER = {**ROOT_USER, "Accept": "text/html"}


@dataclass(frozen=True)
class Site:
    server: Server
    client: Client
    #: The ids of a picture with a place, a text of two pages, a table, and a file in the cellar.
    picture: str
    text: str
    table: str
    hidden: str

    @property
    def complaints(self) -> list[str]:
        """The lines of the log at the level of a warning or above."""
        begin = re.compile(r"NOTED|WARNING|ERROR|CRITICAL|Traceback|\w+(Error|Warning|Exception)\b")
        lines = self.server.log.read_text().splitlines()
        theirs = neighbours.THEIR_FAULTS[1]
        return [line for line in lines if begin.match(line) and theirs not in line]


def _plugins(folder: Path) -> Path:
    """A folder with what notes warnings, and the enrichment of the documentation."""
    plugins = folder / "plugins"
    shutil.copytree(Path(neighbours.__file__).parent / "plugins", plugins)
    documented = (ROOT / "docs" / "neighbours.md").read_text("utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```$", documented, re.DOTALL | re.MULTILINE)
    (plugins / "photo_hashes.py").write_text(example)
    return plugins


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("neighbours")
    with neighbours.server(folder, _plugins(folder)) as server:
        client = Client(server.url)

        def put(source: str, name: str, content: bytes) -> str:
            path = f"/-/files/upload/{source}/{name}"
            stored = expect(client.request("PUT", path, content, ROOT_USER), 201)
            return str(stored.json()["file"]["id"])

        yield Site(
            server,
            client,
            put("docs", "phone.jpg", fixture("photos/phone.jpg").path.read_bytes()),
            put("docs", "fox.txt", TEXT.encode()),
            put("docs", "people.csv", b"id,name\n1,Ada\n"),
            put("cellar", "hidden.txt", b"hidden"),
        )


def _done(client: Client, path: str, headers: dict[str, str], name: str) -> Any:
    """The value of ``name`` in an answer, once it is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        value = expect(client.request("GET", path, headers=headers), 200).json().get(name)
        if value not in (None, "pending"):
            return value
        time.sleep(0.2)
    raise AssertionError(f"{path} has no {name}")


def test_every_page_answers_and_nothing_is_logged(site: Site) -> None:
    values = {"source": "docs", "file_id": site.table}
    ours = [
        route.path.format(**values)
        for route in ROUTES
        if route.page and "GET" in route.methods
        if set(re.findall(r"{(\w+)}", route.path)) <= values.keys()
    ]
    assert len(ours) > 10
    begin = ["/", *ours, *neighbours.THEIRS, f"/-/files/{site.picture}", "/files_docs/media"]
    begin += ["/-/enrich/data/people", "/-/enrich/data/people/photo-hashes", "/data/people/1"]
    failed, seen = [], set()
    for path, referrer, answer in neighbours.walk(site.client, begin, BROWSER):
        seen.add(path)
        if answer.status not in (200, 301, 302) and not neighbours.THEIR_FAULTS[0].match(path):
            failed.append((answer.status, path, referrer))
    # An index has no rows to show: by design, and linked from Datasette's own pages alone.
    assert [one for one in failed if not one[1].startswith("/files_docs/pages_fts")] == []
    assert len(seen) > 100
    assert "/-/files/source/docs" in seen
    assert site.complaints == []


def test_a_client_of_mcp_searches_and_reads_as_its_actor(site: Site) -> None:
    alice, bob = (Mcp(site.client, signed_in(name)) for name in ("alice", "bob"))
    tools = {tool["name"]: tool for tool in alice.ask("tools/list")["tools"]}
    ours = {"list_file_sources", "search_files", "describe_file", "read_file_text"}
    assert ours < tools.keys()
    for name in ours:
        assert tools[name]["annotations"]["readOnlyHint"] is True
        assert tools[name]["description"]
        assert "ctx" not in tools[name]["inputSchema"]["properties"]

    path = f"/-/files/{site.text}.json"
    assert _done(site.client, path, signed_in("alice"), "text_status") == "done"
    sources = alice.call("list_file_sources")["sources"]
    assert [one["slug"] for one in sources] == ["docs"]
    found = alice.call("search_files", q="lazy fo")
    assert [one["id"] for one in found["files"]] == []  # words of two pages, none of which has both
    found = alice.call("search_files", q="lazy")
    assert [(one["id"], one["hits"][0]["page"]) for one in found["files"]] == [(site.text, 2)]
    first = alice.call("search_files", size=1)
    second = alice.call("search_files", size=1, after=first["next"])
    assert first["files"][0]["id"] != second["files"][0]["id"]
    pictures = alice.call("search_files", content_type="image/*", source="docs")["files"]
    assert [one["id"] for one in pictures] == [site.picture]
    assert alice.call("describe_file", file_id=site.picture)["filename"] == "phone.jpg"
    page = alice.call("read_file_text", file_id=site.text, page=2, q="fox")
    assert (page["pages"], page["page"]["text"].strip(), page["next_start"]) == (
        *(2, "jumps over the lazy dog"),
        None,
    )
    assert [hit["page"] for hit in page["hits"]] == [1]
    later = alice.call("read_file_text", file_id=site.text, page=2, start=6)
    assert later["page"]["text"].strip() == "over the lazy dog"

    # What a person may not see, a program may not either; an error says what happened.
    assert "do not have permission" in alice.call("describe_file", file_id=site.hidden)
    assert "do not have permission" in bob.call("read_file_text", file_id=site.text)
    assert bob.call("search_files", q="fox")["files"] == []
    assert "There is no file df-0" in alice.call("describe_file", file_id="df-0")
    for wrong in ("search", "../../data", "", "df-0/text"):
        assert "pattern" in alice.call("describe_file", file_id=wrong)
    assert "has no text" in alice.call("read_file_text", file_id=site.picture)
    assert "There is no page 9" in alice.call("read_file_text", file_id=site.text, page=9)
    assert "50" in alice.call("search_files", size=51)

    # Its own tools work on a source's database, for those who may browse the source.
    assert "files_docs" in alice.call("list_databases")["databases"]
    assert "files_docs" not in bob.call("list_databases")["databases"]
    assert "filename" in alice.call("get_database_schema", database="files_docs")["schema"]
    sql = "select filename from files where filename like 'f%'"
    rows = alice.call("execute_sql", database="files_docs", sql=sql)["rows"]
    assert rows == [{"filename": "fox.txt"}]
    assert "not exist" in bob.call("execute_sql", database="files_docs", sql=sql)
    assert site.complaints == []


def test_an_enrichment_gets_the_bytes_of_the_files_that_its_person_may_see(site: Site) -> None:
    from hashlib import sha256

    def row() -> Any:
        answer = site.client.request("GET", "/data/people/1.json", headers=ROOT_USER)
        return expect(answer, 200).json()["rows"][0]

    def enrich() -> None:
        form = {**BROWSER, "Content-Type": "application/x-www-form-urlencoded"}
        path = "/-/enrich/data/people/photo-hashes"
        expect(site.client.request("POST", path, b"", form), 302)

    update = {"update": {"photo": site.picture}}
    expect(site.client.post_json("/data/people/1/-/update", update, ROOT_USER), 200)
    enrich()
    deadline = time.monotonic() + 30
    while row()["photo_sha256"] is None and time.monotonic() < deadline:
        time.sleep(0.1)
    content = fixture("photos/phone.jpg").path.read_bytes()
    assert row()["photo_sha256"] == sha256(content).hexdigest()

    # Nothing can be written into a source's database, so it is offered nowhere there.
    for path in ("files", "files/photo-hashes", "-/jobs"):
        refused = site.client.request("GET", f"/-/enrich/files_docs/{path}", headers=BROWSER)
        assert refused.status == 403, path
    page = expect(site.client.request("GET", "/files_docs/files", headers=BROWSER), 200)
    assert b"Enrich selected data" not in page.body
    assert site.complaints == []


def test_a_map_shows_where_pictures_were_taken(site: Site) -> None:
    path = f"/files_docs/media/{site.picture}.json"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        answer = site.client.request("GET", path, headers=ROOT_USER)
        if answer.status == 200 and answer.json()["rows"][0]["latitude"] is not None:
            break
        time.sleep(0.2)
    page = expect(site.client.request("GET", "/files_docs/media", headers=BROWSER), 200)
    assert b"datasette-cluster-map" in page.body
    assert site.complaints == []
