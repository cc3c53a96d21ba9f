"""Links in a browser: made on a file's and a source's page, used by people without an account."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.conftest import OPEN
from tests.support.browser.axe import violations
from tests.support.browser.site import Site

ALICE = {"id": "alice"}
PHONE = {"viewport": {"width": 390, "height": 780}}


@pytest.fixture
def site(make_site: MakeSite) -> Site:
    """Alice may do everything, nobody else anything."""
    actions = [*OPEN, "files-share"]
    return make_site(permissions=dict.fromkeys(actions, ALICE))


@pytest.fixture
def alice(site: Site, page: Page) -> Page:
    site.sign_in(page, ALICE)
    return page


def upload(site: Site, page: Page, name: str, content: str) -> str:
    """Upload as the page's person; the file's id."""
    answer = page.request.put(site.url(f"/-/files/upload/docs/{name}"), data=content)
    assert answer.status == 201, answer.text()
    file_id: str = answer.json()["file"]["id"]
    return file_id


def make_link(page: Page, summary: str) -> str:
    page.locator("details[data-files-links] > summary").click()
    expect(page.locator("details[data-files-links] > summary")).to_have_text(summary)
    page.get_by_role("button", name="Make link").click()
    address = page.get_by_label("Address of the link")
    expect(address).to_be_visible()
    expect(page.get_by_role("button", name="Copy address")).to_be_focused()
    assert violations(page) == []
    return address.input_value()


@pytest.mark.full
def test_a_list_that_was_asked_for_before_does_not_hide_a_new_link(site: Site, alice: Page) -> None:
    file_id = upload(site, alice, "minutes.txt", "the minutes")
    alice.goto(site.url(f"/-/files/{file_id}"))
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    # Both answers come, the older one first, once both were asked for.
    alice.route("**/*shares=1", hold)
    make_link(alice, "Share…")
    while len(held) < 2:
        alice.wait_for_timeout(20)
    held[0].continue_()
    alice.wait_for_timeout(500)
    held[1].continue_()
    expect(alice.locator("[data-files-links-list] li")).to_have_count(1)


def test_a_link_is_made_used_without_scripts_and_revoked(
    site: Site, alice: Page, open_page: OpenPage, tmp_path: Path
) -> None:
    file_id = upload(site, alice, "minutes.txt", "the minutes")
    alice.goto(site.url(f"/-/files/{file_id}"))
    url = make_link(alice, "Share…")

    receiver = open_page(java_script_enabled=False, **PHONE)
    receiver.goto(url)
    expect(receiver.get_by_role("heading")).to_have_text("minutes.txt")
    expect(receiver.locator("header, nav")).to_have_count(0)
    assert receiver.evaluate("document.documentElement.scrollWidth") <= 390
    with receiver.expect_download() as download:
        receiver.get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "got")
    assert (tmp_path / "got").read_text() == "the minutes"

    row = alice.locator("[data-files-links-list] li")
    expect(row).to_have_count(1)
    row.get_by_role("button").click()
    expect(row).to_have_count(0)
    # A page stays where it is while the browser downloads.
    receiver.watch.expect("404", "download: net::ERR_ABORTED")  # type: ignore[attr-defined]
    receiver.goto(url)
    expect(receiver.get_by_role("heading")).to_have_text("This link does not work")


@pytest.mark.full
def test_several_files_are_taken_one_by_one_and_as_a_whole(
    site: Site, alice: Page, open_page: OpenPage, tmp_path: Path
) -> None:
    ids = [upload(site, alice, f"file {n}.txt", f"number {n}") for n in range(3)]
    answer = alice.request.post(
        site.url("/-/files/-/share"), data={"ids": ids, "label": "Three of them"}
    )
    receiver = open_page(**PHONE)
    receiver.goto(answer.json()["share"]["url"])
    expect(receiver.get_by_role("heading")).to_have_text("Three of them")
    assert violations(receiver) == []
    with receiver.expect_download() as download:
        receiver.get_by_role("link", name="Download all as a zip").click()
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(io.BytesIO((tmp_path / "all.zip").read_bytes())) as packed:
        assert [packed.read(name) for name in packed.namelist()] == [
            b"number 0",
            b"number 1",
            b"number 2",
        ]
    receiver.watch.expect("zip: net::ERR_ABORTED")  # type: ignore[attr-defined]
    receiver.get_by_role("link", name="file 1.txt", exact=True).click()
    expect(receiver.get_by_role("heading")).to_have_text("file 1.txt")
    assert violations(receiver) == []


@pytest.mark.full
def test_files_are_sent_by_a_link_and_not_shown_again(
    site: Site, alice: Page, open_page: OpenPage
) -> None:
    alice.goto(site.url("/-/files/source/docs"))
    url = make_link(alice, "Upload link…")
    sender = open_page(**PHONE)
    sender.goto(url)
    sent = [
        {"name": f"{n}.txt", "mimeType": "text/plain", "buffer": b"sent %d" % n} for n in range(2)
    ]
    sender.locator("input[type=file]").first.set_input_files(sent)  # type: ignore[arg-type]
    expect(sender.locator(".upload-row[data-state=done]")).to_have_count(2)
    assert violations(sender) == []
    expect(sender.get_by_role("button", name="Copy id")).to_have_count(0)
    sender.reload()
    expect(sender.get_by_text("0.txt")).to_have_count(0)
    listed = alice.request.get(site.url("/-/files/source/docs.json")).json()["files"]
    assert sorted(one["filename"] for one in listed) == ["0.txt", "1.txt"]
    assert {one["uploaded_by"] for one in listed} == {None}


@pytest.mark.full
def test_an_upload_link_works_without_scripts(site: Site, alice: Page, open_page: OpenPage) -> None:
    alice.goto(site.url("/-/files/source/docs"))
    url = make_link(alice, "Upload link…")
    sender = open_page(java_script_enabled=False, **PHONE)
    sender.goto(url)
    sender.locator("input[type=file]").set_input_files(
        {"name": "plain.txt", "mimeType": "text/plain", "buffer": b"plain"}
    )
    sender.get_by_role("button", name="Upload", exact=True).click()
    expect(sender.get_by_role("status")).to_contain_text("The file has arrived")
