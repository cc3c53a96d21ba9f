"""The complaints of a page: console, uncaught errors, refused policies, failed requests."""

from __future__ import annotations

import re

from playwright.sync_api import ConsoleMessage, Page, Request


class Watch:
    """Collects the complaints of a page. A test names those that it brings about by ``expect``."""

    def __init__(self, page: Page, *, scripts: bool = True) -> None:
        self._scripts = scripts
        self._complaints: list[str] = []
        self._expected: list[str] = []
        self._allowed: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._complaints.append(f"page error: {error}"))
        page.on("requestfailed", self._request)
        page.on("crash", lambda _: self._complaints.append("the page crashed"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self._complaints.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if request.url.startswith(("chrome-extension:", "chrome:")):
            return  # the browser's own viewer of PDF, which gives up streams that it has read
        if not self._scripts and request.failure == "csp":
            return  # a module that was to be loaded early, and now is not
        if request.failure == "net::ERR_ABORTED" and (
            "/-/static" in request.url  # the test left the page before it had all of its files
            or "/thumbnail" in request.url  # and pictures
            # and what its scripts ask for: names, uses of a file, a list after an upload
            or (request.resource_type == "fetch" and request.method == "GET")
            or request.url.endswith(".zip")  # so Chromium calls a page that became a download
            or request.resource_type == "media"  # the browser has read of it what it shows
        ):
            return
        self._complaints.append(f"failed: {request.method} {request.url}: {request.failure}")

    def expect(self, *patterns: str) -> None:
        """Regular expressions of complaints that belong to the test; each has to come."""
        self._expected.extend(patterns)

    def allow(self, *patterns: str) -> None:
        """Regular expressions of complaints that the browser makes in some runs only."""
        self._allowed.extend(patterns)

    @property
    def surprises(self) -> list[str]:
        """Complaints that nobody expected, and expectations that nothing met."""
        unmet = [
            f"expected, but did not come: {pattern}"
            for pattern in self._expected
            if not any(re.search(pattern, complaint) for complaint in self._complaints)
        ]
        unexpected = [
            complaint
            for complaint in self._complaints
            if not any(re.search(pattern, complaint) for pattern in self._expected + self._allowed)
        ]
        return unexpected + unmet
