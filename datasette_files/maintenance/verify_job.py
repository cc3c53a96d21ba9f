"""Verification that an actor asks for: a job of the server, with progress.

It looks at a source as the command beside the database does. Its findings are those of verify.json.
Leaves out the verification itself (verify.py) and the passes that a source has by itself
(verify_round.py).
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from ..db import jobs
from ..db.batching import Catalog
from ..db.jobs import Job
from ..db.verify import Share
from ..errors import NotFound
from ..jobs.jobs import Jobs, Kind, Progress
from ..permissions.actions import MANAGE, Actor, actor_id
from ..permissions.grants import grant
from ..sources.sources import Source, Sources
from .verify import Order, Verifier

_KIND = "verification"
#: Problems that a job tells.
_MAX_PROBLEMS = 100
#: Seconds between two looks whether the actor may still manage the source.
_ASKED_SECONDS = 10.0


class VerifyJobs:
    """The verifications of one Datasette that actors have asked for."""

    def __init__(
        self, datasette: Any, database: Catalog, sources: Sources, verifier: Verifier, runs: Jobs
    ) -> None:
        self._catalog = database
        self._jobs = runs
        runs.register(_Work(datasette, database, sources, verifier))

    async def start(
        self, actor: Actor, source: Source, share: Share, *, data: bool, seconds: float | None
    ) -> int:
        """Start a job of at most ``seconds``; return its id.

        Raises StorageUnavailable, and Conflict if too many wait.
        """
        source.require_up()
        options = {"source": source.slug, "data": data, "seconds": seconds}
        add = partial(
            jobs.add,
            kind=_KIND,
            actor=actor,
            actor_id=actor_id(actor),
            options={**options, "share": [share.number, share.of]},
            notes={},
        )
        job_id = await self._catalog.write(add)
        self._jobs.wake()
        return job_id

    async def job(self, source: Source, job_id: int) -> Job:
        """A job about this source. Raises NotFound."""
        job = await self._catalog.query(lambda conn: jobs.get(conn, job_id, _KIND))
        if job is None or job.options["source"] != source.slug:
            raise NotFound(f"The source {source.slug!r} has no verification {job_id}")
        return job


class _Work(Kind):
    name = _KIND
    phase = "verifying"
    limit = 1

    def __init__(
        self, datasette: Any, database: Catalog, sources: Sources, verifier: Verifier
    ) -> None:
        super().__init__(database)
        self._datasette = datasette
        self._sources = sources
        self._verifier = verifier

    async def permit(self, job: Job) -> None:
        """Raise NotFound or PermissionDenied unless the actor manages the source."""
        source = self._sources.get(job.options["source"])
        manage = await grant(self._datasette, job.actor, MANAGE, source.slug)
        await self._catalog.read(lambda conn: manage.check(conn, source.slug))

    async def run(self, job: Job, progress: Progress) -> dict[str, Any]:
        """Verify; the findings are stored as they are made. Raises Cancelled, Lost, FilesError."""
        options, asked_at = job.options, time.time()
        seconds = options["seconds"]
        order = Order(
            self._sources.get(options["source"]),
            data=options["data"],
            share=Share(*options["share"]),
            deadline=None if seconds is None else asked_at + seconds,
        )

        async def keep() -> None:
            nonlocal asked_at
            progress.check()
            if time.time() >= asked_at + _ASKED_SECONDS:
                await self.permit(job)
                asked_at = time.time()

        report = await progress.unless_stopped(self._verifier.verify(order, keep=keep))
        # A refusal amid a pass ends it, as a storage's failure does; here it ends the job.
        await self.permit(job)
        return {
            "complete": report.complete,
            "files": report.files,
            "bytes_read": report.bytes,
            "without_sha256": report.without_sha256,
            "problems": report.problems[:_MAX_PROBLEMS],
        }
