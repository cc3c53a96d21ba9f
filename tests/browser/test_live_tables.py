"""From a file's page to its live tables, by the page of the job that makes them."""

from __future__ import annotations

import io
import re
import urllib.request
import zipfile

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.support.browser.axe import violations
from tests.support.browser.site import Site

pytestmark = pytest.mark.full

ROWS = b"".join(b"%d,some words of row %d,2.5\n" % (number, number) for number in range(1_000_000))


def archive(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return made.getvalue()


def fits(page: Page) -> bool:
    """Whether nothing but the page's own scrolling regions is wider than the page."""
    fitting: bool = page.evaluate(
        "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    return fitting


@pytest.mark.parametrize("scripts", [True, False])
def test_a_file_is_opened_and_what_was_left_out_is_told(
    site: Site, open_page: OpenPage, scripts: bool
) -> None:
    page = open_page(viewport={"width": 390, "height": 800}, java_script_enabled=scripts)
    content = archive({"good.csv": b"id,name\n1,x\n", "bad.json": b'[{"id": 1}, {"id": 1 "x"}]'})
    record = site.upload(content, "tables.zip", content_type="application/zip")
    page.goto(site.server.url + record["url"])
    page.get_by_role("button", name="Open as a table").click()
    link = page.get_by_role("link", name="Open the tables")
    expect(link).to_be_visible()
    expect(page.get_by_role("heading", name="Tables of tables.zip")).to_be_visible()
    expect(page.locator(".files-facts")).to_contain_text("finished")
    expect(page.get_by_role("listitem").filter(has_text="bad.json")).to_contain_text("is no JSON")
    if scripts:
        assert fits(page)
        assert violations(page) == []
    # Datasette's own page is not held to our policy, so no browser looks at it.
    with urllib.request.urlopen(site.server.url + str(link.get_attribute("href"))) as answer:
        assert 'href="/file_' in answer.read().decode()


def test_the_progress_is_shown_and_the_opening_is_cancelled_and_begun_again(
    site: Site, page: Page
) -> None:
    record = site.upload(b"id,words,number\n" + ROWS, "large.csv", content_type="text/csv")
    page.goto(site.server.url + record["url"])
    page.get_by_role("button", name="Open as a table").click()
    expect(page.get_by_role("heading", name="Opening large.csv")).to_be_visible()
    expect(page.locator('[data-files-show="status"]')).to_have_text("running: reading")
    expect(page.locator('[data-files-show="rows"]')).to_have_text(re.compile("[1-9]"))
    expect(page.get_by_role("status")).to_have_text("running: reading")
    assert 0 < page.get_by_role("progressbar").evaluate("bar => bar.value") <= 1
    assert violations(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    assert fits(page)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".files-facts")).to_contain_text("cancelled")
    assert violations(page) == []
    page.get_by_role("button", name="Open again").click()
    expect(page.get_by_role("heading", name="Opening large.csv")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("link", name="Back to the file")).to_be_visible()
