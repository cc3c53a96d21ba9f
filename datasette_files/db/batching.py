"""Runs functions on the internal database: look-ups in batches, writes in group commits.

A hop to a database thread costs more than most of our queries, and a durable commit more than most
of our writes. So look-ups that arrive while a hop runs share the next one, and writes that wait
behind a transaction share the next one, each in a savepoint of its own: one that fails leaves the
others alone, and every caller returns only after the commit. Holds no SQL but those savepoints.

``before_each`` runs on the connection before a hop's first call, so that settings which another
process changed are read without a hop of their own. ``before_commit`` runs in a group's transaction
after its last call, to complete what the calls wrote.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar, cast

from datasette.database import DatasetteClosedError

from ..errors import NoSpace, StorageUnavailable
from . import audit

logger = logging.getLogger("datasette_files")

_T = TypeVar("_T")
Connection = sqlite3.Connection
_Outcome = tuple[bool, Any]

#: Calls in one hop, and bytes that they write; both bound how long a batch holds its connection.
_MAX_BATCH = 100
_MAX_BATCH_BYTES = 128 * 1024

_FULL = NoSpace(
    "The disk of Datasette's internal database is full; ask its administrator for space"
)
_BUSY = StorageUnavailable("Datasette's internal database is busy; try again")
_FAILED = StorageUnavailable("Datasette's internal database failed; ask its administrator")
#: SQLite's primary result code (sqlite.org/rescode.html), a part of its message, and our error.
_OUTAGES = (
    (13, "full", _FULL),
    (5, "locked", _BUSY),
    (6, "table is locked", _BUSY),
    (8, "readonly", _FAILED),
    (10, "disk I/O error", _FAILED),
    (14, "unable to open", _FAILED),
)


class Catalog:
    """The internal database of one Datasette."""

    def __init__(self, database: Any) -> None:
        self._database = database
        self._reads = _Batcher(self._run_reads)
        self._writes = _Batcher(self._run_writes)
        #: Set once the tables exist. Runs in any of the database's threads.
        self.before_each: Callable[[Connection], None] = _nothing
        #: Set with it. Runs in the thread that writes.
        self.before_commit: Callable[[Connection], object] = _nothing

    async def read(self, fn: Callable[[Connection], _T]) -> _T:
        """Run a quick look-up, perhaps in one hop with others."""
        return cast(_T, await self._reads.submit(fn))

    async def query(self, fn: Callable[[Connection], _T]) -> _T:
        """Run a query that may take milliseconds, in a hop of its own."""

        def look(conn: Connection) -> _T:
            with _reading(conn):
                self.before_each(conn)
                return fn(conn)

        with _storage_errors():
            return cast(_T, await self._database.execute_fn(look))

    async def write(self, fn: Callable[[Connection], _T], size: int = 0) -> _T:
        """Run ``fn`` in a transaction and return once it is durable.

        ``size``: the bytes that it writes, if they are many; large writes share no transaction.
        An exception undoes the changes of ``fn`` alone. Raises NoSpace where the disk is full.
        """
        return cast(_T, await self._writes.submit(audit.in_this_name(fn), size))

    async def maintain(self, fn: Callable[[Connection], _T]) -> _T:
        """Run ``fn`` on the write connection outside of any transaction (pragmas, migrations)."""
        return cast(_T, await self._database.execute_write_fn(fn, transaction=False))

    async def rebuild(self, fn: Callable[[Connection], _T]) -> _T:
        """Run ``fn`` on a connection of its own while writes wait: migrations, VACUUM.

        On the write connection Datasette would take a table on the page of a dropped one for its
        renaming, and send an event of it.
        """
        result: _T = await self._database.execute_isolated_fn(fn)
        return result

    async def _run_reads(self, fns: list[Callable[[Connection], Any]]) -> list[_Outcome]:
        def look_up_batch(conn: Connection) -> list[_Outcome]:
            with _reading(conn):
                self.before_each(conn)
                return [_outcome(fn, conn) for fn in fns]

        with _storage_errors():
            return cast("list[_Outcome]", await self._database.execute_fn(look_up_batch))

    async def _run_writes(self, fns: list[Callable[[Connection], Any]]) -> list[_Outcome]:
        def commit_group(conn: Connection) -> list[_Outcome]:
            self.before_each(conn)
            if len(fns) == 1:
                return [self._alone(conn, fns[0])]
            outcomes = []
            for fn in fns:
                conn.execute("SAVEPOINT datasette_files_group")
                succeeded, value = _outcome(fn, conn)
                if not succeeded:
                    if not conn.in_transaction:
                        # On a full disk SQLite may undo the whole transaction, the others' too.
                        raise value
                    conn.execute("ROLLBACK TO datasette_files_group")
                conn.execute("RELEASE datasette_files_group")
                outcomes.append((succeeded, value))
            self.before_commit(conn)
            return outcomes

        with _storage_errors():
            return cast("list[_Outcome]", await self._database.execute_write_fn(commit_group))

    def _alone(self, conn: Connection, fn: Callable[[Connection], Any]) -> _Outcome:
        """Run the only call of a group: without a savepoint, which copies every changed page."""
        succeeded, value = _outcome(fn, conn)
        if succeeded:
            self.before_commit(conn)
        elif conn.in_transaction:  # on a full disk SQLite may have undone it
            conn.rollback()
        return succeeded, value


def _nothing(conn: Connection) -> None:
    return None


def _outcome(fn: Callable[[Connection], Any], conn: Connection) -> _Outcome:
    try:
        with _storage_errors():
            return True, fn(conn)
    except Exception as error:  # noqa: BLE001 - handed to the caller that submitted fn
        return False, error


@contextmanager
def _reading(conn: Connection) -> Iterator[None]:
    """Undo a transaction that a look-up began, and log it: later reads would all see the past.

    A statement that changes nothing begins one too.
    """
    try:
        yield
    finally:
        if conn.in_transaction:
            conn.rollback()
            logger.error("A look-up began a transaction; it was undone", stack_info=True)


@contextmanager
def _storage_errors() -> Iterator[None]:
    """Turn the internal database's outages into the errors that clients know."""
    try:
        yield
    except sqlite3.OperationalError as error:
        translate(error)
        raise
    except DatasetteClosedError as error:
        raise StorageUnavailable("Datasette is stopping; try again in a minute") from error


