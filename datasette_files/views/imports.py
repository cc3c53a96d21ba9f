"""Imports of a file into a table: the preview with its form, and a job's progress."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from datasette.utils.asgi import Response

from ..app import Files
from ..db.imports import ImportJob, ImportRequest
from ..db.jobs import Job
from ..errors import Conflict, FilesError, Invalid
from ..formats.characters import ENCODINGS
from ..formats.delimited import DELIMITERS
from ..formats.types import TYPES
from ..imports.requests import check_reading, table_name
from ..media.types import essence
from ..models import FileRecord
from ..naming import plain
from ..permissions.actions import Actor
from ..permissions.tables import may_view_table
from . import records
from .http import Call, answer, page, part, redirect
from .import_form import (
    MAX_COLUMNS,
    MAX_FIELDS,
    is_unfolded,
    query_of,
    reading,
    reading_line,
    request_of,
)
from .stream import unless_gone

#: The share of an import's time that reading takes; writing takes the rest.
_READING = 0.7


async def preview(call: Call) -> Response:
    values = {name: given[0] for name, given in call.query.items()}
    return await _form(call, values, None)


async def _form(call: Call, values: dict[str, str], error: FilesError | None) -> Response:
    """The preview with its form. ``error``: why the form with these values was refused."""
    file, source = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    try:
        read = reading(values)
        check_reading(read)
    except Invalid:
        if error is None:
            raise
        read = {}
    # If the client disconnects, the preview's process ends.
    made = await unless_gone(
        call,
        call.files.imports.preview(source, file, values.get("format") or None, read, call.client),
    )
    unfolded = is_unfolded(values, made, error)
    databases = await call.files.imports.databases(call.actor)
    values = {"table_name": table_name(file.filename), **values}
    tables = await call.files.imports.tables(call.actor, [name for name, _ in databases])
    database = values.get("database_name") or next(iter(tables), "")
    found = {**made.found, **read}
    options = call.files.imports.formats.of(file, made.format).options
    context = {
        "file": records.full(call, file),
        "head": made,
        "columns": list(zip(made.columns, made.types, strict=True))[:MAX_COLUMNS],
        "values": values,
        "read": found,
        # A member of an archive may be of another format than the next one.
        "by_name": bool(made.members) and not values.get("format") and made.format != "excel",
        "others": [
            urlencode({**values, "encoding": other["encoding"]})
            for other in made.found.get("others", ())
        ],
        "databases": databases,
        "makes_tables": any(creates for _, creates in databases),
        "tables": tables,
        "exists": values["table_name"].lower() in map(str.lower, tables.get(database, ())),
        "formats": call.files.imports.formats.registered,
        "options": options,
        "line": reading_line(call.files.imports.formats.registered, made, found, options),
        "unfolded": unfolded,
        "encodings": list(ENCODINGS),
        "delimiters": DELIMITERS,
        "types": TYPES,
        "error": None if error is None else str(error),
        "error_field": None if error is None else error.field or "",
        "status": None if error is None else error.status,
    }
    return await page(call, "import_preview.html", context, 200 if error is None else error.status)


async def start(call: Call) -> Response:
    file, _ = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    values = await call.body.form(MAX_FIELDS)
    # A button beside the name of a table that exists.
    values["mode"] = values.pop("instead", "") or values.get("mode", "")
    try:
        job = await call.files.imports.start(call.actor, file, request_of(values))
    except (Invalid, Conflict) as error:
        if not call.wants_page:
            raise
        return await _form(call, values, error)
    return redirect(_url(call, file.id, job), 302)


async def cancel(call: Call) -> Response:
    file, _ = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    job = _number(call)
    await call.files.imports.cancel(call.actor, file, job)
    return redirect(_url(call, file.id, job)) if call.wants_page else answer(call, {"ok": True})


async def restart(call: Call) -> Response:
    """Run an unfinished import again; after a comparison, apply it."""
    file, _ = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    values = await call.body.form()
    number = _number(call)
    if values.get("apply") == "1":
        removes = values.get("removes") == "1"
        job = await call.files.imports.apply(call.actor, file, number, removes)
    else:
        job = await call.files.imports.restart(call.actor, file, number)
    return redirect(_url(call, file.id, job), 302)


def _number(call: Call) -> int:
    # SQLite's integers have at most 19 digits; a longer number names no job.
    return int(call.vars["job"]) if len(call.vars["job"]) < 19 else 0


def _url(call: Call, file_id: str, job: int) -> str:
    return call.url(f"/-/files/import/{file_id}/{job}")


async def _job(call: Call) -> tuple[dict[str, Any], FileRecord, ImportRequest, Job | None]:
    file, _ = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    job, details = await call.files.imports.visible_job(call.actor, file.id, _number(call))
    request = call.files.imports.request_of(job, details)
    shown = {**asdict(job), "table_url": table_url(call, job), "mode": request.mode}
    return {**shown, **_progress(job, details)}, file, request, details


def table_url(call: Call, job: ImportJob) -> str | None:
    try:
        return str(call.datasette.urls.table(job.database_name, job.table_name))
    except KeyError:
        return None  # the database is no longer attached


def _progress(job: ImportJob, details: Job | None) -> dict[str, Any]:
    """A job's progress: ``progress`` from 0 to 1, and the rate and the seconds left, if known."""
    shown: dict[str, Any] = {
        **{"phase": None, "rows_written": 0, "progress": 0.0},
        **{"rows_per_second": None, "seconds_left": None},
        **{"encoding": None, "guessed": False, "others": []},
        **{"columns": None, "added": None, "changed": None, "removed": None},
    }
    if details is None:
        return shown
    result, written = details.result, details.progress.get("written", 0)
    shown |= {"phase": details.phase, "rows_written": written}
    shown |= {name: result.get(name) for name in ("columns", "added", "changed", "removed")}
    shown |= {
        name: result["found"][name]
        for name in ("encoding", "guessed", "others")
        if name in (result.get("found") or {})
    }
    if job.status == "finished":
        shown["progress"] = 1.0
    elif details.phase == "writing":
        shown["progress"] = _READING + (1 - _READING) * written / max(job.row_count, 1)
    else:
        shown["progress"] = _READING * job.bytes_read / max(job.total_size, 1)
    if details.begun_at is not None and details.updated_at is not None:
        took = details.updated_at - details.begun_at
        if took > 0:
            shown["rows_per_second"] = round(job.row_count / took)
        if job.status == "running" and shown["progress"] > 0.01:
            past = time.time() - details.begun_at
            shown["seconds_left"] = round(past / shown["progress"] - past)
    return shown


