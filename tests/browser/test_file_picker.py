"""The picker as another plugin embeds it, in the page and in a dialog."""

import re
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import OpenPage
from tests.support.browser.axe import violations
from tests.support.browser.site import Site
from tests.support.browser.uploading import until
from tests.support.browser.watch import Watch
from tests.support.fixtures import fixture

pytestmark = pytest.mark.full

DOC = Path(__file__).resolve().parents[2] / "docs" / "file-picker.md"
PNG = fixture("photos/alpha.png").path.read_bytes()


class Urls:
    """As Datasette's templates have it."""

    def instance(self) -> str:
        return "/"


def static(name: str, plugin: str) -> str:
    return f"/-/static-plugins/{plugin}/{name}"


def embed(page: Page, site: Site, **attributes: str) -> None:
    """A picker on a page of ours, under the strict policy. Its choices are kept as ``chosen``."""
    page.goto(site.url("/-/files"))
    page.evaluate(
        """async ([folder, attributes]) => {
            for (const name of ["upload.css", "picker.css"]) {
                const link = document.createElement("link");
                Object.assign(link, {rel: "stylesheet", href: folder + name});
                const loaded = new Promise((resolve) => { link.onload = resolve; });
                document.head.append(link);
                await loaded;
            }
            await import(folder + "file-picker.js");
            const picker = document.createElement("datasette-file-picker");
            for (const [name, value] of Object.entries(attributes)) {
                picker.setAttribute(name, value);
            }
            document.addEventListener("datasette-files-chosen", ({detail}) => {
                window.chosen = detail.files.map((file) => file.filename);
            });
            document.querySelector(".files-cards").replaceWith(picker);
        }""",
        [static("", "datasette_files"), attributes],
    )


def test_the_example_of_the_docs_works(site: Site, page: Page) -> None:
    (example,) = re.findall(r"^```html\n(.*?)^```$", DOC.read_text("utf-8"), re.DOTALL | re.M)
    html = Environment(autoescape=True).from_string(example).render(static=static, urls=Urls())
    # Datasette's pages have a charset and modal.js.
    head = '<!doctype html><meta charset="utf-8"><script src="/-/static/modal.js" defer></script>'
    answer = {"body": head + html, "content_type": "text/html"}
    page.route("**/example", lambda route: route.fulfill(**answer))
    record = site.upload(PNG, "cover.png", content_type="image/png")
    page.goto(site.url("/example"))
    opener = page.get_by_role("button", name="Choose a cover")
    opener.click()
    expect(page.get_by_role("dialog", name="Choose a file")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()
    opener.click()
    page.locator(".picker-option").click()
    expect(page.locator("input[name=cover]")).to_have_value(record["id"])
    expect(opener).to_be_focused()


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "dark"),
        pytest.param(390, "light", marks=pytest.mark.full),
        pytest.param(320, "dark", marks=pytest.mark.full),
        pytest.param(1600, "light", marks=pytest.mark.full),
    ],
)
def test_files_are_searched_paged_and_marked_in_the_page(
    site: Site, open_page: OpenPage, width: int, scheme: Any
) -> None:
    page = open_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    hostile = '<img src=x onerror="document.title=1">\u202egnp.txt'
    for number in range(42):
        site.upload(b"text", f"note {number}.txt", content_type="text/plain")
    site.upload(PNG, "photo.png", content_type="image/png")
    site.upload(b"x", hostile, content_type="text/plain")
    embed(page, site, multiple="", accept="text/plain")
    options = page.locator(".picker-option")
    expect(page.locator(".picker-count")).to_have_text("40 of 44 files, newest first")
    shown = options.first.locator(".picker-name")
    expect(shown).to_have_text('<img src=x onerror="document.title=1">\ufffdgnp.txt')
    expect(options.nth(1)).to_contain_text("This is image/png; accepted: text/plain.")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width

    # The rest comes when it is near.
    page.get_by_role("listbox", name="Files").focus()
    page.keyboard.press("End")
    expect(options).to_have_count(44)
    page.keyboard.press("Space")
    expect(options.nth(39)).to_have_attribute("aria-selected", "true")
    # A letter goes to the field.
    page.keyboard.type("onerror")
    expect(page.get_by_role("combobox", name="Search files")).to_have_value("onerror")
    expect(options).to_have_count(1)
    options.first.click()
    # A list of one source leaves out what is of another type.
    page.get_by_role("combobox", name="Search files").fill("")
    page.get_by_label("Source").select_option("docs")
    expect(page.locator(".picker-count")).to_have_text("40 of 43 files, newest first")
    page.get_by_role("button", name="Add 2 files").click()
    assert page.evaluate("chosen") == ["note 4.txt", hostile]
    expect(options.locator("xpath=self::*[@aria-selected='true']")).to_have_count(0)


