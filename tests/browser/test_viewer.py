"""The viewer over a list, and the way from file to file on their own pages."""

from __future__ import annotations

import io
import random
import re
import sqlite3
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.conftest import OPEN
from tests.support.browser.axe import violations
from tests.support.browser.samples import SAMPLES, settle, upload_samples
from tests.support.browser.site import Site
from tests.support.browser.watch import Watch

pytestmark = pytest.mark.full

SOURCE = "/-/files/source/docs"


def fill(site: Site, number: int) -> list[dict[str, Any]]:
    return [
        site.upload(f"text {n}".encode(), f"{n}.txt", content_type="text/plain")
        for n in range(number)
    ]


def viewer(page: Page) -> Locator:
    return page.locator("dialog.files-viewer")


def title(page: Page) -> Locator:
    return viewer(page).get_by_role("heading", level=2)


def place(page: Page) -> Locator:
    return viewer(page).locator(".files-viewer-place")


def test_a_file_opens_over_its_list_and_keys_lead_on(site: Site, page: Page) -> None:
    records = fill(site, 3)
    listed = site.url(f"{SOURCE}?_sort=filename")
    page.goto(listed)
    page.evaluate("window.sameDocument = true")
    page.get_by_role("link", name="0.txt").press("Enter")
    expect(title(page)).to_have_text("0.txt")
    expect(title(page)).to_be_focused()
    expect(place(page)).to_have_text("1 of 3")
    expect(viewer(page).get_by_role("region", name="Beginning of the file")).to_have_text("text 0")
    details = viewer(page).get_by_role("region", name="Details")
    expect(details).to_contain_text(records[0]["id"])
    expect(details.locator("time")).not_to_contain_text("UTC")
    expect(page).to_have_url(site.url(records[0]["url"]))
    expect(page).to_have_title("0.txt")
    assert violations(page) == []

    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(title(page)).to_have_text("2.txt")
    expect(viewer(page).get_by_role("region", name="Beginning of the file")).to_have_text("text 2")
    expect(viewer(page).get_by_role("status")).to_have_text("2.txt, 3 of 3")
    following = viewer(page).get_by_role("button", name="Next file")
    expect(following).to_have_attribute("aria-disabled", "true")
    page.keyboard.press("ArrowRight")
    expect(title(page)).to_have_text("2.txt")
    viewer(page).get_by_role("button", name="Previous file").click()
    expect(title(page)).to_have_text("1.txt")
    expect(page).to_have_url(site.url(records[1]["url"]))

    page.keyboard.press("Escape")
    expect(viewer(page)).to_be_hidden()
    expect(page).to_have_url(listed)
    expect(page).to_have_title(re.compile("^Documents"))
    expect(page.get_by_role("link", name="1.txt")).to_be_focused()
    assert page.evaluate("window.sameDocument")


def test_back_forward_and_reload_follow_the_address(site: Site, page: Page) -> None:
    records = fill(site, 3)
    listed = site.url(f"{SOURCE}?view=grid&_sort=filename")
    page.goto(listed)
    page.locator(".files-tile img").first.click()
    expect(title(page)).to_have_text("0.txt")
    page.keyboard.press("ArrowRight")
    expect(title(page)).to_have_text("1.txt")
    page.go_back()
    expect(viewer(page)).to_be_hidden()
    expect(page).to_have_url(listed)
    page.go_forward()
    expect(title(page)).to_have_text("1.txt")
    settle(page)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("1.txt")
    expect(viewer(page)).to_have_count(0)
    # Its page knows the list too.
    way = page.get_by_role("navigation", name="Files of the list")
    expect(way).to_contain_text("2 of 3")
    settle(page)
    page.go_back()
    expect(page).to_have_url(listed)
    expect(page.locator(".files-tile")).to_have_count(3)
    settle(page)
    page.locator(".files-tile").nth(2).click()
    expect(title(page)).to_have_text("2.txt")
    viewer(page).get_by_role("link", name="Open page").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2.txt")
    expect(page).to_have_url(site.url(records[2]["url"]))
    page.go_back()
    expect(page).to_have_url(listed)
    expect(page.locator(".files-tile")).to_have_count(3)


