"""Has the kernel send a local file (sendfile(2)), or the server, or a proxy before it.

A download through Python copies every byte twice. ASGI has two extensions that hand a file to the
server; where the server offers one, it is used. uvicorn offers none, so ``_Uvicorn`` goes past it:
the headers go through uvicorn, then the file goes to the socket (kernel.py), then the end of the
answer goes through uvicorn again.

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
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import h11

from ..models import FileRecord
from ..transfer.downloads import LocalRange, Plan
from . import kernel
from .pace import Pace

#: Sends the local range, and moves its position on. Gets the measure of the client and a future
#: that is done once the client has gone. Tells whether the answer is complete.
Way = Callable[[LocalRange, Pace, "asyncio.Future[None]"], Awaitable[bool]]
#: As a ``Way``, for ranges one after the other in the middle of a body. The next one is asked for
#: once the one before it, and the bytes before that, are sent; so it ends early after an error.
Amid = Callable[[Iterator[LocalRange], Pace, "asyncio.Future[None]"], Awaitable[None]]

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
    cycle = _plain_cycle(send)
    return None if cycle is None else partial(_past_uvicorn, cycle)


def amid(send: Any) -> Amid | None:
    """As ``way``, for files in the middle of a body: the ways of ASGI end the answer."""
    cycle = _plain_cycle(send)
    return None if cycle is None else partial(_run_past_uvicorn, cycle)


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


def _plain_cycle(send: Any) -> Any:
    """uvicorn's object of one request, where the kernel can send to its connection; else None."""
    cycle = _cycle(send)
    if cycle is None or not kernel.IS_AVAILABLE:
        return None
    transport = cycle.transport
    if transport.get_extra_info("sslcontext") or not transport.get_extra_info("socket"):
        return None
    return cycle


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
    await _run_past_uvicorn(cycle, iter((local,)), pace, gone)
    return False


async def _run_past_uvicorn(
    cycle: Any, ranges: Iterator[LocalRange], pace: Pace, gone: asyncio.Future[None]
) -> None:
    transfer = kernel.Transfer(cycle.transport, ranges, pace)
    with suppress(OSError), transfer:  # OSError: no descriptor is left
        await asyncio.wait((transfer.ended, gone), return_when=asyncio.FIRST_COMPLETED)
    # Without a connection there is nobody to count for, and h11 would refuse. A client that has
    # all its bytes may close before this runs; until uvicorn knows, the end is sent and checked.
    if transfer.sent and not cycle.disconnected:
        _count(cycle, transfer.sent)
    if transfer.ended.done() and not transfer.ended.cancelled():
        transfer.ended.result()


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
