"""Writes the rows of one import from the scratch database to the user's, in short steps.

Each step is a call on Datasette's write connection; other writes run between the steps.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from ..db import jobs
from ..db.batching import Catalog
from ..db.imports import ImportRequest
from ..db.jobs import Job
from ..formats.base import shown_names
from ..jobs.jobs import Cancelled, Kind, Lost, Progress
from ..tables import changes, closing, merging, target, words
from ..tables.content import Content

_T = TypeVar("_T")

logger = logging.getLogger("datasette_files")

#: Rows of the first transaction; seconds that one should take; and the most rows of one.
_FIRST_ROWS, _HOLD, _MAX_ROWS = 2_000, 0.08, 20_000
#: Seconds between two transactions, so that other processes can use the database.
_GAP = 0.002
#: Attempts at a step while another process locks the database; each waits for 5 seconds.
_TRIES = 12


class Writing:
    """Writes or compares the rows of one import."""

    def __init__(
        self,
        catalog: Catalog,
        kind: Kind,
        database: Any,
        job: Job,
        request: ImportRequest,
        content: Content,
        progress: Progress,
    ) -> None:
        self._catalog = catalog
        self._kind = kind
        self._database = database
        self._job = job
        self._request = request
        self._content = content
        self._progress = progress
        self._result: dict[str, Any] = {
            "rows": content.rows,
            # For the job's page; the table has the whole names.
            "columns": list(zip(shown_names(content.columns), content.kinds, strict=True)),
            "found": content.found,
        }

    async def run(self) -> dict[str, Any]:
        """Write or compare; return the result. Raises PermissionDenied, Conflict, sqlite3.Error."""
        if self._request.mode == "compare":
            examples: dict[str, list[Any]] = {"added": [], "changed": [], "removed": []}
            self._result.update(asdict(await self._compare(examples)))
            self._result["examples"] = examples
            await self._kind.permit(self._job)
        else:
            await self._bring_in()
        return self._result

    async def _bring_in(self) -> None:
        # A table's name is written down before the table is made.
        await self._catalog.write(
            lambda conn: jobs.note(conn, self._job.id, staging=self._content.staging)
        )
        if self._request.mode in ("create", "replace"):
            await self._fill()
            replaces = self._request.mode == "replace"
            await self._last(
                lambda conn, confirm: target.appear(conn, self._content, replaces, confirm)
            )
            return
        await self._write(lambda conn: target.create_marker(conn, self._content.staging))
        if self._request.mode == "append":
            await self._last(lambda conn, confirm: merging.append(conn, self._content, confirm))
            return
        self._result.update(asdict(await self._compare()))
        removes = self._request.removes
        await self._last(lambda conn, confirm: merging.merge(conn, self._content, removes, confirm))

    async def _last(self, step: Callable[[sqlite3.Connection, Callable[[], None]], Any]) -> None:
        """Run the transaction that makes the rows visible; the job can no longer be cancelled.

        No other place makes rows visible, so the permission is checked again here: before the
        transaction, and within it directly before the commit, as it may take seconds.
        """
        self._progress.check()
        await self._kind.permit(self._job)
        ours = await self._catalog.write(lambda conn: jobs.commits(conn, self._job, self._result))
        if not ours:
            # The job was cancelled at the last moment, or another process has taken it.
            job = await self._catalog.read(lambda conn: jobs.get(conn, self._job.id))
            self._progress.stop(Cancelled() if job is not None and job.cancel else Lost())
            self._progress.check()
        confirm = self._kind.confirmation(self._job)
        await self._write(lambda conn: step(conn, confirm))
        self._progress.count(written=self._content.rows)

    async def _write(self, step: Callable[[sqlite3.Connection], _T]) -> _T:
        return await retried(self._database, step)

    async def _fill(self) -> None:
        """Fill the staging table in short transactions."""
        content = self._content
        await self._write(lambda conn: target.create_staging(conn, content))
        size, done = _FIRST_ROWS, 0
        while done < content.rows:
            self._progress.check()
            upto = min(done + size, content.rows)
            took = await self._write(
                lambda conn, done=done, upto=upto: target.copy_rows(conn, content, done, upto)  # type: ignore[misc]
            )
            done = upto
            self._progress.count(written=done)
            size = _next_size(size, took)
            await asyncio.sleep(_GAP)
        last: int | None = -(2**63)
        while content.search and last is not None:
            self._progress.check()
            last = await self._write(
                lambda conn, last=last: words.index_words(conn, content, last, _FIRST_ROWS)  # type: ignore[misc]
            )
            await asyncio.sleep(_GAP)

    async def _compare(self, examples: dict[str, list[Any]] | None = None) -> merging.Differences:
        """Count the changes that a merge would make, in short steps that block nobody.

        ``examples`` receives some rows of each kind, as ``changes`` returns them.
        """
        content, done, found, changed, total = self._content, 0, 0, 0, 0
        while done < content.rows or not done:
            self._progress.check()
            upto = min(done + _MAX_ROWS, content.rows)
            part = await self._database.execute_fn(
                lambda conn, done=done, upto=upto: merging.compare(conn, content, done, upto)
            )
            found, changed, total = found + part[0], changed + part[1], part[2]
            if examples is not None:
                new = part[0] < upto - done
                await self._exemplify(examples, done, upto, added=new, changed=bool(part[1]))
            if not content.rows:
                break
            done = upto
            self._progress.count(written=done)
        differences = merging.Differences(content.rows - found, changed, max(0, total - found))
        if examples is not None and differences.removed:
            examples["removed"] = await self._database.execute_fn(
                lambda conn: changes.removed(conn, content, changes.MAX_ROWS)
            )
        return differences

    async def _exemplify(
        self, examples: dict[str, list[Any]], after: int, upto: int, *, added: bool, changed: bool
    ) -> None:
        """Add examples from the file's rows after number ``after`` up to ``upto``."""
        for kind, read, wanted in (
            ("added", changes.added, added),
            ("changed", changes.changed, changed),
        ):
            left = changes.MAX_ROWS - len(examples[kind])
            if wanted and left:
                examples[kind] += await self._database.execute_fn(
                    lambda conn, read=read, left=left: read(conn, self._content, after, upto, left)
                )


def _next_size(size: int, took: float) -> int:
    """Return the rows for the next transaction; the last one had ``size`` and took seconds."""
    factor = min(2.0, max(0.25, _HOLD / max(took, 0.001)))
    return int(min(_MAX_ROWS, max(100, size * factor)))


async def retried(database: Any, step: Callable[[sqlite3.Connection], _T]) -> _T:
    """Run on the write connection, to which staging tables are open for the step.

    It is tried again while another process locks the database.
    """

    def with_staging(conn: sqlite3.Connection) -> _T:
        with closing.opened(conn):
            return step(conn)

    for left in range(_TRIES - 1, -1, -1):
        try:
            result: _T = await database.execute_write_fn(with_staging, transaction=False)
        except sqlite3.OperationalError as error:
            if not left or "locked" not in str(error):
                raise
            logger.info("%s is locked; the import tries again", database.name)
            await asyncio.sleep(0.1)
        else:
            return result
    raise AssertionError("the last try returns or raises")
