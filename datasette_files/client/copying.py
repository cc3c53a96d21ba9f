"""Copies from one source of a server into another: the bytes pass through the client.

A file of a server is sent as a local one (sending.py), so that a large one goes on after a break.
Its bytes are read by Range as they are sent, and kept nowhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from ..errors import Conflict, RangeUnsatisfiable
from .fetching import address_of
from .sending import Tell
from .server import Server, Unreachable, error_of

_WHOLE_OR_PART = (200, 206)


@dataclass(frozen=True)
class RemoteFile:
    """A file of a server, by its record, as ``Sending`` takes one."""

    server: Server = field(repr=False)
    record: dict[str, Any] = field(repr=False)
    #: A copy is a file of its own.
    replaces: None = None

    @property
    def name(self) -> str:
        return str(self.record["filename"])

    @property
    def content_type(self) -> str | None:
        kind: str | None = self.record["content_type"]
        return kind

    @property
    def folder(self) -> str:
        return str(self.record["folder"])

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self.record["tags"])

    @property
    def sha256(self) -> str | None:
        algorithm, _, digest = (self.record["content_hash"] or "").partition(":")
        return digest if algorithm == "sha256" else None

    def opened(self) -> tuple[int, str]:
        """Its size in bytes, and its id, under which no byte changes. Raises Conflict."""
        if self.record["size"] is None:
            raise Conflict("The size of the file is not known; fetch it with get, then put it")
        return self.record["size"], f"{self.server.url} {self.record['id']}"

    async def chunks(self, start: int, size: int, tell: Tell) -> AsyncIterator[bytes]:
        """``size`` bytes from ``start``. Raises as the server says, Unreachable for fewer."""
        if not size:
            return
        headers = {"Range": f"bytes={start}-{start + size - 1}", "Accept-Encoding": "identity"}
        url = await address_of(self.server, self.record["id"])
        async with self.server.stream("GET", url, headers) as answer:
            if answer.status_code not in _WHOLE_OR_PART:
                await answer.aread()
                raise error_of(answer)
            if answer.status_code == 200 and (start, size) != (0, self.record["size"]):
                raise RangeUnsatisfiable("The storage answers no ranges; use get, then put")
            async for chunk in answer.aiter_bytes():
                size -= len(chunk)
                if size < 0:
                    raise Conflict("The file has more bytes than its record tells; verify it")
                yield chunk
                tell(len(chunk))
        if size:
            raise Unreachable("The download ended early; try again", sent=True)
