"""Sending a body in chunks to a client that may disconnect or stall; frees every resource."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..errors import FilesError
from ..jobs.parallel import uncancel
from ..sources.reading import Missing
from ..transfer.downloads import Body
from . import cors
from .body import Disconnected
from .http import Call
from .pace import Pace
from .sendfile import Amid, Way

logger = logging.getLogger("datasette_files")

_T = TypeVar("_T")

#: Seconds between two looks at how much the client took. Fewer bytes a second of waiting for it
#: end the download.
STALL_SECONDS = 60.0
MIN_BYTES_PER_SECOND = 1024
#: Once a chunk took the client this many seconds, further ones are sent in pieces of this size, so
#: that a look sees what a slow client takes.
_SLOW_SECONDS, _SLOW_BYTES = 0.5, 16 * 1024


class Streamed:
    """An answer with an open body."""

    def __init__(self, status: int, headers: dict[str, str], content_type: str, body: Body) -> None:
        self._status = status
        self._headers = {**headers, "Content-Type": content_type}
        self._body = body
        self._pace = Pace(STALL_SECONDS, MIN_BYTES_PER_SECOND)
        self._is_slow = False

    async def send(self, call: Call, way: Way | None = None, amid: Amid | None = None) -> None:
        """Send all, or end before the announced length: a cut body must not look complete.

        ``way`` sends the body's local file, if it has one, and ``amid`` those among its chunks.
        """
        if call.datasette.cors:
            cors.allow(self._headers)
        watcher = asyncio.ensure_future(call.body.gone())
        self._pace.watch(asyncio.current_task())
        try:
            await call.send(self._start())
            if way is not None and self._body.local is not None:
                is_complete = await way(self._body.local, self._pace, watcher)
                if is_complete or watcher.done():
                    return
            async for chunk in self._body.chunks:
                if watcher.done():
                    return
                if isinstance(chunk, bytes):
                    await self._pass_on(call, chunk)
                elif amid is not None:
                    await amid(chunk, self._pace, watcher)
            await call.send({"type": "http.response.body", "body": b"", "more_body": False})
        except Missing:
            return  # logged; the headers are sent, so the only signal is an early end
        except FilesError as error:
            logger.warning("A download broke off: %s", error)
        except asyncio.CancelledError:
            if not self._pace.stalled:
                raise
            uncancel(asyncio.current_task())
            logger.warning(
                "A client took fewer than %d bytes a second; download ended", MIN_BYTES_PER_SECOND
            )
        finally:
            self._pace.stop()
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
            await self._body.close()

    def _start(self) -> dict[str, Any]:
        # In lower case, as the ASGI specification demands and other plugins expect.
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in self._headers.items()
        ]
        return {"type": "http.response.start", "status": self._status, "headers": headers}

    async def _pass_on(self, call: Call, chunk: bytes) -> None:
        step = _SLOW_BYTES if self._is_slow else max(1, len(chunk))
        began = time.monotonic()
        for start in range(0, len(chunk), step):
            piece = chunk[start : start + step]
            self._pace.waits()
            await call.send({"type": "http.response.body", "body": piece, "more_body": True})
            self._pace.took(len(piece))
        self._is_slow = time.monotonic() - began > _SLOW_SECONDS


async def unless_gone(call: Call, work: Coroutine[Any, Any, _T]) -> _T:
    """The result of ``work``; cancelled, with Disconnected raised, if the client goes away."""
    task, watcher = asyncio.ensure_future(work), asyncio.ensure_future(call.body.gone())
    try:
        await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Disconnected("The client went away")
        return task.result()
    finally:
        for one in (task, watcher):
            one.cancel()
        await asyncio.gather(task, watcher, return_exceptions=True)
