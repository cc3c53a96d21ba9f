"""The index of a source: its latest walks, as a page and as JSON, and the start of another."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

from datasette.utils.asgi import Response

from ..db import index
from ..db.index import Walk
from ..models import written
from ..permissions.actions import MANAGE
from ..permissions.grants import Grant, grant
from ..sources.sources import Source
from .http import Call, answer, page, redirect

#: Walks that are shown.
_WALKS = 10


async def _source(call: Call) -> tuple[Source, Grant]:
    source = call.files.sources.get(call.vars["source"])
    return source, await grant(call.datasette, call.actor, MANAGE, source.slug)


async def _walks(call: Call) -> tuple[Source, list[dict[str, Any]]]:
    source, manage = await _source(call)

    def look(conn: Connection) -> list[Walk]:
        manage.check(conn, source.slug)
        return index.latest(conn, source.id, _WALKS)

    return source, [_as_json(walk) for walk in await call.files.catalog.read(look)]


def _as_json(walk: Walk) -> dict[str, Any]:
    return {
        "id": walk.id,
        "started_at": written(walk.started_at),
        "ended_at": None if walk.ended_at is None else written(walk.ended_at),
        "phase": walk.phase,
        "counts": walk.counts,
        "failures": [{"path": path, "reason": reason} for path, reason in walk.failures],
        "problem": walk.problem,
    }


async def index_json(call: Call) -> Response:
    source, walks = await _walks(call)
    return answer(call, {"ok": True, "source": source.slug, "walks": walks})


async def index_page(call: Call) -> Response:
    source, walks = await _walks(call)
    return await page(call, "indexing.html", {"source": source, "walks": walks})


async def start(call: Call) -> Response:
    """Ask for a walk, which the source's round then makes."""
    source, manage = await _source(call)
    await call.files.catalog.read(lambda conn: manage.check(conn, source.slug))
    body: dict[str, Any] = await (call.body.form() if call.sends_form else call.body.json())
    accepts = body.get("accept_missing") in (True, "on")
    walk = await call.files.indexer.request(source, accepts_missing=accepts)
    url = call.url(f"/-/files/source/{source.slug}/index")
    if call.wants_page:
        return redirect(url)
    return answer(call, {"ok": True, "walk": _as_json(walk)}, 202, {"Location": f"{url}.json"})
