"""Has the kernel send a local file (sendfile(2)), or the server, or a proxy before it.

A download through Python copies every byte twice. ASGI has two extensions that hand a file to the
server; where the server offers one, it is used. uvicorn offers none, so ``_Uvicorn`` goes past it:
the headers go through uvicorn, then the file goes to the socket, then the end of the answer goes
through uvicorn again.

The file goes to a duplicate of the socket's descriptor, and not through ``loop.sendfile``:

* ``loop.sendfile`` takes the transport's descriptor out of the loop. A transport that closes
  meanwhile leaves a descriptor that may already be another connection's.
* It sends a gigabyte without a turn for other requests while the client keeps up, and blocks the
  loop on each page that is not in memory.
* It does not tell how far it came, by which a slow client is told from one that has stalled.
* uvloop does not have it.

It leans on these facts, which tests/views/test_sendfile.py checks:

* The ``send`` of uvicorn's two HTTP protocols is a method of a ``RequestResponseCycle``, which has
  the ``transport``, and ``disconnected``; ``conn`` is h11's connection, or httptools' cycle counts
  down ``expected_content_length``.
* Between uvicorn and a view are only wrappers of Datasette that change no byte of the body. With
  any other one, such as a plugin's compression, bytes go through it as before.

TLS, other servers and other systems than Linux: bytes go through Python as before. So does the rest
of a file after any error here; reading it in the ordinary way finds the error and reports it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import h11

from ..models import FileRecord
from ..transfer.downloads import LocalRange, Plan
from .pace import Pace

#: Sends the local range, and moves its position on. Gets the measure of the client and a future
#: that is done once the client has gone. Tells whether the answer is complete.
Way = Callable[[LocalRange, Pace, "asyncio.Future[None]"], Awaitable[bool]]

#: Bytes for one download in one turn of the event loop; nginx has the same limit.
_TURN = 2 * 1024 * 1024
#: Bytes that the kernel should read ahead of a piece that is not in memory.
_READ_AHEAD = 4 * 1024 * 1024
#: Linux alone: where the page cache cannot be asked, a sent page might block the event loop.
_NOWAIT = getattr(os, "RWF_NOWAIT", 0)

#: Datasette's functions around ``send``, by module and name, and the variable that holds the next.
_WRAPPERS = {
    ("datasette.app", "DatasetteRouter.route_path.<locals>.send"): "original_send",
    ("datasette.telemetry", "TelemetryMiddleware.__call__.<locals>.wrapped_send"): "send",
}
_H11 = "uvicorn.protocols.http.h11_impl"
_HTTPTOOLS = "uvicorn.protocols.http.httptools_impl"
_SEND = "RequestResponseCycle.send"

#: The answer of nginx to these would be by the file's time, or 412 for every entity tag.
_CONDITIONS = frozenset(("if-match", "if-modified-since", "if-unmodified-since"))


def way(scope: Mapping[str, Any], send: Any) -> Way | None:
    """The way past Python for this request; None: there is none."""
    extensions = scope.get("extensions") or {}
    if "http.response.zerocopysend" in extensions:
        return partial(_zero_copy, send)
    if "http.response.pathsend" in extensions and Path("/proc/self/fd").exists():
        return partial(_path, send)
    cycle = _cycle(send)
    if cycle is None or not _NOWAIT:
        return None
    transport = cycle.transport
    if transport.get_extra_info("sslcontext") or not transport.get_extra_info("socket"):
        return None
    return partial(_past_uvicorn, cycle)


def amid(scope: Mapping[str, Any], send: Any) -> Way | None:
    """As ``way``, for a file in the middle of a body: the other ways end the answer."""
    found = way(scope, send)
    return found if getattr(found, "func", None) is _past_uvicorn else None


async def _zero_copy(send: Any, local: LocalRange, _pace: Pace, _gone: object) -> bool:
    message = {"file": local.descriptor, "offset": local.position}
    message |= {"count": local.end - local.position, "more_body": False}
    await send({"type": "http.response.zerocopysend", **message})
    return True


async def _path(send: Any, local: LocalRange, _pace: Pace, _gone: object) -> bool:
    """Only for whole files. The path is that of the open file, so that no link can replace it."""
    if local.is_whole:
        path = f"/proc/self/fd/{local.descriptor}"
        await send({"type": "http.response.pathsend", "path": path})
    return local.is_whole


def _cycle(send: Any) -> Any:
    """uvicorn's object of one request and its answer, behind Datasette's wrappers; else None."""
    while variable := _WRAPPERS.get(_named(send)):
        variables = dict(zip(send.__code__.co_freevars, send.__closure__ or (), strict=True))
        if variable not in variables:
            return None
        send = variables[variable].cell_contents
    cycle: Any = getattr(send, "__self__", None)
    if _named(send) == (_H11, _SEND):
        known = isinstance(getattr(cycle, "conn", None), h11.Connection)
    elif _named(send) == (_HTTPTOOLS, _SEND):
        known = isinstance(getattr(cycle, "expected_content_length", None), int)
    else:
        known = False
    known = known and isinstance(getattr(cycle, "disconnected", None), bool)
    return cycle if known and hasattr(cycle, "transport") else None


def _named(function: Any) -> tuple[str, str]:
    return getattr(function, "__module__", ""), getattr(function, "__qualname__", "")


async def _past_uvicorn(
    cycle: Any, local: LocalRange, pace: Pace, gone: asyncio.Future[None]
) -> bool:
    start = local.position
    # OSError: no descriptor is left
    with suppress(OSError), _Transfer(cycle.transport, local, pace) as transfer:
        await asyncio.wait((transfer.ended, gone), return_when=asyncio.FIRST_COMPLETED)
    sent = local.position - start
    # Without a connection there is nobody to count for, and h11 would refuse. A client that has
    # all its bytes may close before this runs; until uvicorn knows, the end is sent and checked.
    if sent and not cycle.disconnected:
        _count(cycle, sent)
    return False


def _count(cycle: Any, sent: int) -> None:
    """Tell uvicorn's protocol of the bytes of the body that did not come through it."""
    if hasattr(cycle, "conn"):
        cycle.conn.send_with_data_passthrough(h11.Data(data=_Sent(sent)))  # type: ignore[arg-type]
    else:
        cycle.expected_content_length -= sent


