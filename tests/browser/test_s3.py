"""Pages of a source on S3, under the strict policy: bytes go between the browser and the store.

The page and the store have different ports, so different origins. Moto lets every origin in; the
store that the environment names may be one that holds its bucket's CORS rules against us.
"""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage
from tests.browser.test_file_page import seek
from tests.browser.test_upload import make
from tests.conftest import missing
from tests.support.browser.samples import upload_sample
from tests.support.browser.site import Site
from tests.support.browser.uploading import Uploading
from tests.support.browser.watch import Watch
from tests.support.faults.proxy import FaultProxy
from tests.support.moto_server import new_prefix, shared_store

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultProxy]:
    """The store as browser and Datasette reach it."""
    endpoint = shared_store().endpoint
    if not endpoint.startswith("http:"):
        missing("An S3 that the browser trusts (the environment names one with an own certificate)")
    host, port = endpoint.removeprefix("http://").split(":")
    proxy = FaultProxy((host, int(port)))
    yield proxy
    proxy.refuse_connections()


@pytest.fixture(scope="module")
def _shared(proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    options = {"endpoint_url": proxy.url, "multipart_threshold_bytes": 16 * 1024 * 1024}
    config = shared_store().config(new_prefix(), **options)
    site = Site(
        tmp_path_factory.mktemp("site"),
        sources={"docs": {"storage": "s3", "config": config}},
        settings={"plugins.strict-csp.storage": proxy.url},
    )
    with site.server:
        apply_cors(config, site.server.url)
        yield site


@pytest.fixture
def site(_shared: Site, proxy: FaultProxy) -> Iterator[Site]:
    """``docs`` is in the store, and empty."""
    proxy.asked.clear()
    yield _shared
    proxy.heal()
    _shared.empty()


def apply_cors(config: dict[str, Any], origin: str) -> None:
    """As an administrator does."""
    arguments = ["-s", "plugins.datasette-files.sources.docs.storage", "s3"]
    for name, value in config.items():
        arguments += ["-s", f"plugins.datasette-files.sources.docs.config.{name}", str(value)]
    command = [sys.executable, "-m", "datasette", "files", "s3-cors", "docs", "--origin", origin]
    command += ["--apply", "--json", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout)["applied"] is True


def test_a_file_goes_straight_to_the_store(
    site: Site, page: Page, tmp_path: Path, proxy: FaultProxy
) -> None:
    upload = Uploading(page).open(site)
    content = hashlib.sha256(b"seed").digest() * (8 * 1024 * 1024 // 32)
    sent: list[tuple[str, str]] = []
    page.on("request", lambda request: sent.append((request.method, request.url)))
    page.evaluate("""() => {
        window.shown = new Set();
        const look = () => {
            const bar = document.querySelector(".upload-row progress");
            if (bar) shown.add(bar.value / bar.max);
            requestAnimationFrame(look);
        };
        look();
    }""")
    upload.choose(make(tmp_path, "large.bin", content))
    expect(upload.headline).to_have_text("1 file uploaded", timeout=60_000)

    posts = [url for method, url in sent if method == "POST"]
    (to_store,) = [url for url in posts if url.startswith(proxy.url)]
    assert not [url for url in posts if url.endswith("/-/upload")]
    shares = page.evaluate("[...shown]")
    assert all(0 <= share <= 1 for share in shares)
    (file,) = site.files()
    record = site.server.get_json(f"{file['url']}.json")
    assert record["content_hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert site.contents() == [content]
    assert shared_store().bucket in to_store


def test_large_file_goes_straight_to_the_store_in_parts(
    site: Site, page: Page, tmp_path: Path, proxy: FaultProxy
) -> None:
    upload = Uploading(page).open(site)
    content = hashlib.sha256(b"seed").digest() * (33 * 1024 * 1024 // 32)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    upload.choose(make(tmp_path, "large.bin", content))
    expect(upload.headline).to_have_text("1 file uploaded", timeout=120_000)
    parts = [one for one in sent if one.startswith(f"PUT {proxy.url}")]
    assert len(parts) == 3
    assert not [one for one in sent if one.startswith(f"POST {proxy.url}")]
    (file,) = site.files()
    record = site.server.get_json(f"{file['url']}.json")
    assert record["content_hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert site.contents() == [content]


@pytest.mark.full
def test_a_name_of_any_kind_and_no_bytes_at_all_arrive(
    site: Site, page: Page, tmp_path: Path, proxy: FaultProxy
) -> None:
    upload = Uploading(page).open(site)
    name = 'Zürich "1" & <b>+%41 日本.txt'
    upload.choose(make(tmp_path, name, b"text"), make(tmp_path, "empty.txt", b""))
    expect(upload.headline).to_have_text("2 files uploaded")
    assert {file["filename"]: file["size"] for file in site.files()} == {name: 4, "empty.txt": 0}


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (400, "EntityTooLarge", "Too large. More bytes arrived than were announced."),
        (503, "SlowDown", "Storage unavailable"),
        (403, "AccessDenied", "Storage failed. The storage answered 403 AccessDenied."),
    ],
)
@pytest.mark.full
def test_what_the_store_refuses_is_told(
    site: Site,
    page: Page,
    watch: Watch,
    tmp_path: Path,
    proxy: FaultProxy,
    status: int,
    code: str,
    told: str,
) -> None:
    proxy.answers(status, code, "PostObject")
    watch.expect(f"the server responded with a status of {status}")
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "a.txt"))
    expect(upload.headline).to_have_text("1 file failed", timeout=30_000)
    expect(upload.row("a.txt")).to_contain_text(told)
    assert site.files() == []
    if code != "EntityTooLarge":
        upload.button("Retry a.txt").click()
        expect(upload.headline).to_have_text("1 file uploaded", timeout=60_000)


@pytest.mark.full
def test_a_store_that_cannot_be_reached_is_named(
    site: Site, page: Page, watch: Watch, tmp_path: Path, proxy: FaultProxy
) -> None:
    proxy.resets("PostObject", times=10)
    watch.expect("ERR_CONNECTION_RESET", "failed: POST")
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "a.txt"))
    expect(upload.headline).to_have_text("1 file failed", timeout=30_000)
    host = proxy.url.removeprefix("http://")
    expect(upload.row("a.txt")).to_contain_text(
        f"The storage at {host} cannot be reached, or does not accept uploads from this site."
    )


