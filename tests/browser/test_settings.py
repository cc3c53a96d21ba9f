"""A source's settings in a browser: changed, refused beside the field, pinned, reset, recorded."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.conftest import OPEN
from tests.support.browser.axe import violations

pytestmark = pytest.mark.full


def test_settings_are_changed_refused_and_reset(make_site: MakeSite, open_page: OpenPage) -> None:
    site = make_site(
        sources={"docs": {"label": "Documents", "pinned": ["path_template"]}},
        permissions={**OPEN, "files-manage": True},
    )
    page = open_page(viewport={"width": 1280, "height": 900})
    site.sign_in(page, {"id": "alice"})
    page.goto(site.url("/-/files/source/docs"))
    settings = page.get_by_role("link", name="Settings")
    if not settings.is_visible():
        page.get_by_text("More", exact=True).click()
    settings.click()
    expect(page.locator(".files-settings")).to_contain_text("Pinned by the configuration")
    expect(page.locator("[name=path_template]")).to_have_count(0)
    assert violations(page) == []

    # A mistake: everything typed stays, and the error is tied to its field.
    page.get_by_label("Label").fill("Papers")
    size = page.get_by_label("Largest file")
    size.fill("much")
    page.watch.expect("400")  # type: ignore[attr-defined]
    page.get_by_role("button", name="Save settings").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Largest file must be a size such as 500 MB")
    expect(size).to_have_attribute("aria-invalid", "true")
    expect(size).to_have_accessible_description(re.compile("^Largest file must be a size"))
    expect(page.get_by_label("Label")).to_have_value("Papers")
    assert violations(page) == []
    page.get_by_role("link", name="Largest file").press("Enter")
    expect(size).to_be_focused()
    size.fill("1.5 GB")
    size.press("Enter")
    expect(page.locator(".message-info")).to_have_text("The settings are saved")
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings of Papers")
    expect(size).to_have_value("1.5 GB")
    rows = page.locator(".files-rows tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.filter(has_text="Label")).to_contain_text("alice")

    # Somebody else, on a phone, has an older page.
    phone = open_page(viewport={"width": 390, "height": 844}, color_scheme="dark")
    site.sign_in(phone, {"id": "bob"})
    phone.goto(site.url("/-/files/source/docs/settings"))
    page.get_by_label("Days in the trash").fill("7")
    page.get_by_role("button", name="Save settings").click()
    expect(page.locator(".message-info")).to_have_text("The settings are saved")
    phone.get_by_label("Label").fill("Bob’s")
    phone.watch.expect("409")  # type: ignore[attr-defined]
    phone.get_by_role("button", name="Save settings").click()
    expect(phone.get_by_role("alert")).to_contain_text("changed by somebody else")
    expect(phone.get_by_label("Label")).to_have_value("Bob’s")
    assert violations(phone) == []
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390

    page.get_by_role("button", name="Reset to the configuration").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings of Documents")
    expect(page.get_by_role("button", name="Reset to the configuration")).to_have_count(0)
    expect(rows.first).to_contain_text("(reset)")