def test_what_cannot_be_fetched_is_told_and_tried_again(
    site: Site, page: Page, watch: Watch
) -> None:
    watch.expect("503")
    site.upload(b"text", "a.txt", content_type="text/plain")
    down = {"ok": False, "error": "Down", "status": 503, "code": "storage_unavailable"}

    def fail(route: Route) -> None:
        route.fulfill(status=503, json=down)

    page.route("**/sources.json", fail, times=1)
    page.route("**/search.json?*", fail, times=1)
    embed(page, site)
    told = page.get_by_role("alert")
    expect(told).to_contain_text("The sources could not be fetched. Storage unavailable.")
    page.get_by_role("button", name="Try again").click()
    expect(told).to_contain_text("The files could not be fetched. Storage unavailable.")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("combobox", name="Search files")).to_be_focused()
    expect(page.locator(".picker-option")).to_have_count(1)
    page.get_by_role("combobox", name="Search files").fill("zzz")
    expect(page.locator(".picker-empty")).to_have_text("No file is found for “zzz”.")


def test_a_file_is_uploaded_in_the_dialog_which_asks_before_it_stops(
    site: Site, page: Page, watch: Watch
) -> None:
    watch.expect("ERR_ABORTED")
    embed(page, site, modal="", source="docs")
    page.evaluate("() => { document.querySelector('datasette-file-picker').show().then(() => {}) }")
    dialog = page.get_by_role("dialog", name="Choose a file")
    page.get_by_role("tab", name="Choose").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Upload")).to_be_focused()
    upload = page.locator("datasette-file-upload")
    site.hold()
    upload.evaluate("(element) => element.add([new File([new Uint8Array(8e6)], 'long.bin')])")
    expect(page.locator(".upload-row")).to_have_attribute("data-state", "sending")
    asked: list[str] = []
    page.once("dialog", lambda asks: (asked.append(asks.message), asks.dismiss()))
    page.keyboard.press("Escape")
    while not asked:  # Datasette's dialog asks after the key is up
        page.wait_for_timeout(10)
    expect(dialog).to_be_visible()
    assert page.evaluate("document.querySelector('datasette-file-picker').busy")
    page.once("dialog", lambda asks: (asked.append(asks.message), asks.accept()))
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    until(page, "!document.querySelector('datasette-file-picker').open")
    assert len(asked) == 2
    site.release()
    assert site.files() == []

    page.evaluate("""() => {
        const picker = document.querySelector("datasette-file-picker");
        picker.show().then(([file]) => { window.uploaded = file.filename; });
    }""")
    # What is pasted beside it is uploaded, and seen.
    expect(page.get_by_role("combobox", name="Search files")).to_be_focused()
    page.evaluate("""() => {
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File(["pasted"], "pasted.txt", {type: "text/plain"}));
        document.activeElement.dispatchEvent(
            new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
    }""")
    expect(dialog).to_have_count(0)
    until(page, "window.uploaded !== undefined")
    assert page.evaluate("[uploaded, chosen]") == ["pasted.txt", ["pasted.txt"]]
    assert site.contents() == [b"pasted"]
