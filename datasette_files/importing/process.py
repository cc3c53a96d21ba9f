"""Starts the process that reads a file, feeds it the file's bytes, and listens to it.

The process gets no configuration, no secret and no environment; what it sends is one JSON object to
a line. It is killed when the import is cancelled. What it does is in worker.py.
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..formats.base import ImportFormat

logger = logging.getLogger("datasette_files")

#: Bytes that are handed over at a time.
_FRAME = 256 * 1024
#: Bytes of the longest line that the process sends: a preview.
_LINE = 64 * 1024 * 1024
_PACKAGE = str(Path(__file__).parent.parent)
_RUN = "from datasette_files.importing.worker import main; sys.exit(main())"
#: The package without its __init__, which would load all of Datasette.
_BOOT = (
    "import json, sys, types; sys.path[:] = json.loads(sys.argv[2]);"
    " package = types.ModuleType('datasette_files'); package.__path__ = [sys.argv[1]];"
    f" sys.modules['datasette_files'] = package; {_RUN}"
)
#: The whole package, for a plugin's format.
_BOOT_WHOLE = f"import json, sys; sys.path[:] = json.loads(sys.argv[2]); {_RUN}"

#: The file from its beginning, each time it is called.
Bytes = Callable[[], AsyncIterator[bytes]]
#: ``(bytes read, rows)``.
Progress = Callable[[int, int], None]


class ImportFailed(Exception):
    """The file cannot be imported, or its process ended. The message is for people."""


def located(chosen: ImportFormat) -> dict[str, str]:
    """Where another process finds a format's class."""
    cls = type(chosen)
    name = cls.__module__
    spec = {"module": name, "class": cls.__qualname__}
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:  # a plugin of --plugins-dir
        spec["file"] = cls.read.__code__.co_filename
    return spec


def formats(chosen: ImportFormat, known: Iterable[ImportFormat], asked: bool) -> dict[str, Any]:
    """What a task says of formats; ``asked``: a person chose this one, whatever a member's name."""
    return {
        **{"format": located(chosen), "asked": asked},
        "formats": [located(one) for one in known],
    }


async def run(task: dict[str, Any], content: Bytes, progress: Progress) -> dict[str, Any]:
    """Have the task done; its outcome. Raises ImportFailed, and whatever the storage raises."""
    own = task["format"]["module"].startswith("datasette_files.") and "file" not in task["format"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-c", _BOOT if own else _BOOT_WHOLE, _PACKAGE),
        json.dumps([entry or str(Path.cwd()) for entry in sys.path]),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE,
        env={},
        start_new_session=True,  # a Ctrl-C is for the server, which then ends it
    )
    feeding: asyncio.Task[None] | None = None
    try:
        assert process.stdin is not None  # noqa: S101 - as asked for
        assert process.stdout is not None  # noqa: S101
        _enlarge(process.stdin)
        process.stdin.write(json.dumps(task).encode() + b"\n")
        feeding = asyncio.create_task(_feed(process.stdin, content))
        while line := await _line(process.stdout, feeding):
            message = json.loads(line)
            if "bytes" in message:
                progress(message["bytes"], message["rows"])
            elif "again" in message:
                await feeding
                feeding = asyncio.create_task(_feed(process.stdin, content))
            elif "problem" in message:
                raise ImportFailed(message["problem"])
            else:
                done: dict[str, Any] = message["done"]
                return done
        raise ImportFailed(_ended_by(await process.wait()))
    finally:
        await _end(process, feeding)


def _ended_by(code: int) -> str:
    """What to make of a process that ended without a word."""
    if code in (-signal.SIGABRT, -signal.SIGSEGV):
        # How a library in another language ends, without memory or on a file made to break it.
        return (
            "The file takes more memory than an import has, or is damaged; split it, or save it in"
            " another format"
        )
    return f"The process that read the file ended unexpectedly ({code}); start the import again"


async def _line(stdout: asyncio.StreamReader, feeding: asyncio.Task[None]) -> bytes:
    """The next line; or what went wrong with the bytes that the process waits for."""
    if feeding.done():
        feeding.result()
        return await stdout.readline()
    reading = asyncio.ensure_future(stdout.readline())
    try:
        await asyncio.wait((reading, feeding), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            feeding.result()
        return await reading
    finally:
        reading.cancel()


async def _end(process: asyncio.subprocess.Process, feeding: asyncio.Task[None] | None) -> None:
    if feeding is not None:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            process.kill()
    if process.stdin is not None:
        process.stdin.close()
    await process.wait()
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()


async def _feed(stdin: asyncio.StreamWriter, content: Bytes) -> None:
    """Send the file once, in frames."""
    stream = content()
    try:
        async for chunk in stream:
            view = memoryview(chunk)
            for start in range(0, len(view), _FRAME):
                piece = view[start : start + _FRAME]
                stdin.write(len(piece).to_bytes(4, "big"))
                stdin.write(piece)
                await stdin.drain()
        stdin.write(bytes(4))
        await stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        # It has ended, and its last line says why.
        logger.debug("The import's process took no more bytes")
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


def _enlarge(stdin: asyncio.StreamWriter) -> None:
    """A larger pipe takes a frame at a time, where the system has that (Linux)."""
    pipe = stdin.get_extra_info("pipe")
    size = getattr(fcntl, "F_SETPIPE_SZ", None)
    if pipe is None or size is None:
        return
    try:
        fcntl.fcntl(pipe.fileno(), size, 1024 * 1024)
    except OSError as error:
        logger.debug("The import's pipe stays small: %s", error)
