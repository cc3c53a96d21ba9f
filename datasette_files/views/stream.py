"""Sending a body in chunks to a client that may disconnect or stall; frees every resource."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..errors import FilesError
from ..jobs.parallel import uncancel
from ..sources.reading import Missing
from ..transfer.downloads import Body
from . import cors
from .body import Disconnected
from .http import Call

logger = logging.getLogger("datasette_files")

_T = TypeVar("_T")

#: Seconds without a byte taken by the client before the download is ended.
STALL_SECONDS = 120.0


class Streamed:
    """An answer with an open body."""

    def __init__(self, status: int, headers: dict[str, str], content_type: str, body: Body) -> None:
        self._status = status
        self._headers = {**headers, "Content-Type": content_type}
        self._body = body
        self._chunks_sent = 0
        self._stalled = False
        self._timer: asyncio.TimerHandle | None = None

    async def send(self, call: Call) -> None:
        """Send all, or end before the announced length: a cut body must not look complete."""
        if call.datasette.cors:
            cors.allow(self._headers)
        watcher = asyncio.ensure_future(call.body.gone())
        self._watch(asyncio.current_task(), -1)
        try:
            await call.send(self._start())
            async for chunk in self._body.chunks:
                if watcher.done():
                    return
                await call.send({"type": "http.response.body", "body": chunk, "more_body": True})
                self._chunks_sent += 1
            await call.send({"type": "http.response.body", "body": b"", "more_body": False})
        except Missing:
            return  # logged; the headers are sent, so the only signal is an early end
        except FilesError as error:
            logger.warning("A download broke off: %s", error)
        except asyncio.CancelledError:
            if not self._stalled:
                raise
            uncancel(asyncio.current_task())
            logger.warning("A client took nothing for %g seconds; download ended", STALL_SECONDS)
        finally:
            if self._timer is not None:
                self._timer.cancel()
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

    def _watch(self, task: asyncio.Task[Any] | None, seen: int) -> None:
        if task is not None and seen == self._chunks_sent:
            self._stalled = True
            task.cancel()
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(STALL_SECONDS, self._watch, task, self._chunks_sent)


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
