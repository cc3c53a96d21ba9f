"""A queue of work: work with a waiting caller comes first, in turn by caller and by page of a
caller; then the rest.

Work with the same key is done once, for all its callers. If every waiting caller gives up, queued
work is dropped. Work belongs to a group, such as a source, and a group that hangs leaves room for
the others. Leaves out the work itself (thumbnails.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from .. import telemetry

logger = logging.getLogger("datasette_files")

_T = TypeVar("_T")

#: Entries in the queue. Work without a waiting caller is refused earlier, so that a large import
#: does not turn callers away.
MAX_ENTRIES = 10_000
MAX_ENTRIES_FOR_UNAWAITED = 5_000


class NotYet(Exception):
    """The work is not done within the caller's time. It stays queued, or goes on."""


class _Entry(Generic[_T]):
    """One piece of work, waiting or running."""

    def __init__(self, key: Hashable, work: Callable[[], Awaitable[_T]], group: str) -> None:
        self.key = key
        self.work = work
        self.group = group
        self.waiters: set[asyncio.Future[_T]] = set()
        #: Whether it is done even if no caller waits.
        self.regardless = False
        self.task: asyncio.Task[None] | None = None
        self.since = time.monotonic()

    @property
    def wanted(self) -> bool:
        return self.task is None and (self.regardless or bool(self.waiters))


class _Group(Generic[_T]):
    """The queued work of one group."""

    def __init__(self) -> None:
        self.running = 0
        #: Work by caller and page. The first entry of the first caller's first page is next; then
        #: that page and that caller become the last ones.
        self.lanes: OrderedDict[str, OrderedDict[str, deque[_Entry[_T]]]] = OrderedDict()
        self.later: deque[_Entry[_T]] = deque()

    @property
    def over(self) -> bool:
        return not (self.running or self.lanes or self.later)

    def next_asked(self) -> _Entry[_T] | None:
        """Take out the next entry that a caller waits for and that does not run yet."""
        while self.lanes:
            asker, pages = next(iter(self.lanes.items()))
            page, lane = next(iter(pages.items()))
            entry = lane.popleft()
            if lane:
                pages.move_to_end(page)
            else:
                del pages[page]
            if pages:
                self.lanes.move_to_end(asker)
            else:
                del self.lanes[asker]
            if entry.task is None and entry.waiters:
                return entry
        return None

    def next_later(self) -> _Entry[_T] | None:
        """Take out the next entry that is done even if no caller waits."""
        while self.later:
            entry = self.later.popleft()
            if entry.wanted:
                return entry
        return None


class Queue(Generic[_T]):
    """Runs at most ``slots`` entries at a time, and at most ``share`` of one group."""

    def __init__(self, slots: int, share: int | None = None) -> None:
        self._slots = slots
        self._share = share or slots
        self._entries: dict[Hashable, _Entry[_T]] = {}
        self._running = 0
        #: The groups that have work, in turn.
        self._groups: OrderedDict[str, _Group[_T]] = OrderedDict()
        self._closed = False

    @property
    def waiting(self) -> int:
        """The number of entries that wait or run."""
        return len(self._entries)

    def add(self, key: Hashable, work: Callable[[], Awaitable[_T]], group: str = "") -> None:
        """Queue work that no caller waits for. It is dropped if the queue is too long."""
        if key not in self._entries and len(self._entries) >= MAX_ENTRIES_FOR_UNAWAITED:
            return
        entry = self._entry(key, work, group)
        if entry is not None and not entry.regardless:
            self._keep(entry)
            self._go_on()

    async def ask(
        self,
        key: Hashable,
        work: Callable[[], Awaitable[_T]],
        asker: str,
        seconds: float,
        group: str = "",
        page: str = "",
    ) -> _T:
        """Wait for the work's result. Raises its errors; NotYet after ``seconds`` or ``close``.

        ``asker`` is the client; ``page`` is one of the pages that it shows.
        """
        entry = self._entry(key, work, group)
        if entry is None:
            raise NotYet
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        entry.waiters.add(future)
        if entry.task is None:
            pages = self._group(entry).lanes.setdefault(asker, OrderedDict())
            pages.setdefault(page, deque()).append(entry)
        self._go_on()
        try:
            await asyncio.wait([future], timeout=seconds)
            if not future.done():
                self._keep(entry)
            if not future.done() or future.cancelled():
                raise NotYet
            return future.result()
        finally:
            entry.waiters.discard(future)
            if entry.task is None and not entry.wanted:
                self._entries.pop(entry.key, None)

    async def close(self) -> None:
        """Cancel all work, and take no more."""
        self._closed = True
        entries = list(self._entries.values())
        self._entries.clear()
        tasks = [entry.task for entry in entries if entry.task is not None]
        for entry in entries:
            for future in entry.waiters:
                future.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _entry(
        self, key: Hashable, work: Callable[[], Awaitable[_T]], group: str
    ) -> _Entry[_T] | None:
        entry = self._entries.get(key)
        if entry is None and not self._closed and len(self._entries) < MAX_ENTRIES:
            entry = self._entries[key] = _Entry(key, work, group)
        return entry

    def _group(self, entry: _Entry[_T]) -> _Group[_T]:
        return self._groups.setdefault(entry.group, _Group())

    def _keep(self, entry: _Entry[_T]) -> None:
        if entry.task is None and not entry.regardless:
            self._group(entry).later.append(entry)
        entry.regardless = True

    def _go_on(self) -> None:
        while self._running < self._slots and (entry := self._next()) is not None:
            self._running += 1
            self._group(entry).running += 1
            entry.task = asyncio.create_task(self._run(entry))

    def _next(self) -> _Entry[_T] | None:
        """Take out the next wanted entry of a group that runs fewer than its share."""
        for take in (_Group.next_asked, _Group.next_later):
            for name, group in list(self._groups.items()):
                if group.running < self._share and (entry := take(group)) is not None:
                    self._groups.move_to_end(name)
                    return entry
                if group.over:
                    del self._groups[name]
        return None

    async def _run(self, entry: _Entry[_T]) -> None:
        telemetry.note_wait(time.monotonic() - entry.since)
        try:
            result = await entry.work()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            if not entry.waiters:
                logger.exception("Work in the background failed")
            for future in entry.waiters:
                if not future.done():
                    future.set_exception(error)
        else:
            for future in entry.waiters:
                if not future.done():
                    future.set_result(result)
        finally:
            self._running -= 1
            self._group(entry).running -= 1
            for future in entry.waiters:
                future.cancel()  # only if the work was cancelled; else the future is done
            if self._entries.get(entry.key) is entry:
                del self._entries[entry.key]
            if not self._closed:
                self._go_on()