class _Sent:
    """A placeholder for bytes, of which h11 asks the length ("Support for sendfile()")."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size


class _Transfer:
    """A range on its way to the socket of a transport. Use as a context manager."""

    def __init__(self, transport: asyncio.Transport, local: LocalRange, pace: Pace) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._local = local
        self._pace = pace
        self._socket = -1
        #: Done when all is sent, or when the kernel sends no more.
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def __enter__(self) -> _Transfer:
        self._socket = os.dup(self._transport.get_extra_info("socket").fileno())
        self._wait()
        self._go_on()  # not a turn later, which on a busy machine is milliseconds
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.cancel()
        self._loop.remove_writer(self._socket)
        os.close(self._socket)

    def _wait(self) -> None:
        self._pace.waits()
        self._loop.add_writer(self._socket, self._go_on)

    def _go_on(self) -> None:
        """Send a piece. Runs in each turn of the loop in which the client takes more."""
        local = self._local
        count = min(_TURN, local.end - local.position)
        if self._transport.is_closing():
            self._end()
        elif self._transport.get_write_buffer_size():
            return  # the headers, or the answer before: the transport sends them first
        elif _is_in_memory(local.descriptor, local.position, count):
            try:
                sent = _send(self._socket, local.descriptor, local.position, count)
            except OSError:
                self._end()
            else:
                self._took(sent)
        else:
            self._loop.remove_writer(self._socket)
            self._pace.took(0)
            # Duplicates, as a download that ends does not wait for the thread.
            pair = os.dup(self._socket), os.dup(local.descriptor)
            job = self._loop.run_in_executor(None, _send_from_disk, *pair, local.position, count)
            job.add_done_callback(self._sent_from_disk)

    def _sent_from_disk(self, job: asyncio.Future[int | None]) -> None:
        if job.cancelled() or job.exception() is not None:
            self._end()
        elif not self.ended.done():
            self._took(job.result())
            if not self.ended.done():
                self._wait()

    def _took(self, sent: int | None) -> None:
        self._pace.took(sent or 0)
        self._pace.waits()
        self._local.position += sent or 0
        if sent == 0 or self._local.position == self._local.end:
            self._end()

    def _end(self) -> None:
        self._pace.took(0)
        if not self.ended.done():
            self._loop.remove_writer(self._socket)
            self.ended.set_result(None)


def _is_in_memory(file: int, position: int, count: int) -> bool:
    """Tell whether the first and the last byte are in the page cache, as probably are all."""
    try:
        for place in (position, position + count - 1):
            os.preadv(file, [bytearray(1)], place, _NOWAIT)
    except OSError:
        return False  # not in memory; or the file system cannot tell
    return True


def _send(socket: int, file: int, position: int, count: int) -> int | None:
    """Return the number of bytes that the socket took; None: none now; 0: the file ends here."""
    try:
        return os.sendfile(socket, file, position, count)
    except BlockingIOError:
        return None


def _send_from_disk(socket: int, file: int, position: int, count: int) -> int | None:
    """Do as ``_send``, and close both descriptors. Runs in a thread."""
    try:
        os.posix_fadvise(file, position, _READ_AHEAD, os.POSIX_FADV_WILLNEED)
        return _send(socket, file, position, count)
    finally:
        os.close(socket)
        os.close(file)


def for_proxy(file: FileRecord, plan: Plan, request: Mapping[str, str]) -> dict[str, str] | None:
    """Return the headers by which nginx sends the file; None: answer this request without it.

    nginx answers ranges itself, so the answer is of the whole file. ``request`` is its headers.
    """
    if plan.status not in (200, 206) or _CONDITIONS.intersection(request):
        return None
    # nginx adds its own of these, beside ours.
    own = ("Accept-Ranges", "Content-Range")
    headers = {name: value for name, value in plan.headers.items() if name not in own}
    headers["Content-Length"] = "0"
    headers["X-Accel-Redirect"] = f"/-/files-bytes/{file.source_slug}/{quote(file.path)}"
    return headers
