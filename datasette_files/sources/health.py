"""Inspection of storages, for an administrator: the state of each source, and its storage's list.

Each request to a storage has a time limit, and equal requests share one: a storage that hangs
delays no page, and a page that is loaded repeatedly adds no load. Every configuration that is shown
goes through ``redacted``. Leaves out HTTP (views/storages.py).
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
from ..errors import Conflict, FilesError, NotSupported, TimedOut
from ..models import SourceTotals
from .reading import storage_errors
from .redaction import redacted, redacted_text
from .sources import Source, Sources

logger = logging.getLogger("datasette_files")

_T = TypeVar("_T")

#: Seconds for a storage to answer a probe, and a page of its list.
PROBE_SECONDS = 3.0
LIST_SECONDS = 15.0
#: Requests to one storage at the same time.
_MAX_REQUESTS = 8
#: A path that no file has, as every file's path holds a ULID.
_PROBE_PATH = "datasette-files-probe"


@dataclass(frozen=True)
class SourceState:
    """The present state of a source."""

    source: Source
    #: The reason why it does not answer; None if it does.
    problem: str | None
    #: Redacted.
    config: dict[str, Any]
    totals: SourceTotals
    #: Files in the trash, whose bytes are in the storage too.
    trash: SourceTotals
    #: Unfinished uploads, by state.
    uploads: dict[str, int]
    background: Background


@dataclass(frozen=True)
class Listed:
    """A page of a storage's list, each object with its state in the catalog."""

    files: list[tuple[FileMetadata, PathState]]
    #: The storage's own cursor of the next page; None at the end.
    cursor: str | None


class Inspector:
    """Asks the storages of one Datasette."""

    def __init__(self, database: batching.Catalog, sources: Sources) -> None:
        self._catalog = database
        self._sources = sources
        #: Pending requests by source and request; a storage may ignore their cancellation.
        self._pending: dict[tuple[str, str], asyncio.Task[Any]] = {}

    async def sources(self) -> tuple[list[SourceState], dict[str, float]]:
        """The state of every source, and ``{background task: seconds until its lease ends}``."""
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
        """The reason why a source does not answer now; None if it does."""
        if source.down is not None:
            return redacted_text(source.down)
        try:
            ask = partial(source.storage.get_file_metadata, _PROBE_PATH)
            await self._ask((source.slug, "probe"), ask, PROBE_SECONDS)
        except FilesError as error:
            return redacted_text(str(error))
        return None

    async def listing(self, source: Source, prefix: str, cursor: str | None, limit: int) -> Listed:
        """One page of the storage's list.

        Raises NotSupported, Invalid, TimedOut, Conflict, StorageError, StorageUnavailable.
        """
        source.require_up()
        if not source.capabilities.can_list:
            raise NotSupported(f"The storage of the source {source.slug!r} does not list files")
        key = (source.slug, json.dumps([prefix, cursor, limit]))
        if (
            key not in self._pending
            and sum(slug == source.slug for slug, _ in self._pending) >= _MAX_REQUESTS
        ):
            raise Conflict("The storage is still answering other requests; try again in a minute")
        ask = partial(source.storage.list_files, prefix, cursor, limit)
        found, following = await self._ask(key, ask, LIST_SECONDS)
        paths = [file.path for file in found]
        states = await self._catalog.query(lambda conn: health.paths(conn, source.id, paths))
        return Listed([(file, states.get(file.path, PathState())) for file in found], following)

    async def _ask(
        self, key: tuple[str, str], ask: Callable[[], Coroutine[Any, Any, _T]], seconds: float
    ) -> _T:
        """The storage's answer within ``seconds``; its errors become FilesErrors.

        Callers with the same request wait for the same answer.
        """
        task: asyncio.Task[_T] | None = self._pending.get(key)
        if task is None:
            task = self._pending[key] = asyncio.create_task(ask())
            task.add_done_callback(partial(self._remove, key))
        await asyncio.wait([task], timeout=seconds)
        if not task.done() or task.cancelled():
            task.cancel()
            raise TimedOut(f"The storage has not answered within {seconds:g} seconds; try again")
        with storage_errors(key[0]):
            return task.result()

    def _remove(self, key: tuple[str, str], task: asyncio.Task[Any]) -> None:
        del self._pending[key]
        if not task.cancelled():
            task.exception()  # marks it as retrieved, as there may be no waiter left

    async def close(self) -> None:
        """Cancel the pending requests."""
        tasks = list(self._pending.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=PROBE_SECONDS)
