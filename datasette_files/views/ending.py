"""The end of the server: clients that still send or receive are let go after a grace period.

Datasette starts uvicorn without a time-out, so that one slow client would hold the server's end
forever. Leaves out what is closed at the end (``Files.stop``).
"""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn


def limit(grace: float) -> Callable[[Any], Awaitable[None]]:
    """Make the background task that gives the server a grace period of ``grace`` seconds.

    ``datasette serve`` hands its uvicorn server to nobody; the handler of SIGTERM is that server's
    method. An own ``--timeout-graceful-shutdown`` of uvicorn, and other servers, stay as they are.
    """

    async def set_grace(datasette: Any) -> None:
        server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
        if isinstance(server, uvicorn.Server):
            config: Any = server.config  # declared as whole seconds, used as a float
            if config.timeout_graceful_shutdown is None:
                config.timeout_graceful_shutdown = grace

    return set_grace
