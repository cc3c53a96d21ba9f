"""The loop of ``put``: local files, several at a time, with their progress and their failures.

Leaves out where the bytes go: into a source (put.py), or to a server (remote/changing.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, nullcontext
from typing import Any

from ..errors import FilesError
from ..jobs.parallel import each, several
from .disk import Found
from .output import Output, Printer, progress, shown

#: Files at the same time, where nobody says how many: small ones wait for the disk together, and a
#: large one takes memory.
AT_ONCE, LARGE_AT_ONCE = 16, 4
#: Bytes of a large file.
LARGE = 8 * 1024 * 1024


async def put_found(
    site: Printer,
    found: Callable[[Callable[[str, FilesError], None]], Iterator[Found]],
    jobs: int | None,
    output: Output,
    put: Callable[[Found, Callable[[int], None]], Awaitable[dict[str, Any]]],
    ends: tuple[type[FilesError], ...],
) -> None:
    """Upload the files that are found, ``jobs`` at a time. Stops at an error of the kinds ``ends``.

    None is for ``AT_ONCE``, of which ``LARGE_AT_ONCE`` may be large.
    ``found`` takes what is told of a path that cannot be read. ``put`` returns a file's record; it
    tells the bytes of each step.
    """
    sizes = [one.size for one in found(lambda what, error: None)]
    turns = asyncio.Semaphore(jobs or LARGE_AT_ONCE)
    with progress(site, sum(sizes), f"{len(sizes):,} files") as tell:

        async def one(item: Found) -> tuple[str, dict[str, Any] | FilesError]:
            try:
                async with turns if item.size > LARGE else nullcontext():
                    return str(item.path), await put(item, tell)
            except FilesError as error:
                return str(item.path), error

        async with aclosing(several(each(found(output.fail)), one, jobs or AT_ONCE)) as outcomes:
            async for path, outcome in outcomes:
                if not isinstance(outcome, FilesError):
                    output.add(outcome, f"{outcome['id']}\t{shown(path)}")
                    continue
                output.fail(path, outcome)
                if isinstance(outcome, ends):
                    break
