"""Files in the cells of Datasette's own pages: one request for all, at both widths, by policy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from playwright.sync_api import Page, Request, expect

from tests.browser.conftest import MakeSite, OpenPage
from tests.browser.test_manners import _SHIFTS
from tests.conftest import OPEN
from tests.support.browser.axe import violations
from tests.support.browser.site import Site
from tests.support.columns import ABSENT, column_types, make_people
from tests.support.fixtures import fixture

pytestmark = pytest.mark.full

ROWS = 100
HOSTILE = "<img src=x onerror=alert(1)> \u202egpj.exe"


def fill(site: Site, path: Path) -> dict[str, Any]:
    """A photo for each of a hundred people, and for some papers too; ids by what they are."""
    photo = fixture("photos/orientation-1.jpg").path.read_bytes()
    names = [HOSTILE, *(f"a rather long name of a photo, {number}.jpg" for number in range(4))]
    ids = [site.upload(photo, name, content_type="image/jpeg")["id"] for name in names]
    ids += [site.upload(b"x", f"{number}.txt")["id"] for number in range(len(ids), ROWS)]
    secret = site.upload(b"x", "secret.txt", source="closed", content_type="text/plain")["id"]
    papers = [site.upload(b"x", f"{at}.txt", content_type="text/plain")["id"] for at in "123456"]
    with sqlite_utils.Database(path) as database:
        table = database["people"]
        for number in range(1, ROWS + 1):
            table.update(number, {"photo": ids[number - 1]})
        table.update(1, {"papers": papers})
        table.update(2, {"papers": [papers[0], ABSENT, secret]})
        table.update(3, {"photo": secret, "papers": papers[:1]})
        table.update(4, {"photo": ABSENT, "papers": "not JSON"})
        database["plain"].insert({"id": 1, "text": "x"}, pk="id")
    return {"photo": ids[0], "papers": papers, "secret": secret}


def requests_of(page: Page) -> list[str]:
    """The paths of the requests for files that the page makes from now on, without ``base_url``."""
    made: list[str] = []

    def note(request: Request) -> None:
        if "/-/files/" in request.url:
            made.append(request.url.partition("/under/here/-/files/")[2])

    page.on("request", note)
    return made


def inline(page: Page) -> int:
    """How many inline scripts, styles and handlers the page holds."""
    return page.locator("script:not([src]), style, [style], [onclick], [onerror]").count()


def test_a_page_of_a_hundred_files_asks_once_and_shows_them(
    make_site: MakeSite, open_page: OpenPage, tmp_path: Path
) -> None:
    path = tmp_path / "data.db"
    make_people(path, ROWS)
    site = make_site(
        base_url="/under/here/",
        sources={"docs": {}, "closed": {}},
        permissions={**OPEN, "files-browse": {"docs": {"allow": True}}},
        databases=[path],
        config=column_types(),
    )
    ids = fill(site, path)
    page = open_page(viewport={"width": 1280, "height": 900})
    page.goto(site.url("/data/plain"))
    theirs = inline(page)
    made = requests_of(page)
    page.goto(site.url("/data/people"))
    names = page.locator("td.col-photo .file-cell-name")
    expect(names).to_have_count(ROWS)

    # One request for their names, and pictures only of what is near.
    asked = [url for url in made if not url.endswith("/thumbnail")]
    assert len(asked) == 1, asked
    assert asked[0].startswith("batch.json?id=")
    assert asked[0].count("id=df-") > ROWS
    page.wait_for_load_state("networkidle")
    assert len(made) < 60
    # As many as Datasette has by itself: one script with the table's data differs, none is ours.
    assert inline(page) <= theirs

    # A name is text.
    expect(names.first).to_have_text(
        "<img src=x onerror=alert(1)> \N{REPLACEMENT CHARACTER}gpj.exe"
    )
    first = page.locator("tr", has=page.get_by_text("Ada 1", exact=True))
    expect(first.locator("td.col-photo a")).to_have_attribute(
        "href", f"/under/here/-/files/{ids['photo']}"
    )
    expect(first.locator("td.col-photo .file-cell-size")).to_have_text("4.3 KB")
    # Several, as pictures with names for who cannot see them, and how many more.
    several = first.locator("td.col-papers")
    expect(several.get_by_role("link")).to_have_count(4)
    expect(several.get_by_role("link", name="3.txt", exact=True)).to_be_visible()
    expect(several.locator(".file-cell-more")).to_contain_text("+2")
    several.get_by_role("link", name="3.txt").focus()
    expect(several.locator("a:focus .file-cell-name")).to_be_in_viewport()
    # What was deleted looks like what is closed.
    forbidden, missing = (
        page.locator("tr", has=page.get_by_text(name, exact=True)).locator("td.col-photo")
        for name in ("Ada 3", "Ada 4")
    )
    expect(forbidden).to_contain_text("Not available")
    assert forbidden.inner_html().replace(ids["secret"], "") == missing.inner_html().replace(
        ABSENT, ""
    )
    expect(page.get_by_text("not JSON")).to_be_visible()
    assert violations(page, within="tbody tr:nth-child(-n + 4)") == []
    # A fifth of what counts as steady (web.dev/cls: 0.1) is usual, more where the names come late.
    assert page.evaluate(_SHIFTS) <= 0.05

    # On its own page a row has room for all, and a query's columns need no types.
    page.goto(site.url("/data/people/1"))
    expect(page.locator("td.col-papers .file-cell-size")).to_have_count(6)
    assert violations(page, within="tbody tr:nth-child(-n + 4)") == []
    # Datasette's own editor of SQL, by what Jinja makes of a choice, is beyond the policy's hashes.
    page.watch.expect("inline style violates", "inline script violates")  # type: ignore[attr-defined]
    page.goto(site.url("/data/-/query?sql=select+photo,+papers+from+people+limit+3"))
    expect(page.locator(".file-cell-name")).to_have_count(3 + 4 + 3 + 1)
    page.goto(site.url("/data/plain"))
    expect(page.locator('script[src*="file-cells"]')).to_have_count(0)

    # A file's page tells where it is used, and its deletion says so first.
    page.goto(site.url(f"/-/files/{ids['papers'][0]}"))
    uses = page.get_by_role("region", name="Used in")
    expect(uses.get_by_role("link", name="Ada 3")).to_have_attribute(
        "href", "/under/here/data/people/3"
    )
    expect(page.locator("#files-uses-status")).to_have_text("Used in: 3 rows refer to this file")
    assert page.evaluate(_SHIFTS) <= 0.05
    page.get_by_role("button", name="Delete file…").click()
    expect(page.get_by_role("dialog")).to_contain_text("It is in use: 3 rows refer to it")
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []

    narrow = open_page(viewport={"width": 390, "height": 900}, color_scheme="dark")
    narrow.goto(site.url("/data/people"))
    expect(narrow.locator("td.col-photo .file-cell-name")).to_have_count(ROWS)
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(narrow, within="tbody tr:nth-child(-n + 4)") == []


@pytest.mark.full
def test_cells_are_links_without_scripts_and_when_the_names_cannot_be_had(
    make_site: MakeSite, open_page: OpenPage, tmp_path: Path
) -> None:
    path = tmp_path / "data.db"
    make_people(path)
    site = make_site(databases=[path], config=column_types())
    file_id = site.upload(b"x", "a.txt")["id"]
    sqlite_utils.Database(path)["people"].update(1, {"photo": file_id, "papers": [file_id, ABSENT]})
    plain = open_page(java_script_enabled=False)
    plain.goto(site.url("/data/people"))
    expect(plain.get_by_role("link", name=file_id)).to_have_count(2)
    expect(plain.get_by_role("link", name=ABSENT)).to_be_visible()
    plain.goto(site.url(f"/-/files/{file_id}"))
    plain.get_by_role("link", name="Where this file is used").click()
    expect(
        plain.get_by_role("region", name="Used in").get_by_role("link", name="Ada 1")
    ).to_have_count(2)

    page = open_page()
    page.watch.expect("503")  # type: ignore[attr-defined]
    body = json.dumps({"ok": False, "error": "down", "code": "storage_unavailable"})
    page.route("**/batch.json*", lambda route: route.fulfill(status=503, body=body))
    page.goto(site.url("/data/people"))
    link = page.locator("td.col-photo").get_by_role("link", name=file_id)
    expect(link).to_have_attribute(
        "title", "The file's name could not be loaded; reload the page to try again"
    )
    # A row that is drawn anew, as after an edit, asks again.
    page.unroute("**/batch.json*")
    page.locator("td.col-photo").evaluate(
        """(cell, id) => {
            const link = Object.assign(document.createElement("a"), {textContent: id});
            link.setAttribute("href", `/-/files/${id}`);
            const made = document.createElement("datasette-file");
            made.append(link);
            cell.replaceChildren(made);
        }""",
        file_id,
    )
    expect(page.locator("td.col-photo .file-cell-name")).to_have_text("a.txt")
