"""A Datasette plugin that stops reading uploads while a file named ``hold`` lies beside the yaml.

Tests see an upload half way for as long as they like, on any machine, without sleeping. The bytes
that the kernel holds still leave the browser, so a held file has to be some megabytes large.
"""

import asyncio
from pathlib import Path

from datasette import hookimpl

#: Bytes of one request that are read all the same.
READ = 1024 * 1024


@hookimpl
def asgi_wrapper(datasette):
    # The server's working directory is its own folder.
    hold = Path("hold").resolve()

    def wrap(app):
        async def held(scope, receive, send):
            read = 0

            async def slow():
                nonlocal read
                while read >= READ and hold.exists():
                    await asyncio.sleep(0.02)
                message = await receive()
                read += len(message.get("body", b""))
                return message

            is_upload = scope["type"] == "http" and "/-/files/upload/" in scope["path"]
            await app(scope, slow if is_upload else receive, send)

        return held

    return wrap
