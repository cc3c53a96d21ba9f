"""A day's work by the keyboard alone: Tab reaches every control, and the focus is never lost."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import MakeSite
from tests.support.browser.axe import violations
from tests.support.browser.samples import settle, upload_sample
from tests.support.browser.site import Site
from tests.support.browser.watch import Watch
from tests.support.imports import site as imports

pytestmark = [pytest.mark.full, pytest.mark.timeout(600)]

SOURCE = "/-/files/source/docs"
#: Presses of Tab from one control to the next that somebody has patience for.
_PATIENCE = 60


class Keys:
    """A person without a pointer. Each press counts as a step."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.steps = 0
        #: Pages and states that axe has passed.
        self.passed = 0

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.steps += 1

    def type(self, text: str) -> None:
        self.page.keyboard.type(text)
        self.steps += 1

    def to(self, target: Locator, key: str = "Tab") -> None:
        """Press Tab, or Shift+Tab, until the target has the focus."""
        expect(target).to_be_visible()
        for _ in range(_PATIENCE):
            self.press(key)
            if target.evaluate("(element) => element === document.activeElement"):
                return
        here = self.page.evaluate("document.activeElement.outerHTML.slice(0, 300)")
        raise AssertionError(f"{target} was not reached by {key}; the focus is at {here}")

    def back_to(self, target: Locator) -> None:
        self.to(target, "Shift+Tab")

    def open(self, target: Locator, key: str = "Tab") -> None:
        self.to(target, key)
        self.press("Enter")

    def kept(self) -> None:
        """The focus is at something, and the page passes axe."""
        assert self.page.evaluate("document.activeElement !== document.body"), "the focus is lost"
        self.judge()

    def judge(self) -> None:
        assert violations(self.page) == []
        self.passed += 1


@pytest.fixture
def site(make_site: MakeSite, tmp_path: Path) -> Site:
    """Two sources with a trash, and a database that files are imported into."""
    return make_site(
        sources={"docs": {"label": "Documents"}, "archive": {"label": "Archive"}},
        trash_days=30,
        permissions={**imports.PERMISSIONS, "files-manage": True, "files-share": True},
        databases=[imports.database(tmp_path)],
    )


@pytest.fixture
def keys(site: Site, page: Page) -> Keys:
    site.sign_in(page, {"id": "alice"})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    return Keys(page)


def files(site: Site) -> dict[str, dict[str, Any]]:
    return {file["filename"]: file for file in site.files()}


