"""The usage of a source: what its files take, by actor, type and folder, and what is left."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

from datasette.utils.asgi import Response

from ..db import quotas
from ..db.quotas import Usage
from ..models import SourceTotals
from ..permissions.actions import MANAGE
from ..permissions.grants import grant
from ..sources.sources import Source
from ..transfer.reserving import Left, left
from .http import Call, answer, page


async def _found(call: Call) -> tuple[Source, Usage, Left]:
    source = call.files.sources.get(call.vars["source"])
    manage = await grant(call.datasette, call.actor, MANAGE, source.slug)

    def look(conn: Connection) -> tuple[Usage, Left]:
        manage.check(conn, source.slug)
        return quotas.usage(conn, source.id), left(conn, source, None, own=False)

    return source, *await call.files.catalog.query(look)


def _rows(key: str, rows: list[tuple[Any, SourceTotals]]) -> list[dict[str, Any]]:
    return [{key: value, "files": one.files, "bytes": one.bytes} for value, one in rows]


def _as_json(usage: Usage, room: Left) -> dict[str, Any]:
    return {
        "ok": True,
        "files": usage.files.files,
        "bytes": usage.files.bytes,
        "by_actor": _rows("actor", usage.by_actor),
        "by_type": _rows("content_type", usage.by_type),
        "by_folder": _rows("folder", usage.by_folder),
        "trash": {"files": usage.trash.files, "bytes": usage.trash.bytes},
        "on_the_way": {"files": usage.arriving.files, "bytes": usage.arriving.bytes},
        "left": room.as_json(),
    }


async def usage_json(call: Call) -> Response:
    _, usage, room = await _found(call)
    return answer(call, _as_json(usage, room))


async def usage_page(call: Call) -> Response:
    source, usage, room = await _found(call)
    context = {"source": source, "usage": _as_json(usage, room), "used": usage.used}
    return await page(call, "usage.html", context)


async def room_for(call: Call, source: Source) -> Left:
    """The room that a source has left for who asks, for an upload panel."""
    return await call.files.catalog.read(lambda conn: left(conn, source, call.actor_id))
