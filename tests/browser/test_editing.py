"""Name, folder and tags, edited where a file's page shows them."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.conftest import OPEN
from tests.support.browser.axe import violations
from tests.support.browser.samples import settle, upload_sample
from tests.support.browser.site import Site
from tests.support.browser.watch import Watch

pytestmark = pytest.mark.full


def test_a_name_is_edited_by_keyboard(site: Site, page: Page, watch: Watch) -> None:
    record = upload_sample(site, "text")
    page.goto(site.url(record["url"]))
    page.evaluate("window.sameDocument = true")
    heading = page.get_by_role("heading", level=1)
    rename = page.get_by_role("button", name="Rename the file")
    rename.press("Enter")
    box = page.get_by_role("textbox", name="Name", exact=True)
    expect(box).to_be_focused()
    assert page.evaluate("getSelection().toString()") == "note"
    assert violations(page) == []
    page.keyboard.type("discarded")
    page.keyboard.press("Escape")
    expect(box).to_have_count(0)
    expect(rename).to_be_focused()
    expect(heading).to_have_text("note.md")
    assert site.files()[0]["filename"] == "note.md"

    rename.press("Enter")
    box.fill("a" * 3000)
    watch.expect("400")
    box.press("Enter")
    problem = page.get_by_role("alert").filter(visible=True)
    expect(problem).to_contain_text("at most 1024 are allowed")
    expect(box).to_be_focused()
    expect(box).to_have_attribute("aria-invalid", "true")
    expect(box).to_have_accessible_description(problem.inner_text())
    assert violations(page) == []

    box.fill("<b>letter & co.md")
    box.press("Enter")
    expect(heading).to_have_text("<b>letter & co.md")
    expect(rename).to_be_focused()
    expect(page.locator("#files-status")).to_have_text("Saved")
    expect(page).to_have_title("<b>letter & co.md")
    expect(page.locator("dl")).to_contain_text("<b>letter & co.md")
    assert site.files()[0]["filename"] == "<b>letter & co.md"
    page.locator(".files-copies > summary").click()
    copied = page.get_by_role("button", name="Copy Markdown").get_attribute("data-files-copy")
    assert "letter" in str(copied)
    assert page.evaluate("window.sameDocument")


def test_tags_and_folder_are_edited_where_they_stand(site: Site, open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 390, "height": 800})
    record = upload_sample(site, "image")
    page.goto(site.url(record["url"]))
    settle(page)
    page.get_by_role("button", name="Add tags").click()
    tags = page.get_by_role("textbox", name="Tags, with commas")
    tags.fill("dawn, tower")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("link", name="dawn")).to_be_visible()
    expect(page.get_by_role("button", name="Edit tags")).to_be_focused()
    page.get_by_role("button", name="Edit tags").click()
    expect(tags).to_have_value("dawn, tower")
    # While they are edited, nothing that is not seen can have the focus.
    expect(page.get_by_role("link", name="dawn")).to_have_count(0)
    tags.fill("tower")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("link", name="dawn")).to_be_visible()
    page.get_by_role("button", name="Add folder").click()
    page.get_by_role("textbox", name="Folder, such as a/b").fill("2026/may")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="2026/may")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    (file,) = site.files()
    assert (file["tags"], file["folder"]) == (["dawn", "tower"], "2026/may")


def test_who_may_not_edit_has_no_button_and_who_has_no_script_has_the_form(
    make_site: MakeSite, open_page: OpenPage
) -> None:
    site = make_site(permissions={**OPEN, "files-edit": {"id": "editor"}})
    record = upload_sample(site, "text")
    page = open_page()
    page.goto(site.url(record["url"]))
    expect(page.locator("[data-files-edit]")).to_have_count(0)
    plain = open_page(java_script_enabled=False)
    site.sign_in(plain, {"id": "editor"})
    plain.goto(site.url(record["url"]))
    expect(plain.get_by_role("button", name="Rename the file")).to_have_count(0)
    plain.get_by_text("Rename, folder and tags").click()
    plain.get_by_label("Name", exact=True).fill("renamed.md")
    plain.get_by_role("button", name="Save name, folder and tags").click()
    expect(plain.get_by_role("heading", level=1)).to_have_text("renamed.md")
