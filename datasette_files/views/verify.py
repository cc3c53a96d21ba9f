"""The verification of a source: its passes and open findings, as a page and as JSON; its start."""

from __future__ import annotations

import re
from typing import Any, get_args

from datasette.utils.asgi import Response

from ..db import verify as rows
from ..db.jobs import Job
from ..db.tokens import decode_token, encode_token
from ..db.verify import WHOLE, Finding, Kind, Pass, Share, utc
from ..errors import Invalid
from ..permissions.actions import MANAGE
from ..permissions.grants import Grant, grant
from ..sources.sources import Source
from .arguments import first_url, next_url
from .http import Call, answer, page, redirect
from .look import size

#: The name of this list in its pages' tokens.
_LIST = "verify"
_KINDS: tuple[Kind, ...] = get_args(Kind)
#: Passes that are shown, of each kind.
_PASSES = 10
#: Seconds: a year.
_MAX_SECONDS = 366 * 24 * 3600


async def _source(call: Call) -> tuple[Source, Grant]:
    source = call.files.sources.get(call.vars["source"])
    return source, await grant(call.datasette, call.actor, MANAGE, source.slug)


async def _found(call: Call) -> tuple[Source, list[Pass], list[Finding], str | None]:
    """The source, its latest passes, one page of findings, and the token of the next page."""
    source, manage = await _source(call)
    limit, token = size(call), call.argument("_next")
    after = ("", "") if token is None else _after(token)

    def look(conn: Any) -> tuple[list[Pass], list[Finding]]:
        manage.check(conn, source.slug)
        passes = [
            one
            for is_data in (False, True)
            for one in rows.passes(conn, source.id, is_data=is_data, limit=_PASSES)
        ]
        return passes, rows.findings(conn, source.id, after, limit + 1)

    passes, findings = await call.files.catalog.read(look)
    following = None
    if len(findings) > limit:
        findings.pop()
        following = encode_token(_LIST, findings[-1].path, _KINDS.index(findings[-1].kind))
    return source, passes, findings, following


def _after(token: str) -> tuple[str, str]:
    path, kind = decode_token(_LIST, token)
    if not isinstance(path, str) or not 0 <= kind < len(_KINDS):
        raise Invalid("_next is not a page token of this list; start from the first page")
    return path, _KINDS[kind]


def _as_json(one: Pass) -> dict[str, Any]:
    return {
        "data": one.is_data,
        "share": f"{one.share.number}/{one.share.of}",
        "started_at": utc(one.started_at),
        "ended_at": None if one.ended_at is None else utc(one.ended_at),
        "complete": one.is_complete,
        "files": one.files,
        "bytes_read": one.bytes,
        "problem": one.problem,
    }


async def verify_json(call: Call) -> Response:
    source, passes, findings, following = await _found(call)
    body = {
        "ok": True,
        "source": source.slug,
        "passes": [_as_json(one) for one in passes],
        "findings": [one.as_json() for one in findings],
        "next": following,
        "next_url": next_url(call, following),
    }
    return answer(call, body)


async def verify_page(call: Call) -> Response:
    source, passes, findings, following = await _found(call)
    context = {
        "source": source,
        "passes": [_as_json(one) for one in passes],
        "findings": [one.as_json() for one in findings],
        "first_url": first_url(call),
        "next_url": next_url(call, following),
    }
    return await page(call, "verify.html", context)


async def start(call: Call) -> Response:
    """Start a verification, as a job."""
    source, manage = await _source(call)
    await call.files.catalog.read(lambda conn: manage.check(conn, source.slug))
    body: dict[str, Any] = await (call.body.form() if call.sends_form else call.body.json())
    data, seconds = body.get("data", False), body.get("max_duration")
    if call.sends_form:
        data = data == "on"
    if not isinstance(data, bool):
        raise Invalid("data must be true or false")
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    if seconds is not None and not (is_number and 0 <= seconds < _MAX_SECONDS):
        raise Invalid("max_duration must be a number of seconds")
    job_id = await call.files.verify_jobs.start(
        call.actor, source, _share(body.get("share")), data=data, seconds=seconds
    )
    url = call.url(f"/-/files/source/{source.slug}/verify")
    if call.wants_page:
        started = "Verification has started. Reload this page after a while to see what it found."
        call.datasette.add_message(call.request, started)
        return redirect(url)
    url = f"{url}/{job_id}"
    return answer(call, {"ok": True, "job": {"id": job_id, "url": url}}, 202, {"Location": url})


def _share(value: object) -> Share:
    if value is None:
        return WHOLE
    found = isinstance(value, str) and re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", value, re.ASCII)
    if not found or not 1 <= int(found[1]) <= int(found[2]):
        raise Invalid('share must be a part of all, such as "2/7"')
    return Share(int(found[1]), int(found[2]))


async def job_json(call: Call) -> Response:
    source, manage = await _source(call)
    await call.files.catalog.read(lambda conn: manage.check(conn, source.slug))
    # SQLite's integers have at most 19 digits; a longer number names no job.
    number = int(call.vars["job"]) if len(call.vars["job"]) < 19 else 0
    job = await call.files.verify_jobs.job(source, number)
    return answer(call, {"ok": True, **_job(job)})


def _job(job: Job) -> dict[str, Any]:
    number, of = job.options["share"]
    return {
        "id": job.id,
        "status": job.status,
        "error": job.error,
        "data": job.options["data"],
        "share": f"{number}/{of}",
        "complete": job.result.get("complete", False),
        "files": job.result.get("files", 0),
        "bytes_read": job.result.get("bytes_read", 0),
        "without_sha256": job.result.get("without_sha256", 0),
        "problems": job.result.get("problems", []),
    }
