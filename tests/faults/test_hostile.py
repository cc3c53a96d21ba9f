"""Hostile names and types through every way in (R6): stored safely or refused, shown escaped, and
nothing that can run is ever served in the site's origin.

Leaves out random input (test_fuzz.py) and the limits of thumbnail workers.
"""

from __future__ import annotations

import asyncio
import html
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from datasette.app import Datasette

from tests.conftest import OPEN, MakeDatasette, disk_source, upload
from tests.support.fixtures import Fixture, all_fixtures, fixture, hostile_names
from tests.support.loops import shut_down

NAMES = [name for name, _ in hostile_names()]
#: What no page of ours holds, unless a name put it there.
_HANDLERS = re.compile(r"on\w+$")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """``(run, datasette, root)``: one Datasette for all names, on a loop of its own."""
    folder = tmp_path_factory.mktemp("hostile")
    template = "{ulid}/{actor}/{filename}"
    sources = {"docs": disk_source(folder / "docs", path_template=template, text=False)}
    loop = asyncio.new_event_loop()
    datasette = Datasette(
        memory=True,
        internal=str(folder / "internal.db"),
        config={"plugins": {"datasette-files": {"sources": sources}}, "permissions": OPEN},
    )
    loop.run_until_complete(datasette.invoke_startup())
    yield loop.run_until_complete, datasette, folder / "docs"
    shut_down(loop, datasette)


