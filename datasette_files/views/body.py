"""The request's body as it arrives, from clients that may stall, be slow or disconnect.

One timer watches each body, rather than one for each chunk; it interrupts only a wait for the
client, never the processing of a chunk.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from ..errors import FilesError, FileTooLarge, Invalid, TimedOut
from ..jobs.parallel import uncancel

Receive = Callable[[], Awaitable[dict[str, Any]]]

#: Seconds without a byte before the request is ended.
IDLE_SECONDS = 30.0
#: A request with fewer bytes a second, over ``IDLE_SECONDS`` of waiting, is ended.
MIN_BYTES_PER_SECOND = 256
#: Seconds for which a refused body is read and thrown away, so that its sender sees the refusal.
DRAIN_SECONDS = 5.0
#: Bytes of JSON and of forms; search text is the largest value in them.
MAX_SMALL_BODY = 1024 * 1024
#: Fields of a form: one for each file on a page of a list, and more.
MAX_FIELDS = 300


class Disconnected(FilesError, code="invalid", status=400):
    """The client went away; no answer can reach it."""


class Body:
    """A request's body. Use as a context manager, iterate once."""

    def __init__(self, receive: Receive, headers: dict[str, str]) -> None:
        self._receive = receive
        self._expects_continue = "100-continue" in headers.get("expect", "").lower()
        self._begun = False
        self._ended = False
        self._waiting_since: float | None = None
        self._waited = 0.0
        self._window = 0
        self._timed_out = False
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Body:
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._look)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = time.monotonic()
        waiting = now - self._waiting_since if self._waiting_since is not None else 0.0
        waited = self._waited + waiting
        too_slow = waited >= IDLE_SECONDS / 2 and self._window < MIN_BYTES_PER_SECOND * waited
        if self._waiting_since is not None and (waiting >= IDLE_SECONDS * 0.9 or too_slow):
            self._timed_out = True
            if self._task is not None:
                self._task.cancel()
            return
        self._waited, self._window = 0.0, 0
        self._timer = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._look)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The chunks. Raises Disconnected, TimedOut."""
        while not self._ended:
            chunk = await self._next()
            if chunk:
                yield chunk

    async def _next(self) -> bytes:
        self._begun = True
        self._waiting_since = begun = time.monotonic()
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if not self._timed_out:
                raise
            uncancel(self._task)
            raise TimedOut(
                f"No bytes, or too few, arrived for {IDLE_SECONDS:g} seconds; send the file again"
            ) from None
        finally:
            self._waiting_since = None
        if message["type"] != "http.request":
            self._ended = True
            raise Disconnected("The client went away before the whole body arrived")
        chunk: bytes = message.get("body", b"")
        self._ended = not message.get("more_body", False)
        self._waited += time.monotonic() - begun
        self._window += len(chunk)
        return chunk

    async def gone(self) -> None:
        """Return once the client has gone away. Discards what it still sends."""
        while (message := await self._receive())["type"] == "http.request":
            # So that ``drain`` does not wait for more.
            self._ended = not message.get("more_body", False)
        self._ended = True

    async def drain(self) -> None:
        """Read and discard the rest for a while, as a client that is sending does not read."""
        if self._ended or (self._expects_continue and not self._begun):
            return
        if self._timer is not None:
            self._timer.cancel()  # the loop below has its own deadline
        deadline = time.monotonic() + DRAIN_SECONDS
        try:
            while not self._ended and (left := deadline - time.monotonic()) > 0:
                await asyncio.wait_for(self._next(), left)
        except (asyncio.TimeoutError, FilesError):
            self._ended = True

    async def small(self) -> bytes:
        """The whole body. Raises FileTooLarge over ``MAX_SMALL_BODY``."""
        parts, size = [], 0
        async for chunk in self:
            size += len(chunk)
            if size > MAX_SMALL_BODY:
                raise FileTooLarge(f"The request body has more than {MAX_SMALL_BODY:,} bytes")
            parts.append(chunk)
        return b"".join(parts)

    async def json(self) -> dict[str, Any]:
        """A JSON object. Raises Invalid."""
        raw = await self.small()
        try:
            value = json.loads(raw or b"{}")
        except (ValueError, RecursionError):
            raise Invalid("The request body is not valid JSON") from None
        if not isinstance(value, dict):
            raise Invalid("The request body must be a JSON object")
        return value

    async def form(self, max_fields: int = MAX_FIELDS) -> dict[str, str]:
        """The fields of an ordinary form, the last of each name. Raises Invalid."""
        return dict(await self.fields(max_fields))

    async def fields(self, max_fields: int = MAX_FIELDS) -> list[tuple[str, str]]:
        """The fields of an ordinary form, in order. Raises Invalid."""
        raw = await self.small()
        try:
            return parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=max_fields)
        except ValueError:
            raise Invalid("The form is malformed") from None
