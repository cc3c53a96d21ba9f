"""The modules of ``static/``: what each imports, what the page asks for, and their own tests."""

import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page

from datasette_files import errors
from tests.browser.site import Site
from tests.conftest import missing

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "datasette_files" / "static"
MODULES = {path.name: path.read_text("utf-8") for path in STATIC.glob("*.js")}
ENTRY = "datasette-file-upload.js"
#: What table pages load, and what that fetches when it is wanted.
FIELD = ("file-field.js", "field-parts.js")


def imported(module: str) -> set[str]:
    """The names of the modules that one imports."""
    return set(re.findall(r'^import .*?from "\./([\w-]+\.js)";$', MODULES[module], re.MULTILINE))


def reached(module: str) -> set[str]:
    """All that comes with a module."""
    found, unread = set(), {module}
    while unread:
        found |= unread
        unread = {name for read in unread for name in imported(read)} - found
    return found


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
    codes = set(re.findall(r"^  (\w+): \{$", MODULES["messages.js"], re.MULTILINE))
    server = {
        cls.code for cls in errors.FilesError.__subclasses__() if cls.__module__ == errors.__name__
    }
    assert codes == server | {"busy", "network", "unexpected", "unreadable"}


@pytest.mark.parametrize(
    "module",
    [
        *("api.js", "checksum.js", "format.js", "messages.js", "upload-client.js"),
        *("upload-queue.js", "file-search.js", "file-sources.js", "file-records.js"),
        "field-value.js",
    ],
)
def test_what_transfers_knows_no_page(module: str) -> None:
    assert not {"dom.js", ENTRY} & reached(module)
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
    modules = [url.rsplit("/", 1)[1] for url in asked if "/static-plugins/" in url and ".js" in url]
    names = [name.partition("?")[0] for name in modules]
    assert {name for name in names if name in reached(ENTRY)} == reached(ENTRY)
    assert len(names) == len(set(names))
    preloaded = page.locator("link[rel=modulepreload]").evaluate_all(
        "(links) => links.map((link) => link.href.split('/').pop())"
    )
    assert set(preloaded) == reached(ENTRY) - {ENTRY}


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
