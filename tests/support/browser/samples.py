"""Files for the pages to show, and the pages that show them."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.support.browser.site import Site
from tests.support.fixtures import fixture

#: A name that tries what a name can: markup, quotes, a changed direction, no place to break.
HOSTILE = "<img src=x onerror=alert(1)>\"'&amp; \u202efdp.exe " + "x" * 900 + ".txt"

#: By what a test calls them: the samples with a preview of their own.
SAMPLES = {
    "image": "photos/phone.jpg",
    "audio": "media/tone.mp3",
    "video": "media/clip.webm",
    "pdf": "documents/one-page.pdf",
    "text": "documents/note.md",
    "table": "documents/towers.csv",
    "binary": "odd/nuls.bin",
}


def upload_sample(site: Site, kind: str) -> dict[str, Any]:
    """One of ``SAMPLES``. Its record."""
    file = fixture(SAMPLES[kind])
    return site.upload(file.path.read_bytes(), file.path.name, content_type=file.content_type)


def upload_samples(site: Site) -> dict[str, dict[str, Any]]:
    """Every one, and last a small text with the hostile name. Their records."""
    records = {kind: upload_sample(site, kind) for kind in SAMPLES}
    records["hostile"] = site.upload(b"<b>text</b>", HOSTILE, content_type="text/plain")
    return records


def pages(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Path by name of every page that shows them, without ``base_url``."""
    return {
        "index": "/-/files",
        "source": "/-/files/source/docs",
        "filtered": "/-/files/source/docs?content_type=audio&uploaded_by=bob",
        "empty source": "/-/files/source/pictures",
        "search": "/-/files/search?q=tower",
        "no hit": "/-/files/search?q=zzzz&source=docs",
        "import": f"/-/files/import/{records['table']['id']}",
        **{kind: f"/-/files/{record['id']}" for kind, record in records.items()},
    }


def settle(page: Page) -> None:
    """Wait for what a page goes on loading: leaving it before that fails those requests."""
    page.evaluate("""() => Promise.allSettled([...document.images].map((image) => {
        image.loading = "eager";
        return image.decode();
    }))""")
    if page.locator("iframe, audio, video, link[rel=modulepreload]").count():
        # The viewer of PDF is a page of the browser, with dozens of files of its own.
        page.wait_for_load_state("networkidle")
