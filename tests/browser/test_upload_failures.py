"""Uploads refused, cancelled or cut off: what is shown, what is left, what can be done."""

import json
import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import MakeSite
from tests.browser.test_upload import make
from tests.support.browser.site import Site
from tests.support.browser.uploading import Uploading
from tests.support.browser.watch import Watch

pytestmark = pytest.mark.full

LARGE = 16 * 1024 * 1024
#: Bytes of a file that is sent by one request, which cannot go on (test_resuming.py).
SENT_AT_ONCE = 8_000_000


@pytest.fixture
def own(make_site: MakeSite) -> Site:
    """A site whose folders no other test has touched."""
    return make_site()


# Refused


def test_what_is_too_large_or_of_a_wrong_type_is_not_sent(
    site: Site, page: Page, tmp_path: Path
) -> None:
    upload = Uploading(page).open(site, "pictures")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    upload.choose(make(tmp_path, "big.png", bytes(100_001)), make(tmp_path, "words.txt"))
    expect(upload.headline).to_have_text("2 files failed")
    expect(upload.row("big.png")).to_contain_text("Too large. The file has 100,001 bytes")
    expect(upload.row("words.txt")).to_contain_text(
        "Type not accepted. This is text/plain; accepted: image/*."
    )
    expect(upload.element.get_by_role("button", name="Retry")).to_have_count(0)
    assert [url for url in sent if not url.startswith("blob:")] == []
    upload.button("Remove big.png").click()
    upload.button("Clear list").click()
    expect(upload.rows).to_have_count(0)


def test_a_type_that_the_browser_does_not_know_is_left_to_the_server(
    site: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("415")
    upload = Uploading(page).open(site, "pictures")
    upload.choose(
        {"name": "picture", "mimeType": "", "buffer": b"\x89PNG\r\n\x1a\n" + bytes(100)},
        {"name": "words", "mimeType": "", "buffer": b"only words"},
    )
    expect(upload.headline).to_have_text("1 file uploaded, 1 failed")
    expect(upload.row("words")).to_contain_text("Type not accepted.")
    expect(upload.row("words")).to_contain_text("Convert the file")


def test_what_the_server_refuses_is_told_by_its_code(
    site: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    """The page's own checks are a courtesy: here it knows no limit."""
    watch.expect("413")
    upload = Uploading(page).open(site, "pictures")
    upload.element.evaluate("(element) => element.removeAttribute('max-size')")
    upload.choose({"name": "big.png", "mimeType": "image/png", "buffer": bytes(100_001)})
    expect(upload.row("big.png")).to_contain_text("Too large.")
    expect(upload.row("big.png")).to_contain_text("Make the file smaller")
    assert site.stored("pictures") == []


def test_bytes_that_are_not_the_declared_ones_are_refused_and_sent_again(
    site: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    """As when the file is written to meanwhile."""
    watch.expect("422")

    def lie(route: Route) -> None:
        declared = {**route.request.post_data_json, "sha256": "0" * 64}
        route.continue_(post_data=json.dumps(declared))

    page.route("**/-/prepare", lie, times=1)
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "changing.txt"))
    expect(upload.row("changing.txt")).to_contain_text("Damaged on the way.")
    assert site.files() == []
    upload.button("Retry changing.txt").click()
    expect(upload.headline).to_have_text("1 file uploaded")
    assert len(site.files()) == 1


@pytest.mark.full
def test_permission_that_went_is_told(
    make_site: MakeSite, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("403")
    site = make_site(permissions={"files-upload": {"id": "alice"}})
    site.sign_in(page, {"id": "alice"})
    upload = Uploading(page).open(site)
    page.context.clear_cookies()
    upload.choose(make(tmp_path, "mine.txt"))
    expect(upload.row("mine.txt")).to_contain_text("Not allowed.")
    expect(upload.row("mine.txt")).to_contain_text("Sign in again")
    site.sign_in(page, {"id": "alice"})
    upload.button("Retry mine.txt").click()
    expect(upload.headline).to_have_text("1 file uploaded")


def test_an_answer_that_is_not_the_api_s_is_told(
    site: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    """As a proxy gives one, whatever its status."""
    watch.expect("500")
    page.route("**/-/prepare", lambda route: route.fulfill(status=500, body="<h1>Oops</h1>"))
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "odd.txt"))
    expect(upload.row("odd.txt")).to_contain_text("Something went wrong.")
    page.unroute_all()


@pytest.mark.parametrize("step", ["prepare", "upload", "complete"])
@pytest.mark.full
def test_a_session_that_ended_is_told_where_it_leads_to_a_page(
    site: Site, page: Page, watch: Watch, tmp_path: Path, step: str
) -> None:
    """As a proxy that signs people in redirects whoever is signed out."""
    if step != "upload":
        watch.allow(f"(versions|{step}): net::ERR_ABORTED")  # fetch does not follow
    versions = {"Location": site.url("/-/versions")}
    page.route(f"**/-/{step}", lambda route: route.fulfill(status=302, headers=versions), times=1)
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "mine.txt"))
    expect(upload.row("mine.txt")).to_contain_text("Not allowed. You are no longer signed in.")
    upload.button("Retry mine.txt").click()
    expect(upload.headline).to_have_text("1 file uploaded")
    assert len(site.files()) == 1


