"""The harness itself notices what it is there to notice."""

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import MakeSite, OpenPage
from tests.support.browser.axe import violations
from tests.support.browser.site import Site
from tests.support.browser.watch import Watch

pytestmark = pytest.mark.full


def test_a_clean_page_is_found_clean(site: Site, page: Page) -> None:
    page.goto(site.url("/-/files/upload/docs"))
    assert violations(page) == []


def test_inline_script_and_style_are_refused_and_noticed(
    site: Site, page: Page, watch: Watch
) -> None:
    watch.expect("inline script violates", "inline style violates")
    page.goto(site.url("/-/files"))
    page.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = true";
        document.body.append(script);
        document.body.setAttribute("style", "color: red");
    }""")
    assert page.evaluate("window.ran") is None


def test_uncaught_errors_and_missing_resources_are_noticed(
    site: Site, page: Page, watch: Watch
) -> None:
    page.goto(site.url("/-/files"))
    page.evaluate("setTimeout(() => { throw new Error('from a test') })")
    page.evaluate("fetch('/-/files/nowhere')")
    page.wait_for_function("true")
    assert len(watch.surprises) == 2
    watch.expect("from a test", "404")


def test_accessibility_faults_are_noticed(site: Site, page: Page) -> None:
    page.goto(site.url("/-/files/upload/docs"))
    page.evaluate("document.querySelector('.content').append(new Image())")
    assert [line.split()[0] for line in violations(page)] == ["image-alt", "region"]


def test_a_shared_site_is_emptied(site: Site) -> None:
    site.upload(b"hello", "a name / with, all.txt")
    assert [file["filename"] for file in site.files()] == [" with, all.txt"]
    site.empty()
    assert site.files() == []


def test_an_actor_signs_in_under_a_prefix(make_site: MakeSite, open_page: OpenPage) -> None:
    site = make_site(base_url="/prefix/", permissions={"files-browse": {"id": "alice"}})
    page = open_page()
    site.sign_in(page, {"id": "alice"})
    page.goto(site.url("/-/files/source/docs"))
    assert page.locator(".actor").inner_text() == "alice"
