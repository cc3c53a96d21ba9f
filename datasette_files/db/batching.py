"""Runs functions on the internal database: look-ups in batches, writes in group commits.

A hop to a database thread costs more than most of our queries, and a durable commit more than most
of our writes. So look-ups that arrive while a hop runs share the next one, and writes that wait
behind a transaction share the next one, each in a savepoint of its own: one that fails leaves the
others alone, and every caller returns only after the commit. Holds no SQL but those savepoints.

Before a hop's first call ``before_each`` runs on its connection: what has to be as new as the hop,
such as settings that another process changed, costs no hop of its own.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from datasette.database import DatasetteClosedError

from ..errors import NoSpace, StorageUnavailable

logger = logging.getLogger("datasette_files")

_T = TypeVar("_T")
Connection = sqlite3.Connection
_Outcome = tuple[bool, Any]

#: Calls that share one hop; bounds how long a batch may hold its connection.
_BATCH = 100

_FULL = NoSpace(
    "The disk of Datasette's internal database is full; ask its administrator for space"
)
_BUSY = StorageUnavailable("Datasette's internal database is busy; try again")
_FAILED = StorageUnavailable("Datasette's internal database failed; ask its administrator")
#: SQLite's primary result codes (sqlite.org/rescode.html), a part of their messages, our answer.
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
        #: Set once the schema is there. Runs in any of the database's threads.
        self.before_each: Callable[[Connection], None] = _nothing

    async def read(self, fn: Callable[[Connection], _T]) -> _T:
        """Run a quick look-up, perhaps in one hop with others."""
        result: _T = await self._reads.submit(fn)
        return result

    async def query(self, fn: Callable[[Connection], _T]) -> _T:
        """Run a query that may take milliseconds, in a hop of its own."""

        def look(conn: Connection) -> _T:
            self.before_each(conn)
            return fn(conn)

        with _translated():
            result: _T = await self._database.execute_fn(look)
        return result

    async def write(self, fn: Callable[[Connection], _T]) -> _T:
        """Run ``fn`` in a transaction and return once it is durable.

        What it raises undoes its own changes. Raises NoSpace where the disk is full.
        """
        result: _T = await self._writes.submit(fn)
        return result

    async def maintain(self, fn: Callable[[Connection], _T]) -> _T:
        """Run ``fn`` on the write connection outside of any transaction (pragmas, migrations)."""
        result: _T = await self._database.execute_write_fn(fn, transaction=False)
        return result

    async def rebuild(self, fn: Callable[[Connection], _T]) -> _T:
        """Run ``fn`` on a connection of its own while writes wait: migrations, VACUUM.

        On the write connection Datasette would take a table on the page of a dropped one for its
        renaming, and send an event of it.
        """
        result: _T = await self._database.execute_isolated_fn(fn)
        return result

    async def _run_reads(self, fns: list[Callable[[Connection], Any]]) -> list[_Outcome]:
        def look_up_batch(conn: Connection) -> list[_Outcome]:
            self.before_each(conn)
            return [_outcome(fn, conn) for fn in fns]

        with _translated():
            outcomes: list[_Outcome] = await self._database.execute_fn(look_up_batch)
        return outcomes

    async def _run_writes(self, fns: list[Callable[[Connection], Any]]) -> list[_Outcome]:
        def commit_group(conn: Connection) -> list[_Outcome]:
            self.before_each(conn)
            outcomes = []
            for fn in fns:
                conn.execute("SAVEPOINT datasette_files_group")
                succeeded, value = _outcome(fn, conn)
                if not succeeded:
                    if not conn.in_transaction:
                        # A full disk can make SQLite undo everything, the others' work too.
                        raise value
                    conn.execute("ROLLBACK TO datasette_files_group")
                conn.execute("RELEASE datasette_files_group")
                outcomes.append((succeeded, value))
            return outcomes

        with _translated():
            outcomes: list[_Outcome] = await self._database.execute_write_fn(commit_group)
        return outcomes


def _nothing(conn: Connection) -> None:
    return None


def _outcome(fn: Callable[[Connection], Any], conn: Connection) -> _Outcome:
    try:
        with _translated():
            return True, fn(conn)
    except Exception as error:  # noqa: BLE001 - handed to the caller that submitted fn
        return False, error


class _translated:  # noqa: N801 - reads as a statement
    """Turns the internal database's outages into the errors that clients know."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.OperationalError):
            translate(error)
        if isinstance(error, DatasetteClosedError):
            raise StorageUnavailable("Datasette is stopping; try again in a minute") from error


def translate(error: sqlite3.OperationalError) -> None:
    """Raise NoSpace or StorageUnavailable for what is wrong around the database; else do nothing.

    By SQLite's result codes, or by its messages where Python (3.10) does not tell the codes.
    """
    code = getattr(error, "sqlite_errorcode", None)
    text = str(error)
    for number, message, answer in _OUTAGES:
        if code & 0xFF == number if code is not None else message in text:
            logger.error("The internal database failed: %s", error)
            raise type(answer)(str(answer)) from error


class _Batcher:
    """Collects calls while a batch runs, and runs them together as the next batch."""

    def __init__(
        self, run: Callable[[list[Callable[[Connection], Any]]], Awaitable[list[_Outcome]]]
    ) -> None:
        self._run = run
        self._waiting: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]] = []
        self._drainer: asyncio.Task[None] | None = None

    async def submit(self, fn: Callable[[Connection], Any]) -> Any:
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((fn, future))
        # One that is done was cancelled before its first step, as the loop ends.
        if self._drainer is None or self._drainer.done():
            self._drainer = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
                try:
                    await self._run_batch(batch)
                finally:
                    for _, future in batch:
                        future.cancel()  # does nothing to those that have their outcome
        finally:
            self._drainer = None

    async def _run_batch(
        self, batch: list[tuple[Callable[[Connection], Any], asyncio.Future[Any]]]
    ) -> None:
        try:
            outcomes = await self._run([fn for fn, _ in batch])
        except Exception as error:  # noqa: BLE001 - each caller of the batch gets it
            outcomes = [(False, error)] * len(batch)
        for (_, future), (succeeded, value) in zip(batch, outcomes, strict=True):
            if future.done():  # its caller was cancelled
                continue
            if succeeded:
                future.set_result(value)
            else:
                future.set_exception(value)
