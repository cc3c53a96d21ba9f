"""A real Datasette with our pages, for a browser to visit, and what a test asks it afterwards."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from itsdangerous import URLSafeSerializer
from playwright.sync_api import Page

from tests.conftest import OPEN, disk_source
from tests.support.server import Server

_SOURCES: dict[str, dict[str, Any]] = {
    "docs": {"label": "Documents"},
    "pictures": {
        "label": "Pictures",
        "max_file_size": 100_000,
        "allowed_content_types": ["image/*"],
    },
}
_PLUGINS = Path(__file__).with_name("plugins")


class Site:
    """One server. Everybody may do everything; the sources are on disk, ``docs`` by default.

    ``pictures`` takes images of at most 100,000 bytes. Every page comes under the policy of
    ``plugins/strict_csp.py``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sources: dict[str, dict[str, Any]] | None = None,
        permissions: dict[str, Any] | None = None,
        base_url: str = "/",
        databases: Sequence[Path] = (),
        config: dict[str, Any] | None = None,
        settings: dict[str, str] | None = None,
        plugins: Path = _PLUGINS,
        **plugin: Any,
    ) -> None:
        self._folder = folder
        self._base_url = base_url
        configured = {
            slug: {**disk_source(self.root(slug)), **more}
            for slug, more in (sources or _SOURCES).items()
        }
        self._sources = list(configured)
        self.server = Server(
            folder,
            {
                "plugins": {"datasette-files": {"sources": configured, **plugin}},
                "permissions": OPEN if permissions is None else permissions,
                **(config or {}),
            },
            plugins=plugins,
            databases=list(databases),
            arguments=[
                argument
                for name, value in {"base_url": base_url, **(settings or {})}.items()
                for argument in ("--setting", name, value)
            ],
        )

    def root(self, source: str = "docs") -> Path:
        """Where a source keeps its files."""
        return self._folder / source

    def url(self, path: str) -> str:
        """An address of a path as the docs write it, without ``base_url``."""
        return f"{self.server.url}{self._base_url}{path.removeprefix('/')}"

    def files(self, source: str = "docs") -> list[dict[str, Any]]:
        """The source's files as its list gives them, the oldest first; at most 200."""
        path = self._base_url + f"-/files/source/{source}.json?_size=max&_sort=created_at"
        listed: list[dict[str, Any]] = self.server.get_json(path)["files"]
        return listed

    def contents(self, source: str = "docs") -> list[bytes]:
        """The bytes of the source's files, the oldest first."""
        urls = [self.server.url + file["download_url"] for file in self.files(source)]
        return [urllib.request.urlopen(url, timeout=30).read() for url in urls]

    def stored(self, source: str = "docs") -> list[Path]:
        """Whatever lies in the source's folder, finished or not."""
        return sorted(path for path in self.root(source).rglob("*") if path.is_file())

    def upload(
        self,
        content: bytes,
        filename: str,
        *,
        source: str = "docs",
        content_type: str = "application/octet-stream",
    ) -> dict[str, Any]:
        """Upload by one PUT, past the pages. The file's record."""
        request = urllib.request.Request(
            self.url(f"/-/files/upload/{source}/{quote(filename, safe='')}"),
            content,
            {"Content-Type": content_type, "Accept": "application/json"},
            method="PUT",
        )
        with urllib.request.urlopen(request, timeout=30) as response:
            record: dict[str, Any] = json.load(response)["file"]
            return record

    def wait_until(self, holds: Callable[[], bool], timeout: float = 30.0) -> None:
        """For what the server does of its own accord, soon after."""
        deadline = time.monotonic() + timeout
        while not holds():
            assert time.monotonic() < deadline, "the server did not get there"
            time.sleep(0.02)

    def empty(self) -> None:
        """Delete every file."""
        for source in self._sources:
            while listed := self.files(source):
                for file in listed:
                    request = urllib.request.Request(self.server.url + file["url"], method="DELETE")
                    urllib.request.urlopen(request, timeout=30).close()

    def sign_in(self, page: Page, actor: dict[str, Any]) -> None:
        """As Datasette's own sign-in does."""
        cookie = URLSafeSerializer("test", "actor").dumps({"a": actor})
        page.context.add_cookies([{"name": "ds_actor", "value": cookie, "url": self.server.url}])

    def hold(self) -> None:
        """From now on no upload gets further than its first megabyte."""
        (self._folder / "hold").touch()

    def release(self) -> None:
        (self._folder / "hold").unlink()

    @property
    def holds(self) -> bool:
        return (self._folder / "hold").exists()
