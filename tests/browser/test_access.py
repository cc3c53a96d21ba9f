"""Access to one file: given and taken in datasette-acl's dialog, told on the file's page."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.conftest import missing
from tests.support.browser.axe import violations

pytestmark = pytest.mark.full

_ADMIN = {"id": "admin"}
_ALICE = {"id": "alice"}
#: Loads datasette-acl as Datasette loads what is installed, and tests/__init__.py leaves out.
_LOADED = """
from importlib.metadata import distribution
import datasette_acl
from datasette.plugins import pm
from pluggy._manager import DistFacade
pm.register(datasette_acl, name="datasette-acl")
pm._plugin_distinfo.append((datasette_acl, DistFacade(distribution("datasette-acl"))))
"""


def test_the_dialog_grants_a_file_and_takes_it_back(
    make_site: MakeSite, open_page: OpenPage, tmp_path: Path
) -> None:
    if find_spec("datasette_acl") is None:
        missing("datasette-acl")
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "acl.py").write_text(_LOADED)
    site = make_site(
        sources={"docs": {"label": "Cellar of papers"}},
        permissions={
            "files-upload": {"unauthenticated": True},
            "files-browse": {"docs": {"allow": _ADMIN}},
            "datasette-acl": _ADMIN,
        },
        plugins=plugins,
    )
    file = site.upload(b"hello", "hello.txt", content_type="text/plain")
    admin = open_page(viewport={"width": 1280, "height": 900})
    site.sign_in(admin, _ADMIN)
    admin.goto(site.url(file["url"]))
    access = admin.get_by_role("region", name="Who can see it")
    expect(access).to_contain_text("Only people with permission. You have it for the whole source.")
    assert violations(admin) == []
    # Of the dialog's own scripts.
    admin.watch.expect("Unknown config option")  # type: ignore[attr-defined]
    access.get_by_role("link", name="Change for this file").click()
    admin.locator("#id_new_actor_id").fill("alice")
    choice = admin.locator(".new-user-grid .choices").last
    choice.click()
    choice.locator(".choices__list--dropdown").get_by_text("files-view").click()
    admin.keyboard.press("Escape")
    admin.locator(".permissions-form [type=submit]").click()
    expect(admin.locator(".message-info")).to_contain_text("alice")

    alice = open_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    site.sign_in(alice, _ALICE)
    alice.goto(site.url("/-/files"))
    alice.get_by_role("link", name="listed here").click()
    alice.wait_for_url(site.url("/-/files/search"))  # with its scripts, for the viewer
    alice.get_by_role("link", name="hello.txt").click()
    alice.get_by_role("link", name="Open page").click()
    expect(alice.get_by_role("heading", level=1)).to_have_text("hello.txt")
    told = alice.get_by_role("region", name="Who can see it")
    expect(told).to_contain_text("Only people with permission. You have it for this file.")
    expect(alice.locator("body")).not_to_contain_text("Cellar of papers")
    assert violations(alice) == []

    admin.goto(site.url(file["url"]))
    expect(access.get_by_role("listitem")).to_have_text("alice: Viewer of this file")
    access.get_by_role("link", name="Change for this file").click()
    admin.locator(".permission-row", has_text="alice").locator(".choices__button").click()
    admin.locator(".permissions-form [type=submit]").click()
    expect(admin.locator(".message-info")).to_contain_text("Removed")
    alice.watch.expect("403")  # type: ignore[attr-defined]
    alice.reload()
    expect(alice.locator("body")).to_contain_text("files-view")
