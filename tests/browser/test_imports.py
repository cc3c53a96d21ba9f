"""The whole way from a file's page to a table, with and without scripts."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.support.browser.axe import violations
from tests.support.browser.site import Site
from tests.support.imports import site as imports

pytestmark = pytest.mark.full

PEOPLE = "id;name;height\n1;José;1,5\n2;Bob;\n".encode("cp1252")


@pytest.fixture
def with_data(make_site: MakeSite, tmp_path: Path) -> Site:
    return make_site(permissions=imports.PERMISSIONS, databases=[imports.database(tmp_path)])


def fits(page: Page) -> bool:
    """Whether nothing but the page's own scrolling regions is wider than the page."""
    fitting: bool = page.evaluate(
        "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    return fitting


@pytest.mark.parametrize("scripts", [True, pytest.param(False, marks=pytest.mark.full)])
def test_from_a_files_page_to_its_table(
    with_data: Site, open_page: OpenPage, scripts: bool, tmp_path: Path
) -> None:
    page = open_page(viewport={"width": 1280, "height": 900}, java_script_enabled=scripts)
    record = with_data.upload(PEOPLE, "people.csv", content_type="text/csv")
    page.goto(with_data.server.url + record["url"])
    page.get_by_text("File actions").last.click()
    page.get_by_role("menuitem", name="Import as table").click()
    expect(page.get_by_label("Encoding")).to_have_value("windows-1252")
    expect(page.get_by_label("Delimiter")).to_have_value(";")
    expect(page.get_by_role("cell", name="José")).to_be_visible()
    if scripts:
        assert violations(page) == []
        page.set_viewport_size({"width": 320, "height": 700})
        assert fits(page)
    page.get_by_label("Delimiter").select_option("comma")
    page.get_by_role("button", name="Preview again").click()
    expect(page.get_by_role("columnheader", name="id;name;height")).to_be_visible()
    page.get_by_label("Delimiter").select_option("semicolon")
    page.get_by_role("button", name="Preview again").click()
    page.get_by_label("Type of name").select_option("text")
    page.get_by_label("Table", exact=True).fill("made")
    page.get_by_label("Primary key of a new table").select_option("id")
    page.get_by_role("button", name="Import").click()
    link = page.get_by_role("link", name="data/made")
    expect(link).to_be_visible()
    expect(page.locator(".files-facts")).to_contain_text("finished")
    if scripts:
        assert violations(page) == []
        assert fits(page)
    # Datasette's own page is not held to our policy, so no browser looks at it.
    table = with_data.server.url + str(link.get_attribute("href"))
    with urllib.request.urlopen(table, timeout=30) as answer:
        assert "people.csv" in answer.read().decode().partition("files-origin")[2]
    assert imports.rows(tmp_path / "data.db") == [(1, "José", "1,5"), (2, "Bob", "")]


@pytest.mark.full
def test_a_problem_is_told_and_the_import_started_again(with_data: Site, page: Page) -> None:
    record = with_data.upload(b"a,b\n1,2\n3,4,5\n", "long.csv", content_type="text/csv")
    page.goto(with_data.url(f"/-/files/import/{record['id']}"))
    expect(page.get_by_role("alert")).to_contain_text("Row 2: has 3 values")
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_role("button", name="Start again")).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("Row 2: has 3 values")
    assert violations(page) == []
    page.get_by_role("link", name="Change how it is read").click()
    page.get_by_label("Values beyond the last column").select_option("drop")
    page.get_by_role("button", name="Import").click()
    expect(page.locator(".files-facts")).to_contain_text(re.compile("finished"))
