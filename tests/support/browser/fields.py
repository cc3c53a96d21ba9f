"""Datasette's dialogs with file columns, as a person meets them, and the rows that they write."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.conftest import OPEN
from tests.support.browser.site import Site

#: ``photo`` takes images of ``pictures``; ``papers`` any files; ``scan``, never null, small ones.
_TYPES: dict[str, Any] = {
    "photo": {"type": "file", "config": {"source": "pictures", "accept": "image/*"}},
    "papers": {"type": "files"},
    "scan": {"type": "file", "config": {"source": "docs", "max_size": 2048}},
}


class People:
    """A table ``people`` with file columns: ``id, name, photo, papers, scan``."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "data.db"
        with self._open() as conn:
            conn.execute(
                "CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, photo TEXT, papers TEXT,"
                " scan TEXT NOT NULL DEFAULT '')"
            )

    def arguments(self, **types: Any) -> dict[str, Any]:
        """For a Site that shows it and lets everybody write to it."""
        return {
            "databases": [self.path],
            "permissions": {**OPEN, "insert-row": True, "update-row": True},
            "config": {
                # Else a page that was seen in the last 5 seconds comes from the browser's cache.
                "settings": {"default_cache_ttl": 0},
                "databases": {
                    "data": {"tables": {"people": {"column_types": {**_TYPES, **types}}}}
                },
            },
        }

    def fill(self, **values: str | None) -> int:
        """The table holds one row, with these values. Its id."""
        names = ", ".join(values)
        with self._open() as conn:
            conn.execute("DELETE FROM people")
            row = conn.execute(
                f"INSERT INTO people ({names}) VALUES ({', '.join('?' * len(values))})",
                list(values.values()),
            ).lastrowid
        assert row is not None
        return row

    def value(self, column: str) -> Any:
        """The cell of the newest row."""
        with self._open() as conn:
            (found,) = conn.execute(f"SELECT {column} FROM people ORDER BY id DESC").fetchone()
        return found

    def ids(self, column: str = "papers") -> list[str]:
        found: list[str] = json.loads(self.value(column))
        return found

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, isolation_level=None, timeout=30)


class Dialog:
    """Datasette's dialog for a row. Steps act as a person does; locators are for ``expect``."""

    def __init__(self, page: Page) -> None:
        self.page = page
        # While somebody listens no dialog of the browser's opens.
        page.on("filechooser", lambda _: None)
        self.element = page.locator("dialog.row-edit-dialog")
        self.picker = page.locator("dialog.picker-dialog")

    def edit(self, site: Site) -> Dialog:
        """Open it for the first row of the table."""
        self.page.goto(site.url("/data/people"))
        self.page.locator("button[data-row-action=edit]").first.click()
        expect(self.field("papers").get_by_role("button", name="Choose files")).to_be_visible()
        return self

    def insert(self, site: Site) -> Dialog:
        self.page.goto(site.url("/data/people"))
        self.page.locator("button[data-table-action=insert-row]").click()
        expect(self.field("photo").get_by_role("button", name="Choose a file")).to_be_visible()
        return self

    def field(self, column: str) -> Locator:
        """The element that edits a column."""
        return self.element.locator(f".row-edit-plugin-control[data-column={column}] .files-field")

    def names(self, column: str) -> Locator:
        return self.field(column).locator(".files-field-item .picker-name")

    def save(self) -> None:
        self.element.locator("button[type=submit]").click()

    def saved(self) -> None:
        """Save, and be done."""
        self.save()
        expect(self.element).to_be_hidden()

    def choose(self, column: str, *names: str, button: str = "Choose files") -> None:
        """By mouse, in the picker."""
        self.field(column).get_by_role("button", name=button).first.click()
        for name in names:
            self.option(name).click()
        if self.picker.is_visible() and self.adds.is_visible():
            self.adds.click()
        expect(self.picker).to_be_hidden()

    @property
    def options(self) -> Locator:
        """The files that the picker offers."""
        return self.picker.locator(".picker-option")

    def option(self, name: str) -> Locator:
        return self.options.filter(has_text=name)

    @property
    def adds(self) -> Locator:
        """The button that takes what is chosen."""
        return self.picker.locator(".picker-footer .upload-primary")

    def upload(self, column: str, paths: Sequence[Any], button: str) -> None:
        """By the button of the field, in the browser's own dialog."""
        with self.page.expect_file_chooser() as chooser:
            self.field(column).get_by_role("button", name=button, exact=True).click()
        chooser.value.set_files(list(paths))

    def paste(self, content: str, name: str, content_type: str) -> None:
        """A file from the clipboard, to whatever has the focus."""
        self.page.evaluate(
            """([content, name, type]) => {
                const clipboardData = new DataTransfer();
                const bytes = Uint8Array.from(content, (letter) => letter.charCodeAt(0));
                clipboardData.items.add(new File([bytes], name, {type}));
                document.activeElement.dispatchEvent(
                    new ClipboardEvent("paste", {clipboardData, bubbles: true, cancelable: true}));
            }""",
            [content, name, content_type],
        )
