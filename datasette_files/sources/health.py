"""Looking into storages, for an administrator: how each source is, and what its storage lists.

A storage is asked with a limit of time, and the same question once at a time: one that hangs holds
up no page, and pages that are loaded again and again do not pile up on it. Everything
that is shown of a configuration goes through ``redacted``. Leaves out HTTP (views/storages.py).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from ..base import FileMetadata
from ..db import batching, health
from ..db import files as file_rows
from ..db.health import Background, PathState
from ..errors import Conflict, FilesError, NotSupported, StorageError, TimedOut
from ..models import SourceTotals
from .redaction import redacted, redacted_text
from .sources import Source, Sources

logger = logging.getLogger("datasette_files")

_T = TypeVar("_T")

#: Seconds that a storage has to answer: whether it is there; with a page of what it holds.
PROBE_SECONDS = 3.0
LIST_SECONDS = 15.0
#: Questions to one storage at the same time.
_MOST = 8
#: A path that no file has, as every file's holds a ULID.
_NOWHERE = "datasette-files-probe"


@dataclass(frozen=True)
class SourceState:
    """How a source is now."""

    source: Source
    #: Why it does not answer; None: it does.
    problem: str | None
    #: As ``redacted`` shows it.
    config: dict[str, Any]
    totals: SourceTotals
    #: What is in the trash; its bytes are in the storage too.
    trash: SourceTotals
    #: Uploads that have not ended, by state.
    uploads: dict[str, int]
    background: Background


@dataclass(frozen=True)
class Listed:
    """A page of what a storage lists, each with what it is to the catalog."""

    files: list[tuple[FileMetadata, PathState]]
    #: The storage's own cursor of the next page; None at the end.
    cursor: str | None


class Inspector:
    """Asks the storages of one Datasette."""

    def __init__(self, database: batching.Catalog, sources: Sources) -> None:
        self._catalog = database
        self._sources = sources
        #: What is being asked, by source and question, as a storage may ignore a cancellation.
        self._asking: dict[tuple[str, str], asyncio.Task[Any]] = {}

    async def sources(self) -> tuple[list[SourceState], dict[str, float]]:
        """Every source, and the background work that goes on with the seconds of its lease."""
        known = list(self._sources)
        now = time.time()

        def look(conn: batching.Connection) -> tuple[Any, ...]:
            return (
                file_rows.totals(conn, [source.id for source in known]),
                health.trash(conn),
                health.uploads(conn),
                health.background(conn, now),
                health.leases(conn, now),
            )

        (totals, trash, uploads, background, leases), *problems = await asyncio.gather(
            self._catalog.query(look), *(self._problem(source) for source in known)
        )
        states = [
            SourceState(
                source,
                problem,
                redacted(json.loads(source.redacted)),
                totals.get(source.id, SourceTotals()),
                trash.get(source.id, SourceTotals()),
                uploads.get(source.id, {}),
                background.get(source.id, Background()),
            )
            for source, problem in zip(known, problems, strict=True)
        ]
        return states, leases

    async def _problem(self, source: Source) -> str | None:
        """Why a source does not answer now; None if it does."""
        if source.down is not None:
            return redacted_text(source.down)
        try:
            ask = partial(source.storage.get_file_metadata, _NOWHERE)
            await self._ask((source.slug, "probe"), ask, PROBE_SECONDS)
        except FilesError as error:
            return redacted_text(str(error))
        return None

    async def listing(self, source: Source, prefix: str, cursor: str | None, limit: int) -> Listed:
        """One page of what the storage holds.

        Raises NotSupported, Invalid, TimedOut, Conflict, StorageError, StorageUnavailable.
        """
        source.require_up()
        if not source.capabilities.can_list:
            raise NotSupported(f"The storage of the source {source.slug!r} does not list files")
        key = (source.slug, json.dumps([prefix, cursor, limit]))
        if (
            key not in self._asking
            and sum(slug == source.slug for slug, _ in self._asking) >= _MOST
        ):
            raise Conflict("The storage has yet to answer other such pages; try again in a while")
        ask = partial(source.storage.list_files, prefix, cursor, limit)
        found, following = await self._ask(key, ask, LIST_SECONDS)
        paths = [file.path for file in found]
        states = await self._catalog.query(lambda conn: health.paths(conn, source.id, paths))
        return Listed([(file, states.get(file.path, PathState())) for file in found], following)

    async def _ask(
        self, key: tuple[str, str], ask: Callable[[], Coroutine[Any, Any, _T]], seconds: float
    ) -> _T:
        """What a storage answers within so many seconds; whatever it raises is a FilesError.

        Who asks what is being asked already waits for the same answer.
        """
        task: asyncio.Task[_T] | None = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(ask())
            task.add_done_callback(partial(self._answered, key))
        await asyncio.wait([task], timeout=seconds)
        if not task.done() or task.cancelled():
            task.cancel()
            raise TimedOut(f"The storage has not answered within {seconds:g} seconds; try again")
        try:
            return task.result()
        except FilesError:
            raise
        except Exception as error:
            logger.exception("The storage of %r failed as it was inspected", key[0])
            raise StorageError(
                f"The storage failed ({type(error).__name__}); the server's log says more"
            ) from error

    def _answered(self, key: tuple[str, str], task: asyncio.Task[Any]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # else it is complained of where nobody waits any more

    async def close(self) -> None:
        """Ask no more."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=PROBE_SECONDS)