class Page(HTMLParser):
    """A page as a browser reads it: its tags and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)


#: Files whose names end so can become tables, and their pages have a menu that says so.
_ENDS, _IMPORT, _OPEN = ("txt", "csv"), "/-/files/import/", '/-/open">'
_NAME_FIELD = 'id="files-filename"'


def assert_safe(page: str, plain: str) -> None:
    """The page has the tags of the same page for a harmless name, and no handler or script URL."""
    shown, wanted = Page(page), Page(plain)
    assert shown.tags == wanted.tags
    assert [name for name, _ in shown.attributes] == [name for name, _ in wanted.attributes]
    assert not any(_HANDLERS.match(name) for name, _ in shown.attributes)
    urls = [value or "" for name, value in shown.attributes if name in ("href", "src", "action")]
    assert not any(url.strip().lower().startswith(("javascript:", "data:")) for url in urls)


def form(name: str) -> tuple[bytes, dict[str, str]]:
    """A multipart body with the name as browsers write it: quotes and line ends escaped."""
    raw = name.encode("utf-8", "surrogatepass")
    for character, escaped in [(b'"', b"%22"), (b"\r", b"%0D"), (b"\n", b"%0A")]:
        raw = raw.replace(character, escaped)
    body = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="' + raw + b'"\r\n\r\n'
        b"harmless\r\n--b--\r\n"
    )
    return body, {
        "Content-Type": "multipart/form-data; boundary=b",
        "Accept": "application/json",
    }


async def by_prepare(datasette: Datasette, name: str, actor: Any) -> Any:
    prepared = await datasette.client.post(
        "/-/files/upload/docs/-/prepare",
        content=json.dumps({"filename": name, "content_type": "text/plain"}).encode(),
        actor=actor,
    )
    if prepared.status_code != 200:
        return prepared
    token = {"upload_token": prepared.json()["upload_token"]}
    sent = await datasette.client.post(
        "/-/files/upload/docs/-/upload",
        data=token,
        files={"file": ("blob", b"harmless")},
        actor=actor,
    )
    assert sent.status_code == 200, sent.text
    return await datasette.client.post("/-/files/upload/docs/-/complete", json=token, actor=actor)


async def by_form(datasette: Datasette, name: str, actor: Any) -> Any:
    body, headers = form(name)
    return await datasette.client.post(
        "/-/files/upload/docs", content=body, headers=headers, actor=actor
    )


async def by_put(datasette: Datasette, name: str, actor: Any) -> Any:
    path = quote(name, safe="", errors="surrogatepass")
    return await datasette.client.put(
        f"/-/files/upload/docs/{path}",
        content=b"harmless",
        headers={"Accept": "application/json", "Content-Type": "text/plain"},
        actor=actor,
    )


@pytest.mark.parametrize(
    "way", [*(pytest.param(way, marks=pytest.mark.full) for way in (by_prepare, by_form)), by_put]
)
def test_every_name_is_stored_safely_or_refused(hostile: Any, way: Any) -> None:
    run, datasette, root = hostile
    stored = 0
    present = {path for path in root.rglob("*") if path.is_file()}
    for name in NAMES:
        before = present
        # The name is the actor's too: it becomes a component of the path.
        actor = {"id": name} if name.isprintable() else None
        answer = run(way(datasette, name, actor))
        present = {path for path in root.rglob("*") if path.is_file()}
        added = present - before
        if answer.status_code != 201:
            # A client resolves . and .. itself, so as a URL they name another route.
            another_route = way is by_put and name in ("", ".", "..")
            assert answer.status_code in ((404, 405) if another_route else (400,)), name
            assert answer.json()["code"] in ("invalid", "not_found", "not_supported")
            assert added == set(), name
            continue
        stored += 1
        record = answer.json()["file"]
        (path,) = added
        assert path.resolve().is_relative_to(root.resolve())
        ulid, _, last = path.relative_to(root).parts
        assert ulid == record["id"].removeprefix("df-")
        assert len(last.encode()) <= 200
        assert re.fullmatch(r"[^\W_][\w.-]*|_[\w.-]+", last), last
        kept = name.rpartition("/")[2]
        if way is not by_form:  # a form's escapes may be read back, or not
            assert record["filename"] == kept
    assert stored > len(NAMES) / 2


@pytest.mark.full
def test_every_name_is_escaped_in_pages_and_headers(hostile: Any) -> None:
    run, datasette, _ = hostile
    client = datasette.client
    wanted: dict[tuple[bool, ...], str] = {}

    def offers(page: str) -> tuple[bool, ...]:
        """The parts that the pages of some files have, and others do not."""
        return tuple(part in page for part in (_IMPORT, _OPEN, _NAME_FIELD))

    for end in _ENDS:
        # A field cannot hold a line break, so that name is not edited on its page.
        for name in ("plain-name", "plain\nname"):
            file = run(by_put(datasette, f"{name}.{end}", None)).json()["file"]
            text = run(client.get(file["url"])).text
            wanted[offers(text)] = text
    assert {field for *_, field in wanted} == {True, False}
    for name in NAMES:
        answer = run(by_put(datasette, name, None))
        if answer.status_code != 201:
            continue
        record = answer.json()["file"]
        page = run(client.get(record["url"])).text
        assert_safe(page, wanted[offers(page)])
        # As text, with a mark for whatever would change how the other characters are shown.
        shown = re.sub(
            "[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", "\ufffd", record["filename"]
        )
        assert html.escape(shown).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page
        download = run(client.get(record["download_url"]))
        disposition = download.headers["content-disposition"]
        found = re.fullmatch(
            r"attachment; filename=\"([A-Za-z0-9_.-]+)\"; filename\*=UTF-8''([!-~]+)", disposition
        )
        assert found, disposition
        # Control characters became dashes, and a long name was cut; the rest is the name itself.
        decoded = unquote(found[2], errors="strict")
        cleaned = re.sub(r"[\x00-\x1f\x7f-\x9f]", "-", record["filename"])
        assert decoded == cleaned or len(cleaned.encode()) > 255 >= len(decoded.encode())
        assert download.content == b"harmless"
    listed = run(client.get("/-/files/source/docs?_size=max")).text
    allowed = set(Page(run(client.get("/-/files/source/docs?_size=1")).text).tags)
    assert set(Page(listed).tags) == allowed
    assert not any(_HANDLERS.match(name) for name, _ in Page(listed).attributes)


def test_a_hostile_query_is_escaped(hostile: Any) -> None:
    run, datasette, _ = hostile
    client = datasette.client
    run(by_put(datasette, "plain-name.txt", None))
    pages = {
        "/-/files/search?q=nothing-like-this": "",
        "/-/files/source/docs?_size=1&uploaded_by=nobody": "",
    }
    for url in pages:
        pages[url] = run(client.get(url)).text
    for name in NAMES:
        if len(name) > 200 or not set("<>\"'&{\\") & set(name):
            continue
        for url, wanted in pages.items():
            answer = run(client.get(url + quote(f" {name}", safe="", errors="replace")))
            assert answer.status_code == 200
            assert_safe(answer.text, wanted)


ACTIVE = re.compile(r"text/html|application/xhtml\+xml|image/svg\+xml|xml|javascript", re.I)


@pytest.mark.parametrize(
    "sample",
    [f for f in all_fixtures() if f.name.startswith(("odd/", "documents/")) and f.size < 200_000],
    ids=lambda sample: sample.name,
)
def test_nothing_that_can_run_is_served_inline(hostile: Any, sample: Fixture) -> None:
    run, datasette, _ = hostile
    content = sample.path.read_bytes()
    for declared in ("image/png", "text/plain", "application/pdf", None):
        record = run(upload(datasette, content, sample.path.name, content_type=declared))
        for suffix in ("/inline", "/download", "/thumbnail"):
            answer = run(datasette.client.get(record["url"] + suffix))
            assert answer.status_code == 200
            assert answer.headers["x-content-type-options"] == "nosniff"
            sandboxed = answer.headers.get("content-security-policy", "").startswith("sandbox")
            kind = answer.headers.get("content-disposition", "inline").partition(";")[0]
            assert kind == "attachment" or sandboxed
            if suffix == "/thumbnail":
                continue
            assert answer.content == content
            if ACTIVE.search(answer.headers["content-type"]):
                assert kind == "attachment"


@pytest.mark.parametrize(
    "name, declared, stored",
    [
        ("odd/html-declared-as.png", "image/png", "text/html"),
        ("documents/hostile.svg", "image/png", "image/svg+xml"),
        ("documents/hostile.svg", "application/pdf", "image/svg+xml"),
        ("documents/script.html", "application/octet-stream", "text/html"),
        ("documents/script.html", "video/mp4", "text/html"),
        ("photos/alpha.png", "image/png", "image/png"),
        ("photos/alpha.png", "text/html", "image/png"),
        ("documents/towers.csv", "text/csv", "text/csv"),
    ],
)
async def test_a_type_that_the_bytes_contradict_is_replaced(
    datasette: Datasette, name: str, declared: str, stored: str
) -> None:
    record = await upload(datasette, fixture(name).path.read_bytes(), "x", content_type=declared)
    assert record["content_type"] == stored


async def test_the_allowlist_holds_for_the_type_that_is_stored(
    make_datasette: MakeDatasette, tmp_path: Path
) -> None:
    source = disk_source(tmp_path / "docs", allowed_content_types=["image/png"])
    datasette = await make_datasette({"docs": source})
    for name, status in [("odd/html-declared-as.png", 415), ("photos/alpha.png", 201)]:
        answer = await datasette.client.put(
            "/-/files/upload/docs/a.png",
            content=fixture(name).path.read_bytes(),
            headers={"Content-Type": "image/png", "Accept": "application/json"},
        )
        assert answer.status_code == status
    assert len(list((tmp_path / "docs").rglob("*.png"))) == 1
