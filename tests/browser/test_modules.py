"""The modules of ``static/``: what each imports, what the page asks for, and their own tests."""

import posixpath
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page

from datasette_files import errors
from tests.conftest import missing
from tests.support.browser.site import Site

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "datasette_files" / "static"
#: Their texts by their paths in static/.
MODULES = {
    path.relative_to(STATIC).as_posix(): path.read_text("utf-8") for path in STATIC.rglob("*.js")
}
ENTRY = "datasette-file-upload.js"
#: What table pages load, and what that fetches when it is wanted.
FIELD = ("file-field.js", "field/parts.js")


def imported(module: str) -> set[str]:
    """The paths of the modules that one imports."""
    names = re.findall(r'^import [^;"]*"(\.[^"]+\.js)";$', MODULES[module], re.MULTILINE)
    folder = posixpath.dirname(module)
    return {posixpath.normpath(posixpath.join(folder, name)) for name in names}


def reached(module: str) -> set[str]:
    """All that comes with a module."""
    found, unread = set(), {module}
    while unread:
        found |= unread
        unread = {name for read in unread for name in imported(read)} - found
    return found


def path_of(url: str) -> str:
    """The path in ``static/`` that an address asks for."""
    return url.partition("/static-plugins/datasette_files/")[2].partition("?")[0]


@pytest.mark.parametrize("tests", sorted((ROOT / "tests" / "js").glob("*.test.mjs")), ids=str)
def test_in_node(tests: Path) -> None:
    node = shutil.which("node")
    if node is None:
        missing("Node")
    ran = subprocess.run(
        [node, "--test", "--no-warnings", tests], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


def test_every_error_code_has_a_message() -> None:
    codes = set(re.findall(r"^  (\w+): \[", MODULES["shared/messages.js"], re.MULTILINE))
    server = {
        cls.code for cls in errors.FilesError.__subclasses__() if cls.__module__ == errors.__name__
    }
    assert codes == server | {"busy", "network", "other_site", "unexpected", "unreadable"}


@pytest.mark.parametrize(
    "module",
    [
        *("api.js", "shared/request.js", "shared/format.js", "shared/messages.js"),
        *("shared/file-records.js", "shared/trail.js", "viewer/zoom.js"),
        *("upload/checksum.js", "upload/client.js", "upload/parts.js", "upload/queue.js"),
        *("upload/exchange.js", "upload/kept.js", "upload/network.js", "upload/resumable.js"),
        "upload/tus.js",
        *("picker/search.js", "picker/sources.js", "field/value.js"),
    ],
)
def test_what_transfers_knows_no_page(module: str) -> None:
    assert not {"shared/dom.js", ENTRY} & reached(module)
    assert not re.search(r"\bdocument\b|querySelector|HTMLElement", MODULES[module])


@pytest.mark.parametrize("entry", [ENTRY, *FIELD])
def test_only_the_api_knows_urls(entry: str) -> None:
    assert {name for name in reached(entry) if "-/files" in MODULES[name]} <= {"api.js"}


def test_table_pages_load_little_for_the_field() -> None:
    """The rest comes where somebody may edit."""
    assert reached("file-field.js") == {"file-field.js"}


@pytest.mark.parametrize("module", sorted(set().union(*map(reached, (ENTRY, *FIELD)))))
def test_modules_make_no_html_and_run_no_text(module: str) -> None:
    """Names of files become text and attributes alone."""
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function",
        MODULES[module],
    )


def test_the_page_fetches_each_module_once_and_early(site: Site, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.url("/-/files/upload/docs"))
    page.wait_for_load_state("networkidle")
    names = [path_of(url) for url in asked if "/static-plugins/" in url and ".js" in url]
    assert {name for name in names if name in reached(ENTRY)} == reached(ENTRY)
    assert len(names) == len(set(names))
    preloaded = page.locator("link[rel=modulepreload]").evaluate_all(
        "(links) => links.map((link) => link.href)"
    )
    assert set(map(path_of, preloaded)) == reached(ENTRY) - {ENTRY}


def test_an_upgrade_does_not_mix_versions(site: Site, page: Page) -> None:
    """The entry's address changes with it; what it imports is checked at each visit."""
    page.goto(site.url("/-/files/upload/docs"))
    entry = page.locator(f"script[src*='{ENTRY}']").get_attribute("src")
    assert entry is not None
    assert "?_hash=" in entry
    for link in page.locator("link[rel=modulepreload]").all():
        href = link.get_attribute("href")
        with urllib.request.urlopen(site.server.url + str(href), timeout=10) as response:
            assert response.headers["ETag"]
            # Without either of these a browser keeps nothing for longer than it asks.
            assert response.headers["Cache-Control"] is None
            assert response.headers["Last-Modified"] is None
