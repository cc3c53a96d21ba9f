"""Imports of a file into a table: the preview with its form, and a job's progress."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

from datasette.utils.asgi import Response

from ..app import Files
from ..db.imports import ImportJob, ImportRequest
from ..db.jobs import Job
from ..errors import Invalid
from ..formats.characters import ENCODINGS
from ..formats.delimited import DELIMITERS
from ..formats.types import TYPES
from ..imports.requests import table_name
from ..media.types import essence
from ..models import FileRecord
from ..naming import plain
from ..permissions.tables import may_view_table
from . import records
from .http import Call, answer, page, redirect
from .stream import unless_gone

#: The share of an import's time that reading takes; writing takes the rest.
_READING = 0.7
#: Columns that the form offers choices for.
_MAX_COLUMNS = 200
#: Fields of the form: four for each column, and the rest.
_MAX_FIELDS = 5 * _MAX_COLUMNS
_DELIMITER_NAMES = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}
_QUOTES = {"double": '"', "single": "'", "none": ""}
_PLAIN = ("encoding", "errors", "extra", "member")


def _reading(values: Mapping[str, str]) -> dict[str, Any]:
    """The reading options in the fields of a form or a query. Raises Invalid."""
    read: dict[str, Any] = {name: values[name] for name in _PLAIN if values.get(name)}
    if delimiter := values.get("delimiter"):
        read["delimiter"] = _DELIMITER_NAMES.get(delimiter, delimiter)
    if quote := values.get("quote"):
        read["quote"] = _QUOTES.get(quote, quote)
    if header := values.get("header"):
        if header not in ("0", "1"):
            raise Invalid("header must be 1 or 0")
        read["header"] = header == "1"
    if skip := values.get("skip"):
        if not re.fullmatch("[0-9]{1,4}", skip):
            raise Invalid("skip must be a number")
        read["skip"] = int(skip)
    return read


def _request(values: Mapping[str, str]) -> ImportRequest:
    """The import that a form describes. ``column_3`` names the column of ``type_3``, ``index_3``.

    Raises Invalid.
    """
    for name in ("table_name", "database_name"):
        if not values.get(name):
            raise Invalid(f"{name} is missing; send it as a field of the form")
    columns = {
        name.removeprefix("column_"): column
        for name, column in values.items()
        if name.startswith("column_")
    }

    def chosen(prefix: str) -> list[str]:
        return [column for number, column in columns.items() if values.get(f"{prefix}_{number}")]

    return ImportRequest(
        database=values["database_name"],
        table=values["table_name"],
        mode=values.get("mode") or "create",
        format=values.get("format") or None,
        read=_reading(values),
        types={
            column: values[f"type_{number}"]
            for number, column in columns.items()
            if values.get(f"type_{number}")
        },
        key=values.get("primary_key") or None,
        indexes=chosen("index"),
        search=chosen("search"),
        removes=values.get("removes") == "1",
    )


def _query(request: ImportRequest) -> str:
    """The query that opens the preview with this request, except for its choices by column."""
    names = {mark: name for name, mark in _QUOTES.items()}
    read = {**request.read}
    if "quote" in read:
        read["quote"] = names.get(read["quote"], read["quote"])
    if "header" in read:
        read["header"] = str(int(read["header"]))
    values = {
        **{"table_name": request.table, "database_name": request.database, "mode": request.mode},
        **{"format": request.format, "primary_key": request.key, **read},
    }
    return urlencode({name: value for name, value in values.items() if value not in (None, "")})


async def preview(call: Call) -> Response:
    file, source = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    values = {name: given[0] for name, given in call.query.items()}
    read = _reading(values)
    # If the client disconnects, the preview's process ends.
    made = await unless_gone(
        call,
        call.files.imports.preview(source, file, values.get("format") or None, read, call.client),
    )
    databases = await call.files.imports.databases(call.actor)
    context = {
        "file": records.full(call, file),
        "head": made,
        "columns": list(zip(made.columns, made.types, strict=True))[:_MAX_COLUMNS],
        "values": {"table_name": table_name(file.filename), **values},
        "read": {**made.found, **read},
        # A member of an archive may be of another format than the next one.
        "by_name": bool(made.members) and not values.get("format") and made.format != "excel",
        "others": [
            urlencode({**values, "encoding": other["encoding"]})
            for other in made.found.get("others", ())
        ],
        "databases": databases,
        "makes_tables": any(creates for _, creates in databases),
        "formats": call.files.imports.formats.registered,
        "options": call.files.imports.formats.of(file, made.format).options,
        "encodings": list(ENCODINGS),
        "delimiters": DELIMITERS,
        "types": TYPES,
    }
    return await page(call, "import_preview.html", context)


async def start(call: Call) -> Response:
    file, _ = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    request = _request(await call.body.form(_MAX_FIELDS))
    job = await call.files.imports.start(call.actor, file, request)
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


async def _job(call: Call) -> tuple[dict[str, Any], FileRecord, ImportRequest]:
    file, _ = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    job, details = await call.files.imports.visible_job(call.actor, file.id, _number(call))
    request = call.files.imports.request_of(job, details)
    shown = {**asdict(job), "table_url": table_url(call, job), "mode": request.mode}
    return {**shown, **_progress(job, details)}, file, request


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
    job, _, _ = await _job(call)
    return answer(call, {"ok": True, **job})


async def progress_page(call: Call) -> Response:
    job, file, request = await _job(call)
    active = job["status"] in ("pending", "running")
    context = {
        "job": job,
        "request": request,
        "file": records.full(call, file),
        "active": active,
        "may_run": await call.files.imports.may_run(call.actor, request),
        "own_url": _url(call, file.id, job["id"]),
        "asked": _query(request),
    }
    return await page(call, "import_job.html", context)


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


def action(files: Files, file: dict[str, Any]) -> list[dict[str, str]]:
    """The entry of a file's menu, if a format reads the file."""
    kind = essence(file["content_type"] or "")
    if files.imports.formats.find(kind or "", file["filename"]) is None:
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
    html: str = await datasette.render_template(
        "datasette_files/_origins.html", {"origins": shown}, request=request
    )
    return html
