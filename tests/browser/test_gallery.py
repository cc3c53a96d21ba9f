"""Lists as a grid of thumbnails, and pictures on a file's page."""

from __future__ import annotations

import io
import random
import re

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import OpenPage
from tests.browser.test_manners import _SHIFTS
from tests.conftest import missing
from tests.support.browser.axe import violations
from tests.support.browser.samples import settle, upload_samples
from tests.support.browser.site import Site
from tests.support.fixtures import fixture

pytestmark = pytest.mark.full

SOURCE = "/-/files/source/docs"
GRID = f"{SOURCE}?view=grid"


def fill(site: Site, number: int = 8) -> None:
    for index in range(number):
        file = fixture(f"photos/orientation-{1 + index % 8}.jpg")
        site.upload(file.path.read_bytes(), f"photo {index}.jpg", content_type="image/jpeg")


def shown(page: Page) -> list[str]:
    return page.locator(".files-tile-name").all_inner_texts()


@pytest.mark.full
def test_a_source_is_a_grid_at_a_click_and_a_list_again(site: Site, page: Page) -> None:
    upload_samples(site)
    page.goto(site.url(SOURCE))
    settle(page)
    page.get_by_role("link", name="Grid").click()
    expect(page).to_have_url(site.url(GRID))
    expect(page.get_by_role("link", name="Grid")).to_have_attribute("aria-current", "true")
    assert len(shown(page)) == 8
    expect(page.get_by_role("table")).to_have_count(0)
    pictures = page.locator(".files-tile img")
    settle(page)
    sizes = pictures.evaluate_all("(all) => all.map((image) => image.naturalWidth)")
    assert all(size > 0 for size in sizes)
    page.get_by_role("link", name="List").click()
    expect(page).to_have_url(site.url(f"{SOURCE}?view=list"))
    expect(page.get_by_role("table")).to_be_visible()


#: How far from the left of a picture's box the first of it is seen, as a share of the width.
_MARGIN = """(image) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 200;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, 200, 200);
    const { data } = context.getImageData(0, 0, 200, 200);
    const all = [...Array(200).keys()];
    return all.findIndex((x) => all.some((y) => data[(y * 200 + x) * 4 + 3])) / 200;
}"""


def test_icons_are_of_one_size_and_white_pages_have_an_edge(site: Site, page: Page) -> None:
    for name in ("odd/claims-50000x50000.png", "odd/nuls.bin", "documents/one-page.pdf"):
        file = fixture(name)
        site.upload(file.path.read_bytes(), file.path.name, content_type=file.content_type)
    page.goto(site.url(GRID))
    settle(page)
    margins = {
        name: page.locator(".files-tile", has_text=name).locator("img").evaluate(_MARGIN)
        for name in ("claims-50000x50000.png", "nuls.bin")
    }
    assert len(set(margins.values())) == 1
    assert min(margins.values()) > 0.25
    pdf = page.locator(".files-tile", has_text="one-page.pdf").locator("img")
    if "svg" in page.request.get(pdf.evaluate("(image) => image.src")).headers["content-type"]:
        missing("pypdfium2")
    page.goto(site.url(SOURCE + "?view=list"))
    settle(page)
    row = page.get_by_role("row", name="one-page.pdf").locator("img")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        shot = Image.open(io.BytesIO(row.screenshot())).convert("L")
        line = [shot.getpixel((x, 20)) for x in range(40)]
        inside = line.index(255)
        assert 0 < inside < 10
        # Darker than both sides on a light page, lighter than the page on a dark one.
        edge, around = line[inside - 1], line[0]
        assert edge < min(around, 255) - 20 if scheme == "light" else edge > around + 5


def test_search_filters_and_order_keep_the_grid(site: Site, page: Page) -> None:
    upload_samples(site)
    page.goto(site.url(GRID))
    page.get_by_label("Order").select_option(label="Name, A to Z")
    expect(page.locator(".files-tile-name").nth(1)).to_have_text("clip.webm")
    page.get_by_role("combobox", name="Type", exact=True).select_option(label="Audio (1)")
    expect(page.locator(".files-tile-name")).to_have_text(["tone.mp3"])
    page.get_by_role("link", name="Clear filters").click()
    expect(page).to_have_url(site.url(GRID))
    box = page.get_by_role("searchbox")
    box.fill("phone")
    expect(page.locator("#files-count")).to_have_text("1 of 8 files matches “phone”.")
    assert shown(page) == ["phone.jpg"]
    box.fill("")
    expect(page.locator("#files-count")).to_contain_text("8 files, ")
    assert len(shown(page)) == 8
    assert page.url == site.url(GRID)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/live-search.js*", hold)
    page.goto(site.url(GRID), wait_until="commit")
    box.fill("phone")
    while not held:
        page.wait_for_timeout(10)
    held.pop().continue_()
    expect(page.locator("#files-count")).to_have_text("1 of 8 files matches “phone”.")


