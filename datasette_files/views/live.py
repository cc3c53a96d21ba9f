"""Live tables: what a file holds, its opening with the job's progress, and the way to its database.

``wrap`` has a database attached before Datasette looks for it. Leaves out its pages and who may see
them: these are Datasette's, by our rules (permissions/live.py).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from datasette.utils.asgi import Response

from ..app import Files
from ..db.jobs import Job
from ..errors import Conflict, FilesError
from ..live.live import verdicts
from ..models import FileRecord
from ..naming import live_database, live_file
from . import records
from .http import Call, answer, as_body, page, redirect
from .stream import unless_gone

_App = Callable[[Any, Any, Any], Awaitable[None]]
#: The database that a path of Datasette begins with.
_DATABASE = re.compile(r"/(file_[0-9a-z]+)(?=[/.?]|$)")
#: Characters of the address to return to.
_MAX_NEXT = 4000


async def tables_json(call: Call) -> Response:
    file, source = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    # If the client disconnects, the process that looks into the file ends.
    told = await unless_gone(call, call.files.live.tables(source, file, call.client))
    return answer(call, {"ok": True, **told, "open_url": f"{_url(call, file, '/-')}/open"})


async def open_tables(call: Call) -> Response:
    file, _ = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    job = await call.files.live.open(call.actor, file)
    if job is not None:
        return _started(call, file, job)
    url = _database_url(call, file)
    if call.wants_page:
        return redirect(url)
    return answer(call, {"ok": True, "database": live_database(file.id), "url": url})


async def open_page(call: Call) -> Response:
    """The way to tables that are not open: those of an opened file are made again at once."""
    file, source = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    if await call.files.live.arrive(file.id):
        return redirect(_next(call, file), 302)
    if await call.files.live.was_opened(file):
        job = await call.files.live.open(call.actor, file)
        return redirect(_next(call, file), 302) if job is None else _started(call, file, job)
    if not _wants_page(call, file):
        error = Conflict("The file's tables are not open; POST to its /-/open first")
        return answer(call, as_body(error), error.status)
    context = {"file": records.full(call, file), "source": source}
    return await page(call, "live_open.html", context)


def _wants_page(call: Call, file: FileRecord) -> bool:
    return call.wants_page and not _next(call, file).partition("?")[0].endswith(".json")


def _started(call: Call, file: FileRecord, job: int) -> Response:
    url = _url(call, file, f"/open/{job}")
    if _wants_page(call, file):
        after = _next(call, file)
        asked = "" if after == _database_url(call, file) else f"?{urlencode({'next': after})}"
        return redirect(f"{url}{asked}", 302 if call.method in ("GET", "HEAD") else 303)
    return answer(call, {"ok": True, "job": {"id": job, "url": url}}, 202, {"Location": url})


async def _job(call: Call) -> tuple[FileRecord, Job]:
    file, _ = await call.files.lookup.visible(call.actor, call.vars["file_id"])
    # SQLite's integers have at most 19 digits; a longer number names no job.
    number = int(call.vars["job"]) if len(call.vars["job"]) < 19 else 0
    return file, await call.files.live.job(file, number)


async def job_json(call: Call) -> Response:
    file, job = await _job(call)
    return answer(call, {"ok": True, **_shown(call, file, job)})


async def job_page(call: Call) -> Response:
    file, job = await _job(call)
    shown = _shown(call, file, job)
    if shown["url"] is not None and not shown["left_out"]:
        return redirect(_next(call, file))
    context = {
        "job": shown,
        "file": records.full(call, file),
        "active": job.status in ("pending", "running"),
        "may_cancel": call.files.live.may_cancel(call.actor, job),
        "own_url": _url(call, file, f"/open/{job.id}"),
        "next": _next(call, file),
    }
    return await page(call, "live_job.html", context)


async def cancel(call: Call) -> Response:
    file, job = await _job(call)
    await call.files.live.cancel(call.actor, job)
    url = _url(call, file, f"/open/{job.id}")
    return redirect(url) if call.wants_page else answer(call, {"ok": True})


def _shown(call: Call, file: FileRecord, job: Job) -> dict[str, Any]:
    """A job as JSON. ``url`` is the database's once it is made."""
    read, size = job.progress.get("read", 0), job.options["size"]
    finished = job.status == "finished"
    return {
        "id": job.id,
        "status": job.status,
        "phase": job.phase,
        "error": job.error,
        "rows": job.progress.get("rows", 0),
        "bytes_read": read,
        "total_size": size,
        "progress": 1.0 if finished else min(read / max(size, 1), 1.0),
        "database": live_database(file.id),
        "url": _database_url(call, file) if finished else None,
        "left_out": job.result.get("left_out", []),
    }


def _url(call: Call, file: FileRecord, path: str) -> str:
    return call.url(f"/-/files/{file.id}{path}")


def _database_url(call: Call, file: FileRecord) -> str:
    return call.url(f"/{live_database(file.id)}")


def _next(call: Call, file: FileRecord) -> str:
    """The address to go to once the tables are open: the one asked for, if it is of theirs."""
    home, wanted = _database_url(call, file), call.argument("next") or ""
    begins = wanted.startswith(home) and wanted[len(home) : len(home) + 1] in ("", "/", ".", "?")
    plain = wanted.isascii() and wanted.isprintable() and "\\" not in wanted
    return wanted if begins and plain and len(wanted) <= _MAX_NEXT else home


def wrap(app: _App, datasette: Any) -> _App:
    """The application, with live tables attached before a request for them."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        token = verdicts.set({})
        try:
            answered = await _before(scope, datasette)
            await (answered.asgi_send(send) if answered else app(scope, receive, send))
        finally:
            verdicts.reset(token)

    return wrapped


async def _before(scope: Any, datasette: Any) -> Response | None:
    """Have the tables attached that a request is for; the answer if it must wait for them."""
    file_id = _file_of(scope, datasette)
    if file_id is None:
        return None
    files = Files.of(datasette)
    if not files.has_schema:
        return None
    try:
        arrived = await files.live.arrive(file_id)
    except FilesError as error:
        return Response.json(as_body(error), status=error.status, headers=error.headers)
    if arrived is not False or scope["method"] not in ("GET", "HEAD"):
        return None
    # The page behind it asks for the permission before it tells anything.
    asked = urlencode({"next": _address(scope)})
    return redirect(f"{files.base_url}-/files/{file_id}/open?{asked}", 302)


def _file_of(scope: Any, datasette: Any) -> str | None:
    """The id of the file whose live tables a request is for, or None."""
    path, base_url = scope["path"], datasette.setting("base_url")
    if base_url != "/" and path.startswith(base_url):
        path = "/" + path[len(base_url) :]
    found = _DATABASE.match(path)
    return None if found is None else live_file(found[1])


def _address(scope: Any) -> str:
    """The request's path as it was sent, with its query."""
    raw = scope.get("raw_path") or scope["path"].encode()
    path = raw.decode("latin-1").partition("?")[0]
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path
