"""A source's page and search: answering while one types, filtering, sorting, paging, failing."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.support.browser.samples import settle, upload_samples
from tests.support.browser.site import Site
from tests.support.browser.uploading import Uploading
from tests.support.browser.watch import Watch

pytestmark = pytest.mark.full

SOURCE = "/-/files/source/docs"


@pytest.fixture
def filled(site: Site) -> Site:
    upload_samples(site)
    return site


def next_page(page: Page) -> str:
    """The address that a tab of its own, or a browser without scripts, opens."""
    return page.locator("a[rel=next]").get_attribute("href") or ""


def names(page: Page) -> list[str]:
    return page.locator("td.files-name").all_inner_texts()


def test_results_follow_what_is_typed_and_the_box_is_left_alone(filled: Site, page: Page) -> None:
    page.goto(filled.url(SOURCE))
    page.evaluate("window.sameDocument = true")
    box = page.get_by_role("searchbox")
    box.press_sequentially("towers")
    expect(page.locator("#files-count")).to_have_text("1 of 8 files matches “towers”.")
    assert names(page) == ["towers.csv"]
    assert page.url == filled.url(f"{SOURCE}?q=towers")
    # Where the caret was, typing goes on.
    box.press("ArrowLeft")
    box.press_sequentially("x")
    expect(page.locator(".files-empty")).to_contain_text("No file matches")
    expect(box).to_be_focused()
    expect(box).to_have_value("towerxs")
    assert page.evaluate("window.sameDocument")
    # What the URL leads to is what is shown.
    settle(page)
    page.reload()
    expect(page.locator(".files-empty")).to_contain_text("No file matches")
    expect(page.get_by_role("searchbox")).to_have_value("towerxs")


@pytest.mark.full
def test_a_search_and_filters_narrow_together(filled: Site, page: Page) -> None:
    page.goto(filled.url(SOURCE))
    box = page.get_by_role("searchbox")
    box.fill("phone")
    expect(page.locator("#files-count")).to_have_text("1 of 8 files matches “phone”.")
    box.fill("")
    expect(page.locator("#files-count")).to_contain_text("8 files, ")
    assert page.url == filled.url(SOURCE)
    page.get_by_role("combobox", name="Type", exact=True).select_option(label="Audio (1)")
    expect(page.locator("#files-count")).to_have_text("1 of 8 files matches.")
    filtered = page.url
    box.fill("phone")
    expect(page.locator("#files-count")).to_have_text("0 of 8 files match “phone”.")
    box.fill("")
    expect(page.locator("#files-count")).to_have_text("1 of 8 files matches.")
    assert page.url == filtered


def test_results_are_announced_once_they_are_there(filled: Site, page: Page) -> None:
    page.goto(filled.url("/-/files/search"))
    status = page.locator("#files-announced")
    expect(status).to_be_empty()
    page.get_by_role("searchbox").fill("phone")
    expect(status).to_have_text("1 file for “phone”")
    page.get_by_role("searchbox").fill("phone zebra")
    expect(status).to_contain_text("No file matches")


def test_an_answer_that_comes_late_is_not_shown(filled: Site, page: Page) -> None:
    page.route("**/search?*q=phone*", lambda route: None)  # never answered
    page.goto(filled.url("/-/files/search"))
    page.get_by_label("In source").select_option("docs")
    expect(page.locator("#files-count")).to_have_text("8 files")
    box = page.get_by_role("searchbox")
    with page.expect_request("**/search?*q=phone*"):
        box.fill("phone")
    expect(page.locator("#files-results")).to_have_attribute("aria-busy", "true")
    box.fill("tone")
    expect(page.locator("#files-count")).to_have_text("1 file for “tone”")
    expect(page.locator("#files-results")).not_to_have_attribute("aria-busy", "true")
    assert names(page) == ["tone.mp3"]


def test_no_connection_says_so_and_can_be_tried_again(
    filled: Site, page: Page, watch: Watch
) -> None:
    watch.expect("ERR_FAILED", "failed: GET .*q=phone")
    page.goto(filled.url("/-/files/search"))
    page.route("**/search?*", lambda route: route.abort())
    page.get_by_role("searchbox").fill("phone")
    expect(page.get_by_role("alert")).to_contain_text("Check your connection")
    page.unroute("**/search?*")
    page.get_by_role("button", name="Try again").press("Enter")
    expect(page.locator("#files-count")).to_have_text("1 file for “phone”")
    expect(page.locator("#files-results")).to_be_focused()


@pytest.mark.full
def test_who_was_signed_out_is_told(filled: Site, page: Page, watch: Watch) -> None:
    watch.expect("403")
    page.goto(filled.url("/-/files/search"))
    page.route("**/search?*", lambda route: route.fulfill(status=403, body="<h1>Forbidden</h1>"))
    page.get_by_role("searchbox").fill("phone")
    expect(page.get_by_role("alert")).to_contain_text("Sign in again")


def test_what_the_server_refuses_is_told_in_its_words(
    filled: Site, page: Page, watch: Watch
) -> None:
    watch.expect("400")
    page.goto(filled.url("/-/files/search"))
    page.get_by_role("searchbox").fill(" ".join("abcdefghijklmnopqrstu"))
    expect(page.get_by_role("alert")).to_have_text("q has more than 20 words; shorten it")
    expect(page.locator("#files-announced")).to_be_empty()
    page.get_by_role("searchbox").fill("phone")
    expect(page.locator("#files-count")).to_have_text("1 file for “phone”")


def test_filters_apply_as_they_are_chosen(filled: Site, page: Page) -> None:
    page.goto(filled.url(SOURCE))
    page.get_by_role("combobox", name="Type", exact=True).select_option(label="Audio (1)")
    expect(page.locator("#files-count")).to_have_text("1 of 8 files matches.")
    assert names(page) == ["tone.mp3"]
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Exact type").fill("application/pdf")
    expect(page.locator("#files-count")).to_have_text("2 of 8 files match.")
    page.get_by_label("Added from").fill("2999-01-01")
    expect(page.locator(".files-empty")).to_contain_text("No file matches these filters.")
    settle(page)
    page.reload()
    expect(page.get_by_label("Added from")).to_have_value("2999-01-01")
    expect(page.get_by_label("Exact type")).to_have_value("application/pdf")
    settle(page)
    page.get_by_role("link", name="Clear filters").click()
    expect(page).to_have_url(filled.url(SOURCE))
    assert len(names(page)) == 8


@pytest.mark.full
def test_a_heading_sorts_by_its_column_and_says_so(filled: Site, page: Page) -> None:
    page.goto(filled.url(SOURCE))
    size = page.get_by_role("columnheader", name="Size")
    expect(size).not_to_have_attribute("aria-sort", re.compile("."))
    for order in ("descending", "ascending"):
        settle(page)
        size.get_by_role("link").press("Enter")
        expect(size).to_have_attribute("aria-sort", order)
        sizes = page.locator("td.files-number data").evaluate_all(
            "(all) => all.map((e) => +e.value)"
        )
        assert sizes == sorted(sizes, reverse=order == "descending")
    # A filter keeps the order.
    page.get_by_role("combobox", name="Type", exact=True).select_option(label="Images (1)")
    expect(page.locator("#files-count")).to_have_text("1 of 8 files matches.")
    expect(size).to_have_attribute("aria-sort", "ascending")


def test_a_phone_sorts_by_a_choice_and_rows_stay_a_table(filled: Site, open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 390, "height": 800})
    page.goto(filled.url(SOURCE))
    expect(page.get_by_role("link", name="Size")).not_to_be_in_viewport()
    page.get_by_label("Order").select_option(label="Name, A to Z")
    expect(page.locator("td.files-name").nth(1)).to_have_text("clip.webm")
    assert names(page)[1:] == sorted(names(page)[1:])
    expect(page.get_by_role("row")).to_have_count(9)
    expect(page.get_by_role("cell", name="clip.webm", exact=True)).to_be_visible()
    # As in a window on a desktop, at 200 percent: where the keyboard is, is seen.
    page.get_by_role("link", name="Size").focus()
    expect(page.get_by_role("link", name="Size")).to_be_in_viewport(ratio=1)


def test_pages_go_on_and_back(site: Site, page: Page) -> None:
    for number in range(5):
        site.upload(b"x" * number, f"{number}.txt", content_type="text/plain")
    page.goto(site.url(f"{SOURCE}?_size=2&_sort=filename"))
    seen = names(page)
    settle(page)
    page.goto(site.server.url + next_page(page))
    expect(page.locator("td.files-name").first).to_have_text("2.txt")
    stable = page.url
    settle(page)
    page.goto(site.server.url + next_page(page))
    expect(page.locator("td.files-name")).to_have_text(["4.txt"])
    expect(page.locator("a[rel=next]")).to_have_count(0)
    settle(page)
    page.go_back()
    expect(page).to_have_url(stable)
    expect(page.locator("td.files-name").first).to_have_text("2.txt")
    settle(page)
    page.get_by_role("link", name="First page").click()
    expect(page.locator("td.files-name")).to_have_text(seen)


@pytest.mark.full
def test_times_are_the_readers_and_sizes_are_exact_on_hover(
    site: Site, open_page: OpenPage
) -> None:
    page = open_page(timezone_id="Asia/Tokyo", locale="en-GB")
    site.upload(b"x" * 2048, "a.txt", content_type="text/plain")
    written = site.files()[0]["created_at"]
    for path in (SOURCE, "/-/files/search", site.files()[0]["url"]):
        page.goto(site.url(path))
        time = page.locator("time")
        expect(time).to_have_text(re.compile(r"^(just now|\d+ minutes? ago)$"))
        expect(time).to_have_attribute("title", re.compile(rf"GMT\+9 \({written} UTC\)$"))
        expect(page.locator("data").last).to_have_attribute("title", "2,048 bytes")
        expect(page.locator("data").last).to_have_text("2.0 KB")
        settle(page)
    page.goto(site.url(SOURCE))
    page.get_by_role("searchbox").fill("a")
    expect(page.locator("#files-count")).to_have_text("1 of 1 file matches “a”.")
    expect(page.locator("time")).to_have_text(re.compile("ago|now"))
    settle(page)
    # The day before yesterday, by most clocks.
    page.clock.set_fixed_time(datetime.fromisoformat(f"{written}Z") + timedelta(hours=47))
    page.reload()
    expect(page.locator("time")).to_have_text("1 day ago")


def test_files_dropped_on_a_sources_page_join_its_list(
    filled: Site, page: Page, tmp_path: Path
) -> None:
    dropped = tmp_path / "dropped.txt"
    dropped.write_text("dropped")
    page.goto(filled.url(f"{SOURCE}?_sort=filename"))
    uploading = Uploading(page)
    expect(uploading.element).to_be_hidden()
    uploading.drag([dropped], target="main")
    expect(uploading.element).to_be_visible()
    expect(page.locator("#files-count")).to_contain_text("9 files, ")
    assert "dropped.txt" in names(page)
    assert page.url == filled.url(f"{SOURCE}?_sort=filename")


def test_an_empty_source_offers_its_upload(site: Site, page: Page, tmp_path: Path) -> None:
    first = tmp_path / "first.txt"
    first.write_text("first")
    page.goto(site.url(SOURCE))
    expect(page.locator(".files-empty")).to_contain_text("Upload the first ones above")
    Uploading(page).choose(first)
    expect(page.locator("td.files-name")).to_have_text(["first.txt"])
