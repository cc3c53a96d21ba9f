"""Runs a confined child that reads a file: sends it the bytes, and receives its messages.

The child is killed if the import is cancelled, takes too much CPU, or sends no message for too
long. Its program is worker/main.py, its confinement sandbox/.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

from ..formats.base import ImportFormat
from ..sandbox.framing import Broken
from ..sandbox.process import NO_ANSWER, PATIENCE, Child, Limits

logger = logging.getLogger("datasette_files")

#: Most bytes of address space that a hostile file can make the child use.
_MEMORY = 1024 * 1024 * 1024
#: The scratch database may have this many times import_max_bytes (worker/filling.py), and some
#: bytes more, as its size is checked after each batch.
_GROWS, _ROOM = 2, 64 * 1024 * 1024
#: Seconds of CPU for a preview, and for an import, which gets more for bytes that it has read
#: (worker/pipe.py). An import without a message for PATIENCE times as long is ended.
PREVIEW_SECONDS, IMPORT_SECONDS = 30.0, 60.0
#: Bytes of content that earn one more second of CPU; most imports need 0.02 seconds for them.
_RATE = 256 * 1024

#: Prefix of the modules that the child loads without the whole package.
_OWN = "datasette_files."
#: A function that returns the file's bytes from the beginning, at each call.
Bytes = Callable[[], AsyncIterator[bytes]]
#: ``(bytes read, rows)``.
Progress = Callable[[int, int], None]


class ImportFailed(Exception):
    """The file cannot be imported, or its process ended. The message is shown to the user."""


def located(chosen: ImportFormat) -> dict[str, str]:
    """Describe a format's class so that another process can import it."""
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
    """Return a task's formats. ``asked``: the user chose this one, whatever a member's name.

    For members of an archive, formats of other plugins are left out: the child cannot load them.
    """
    spec = located(chosen)
    others = [located(one) for one in known if type(one).__module__.startswith(_OWN)]
    return {
        **{"format": spec, "asked": asked},
        "formats": others if spec in others else [spec, *others],
    }


def limits_of(work: str, max_bytes: int) -> Limits:
    """Return the limits of the work on a file of at most ``max_bytes``.

    The work is ``preview``, ``list`` (of a file's tables), ``import`` or ``open`` (live tables).
    """
    size = _GROWS * max_bytes + _ROOM
    if work in ("preview", "list"):
        return Limits(_MEMORY, size, PREVIEW_SECONDS)
    # The most CPU that two passes over the largest file can earn.
    return Limits(_MEMORY, size, IMPORT_SECONDS, 1 + int(2 * max_bytes / _RATE / IMPORT_SECONDS))


async def run(
    task: dict[str, Any], content: Bytes, progress: Progress, folder: Path | None = None
) -> dict[str, Any]:
    """Run the task in a child; return its outcome. Raises ImportFailed, and errors of ``content``.

    The child writes into ``folder``; if it is None, into one that is removed at the end.
    """
    spec = task["format"]
    own = spec["module"].startswith(_OWN) and "file" not in spec
    limits = limits_of(task["work"], task["max_bytes"])
    try:
        child = await Child.start(
            "imports.worker.main",
            limits,
            folder=None if folder is None else str(folder),
            read=[str(Path(spec["file"]).parent)] if "file" in spec else (),
            whole=not own,
        )
    except (OSError, *NO_ANSWER) as error:
        logger.exception("An import's process cannot be started")
        raise ImportFailed(
            "The process that reads the file cannot be started; ask the administrator to see the"
            " server's log"
        ) from error
    feeding: asyncio.Task[None] | None = None
    try:
        child.send({**task, "seconds": limits.seconds, "rate": _RATE})
        feeding = asyncio.create_task(_feed(child, content))
        while True:
            message = await _next(child, feeding, limits.seconds * PATIENCE)
            if "bytes" in message:
                progress(message["bytes"], message["rows"])
            elif "again" in message:
                await feeding
                feeding = asyncio.create_task(_feed(child, content))
            elif "problem" in message:
                if "trace" in message:
                    logger.error("An import's process failed:\n%s", message["trace"])
                raise ImportFailed(message["problem"])
            else:
                done: dict[str, Any] = message["done"]
                return done
    except Broken as error:
        raise ImportFailed(
            f"The process that read the file sent an invalid message: {error}"
        ) from error
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        raise ImportFailed(_ended_by(await child.ended_by())) from error
    finally:
        if feeding is not None:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        await child.close()


def _ended_by(code: int) -> str:
    """Explain the exit code of a process that ended without a message."""
    if code in (-signal.SIGABRT, -signal.SIGSEGV):
        # A native library ends so if memory is missing, or if the file is made to break it.
        return (
            "The file takes more memory than an import has, or is damaged; split it, or save it in"
            " another format"
        )
    if code == -signal.SIGXCPU:
        return (
            "The file takes far longer to read than others of its size; split it, or save it in"
            " another format"
        )
    return f"The process that read the file ended unexpectedly ({code}); start the import again"


async def _next(child: Child, feeding: asyncio.Task[None], seconds: float) -> dict[str, Any]:
    """Return the next message. Raises the error of ``feeding``, if it failed.

    Raises ImportFailed if no message comes for ``seconds``, unless the child waits for the storage.
    """
    receiving = asyncio.ensure_future(child.receive())
    try:
        while True:
            awaited = {receiving} if feeding.done() else {receiving, feeding}
            done, _ = await asyncio.wait(
                awaited, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if receiving in done:
                return receiving.result()
            if feeding.done():
                feeding.result()
            if not done and not child.hungry:
                raise ImportFailed(
                    f"No progress for {seconds:g} seconds; split the file, save it in another"
                    " format, or start the import again when the server has less to do"
                )
    finally:
        receiving.cancel()


async def _feed(child: Child, content: Bytes) -> None:
    """Send the file once."""
    stream = content()
    try:
        await child.feed(stream)
        child.end_file()
    except (BrokenPipeError, ConnectionResetError):
        # The child has ended; its last message says why.
        logger.debug("The import's process took no more bytes")
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
