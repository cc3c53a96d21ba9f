"""One file's page: its preview, copying, search text, actions and deletion."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import OpenPage
from tests.support.browser.axe import violations
from tests.support.browser.samples import settle, upload_sample
from tests.support.browser.site import Site
from tests.support.browser.watch import Watch

pytestmark = pytest.mark.full


def visit(site: Site, page: Page, record: dict[str, Any]) -> None:
    page.goto(site.server.url + record["url"])


# Previews


def test_an_image_is_shown_whole(site: Site, page: Page) -> None:
    visit(site, page, upload_sample(site, "image"))
    image = page.locator(".files-preview img")
    expect(image).to_have_attribute("alt", "phone.jpg")
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0
    box = image.bounding_box()
    assert box is not None
    assert box["height"] <= 900


def test_an_image_that_cannot_be_shown_is_an_icon(site: Site, page: Page) -> None:
    damaged = b"\x89PNG\r\n\x1a\n" + b"no chunk" * 20
    visit(site, page, site.upload(damaged, "damaged.png", content_type="image/png"))
    expect(page.locator(".files-preview [role=status]")).to_contain_text("cannot be shown")
    expect(page.locator(".files-preview img")).to_have_attribute("src", re.compile("/thumbnail$"))


def seek(player: Locator) -> float:
    """Play from the middle; the seconds that were reached."""
    reached: float = player.evaluate("""(player) => new Promise((resolve, reject) => {
        player.addEventListener("seeked", () => resolve(player.currentTime));
        player.addEventListener("error", () => reject(player.error.message));
        const seek = () => { player.currentTime = player.duration / 2; };
        if (player.readyState > 0) seek();
        else player.addEventListener("loadedmetadata", seek);
    })""")
    return reached


@pytest.mark.parametrize("kind", [pytest.param("audio", marks=pytest.mark.full), "video"])
@pytest.mark.full
def test_a_recording_that_cannot_be_played_says_so(site: Site, page: Page, kind: str) -> None:
    visit(
        site, page, site.upload(b"\x00\xff\x01\xfe" * 40, f"a.{kind}", content_type=f"{kind}/mp4")
    )
    expect(page.locator(".files-preview [role=status]")).to_contain_text("cannot be shown")
    expect(page.locator(".files-preview :is(audio, video)")).to_have_count(0)
    expect(page.locator(".files-preview img")).to_have_attribute("src", re.compile("/thumbnail$"))


@pytest.mark.parametrize("kind", [pytest.param("audio", marks=pytest.mark.full), "video"])
def test_sound_and_pictures_play_from_where_one_seeks(site: Site, page: Page, kind: str) -> None:
    record = upload_sample(site, kind)
    with page.expect_response(f"**{record['url']}/inline") as answered:
        visit(site, page, record)
    assert answered.value.status == 206
    player = page.locator(f".files-preview {kind}")
    expect(player).to_have_accessible_name(record["filename"])
    assert seek(player) > 0.1


def test_a_pdf_is_shown_by_the_browsers_viewer(site: Site, page: Page) -> None:
    record = upload_sample(site, "pdf")
    path = f"{record['url']}/inline"
    viewer = page.expect_event(
        "requestfinished",
        lambda request: re.match("chrome-extension://[a-z]+/index.html", request.url) is not None,
    )
    with page.expect_response(f"**{path}") as answered, viewer:
        visit(site, page, record)
    assert answered.value.status == 200
    expect(page.locator("iframe")).to_have_attribute("title", "one-page.pdf")
    settle(page)


def test_the_head_of_a_text_is_shown_as_text(site: Site, page: Page) -> None:
    text = "<script>alert(1)</script> größe\n" * 200
    visit(site, page, site.upload(text.encode(), "a.txt", content_type="text/plain"))
    shown = page.get_by_role("region", name="Beginning of the file")
    expect(shown).to_contain_text("<script>alert(1)</script> größe")
    assert shown.inner_text().count("\n") <= 100
    expect(page.locator(".files-preview .files-note")).to_have_text("The beginning of 6.6 KB.")


def test_the_head_of_a_table_is_shown_as_a_table(site: Site, page: Page) -> None:
    visit(site, page, upload_sample(site, "table"))
    expect(page.get_by_role("columnheader", name="city")).to_be_visible()
    expect(page.get_by_role("cell", name="Kölner Dom")).to_be_visible()


def test_bytes_of_no_known_kind_have_an_icon(site: Site, page: Page) -> None:
    visit(site, page, upload_sample(site, "binary"))
    icon = page.locator(".files-preview img")
    assert icon.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 200
    expect(page.get_by_role("link", name="Open")).to_have_count(0)


# Copying


@pytest.mark.parametrize(
    "clipboard",
    [pytest.param(True, marks=pytest.mark.full), False],
    ids=["clipboard", "plain HTTP"],
)
def test_buttons_copy_and_say_so(site: Site, open_page: OpenPage, clipboard: bool) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    if not clipboard:
        page.add_init_script(
            "Object.defineProperty(navigator, 'clipboard', {value: undefined, configurable: true})"
        )
    record = upload_sample(site, "image")
    visit(site, page, record)
    link = site.server.url + record["url"]
    page.locator(".files-copies > summary").press("Enter")
    for label, text in {
        "id": record["id"],
        "link": link,
        "Markdown": f"![phone\\.jpg]({link}/inline)",
        "curl": "curl --location --remote-name --remote-header-name " + link + "/download",
    }.items():
        button = page.get_by_role("button", name=f"Copy {label}")
        button.press("Enter")
        expect(page.locator("#files-status")).to_have_text(f"Copied: {label}")
        copied = page.get_by_role("button", name="Copied").first
        expect(copied).to_be_focused()
        box = page.get_by_label("Search text")
        box.press("ControlOrMeta+a")
        box.press("ControlOrMeta+v")
        expect(box).to_have_value(text)
        expect(button).to_be_visible()  # its own name again
    box.fill("")


# Where it is used


def test_a_search_for_rows_that_finds_none_is_told_before_deletion_alone(
    site: Site, page: Page
) -> None:
    visit(site, page, upload_sample(site, "image"))
    page.get_by_role("button", name="Delete file…").click()
    expect(page.get_by_role("dialog")).to_contain_text("No row that you may view refers to it.")
    expect(page.locator("[data-files-uses]")).to_be_hidden()


def test_a_search_for_rows_that_fails_can_be_repeated(site: Site, page: Page, watch: Watch) -> None:
    watch.expect("503")
    down = {"ok": False, "error": "The database is busy", "code": "storage_unavailable"}
    page.route("**/uses.json", lambda route: route.fulfill(status=503, json=down))
    visit(site, page, upload_sample(site, "image"))
    uses = page.get_by_role("region", name="Used in")
    expect(uses).to_contain_text("The search for rows failed.")
    expect(page.locator("#files-uses-status")).to_have_text("Used in: the search for rows failed")
    assert violations(page) == []
    page.get_by_role("button", name="Delete file…").click()
    expect(
        page.get_by_role("dialog").get_by_role("link", name="See where it is used")
    ).to_be_visible()
    page.keyboard.press("Escape")
    uses.get_by_role("link", name="Search again").click()  # a page with the search, by the server
    expect(uses).to_contain_text("No row that you may view refers to this file.")


# Search text


def test_search_text_is_saved_in_place(site: Site, page: Page, watch: Watch) -> None:
    watch.expect("409")
    record = upload_sample(site, "image")
    visit(site, page, record)
    page.evaluate("window.sameDocument = true")
    saved = page.locator(".files-saved")
    page.get_by_label("Search text").fill("dawn over <the> hills")
    expect(saved).to_have_text("Not saved yet")
    page.get_by_role("button", name="Save search text").click()
    expect(saved).to_have_text("Saved")
    page.get_by_label("Search text").fill("dawn again")
    page.get_by_role("button", name="Save search text").click()
    expect(saved).to_have_text("Saved")
    # In another tab, which knows nothing of what is typed here.
    page.request.post(
        site.server.url + f"{record['url']}/-/update", form={"search_text": "dawn elsewhere"}
    )
    page.get_by_label("Search text").fill("dusk")
    page.get_by_role("button", name="Save search text").click()
    expect(saved).to_contain_text("Not saved: Somebody else has changed the search text")
    assert page.evaluate("window.sameDocument")
    page.get_by_label("Search text").fill("dawn again")
    page.goto(site.url("/-/files/search?q=elsewhere"))
    expect(page.get_by_role("link", name="phone.jpg")).to_be_visible()


def test_search_text_that_is_refused_stays_and_is_not_lost_unasked(
    site: Site, page: Page, watch: Watch
) -> None:
    watch.expect("403")
    visit(site, page, upload_sample(site, "image"))
    refused = {"ok": False, "error": "You may not", "code": "permission_denied"}
    page.route("**/-/update", lambda route: route.fulfill(status=403, json=refused))
    page.get_by_label("Search text").fill("dawn")
    page.get_by_role("button", name="Save search text").click()
    expect(page.locator(".files-saved")).to_have_text("Not saved: You may not")
    expect(page.get_by_label("Search text")).to_have_value("dawn")
    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.reload()
    assert asked == ["beforeunload"]


# Actions


def test_actions_of_plugins_are_a_menu(site: Site, page: Page) -> None:
    visit(site, page, site.upload(b"x", "menu.txt", content_type="text/plain"))
    page.get_by_text("File actions").last.click()
    item = page.get_by_role("menuitem", name="Take it away")
    expect(item).to_be_focused()
    page.keyboard.press("Escape")
    expect(item).to_be_hidden()


def test_a_file_is_deleted_after_a_question(site: Site, page: Page) -> None:
    visit(site, page, upload_sample(site, "image"))
    opener = page.get_by_role("button", name="Delete file…")
    dialog = page.get_by_role("dialog", name="Delete this file?")
    opener.press("Enter")
    expect(dialog).to_contain_text("phone.jpg")
    expect(dialog).to_contain_text("deleted for good")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    assert violations(page) == []
    page.emulate_media(forced_colors="active")
    for edged in (dialog, dialog.get_by_role("button", name="Delete file")):
        expect(edged).to_have_css("border-top-style", "solid")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    assert len(site.files()) == 1
    opener.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page).to_have_url(site.url("/-/files/source/docs"))
    expect(page.locator(".message-info")).to_have_text("Deleted phone.jpg")
    assert site.files() == []
    assert "phone.jpg" not in [path.name for path in site.stored()]


def test_going_back_to_a_page_that_the_browser_kept(site: Site, page: Page, watch: Watch) -> None:
    watch.expect("404", "failed: GET .*/source/docs")
    visit(site, page, upload_sample(site, "image"))
    page.route("**/source/docs", lambda route: route.fulfill(status=204))  # nothing follows
    page.get_by_role("button", name="Delete file…").click()
    with page.expect_response("**/source/docs"):
        page.get_by_role("button", name="Delete file", exact=True).click()
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    expect(page.get_by_role("heading", level=1)).to_have_text("Error 404")


def test_a_deletion_that_fails_is_told_in_the_dialog(site: Site, page: Page, watch: Watch) -> None:
    watch.expect("503")
    visit(site, page, upload_sample(site, "image"))
    away = {"ok": False, "error": "The storage is away", "code": "storage_unavailable"}
    page.route("**/-/delete", lambda route: route.fulfill(status=503, json=away))
    page.get_by_role("button", name="Delete file…").click()
    dialog = page.get_by_role("dialog")
    confirm = dialog.get_by_role("button", name="Delete file")
    confirm.click()
    expect(dialog.get_by_role("alert")).to_have_text("The storage is away")
    expect(confirm).to_be_enabled()
    page.unroute("**/-/delete")
    confirm.click()
    expect(page).to_have_url(site.url("/-/files/source/docs"))
