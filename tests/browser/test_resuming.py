"""Large uploads that go on: after a reload, a pause, a lost network, a dead server."""

from __future__ import annotations

import hashlib
import random
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.browser.test_upload import make
from tests.conftest import OPEN
from tests.support.browser.axe import violations
from tests.support.browser.site import Site
from tests.support.browser.uploading import Uploading
from tests.support.browser.watch import Watch

pytestmark = pytest.mark.full

MIB = 1024 * 1024
#: A request that ended in the midst. A busy server may learn of it only after the next one.
ABORTED = r"PATCH .*ERR_ABORTED|409 \(Conflict\)"
#: The largest chunk of the page (static/upload/tus.js).
CHUNK = 4 * MIB
CONTENT = random.Random(18).randbytes(30 * MIB)


class Sent:
    """The offsets of the chunks that a page sends; holds the server after so many of them."""

    def __init__(self, page: Page, site: Site, hold_after: int) -> None:
        self.offsets: list[int] = []
        self._site = site
        self._left = hold_after
        page.on("request", self._request)

    def _request(self, request: Request) -> None:
        if request.method == "PATCH":
            self.offsets.append(int(request.headers["upload-offset"]))
            self._left -= 1
            if self._left == 0:
                self._site.hold()


def begin(page: Page, site: Site, folder: Path, chunks: int = 2) -> tuple[Uploading, Sent]:
    """An upload that stands still after its first chunk, or more."""
    sent = Sent(page, site, chunks)
    upload = Uploading(page).open(site)
    upload.choose(make(folder, "large.bin", CONTENT))
    expect(upload.row("large.bin").locator(".upload-status")).to_contain_text("MB of 30.0 MB")
    page.wait_for_timeout(500)
    while len(sent.offsets) < chunks:
        page.wait_for_timeout(50)
    return upload, sent


def judge(site: Site) -> None:
    """The file is there, once, whole; nothing else is stored."""
    assert [hashlib.sha256(one).digest() for one in site.contents()] == [
        hashlib.sha256(CONTENT).digest()
    ]
    site.wait_until(lambda: len(site.stored()) == 1)


def leave(page: Page) -> None:
    """Reload although the page asks to stay."""
    page.once("dialog", lambda dialog: dialog.accept())
    page.reload()


@pytest.mark.parametrize("base_url", ["/", "/prefix/"])
def test_the_same_file_goes_on_after_a_reload(
    make_site: MakeSite, page: Page, watch: Watch, tmp_path: Path, base_url: str
) -> None:
    watch.expect(ABORTED)
    site = make_site(base_url=base_url)
    upload, sent = begin(page, site, tmp_path)
    leave(page)
    waiting = page.locator(".upload-waiting")
    expect(waiting).to_contain_text("1 upload waits. Choose the file again to go on.")
    expect(waiting).to_contain_text("large.bin")
    expect(waiting).to_contain_text("4.0 MB of 30.0 MB arrived")
    site.release()
    upload.choose(tmp_path / "large.bin")
    expect(upload.headline).to_have_text("1 file uploaded")
    expect(waiting.locator("li")).to_have_count(0)
    assert sent.offsets.count(0) == 1
    assert list(dict.fromkeys(sent.offsets)) == [*range(0, len(CONTENT), CHUNK)]
    judge(site)
    page.reload()
    expect(upload.button("Choose files")).to_be_visible()
    page.wait_for_timeout(500)
    expect(waiting.locator("li")).to_have_count(0)


