"""Imports of a file into a table: the preview, and the progress of jobs that ran before."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from datasette.utils.asgi import Response

from ..db import imports
from ..errors import NotFound
from ..models import FileRecord, Job
from ..previews import table_head
from . import records
from .http import Call, answer, page


async def preview(call: Call) -> Response:
    file, source = await call.files.browsable(call.actor, call.vars["file_id"])
    head = table_head(file, await call.files.head(source, file, 64 * 1024))
    return await page(call, "import_preview.html", {"file": records.full(call, file), "head": head})


async def _job(call: Call) -> tuple[dict[str, Any], FileRecord]:
    file, _ = await call.files.browsable(call.actor, call.vars["file_id"])
    number = call.vars["job"]
    job = None
    if len(number) < 19:
        job = await call.files.catalog.read(lambda conn: imports.get(conn, file.id, int(number)))
    if job is None:
        raise NotFound(f"There is no import {number} of this file")
    return {**asdict(job), "table_url": _table_url(call, job)}, file


def _table_url(call: Call, job: Job) -> str | None:
    try:
        return str(call.datasette.urls.table(job.database_name, job.table_name))
    except KeyError:
        return None  # the database is no longer attached


async def progress_json(call: Call) -> Response:
    job, _ = await _job(call)
    return answer(call, {"ok": True, **job})


async def progress_page(call: Call) -> Response:
    job, file = await _job(call)
    return await page(call, "import_job.html", {"job": job, "file": records.full(call, file)})
