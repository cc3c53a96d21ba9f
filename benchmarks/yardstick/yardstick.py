"""A Datasette plugin with the least route that asks a permission and does a query.

It is served by a Datasette without datasette-files. GET reads one row of the internal database;
POST reads a body and writes one row.
"""

from __future__ import annotations

from typing import Any

from datasette import Forbidden, Response, hookimpl


@hookimpl
def register_routes() -> list[tuple[str, Any]]:
    return [(r"^/-/yardstick$", answer)]


@hookimpl
async def startup(datasette: Any) -> None:
    database = datasette.get_internal_database()
    await database.execute_write("CREATE TABLE yardstick (id INTEGER PRIMARY KEY, size INTEGER)")
    await database.execute_write("INSERT INTO yardstick (size) VALUES (1)")


async def answer(datasette: Any, request: Any) -> Response:
    if not await datasette.allowed(action="view-instance", actor=request.actor):
        raise Forbidden("view-instance")
    database = datasette.get_internal_database()
    if request.method == "POST":
        size = len(await request.post_body())
        await database.execute_write("INSERT INTO yardstick (size) VALUES (?)", [size])
        return Response.json({"ok": True, "size": size}, status=201)
    found = await database.execute("SELECT id, size FROM yardstick WHERE id = 1")
    return Response.json({"ok": True, **dict(found.first())})