async def progress_json(call: Call) -> Response:
    job, *_ = await _job(call)
    return answer(call, {"ok": True, **job})


async def progress_page(call: Call) -> Response:
    job, file, request, details = await _job(call)
    active = job["status"] in ("pending", "running")
    context = {
        "job": job,
        "request": request,
        "file": records.full(call, file),
        "active": active,
        "may_run": await call.files.imports.may_run(call.actor, request),
        "own_url": _url(call, file.id, job["id"]),
        "asked": query_of(request),
        "examples": await _examples(call, request, details),
    }
    return await page(call, "import_job.html", context)


async def _examples(
    call: Call, request: ImportRequest, details: Job | None
) -> dict[str, list[Any]]:
    """Some rows that a comparison found, for an actor who may view the table now."""
    found: dict[str, list[Any]] = (details.result if details else {}).get("examples") or {}
    place = (request.database, request.table)
    if found and not await may_view_table(call.datasette, call.actor, *place):
        return {}
    return found


async def of_file(call: Call, file: FileRecord) -> list[dict[str, Any]]:
    """The imports of a file into tables that the actor may view, for its page."""
    shown = []
    for job, mode in await call.files.imports.of_file(file):
        if job.database_name not in call.datasette.databases:
            continue
        if await may_view_table(call.datasette, call.actor, job.database_name, job.table_name):
            url = _url(call, file.id, job.id)
            shown.append(
                {**asdict(job), "mode": mode, "table_url": table_url(call, job), "url": url}
            )
    return shown


async def action(files: Files, actor: Actor, file: dict[str, Any]) -> list[dict[str, str]]:
    """The entry of a file's menu, if a format reads the file and the actor may import somewhere."""
    kind = essence(file["content_type"] or "")
    if files.imports.formats.find(kind or "", file["filename"]) is None:
        return []
    if not await files.imports.databases(actor):
        return []
    return [
        {
            "href": files.datasette.urls.path(f"/-/files/import/{file['id']}"),
            "label": "Import as table",
            "description": "Make the rows of this file a table in a database",
        }
    ]


async def origins(datasette: Any, request: Any, database: str, table: str) -> str:
    """The HTML on a table's page that names the files of its rows that the actor may see."""
    files = Files.of(datasette)
    found = await files.imports.origins(database, table)
    if not found:
        return ""
    visible = await files.lookup.visible_among(
        request.actor, [(one.source, one.file_id) for one in found if one.source is not None]
    )
    shown = [
        {
            **asdict(one),
            "filename": None if one.filename is None else plain(one.filename),
            "url": datasette.urls.path(f"/-/files/{one.file_id}"),
        }
        for one in found
        if (one.source, one.file_id) in visible
    ]
    return await part(datasette, request, "_origins.html", {"origins": shown})
