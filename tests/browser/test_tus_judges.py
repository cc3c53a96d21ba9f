"""Clients of tus that nobody here wrote, in Chromium: tus-js-client and Uppy's plugin."""

from __future__ import annotations

import hashlib
import json
import random

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import MakeSite
from tests.support.browser.judges import bundled
from tests.support.browser.site import Site
from tests.support.browser.uploading import until
from tests.support.browser.watch import Watch

pytestmark = pytest.mark.full

_SIZE = 20 * 1024 * 1024 + 5
#: Chunks of 4 MiB, and a first try that is aborted in the midst.
_TUS_JS = """async ([endpoint, content]) => {
    const file = new File([content()], "judge.bin", {lastModified: 7});
    const options = {endpoint, chunkSize: 4 * 1024 * 1024, metadata: {filename: file.name},
                     retryDelays: [100, 1000, 3000], removeFingerprintOnSuccess: true};
    const upload = (more) => new Promise((resolve, reject) => {
        const one = new judges.tus.Upload(file, {...options, ...more(() => one, resolve),
                                                 onError: reject});
        one.findPreviousUploads().then(([previous]) => {
            if (previous) one.resumeFromPreviousUpload(previous);
            one.start();
        }, reject);
    });
    await upload((one, resolve) => ({
        onChunkComplete: (_, sent) => { if (sent >= 8 * 1024 * 1024) one().abort().then(resolve); },
    }));
    await upload((_, resolve) => ({onSuccess: resolve}));
    return "done";
}"""
_UPPY = """async ([endpoint, content]) => {
    const uppy = new judges.Uppy().use(judges.Tus, {endpoint, chunkSize: 4 * 1024 * 1024});
    uppy.addFile({name: "judge.bin", data: new File([content()], "judge.bin")});
    const {successful, failed} = await uppy.upload();
    return failed.length === 0 && successful.length === 1 ? "done" : failed[0].error;
}"""


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A script that defines ``judges``: the clients in one bundle."""
    clients = {
        "tus": ("*", "tus-js-client"),
        "Uppy": ("default", "@uppy/core"),
        "Tus": ("default", "@uppy/tus"),
    }
    return bundled(clients, tmp_path_factory.mktemp("judges"))


@pytest.mark.parametrize("script", [_TUS_JS, _UPPY], ids=["tus-js-client", "uppy"])
def test_a_client_of_others_uploads(
    make_site: MakeSite, page: Page, watch: Watch, judges: str, script: str
) -> None:
    site = make_site(base_url="/prefix/")
    page.goto(site.url("/-/versions"))
    page.evaluate(judges)
    endpoint = site.url("/-/files/upload/docs/-/tus")
    seed = random.Random(3).randbytes(1021)
    page.evaluate(
        """([seed, size]) => { globalThis.content = () => {
            const bytes = new Uint8Array(size);
            for (let at = 0; at < size; at++) bytes[at] = seed[at % seed.length];
            return bytes;
        } }""",
        [list(seed), _SIZE],
    )
    page.evaluate(
        f"""(endpoint) => {{ globalThis.outcome = null;
        ({script})([endpoint, content]).then((told) => outcome = told,
                                             (error) => outcome = String(error)); }}""",
        endpoint,
    )
    until(page, "outcome !== null")
    assert page.evaluate("outcome") == "done"
    _judge(site, seed)


def _judge(site: Site, seed: bytes) -> None:
    (file,) = site.files()
    expected = (seed * (_SIZE // len(seed) + 1))[:_SIZE]
    assert (file["filename"], file["size"]) == ("judge.bin", _SIZE)
    assert site.contents() == [expected]
    record = json.dumps(site.server.get_json(f"{file['url']}.json"))
    assert hashlib.sha256(expected).hexdigest() in record
    site.wait_until(lambda: len(site.stored()) == 1)
