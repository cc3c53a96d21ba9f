"""File columns in Datasette's dialogs: see, choose, upload, replace, order, remove; all of it under
``base_url`` and the strict policy."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.test_upload import make
from tests.support.browser.axe import violations
from tests.support.browser.fields import Dialog, People
from tests.support.browser.site import Site
from tests.support.browser.watch import Watch
from tests.support.columns import ABSENT
from tests.support.fixtures import fixture

pytestmark = pytest.mark.full

PNG = fixture("photos/alpha.png").path.read_bytes()
TINY = "\x89PNG\r\n\x1a\n0123456789"
WIDTHS = [1280, 390]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def _shared(people: People, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), base_url="/prefix/", **people.arguments())
    with site.server:
        yield site


@pytest.fixture
def dialog(page: Page) -> Dialog:
    return Dialog(page)


def upload_picture(site: Site, name: str) -> str:
    record = site.upload(PNG, name, source="pictures", content_type="image/png")
    return str(record["id"])


def upload_text(site: Site, name: str, size: int = 4) -> str:
    record = site.upload(b"x" * size, name, content_type="text/plain")
    return str(record["id"])


@pytest.mark.parametrize("width", [1280, pytest.param(390, marks=pytest.mark.full)])
def test_a_file_is_chosen_replaced_and_removed(
    site: Site, people: People, open_page: OpenPage, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 900})
    dialog = Dialog(page)
    first, second = upload_picture(site, "first.png"), upload_picture(site, "second.png")
    site.upload(b"text", "words.txt", source="docs", content_type="text/plain")
    people.fill(name="Ada")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    dialog.edit(site)
    assert violations(page) == []
    dialog.field("photo").get_by_role("button", name="Choose a file").click()
    # Of the column's source alone, so there is none to select.
    expect(dialog.options).to_have_count(2)
    expect(dialog.picker.get_by_label("Source")).to_have_count(0)
    assert violations(page) == []
    dialog.option("first.png").click()
    expect(dialog.names("photo")).to_have_text(["first.png"])
    expect(dialog.field("photo").get_by_role("button", name="Choose")).to_have_count(0)
    dialog.saved()
    assert people.value("photo") == first

    dialog.edit(site)
    expect(dialog.names("photo")).to_have_text(["first.png"])
    expect(dialog.field("photo").locator("img")).to_have_js_property("complete", True)
    dialog.field("photo").get_by_role("button", name="Replace first.png").click()
    # What is there already is said to be.
    expect(dialog.option("first.png")).to_have_attribute("aria-disabled", "true")
    dialog.option("first.png").click(force=True)
    expect(dialog.picker).to_be_visible()
    dialog.option("second.png").click()
    expect(dialog.names("photo")).to_have_text(["second.png"])
    expect(dialog.field("photo").get_by_role("button", name="Replace second.png")).to_be_focused()
    dialog.saved()
    assert people.value("photo") == second

    asked.clear()
    dialog.edit(site)
    dialog.field("photo").get_by_role("button", name="Remove second.png").click()
    expect(dialog.field("photo").get_by_role("button", name="Choose a file")).to_be_focused()
    dialog.saved()
    assert people.value("photo") is None
    # One request for the cells of the page, one for the fields of the dialog.
    assert len([url for url in asked if "batch.json" in url]) == 2
    assert len([url for url in asked if "sources.json" in url]) == 1


def test_several_are_chosen_and_ordered_by_the_keyboard_alone(
    site: Site, people: People, dialog: Dialog
) -> None:
    page = dialog.page
    ids = {name: upload_text(site, f"{name}.txt") for name in ("one", "twice", "two")}
    people.fill(name="Ada", papers=json.dumps([ids["one"]]))
    page.goto(site.url("/data/people"))
    page.locator("button[data-row-action=edit]").focus()
    page.keyboard.press("Enter")
    choose = dialog.field("papers").get_by_role("button", name="Choose files")
    expect(choose).to_be_visible()
    while not choose.evaluate("(button) => button === document.activeElement"):
        page.keyboard.press("Tab")

    page.keyboard.press("Enter")
    search = dialog.picker.get_by_role("combobox", name="Search files")
    expect(search).to_be_focused()
    expect(dialog.options).to_have_count(3)
    # Escape empties the field, then closes the picker, and the picker alone.
    page.keyboard.type("twi")
    expect(dialog.options).to_have_count(1)
    page.keyboard.press("Escape")
    expect(dialog.options).to_have_count(3)
    page.keyboard.press("Escape")
    expect(dialog.picker).to_have_count(0)
    expect(dialog.element).to_be_visible()
    expect(choose).to_be_focused()

    page.keyboard.press("Enter")
    expect(search).to_be_focused()
    page.keyboard.type("tw")
    expect(dialog.options).to_have_count(2)
    page.keyboard.press("ArrowDown")
    active = dialog.picker.locator("[data-active]")
    expect(search).to_have_attribute("aria-activedescendant", active.get_attribute("id") or "")
    page.keyboard.press("Enter")
    expect(active).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(dialog.picker.locator(".picker > [role=status]")).to_contain_text("2 files in all")
    expect(dialog.adds).to_have_text("Add 2 files")
    while not dialog.adds.evaluate("(button) => button === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(dialog.names("papers")).to_have_text(["one.txt", "two.txt", "twice.txt"])
    expect(choose).to_be_focused()

    dialog.field("papers").get_by_role("button", name="Move up twice.txt").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(dialog.names("papers")).to_have_text(["twice.txt", "one.txt", "two.txt"])
    # At the top there is no up; the other way is under the finger.
    expect(dialog.field("papers").get_by_role("button", name="Move down twice.txt")).to_be_focused()
    told = dialog.field("papers").locator("> [role=status]")
    expect(told).to_have_text("twice.txt is now 1 of 3")
    dialog.field("papers").get_by_role("button", name="Remove one.txt").focus()
    page.keyboard.press("Enter")
    expect(dialog.field("papers").get_by_role("button", name="Remove two.txt")).to_be_focused()
    while not dialog.element.locator("[type=submit]").evaluate(
        "(button) => button === document.activeElement"
    ):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(dialog.element).to_be_hidden()
    assert people.ids() == [ids["twice"], ids["two"]]


def test_files_are_uploaded_in_the_dialog(
    site: Site, people: People, dialog: Dialog, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("507")
    people.fill(name="Ada", photo=upload_picture(site, "old.png"))
    dialog.edit(site)
    page = dialog.page

    # Pasted: to the field that has the focus.
    dialog.field("scan").get_by_role("button", name="Choose").focus()
    dialog.paste("text", "note.txt", "text/plain")
    expect(dialog.names("scan")).to_have_text(["note.txt"])
    # Or, beside them all, to the first; the fields of text want none.
    dialog.element.get_by_label("name", exact=True).focus()
    dialog.paste(TINY, "pasted.png", "image/png")
    expect(dialog.names("photo")).to_have_text(["pasted.png"])
    # Chosen; what the column does not take is not sent.
    dialog.upload("scan", [make(tmp_path, "large.bin", bytes(3000))], "Upload a file")
    expect(dialog.field("scan")).to_contain_text("Too large")
    dialog.save()
    expect(dialog.element).to_contain_text("1 file could not be uploaded.")
    dialog.field("scan").get_by_role("button", name="Remove large.bin").click()
    expect(dialog.element).not_to_contain_text("could not be uploaded")

    # What failed is tried again in place.
    full = {"ok": False, "error": "The disk is full", "status": 507, "code": "no_space"}
    page.route("**/-/prepare", lambda route: route.fulfill(status=507, json=full), times=1)
    dialog.upload("papers", [make(tmp_path, "a.txt")], "Upload files")
    expect(dialog.field("papers")).to_contain_text("No space left")
    dialog.field("papers").get_by_role("button", name="Retry a.txt").click()
    expect(dialog.names("papers")).to_have_text(["a.txt"])
    expect(dialog.field("papers").locator(".upload-row")).to_have_count(0)

    # Nothing is saved without what is on its way.
    site.hold()
    dialog.upload("papers", [make(tmp_path, "b.bin", bytes(8_000_000))], "Upload files")
    expect(dialog.field("papers").locator(".upload-row")).to_have_attribute("data-state", "sending")
    dialog.save()
    expect(dialog.element).to_contain_text("A file is still being uploaded.")
    expect(dialog.field("papers").get_by_role("button", name="Cancel b.bin")).to_be_focused()
    site.release()
    expect(dialog.names("papers")).to_have_text(["a.txt", "b.bin"], timeout=60_000)
    expect(dialog.element).not_to_contain_text("still being uploaded")
    dialog.saved()
    (picture,) = (file["id"] for file in site.files("pictures") if file["filename"] == "pasted.png")
    assert people.value("photo") == picture
    pasted, *papers = [file["id"] for file in site.files("docs")]
    assert (people.value("scan"), people.ids()) == (pasted, papers)


@pytest.mark.full
def test_what_is_not_understood_or_not_there_stays(
    site: Site, people: People, dialog: Dialog
) -> None:
    broken = '["df-broken", <b>'
    people.fill(name="Ada", photo=ABSENT, papers=broken)
    dialog.edit(site)
    expect(dialog.field("photo")).to_contain_text("This file was deleted, or you may not see it.")
    expect(dialog.names("photo")).to_have_text([ABSENT])
    text = dialog.field("papers").get_by_role("textbox", name="papers")
    expect(text).to_have_value(broken)
    expect(dialog.field("papers")).to_contain_text("shown as text")
    assert violations(dialog.page) == []
    dialog.element.get_by_label("name", exact=True).fill("Grace")
    dialog.saved()
    assert [people.value(name) for name in ("name", "photo", "papers")] == [
        "Grace",
        ABSENT,
        broken,
    ]
    file = upload_text(site, "one.txt")
    dialog.edit(site)
    dialog.choose("papers", "one.txt")
    expect(text).to_have_count(0)
    dialog.saved()
    assert people.ids() == [file]


def test_a_row_is_inserted_with_files_or_without(
    site: Site, people: People, dialog: Dialog
) -> None:
    small, large = upload_text(site, "small.txt"), upload_text(site, "large.txt", 5000)
    people.fill(name="Ada", photo=upload_picture(site, "a.png"))
    dialog.insert(site)
    dialog.element.get_by_label("name", exact=True).fill("Grace")
    # The default stays until somebody wants a value; then the label leads to it.
    dialog.element.get_by_role("button", name="Set value for scan").click()
    choose = dialog.field("scan").get_by_role("button", name="Choose a file")
    expect(choose).to_be_focused()
    choose.click()
    expect(dialog.option("large.txt")).to_contain_text("at most 2.0 KB fit here")
    dialog.option("large.txt").click(force=True)
    expect(dialog.picker.locator(".picker-count")).to_contain_text("large.txt cannot be chosen.")
    dialog.option("small.txt").click()
    dialog.saved()
    row = [people.value(name) for name in ("name", "photo", "papers", "scan")]
    assert row == ["Grace", None, None, small]
    assert large not in row
