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
from tests.support.browser.judges import bundled
from tests.support.browser.samples import upload_sample
from tests.support.browser.site import Site
from tests.support.browser.uploading import Uploading
from tests.support.browser.watch import Watch
from tests.support.faults.proxy import FaultProxy
from tests.support.faults.s3_scene import store_proxy
from tests.support.moto_server import new_prefix, shared_store

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def proxy() -> Iterator[FaultProxy]:
    """The store as browser and Datasette reach it."""
    endpoint = shared_store().endpoint
    if not endpoint.startswith("http:"):
        missing("An S3 that the browser trusts (the environment names one with an own certificate)")
    proxy = store_proxy()
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
def test_what_a_busy_store_refuses_is_sent_again(
    site: Site, page: Page, watch: Watch, tmp_path: Path, proxy: FaultProxy
) -> None:
    proxy.answers(503, "SlowDown", "PostObject")
    watch.expect("the server responded with a status of 503")
    upload = Uploading(page).open(site)
    upload.choose(make(tmp_path, "a.txt"))
    expect(upload.headline).to_have_text("1 file uploaded", timeout=60_000)
    assert len(site.files()) == 1


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


#: ``@uppy/aws-s3`` speaks to Uppy's own server, Companion. A site answers in its place by our API,
#: and the bytes go to the store. After the first part the file is paused, and goes on.
_IN_PARTS = """async ([size, source]) => {
    const file = new File([new Uint8Array(size).fill(7)], "judge.bin");
    const post = async (url, body) => {
        const answer = await fetch(url, {method: "POST", body: JSON.stringify(body),
                                         headers: {"Content-Type": "application/json"}});
        if (!answer.ok) throw new Error(await answer.text());
        return answer.json();
    };
    const prepared = await post(`${source}/-/prepare`, {filename: file.name, size});
    const {upload_token, upload_parts: parts} = prepared;
    const asked = [];
    const answers = async (path, method) => {
        const [, , number] = path.slice(1).split("/");
        asked.push(`${method} ${number ?? ""}`);
        if (path === "/multipart") return {uploadId: "the upload", key: file.name};
        if (number === "complete") {
            await post(`${source}/-/complete`, {upload_token});
            return {location: location.href, key: file.name};
        }
        if (number === undefined) {
            const listed = await post(parts.list_url, {upload_token});
            return listed.parts.map((part) => ({PartNumber: part.number, ETag: "listed"}));
        }
        const signed = await post(parts.sign_url, {upload_token, numbers: [Number(number)]});
        return {url: signed.parts[0].url};
    };
    const fetched = window.fetch;
    window.fetch = async (url, options = {}) => {
        const path = String(url).split("companion/s3")[1];
        if (path === undefined) return fetched(url, options);
        return Response.json(await answers(path.split("?")[0], options.method ?? "GET"));
    };
    const uppy = new judges.Uppy().use(judges.AwsS3, {
        companionEndpoint: `${location.origin}/companion`, shouldUseMultipart: true,
        getChunkSize: () => parts.part_size});
    const id = uppy.addFile({name: file.name, data: file});
    uppy.once("s3-multipart:part-uploaded", () => {
        uppy.pauseResume(id);
        setTimeout(() => uppy.pauseResume(id), 300);
    });
    const {successful, failed} = await uppy.upload();
    if (failed.length || successful.length !== 1) throw new Error(failed[0]?.error);
    return asked;
}"""
#: A file in one piece: its form is the one that *prepare* answers.
_IN_A_FORM = """async ([size, source]) => {
    const file = new File([new Uint8Array(size).fill(7)], "judge.bin");
    const post = (url, body) => fetch(url, {
        method: "POST", body: JSON.stringify(body), headers: {"Content-Type": "application/json"}});
    let token;
    const uppy = new judges.Uppy().use(judges.AwsS3, {shouldUseMultipart: false,
        signRequest: async ({contentType: content_type}) => {
            const declared = {filename: file.name, size, content_type};
            const prepared = await (await post(`${source}/-/prepare`, declared)).json();
            token = prepared.upload_token;
            return {url: prepared.upload_url, fields: prepared.upload_fields};
        }});
    uppy.addFile({name: file.name, data: file});
    const {successful, failed} = await uppy.upload();
    if (failed.length || successful.length !== 1) throw new Error(failed[0]?.error);
    return (await post(`${source}/-/complete`, {upload_token: token})).status;
}"""


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> str:
    clients = {"Uppy": ("default", "@uppy/core"), "AwsS3": ("default", "@uppy/aws-s3")}
    return bundled(clients, tmp_path_factory.mktemp("judges"))


def _judged(site: Site, page: Page, judges: str, script: str, size: int) -> Any:
    """Run a client of others; the file is then whole."""
    page.goto(site.url("/-/versions"))
    page.evaluate(judges)
    page.set_default_timeout(120_000)
    told = page.evaluate(script, [size, site.url("/-/files/upload/docs")])
    (file,) = site.files()
    assert (file["filename"], file["size"]) == ("judge.bin", size)
    assert site.contents() == [b"\7" * size]
    return told


def test_uppy_sends_parts_and_goes_on_after_a_pause(site: Site, page: Page, judges: str) -> None:
    asked = _judged(site, page, judges, _IN_PARTS, 50 * 1024 * 1024 + 1)
    assert asked[0] == "POST "
    assert asked.count("GET ") == 1, "it lists the parts when it goes on"
    assert asked[-1] == "POST complete"
    assert {"GET 1", "GET 2", "GET 3", "GET 4"} <= set(asked)
    assert asked.count("GET 1") == 1, "a part that arrived is not sent again"


def test_uppy_sends_a_form(site: Site, page: Page, watch: Watch, judges: str) -> None:
    if shared_store().is_moto:  # its answer to a form shows the page no header
        watch.expect('Refused to get unsafe header "etag"')
    assert _judged(site, page, judges, _IN_A_FORM, 1_000_000) == 201
