"""What a newcomer ran into: drops, broken connections, long lists, ids in facets, the picker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.browser.test_file_picker import embed
from tests.browser.test_upload import make
from tests.conftest import OPEN
from tests.support.browser.axe import violations
from tests.support.browser.fields import Dialog, People
from tests.support.browser.site import Site
from tests.support.browser.uploading import Uploading, until
from tests.support.browser.watch import Watch
from tests.support.fixtures import fixture

pytestmark = pytest.mark.full

PNG = fixture("photos/alpha.png").path.read_bytes()
SOURCE = "/-/files/source/docs"
#: A name that would read ``exe.png`` from right to left.
TURNED = "\u202egnp.exe"


def test_files_are_dropped_anywhere_on_a_source_and_onto_a_folder(
    site: Site, page: Page, tmp_path: Path
) -> None:
    site.upload(b"before", "before.txt")
    folder = tmp_path / "trip"
    (folder / "day one").mkdir(parents=True)
    for name in ("sea.txt", ".DS_Store", "Thumbs.db"):
        make(folder / "day one", name)
    # Above 8 MiB a file goes by another way.
    make(folder / "day one", "film.bin", bytes(9 * 2**20))
    upload = Uploading(page)
    page.goto(site.url(SOURCE))
    expect(upload.element).to_be_hidden()
    upload.drag([folder], target=".files-table")
    expect(upload.headline).to_have_text("2 files uploaded")
    # On this very page there is no way to it.
    expect(page.locator(".upload-all")).to_be_hidden()
    page.reload()
    upload.drag([make(tmp_path, "onto.txt")], "dragOver", target=".files-chips a")
    expect(page.locator(".files-chips a[data-files-over]")).to_have_count(1)
    upload.drag([tmp_path / "onto.txt"], target=".files-chips a")
    expect(upload.headline).to_have_text("1 file uploaded")
    page.goto(site.url(f"{SOURCE}?folder=trip"))
    upload.drag([make(tmp_path, "into.txt")], target="h1")
    expect(upload.headline).to_have_text("1 file uploaded")
    places = {file["filename"]: file["folder"] for file in site.files()}
    assert places == {
        "before.txt": "",
        "sea.txt": "trip/day one",
        "film.bin": "trip/day one",
        "onto.txt": "trip",
        "into.txt": "trip",
    }
    # Where nothing takes files, the page stays and says where they go.
    page.goto(site.url("/-/files/search"))
    upload.drag([tmp_path / "onto.txt"], "dragOver", target="h1")
    expect(page.locator(".files-drop-note")).to_contain_text("on the page of a source")
    upload.drag([tmp_path / "onto.txt"], target="h1")
    assert page.url == site.url("/-/files/search")
    assert len(site.files()) == 5


def test_a_broken_connection_is_tried_again_by_itself(
    site: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    broken: list[str] = []

    def break_once(route: Route) -> None:
        broken.append(route.request.url)
        if len(broken) == 1:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/-/upload", break_once)
    watch.expect("ERR_CONNECTION_RESET")
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "again.txt"))
    expect(upload.headline).to_have_text("1 file uploaded")
    assert len(broken) == 2
    assert [file["filename"] for file in site.files()] == ["again.txt"]


def test_what_failed_goes_on_when_the_browser_is_online_again(
    site: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    page.route("**/-/prepare", lambda route: route.abort("connectionreset"))
    watch.expect("ERR_CONNECTION_RESET")
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "later.txt"))
    expect(upload.headline).to_have_text("1 file failed")
    page.unroute("**/-/prepare")
    page.evaluate("window.dispatchEvent(new Event('online'))")
    expect(upload.headline).to_have_text("1 file uploaded")


def test_a_name_that_turns_its_letters_is_shown_with_a_mark(site: Site, page: Page) -> None:
    upload = Uploading(page).open(site)
    upload.choose({"name": TURNED, "mimeType": "text/plain", "buffer": b"x"})
    expect(upload.headline).to_have_text("1 file uploaded")
    expect(page.locator(".upload-name")).to_have_text("\ufffdgnp.exe")
    label = page.locator(".upload-row button").first.get_attribute("aria-label") or ""
    assert "\u202e" not in label
    assert site.files()[0]["filename"] == TURNED


def test_the_summary_adds_up_all_files_of_the_list(site: Site, page: Page, tmp_path: Path) -> None:
    upload = Uploading(page).open(site)
    for number in range(2):
        upload.choose(make(tmp_path, f"{number}.txt", b"x" * 1024))
        expect(upload.rows).to_have_count(number + 1)
        expect(upload.headline).to_have_text(f"{number + 1} file{'s' if number else ''} uploaded")
    expect(page.locator(".upload-summary .upload-status")).to_have_text("2.0 KB")


def test_files_of_a_cell_stand_in_the_order_in_which_they_were_chosen(
    make_site: MakeSite, page: Page, tmp_path: Path
) -> None:
    people = People(tmp_path)
    site = make_site(**people.arguments())
    people.fill(name="Ada")
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        declared = json.loads(route.request.post_data or "{}")
        if declared["filename"] == "1.txt":
            held.append(route)
        else:
            route.continue_()

    page.route("**/-/prepare", hold_first)
    dialog = Dialog(page).edit(site)
    files = [make(tmp_path, f"{number}.txt") for number in (1, 2, 3)]
    dialog.upload("papers", files, "Upload files")
    expect(dialog.names("papers")).to_have_text(["2.txt", "3.txt"])
    held[0].continue_()
    expect(dialog.names("papers")).to_have_text(["1.txt", "2.txt", "3.txt"])
    dialog.saved()
    names = {file["id"]: file["filename"] for file in site.files()}
    assert [names[file_id] for file_id in people.ids()] == ["1.txt", "2.txt", "3.txt"]


def test_a_hundred_files_a_page_more_below_them_and_the_look_is_kept(
    make_site: MakeSite, open_page: OpenPage
) -> None:
    site = make_site()
    for number in range(130):
        site.upload(b"x", f"{number:03}.txt", content_type="text/plain")
    page = open_page(viewport={"width": 1280, "height": 900})
    page.goto(site.url(f"{SOURCE}?_sort=filename"))
    rows = page.locator("td.files-name")
    expect(rows).to_have_count(100)
    page.get_by_label("Choose 000.txt").check()
    page.get_by_role("link", name="Show more").click()
    expect(rows).to_have_count(130)
    expect(rows.nth(100).get_by_role("link")).to_be_focused()
    expect(page.get_by_role("link", name="Show more")).to_have_count(0)
    # What is chosen and what came belong together.
    page.get_by_label("Choose 129.txt").check()
    expect(page.locator("[data-files-chosen]")).to_have_text("2 chosen")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_label("Pages").get_by_role("link", name="50").click()
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Grid").click()
    expect(page.locator(".files-grid li")).to_have_count(50)
    page.goto(site.url("/-/files/search?q=txt"))
    expect(page.locator(".files-grid li")).to_have_count(50)
    page.get_by_role("link", name="Show more").click()
    expect(page.locator(".files-grid li")).to_have_count(100)
    # Without scripts the next page opens.
    plain = open_page(java_script_enabled=False)
    plain.goto(site.url(f"{SOURCE}?_sort=filename"))
    plain.get_by_role("link", name="Next page").click()
    expect(plain.locator("td.files-name")).to_have_count(30)


def test_facets_and_filters_of_a_file_column_name_the_files(
    make_site: MakeSite, page: Page, tmp_path: Path
) -> None:
    people = People(tmp_path)
    arguments = people.arguments()
    arguments["permissions"] = {
        **arguments["permissions"],
        "files-browse": {"pictures": {"allow": True}},
    }
    site = make_site(**arguments)
    photo = site.upload(PNG, "ada.png", source="pictures", content_type="image/png")["id"]
    unseen = site.upload(b"x", "unseen.txt")["id"]
    people.fill(name="Ada", photo=photo, papers=json.dumps([unseen]))
    page.goto(site.url("/data/people?_facet=photo&_facet_array=papers"))
    facets = page.locator(".facet-results")
    expect(facets.get_by_role("link", name="ada.png")).to_have_attribute("title", photo)
    expect(facets).to_contain_text(unseen)
    facets.get_by_role("link", name="ada.png").click()
    expect(page.locator(".table-summary-description")).to_contain_text('photo = "ada.png"')
    # A cell takes no files; the page stays and says where they are added.
    path = tmp_path / "dropped.txt"
    path.write_text("x")
    Uploading(page).drag([path], target="td.col-name")
    expect(page.locator(".file-drop-note")).to_contain_text("in the form of a row")
    assert "/data/people" in page.url


def test_enter_takes_the_first_hit_also_before_it_has_come(site: Site, page: Page) -> None:
    for name in ("holiday one.png", "holiday two.png", "work.png"):
        site.upload(PNG, name, content_type="image/png")
    embed(page, site)
    box = page.get_by_role("combobox", name="Search files")
    box.fill("holi one")
    box.press("Enter")
    until(page, "window.chosen?.join() === 'holiday one.png'")


def test_letters_within_a_name_find_it_in_the_picker_and_in_lists(site: Site, page: Page) -> None:
    for name in ("holiday one.png", "work.png"):
        site.upload(PNG, name, content_type="image/png")
    embed(page, site)
    page.get_by_role("combobox", name="Search files").fill("liday")
    count = page.locator(".picker-count")
    expect(count).to_have_text("1 file, found by letters in the name.")
    expect(page.locator(".picker-option")).to_contain_text("holiday one.png")
    page.goto(site.url("/-/files/search"))
    page.get_by_role("searchbox").fill("liday")
    expect(page.locator("#files-count")).to_have_text("1 file for “liday”, by letters in the name")
    expect(page.get_by_role("link", name="holiday one.png")).to_be_visible()


def test_the_trash_asks_with_number_and_names_and_shows_pictures(
    make_site: MakeSite, page: Page
) -> None:
    site = make_site(trash_days=30, permissions={**OPEN, "files-manage": True})
    records: list[dict[str, Any]] = [
        site.upload(PNG, f"{number}.png", content_type="image/png") for number in range(2)
    ]
    page.goto(site.url(SOURCE))
    page.get_by_label("All on this page").check()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".files-outcome")).to_contain_text("2 files deleted.")
    expect(page.locator(".files-empty")).to_be_visible()
    page.goto(site.url("/-/files"))
    page.get_by_role("link", name="Trash (2)").click()
    for button in ("Restore", "Delete for good"):
        expect(page.locator(".files-bar").get_by_role("button", name=button)).to_be_disabled()
    picture = page.locator(f"img[src$='{records[0]['id']}/thumbnail']")
    assert picture.evaluate("(img) => img.decode().then(() => img.naturalWidth)") > 0
    assert violations(page) == []
    page.get_by_label("All on this page").check()
    page.locator(".files-bar").get_by_role("button", name="Delete for good").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 files")
    expect(dialog).to_contain_text("0.png")
    dialog.get_by_role("button", name="Delete for good").click()
    expect(page.locator(".files-empty")).to_contain_text("The trash is empty")


def test_the_menu_says_files_and_an_opened_file_has_its_name_in_the_address(
    site: Site, page: Page
) -> None:
    record = site.upload(b"words", "my notes #1.txt", content_type="text/plain")
    page.goto(site.url("/"))
    page.locator(".nav-menu summary").click()
    page.locator(".nav-menu").get_by_role("link", name="Files", exact=True).click()
    expect(page).to_have_url(site.url("/-/files"))
    page.goto(site.server.url + record["url"])
    page.get_by_role("link", name="Open", exact=True).click()
    expect(page).to_have_url(f"{site.server.url}{record['url']}/inline/my%20notes%20%231.txt")
    expect(page.locator("body")).to_have_text("words")
