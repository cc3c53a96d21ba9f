"""Has a confined child read a file: feeds it the file's bytes, and listens to it.

The child is killed when the import is cancelled, takes too much CPU, or tells nothing for too long.
What it does is in worker/main.py, what it may not in sandbox/.
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

#: Bytes of address space: what a hostile file can make the child take.
_MEMORY = 1024 * 1024 * 1024
#: Times import_max_bytes: the scratch database's largest size (worker/filling.py); and some room
#: for the batch with which it grows beyond.
_GROWS, _ROOM = 2, 64 * 1024 * 1024
#: Seconds of CPU for a preview, and for an import, which has more by what it has read
#: (worker/pipe.py). An import that tells nothing for PATIENCE times as long is ended.
PREVIEW_SECONDS, IMPORT_SECONDS = 30.0, 60.0
#: Bytes of content per second of CPU that an import has at least; most take 50 times less.
_RATE = 256 * 1024

#: Modules that the child loads without the whole package.
_OWN = "datasette_files."
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
    """What a task says of formats; ``asked``: a person chose this one, whatever a member's name.

    Of an archive's members no other plugin's format is found: its child could not load it.
    """
    spec = located(chosen)
    others = [located(one) for one in known if type(one).__module__.startswith(_OWN)]
    return {
        **{"format": spec, "asked": asked},
        "formats": others if spec in others else [spec, *others],
    }


def limits_of(work: str, max_bytes: int) -> Limits:
    """The limits of a ``preview`` or an ``import``; ``max_bytes`` is the file's largest size."""
    size = _GROWS * max_bytes + _ROOM
    if work == "preview":
        return Limits(_MEMORY, size, PREVIEW_SECONDS)
    # All that it can have read, in two passes.
    return Limits(_MEMORY, size, IMPORT_SECONDS, 1 + int(2 * max_bytes / _RATE / IMPORT_SECONDS))


async def run(
    task: dict[str, Any], content: Bytes, progress: Progress, folder: Path | None = None
) -> dict[str, Any]:
    """Have the task done; its outcome. Raises ImportFailed, and whatever the storage raises.

    ``folder`` is where the child writes; without it, in one that is removed at its end.
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
        raise ImportFailed(f"The process that read the file makes no sense: {error}") from error
    except (ConnectionError, asyncio.IncompleteReadError) as error:
        raise ImportFailed(_ended_by(await child.ended_by())) from error
    finally:
        if feeding is not None:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
        await child.close()


def _ended_by(code: int) -> str:
    """What to make of a process that ended without a word."""
    if code in (-signal.SIGABRT, -signal.SIGSEGV):
        # How a library in another language ends, without memory or on a file made to break it.
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
    """The next message. Raises what went wrong with the bytes that the child waits for.

    Raises ImportFailed where there is none for ``seconds``, while the storage was not the reason.
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
        # It has ended, and its last message says why.
        logger.debug("The import's process took no more bytes")
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