def test_a_file_that_went_or_changed_after_it_was_chosen_is_told(
    site: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    """Not as a lost connection, which is all that browsers tell."""
    watch.expect("ERR_FILE_NOT_FOUND", "ERR_UPLOAD_FILE_CHANGED")
    gone, changed = make(tmp_path, "gone.txt"), make(tmp_path, "changed.txt")

    def meddle(route: Route) -> None:
        if route.request.post_data_json["filename"] == "gone.txt":
            gone.unlink()
        else:
            changed.write_bytes(b"longer than it was before")
            os.utime(changed, (0, 0))  # browsers tell files apart by whole seconds
        route.continue_()

    page.route("**/-/prepare", meddle)
    upload = Uploading(page).open(site)
    upload.choose(gone, changed)
    for name in ("gone.txt", "changed.txt"):
        expect(upload.row(name)).to_contain_text("Cannot be read.")
        expect(upload.row(name)).to_contain_text("Add it again.")
    assert site.files() == []


# Cancelled


def test_a_cancelled_upload_leaves_nothing(
    own: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("failed: PATCH .*/-/tus/.*: net::ERR_ABORTED")
    upload = Uploading(page).open(own)
    own.hold()
    upload.choose(make(tmp_path, "long.bin", bytes(LARGE)))
    expect(upload.row("long.bin").locator(".upload-status")).to_contain_text("MB of 16.0 MB")
    upload.button("Cancel long.bin").click()
    expect(upload.row("long.bin")).to_contain_text("Cancelled")
    own.release()
    expect(upload.headline).to_have_text("1 file cancelled")
    own.wait_until(lambda: own.stored() == [])
    assert own.files() == []

    upload.button("Retry long.bin").click()
    expect(upload.headline).to_have_text("1 file uploaded", timeout=60_000)
    assert [file["size"] for file in own.files()] == [LARGE]


@pytest.mark.full
def test_all_are_cancelled_at_once(own: Site, page: Page, watch: Watch, tmp_path: Path) -> None:
    watch.expect("ERR_ABORTED")
    upload = Uploading(page).open(own)
    own.hold()
    upload.choose(*[make(tmp_path, f"{n}.bin", bytes(LARGE)) for n in range(8)])
    expect(page.locator('.upload-row[data-state="sending"]')).to_have_count(4)
    upload.button("Cancel all").click()
    expect(upload.headline).to_have_text("8 files cancelled")
    expect(upload.button("Clear list")).to_be_focused()
    own.release()
    own.wait_until(lambda: own.stored() == [])
    assert own.files() == []


def test_leaving_while_work_runs_asks_first(
    own: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("ERR_ABORTED")
    asked: list[str] = []

    def stay(dialog) -> None:  # type: ignore[no-untyped-def]
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    upload = Uploading(page).open(own)
    page.reload()  # nothing runs, nothing is asked
    assert asked == []
    own.hold()
    upload.choose(make(tmp_path, "long.bin", bytes(LARGE)))
    expect(upload.row("long.bin")).to_have_attribute("data-state", "sending")
    with page.expect_event("dialog"):
        page.evaluate("setTimeout(() => location.reload())")
    assert asked == ["beforeunload"]
    expect(upload.row("long.bin")).to_have_attribute("data-state", "sending")
    upload.button("Cancel long.bin").click()
    expect(upload.headline).to_have_text("1 file cancelled")
    own.release()
    page.reload()
    assert asked == ["beforeunload"]


# Cut off


@pytest.mark.full
def test_a_server_that_dies_is_told_and_uploads_go_on_by_themselves_when_it_is_back(
    own: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    lost = "ERR_CONNECTION_(RESET|REFUSED)|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED"
    # The server that died may have held an upload, so that another one is prepared.
    watch.expect(f"{lost}|409")
    upload = Uploading(page).open(own)
    own.hold()
    upload.choose(*[make(tmp_path, f"{n}.bin", bytes(SENT_AT_ONCE)) for n in range(5)])
    expect(page.locator('.upload-row[data-state="sending"]')).to_have_count(4)
    own.server.kill()
    expect(upload.headline).to_have_text("Interrupted: 0 of 5 files done")
    expect(upload.rows.first).to_contain_text("Connection lost. It goes on by itself.")
    own.release()
    own.server.start(port=own.server.port)
    expect(upload.headline).to_have_text("5 files uploaded", timeout=60_000)
    assert [file["size"] for file in own.files()] == [SENT_AT_ONCE] * 5


def test_a_lost_answer_to_complete_makes_no_second_file(
    site: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    """The file is there, but the page could not know: it asks again for the same upload."""
    watch.expect("net::ERR_FAILED")
    answers = iter((False, True))

    def lose(route: Route) -> None:
        if next(answers):
            return route.continue_()
        route.fetch()
        return route.abort()

    page.route("**/-/complete", lose)
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "once.txt"))
    expect(upload.headline).to_have_text("1 file uploaded")
    assert len(site.files()) == 1


def test_completing_is_tried_again_by_hand_without_sending_the_bytes_again(
    site: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("507")
    full = {"ok": False, "error": "The disk is full", "status": 507, "code": "no_space"}
    page.route("**/-/complete", lambda route: route.fulfill(status=507, json=full), times=1)
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "patient.txt"))
    expect(upload.row("patient.txt")).to_contain_text("No space left. The disk is full")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url.rsplit("/", 1)[1]))
    upload.button("Retry patient.txt").click()
    expect(upload.headline).to_have_text("1 file uploaded")
    assert sent == ["complete"]
    assert len(site.files()) == 1