def test_a_list_is_changed_and_undone_by_keys(site: Site, keys: Keys, watch: Watch) -> None:
    # So Chromium calls a page that became a download.
    watch.expect("/download: net::ERR_ABORTED")
    page = keys.page
    for number in range(6):
        site.upload(b"x", f"{number}.txt", content_type="text/plain")
    page.goto(site.url("/-/files"))
    keys.judge()
    keys.open(page.get_by_role("link", name="Documents", exact=True))
    expect(page).to_have_url(site.url(SOURCE))
    keys.judge()

    # Columns.
    keys.open(page.locator(".files-choose-columns summary"))
    keys.judge()
    keys.to(page.get_by_label("Tags"))
    keys.press("Space")
    keys.open(page.get_by_role("button", name="Show these"))
    expect(page.get_by_role("columnheader", name="Tags")).to_be_visible()
    keys.judge()

    # An order, by a heading.
    keys.open(page.get_by_role("columnheader", name="Name").get_by_role("link"))
    expect(page.get_by_role("columnheader", name="Name")).to_have_attribute(
        "aria-sort", "ascending"
    )

    # Choose a range, and tag it.
    told = page.locator("[data-files-chosen]")
    keys.to(page.get_by_label("Choose 1.txt"))
    keys.press("Space", "Shift+ArrowDown", "Shift+ArrowDown")
    expect(told).to_have_text("3 chosen")
    keys.open(page.get_by_role("button", name="Add tags…"), "Shift+Tab")
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Tags")).to_be_focused()
    keys.press("Escape")
    expect(page.get_by_role("button", name="Add tags…")).to_be_focused()
    keys.press("Enter")
    expect(dialog.get_by_label("Tags")).to_be_focused()
    keys.kept()
    keys.type("red, blue")
    keys.press("Enter")
    outcome = page.locator(".files-outcome")
    expect(outcome).to_contain_text("3 files tagged.")
    keys.kept()
    assert files(site)["2.txt"]["tags"] == ["red", "blue"]
    keys.open(outcome.get_by_role("button", name="Close"))
    expect(outcome).to_be_empty()
    keys.kept()

    # A folder, and into it.
    keys.to(page.get_by_label("Choose 0.txt"))
    keys.press("Space")
    keys.open(page.get_by_role("button", name="Move to folder…"), "Shift+Tab")
    expect(dialog.get_by_label("Folder")).to_be_focused()
    keys.type("trips/2026")
    keys.press("Enter")
    expect(outcome).to_contain_text("1 file moved to the folder.")
    keys.kept()
    keys.open(
        page.get_by_role("list", name="Folders").get_by_role("link", name="trips"), "Shift+Tab"
    )
    keys.open(page.get_by_role("link", name="2026"))
    expect(page.get_by_role("link", name="0.txt")).to_be_visible()
    keys.judge()
    # The keys of the browser's own Back do not reach a browser without a window.
    page.go_back()
    page.go_back()
    expect(page.get_by_label("Choose 5.txt")).to_be_visible()

    # Everything, nothing, and another source.
    keys.to(page.get_by_label("Choose 3.txt"))
    keys.press("Control+a")
    expect(told).to_have_text("6 chosen")
    keys.press("Escape")
    expect(told).to_have_text("None chosen")
    keys.press("Space")
    keys.open(page.get_by_role("button", name="Move to source…"), "Shift+Tab")
    expect(dialog.get_by_label("To the source")).to_be_focused()
    expect(dialog.get_by_role("option")).to_have_text(["Archive"])
    keys.open(dialog.get_by_role("button", name="Move"))
    expect(outcome).to_contain_text("1 file moved to the source.")
    keys.kept()
    assert "3.txt" not in files(site)

    # Delete, and undo before the bar is gone.
    keys.to(page.get_by_label("Choose 4.txt"))
    keys.press("Space")
    keys.open(page.get_by_role("button", name="Delete"), "Shift+Tab")
    expect(outcome).to_contain_text("1 file deleted.")
    expect(page.get_by_label("Choose 4.txt")).to_have_count(0)
    keys.kept()
    keys.open(outcome.get_by_role("button", name="Undo"))
    expect(outcome).to_contain_text("1 file restored.")
    expect(page.get_by_label("Choose 4.txt")).to_have_count(1)
    keys.kept()

    # A link to two files, and both as one zip.
    keys.to(page.get_by_label("Choose 4.txt"))
    keys.press("Space", "Shift+ArrowDown")
    keys.open(page.get_by_role("button", name="Share…"), "Shift+Tab")
    expect(dialog.get_by_label("Note to the receiver")).to_be_focused()
    keys.kept()
    keys.type("Two texts")
    keys.press("Enter")
    expect(outcome).to_contain_text("2 files shared.")
    keys.kept()
    keys.open(outcome.get_by_role("button", name="Copy address"))
    expect(outcome.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == outcome.get_by_label("Address of the link").input_value()
    keys.open(outcome.get_by_role("button", name="Close"))
    keys.to(page.get_by_label("Choose 4.txt"))
    keys.press("Space", "Shift+ArrowDown")
    keys.to(page.get_by_role("button", name="Download as zip"), "Shift+Tab")
    with page.expect_download() as fetched:
        keys.press("Enter")
    assert ZipFile(fetched.value.path()).namelist() == ["4.txt", "5.txt"]
    keys.kept()

    # What a link shows.
    page.goto(copied)
    keys.judge()
    keys.to(page.get_by_role("link", name="Download 5.txt"))
    with page.expect_download():
        keys.press("Enter")

    # The trash.
    page.goto(site.url(SOURCE))
    keys.to(page.get_by_label("Choose 1.txt"))
    keys.press("Escape", "Space")
    keys.open(page.get_by_role("button", name="Delete"), "Shift+Tab")
    expect(outcome).to_contain_text("1 file deleted.")
    page.goto(site.url("/-/files"))
    keys.open(page.get_by_role("link", name="Trash (1)"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Trash")
    keys.judge()
    keys.to(page.get_by_label("Choose 1.txt"))
    keys.press("Space")
    keys.open(page.locator(".files-bar").get_by_role("button", name="Restore"), "Shift+Tab")
    expect(outcome).to_contain_text("1 file restored.")
    keys.kept()
    assert "1.txt" in files(site)
    assert keys.steps >= 100
    print(f"{keys.steps} steps, {keys.passed} states passed by axe")


def test_a_file_is_sent_shown_changed_shared_and_imported_by_keys(
    site: Site, keys: Keys, watch: Watch, tmp_path: Path
) -> None:
    page = keys.page
    upload_sample(site, "table")
    photo = upload_sample(site, "image")
    note = tmp_path / "note.txt"
    note.write_text("a note")

    # An icon of Datasette's in the page that the viewer fetches.
    watch.expect("inline style violates")

    # Upload.
    page.goto(site.url(SOURCE))
    page.on("filechooser", lambda chooser: chooser.set_files([note]))
    keys.open(page.locator(".files-upload-here summary"))
    keys.judge()
    keys.open(page.get_by_role("button", name="Choose files"))
    expect(page.locator(".upload-headline")).to_have_text("1 file uploaded")
    keys.kept()
    expect(page.get_by_role("link", name="note.txt").first).to_be_visible()

    # The viewer: through the list and back to the name that was shown last.
    names = page.locator("td.files-name a")
    expect(names).to_have_text(["note.txt", "phone.jpg", "towers.csv"])
    keys.open(names.nth(0))
    viewer = page.get_by_role("dialog")
    expect(viewer).to_have_accessible_name("note.txt")
    expect(viewer).not_to_have_attribute("aria-busy", "true")
    keys.kept()
    keys.press("ArrowRight")
    expect(viewer).to_have_accessible_name("phone.jpg")
    expect(viewer).not_to_have_attribute("aria-busy", "true")
    keys.press("+", "+", "-", "0")
    keys.to(viewer.get_by_role("button", name="Details"))
    keys.press("Enter", "Enter")
    keys.press("ArrowRight", "ArrowLeft")
    expect(viewer).to_have_accessible_name("phone.jpg")
    expect(viewer).not_to_have_attribute("aria-busy", "true")
    settle(page)
    keys.press("Escape")
    expect(viewer).to_be_hidden()
    expect(names.nth(1)).to_be_focused()
    keys.press("Enter")
    keys.open(viewer.get_by_role("link", name="Open page"))
    expect(page).to_have_url(site.server.url + photo["url"])
    settle(page)
    keys.judge()

    # Name, folder and tags in place.
    for editor, text in (
        ("Rename the file", "harbour"),
        ("Add folder", "trips"),
        ("Add tags", "sea, 2026"),
    ):
        keys.open(page.get_by_role("button", name=editor))
        keys.type(text)
        keys.press("Escape")
        expect(page.get_by_role("button", name=editor)).to_be_focused()
        keys.press("Enter")
        keys.type(text)
        keys.press("Enter")
        again = re.compile(editor.replace("Add", "(Add|Edit)"))
        expect(page.locator(".files-edit-here")).to_have_count(0)
        expect(page.get_by_role("button", name=again)).to_be_focused()
        keys.kept()
    changed = files(site)["harbour.jpg"]
    assert (changed["folder"], changed["tags"]) == ("trips", ["sea", "2026"])

    # Copy, share, revoke.
    keys.open(page.locator(".files-copies summary"), "Shift+Tab")
    keys.open(page.get_by_role("button", name="Copy link"))
    assert page.evaluate("navigator.clipboard.readText()") == site.server.url + photo["url"]
    keys.kept()
    keys.open(page.locator("[data-files-links] summary"))
    keys.to(page.get_by_label("Note to the receiver"))
    keys.type("The harbour")
    keys.press("Enter")
    expect(page.get_by_role("button", name="Copy address")).to_be_focused()
    keys.kept()
    keys.open(page.get_by_role("button", name="Revoke The harbour"))
    expect(page.locator("[data-files-links-list]")).to_contain_text("There are no links yet.")
    expect(page.locator("[data-files-links] summary")).to_be_focused()
    keys.kept()

    # Delete, and undo on the page that follows.
    keys.open(page.get_by_role("button", name="Delete file…"))
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    keys.kept()
    keys.open(dialog.get_by_role("button", name="Move to trash"))
    expect(page).to_have_url(re.compile(f"{SOURCE}\\?trashed="))
    keys.judge()
    keys.open(page.get_by_role("button", name="Undo"))
    expect(page.locator("td.files-name a")).to_have_count(3)

    # Import.
    keys.open(page.get_by_role("link", name="towers.csv"))
    keys.open(page.get_by_role("dialog").get_by_role("link", name="Open page"))
    keys.open(page.locator("main .actions-menu-links summary"))
    keys.press("ArrowDown")
    item = page.get_by_role("menuitem", name="Import as table")
    for _ in range(10):
        if item.evaluate("(element) => element === document.activeElement"):
            break
        keys.press("ArrowDown")
    keys.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("towers.csv as a table")
    keys.judge()
    keys.open(page.locator(".files-reading summary"))
    keys.to(page.get_by_label("Encoding"))
    keys.to(page.get_by_label("Table", exact=True))
    keys.press("Control+a")
    keys.type("made")
    keys.open(page.get_by_role("button", name="Import", exact=True))
    expect(page.get_by_role("link", name="Open the table")).to_be_visible()
    keys.judge()
    keys.to(page.get_by_role("link", name="Open the table"))
    assert site.server.get_json("/data/made.json?_extra=count")["count"] == 5
    assert keys.steps >= 100
    print(f"{keys.steps} steps, {keys.passed} states passed by axe")
