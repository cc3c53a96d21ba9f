"""``Cache-Control`` of the answers that a signed-in user's own browser may keep.

Datasette replaces the header by ``private, no-store`` in each answer to a signed-in user, after the
view. A view that may say more notes its value in the request's scope, and the wrapper around the
application sets it again. ``Vary`` is left to Datasette, which names Cookie and Authorization: what
one user's browser keeps is not shown to the next user. Leaves out the values (transfer/downloads).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

_App = Callable[[Any, Any, Any], Awaitable[None]]

_NAME = b"cache-control"
_KEY = "datasette_files.cache_control"
#: The ends of the paths of routes that note a value; a name may follow the first.
_ROUTES = ("/inline", "/thumbnail")


def keep(scope: dict[str, Any], value: str) -> None:
    """Note the value of the header for the answer to the request with this scope."""
    scope.get(_KEY, []).append(value.encode())


def wrap(app: _App) -> _App:
    """The application, with the noted values in its answers."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path.endswith(_ROUTES) or "/inline/" in path):
            await app(scope, receive, send)
            return
        noted: list[bytes] = []

        async def sending(message: Any) -> None:
            if noted and message["type"] == "http.response.start":
                others = [pair for pair in message["headers"] if pair[0].lower() != _NAME]
                message = {**message, "headers": [*others, (_NAME, noted[-1])]}
            await send(message)

        await app({**scope, _KEY: noted}, receive, sending)

    return wrapped