@pytest.mark.full
def test_a_grid_needs_no_script(site: Site, open_page: OpenPage) -> None:
    upload_samples(site)
    page = open_page(java_script_enabled=False)
    page.goto(site.url(f"{SOURCE}?_size=3"))
    page.get_by_role("link", name="Grid").click()
    assert len(shown(page)) == 3
    page.get_by_role("link", name="Next page").click()
    assert len(shown(page)) == 3
    page.get_by_role("searchbox").fill("phone")
    page.get_by_role("button", name="Search").click()
    assert shown(page) == ["phone.jpg"]
    page.get_by_role("link", name="phone.jpg").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("phone.jpg")


@pytest.mark.parametrize("width", [320, pytest.param(1600, marks=pytest.mark.full)])
def test_a_grid_fits_and_stands_still_while_it_loads(
    site: Site, open_page: OpenPage, width: int
) -> None:
    upload_samples(site)
    page = open_page(viewport={"width": width, "height": 700})
    for path in (GRID, "/-/files/search?view=grid"):
        page.goto(site.url(path))
        assert page.evaluate(_SHIFTS) < 0.02
        settle(page)
        assert page.evaluate(_SHIFTS) < 0.02
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        tops = page.locator(".files-tile").evaluate_all(
            "(all) => all.map((tile) => tile.getBoundingClientRect().top)"
        )
        columns = tops.count(tops[0])
        assert columns == 2 if width == 320 else columns >= 6


@pytest.mark.full
def test_pictures_out_of_sight_are_not_fetched(site: Site, open_page: OpenPage) -> None:
    fill(site, 60)
    page = open_page(viewport={"width": 320, "height": 300})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.url(GRID))
    page.wait_for_load_state("networkidle")
    near = [url for url in asked if "/thumbnail" in url]
    assert 0 < len(near) < 60


@pytest.mark.parametrize("scheme", [pytest.param("light", marks=pytest.mark.full), "dark"])
def test_a_grid_passes_axe(site: Site, open_page: OpenPage, scheme: str) -> None:
    upload_samples(site)
    page = open_page(color_scheme=scheme)
    for path in (GRID, "/-/files/search?view=grid&q=phone"):
        page.goto(site.url(path))
        assert violations(page) == []
        settle(page)


@pytest.mark.full
def test_a_screen_of_twice_the_pixels_has_pictures_of_twice_the_size(
    site: Site, open_page: OpenPage
) -> None:
    fill(site, 1)
    page = open_page(device_scale_factor=2)
    page.goto(site.url(GRID))
    settle(page)
    image = page.locator(".files-tile img")
    assert image.evaluate("(image) => image.currentSrc").endswith("/thumbnail?w=400")


def test_a_large_image_is_shown_at_the_screens_size(site: Site, page: Page) -> None:
    noise = Image.frombytes("RGB", (1000, 750), random.Random(1).randbytes(1000 * 750 * 3))
    out = io.BytesIO()
    noise.save(out, "PNG")
    record = site.upload(out.getvalue(), "large.png", content_type="image/png")
    page.goto(site.server.url + record["url"])
    image = page.locator(".files-preview img")
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") >= 800
    assert re.search(r"/thumbnail\?w=(800|1600)$", image.evaluate("(image) => image.currentSrc"))
    expect(image).to_have_attribute("alt", "large.png")
    assert violations(page) == []


def test_an_image_that_no_browser_shows_is_shown(site: Site, page: Page) -> None:
    file = fixture("photos/still.tiff")
    record = site.upload(file.path.read_bytes(), "still.tiff", content_type="image/tiff")
    page.goto(site.server.url + record["url"])
    image = page.locator(".files-preview img")
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 160


def test_members_of_an_archive_and_code_can_be_read(site: Site, page: Page) -> None:
    file = fixture("archives/two-files.zip")
    record = site.upload(file.path.read_bytes(), "two.zip", content_type="application/zip")
    page.goto(site.server.url + record["url"])
    members = page.get_by_role("region", name="Members of the archive")
    expect(members.get_by_role("row")).to_have_count(3)
    expect(page.locator(".files-preview .files-note")).to_contain_text("2 members.")
    assert violations(page) == []
    record = site.upload(b'{"a":{"b":1}}', "a.json", content_type="application/json")
    page.goto(site.server.url + record["url"])
    expect(page.locator(".files-preview code")).to_have_text('{\n  "a": {\n    "b": 1\n  }\n}')
