"""Every page of ours is accessible in both schemes, at any width, under any
prefix, without scripts, by keyboard, and standing still."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.support.browser.axe import violations
from tests.support.browser.samples import pages, settle, upload_sample, upload_samples
from tests.support.browser.site import Site

pytestmark = pytest.mark.full

_SHIFTS = """() => new Promise((resolve) => {
    let sum = 0;
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) sum += entry.value;
    }).observe({type: "layout-shift", buffered: true});
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => resolve(sum))));
})"""


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (320, "light"),
        pytest.param(390, "dark", marks=pytest.mark.full),
        pytest.param(800, "light", marks=pytest.mark.full),
        pytest.param(1280, "dark", marks=pytest.mark.full),
        pytest.param(1600, "light", marks=pytest.mark.full),
    ],
)
def test_every_page_stands_still_fits_the_screen_and_passes_axe(
    site: Site, open_page: OpenPage, width: int, scheme: str
) -> None:
    page = open_page(color_scheme=scheme, viewport={"width": width, "height": 700})
    found: dict[str, list[str]] = {}
    for name, path in pages(upload_samples(site)).items():
        page.goto(site.url(path))
        wrong = []
        if (moved := page.evaluate(_SHIFTS)) > 0.02:
            wrong.append(f"content moved: a layout shift of {moved:.3f}")
        if (over := page.evaluate("document.documentElement.scrollWidth - innerWidth")) > 0:
            wrong.append(f"{over} pixels wider than the screen")
        wrong += violations(page)
        if wrong:
            found[name] = wrong
        settle(page)
    assert found == {}


def test_the_dark_scheme_is_dark(site: Site, open_page: OpenPage) -> None:
    page = open_page(color_scheme="dark")
    page.goto(site.url("/-/files"))
    expect(page.locator("body")).to_have_css("background-color", "rgb(20, 23, 28)")
    # Datasette's own pages have no dark scheme, so nothing of ours may be dark in them.
    page.goto(site.url("/-/versions"))
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "normal"


@pytest.mark.full
def test_pages_work_below_a_prefix(make_site: MakeSite, page: Page) -> None:
    site = make_site(base_url="/a/prefix/")
    records = upload_samples(site)
    for path in pages(records).values():
        page.goto(site.url(path))
        outside = page.eval_on_selector_all(
            "main :is([href], [src], [action])",
            """(elements) => elements
                .map((e) => ["href", "src", "action"].map((name) => e.getAttribute(name)))
                .map((found) => new URL(found.find((one) => one !== null), location.href))
                .filter((url) => !url.pathname.startsWith("/a/prefix/"))""",
        )
        assert outside == []
        settle(page)
    page.goto(site.url("/-/files/source/docs"))
    settle(page)
    page.get_by_role("searchbox").fill("tower")
    expect(page.locator("#files-count")).to_have_text("1 of 8 files matches “tower”.")
    assert page.url.startswith(site.url("/-/files/source/docs?"))
    page.get_by_role("link", name="towers.csv").click()
    expect(page).to_have_url(site.url(f"/-/files/{records['table']['id']}"))
    page.get_by_role("link", name="Open page").click()
    page.get_by_role("button", name="Delete file…").click()
    page.get_by_role("button", name="Delete file", exact=True).click()
    expect(page).to_have_url(site.url("/-/files/source/docs"))


def test_pages_are_whole_without_scripts(site: Site, open_page: OpenPage) -> None:
    page = open_page(java_script_enabled=False)
    records = upload_samples(site)
    page.goto(site.url("/-/files"))
    page.get_by_role("link", name="Documents", exact=True).click()
    page.get_by_role("combobox", name="Type", exact=True).select_option(label="Audio (1)")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.locator("#files-count")).to_have_text("1 of 8 files matches.")
    page.get_by_role("combobox", name="Type", exact=True).select_option(label="All types")
    page.get_by_role("searchbox").fill("phone")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="phone.jpg").click()
    expect(page).to_have_url(site.url(f"/-/files/{records['image']['id']}"))
    expect(page.get_by_role("button", name=re.compile("^Copy"))).to_have_count(0)
    expect(page.locator("time")).to_contain_text("UTC")
    page.get_by_label("Search text").fill("a tower at dawn")
    page.get_by_role("button", name="Save search text").click()
    expect(page.get_by_label("Search text")).to_have_value("a tower at dawn")
    page.get_by_text("Delete file…").click()
    page.get_by_role("button", name="Delete file", exact=True).click()
    expect(page.locator(".message-info")).to_have_text("Deleted phone.jpg")


def test_hostile_names_are_shown_as_text(site: Site, page: Page) -> None:
    record = upload_samples(site)["hostile"]
    page.goto(site.url("/-/files/source/docs"))
    link = page.locator(f'.files-name a[href="{record["url"]}"]')
    # A mark stands where the direction would change, by which the name would look like another.
    shown = record["filename"].replace("\u202e", "\ufffd")
    assert link.inner_text() == shown
    # However long, a row among rows.
    assert page.locator("tbody tr").first.bounding_box()["height"] < 100  # type: ignore[index]
    settle(page)
    link.click()
    expect(page.get_by_role("dialog")).to_have_accessible_name(re.sub(r"\s+", " ", shown))
    page.get_by_role("link", name="Open page").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(shown)
    expect(page.locator("main script")).to_have_count(0)
    expect(page.locator(".files-preview code")).to_have_text("<b>text</b>")


def test_paper_has_what_can_be_read(site: Site, page: Page) -> None:
    record = upload_sample(site, "text")
    page.goto(site.url(record["url"]))
    page.emulate_media(media="print")
    expect(page.locator("dl")).to_contain_text(record["id"])
    expect(page.locator("main :is(button, textarea)").filter(visible=True)).to_have_count(0)


def test_the_keyboard_reaches_everything_and_its_place_is_seen(site: Site, page: Page) -> None:
    records = upload_samples(site)
    for path in ("/-/files", "/-/files/source/docs", f"/-/files/{records['text']['id']}"):
        page.goto(site.url(path))
        page.evaluate("document.querySelector('main').setAttribute('tabindex', '-1')")
        page.locator("main").focus()
        settle(page)
        unreached = page.evaluate("""() => {
            const all = document.querySelectorAll(
                "main :is(a[href], button, input:not([type=hidden]), select, textarea, summary)"
                + ":not([tabindex='-1'])");
            window.left = new Set([...all].filter((e) => e.checkVisibility()));
            return window.left.size;
        }""")
        assert unreached > 3
        unseen = []
        # A date field has several stops.
        for _ in range(unreached * 4):
            page.keyboard.press("Tab")
            outline = page.evaluate("""() => {
                const here = document.activeElement;
                window.left.delete(here);
                return here.closest("main") ? getComputedStyle(here).outlineWidth : "outside";
            }""")
            if outline == "outside":
                break
            if outline == "0px":
                unseen.append(page.evaluate("document.activeElement.outerHTML"))
        assert page.evaluate("[...window.left].map((e) => e.outerHTML)") == []
        assert unseen == []
