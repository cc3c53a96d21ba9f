"""Sending a body in chunks: to a client that may vanish or stall, with every resource let go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

from ..downloads import Body
from ..errors import FilesError
from .http import Call

logger = logging.getLogger("datasette_files")

#: Seconds for which a client may take nothing at all before it is given up.
STALL_SECONDS = 120.0


class Streamed:
    """An answer whose body is open."""

    def __init__(
        self, status: int, headers: dict[str, str], content_type: str, body: Body
    ) -> None:
        self._status = status
        self._headers = {**headers, "Content-Type": content_type}
        self._body = body
        self._progress = 0

    async def send(self, call: Call) -> None:
        """Send it all, or close the connection short: a cut body must not look complete."""
        watcher = asyncio.ensure_future(_until_gone(call))
        stall = asyncio.get_running_loop().call_later(
            STALL_SECONDS, self._look, asyncio.current_task(), 0
        )
        try:
            await call.send(self._start())
            async for chunk in self._body.chunks:
                if watcher.done():
                    return
                await call.send({"type": "http.response.body", "body": chunk, "more_body": True})
                self._progress += 1
            await call.send({"type": "http.response.body", "body": b"", "more_body": False})
        except FilesError as error:
            # Headers are out: all that is left is to end the connection before its announced end.
            logger.error("A download broke off: %s", error)  # noqa: TRY400 - logged where raised
        finally:
            stall.cancel()
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
            await self._body.close()

    def _start(self) -> dict[str, Any]:
        headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in self._headers.items()
        ]
        return {"type": "http.response.start", "status": self._status, "headers": headers}

    def _look(self, task: asyncio.Task[Any], progress: int) -> None:
        raise AssertionError


async def _until_gone(call: Call) -> None:
    """Return once the client has gone away."""
    while (await call.request.receive())["type"] != "http.disconnect":
        pass
