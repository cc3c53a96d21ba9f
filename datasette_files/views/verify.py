"""The verification of a source: its latest passes and open findings, as a page and as JSON."""

from __future__ import annotations

from typing import Any, get_args

from datasette.utils.asgi import Response

from ..db import verify as rows
from ..db.tokens import decode_token, encode_token
from ..db.verify import Finding, Kind, Pass, utc
from ..errors import Invalid
from ..permissions.actions import MANAGE
from ..permissions.grants import grant
from ..sources.sources import Source
from .arguments import first_url, next_url
from .http import Call, answer, page
from .look import size

#: The name of this list in its pages' tokens.
_LIST = "verify"
_KINDS: tuple[Kind, ...] = get_args(Kind)
#: Passes that are shown, of each kind.
_PASSES = 10


async def _found(call: Call) -> tuple[Source, list[Pass], list[Finding], str | None]:
    """The source, its latest passes, one page of findings, and the token of the next page."""
    source = call.files.sources.get(call.vars["source"])
    manage = await grant(call.datasette, call.actor, MANAGE, source.slug)
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
