"""Choosing files of a list and acting on them: by keys, pointer, finger, and without scripts."""

from __future__ import annotations

import json
import re
import urllib.request
from typing import Any
from zipfile import ZipFile

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.browser.test_lists import next_page
from tests.conftest import OPEN
from tests.support.browser.axe import violations
from tests.support.browser.site import Site
from tests.support.browser.watch import Watch

pytestmark = pytest.mark.full

SOURCE = "/-/files/source/docs"


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Everybody may do everything; what is deleted is kept for 30 days."""
    return make_site(trash_days=30, permissions={**OPEN, "files-manage": True})


def fill(site: Site, number: int) -> list[dict[str, Any]]:
    return [site.upload(b"x", f"{n:02}.txt", content_type="text/plain") for n in range(number)]


def names(site: Site) -> list[str]:
    return sorted(file["filename"] for file in site.files())


def test_the_keyboard_alone_chooses_tags_deletes_and_undoes(site: Site, page: Page) -> None:
    fill(site, 6)
    page.goto(site.url(f"{SOURCE}?_sort=filename"))
    told = page.locator("[data-files-chosen]")
    expect(told).to_have_text("None chosen")
    expect(page.get_by_role("button", name="Delete")).to_be_hidden()
    page.get_by_label("Choose 01.txt").press("Space")
    expect(told).to_have_text("1 chosen")
    for _ in range(2):
        page.locator(":focus").press("Shift+ArrowDown")
    expect(told).to_have_text("3 chosen")
    expect(page.get_by_label("Choose 03.txt")).to_be_focused()
    page.locator(":focus").press("ArrowDown")
    expect(told).to_have_text("3 chosen")
    assert violations(page) == []

    page.get_by_role("button", name="Add tags…").press("Enter")
    dialog = page.get_by_role("dialog", name="Add tags to 3 files")
    expect(dialog).to_contain_text("01.txt")
    expect(dialog.get_by_label("Tags")).to_be_focused()
    assert violations(page) == []
    dialog.get_by_label("Tags").fill("red, blue")
    page.keyboard.press("Enter")
    outcome = page.get_by_role("status").filter(has_text="tagged")
    expect(outcome).to_contain_text("3 files tagged.")
    expect(page.get_by_role("list", name="Tags")).to_contain_text(re.compile(r"red\s+3"))
    expect(told).to_have_text("None chosen")

    page.get_by_label("Choose 00.txt").focus()
    page.keyboard.press("Control+a")
    expect(told).to_have_text("6 chosen")
    page.keyboard.press("Escape")
    expect(told).to_have_text("None chosen")
    page.get_by_label("Choose 00.txt").press("Space")
    page.get_by_role("button", name="Delete").press("Enter")
    expect(page.locator(".files-outcome")).to_contain_text("1 file deleted.")
    expect(page.get_by_label("Choose 00.txt")).to_have_count(0)
    assert violations(page) == []
    page.locator(".files-outcome").get_by_role("button", name="Undo").press("Enter")
    expect(page.locator(".files-outcome")).to_contain_text("1 file restored.")
    expect(page.get_by_label("Choose 00.txt")).to_have_count(1)
    assert len(names(site)) == 6


def test_what_is_chosen_is_fetched_as_one_zip(site: Site, page: Page, open_page: OpenPage) -> None:
    fill(site, 3)
    for one in (page, open_page(java_script_enabled=False)):
        one.goto(site.url(f"{SOURCE}?_sort=filename"))
        for name in ("00.txt", "02.txt"):
            one.get_by_label(f"Choose {name}").check()
        with one.expect_download() as fetched:
            one.get_by_role("button", name="Download as zip").click()
        assert ZipFile(fetched.value.path()).namelist() == ["00.txt", "02.txt"]
    expect(page.locator("[data-files-chosen]")).to_have_text("2 chosen")


def test_what_is_chosen_is_fetched_as_one_bundle(
    site: Site, page: Page, open_page: OpenPage
) -> None:
    fill(site, 3)
    for one in (page, open_page(java_script_enabled=False)):
        one.set_viewport_size({"width": 390, "height": 800})
        one.goto(site.url(f"{SOURCE}?_sort=filename"))
        for name in ("00.txt", "02.txt"):
            one.get_by_label(f"Choose {name}").check()
        one.get_by_role("button", name="Download as bundle (BagIt)").click()
        expect(one.get_by_role("main")).to_contain_text("The zip is a bag")
        assert one.evaluate("document.documentElement.scrollWidth") <= 390
        with one.expect_download() as fetched:
            one.get_by_role("link", name="Download").click()
        found = ZipFile(fetched.value.path()).namelist()
        assert found[:2] == ["files/data/files/00.txt", "files/data/files/02.txt"]
        assert found[-1] == "files/tagmanifest-sha256.txt"


def test_a_choice_lasts_over_pages_and_takes_all_that_match(
    site: Site, page: Page, watch: Watch
) -> None:
    fill(site, 7)
    page.goto(site.url(f"{SOURCE}?_size=3&_sort=filename"))
    told = page.locator("[data-files-chosen]")
    # Shift and click: a range; a click on a row: one.
    page.get_by_label("Choose 00.txt").check()
    page.get_by_label("Choose 02.txt").click(modifiers=["Shift"])
    expect(told).to_have_text("3 chosen")
    page.locator("tr", has_text="01.txt").locator("td.files-type").click()
    expect(told).to_have_text("2 chosen")
    page.goto(site.server.url + next_page(page))
    expect(told).to_have_text("2 chosen (2 on other pages)")
    page.get_by_label("Choose 04.txt").check()
    expect(told).to_have_text("3 chosen (2 on other pages)")
    page.get_by_role("button", name="Folder…").click()
    dialog = page.get_by_role("dialog", name="Move 3 files to a folder")
    dialog.get_by_label("Folder").fill("a/b")
    dialog.get_by_role("button", name="Move").click()
    expect(page.locator(".files-outcome")).to_contain_text("3 files moved to the folder.")
    in_folder = sorted(file["filename"] for file in site.files() if file["folder"] == "a/b")
    assert in_folder == ["00.txt", "02.txt", "04.txt"]

    page.get_by_label("All on this page").check()
    page.get_by_role("button", name="Select all 7 that match").click()
    expect(told).to_have_text("All 7 chosen")
    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete 7 files?")
    expect(dialog.get_by_role("link", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Delete").click()
    expect(page.locator(".files-outcome")).to_contain_text("7 files deleted.")
    expect(page.locator(".files-empty")).to_be_visible()
    assert names(site) == []


def test_what_is_refused_is_named_and_only_what_one_may_is_offered(
    make_site: MakeSite, page: Page
) -> None:
    site = make_site(permissions={**OPEN, "files-delete": False})
    for number in range(2):
        site.upload(b"x", f"{number}.txt", content_type="text/plain")
    page.goto(site.url(SOURCE))
    page.get_by_label("Choose 1.txt").check()
    expect(page.get_by_role("button", name="Add tags…")).to_be_visible()
    for action in ("Delete", "Move to source…", "Share…"):
        expect(page.get_by_role("button", name=action)).to_have_count(0)
    page.get_by_role("button", name="Add tags…").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Tags").fill(",".join(f"tag {n}" for n in range(50)))
    dialog.get_by_role("button", name="Add tags").click()
    expect(page.locator(".files-outcome")).to_contain_text("1 file tagged.")
    page.get_by_label("Choose 1.txt").check()
    page.get_by_role("button", name="Add tags…").click()
    dialog.get_by_label("Tags").fill("one too many")
    dialog.get_by_role("button", name="Add tags").click()
    outcome = page.locator(".files-outcome")
    expect(outcome).to_contain_text("1.txt: it would have too many tags")
    assert violations(page) == []


def test_a_large_selection_is_a_job_with_a_page(site: Site, page: Page) -> None:
    fill(site, 205)
    page.goto(site.url(SOURCE))
    page.get_by_label("All on this page").check()
    page.get_by_role("button", name="Select all 205 that match").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("status").filter(has_text="205 of 205 files deleted")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Undo: restore from the trash").press("Enter")
    expect(page.get_by_role("status").filter(has_text="205 of 205 files restored")).to_be_visible()
    listed = json.loads(urllib.request.urlopen(site.url(f"{SOURCE}.json")).read())
    assert listed["total"] == 205


def test_a_finger_holds_a_file_and_taps_more(site: Site, open_page: OpenPage) -> None:
    fill(site, 3)
    phone = open_page(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, color_scheme="dark"
    )
    phone.goto(site.url(f"{SOURCE}?view=grid"))
    told = phone.locator("[data-files-chosen]")
    tile = phone.locator(".files-tile").first
    box = tile.bounding_box()
    assert box is not None
    at = {"x": box["x"] + 50, "y": box["y"] + 80}
    session = phone.context.new_cdp_session(phone)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at]})
    expect(told).to_have_text("1 chosen")
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    phone.locator(".files-tile").nth(1).tap()
    expect(told).to_have_text("2 chosen")
    assert phone.url == site.url(f"{SOURCE}?view=grid")
    assert violations(phone) == []
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def test_without_scripts_boxes_and_buttons_are_a_form(
    make_site: MakeSite, open_page: OpenPage
) -> None:
    sources = {"docs": {"label": "Documents"}, "archive": {"label": "Archive"}}
    site = make_site(sources=sources, trash_days=30, permissions={**OPEN, "files-manage": True})
    fill(site, 3)
    page = open_page(java_script_enabled=False)
    page.goto(site.url(SOURCE))
    page.get_by_label("Choose 00.txt").check()
    page.get_by_label("Choose 01.txt").check()
    page.get_by_role("button", name="Move to source…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Move 2 files to another source")
    page.get_by_label("To the source").select_option(label="Archive")
    page.get_by_role("button", name="Move", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2 files moved to the source")
    page.get_by_role("link", name="Back to the files").click()
    page.get_by_label("Choose 02.txt").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("form")).to_contain_text("02.txt")
    page.locator("main").get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 file restored")
