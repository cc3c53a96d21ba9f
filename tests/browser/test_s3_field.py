"""File columns whose source is on S3: bytes go from the dialog to the store, under the policy."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import OpenPage
from tests.browser.test_s3 import apply_cors, proxy
from tests.browser.test_upload import make
from tests.support.browser.fields import Dialog, People
from tests.support.browser.site import Site
from tests.support.faults.proxy import FaultProxy
from tests.support.fixtures import fixture
from tests.support.moto_server import new_prefix, own_bucket

__all__ = ["proxy"]  # a fixture

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    return People(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def site(
    people: People, proxy: FaultProxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    config = own_bucket().config(new_prefix(), endpoint_url=proxy.url)
    site = Site(
        tmp_path_factory.mktemp("site"),
        sources={"docs": {"storage": "s3", "config": config}},
        settings={"plugins.strict-csp.storage": proxy.url},
        **people.arguments(photo={"type": "file", "config": {"accept": "image/*"}}),
    )
    with site.server:
        apply_cors(config, site.server.url)
        yield site


@pytest.mark.parametrize("width", [1280, 390])
def test_files_are_uploaded_to_the_store_and_chosen_from_it(
    site: Site,
    people: People,
    open_page: OpenPage,
    proxy: FaultProxy,
    tmp_path: Path,
    width: int,
) -> None:
    site.empty()
    people.fill(name="Ada")
    dialog = Dialog(open_page(viewport={"width": width, "height": 900}))
    sent: list[str] = []
    dialog.page.on("request", lambda request: sent.append(f"{request.method} {request.url}"))
    dialog.edit(site)
    photo = fixture("photos/phone.jpg").path
    dialog.upload("photo", [photo], "Upload a file")
    expect(dialog.names("photo")).to_have_text(["phone.jpg"])
    dialog.upload("papers", [make(tmp_path, "a.txt"), make(tmp_path, "b.txt")], "Upload files")
    expect(dialog.names("papers")).to_have_count(2)
    assert len([one for one in sent if one.startswith(f"POST {proxy.url}")]) == 3
    dialog.saved()
    dialog.edit(site)
    dialog.choose("papers", "phone.jpg")
    expect(dialog.names("papers")).to_have_count(3)
    dialog.saved()
    assert people.value("photo") == people.ids()[2]
    assert photo.read_bytes() in site.contents()
