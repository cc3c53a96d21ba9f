"""Rows and files: new versions in rows, files without rows, the gallery and the zip of a table."""

import json
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.test_upload import make
from tests.support.browser.axe import violations
from tests.support.browser.fields import Dialog, People
from tests.support.browser.site import Site
from tests.support.browser.uploading import Uploading
from tests.support.browser.watch import Watch
from tests.support.fixtures import fixture

pytestmark = pytest.mark.full

PNG = fixture("photos/alpha.png").path.read_bytes()


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def _shared(people: People, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), base_url="/prefix/", **people.arguments())
    with site.server:
        yield site


@pytest.mark.parametrize("width", [1280, 390])
def test_a_new_version_takes_the_place_of_a_file_in_its_field(
    site: Site, people: People, open_page: OpenPage, tmp_path: Path, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 900})
    dialog = Dialog(page)
    old = site.upload(PNG, "old.png", source="pictures", content_type="image/png")["id"]
    papers = [site.upload(name.encode(), name, content_type="text/plain")["id"] for name in "abc"]
    people.fill(name="Ada", photo=str(old), papers=json.dumps(papers))
    dialog.edit(site)
    assert violations(page) == []
    picture = make(tmp_path, "new.png", PNG + b"\0")
    dialog.upload("photo", [picture], "New version old.png")
    expect(dialog.names("photo")).to_have_text(["new.png"])
    dialog.upload("papers", [make(tmp_path, "newer.txt")], "New version b")
    expect(dialog.names("papers")).to_have_text(["a", "newer.txt", "c"])
    within = dialog.field("papers").evaluate("(field) => field.scrollWidth <= field.clientWidth")
    assert within
    dialog.saved()
    [new] = [file["id"] for file in site.files("pictures")]
    assert people.value("photo") == new != old
    assert people.ids()[0] == papers[0]
    assert people.ids()[1] not in papers
    page.goto(site.url(f"/-/files/{new}"))
    expect(page.get_by_role("heading", name="Versions")).to_be_visible()


def test_a_version_that_is_refused_leaves_the_field_as_it_was(
    site: Site, people: People, page: Page, watch: Watch, tmp_path: Path
) -> None:
    dialog = Dialog(page)
    old = str(site.upload(b"old", "old.txt", content_type="text/plain")["id"])
    people.fill(name="Ada", papers=json.dumps([old]))
    dialog.edit(site)
    replace(site, old, b"theirs")  # somebody else is faster
    watch.expect("409")
    dialog.upload("papers", [make(tmp_path, "mine.txt")], "New version old.txt")
    expect(dialog.field("papers").locator(".upload-row")).to_contain_text("Somebody has replaced")
    expect(dialog.names("papers")).to_have_text(["old.txt"])


def replace(site: Site, old: str, content: bytes) -> str:
    request = urllib.request.Request(
        site.url(f"/-/files/upload/docs/newer.txt?replaces={old}"),
        content,
        {"Accept": "application/json"},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return str(json.load(response)["file_id"])


def test_a_page_puts_a_new_version_into_the_rows(site: Site, people: People, page: Page) -> None:
    old = str(site.upload(b"old", "old.txt", content_type="text/plain")["id"])
    people.fill(name="Ada", papers=json.dumps([old]), scan=old)
    new = replace(site, old, b"new")
    page.goto(site.url(f"/-/files/{new}"))
    page.get_by_role("link", name="Put this version into rows…").click()
    expect(page.get_by_role("checkbox")).to_have_count(2)
    assert violations(page) == []
    page.get_by_role("checkbox", name="people.scan").uncheck()
    page.get_by_role("button", name="Put this version into these rows").click()
    expect(page.get_by_text("1 row changed.")).to_be_visible()
    assert (people.ids(), people.value("scan")) == ([new], old)


def test_the_filter_of_files_without_rows(site: Site, people: People, page: Page) -> None:
    held = str(site.upload(b"held", "held.txt", content_type="text/plain")["id"])
    site.upload(b"free", "free.txt", content_type="text/plain")
    people.fill(name="Ada", papers=json.dumps([held]))
    page.goto(site.url("/-/files/source/docs"))
    names = page.locator("tbody .files-name a")
    expect(names).to_have_count(2)
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Not used in any table").check()
    expect(names).to_have_text(["free.txt"])
    expect(page.locator("#files-count")).to_have_text("1 file not used in any table.")
    expect(page.get_by_text("new", exact=True)).to_be_visible()
    assert violations(page) == []
    # What is chosen is chosen here: never all that match.
    page.get_by_label("All on this page").check()
    expect(page.get_by_role("button", name="Select all")).to_have_count(0)
    page.get_by_role("button", name="Clear", exact=True).click()
    page.reload()
    expect(names).to_have_text(["free.txt"])
    page.get_by_role("link", name="Clear filters").click()
    expect(names).to_have_count(2)


@pytest.mark.parametrize("width", [1280, 390])
def test_the_gallery_and_the_zip_of_a_table(
    site: Site, people: People, open_page: OpenPage, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 900})
    photo = str(site.upload(PNG, "face.png", source="pictures", content_type="image/png")["id"])
    gone = str(site.upload(b"gone", "gone.txt", content_type="text/plain")["id"])
    people.fill(name="Ada", photo=photo, papers=json.dumps([gone]))
    urllib.request.urlopen(
        urllib.request.Request(site.url(f"/-/files/{gone}"), method="DELETE"), timeout=30
    ).close()
    page.goto(site.url("/data/people"))
    page.get_by_role("link", name="gallery", exact=True).click()
    expect(page.locator(".files-tile-name")).to_have_text(["face.png"])
    expect(page.locator(".files-grid img")).to_have_js_property("complete", True)
    expect(page.get_by_role("link", name="Ada")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="Download as zip").click()
    expect(page.get_by_text("1 file, ")).to_be_visible()
    expect(page.get_by_text("it was deleted, or its bytes are missing")).to_be_visible()
    assert violations(page) == []
    with page.expect_download() as download:
        page.get_by_role("link", name="Download", exact=True).click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert archive.namelist() == ["rows.csv", "face.png", "left-out.txt"]
        assert archive.read("face.png") == PNG


def test_the_end_of_an_upload_tells_of_the_same_bytes(
    site: Site, page: Page, tmp_path: Path
) -> None:
    site.upload(b"same", "first.txt", content_type="text/plain")
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "again.txt", b"same"), make(tmp_path, "other.txt"))
    expect(upload.headline).to_have_text("2 files uploaded")
    expect(upload.row("again.txt")).to_contain_text("The same file is here already: first.txt")
    expect(upload.row("other.txt")).not_to_contain_text("already")
    assert violations(page) == []