def test_a_video_plays_from_where_one_seeks(
    site: Site, open_page: OpenPage, proxy: FaultProxy
) -> None:
    record = upload_sample(site, "video")
    page = open_page()
    statuses: list[int] = []
    page.on(
        "response",
        lambda response: (
            statuses.append(response.status) if response.url.startswith(proxy.url) else None
        ),
    )
    page.goto(site.url(record["url"]))
    assert seek(page.locator(".files-preview video")) > 0.1
    assert set(statuses) == {206}


@pytest.mark.parametrize("kind", ["image", "pdf"])
def test_what_is_shown_comes_from_the_store_under_the_policy(
    site: Site, page: Page, proxy: FaultProxy, kind: str
) -> None:
    record = upload_sample(site, kind)
    with page.expect_response(lambda response: response.url.startswith(proxy.url)) as answered:
        page.goto(site.url(record["url"]))
    assert answered.value.status in (200, 206)
    page.wait_for_load_state("networkidle")


@pytest.mark.full
def test_a_download_is_saved_under_its_name(site: Site, page: Page, watch: Watch) -> None:
    watch.expect("net::ERR_ABORTED")  # as the page stays, and the browser's own list goes on
    record = site.upload(b"text", "Zürich 日本.txt", content_type="text/plain")
    page.goto(site.url(record["url"]))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").first.click()
    assert download.value.suggested_filename == "Zürich 日本.txt"
    assert download.value.path().read_bytes() == b"text"
