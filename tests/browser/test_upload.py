"""Uploading through the page: the ways in, what is shown meanwhile, what is offered at the end."""

import hashlib
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.support.browser.site import Site
from tests.support.browser.uploading import Uploading
from tests.support.browser.watch import Watch
from tests.support.fixtures import fixture


@pytest.fixture
def upload(site: Site, page: Page) -> Uploading:
    """The upload page of ``docs``."""
    return Uploading(page).open(site)


def make(folder: Path, name: str, content: bytes | None = None) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name.encode() if content is None else content)
    return path


def tab_to(target: Locator) -> None:
    """By the Tab key alone."""
    for _ in range(30):
        if target.evaluate("(element) => element === document.activeElement"):
            return
        target.page.keyboard.press("Tab")
    pytest.fail("the keyboard does not get there")


# The ways in


def test_chosen_files_are_stored_with_their_bytes(
    site: Site, upload: Uploading, tmp_path: Path
) -> None:
    paths = [make(tmp_path, f"{number}.txt") for number in range(7)]
    upload.choose(*paths)
    expect(upload.headline).to_have_text("7 files uploaded")
    assert sorted(site.contents()) == [path.read_bytes() for path in paths]
    assert {file["content_type"] for file in site.files()} == {"text/plain"}


@pytest.mark.full
def test_files_without_bytes_are_files(site: Site, upload: Uploading, tmp_path: Path) -> None:
    upload.choose(make(tmp_path, "empty.txt", b""))
    expect(upload.headline).to_have_text("1 file uploaded")
    assert [file["size"] for file in site.files()] == [0]


def test_files_and_folders_are_dropped_with_their_paths(
    site: Site, upload: Uploading, tmp_path: Path
) -> None:
    make(tmp_path, "holiday/b10.txt")
    make(tmp_path, "holiday/b9.txt")
    make(tmp_path, "holiday/a day/c.txt")
    make(tmp_path, "holiday/a day/deeper still/d.txt")
    upload.drag([make(tmp_path, "alone.txt"), tmp_path / "holiday"])
    expect(upload.headline).to_have_text("5 files uploaded")
    assert upload.page.locator(".upload-title").all_inner_texts() == [
        "alone.txt",
        "holiday/b9.txt",
        "holiday/b10.txt",
        "holiday/a day/c.txt",
        "holiday/a day/deeper still/d.txt",
    ]
    assert {file["filename"] for file in site.files()} == {
        "alone.txt",
        "b9.txt",
        "b10.txt",
        "c.txt",
        "d.txt",
    }


@pytest.mark.full
def test_a_folder_is_chosen(site: Site, upload: Uploading, tmp_path: Path) -> None:
    make(tmp_path, "album/inner/one.txt")
    with upload.page.expect_file_chooser() as chooser:
        upload.button("Choose a folder").click()
    chooser.value.set_files(tmp_path / "album")
    expect(upload.headline).to_have_text("1 file uploaded")
    expect(upload.page.locator(".upload-path")).to_have_text("album/inner/")


PASTE = """(element) => {
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File(["pasted"], "image.txt", {type: "text/plain"}));
    element.dispatchEvent(
        new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
}"""


@pytest.mark.full
def test_files_are_pasted(site: Site, upload: Uploading) -> None:
    upload.page.locator("body").evaluate(PASTE)
    expect(upload.headline).to_have_text("1 file uploaded")
    # What is pasted into a field elsewhere is that field's.
    upload.page.evaluate("document.body.append(document.createElement('textarea'))")
    upload.page.locator("textarea").evaluate(PASTE)
    expect(upload.rows).to_have_count(1)
    assert site.contents() == [b"pasted"]


@pytest.mark.full
def test_a_drop_beside_the_zone_is_taken_and_does_not_leave_the_page(
    site: Site, upload: Uploading, tmp_path: Path
) -> None:
    upload.drag([make(tmp_path, "beside.txt")], target="h1")
    expect(upload.headline).to_have_text("1 file uploaded")
    assert upload.page.url == site.url("/-/files/upload/docs")


@pytest.mark.full
def test_a_drag_is_shown_until_it_ends(upload: Uploading, tmp_path: Path) -> None:
    path = make(tmp_path, "dragged.txt")
    upload.drag([path], "dragOver")
    expect(upload.element).to_have_attribute("data-dragging", "")
    upload.drag([path], "dragOver", target="h1")
    expect(upload.element).not_to_have_attribute("data-dragging", "")
    upload.drag([path])
    expect(upload.headline).to_have_text("1 file uploaded")
    expect(upload.element).not_to_have_attribute("data-dragging", "")


def test_keyboard_alone_uploads_and_copies(upload: Uploading, tmp_path: Path) -> None:
    page = upload.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab_to(upload.button("Choose files"))
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(make(tmp_path, "typed.txt"))
    expect(upload.headline).to_have_text("1 file uploaded")
    tab_to(upload.button("Copy id of typed.txt"))
    page.keyboard.press("Enter")
    expect(upload.button("Copied")).to_be_focused()
    link = upload.page.get_by_role("link", name="typed.txt")
    assert page.evaluate("navigator.clipboard.readText()") in (link.get_attribute("href") or "")