def test_past_the_last_row_the_list_goes_on(site: Site, page: Page, watch: Watch) -> None:
    fill(site, 5)
    page.goto(site.url(f"{SOURCE}?_sort=filename&_size=2"))
    page.locator("td.files-thumbnail").nth(1).click()
    expect(place(page)).to_have_text("2 of 2+")
    page.keyboard.press("ArrowRight")
    expect(title(page)).to_have_text("2.txt")
    expect(place(page)).to_have_text("3 of 4+")
    # The list was changed by somebody meanwhile, and is fetched anew.
    page.route("**/source/docs?*", lambda route: route.abort())
    page.keyboard.press("ArrowRight")
    expect(title(page)).to_have_text("3.txt")
    page.keyboard.press("ArrowRight")
    expect(place(page)).to_contain_text("could not be fetched")
    watch.expect("ERR_FAILED", "failed: GET .*source/docs")
    page.unroute("**/source/docs?*")
    page.keyboard.press("ArrowRight")
    expect(title(page)).to_have_text("4.txt")
    expect(place(page)).to_have_text("5 of 5")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="4.txt")).to_be_focused()
    expect(page.get_by_role("link", name="4.txt")).to_be_in_viewport()
    expect(page.locator("td.files-name")).to_have_count(5)


def test_the_page_of_a_file_leads_to_its_neighbours(site: Site, open_page: OpenPage) -> None:
    fill(site, 4)
    page = open_page(viewport={"width": 390, "height": 800})
    page.goto(site.url(f"{SOURCE}?_sort=filename&_size=2"))
    page.get_by_role("link", name="1.txt").click()
    viewer(page).get_by_role("link", name="Open page").click()
    way = page.get_by_role("navigation", name="Files of the list")
    expect(way).to_contain_text("2 of 2+")
    assert violations(page) == []
    way.get_by_role("link", name="Next file").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2.txt")
    expect(way).to_contain_text("3 of 4")
    way.get_by_role("link", name="Next file").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("3.txt")
    expect(way.get_by_role("link", name="Next file")).to_have_count(0)
    way.get_by_role("link", name="Previous file").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2.txt")


def test_every_kind_of_file_is_shown_and_passes_axe(site: Site, open_page: OpenPage) -> None:
    upload_samples(site)
    for width, scheme in ((1280, "light"), (390, "dark")):
        page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        page.goto(site.url(f"{SOURCE}?view=grid&_sort=created_at"))
        settle(page)
        page.locator(".files-tile").first.click()
        for kind in [*SAMPLES, "text"]:
            shown = viewer(page).locator(".files-preview")
            expect(shown).to_have_attribute(
                "class", re.compile(f"files-preview-({kind}|code|picture|icon)$")
            )
            shown.locator("img").evaluate_all(
                "(all) => Promise.allSettled(all.map((image) => image.decode()))"
            )
            box = shown.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            assert violations(page) == [], kind
            if kind == "pdf":
                # A page of its own in its frame, whose policy lets nothing run.
                expect(shown.locator("iframe")).to_have_attribute("src", re.compile("/inline/"))
            # The frame of a PDF is left once the browser's viewer is in it.
            framed = page.expect_event(
                "requestfinished",
                lambda request: request.url.startswith("chrome-extension:"),
            )
            with framed if kind == "video" else nullcontext():
                page.keyboard.press("ArrowRight")
        viewer(page).get_by_role("button", name="Details").click()
        viewer(page).get_by_role("button", name="Close").click()
        expect(viewer(page)).to_be_hidden()


def picture(site: Site) -> dict[str, Any]:
    """A large picture, of which a smaller one is made for the screen."""
    noise = Image.frombytes("RGB", (1000, 750), random.Random(1).randbytes(1000 * 750 * 3))
    out = io.BytesIO()
    noise.save(out, "PNG")
    return site.upload(out.getvalue(), "large.png", content_type="image/png")


_SCALE = "(image) => new DOMMatrix(getComputedStyle(image).transform).a"


def scale(page: Page) -> float:
    found: float = viewer(page).locator(".files-preview img").evaluate(_SCALE)
    return found


