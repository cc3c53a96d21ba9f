"""The upload element as a person meets it: what can be done with it, and what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.support.browser.site import Site


def until(page: Page, expression: str) -> None:
    """Wait for it to be true. How Playwright waits, evaluating in the page, a policy forbids."""
    while not page.evaluate(expression):
        page.wait_for_timeout(20)


class Uploading:
    """The element on a page. Steps act as a person does; locators are for ``expect``."""

    def __init__(self, page: Page) -> None:
        self.page = page
        # While somebody listens no dialog opens; to listen only now and then may come too late.
        page.on("filechooser", lambda _: None)
        self.element = page.locator("datasette-file-upload")
        self.rows = page.locator(".upload-row")
        self.headline = page.locator(".upload-headline")
        self.announced = page.locator("datasette-file-upload > .files-hidden[role=status]")

    def open(self, site: Site, source: str = "docs") -> Uploading:
        """Go to a source's upload page."""
        self.page.goto(site.url(f"/-/files/upload/{source}"))
        expect(self.button("Choose files")).to_be_visible()
        return self

    def button(self, name: str) -> Locator:
        return self.element.get_by_role("button", name=name, exact=True)

    def row(self, name: str) -> Locator:
        """The row of the file of that name."""
        return self.rows.filter(has=self.page.get_by_text(name, exact=True))

    def choose(self, *paths: Path | dict[str, object]) -> None:
        """By the button, in the browser's own dialog."""
        with self.page.expect_file_chooser() as chooser:
            self.button("Choose files").click()
        chooser.value.set_files(list(paths))  # type: ignore[arg-type]

    def drag(self, paths: Sequence[Path], step: str = "drop", target: str = ".upload-zone") -> None:
        """By a mouse from the desktop: as far as ``dragEnter``, ``dragOver`` or ``drop``."""
        box = self.page.locator(target).bounding_box()
        assert box is not None
        session = self.page.context.new_cdp_session(self.page)
        data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
        point = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
        for kind in ("dragEnter", "dragOver", "drop"):
            session.send("Input.dispatchDragEvent", {"type": kind, **point, "data": data})
            if kind == step:
                break

    def collect_events(self) -> None:
        """From now on keep the element's events, for ``events``."""
        self.page.evaluate("""() => {
            window.told = [];
            const types = ["datasette-file-uploaded", "datasette-file-failed",
                           "datasette-files-finished"];
            for (const type of types) {
                document.addEventListener(type, (event) => told.push([type, event.detail]));
            }
        }""")

    def events(self) -> list[tuple[str, dict[str, object]]]:
        collected: list[tuple[str, dict[str, object]]] = self.page.evaluate("told")
        return collected
