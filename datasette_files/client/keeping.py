"""A server's sources as a client keeps them in order: usage, verification, manifest, index.

Leaves out files themselves (client.py).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from ..errors import Invalid, TimedOut
from .server import Server

#: A file, job, share or source as the HTTP API answers it.
Record = dict[str, Any]

_PAGE = 200
#: Seconds between two looks at a job.
_LOOK_SECONDS = 0.5
_ENDED = ("finished", "error", "cancelled", "interrupted")


class Keeping:
    """The methods about a source as a whole, for who has ``files-manage`` on it."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def usage(self, source: str) -> Record:
        """The bytes and files of a source, by actor, type and folder; for ``files-manage``."""
        return await self._server.ask("GET", f"/-/files/source/{checked_slug(source)}/usage.json")

    async def findings(self, source: str) -> tuple[list[Record], list[Record]]:
        """The latest passes of the server's verification of a source, and all their findings."""
        path = f"/-/files/source/{checked_slug(source)}/verify.json"
        found: list[Record] = []
        after: str | None = None
        while True:
            page = await self._server.ask("GET", path, params=place(after))
            found += page["findings"]
            after = page.get("next")
            if after is None:
                return list(page["passes"]), found

    async def verify(
        self,
        source: str,
        *,
        data: bool = False,
        share: str | None = None,
        max_duration: float | None = None,
    ) -> tuple[Record, list[Record]]:
        """Have the server verify a source. Returns the ended job, and every finding open then.

        ``share`` is a part of the paths, such as ``2/7``; ``max_duration`` is in seconds.
        """
        asked = await self._server.ask(
            "POST",
            f"/-/files/source/{checked_slug(source)}/verify/-/start",
            json={"data": data, "share": share, "max_duration": max_duration},
        )
        job = await self._ended(f"{asked['job']['url']}.json")
        return job, (await self.findings(source))[1]

    async def manifest(self, source: str) -> AsyncIterator[Record]:
        """Each file of a source, in the order of paths, as ``{"id", "path", "sha256"}``.

        ``sha256`` is None while it is not known. For ``files-manage``.
        """
        path = f"/-/files/source/{checked_slug(source)}/manifest.json"
        after: str | None = None
        while True:
            page = await self._server.ask("GET", path, params=place(after))
            for entry in page["files"]:
                yield entry
            after = page["next"]
            if after is None:
                return

    async def index(self, source: str, *, accept_missing: bool = False) -> Record:
        """Have the server walk over a source's storage; return the ended walk."""
        path = f"/-/files/source/{checked_slug(source)}/index"
        asked = await self._server.ask(
            "POST", f"{path}/-/start", json={"accept_missing": accept_missing}
        )
        while True:
            walks = (await self._server.ask("GET", f"{path}.json"))["walks"]
            found = [walk for walk in walks if walk["id"] == asked["walk"]["id"]]
            if not found:
                raise TimedOut("The server forgot the walk; start it again")
            if found[0]["ended_at"] is not None:
                return dict(found[0])
            await asyncio.sleep(_LOOK_SECONDS)

    async def _ended(self, url: str) -> Record:
        """A job, once it has ended."""
        while True:
            job = await self._server.ask("GET", self._server.answered(url))
            if job["status"] in _ENDED:
                return job
            await asyncio.sleep(_LOOK_SECONDS)


def place(after: str | None) -> list[tuple[str, str]]:
    """The arguments of one page of a list."""
    return [("_size", str(_PAGE)), *([] if after is None else [("_next", str(after))])]


def checked_slug(source: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,200}", source):
        raise Invalid(f"{source!r} is no source; `sources` lists them")
    return source
