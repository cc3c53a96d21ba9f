"""The element as another plugin embeds it: attributes, properties, methods, events, any storage."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.test_upload import make
from tests.support.browser.site import Site
from tests.support.browser.uploading import Uploading, until
from tests.support.browser.watch import Watch

pytestmark = pytest.mark.full


@pytest.fixture
def bare(site: Site, page: Page) -> Iterator[Uploading]:
    """A page with an element of few attributes and no form, made by a script."""
    upload = Uploading(page).open(site)
    embed(page, source="docs")
    yield upload


def embed(page: Page, **attributes: str) -> None:
    page.evaluate(
        """(attributes) => {
            const embedded = document.createElement("datasette-file-upload");
            for (const [name, value] of Object.entries(attributes)) {
                embedded.setAttribute(name, value);
            }
            document.querySelector("datasette-file-upload").replaceWith(embedded);
        }""",
        attributes,
    )


def test_one_file_at_a_time_unless_it_is_multiple(bare: Uploading, tmp_path: Path) -> None:
    expect(bare.button("Choose a file")).to_be_visible()
    expect(bare.button("Choose a folder")).to_have_count(0)
    bare.drag([make(tmp_path, "one.txt"), make(tmp_path, "two.txt")])
    expect(bare.headline).to_have_text("1 file uploaded")
    expect(bare.element).to_contain_text("One file at a time: the others were left out.")
    bare.drag([make(tmp_path, "three.txt")])
    expect(bare.row("three.txt")).to_have_attribute("data-state", "done")
    expect(bare.rows).to_have_count(1)


def test_limits_are_attributes(site: Site, page: Page, tmp_path: Path) -> None:
    upload = Uploading(page).open(site)
    embed(page, source="docs", multiple="", accept="text/csv,image/*", **{"max-size": "2048"})
    expect(upload.element).to_contain_text("At most 2.0 KB each. Accepted: text/csv, image/*.")
    upload.choose(
        make(tmp_path, "a.csv"), make(tmp_path, "b.pdf"), make(tmp_path, "c.png", bytes(3000))
    )
    expect(upload.headline).to_have_text("1 file uploaded, 2 failed")


def test_events_tell_of_each_file_and_of_the_end(site: Site, page: Page, tmp_path: Path) -> None:
    upload = Uploading(page).open(site, "pictures")
    upload.collect_events()
    make(tmp_path, "album/picture.png", b"\x89PNG\r\n\x1a\n" + bytes(10))
    make(tmp_path, "album/words.txt")
    upload.drag([tmp_path / "album"])
    expect(upload.headline).to_have_text("1 file uploaded, 1 failed")
    (record,) = site.files("pictures")
    told: dict[str, Any] = dict(upload.events())
    assert told["datasette-file-uploaded"]["file"]["id"] == record["id"]
    assert told["datasette-file-uploaded"]["path"] == "album/"
    failure = told["datasette-file-failed"]
    assert (failure["name"], failure["code"]) == ("words.txt", "bad_type")
    end = told["datasette-files-finished"]
    assert ([file["id"] for file in end["files"]], end["failed"]) == ([record["id"]], 1)
    assert [kind for kind, _ in upload.events()].count("datasette-files-finished") == 1


def test_the_end_is_told_after_a_retry_too(
    site: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("507")
    full = {"ok": False, "error": "The disk is full", "status": 507, "code": "no_space"}
    page.route("**/-/prepare", lambda route: route.fulfill(status=507, json=full), times=1)
    upload = Uploading(page).open(site)
    upload.collect_events()
    upload.choose(make(tmp_path, "again.txt"))
    expect(upload.headline).to_have_text("1 file failed")
    upload.button("Retry again.txt").click()
    expect(upload.headline).to_have_text("1 file uploaded")
    ends = [detail for kind, detail in upload.events() if kind == "datasette-files-finished"]
    assert [end["failed"] for end in ends] == [1, 0]


def test_files_in_line_go_where_they_were_to_go(site: Site, page: Page) -> None:
    upload = Uploading(page).open(site)
    upload.element.evaluate("""(element) => {
        element.add(Array.from({length: 6}, (_, n) => new File([`${n}`], `${n}.txt`)));
        element.setAttribute("source", "pictures");
    }""")
    expect(upload.headline).to_have_text("6 files uploaded")
    assert (len(site.files("docs")), site.files("pictures")) == (6, [])


def drop_slow_folder(page: Page) -> None:
    """A folder on a disk that answers when the test calls ``answer(names)`` in the page."""
    page.evaluate("""() => {
        const fileEntry = (name) => ({
            name, isFile: true, fullPath: `/slow/${name}`,
            file: (resolve) => resolve(new File(["late"], name)),
        });
        DataTransferItem.prototype.webkitGetAsEntry = () => ({
            name: "slow", isDirectory: true, fullPath: "/slow",
            createReader: () => ({
                readEntries: (resolve) => {
                    window.answer = (names) => resolve(names.map(fileEntry));
                },
            }),
        });
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([], "slow"));
        document.querySelector("datasette-file-upload").dispatchEvent(
            new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
    }""")
    until(page, "window.answer !== undefined")


@pytest.mark.parametrize("end", ["cancelAll", "remove"])
@pytest.mark.full
def test_what_a_folder_gives_after_the_end_is_not_sent(site: Site, page: Page, end: str) -> None:
    upload = Uploading(page).open(site)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    drop_slow_folder(page)
    upload.element.evaluate(
        """async (element, end) => {
            element[end]();
            await new Promise((resolve) => setTimeout(resolve));
            answer(["late.txt"]);
            answer([]);
            while (element.busy) await new Promise((resolve) => setTimeout(resolve, 10));
        }""",
        end,
    )
    assert sent == []


@pytest.mark.full
def test_an_empty_folder_is_answered(site: Site, page: Page) -> None:
    upload = Uploading(page).open(site)
    drop_slow_folder(page)
    page.evaluate("answer([])")
    expect(upload.element).to_contain_text("No files were found in it.")


def test_scripts_add_clear_and_ask(site: Site, page: Page) -> None:
    upload = Uploading(page).open(site)
    upload.element.evaluate("(element) => element.add([new File(['by script'], 'made.txt')])")
    expect(upload.headline).to_have_text("1 file uploaded")
    state = (
        "(element) => [element.busy, element.source, element.files.map((file) => file.filename)]"
    )
    assert upload.element.evaluate(state) == [False, "docs", ["made.txt"]]
    upload.element.evaluate("(element) => element.clear()")
    expect(upload.rows).to_have_count(0)
    assert upload.element.evaluate(state) == [False, "docs", []]


def test_what_was_chosen_before_the_module_came_is_taken(
    site: Site, page: Page, tmp_path: Path
) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/datasette-file-upload.js*", hold)
    page.goto(site.url("/-/files/upload/docs"), wait_until="commit")
    page.locator("input[type=file]").set_input_files(make(tmp_path, "early.txt"))
    held[0].continue_()
    expect(Uploading(page).headline).to_have_text("1 file uploaded")
    assert [file["filename"] for file in site.files()] == ["early.txt"]


def test_an_element_that_is_taken_away_stops(site: Site, page: Page, watch, tmp_path: Path) -> None:
    watch.expect("ERR_ABORTED")
    upload = Uploading(page).open(site)
    site.hold()
    upload.choose(make(tmp_path, "long.bin", bytes(8_000_000)))
    expect(upload.row("long.bin")).to_have_attribute("data-state", "sending")
    upload.element.evaluate("""(element) => {
        document.body.append(element);  // moved, not taken away
        window.removed = element;
    }""")
    expect(upload.row("long.bin")).to_have_attribute("data-state", "sending")
    with page.expect_event("requestfailed"):
        upload.element.evaluate("(element) => element.remove()")
    until(page, "!removed.busy")
    site.release()
    assert site.files() == []


# Storages that take the bytes themselves


def direct(page: Page, **instructions: Any) -> list[Request]:
    """Let prepare point to a storage of its own; what that was sent."""
    received: list[Request] = []

    def prepare(route: Route) -> None:
        answer = route.fetch().json()
        route.fulfill(json={**answer, **instructions})

    def store(route: Route) -> None:
        received.append(route.request)
        route.fulfill(status=200)

    page.route("**/-/prepare", prepare)
    page.route("**/bucket/**", store)
    done = {"ok": True, "file": {"id": "df-1", "filename": "a.txt", "url": "/-/files/df-1"}}
    page.route("**/-/complete", lambda route: route.fulfill(json=done))
    return received


def test_bytes_go_by_put_where_prepare_says_so(site: Site, page: Page, tmp_path: Path) -> None:
    received = direct(
        page,
        upload_url="/bucket/key?signature=1",
        upload_method="PUT",
        upload_headers={"X-Amz-Meta-Test": "yes", "Content-Length": "5"},
        upload_fields={},
    )
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "a.txt", b"hello"))
    expect(upload.headline).to_have_text("1 file uploaded")
    (request,) = received
    assert (request.method, request.url) == ("PUT", site.url("/bucket/key?signature=1"))
    assert request.headers["x-amz-meta-test"] == "yes"
    # No type that the storage did not name: it may have signed the headers.
    assert "content-type" not in request.headers


def test_bytes_go_as_a_form_with_its_fields_first(site: Site, page: Page, tmp_path: Path) -> None:
    received = direct(
        page,
        upload_url="/bucket/",
        upload_method="POST",
        upload_headers={},
        upload_fields={"key": "a/b", "policy": "signed"},
    )
    upload = Uploading(page).open(site)
    upload.choose({"name": "ü.txt", "mimeType": "text/plain", "buffer": b"hello"})
    expect(upload.headline).to_have_text("1 file uploaded")
    assert received[0].headers["content-type"].startswith("multipart/form-data; boundary=")
    body = (received[0].post_data_buffer or b"").decode()
    assert body.index('name="key"') < body.index('name="policy"') < body.index('name="file"')
