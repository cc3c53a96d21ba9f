"""Pages in Debian's Chromium, driven by Playwright against a real server.

The tests are plain functions on Playwright's synchronous API. Its event loop runs in this thread
while the browser is open, which is why the browser lives no longer than this package: the
asynchronous tests of other packages have loops of their own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import missing
from tests.support.browser.site import Site
from tests.support.browser.watch import Watch

MakeSite = Callable[..., Site]
OpenPage = Callable[..., Page]

#: Milliseconds until a page that does not get there fails the test: long, for a busy machine.
_PATIENCE = 30_000

# Without these Chromium looks for hosts of its maker at every start.
_FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    if executable is None:
        missing("Chromium (Debian's package chromium)")
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[MakeSite]:
    """``make_site(…)``: a started Site, for a test that configures, fills or kills one."""
    with ExitStack() as stack:

        def make(**arguments: Any) -> Site:
            site = Site(tmp_path, **arguments)
            stack.enter_context(site.server)
            return site

        yield make


@pytest.fixture(scope="package")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    with site.server:
        yield site


@pytest.fixture
def site(_shared: Site) -> Iterator[Site]:
    """The default Site, without files. It serves all tests, as a start takes seconds."""
    yield _shared
    if _shared.holds:
        _shared.release()
    _shared.empty()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """``open_page(…)``: a page in a fresh context, given Playwright's options for one.

    At the end of the test each page must have had nothing to complain of but what its
    ``page.watch`` was told to expect.
    """
    pages: list[Page] = []

    def open_one(**options: Any) -> Page:
        context = browser.new_context(**{"reduced_motion": "reduce", **options})
        context.set_default_timeout(_PATIENCE)
        page = context.new_page()
        page.watch = Watch(page, scripts=options.get("java_script_enabled", True))  # type: ignore[attr-defined]
        pages.append(page)
        return page

    yield open_one
    surprises = [surprise for page in pages for surprise in page.watch.surprises]  # type: ignore[attr-defined]
    for page in pages:
        page.context.close()
    assert surprises == []


@pytest.fixture
def page(open_page: OpenPage) -> Page:
    """A page 1280 pixels wide."""
    return open_page(viewport={"width": 1280, "height": 900})


@pytest.fixture
def watch(page: Page) -> Watch:
    """The complaints of ``page``."""
    watch: Watch = page.watch  # type: ignore[attr-defined]
    return watch
