"""The trash in a browser: undo, restore, purge, by pointer and keyboard, wide and narrow."""

from __future__ import annotations

import urllib.request
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.conftest import OPEN
from tests.support.browser.axe import violations
from tests.support.browser.site import Site

pytestmark = pytest.mark.full


def delete_on_its_page(site: Site, page: Page, record: dict[str, Any]) -> None:
    page.goto(site.server.url + record["url"])
    page.get_by_role("button", name="Delete file…").click()
    expect(page.get_by_role("dialog")).to_contain_text("can be restored for 30 days")
    page.get_by_role("button", name="Move to trash").click()
    expect(page).to_have_url(f"{site.url('/-/files/source/docs')}?trashed={record['id']}")


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Everybody may do everything; what is deleted is kept for 30 days."""
    return make_site(trash_days=30, permissions={**OPEN, "files-manage": True})


def test_delete_undo_restore_and_purge(site: Site, page: Page, open_page: OpenPage) -> None:
    names = [f"report {n}.txt" for n in range(4)] + ["long " * 45 + "name.txt"]
    records = [site.upload(b"x" * 2000, name, content_type="text/plain") for name in names]
    trash = site.url("/-/files/trash")
    page.goto(trash)
    expect(page.locator(".files-empty")).to_contain_text("The trash is empty")
    assert violations(page) == []

    # Undo.
    delete_on_its_page(site, page, records[0])
    expect(page.locator(".files-undo")).to_contain_text("report 0.txt is in the trash until")
    assert violations(page) == []
    page.get_by_role("button", name="Undo").press("Enter")
    expect(page).to_have_url(site.url("/-/files/source/docs"))
    expect(page.locator(".message-info")).to_have_text("Restored report 0.txt")
    expect(page.get_by_role("link", name="report 0.txt")).to_be_visible()

    # One by its button, several by their boxes, with the keyboard alone.
    for record in records:
        request = urllib.request.Request(site.server.url + record["url"], method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()
    page.reload()
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="Trash (5)").click()
    row = page.get_by_role("button", name="Restore report 1.txt")
    row.press("Enter")
    expect(page.locator(".message-info")).to_have_text("Restored report 1.txt")
    told = page.locator("[data-files-chosen]")
    expect(told).to_have_text("None chosen")
    expect(page.get_by_role("button", name="Restore", exact=True)).to_be_disabled()
    page.get_by_label("Choose report 2.txt").press("Space")
    expect(told).to_have_text("1 chosen")
    everything = page.get_by_label("All on this page")
    assert everything.evaluate("(box) => box.indeterminate")
    everything.press("Space")
    expect(told).to_have_text("4 chosen")
    everything.press("Space")
    page.get_by_label("Choose report 2.txt").press("Space")
    page.get_by_label("Choose report 3.txt").press("Space")
    page.get_by_role("button", name="Restore", exact=True).press("Enter")
    expect(page.locator(".files-outcome")).to_contain_text("2 files restored.")
    expect(page.get_by_label("Choose report 2.txt")).to_have_count(0)

    # On a phone, with the confirmation open.
    phone = open_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    phone.goto(trash)
    phone.get_by_label("All on this page").check()
    phone.get_by_role("button", name="Delete for good…").click()
    dialog = phone.get_by_role("dialog", name="Delete for good 2 files?")
    expect(dialog.get_by_role("listitem").first).to_be_visible()
    assert violations(phone) == []
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    dialog.get_by_role("button", name="Delete for good").click()
    expect(phone.locator(".files-outcome")).to_contain_text("2 files deleted for good.")
    assert sorted(file["filename"] for file in site.files()) == sorted(names[1:4])
    assert len(site.stored()) == 3


@pytest.mark.full
def test_the_trash_works_without_scripts(site: Site, open_page: OpenPage) -> None:
    record = site.upload(b"x", "plain.txt")
    page = open_page(java_script_enabled=False)
    page.goto(site.server.url + record["url"])
    page.locator("summary", has_text="Delete file…").click()
    page.get_by_role("button", name="Move to trash").click()
    page.get_by_text("More", exact=True).click()
    page.get_by_role("link", name="Trash (1)").click()
    page.get_by_label("Choose plain.txt").check()
    page.get_by_role("button", name="Restore", exact=True).click()
    expect(page.locator("form")).to_contain_text("plain.txt")
    page.locator("main").get_by_role("button", name="Restore").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 file restored")
    assert [file["filename"] for file in site.files()] == ["plain.txt"]
