"""The pages that show an administrator what storages hold, under a prefix and in both schemes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.conftest import OPEN
from tests.support.browser.axe import violations
from tests.support.browser.samples import settle, upload_sample

pytestmark = pytest.mark.full

_AWAY = {
    "label": "Away",
    "storage": "s3",
    "config": {"bucket": "away", "endpoint_url": "http://127.0.0.1:9", "addressing_style": "path"},
}


def _judge(page: Page, shot: str) -> None:
    """It fits the screen, and axe finds nothing. Kept as a picture where a folder is named."""
    if folder := os.environ.get("DATASETTE_FILES_TEST_SHOTS"):
        page.screenshot(path=Path(folder) / f"{shot}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert violations(page) == []


def test_an_administrator_sees_how_storages_are_and_what_they_hold(
    make_site: MakeSite, open_page: OpenPage
) -> None:
    site = make_site(
        sources={"docs": {"label": "Documents"}, "away": _AWAY},
        permissions={**OPEN, "debug-storages": {"id": "root"}},
        base_url="/below/",
    )
    upload_sample(site, "image")
    stray = site.root("docs") / f"a-stray-{'name-' * 20}<b>.txt"
    stray.write_bytes(b"stray")
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = open_page(color_scheme=scheme, viewport={"width": width, "height": 800})
        page.goto(site.url("/-/files"))
        page.locator(".nav-menu summary").click()
        expect(page.get_by_role("link", name="File storages")).to_have_count(0)
        site.sign_in(page, {"id": "root"})
        page.reload()
        page.locator(".nav-menu summary").click()
        page.get_by_role("link", name="File storages").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("File storages")
        docs = page.get_by_role("region", name="Documents")
        expect(docs).to_contain_text("1 file, 108.2 KB")
        expect(docs.get_by_text("Up", exact=True)).to_be_visible()
        away = page.get_by_role("region", name="Away")
        expect(away).to_contain_text("Down:")
        expect(away.get_by_role("link", name="Stored files")).to_have_count(0)
        _judge(page, f"storages-{width}-{scheme}")

        docs.get_by_role("link", name="Stored files").click()
        expect(page).to_have_url(site.url("/-/files/storages/list/docs"))
        rows = page.get_by_role("row")
        expect(rows).to_have_count(3)
        expect(rows.filter(has_text="stray")).to_contain_text("unknown")
        known = rows.filter(has_text="phone.jpg").get_by_role("link", name="known")
        expect(known).to_be_visible()
        _judge(page, f"listing-{width}-{scheme}")
        page.get_by_role("searchbox").fill("a-")
        page.get_by_role("button", name="Show").click()
        expect(rows).to_have_count(2)
        settle(page)