def test_a_row_is_paused_and_goes_on_by_keyboard(
    make_site: MakeSite, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect(ABORTED)
    site = make_site()
    upload, sent = begin(page, site, tmp_path)
    row = upload.row("large.bin")
    upload.button("Pause large.bin").focus()
    page.keyboard.press("Enter")
    expect(row).to_have_attribute("data-state", "paused")
    expect(row).to_contain_text("Paused at 4.0 MB of 30.0 MB")  # and not what was on its way
    expect(upload.button("Go on with large.bin")).to_be_focused()
    expect(upload.headline).to_have_text("Paused: 0 of 1 file done")
    expect(upload.announced).to_contain_text("Paused: 0 of 1 file done")
    assert violations(page) == []
    page.reload()  # what is paused goes on later, so nothing is asked
    expect(page.locator(".upload-waiting")).to_contain_text("4.0 MB of 30.0 MB arrived")
    upload.choose(tmp_path / "large.bin")
    upload.button("Pause large.bin").click()
    expect(row).to_contain_text("Paused at 4.0 MB of 30.0 MB")
    expect(page.locator(".upload-waiting li")).to_have_count(0)
    site.release()
    page.keyboard.press("Enter")  # the focus is on "Go on"
    expect(upload.headline).to_have_text("1 file uploaded")
    assert sent.offsets[:3] == [0, CHUNK, CHUNK]
    judge(site)


def test_a_lost_network_is_noticed_and_the_file_goes_on_by_itself(
    make_site: MakeSite, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect(f"ERR_INTERNET_DISCONNECTED|{ABORTED}")
    site = make_site()
    upload, sent = begin(page, site, tmp_path)
    row = upload.row("large.bin")
    page.context.set_offline(True)
    expect(row).to_have_attribute("data-state", "interrupted")
    expect(row).to_contain_text("Interrupted at 4.0 MB of 30.0 MB")
    expect(row).to_contain_text("Connection lost. It goes on by itself.")
    expect(upload.headline).to_have_text("Interrupted: 0 of 1 file done")
    assert violations(page) == []
    tried = len(sent.offsets)
    page.wait_for_timeout(3000)
    assert len(sent.offsets) == tried  # nothing is tried while the device knows better
    site.release()
    page.context.set_offline(False)
    expect(upload.headline).to_have_text("1 file uploaded")
    assert sent.offsets[:3] == [0, CHUNK, CHUNK]
    judge(site)


def test_a_server_that_is_killed_costs_one_chunk(
    make_site: MakeSite, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("ERR_CONNECTION_(RESET|REFUSED)|ERR_EMPTY_RESPONSE|ERR_SOCKET_NOT_CONNECTED")
    site = make_site()
    upload, sent = begin(page, site, tmp_path, chunks=3)
    site.server.kill()
    expect(upload.row("large.bin")).to_have_attribute("data-state", "interrupted")
    site.release()
    site.server.start(port=site.server.port)
    expect(upload.headline).to_have_text("1 file uploaded", timeout=60_000)
    assert sent.offsets[:3] == [0, CHUNK, 2 * CHUNK]
    assert sent.offsets.count(0) == sent.offsets.count(CHUNK) == 1
    judge(site)


def test_what_waits_can_be_removed(
    make_site: MakeSite, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect(ABORTED)
    site = make_site()
    upload, _ = begin(page, site, tmp_path)
    leave(page)
    site.release()
    assert site.stored() != []
    assert violations(page) == []
    page.get_by_role("button", name="Remove large.bin").click()
    expect(page.locator(".upload-waiting")).to_have_text("")
    expect(upload.button("Choose files")).to_be_focused()
    site.wait_until(lambda: site.stored() == [])
    page.reload()
    page.wait_for_timeout(500)
    expect(page.locator(".upload-waiting li")).to_have_count(0)


def test_other_bytes_under_the_same_name_begin_anew(
    make_site: MakeSite, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect(ABORTED)
    site = make_site()
    upload, sent = begin(page, site, tmp_path)
    leave(page)
    expect(page.locator(".upload-waiting li")).to_have_count(1)
    site.release()
    other = b"x" + CONTENT[1:]
    upload.choose(make(tmp_path, "large.bin", other))
    expect(upload.headline).to_have_text("1 file uploaded")
    assert sent.offsets[2] == 0
    assert site.contents() == [other]
    expect(page.locator(".upload-waiting li")).to_have_count(1)  # the first one still waits


def test_the_same_file_twice_is_two_uploads(
    make_site: MakeSite, page: Page, tmp_path: Path
) -> None:
    site = make_site()
    upload = Uploading(page).open(site)
    path = make(tmp_path, "large.bin", CONTENT)
    upload.choose(path)
    upload.choose(path)
    expect(upload.headline).to_have_text("2 files uploaded")
    assert site.contents() == [CONTENT, CONTENT]


def test_a_refusal_of_tus_falls_back_to_one_request(
    make_site: MakeSite, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("405")
    site = make_site()
    page.route("**/-/tus", lambda route: route.fulfill(status=405, body="not here"))
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "large.bin", CONTENT))
    expect(upload.headline).to_have_text("1 file uploaded")
    judge(site)


def test_a_sender_by_a_link_goes_on_too(
    make_site: MakeSite, page: Page, open_page: OpenPage, watch: Watch, tmp_path: Path
) -> None:
    watch.expect(ABORTED)
    site = make_site(permissions={**OPEN, "files-share": {"id": "alice"}})
    maker = open_page()
    site.sign_in(maker, {"id": "alice"})
    answer = maker.request.post(
        site.url("/-/files/source/docs/-/upload-link"), data={"max_files": 1, "max_bytes": 30 * MIB}
    )
    path = answer.json()["upload_link"]["url"]
    offsets: list[int] = []

    def cut(request: Request) -> None:
        if request.method == "PATCH":
            offsets.append(int(request.headers["upload-offset"]))
            if len(offsets) == 2:
                page.evaluate("setTimeout(() => location.reload())")

    page.on("request", cut)
    page.on("dialog", lambda dialog: dialog.accept())
    upload = Uploading(page)
    page.goto(path)
    with page.expect_navigation():
        upload.choose(make(tmp_path, "large.bin", CONTENT))
    expect(page.locator(".upload-waiting li")).to_have_count(1)
    upload.choose(tmp_path / "large.bin")
    expect(upload.headline).to_have_text("1 file uploaded")
    assert offsets.count(0) == 1
    judge(site)


def resident(browser: Browser) -> int:
    """Bytes that the largest renderer of the browser holds."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    found = [0]
    for process in processes:
        if process["type"] == "renderer":
            status = Path(f"/proc/{process['id']}/status").read_text("utf-8")
            found += [
                int(line.split()[1]) * 1024
                for line in status.splitlines()
                if line.startswith("VmRSS:")
            ]
    return max(found)


@pytest.mark.timeout(900)
def test_a_gibibyte_does_not_fill_the_pages_memory(
    make_site: MakeSite, browser: Browser, page: Page, tmp_path: Path
) -> None:
    size = 1024 * MIB
    site = make_site(sources={"docs": {"max_file_size": 2 * size}})
    path = tmp_path / "large.bin"
    with path.open("wb") as file:
        file.truncate(size)
        file.seek(0)
        file.write(b"not all zeros")
    upload = Uploading(page).open(site)
    before = most = resident(browser)
    begun = time.monotonic()
    upload.choose(path)
    while upload.headline.text_content() != "1 file uploaded":
        assert time.monotonic() - begun < 800, upload.headline.text_content()
        most = max(most, resident(browser))
        page.wait_for_timeout(200)
    took = time.monotonic() - begun
    print(
        f"1 GiB in {took:.0f} s; the page's process: {before / MIB:.0f} MiB before,"
        f" at most {most / MIB:.0f} MiB"
    )
    assert most - before < 300 * MIB
    assert [one["size"] for one in site.files()] == [size]
