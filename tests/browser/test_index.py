"""The first page: the sources, what is in them, and what one may do there."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakeSite
from tests.support.browser.samples import settle, upload_sample
from tests.support.browser.site import Site

pytestmark = pytest.mark.full


def test_sources_tell_what_is_in_them_and_lead_there(site: Site, page: Page) -> None:
    upload_sample(site, "image")
    page.goto(site.url("/-/files"))
    cards = page.get_by_role("listitem").filter(has=page.get_by_role("heading"))
    expect(cards).to_have_count(2)
    expect(cards.first).to_contain_text("1 file, 108.2 KB")
    expect(cards.last).to_contain_text("No files yet")
    page.get_by_role("link", name="Upload to Pictures").click()
    expect(page).to_have_url(site.url("/-/files/upload/pictures"))
    settle(page)
    page.go_back()
    page.get_by_role("link", name="Browse Documents").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Documents")


def test_the_search_of_all_sources_starts_here(site: Site, page: Page) -> None:
    upload_sample(site, "image")
    page.goto(site.url("/-/files"))
    page.get_by_role("searchbox", name="Search all files").fill("phone")
    page.keyboard.press("Enter")
    expect(page.locator("#files-count")).to_have_text("1 file for “phone”")


def test_only_what_an_actor_may_do_is_offered(make_site: MakeSite, page: Page) -> None:
    site = make_site(
        permissions={
            "files-browse": {"docs": {"allow": True}},
            "files-upload": {"pictures": {"allow": {"id": "alice"}}},
        }
    )
    page.goto(site.url("/-/files"))
    expect(page.get_by_role("link", name="Browse Documents")).to_be_visible()
    expect(page.get_by_role("heading", name="Pictures")).to_have_count(0)
    site.sign_in(page, {"id": "alice"})
    page.reload()
    pictures = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="Pictures"))
    expect(pictures).to_contain_text("You may upload")
    expect(pictures.get_by_role("link")).to_have_count(1)


def test_a_source_whose_storage_is_away_says_so(make_site: MakeSite, page: Page) -> None:
    site = make_site()
    upload_sample(site, "image")
    site.server.stop()
    # The disk is not there at the next start.
    site.root("docs").rename(site.root("elsewhere"))
    site.server.start()
    page.goto(site.url("/-/files"))
    docs = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="Documents"))
    expect(docs).to_contain_text("unavailable for now")
    expect(docs).to_contain_text("1 file")
    docs.get_by_role("link", name="Browse").click()
    expect(page.get_by_role("link", name="phone.jpg")).to_be_visible()
    expect(page.get_by_text("cannot be opened")).to_be_visible()