def test_a_lost_answer_to_a_small_file_in_one_request_makes_no_second_file(
    own: Site, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("ERR_FAILED")
    upload = Uploading(page).open(own)
    upload.choose(make(tmp_path, "first.txt"))
    expect(upload.headline).to_have_text("1 file uploaded")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    lost: list[str] = []

    def answer(route: Route) -> None:
        route.fetch()
        if len(lost) == 2:
            route.continue_()
            return
        lost.append(route.request.headers["idempotency-key"])
        route.abort()

    page.route("**/-/files/upload/docs/a%20%E4%BD%A0%20%23.txt*", answer)
    upload.choose(make(tmp_path, "a 你 #.txt", b"small"))
    expect(upload.row("a 你 #.txt")).to_contain_text("Connection lost. It goes on by itself.")
    expect(upload.row("a 你 #.txt")).to_have_attribute("data-state", "done", timeout=20_000)
    assert asked == ["PUT"] * 3
    assert len(set(lost)) == 1
    assert [file["filename"] for file in own.files()] == ["first.txt", "a 你 #.txt"]
    upload.row("a 你 #.txt").get_by_role("link").first.click()
    expect(page.locator("h1")).to_have_text("a 你 #.txt")


@pytest.mark.parametrize("kind", ["sign-on elsewhere", "no PUT passes"])
def test_what_stands_before_the_site_is_told_from_a_lost_connection(
    own: Site, page: Page, watch: Watch, tmp_path: Path, kind: str
) -> None:
    watch.expect("405|ERR_ABORTED|ailed to load")
    upload = Uploading(page).open(own)
    upload.choose(make(tmp_path, "first.txt"))
    expect(upload.headline).to_have_text("1 file uploaded")
    asked: list[str] = []

    def answer(route: Route) -> None:
        asked.append(route.request.method)
        if kind == "no PUT passes":
            route.fulfill(status=405, body="<h1>Not allowed</h1>", content_type="text/html")
        else:
            route.fulfill(status=302, headers={"Location": "https://login.example.test/"})

    page.route("**/-/files/upload/docs/second.txt*", answer)
    upload.choose(make(tmp_path, "second.txt", b"small"))
    if kind == "no PUT passes":
        expect(upload.row("second.txt")).to_have_attribute("data-state", "done")
        assert [file["filename"] for file in own.files()] == ["first.txt", "second.txt"]
    else:
        expect(upload.row("second.txt")).to_contain_text("You are no longer signed in")
    assert asked == ["PUT"]