def translate(error: sqlite3.OperationalError) -> None:
    """Raise NoSpace or StorageUnavailable if the disk or a lock is the cause; else return.

    Reads SQLite's result code, or its message on Python 3.10, which has no codes.
    """
    code = getattr(error, "sqlite_errorcode", None)
    text = str(error)
    for number, message, answer in _OUTAGES:
        if code & 0xFF == number if code is not None else message in text:
            logger.error("The internal database failed: %s", error)
            raise type(answer)(str(answer)) from error


class _Call(NamedTuple):
    """One call of a batch; ``size`` in bytes, 0 for few."""

    fn: Callable[[Connection], Any]
    future: asyncio.Future[Any]
    size: int


class _Batcher:
    """Collects calls while a batch runs, and runs them together as the next batch."""

    def __init__(
        self, run: Callable[[list[Callable[[Connection], Any]]], Awaitable[list[_Outcome]]]
    ) -> None:
        self._run = run
        self._waiting: list[_Call] = []
        self._drainer: asyncio.Task[None] | None = None

    async def submit(self, fn: Callable[[Connection], Any], size: int = 0) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Call(fn, future, size))
        # A drainer that is done was cancelled before its first step, as the loop ended.
        if self._drainer is None or self._drainer.done():
            self._drainer = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch = self._take()
                try:
                    await self._run_batch(batch)
                finally:
                    for call in batch:
                        call.future.cancel()  # no effect on a future that has its outcome
        finally:
            self._drainer = None

    def _take(self) -> list[_Call]:
        """Take out the next batch. A large write that does not fit waits; small ones pass it."""
        batch: list[_Call] = []
        later: list[_Call] = []
        size = 0
        for call in self._waiting:
            fits = not (call.size and size) or size + call.size <= _MAX_BATCH_BYTES
            if len(batch) < _MAX_BATCH and fits:
                batch.append(call)
                size += call.size
            else:
                later.append(call)
        self._waiting = later
        return batch

    async def _run_batch(self, batch: list[_Call]) -> None:
        try:
            outcomes = await self._run([call.fn for call in batch])
        except Exception as error:  # noqa: BLE001 - each caller of the batch gets it
            outcomes = [(False, error)] * len(batch)
        for call, (succeeded, value) in zip(batch, outcomes, strict=True):
            if call.future.done():  # its caller was cancelled
                continue
            if succeeded:
                call.future.set_result(value)
            else:
                call.future.set_exception(value)