@pytest.mark.full
def test_focus_is_kept_when_its_button_goes(
    upload: Uploading, site: Site, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("ERR_ABORTED")
    site.hold()
    upload.choose(*[make(tmp_path, f"{n}.bin", bytes(4_000_000)) for n in range(2)])
    expect(upload.row("0.bin")).to_have_attribute("data-state", "sending")
    upload.button("Cancel 0.bin").press("Enter")
    expect(upload.button("Retry 0.bin")).to_be_focused()
    upload.button("Remove 0.bin").press("Enter")
    expect(upload.button("Cancel 1.bin")).to_be_focused()
    upload.button("Cancel 1.bin").press("Enter")
    expect(upload.headline).to_have_text("1 file cancelled")
    upload.button("Remove 1.bin").press("Enter")
    expect(upload.button("Choose files")).to_be_focused()
    site.release()


@pytest.mark.full
def test_clearing_the_list_keeps_focus_and_is_not_told_as_an_outcome(
    upload: Uploading, tmp_path: Path
) -> None:
    upload.choose(make(tmp_path, "one.txt"))
    expect(upload.announced).to_have_text("1 file uploaded.")
    upload.button("Clear list").press("Enter")
    expect(upload.button("Choose files")).to_be_focused()
    expect(upload.announced).to_have_text("")


def test_the_form_works_without_scripts(site: Site, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(java_script_enabled=False)
    page.goto(site.url("/-/files/upload/docs"))
    page.get_by_label("File to upload to Documents").set_input_files(make(tmp_path, "plain.txt"))
    page.get_by_role("button", name="Upload", exact=True).click()
    assert page.locator("h1").inner_text() == "plain.txt"
    assert site.contents() == [b"plain.txt"]


# What is declared and shown


@pytest.mark.full
def test_the_digest_of_what_is_sent_is_declared(
    site: Site, upload: Uploading, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 1000
    with upload.page.expect_request("**/-/prepare") as prepared:
        upload.choose(make(tmp_path, "a.bin", content))
    declared = prepared.value.post_data_json
    assert declared["sha256"] == hashlib.sha256(content).hexdigest()
    assert (declared["filename"], declared["size"]) == ("a.bin", len(content))


@pytest.mark.full
def test_a_file_too_large_to_digest_in_memory_goes_without(
    site: Site, upload: Uploading, tmp_path: Path
) -> None:
    path = make(tmp_path, "large.bin", b"")
    with path.open("ab") as file:
        file.truncate(64 * 1024 * 1024 + 1)
    with upload.page.expect_request("**/-/prepare") as prepared:
        upload.choose(path)
    assert "sha256" not in prepared.value.post_data_json
    expect(upload.headline).to_have_text("1 file uploaded", timeout=60_000)
    assert [file["size"] for file in site.files()] == [path.stat().st_size]


@pytest.mark.full
def test_four_are_sent_at_once_and_progress_is_told_in_bytes(
    site: Site, upload: Uploading, tmp_path: Path
) -> None:
    site.hold()
    upload.choose(*[make(tmp_path, f"{n}.bin", bytes(16 * 1024 * 1024)) for n in range(6)])
    sending = upload.page.locator('.upload-row[data-state="sending"]')
    expect(sending).to_have_count(4)
    expect(upload.page.locator('.upload-row[data-state="queued"]')).to_have_count(2)
    expect(sending.first.locator(".upload-status")).to_contain_text(" MB of 16.0 MB")
    expect(upload.headline).to_have_text("Uploading: 0 of 6 files done")
    status = upload.page.locator(".upload-summary .upload-status")
    expect(status).to_contain_text(" MB of 96.0 MB")
    expect(status).to_contain_text("/s ·")
    expect(status).to_contain_text("left")
    expect(upload.announced).to_contain_text("Uploading: 0 of 6 files done")
    site.release()
    expect(upload.headline).to_have_text("6 files uploaded", timeout=60_000)
    expect(upload.announced).to_have_text("6 files uploaded.")


@pytest.mark.full
def test_images_are_previewed_and_their_memory_is_given_back(
    upload: Uploading, tmp_path: Path
) -> None:
    upload.page.evaluate("""() => {
        window.live = new Set();
        const [make, free] = [URL.createObjectURL, URL.revokeObjectURL];
        URL.createObjectURL = (blob) => { const url = make(blob); live.add(url); return url; };
        URL.revokeObjectURL = (url) => { live.delete(url); free(url); };
    }""")
    huge = tmp_path / "huge.png"
    Image.new("1", (10_000, 10_000)).save(huge)  # few bytes, which would take 400 MB to show
    upload.choose(
        fixture("photos/phone.jpg").path, make(tmp_path, "broken.png", b"not a picture"), huge
    )
    expect(upload.headline).to_have_text("3 files uploaded")
    expect(upload.row("phone.jpg").locator("img")).to_have_js_property("complete", True)
    expect(upload.row("broken.png").locator(".upload-tile")).to_have_text("PNG")
    expect(upload.row("huge.png").locator(".upload-tile")).to_have_text("PNG")
    assert upload.page.evaluate("live.size") == 0
    upload.button("Clear list").click()
    expect(upload.rows).to_have_count(0)


HOSTILE = [
    "<img src=x onerror=alert(1)>.txt",
    "&lt;b&gt;\"' {{ 7*7 }}.txt",
    "\u202etxt.exe",
    "%2e%2e%2f#?.txt",
    "𝓤nicode 漢字 " + "long" * 50,
]


def test_hostile_names_are_text(site: Site, upload: Uploading) -> None:
    upload.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    upload.choose(*[{"name": name, "mimeType": "text/plain", "buffer": b"x"} for name in HOSTILE])
    expect(upload.headline).to_have_text(f"{len(HOSTILE)} files uploaded")
    # Characters that turn others around are marked.
    shown = [name.replace("\u202e", "\ufffd") for name in HOSTILE]
    assert upload.page.locator(".upload-name").all_text_contents() == shown
    assert {file["filename"] for file in site.files()} == set(HOSTILE)
    expect(upload.page.locator(".upload-row img")).to_have_count(0)


# The end


@pytest.mark.full
def test_the_end_offers_links_and_ids(site: Site, upload: Uploading, tmp_path: Path) -> None:
    page = upload.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    upload.choose(make(tmp_path, "one.txt"), make(tmp_path, "two.txt"))
    expect(upload.headline).to_have_text("2 files uploaded")
    ids = {file["filename"]: file["id"] for file in site.files()}
    upload.button("Copy id of two.txt").click()
    expect(upload.button("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == ids["two.txt"]
    upload.button("Copy all ids").click()
    expect(upload.button("Copied")).to_have_count(2)
    assert page.evaluate("navigator.clipboard.readText()").split() == [
        ids["one.txt"],
        ids["two.txt"],
    ]
    page.get_by_role("link", name="one.txt").click()
    expect(page.locator("h1")).to_have_text("one.txt")
    page.wait_for_load_state()
    page.go_back()
    Uploading(page).choose(tmp_path / "one.txt")
    page.get_by_role("link", name="View in Documents").click()
    page.wait_for_url(site.url("/-/files/source/docs"))


@pytest.mark.full
def test_who_may_not_browse_gets_ids_but_no_links(
    make_site: MakeSite, page: Page, tmp_path: Path
) -> None:
    site = make_site(permissions={"files-upload": True}, base_url="/prefix/")
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "dropped off.txt"))
    expect(upload.headline).to_have_text("1 file uploaded")
    expect(upload.button("Copy id of dropped off.txt")).to_be_visible()
    expect(upload.element.get_by_role("link")).to_have_count(0)
    assert [path.name for path in site.stored()] == ["dropped_off.txt"]


@pytest.mark.full
def test_uploads_work_under_a_prefix(make_site: MakeSite, page: Page, tmp_path: Path) -> None:
    site = make_site(base_url="/prefix/")
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "prefixed.txt"))
    expect(upload.headline).to_have_text("1 file uploaded")
    page.get_by_role("link", name="prefixed.txt").click()
    expect(page.locator("h1")).to_have_text("prefixed.txt")
    assert "/prefix/-/files/df-" in page.url


def test_the_source_page_uploads_too(site: Site, page: Page, tmp_path: Path) -> None:
    page.goto(site.url("/-/files/source/docs"))
    upload = Uploading(page)
    upload.choose(make(tmp_path, "from the list.txt"))
    expect(upload.headline).to_have_text("1 file uploaded")
    assert [file["filename"] for file in site.files()] == ["from the list.txt"]


@pytest.mark.full
def test_what_is_pasted_on_the_source_page_is_seen(site: Site, page: Page) -> None:
    site.upload(b"before", "before.txt")
    page.goto(site.url("/-/files/source/docs"))
    upload = Uploading(page)
    expect(upload.element).to_be_hidden()
    page.locator("body").evaluate(PASTE)
    expect(upload.row("image.txt")).to_be_visible()
    expect(upload.headline).to_have_text("1 file uploaded")


@pytest.mark.full
def test_the_names_of_all_that_failed_can_be_copied(
    make_site: MakeSite, page: Page, tmp_path: Path
) -> None:
    """The list shows the first thirty of them."""
    site = make_site(sources={"docs": {"max_file_size": 3}})
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    upload = Uploading(page).open(site)
    folder = tmp_path / "scans"
    for number in range(70):
        make(folder, f"{number:02}.txt", b"long" if number else b"ok")
    upload.drag([folder])
    expect(upload.headline).to_have_text("1 file uploaded, 69 failed")
    upload.button("Copy names of failed").click()
    expect(upload.button("Copied")).to_be_visible()
    lines = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert lines == [f"scans/{number:02}.txt\tToo large" for number in range(1, 70)]