def test_a_picture_is_enlarged_moved_and_then_whole(site: Site, page: Page) -> None:
    picture(site)
    page.goto(site.url(SOURCE))
    page.get_by_role("link", name="large.png").click()
    image = viewer(page).locator(".files-preview img")
    expect(image).to_have_attribute("alt", "large.png")
    settle(page)
    assert scale(page) == 1
    viewer(page).get_by_role("button", name="Zoom in").click()
    assert scale(page) == 1.5
    # Enlarged, the file itself is shown.
    expect(image).to_have_attribute("src", re.compile("/inline/large.png$"))
    page.keyboard.press("-")
    assert scale(page) == 1
    box = viewer(page).locator(".files-viewer-stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.wheel(0, -300)
    page.wait_for_function(f"({_SCALE})(document.querySelector('dialog .files-preview img')) > 1")
    page.mouse.dblclick(x, y)
    assert scale(page) == 1
    page.mouse.dblclick(x, y)
    assert scale(page) == 2.5
    before = image.bounding_box()
    page.mouse.down()
    page.mouse.move(x + 60, y, steps=3)
    page.mouse.up()
    after = image.bounding_box()
    assert before is not None
    assert after is not None
    assert after["x"] == pytest.approx(before["x"] + 60, abs=1)
    page.keyboard.press("0")
    assert scale(page) == 1
    expect(title(page)).to_have_text("large.png")


SWIPE = """([stage, from, to]) => {
    const at = (type, x) => stage.dispatchEvent(new PointerEvent(type, {
        bubbles: true, pointerId: 1, pointerType: "touch", clientX: x, clientY: 300}));
    at("pointerdown", from);
    at("pointermove", (from + to) / 2);
    at("pointerup", to);
}"""


def test_a_finger_turns_to_the_next_file(site: Site, open_page: OpenPage) -> None:
    fill(site, 2)
    page = open_page(viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True)
    page.goto(site.url(f"{SOURCE}?_sort=filename"))
    page.get_by_role("link", name="0.txt").tap()
    expect(title(page)).to_have_text("0.txt")
    stage = viewer(page).locator(".files-viewer-stage")
    for start, end, name in ((300, 60, "1.txt"), (60, 300, "0.txt"), (200, 180, "0.txt")):
        page.evaluate(SWIPE, [stage.element_handle(), start, end])
        expect(title(page)).to_have_text(name)


def test_what_is_not_for_the_viewer_is_left_alone(site: Site, page: Page, watch: Watch) -> None:
    records = fill(site, 2)
    page.goto(site.url(SOURCE))
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="1.txt").click(modifiers=["ControlOrMeta"])
    expect(opened.value).to_have_url(site.url(records[1]["url"]))
    opened.value.close()
    page.get_by_role("link", name="1.txt").click(modifiers=["Shift"])
    expect(page.locator("[data-files-chosen]")).to_have_text("1 chosen")
    expect(viewer(page)).to_have_count(0)
    # A file that was deleted meanwhile says so, and the others are reached.
    page.keyboard.press("Escape")
    page.request.post(site.url(records[0]["url"]) + "/-/delete")
    watch.expect("404")
    page.get_by_role("link", name="0.txt").click()
    expect(viewer(page).get_by_role("alert")).to_contain_text("No longer there")
    page.keyboard.press("ArrowLeft")
    expect(title(page)).to_have_text("1.txt")


def test_without_scripts_a_file_and_its_picture_are_links(site: Site, open_page: OpenPage) -> None:
    (record,) = fill(site, 1)
    page = open_page(java_script_enabled=False)
    for target in ("td.files-name a", "td.files-thumbnail a"):
        page.goto(site.url(SOURCE))
        page.locator(target).click()
        expect(page).to_have_url(site.url(record["url"]))


def test_the_gallery_of_a_table_opens_files_too(
    make_site: MakeSite, page: Page, tmp_path: Path
) -> None:
    path = tmp_path / "data.db"
    conn = sqlite3.connect(path, isolation_level=None)
    conn.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, file TEXT)")
    types = {"data": {"tables": {"notes": {"column_types": {"file": "file"}, "size": 2}}}}
    site = make_site(databases=[path], permissions=OPEN, config={"databases": types})
    for record in fill(site, 3):
        conn.execute("INSERT INTO notes (file) VALUES (?)", (record["id"],))
    conn.close()
    page.goto(site.url("/data/notes.gallery"))
    page.locator(".files-tile").nth(1).click()
    expect(place(page)).to_have_text("2 of 2+")
    page.keyboard.press("ArrowRight")
    expect(title(page)).to_have_text("2.txt")
    expect(place(page)).to_have_text("3 of 3")
    page.keyboard.press("Escape")
    expect(page).to_have_url(site.url("/data/notes.gallery"))
