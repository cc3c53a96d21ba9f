"""An event loop that outlives a test, for a Datasette that many synchronous examples share."""

from __future__ import annotations

import asyncio

from datasette.app import Datasette


def shut_down(loop: asyncio.AbstractEventLoop, datasette: Datasette) -> None:
    """End the Datasette, let what it left running end, and close its loop."""

    async def finish() -> None:
        await datasette.invoke_shutdown()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*left, return_exceptions=True)

    loop.run_until_complete(finish())
    loop.close()
