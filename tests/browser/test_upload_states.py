"""The upload element in each of its states: accessible, on any screen, without jumps; and full."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.browser.test_upload import make
from tests.support.browser.axe import violations
from tests.support.browser.site import Site
from tests.support.browser.uploading import Uploading

pytestmark = pytest.mark.full

LONG = "a name that some program made up " + "x" * 150 + ".txt"


def empty(upload: Uploading, site: Site, folder: Path) -> None:
    upload.open(site)


def dragging(upload: Uploading, site: Site, folder: Path) -> None:
    upload.open(site).drag([make(folder, "dragged.txt")], "dragOver")
    expect(upload.element).to_have_attribute("data-dragging", "")


def mixed(upload: Uploading, site: Site, folder: Path) -> None:
    upload.open(site)
    upload.element.evaluate("(element) => element.setAttribute('max-size', '20000000')")
    upload.choose(make(folder, LONG))
    expect(upload.headline).to_have_text("1 file uploaded")
    site.hold()
    upload.choose(
        make(folder, "large.iso", bytes(20_000_001)),
        *[make(folder, f"{n}.bin", bytes(8_000_000)) for n in range(6)],
    )
    expect(upload.page.locator('.upload-row[data-state="sending"]')).to_have_count(4)
    upload.button("Cancel 5.bin").click()
    for state in ("done", "failed", "queued", "cancelled"):
        expect(upload.page.locator(f'.upload-row[data-state="{state}"]')).to_have_count(1)


def failed(upload: Uploading, site: Site, folder: Path) -> None:
    upload.open(site, "pictures").choose(make(folder, LONG), make(folder, "b.png", bytes(200_000)))
    expect(upload.headline).to_have_text("2 files failed")


def done(upload: Uploading, site: Site, folder: Path) -> None:
    upload.open(site).choose(make(folder, LONG), make(folder, "b.png", bytes(200_000)))
    expect(upload.headline).to_have_text("2 files uploaded")


STATES = [empty, dragging, mixed, failed, done]


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (320, "light"),
        pytest.param(390, "dark", marks=pytest.mark.full),
        pytest.param(1600, "dark", marks=pytest.mark.full),
    ],
)
@pytest.mark.parametrize(
    "state",
    [mixed, *(pytest.param(one, marks=pytest.mark.full) for one in STATES if one is not mixed)],
)
def test_every_state_is_accessible_and_fits_the_screen(
    site: Site,
    open_page: OpenPage,
    tmp_path: Path,
    state: Callable[[Uploading, Site, Path], None],
    width: int,
    scheme: str,
) -> None:
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 800})
    state(Uploading(page), site, tmp_path)
    # As a page does that has both schemes: the element follows.
    page.evaluate("document.documentElement.style.colorScheme = 'light dark'")
    try:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert violations(page) == []
    finally:
        end(site, page)


def end(site: Site, page: Page) -> None:
    """Let what is held go through, so that the page can be left in peace."""
    if site.holds:
        site.release()
        expect(page.locator(".upload-button", has_text="Clear list")).to_be_visible(timeout=60_000)


@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_moves_when_the_element_takes_the_place_of_the_form(
    site: Site, open_page: OpenPage, width: int
) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    page.add_init_script("""window.moved = 0;
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) window.moved += entry.value;
        }).observe({type: "layout-shift", buffered: true});""")
    Uploading(page).open(site)
    with_script = page.locator(".upload-zone").bounding_box()
    assert page.evaluate("moved") < 0.01  # the text in the zone, which changes

    plain = open_page(java_script_enabled=False, viewport={"width": width, "height": 800})
    plain.goto(site.url("/-/files/upload/docs"))
    assert plain.locator(".upload-zone").bounding_box() == with_script


@pytest.mark.full
def test_rows_are_as_high_while_they_wait_as_while_they_are_sent(
    site: Site, page: Page, tmp_path: Path
) -> None:
    upload = Uploading(page).open(site)
    site.hold()
    upload.choose(*[make(tmp_path, f"{n}.bin", bytes([n]) * 4_000_000) for n in range(5)])
    expect(page.locator('.upload-row[data-state="sending"]')).to_have_count(4)
    heights = upload.rows.evaluate_all("(rows) => rows.map((row) => row.offsetHeight)")
    site.release()
    expect(upload.headline).to_have_text("5 files uploaded", timeout=60_000)
    heights += upload.rows.evaluate_all("(rows) => rows.map((row) => row.offsetHeight)")
    # A line that parts two rows belongs to the lower one.
    assert max(heights) - min(heights) <= 1


@pytest.mark.full
def test_five_thousand_files_are_queued_and_few_are_drawn(
    make_site: MakeSite, page: Page, watch, tmp_path: Path
) -> None:
    watch.expect("ERR_ABORTED")
    site = make_site()
    folder = tmp_path / "many"
    for number in range(5000):
        make(folder, f"scan {number}.txt", b"%d" % number)
    upload = Uploading(page).open(site)
    site.hold()
    upload.choose(*[make(tmp_path, f"{n}.bin", bytes(4_000_000)) for n in range(4)])
    expect(page.locator('.upload-row[data-state="sending"]')).to_have_count(4)
    upload.drag([folder])
    expect(upload.headline).to_have_text("Uploading: 0 of 5,004 files done", timeout=60_000)
    expect(upload.rows).to_have_count(14)
    expect(page.get_by_text("4,990 more waiting")).to_be_visible()
    expect(upload.row("scan 0.txt")).to_be_visible()
    # It can still be worked with.
    upload.button("Cancel scan 0.txt").click()
    expect(page.get_by_text("4,989 more waiting")).to_be_visible()
    upload.button("Cancel all").click()
    expect(upload.headline).to_have_text("5,004 files cancelled")
    expect(upload.rows).to_have_count(15)
    upload.button("Clear list").click()
    expect(upload.rows).to_have_count(0)
    site.release()


@pytest.mark.full
def test_a_folder_of_very_many_files_is_read_as_they_are_uploaded(
    make_site: MakeSite, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    module = "**/upload/queue.js"
    limits = "{ waiting: 40, failed: 30, done: 50, whole: 20 }"

    def shrunk(route: Route) -> None:
        source = route.fetch().text()
        text = re.sub(r"const LIMITS = \{.*\}", f"const LIMITS = {limits}", source)
        assert text != source
        route.fulfill(body=text, content_type="text/javascript")

    site = make_site(sources={"docs": {"max_file_size": 1000}})
    page.route(module, shrunk)
    upload = Uploading(page).open(site)
    folder = tmp_path / "many"
    for number in range(400):
        make(folder, f"scan {number}.txt", b"%d" % number * (500 if number == 250 else 1))
    upload.drag([folder])
    expect(upload.headline).to_have_text(re.compile(r"Uploading: \d+ of more than \d+ files done"))
    assert page.locator(".upload-summary progress").get_attribute("value") is None
    expect(upload.headline).to_have_text("399 files uploaded, 1 failed", timeout=60_000)
    expect(page.get_by_text("more done")).to_be_visible()
    expect(upload.row("scan 250.txt")).to_contain_text("Too large")
    assert site.server.get_json("/-/files/source/docs.json?_size=1")["total"] == 399
    assert page.evaluate("document.querySelector('datasette-file-upload').files.length") == 50
    upload.button("Copy all ids").click()
    expect(upload.button("Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert len(set(copied)) == 399


@pytest.mark.full
@pytest.mark.timeout(900)
def test_two_thousand_files_go_through_the_page(
    make_site: MakeSite, page: Page, tmp_path: Path
) -> None:
    site = make_site()
    folder = tmp_path / "many"
    for number in range(2000):
        make(folder, f"scan {number}.txt", b"scan %d" % number)
    upload = Uploading(page).open(site)
    begun = time.monotonic()
    upload.drag([folder])
    expect(upload.headline).to_have_text("2,000 files uploaded", timeout=600_000)
    print(f"\n2,000 files through the page: {time.monotonic() - begun:.1f} s")
    assert sorted(path.read_bytes() for path in site.stored()) == sorted(
        b"scan %d" % number for number in range(2000)
    )
    assert len(upload.element.evaluate("(element) => element.files")) == 2000
